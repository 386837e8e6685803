//! The budget that a plugin's source declares with the SDK's attribute `#[budget]`: a section of the
//! artifact, beside the one with the manifest.

use glovebox_abi::manifest::Budget;
use glovebox_abi::{frame_abi, native};
use object::{Object, ObjectSection};
use wasmparser::{Parser, Payload};

use super::manifest::{MAX_MANIFEST_LEN, too_large, utf8, without_padding};
use crate::problem::{ArtifactKind, LoadProblem};

/// The text that is read here, for errors.
const WHAT: &str = "section with the budget";

/// The budget in an artifact's section; empty if there is none. A damaged artifact has none here:
/// the stages that compile or open it say what is wrong with it.
pub(super) fn budget_of_source(kind: ArtifactKind, bytes: &[u8]) -> Result<Budget, LoadProblem> {
    let text = match kind {
        ArtifactKind::Component | ArtifactKind::CoreModule => of_module(bytes)?,
        ArtifactKind::FramedProgram | ArtifactKind::Rootfs | ArtifactKind::Image => Vec::new(),
        _ => of_library(bytes)?,
    };
    Budget::parse(utf8(WHAT, &text)?)
        .map_err(|error| LoadProblem::Malformed { what: WHAT, reason: error.to_string() })
}

/// The sections of a module, or of a component and all modules inside it, one after the other.
fn of_module(bytes: &[u8]) -> Result<Vec<u8>, LoadProblem> {
    let mut text = Vec::new();
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        if let Payload::CustomSection(section) = payload
            && section.name() == frame_abi::BUDGET_SECTION
        {
            text.extend(bounded(without_padding(section.data()), text.len())?);
            text.push(b'\n');
        }
    }
    Ok(text)
}

/// The same bytes, unless they are too many behind those before them.
fn bounded(more: &[u8], before: usize) -> Result<&[u8], LoadProblem> {
    let size = (before + more.len()) as u64;
    match size > MAX_MANIFEST_LEN {
        true => Err(too_large(WHAT, size)),
        false => Ok(more),
    }
}

fn of_library(bytes: &[u8]) -> Result<Vec<u8>, LoadProblem> {
    let Ok(library) = object::File::parse(bytes) else {
        return Ok(Vec::new());
    };
    let name = match library.format() {
        object::BinaryFormat::MachO => "__gbudget",
        _ => native::BUDGET_SECTION,
    };
    let section = library.section_by_name(name);
    let content = section.and_then(|section| section.data().ok()).unwrap_or_default();
    bounded(without_padding(content), 0).map(<[u8]>::to_vec)
}
