//! The sections of a module or component: the one with the manifest, and the names that tell what
//! the file is for. No more of the file is read.

use glovebox_abi::frame_abi;
use object::read::ReadRef;

use super::interface::Interface;
use super::manifest::{MAX_MANIFEST_LEN, too_large};
use crate::problem::{ArtifactKind, LoadProblem};

/// Far more than any compiler makes; each costs a read. Those beyond are not looked at.
const MAX_SECTIONS: usize = 20_000;
/// How much is read of a section with names.
const MAX_NAMES_LEN: u64 = 1 << 20;
/// Components inside components. Those further inside are not looked at.
const MAX_NESTING: usize = 32;
/// The magic number and the version.
const PREAMBLE_LEN: u64 = 8;
/// Identifiers of sections (WebAssembly core specification, "Modules"; component model,
/// `Binary.md`).
pub(super) const CUSTOM: u8 = 0;
pub(super) const INNER_MODULE: u8 = 1;
pub(super) const INNER_COMPONENT: u8 = 4;

/// The content of the section with the manifest, if there is one, and the names up to it.
///
/// # Errors
///
/// [`LoadProblem::Malformed`] if the sections do not follow each other to the end.
pub(super) fn walk<'file, R: ReadRef<'file>>(
    kind: ArtifactKind,
    file: R,
    size: u64,
) -> Result<(Option<&'file [u8]>, Interface), LoadProblem> {
    let mut walk = Walk { file, kind, sections: 0, interface: Interface::default() };
    let manifest = walk.manifest(0, size, 0)?;
    Ok((manifest, walk.interface))
}

/// A way over the sections of a module or component, and of those inside it.
struct Walk<R> {
    file: R,
    kind: ArtifactKind,
    sections: usize,
    /// Of the outermost module or component.
    interface: Interface,
}

impl<'file, R: ReadRef<'file>> Walk<R> {
    /// The content of the first section with a manifest, in a module from `start` to `end`.
    fn manifest(
        &mut self,
        start: u64,
        end: u64,
        nesting: usize,
    ) -> Result<Option<&'file [u8]>, LoadProblem> {
        let preamble = self.bytes(start, PREAMBLE_LEN.min(end - start))?;
        let kind = ArtifactKind::of(preamble);
        if !matches!(kind, ArtifactKind::Component | ArtifactKind::CoreModule) {
            return Err(self.damaged(format!("no module starts at byte {start}")));
        }
        let mut position = start + PREAMBLE_LEN;
        while position < end {
            self.sections += 1;
            if self.sections > MAX_SECTIONS {
                return Ok(None);
            }
            let id = self.bytes(position, 1)?[0];
            let (length, body) = self.number(position + 1, end)?;
            let after = body.checked_add(length).filter(|after| *after <= end);
            let after = after.ok_or_else(|| {
                let found = end - body;
                self.damaged(format!(
                    "cut short: the section at byte {position} needs {length} bytes, {found} found"
                ))
            })?;
            let is_component = kind == ArtifactKind::Component;
            let found = match id {
                CUSTOM => self.custom(body, after, nesting)?,
                id if nesting == 0 && Interface::is_in(id, is_component) => {
                    // Names alone: a section that is longer names nothing that is known.
                    let content = self.bytes(body, length.min(MAX_NAMES_LEN))?;
                    self.interface.add(id, is_component, content);
                    None
                }
                INNER_MODULE | INNER_COMPONENT if is_component && nesting < MAX_NESTING => {
                    self.manifest(body, after, nesting + 1)?
                }
                _ => None,
            };
            if found.is_some() {
                return Ok(found);
            }
            position = after;
        }
        Ok(None)
    }

    /// The content of a custom section, if it is the manifest.
    fn custom(
        &mut self,
        body: u64,
        end: u64,
        nesting: usize,
    ) -> Result<Option<&'file [u8]>, LoadProblem> {
        let expected = frame_abi::MANIFEST_SECTION;
        let (length, name) = self.number(body, end)?;
        if nesting == 0 && length <= end - name && length < 64 {
            let name = String::from_utf8_lossy(self.bytes(name, length)?).into_owned();
            self.interface.section(&name);
        }
        if length != expected.len() as u64 || length > end - name {
            return Ok(None);
        }
        if self.bytes(name, length)? != expected.as_bytes() {
            return Ok(None);
        }
        let content = name + length;
        let size = end - content;
        if size > MAX_MANIFEST_LEN {
            return Err(too_large("manifest", size));
        }
        self.bytes(content, size).map(Some)
    }

    /// A LEB128 number of 32 bits, and where it ends.
    fn number(&self, start: u64, end: u64) -> Result<(u64, u64), LoadProblem> {
        let bytes = self.bytes(start, 5.min(end.saturating_sub(start)))?;
        let mut number = 0u64;
        for (index, byte) in bytes.iter().enumerate() {
            number |= u64::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok((number, start + index as u64 + 1));
            }
        }
        Err(self.damaged(format!("no length at byte {start}")))
    }

    fn bytes(&self, start: u64, length: u64) -> Result<&'file [u8], LoadProblem> {
        self.file
            .read_bytes_at(start, length)
            .map_err(|()| self.damaged(format!("cut short: {length} bytes needed at byte {start}")))
    }

    fn damaged(&self, reason: String) -> LoadProblem {
        LoadProblem::Malformed { what: self.kind.noun(), reason }
    }
}
