//! Custom sections of WebAssembly binaries, found, removed and added without touching the rest.
//!
//! Both modules and components are eight bytes and then sections of an id, a LEB128 length and so
//! many bytes; a custom section has the id 0 and starts with its name (WebAssembly core
//! specification, "Binary format", and the component model's `Binary.md`, which shares it).

use std::ops::Range;

use anyhow::{Context, Result, bail};

/// The name of the section that holds the text of `plugin.toml`.
pub(super) const MANIFEST: &str = "glovebox:manifest";

const PREAMBLE: usize = 8;

/// True for a component, false for a core module.
pub(super) fn is_component(binary: &[u8]) -> Result<bool> {
    match binary.first_chunk::<PREAMBLE>() {
        Some(b"\0asm\x01\0\0\0") => Ok(false),
        Some([b'\0', b'a', b's', b'm', _, _, 1, 0]) => Ok(true),
        _ => bail!("encode: the compiler made no WebAssembly"),
    }
}

/// The content of the first custom section of this name, at the top level.
pub(super) fn find<'a>(binary: &'a [u8], name: &str) -> Result<Option<&'a [u8]>> {
    Ok(locate(binary, name)?.map(|(_, content)| &binary[content]))
}

/// The binary without its custom sections of this name.
pub(super) fn without(binary: &[u8], name: &str) -> Result<Vec<u8>> {
    let mut rest = binary.to_vec();
    while let Some((whole, _)) = locate(&rest, name)? {
        rest.drain(whole);
    }
    Ok(rest)
}

/// Adds a custom section at the end.
pub(super) fn append(binary: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut body = Vec::new();
    write_leb128(&mut body, name.len());
    body.extend(name.as_bytes());
    body.extend(content);
    binary.push(0);
    write_leb128(binary, body.len());
    binary.extend(body);
}

/// The range of the whole section, and that of its content.
fn locate(binary: &[u8], name: &str) -> Result<Option<(Range<usize>, Range<usize>)>> {
    let mut start = PREAMBLE;
    while start < binary.len() {
        let cut = || format!("encode: the section at byte {start} is cut short");
        let id = binary[start];
        let (length, body) = read_leb128(binary, start + 1).with_context(cut)?;
        let end = body.checked_add(length).filter(|end| *end <= binary.len());
        let end = end.with_context(cut)?;
        if id == 0 {
            let (length, text) = read_leb128(binary, body).with_context(cut)?;
            let content = text.checked_add(length).filter(|at| *at <= end);
            let content = content.with_context(cut)?;
            if &binary[text..content] == name.as_bytes() {
                return Ok(Some((start..end, content..end)));
            }
        }
        start = end;
    }
    Ok(None)
}

/// An unsigned number of at most 32 bits, and where it ends.
fn read_leb128(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let mut number = 0;
    for (index, byte) in bytes.get(start..)?.iter().take(5).enumerate() {
        number |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(number).ok()?, start + index + 1));
        }
    }
    None
}

fn write_leb128(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
