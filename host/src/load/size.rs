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
/// Bytes of the names of imports and exports of all modules together: the compiler keeps each several times,
/// and so does the code that it makes. Whole language runtimes have a tenth.
const MAX_NAMES_LEN: u64 = 4 << 20;

/// Refuses an artifact that has too much of something. A damaged one is left to the compiler.
pub(crate) fn check(bytes: &[u8]) -> Result<(), LoadProblem> {
    let mut found = [0u64; MAXIMA.len()];
    let mut names = 0u64;
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        names += names_in(&payload);
        if names > MAX_NAMES_LEN {
            let what = "bytes in the names of imports and exports";
            return Err(LoadProblem::TooMany { what, found: names, limit: MAX_NAMES_LEN });
        }
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

/// Bytes in the names that a section has, as far as they can be read.
fn names_in(section: &Payload<'_>) -> u64 {
    let sum = |names: &mut dyn Iterator<Item = usize>| names.map(|length| length as u64).sum();
    match section {
        Payload::ImportSection(imports) => {
            let imports = imports.clone().into_imports().map_while(Result::ok);
            sum(&mut imports.map(|import| import.module.len() + import.name.len()))
        }
        Payload::ExportSection(exports) => {
            let exports = exports.clone().into_iter().map_while(Result::ok);
            sum(&mut exports.map(|export| export.name.len()))
        }
        Payload::ComponentImportSection(imports) => {
            let imports = imports.clone().into_iter().map_while(Result::ok);
            sum(&mut imports.map(|import| import.name.name.len()))
        }
        Payload::ComponentExportSection(exports) => {
            let exports = exports.clone().into_iter().map_while(Result::ok);
            sum(&mut exports.map(|export| export.name.name.len()))
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_names_are_refused_before_anything_keeps_them() {
        fn check(names: usize, length: usize, is_refused: bool) {
            let name = |number: usize| format!("{number:0length$}");
            let exports: String =
                (0..names).map(|number| format!("(export {:?} (func 0))", name(number))).collect();
            let imports: String = (0..names)
                .map(|number| format!("(import {:?} \"\" (func))", name(number)))
                .collect();
            for text in [format!("(module (func) {exports})"), format!("(module {imports})")] {
                let bytes = wat::parse_str(text).unwrap();
                let found = super::check(&bytes);
                assert_eq!(found.is_err(), is_refused, "{names} of {length}: {found:?}");
            }
        }
        check(10, 1000, false);
        check(69, 60_000, false);
        check(70, 60_000, true);
    }
}
