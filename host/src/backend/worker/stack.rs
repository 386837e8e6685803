//! The functions at work in a process that crashed, by the symbols of its library.

use std::path::Path;

use glovebox_worker::{LastWords, Site};
use object::{Object, ObjectSymbol, SymbolKind};

use crate::failure::StackFrame;
use crate::problem::shorten;

/// The largest library that is read for the names in it, in bytes.
const MAX_LEN: u64 = 256 << 20;

/// The name of the library of a plugin, whose file here is a private copy.
const MODULE: &str = "its library";

/// The functions at work, the innermost first.
pub(super) fn backtrace(fault: &LastWords, library: &Path) -> Vec<StackFrame> {
    let bytes = glovebox_files::read(library, MAX_LEN).unwrap_or_default();
    let file = object::File::parse(&*bytes).ok();
    let frames = fault.sites.iter().enumerate().map(|(place, site)| match site {
        Site::Library(offset) => {
            // All but the innermost one stand where they will go on, behind the call.
            let at = if place == 0 { *offset } else { offset.saturating_sub(1) };
            let function = file.as_ref().and_then(|file| function_at(file, at));
            StackFrame { module: MODULE.to_owned(), function, offset: Some(*offset), place: None }
        }
        Site::Elsewhere(address) => StackFrame { offset: Some(*address), ..StackFrame::default() },
    });
    frames.collect()
}

/// The name of the function at an offset.
fn function_at(file: &object::File<'_>, at: u64) -> Option<String> {
    let symbols = file.symbols().chain(file.dynamic_symbols());
    let functions = symbols.filter(|symbol| symbol.kind() == SymbolKind::Text);
    let around = functions.filter(|symbol| {
        let begin = symbol.address();
        begin <= at && at < begin.saturating_add(symbol.size().max(1))
    });
    let name = around.max_by_key(|symbol| symbol.address())?.name().ok()?.to_owned();
    (!name.is_empty()).then(|| shorten(&name))
}
