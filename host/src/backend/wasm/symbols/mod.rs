//! The functions, files and lines of a backtrace, looked up in the artifact when somebody wants to
//! see them.
//!
//! A trap leaves offsets in the file and, where the artifact has them, the names of its name section.
//! [`symbolized`] reads the rest from the DWARF in the artifact. All of it is what a stranger wrote: it
//! is checked by [`shape`] before anything follows it, each read counts against a budget, and what
//! cannot be read leaves the frames as they were.

mod metered;
mod shape;

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::num::NonZeroUsize;
use std::ops::Range;

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, Error, LittleEndian, SectionId};
use wasmparser::{Encoding, Parser, Payload};

use self::metered::Metered;
use crate::failure::StackFrame;
use crate::guard::caught;
use crate::problem::shorten;

/// The most frames of a trap that are kept.
pub(super) const MAX_FRAMES: NonZeroUsize = NonZeroUsize::new(32).unwrap();
/// The longest mangled name that is kept, in bytes.
const MAX_NAME_LEN: usize = 2048;
/// The longest name that people see, in bytes.
const MAX_SHOWN_LEN: usize = 400;
/// The most functions that one frame stands for: those that the compiler put into each other.
const MAX_INLINED: usize = 16;
/// The most sections with debug information that are looked at. Compilers make some ten.
const MAX_SECTIONS: usize = 32;
/// The most bytes of debug information of a module that are read.
const MAX_DWARF_LEN: usize = 64 << 20;
/// The reads that checking the debug information of a module may take; they keep no memory.
const CHECK_READS: u64 = 16 << 20;
/// The reads that looking up frames in it may take. Each may keep some hundred bytes of memory.
const LOOK_UP_READS: u64 = 4 << 20;

/// A name that an artifact chose, as long as a frame keeps it.
pub(super) fn kept_name(name: &str) -> String {
    glovebox_abi::text::cut(name, MAX_NAME_LEN).into_owned()
}

/// A name as its author wrote it, as far as it is known how it was mangled, shortened.
pub(super) fn readable(name: &str) -> String {
    let Ok(demangled) = rustc_demangle::try_demangle(name) else { return shorten(name) };
    let mut readable = Bounded(String::new());
    if write!(readable, "{demangled:#}").is_err() {
        // There is more of it than is shown.
        readable.0.push('…');
    }
    shorten(&readable.0)
}

/// A text that takes no more than people see: a mangled name can stand for one without end.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match self.0.len() + text.len() <= MAX_SHOWN_LEN {
            true => self.0.write_str(text),
            false => Err(fmt::Error),
        }
    }
}

/// The frames of a trap with readable names and, where the artifact tells, with the functions that the
/// compiler put into each other and with the file and the line of each. `artifact` are the bytes that
/// the offsets of the frames are in.
pub(crate) fn symbolized(artifact: &[u8], frames: &[StackFrame]) -> Vec<StackFrame> {
    let found = caught(|| {
        let mut found: Vec<Vec<StackFrame>> = vec![Vec::new(); frames.len()];
        // Damage ends the way over the modules; what was found before it holds.
        let _ = each_module(artifact, frames, |module| module.look_up(frames, &mut found));
        found
    });
    let found = found.unwrap_or_default().into_iter().chain(std::iter::repeat(Vec::new()));
    let both = frames.iter().zip(found);
    both.flat_map(|(frame, found)| if found.is_empty() { vec![named(frame)] } else { found })
        .collect()
}

/// The frame with a readable name.
pub(crate) fn named(frame: &StackFrame) -> StackFrame {
    StackFrame { function: frame.function.as_deref().map(readable), ..frame.clone() }
}

/// A core module in an artifact. All offsets are in the whole artifact.
#[derive(Default)]
struct Module<'file> {
    code: Option<Range<usize>>,
    /// Its sections with debug information, by their names.
    dwarf: Vec<(&'file str, &'file [u8])>,
    /// Frames that point at a whole function, and its first instruction.
    whole: Vec<(usize, usize)>,
}

