//! A part of a file, read as if it were one: files of macOS may hold libraries for several processors.

use std::ops::Range;

use object::read::ReadRef;
use object::read::macho::{FatArch, MachOFatFile32, MachOFatFile64};

use crate::problem::LoadProblem;

/// The most processors of a universal file of macOS that are looked at: there are five kinds.
const MAX_PROCESSORS: usize = 16;

/// The bytes of a file from a start on, so many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<R> {
    file: R,
    start: u64,
    length: u64,
}

impl<'file, R: ReadRef<'file>> Part<R> {
    /// All of it.
    pub(super) fn all(file: R) -> Part<R> {
        Part { file, start: 0, length: file.len().unwrap_or_default() }
    }

    /// `None` if the file does not reach that far.
    pub(super) fn of(file: R, start: u64, length: u64) -> Option<Part<R>> {
        let end = start.checked_add(length)?;
        (end <= file.len().ok()?).then_some(Part { file, start, length })
    }

    /// Where an offset lies in the file.
    fn place(&self, offset: u64, size: u64) -> Result<u64, ()> {
        let end = offset.checked_add(size).ok_or(())?;
        if end <= self.length { Ok(self.start + offset) } else { Err(()) }
    }
}

impl<'file, R: ReadRef<'file>> ReadRef<'file> for Part<R> {
    fn len(self) -> Result<u64, ()> {
        Ok(self.length)
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'file [u8], ()> {
        self.file.read_bytes_at(self.place(offset, size)?, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'file [u8], ()> {
        let size = range.end.checked_sub(range.start).ok_or(())?;
        let start = self.place(range.start, size)?;
        self.file.read_bytes_at_until(start..start + size, delimiter)
    }
}

/// The part of a file with libraries for several processors that is for this one, or else the first;
/// all of any other file.
pub(super) fn of_one_processor<'file, R: ReadRef<'file>>(file: R) -> Result<Part<R>, LoadProblem> {
    match file.read_bytes_at(0, 4) {
        Ok([0xCA, 0xFE, 0xBA, 0xBE]) => {
            choose(MachOFatFile32::parse(file).map(|fat| fat.arches()), file)
        }
        Ok([0xCA, 0xFE, 0xBA, 0xBF]) => {
            choose(MachOFatFile64::parse(file).map(|fat| fat.arches()), file)
        }
        _ => Ok(Part::all(file)),
    }
}

fn choose<'file, R: ReadRef<'file>, A: FatArch>(
    processors: object::read::Result<&'file [A]>,
    file: R,
) -> Result<Part<R>, LoadProblem> {
    let damaged = |reason: &str| LoadProblem::Malformed {
        what: "shared library",
        reason: format!("of several processors: {reason}"),
    };
    let processors = processors.map_err(|error| damaged(&error.to_string()))?;
    let processors = &processors[..processors.len().min(MAX_PROCESSORS)];
    let name = |one: &A| format!("{:?}", one.architecture()).to_lowercase().replace('_', "");
    let here = std::env::consts::ARCH.replace('_', "");
    let chosen = processors.iter().find(|one| name(one) == here).or(processors.first());
    let (start, length) = chosen.ok_or_else(|| damaged("there is none"))?.file_range();
    Part::of(file, start, length).ok_or_else(|| damaged("cut short"))
}
