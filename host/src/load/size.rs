//! Refuses an artifact that has too much of something to be compiled, by the counts before each
//! section: a million functions are refused in milliseconds, and not by a deadline.

use std::ops::Range;

use wasmparser::{Parser, Payload};

use crate::problem::LoadProblem;

/// The most of each that the modules of an artifact may have together. The largest components of
/// whole language runtimes have a tenth.
const MAXIMA: [(&str, u64); 9] = [
    ("types", 100_000),
    ("imports", 100_000),
    ("functions", 200_000),
    ("tables", 1_000),
    ("memories", 1_000),
    ("globals", 100_000),
    ("exports", 100_000),
    ("element segments", 100_000),
    ("data segments", 100_000),
];
/// Bytes of one function.
const MAX_FUNCTION_LEN: u64 = 7 << 20;

/// Refuses an artifact that has too much of something. A damaged one is left to the compiler.
pub(crate) fn check(bytes: &[u8]) -> Result<(), LoadProblem> {
    let mut found = [0u64; MAXIMA.len()];
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        let (which, count) = match payload {
            Payload::TypeSection(section) => (0, section.count()),
            Payload::ImportSection(section) => (1, section.count()),
            Payload::FunctionSection(section) => (2, section.count()),
            Payload::TableSection(section) => (3, section.count()),
            Payload::MemorySection(section) => (4, section.count()),
            Payload::GlobalSection(section) => (5, section.count()),
            Payload::ExportSection(section) => (6, section.count()),
            Payload::ElementSection(section) => (7, section.count()),
            Payload::DataSection(section) => (8, section.count()),
            Payload::CodeSectionEntry(body) => {
                let Range { start, end } = body.range();
                let found = (end - start) as u64;
                if found > MAX_FUNCTION_LEN {
                    let what = "bytes of one function";
                    return Err(LoadProblem::TooMany { what, found, limit: MAX_FUNCTION_LEN });
                }
                continue;
            }
            _ => continue,
        };
        found[which] += u64::from(count);
        let (what, limit) = MAXIMA[which];
        if found[which] > limit {
            return Err(LoadProblem::TooMany { what, found: found[which], limit });
        }
    }
    Ok(())
}