/// Goes over the modules of an artifact, those inside components too.
fn each_module<'file>(
    artifact: &'file [u8],
    frames: &[StackFrame],
    mut visit: impl FnMut(&Module<'file>),
) -> wasmparser::Result<()> {
    // The open ones, the innermost last; `None` is a component.
    let mut open: Vec<Option<Module<'file>>> = Vec::new();
    for payload in Parser::new(0).parse_all(artifact) {
        let payload = payload?;
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => {
                open.push(Some(Module::default()));
                continue;
            }
            Payload::Version { encoding: Encoding::Component, .. } => {
                open.push(None);
                continue;
            }
            Payload::End(_) => {
                if let Some(Some(module)) = open.pop() {
                    visit(&module);
                }
                continue;
            }
            _ => {}
        }
        let Some(Some(module)) = open.last_mut() else { continue };
        match payload {
            Payload::CodeSectionStart { range, .. } => module.code = Some(range),
            Payload::CodeSectionEntry(body) => {
                let begin = body.range().start;
                if frames.iter().any(|frame| frame.offset == Some(begin as u64)) {
                    module.whole.push((begin, body.get_operators_reader()?.original_position()));
                }
            }
            Payload::CustomSection(section)
                if section.name().starts_with(".debug_") && module.dwarf.len() < MAX_SECTIONS =>
            {
                module.dwarf.push((section.name(), section.data()));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Module<'_> {
    /// Looks up the frames that are in this module.
    fn look_up(&self, frames: &[StackFrame], found: &mut [Vec<StackFrame>]) {
        let Some(code) = &self.code else { return };
        let places = frames.iter().map(|frame| usize::try_from(frame.offset?).ok());
        let own = places.enumerate().filter_map(|(index, offset)| Some((index, offset?)));
        let own: Vec<(usize, usize)> = own.filter(|(_, at)| code.contains(at)).collect();
        let size: usize = self.dwarf.iter().map(|(_, bytes)| bytes.len()).sum();
        if own.is_empty() || self.dwarf.is_empty() || size > MAX_DWARF_LEN {
            return;
        }
        let checking = Cell::new(CHECK_READS);
        if !matches!(shape::is_usual(&self.dwarf(&checking)), Ok(true)) {
            return;
        }
        let left = Cell::new(LOOK_UP_READS);
        let Ok(context) = Context::from_dwarf(self.dwarf(&left)) else { return };
        for (index, at) in own {
            // A trap in the first instruction of a function points at the whole function. DWARF counts
            // from the contents of the code section.
            let whole = self.whole.iter().find(|(begin, _)| *begin == at);
            let at = whole.map_or(at, |(_, first)| *first);
            if let Ok(functions) = functions_at(&context, (at - code.start) as u64, &frames[index])
            {
                found[index] = functions;
            }
        }
    }

    fn dwarf<'here>(&'here self, left: &'here Cell<u64>) -> Dwarf<Metered<'here>> {
        let section = |id: SectionId| {
            // These only speed up a search, and would be one more thing to check.
            let name = if id == SectionId::DebugAranges { "" } else { id.name() };
            let section = self.dwarf.iter().find(|(own, _)| *own == name);
            let bytes = section.map_or(&[][..], |(_, bytes)| bytes);
            Ok::<_, Error>(Metered::new(EndianSlice::new(bytes, LittleEndian), left))
        };
        Dwarf::load(section).unwrap_or_else(|_| unreachable!("each section is given"))
    }
}

/// The functions that are at work at an address, the innermost first, in place of the frame.
fn functions_at(
    context: &Context<Metered<'_>>,
    address: u64,
    frame: &StackFrame,
) -> Result<Vec<StackFrame>, Error> {
    let mut inlined = context.find_frames(address).skip_all_loads()?;
    let mut functions = Vec::new();
    while let Some(one) = inlined.next()? {
        let name = one.function.as_ref().map(|name| name.raw_name().map(|name| readable(&name)));
        let place = one.location.and_then(|location| {
            let (file, line) = (location.file?, location.line?);
            Some(format!("{}:{line}", ending(file)))
        });
        functions.push(StackFrame { function: name.transpose()?, place, ..frame.clone() });
    }
    // The outermost one is the function itself. Where DWARF is there for lines alone, it has the last
    // part of the name, and the name section the whole path.
    if let Some(own) = functions.last_mut() {
        let is_path = |name: &str| rustc_demangle::try_demangle(name).is_ok();
        if own.function.is_none() || frame.function.as_deref().is_some_and(is_path) {
            own.function = named(frame).function;
        }
    }
    functions.truncate(MAX_INLINED);
    Ok(functions)
}

/// The end of a path, which tells more than its beginning.
fn ending(path: &str) -> String {
    const LENGTH: usize = 200;
    match path.char_indices().rev().nth(LENGTH) {
        Some((start, letter)) => format!("…{}", &path[start + letter.len_utf8()..]),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
