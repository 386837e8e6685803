//! The kind of a file, told by its first bytes.

use crate::problem::ArtifactKind;

/// How much of a file tells what it is, in bytes.
pub(super) const SNIFF_LEN: usize = 64 << 10;

impl ArtifactKind {
    /// Looks at the bytes of a file. Of a text, and of zeros, the first 64 KiB count.
    pub fn of(bytes: &[u8]) -> ArtifactKind {
        use ArtifactKind::{
            Archive, Capture, Component, CoreModule, Elf, Empty, GitLfsPointer, Gzip, Html,
            JavaClass, MachO, Packed, Pe, Precompiled, Text, Trace, Unknown, WasmOfOtherVersion,
            WasmText, Zeros, Zip,
        };
        let bytes = head(bytes);
        match bytes {
            [] => Empty,
            [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => CoreModule,
            // The encoding of components has a version of its own and layer 1.
            [0, b'a', b's', b'm', 0x0D, 0, 1, 0, ..] => Component,
            [0, b'a', b's', b'm', ..] | [0, b'a'] | [0, b'a', b's'] => WasmOfOtherVersion,
            zeros if zeros.iter().all(|byte| *byte == 0) => Zeros,
            // The engine marks its files with an operating system of its own.
            [0x7F, b'E', b'L', b'F', _, _, _, 200, ..] => Precompiled,
            [0x7F, b'E', b'L', b'F', ..] => Elf,
            // The same four bytes begin libraries for several processors, of which there are few,
            // and classes of Java, whose versions begin at 45.
            [0xCA, 0xFE, 0xBA, 0xBE, _, _, _, 45..=255, ..] => JavaClass,
            [0xCF | 0xCE, 0xFA, 0xED, 0xFE, ..]
            | [0xFE, 0xED, 0xFA, 0xCF | 0xCE, ..]
            | [0xCA, 0xFE, 0xBA, 0xBE | 0xBF, ..] => MachO,
            [b'M', b'Z', ..] => Pe,
            [0x1F, 0x8B, ..] => Gzip,
            [b'P', b'K', 3, 4, ..] => Zip,
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..]
            | [b'B', b'Z', b'h', ..]
            | [0x28, 0xB5, 0x2F, 0xFD, ..]
            | [b'7', b'z', 0xBC, 0xAF, 0x27, 0x1C, ..] => Packed,
            tar if tar.get(257..262) == Some(b"ustar") => Packed,
            [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] => Archive,
            [0x89, b'M', b'C', b'A', b'P', ..] => Trace,
            [0xD4, 0xC3, 0xB2, 0xA1, ..] | [0xA1, 0xB2, 0xC3, 0xD4, ..] => Capture,
            [0x0A, 0x0D, 0x0D, 0x0A, ..] => Capture,
            _ => match std::str::from_utf8(without_mark(bytes)) {
                Ok(text) if is_wat(text) => WasmText,
                Ok(text) if text.starts_with("version https://git-lfs.github.com/") => {
                    GitLfsPointer
                }
                Ok(text) if is_html(text) => Html,
                Ok(text) if text.chars().all(is_of_text) => Text,
                _ => Unknown,
            },
        }
    }
}

/// The part that tells what a file is, without a character of which only the first bytes are in it.
fn head(bytes: &[u8]) -> &[u8] {
    let Some(head) = bytes.get(..SNIFF_LEN).filter(|_| bytes.len() > SNIFF_LEN) else {
        return bytes;
    };
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => &head[..error.valid_up_to()],
        _ => head,
    }
}

/// Text without the byte order mark that some editors put in front.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// False of control characters that stand in no text: terminals know the others.
fn is_of_text(one: char) -> bool {
    !one.is_control() || matches!(one, '\t' | '\n' | '\r' | '\x0B' | '\x0C' | '\x08' | '\x1B')
}

fn is_html(text: &str) -> bool {
    let start = text.trim_start().as_bytes();
    ["<!doctype html", "<html"].iter().any(|tag| {
        start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
    })
}

fn is_wat(text: &str) -> bool {
    // Comments of WAT may stand before the first bracket.
    let mut rest = text.trim_start();
    loop {
        if let Some(line) = rest.strip_prefix(";;") {
            rest = line.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
        } else if let Some(block) = rest.strip_prefix("(;") {
            rest = block.split_once(";)").map_or("", |(_, rest)| rest).trim_start();
        } else {
            return rest.starts_with("(module") || rest.starts_with("(component");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_recognized() {
        fn check(bytes: &[u8], expected: ArtifactKind) {
            assert_eq!(ArtifactKind::of(bytes), expected, "{bytes:?}");
        }
        check(b"", ArtifactKind::Empty);
        check(b"\0asm\x01\0\0\0", ArtifactKind::CoreModule);
        check(b"\0asm\x0D\0\x01\0", ArtifactKind::Component);
        check(b"\0asm", ArtifactKind::WasmOfOtherVersion);
        check(b";; hello\n(; a ;) (module)", ArtifactKind::WasmText);
        check(b";; only a comment", ArtifactKind::Text);
        check(b"\xEF\xBB\xBF(module)", ArtifactKind::WasmText);
        check(b"\xEF\xBB\xBF\r\n;; a\r\n(component)", ArtifactKind::WasmText);
        check(
            b"\xEF\xBB\xBFversion https://git-lfs.github.com/spec/v1\n",
            ArtifactKind::GitLfsPointer,
        );
        check(b"\xEF\xBB\xBFhello", ArtifactKind::Text);
        check(b"\0", ArtifactKind::Zeros);
        check(&[0; 4096], ArtifactKind::Zeros);
        check(b"\0a", ArtifactKind::WasmOfOtherVersion);
        check(b"\0as", ArtifactKind::WasmOfOtherVersion);
        check(b"\0b", ArtifactKind::Unknown);
        check(b"II*\0", ArtifactKind::Unknown);
        check(b"\x01\x02\x03", ArtifactKind::Unknown);
        check(b"one\r\n\ttwo \x1B[31mred", ArtifactKind::Text);
        check(b"\x7FELF", ArtifactKind::Elf);
        check(b"\x1F\x8B\x08", ArtifactKind::Gzip);
        check(b"\xFF\xFE\xFD", ArtifactKind::Unknown);
        check(b"\x7FELF\x02\x01\x01\xC8", ArtifactKind::Precompiled);
        check(b"\x7FELF\x02\x01\x01\x03", ArtifactKind::Elf);
        check(b"\xCA\xFE\xBA\xBE\0\0\0\x02", ArtifactKind::MachO);
        check(b"\xCA\xFE\xBA\xBE\0\0\0\x41", ArtifactKind::JavaClass);
        check(b"\xFD7zXZ\0", ArtifactKind::Packed);
        check(b"\x28\xB5\x2F\xFD", ArtifactKind::Packed);
        check(&[&[b'a'; 257][..], b"ustar"].concat(), ArtifactKind::Packed);
        check(b"version https://git-lfs.github.com/spec/v1\n", ArtifactKind::GitLfsPointer);
        check(b" <!DOCTYPE HTML><title>404", ArtifactKind::Html);
        check(b"<html>", ArtifactKind::Html);
        check(b"\x89MCAP0\r\n", ArtifactKind::Trace);
    }
}
