//! Makes one frame smaller.

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header};

use super::minimize;
use crate::decode;
use crate::decode::document::{Format, Item, Sort};
use crate::decode::splice::{container, text};

/// Tries smaller frames; `fails` keeps those that still fail.
pub(super) fn minimize_frame<E>(
    frame: &Frame,
    fails: &mut dyn FnMut(Frame) -> Result<bool, E>,
) -> Result<(), E> {
    let mut best = frame.clone();
    let entries = minimize(best.header.entries(), &mut |entries: &[(Value, Value)]| {
        let header = Header::from_entries(entries.to_vec());
        fails(Frame { header, ..best.clone() })
    })?;
    best.header = match entries == best.header.entries() {
        // So that the bytes of a header that stays are what they were.
        true => best.header,
        false => Header::from_entries(entries),
    };
    // The format of a payload can depend on the header.
    let frame = best.clone();
    let Some(document) = decode::payload_document(&frame) else {
        minimize(frame.payload.to_vec(), &mut |bytes: &[u8]| fails(with(&frame, bytes.to_vec())))?;
        return Ok(());
    };
    structure(&frame, Part::of(document.root(), 0), document.format(), fails)
}

fn with(frame: &Frame, payload: Vec<u8>) -> Frame {
    Frame { payload: payload.into(), ..frame.clone() }
}

/// Deeper nesting stays as it is.
const MAX_DEPTH: usize = 64;

/// A part of a payload that can be made smaller. The rest stays as it was written.
#[derive(Debug, Clone)]
enum Part {
    Map(Vec<(Vec<u8>, Part)>),
    List(Vec<Part>),
    Text(String),
    Number(Vec<u8>),
    Other(Vec<u8>),
}

impl Part {
    fn of(item: Item<'_>, depth: usize) -> Part {
        let raw = || item.raw().to_vec();
        match item.sort() {
            Sort::Map if depth < MAX_DEPTH => {
                let entries = item.entries();
                Part::Map(
                    entries
                        .map(|(key, value)| (key.raw().to_vec(), Part::of(value, depth + 1)))
                        .collect(),
                )
            }
            Sort::List if depth < MAX_DEPTH => {
                Part::List(item.children().map(|item| Part::of(item, depth + 1)).collect())
            }
            Sort::Text => match String::from_utf8(item.content().into_owned()) {
                Ok(text) => Part::Text(text),
                Err(_) => Part::Other(raw()),
            },
            Sort::Number => Part::Number(raw()),
            _ => Part::Other(raw()),
        }
    }

    fn encode(&self, format: Format) -> Vec<u8> {
        match self {
            Part::Map(entries) => {
                let entries = entries.iter();
                let items: Vec<Vec<u8>> =
                    entries.flat_map(|(key, value)| [key.clone(), value.encode(format)]).collect();
                container(format, Sort::Map, &items)
            }
            Part::List(items) => {
                let items: Vec<Vec<u8>> = items.iter().map(|item| item.encode(format)).collect();
                container(format, Sort::List, &items)
            }
            Part::Text(characters) => text(format, characters.as_bytes()),
            Part::Number(raw) | Part::Other(raw) => raw.clone(),
        }
    }
}

fn structure<E>(
    frame: &Frame,
    part: Part,
    format: Format,
    fails: &mut dyn FnMut(Frame) -> Result<bool, E>,
) -> Result<(), E> {
    if !frame.payload.is_empty() && fails(with(frame, Vec::new()))? {
        return Ok(());
    }
    // Written anew it may be something else: then only its structure is to blame, not its bytes.
    if !fails(with(frame, part.encode(format)))? {
        minimize(frame.payload.to_vec(), &mut |bytes: &[u8]| fails(with(frame, bytes.to_vec())))?;
        return Ok(());
    }
    let zero = match format {
        Format::Json => b"0".to_vec(),
        Format::Cbor => vec![0],
    };
    smaller(part, &zero, &mut |part| fails(with(frame, part.encode(format))))?;
    Ok(())
}

/// The smallest part that still fails in the place of this one; `zero` is the smallest number.
fn smaller<E>(
    part: Part,
    zero: &[u8],
    fails: &mut dyn FnMut(&Part) -> Result<bool, E>,
) -> Result<Part, E> {
    match part {
        Part::Map(entries) => {
            let mut left =
                minimize(entries, &mut |entries: &[_]| fails(&Part::Map(entries.to_vec())))?;
            for at in 0..left.len() {
                let child = left[at].1.clone();
                let rest = left.clone();
                left[at].1 = smaller(child, zero, &mut |child| {
                    let mut entries = rest.clone();
                    entries[at].1 = child.clone();
                    fails(&Part::Map(entries))
                })?;
            }
            Ok(Part::Map(left))
        }
        Part::List(items) => {
            let mut left =
                minimize(items, &mut |items: &[Part]| fails(&Part::List(items.to_vec())))?;
            for at in 0..left.len() {
                let child = left[at].clone();
                let rest = left.clone();
                left[at] = smaller(child, zero, &mut |child| {
                    let mut items = rest.clone();
                    items[at] = child.clone();
                    fails(&Part::List(items))
                })?;
            }
            Ok(Part::List(left))
        }
        Part::Text(text) => {
            let characters: Vec<char> = text.chars().collect();
            let string = |characters: &[char]| Part::Text(characters.iter().collect());
            let left = minimize(characters, &mut |characters: &[char]| fails(&string(characters)))?;
            Ok(string(&left))
        }
        Part::Number(raw) => {
            let smallest = Part::Number(zero.to_vec());
            let is_smaller = raw != zero && fails(&smallest)?;
            Ok(if is_smaller { smallest } else { Part::Number(raw) })
        }
        other @ Part::Other(_) => Ok(other),
    }
}
