//! What a file is, told by its first bytes.

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactKind {
    /// A WebAssembly component.
    Component,
    /// A core WebAssembly module.
    CoreModule,
    /// A module or component as text.
    WasmText,
    /// A shared library for ELF systems.
    Elf,
    /// A shared library for macOS.
    MachO,
    /// A shared library for Windows.
    Pe,
    /// Nothing at all.
    Empty,
    /// WebAssembly of a version that does not exist.
    WasmOfOtherVersion,
    /// Machine code that was not linked.
    ObjectFile,
    /// A program of an operating system.
    Program,
    /// Machine code that wasmtime made of WebAssembly.
    Precompiled,
    /// A place holder of Git LFS for a file that was not fetched.
    GitLfsPointer,
    /// A page in HTML.
    Html,
    /// Classes of Java.
    JavaClass,
    /// A gzip archive.
    Gzip,
    /// Another archive: xz, bzip2, zstd, 7z or tar.
    Packed,
    /// A zip archive.
    Zip,
    /// A static library.
    Archive,
    /// A Glovebox trace.
    Trace,
    /// A packet capture.
    Capture,
    /// Zeros, as a disk or a download leaves them that did not get further.
    Zeros,
    /// Some other text.
    Text,
    /// Some other bytes.
    Unknown,
}

impl ArtifactKind {
    /// Looks at the bytes of a file.
    pub fn of(bytes: &[u8]) -> ArtifactKind {
        use ArtifactKind::{
            Archive, Capture, Component, CoreModule, Elf, Empty, GitLfsPointer, Gzip, Html,
            JavaClass, MachO, Packed, Pe, Precompiled, Text, Trace, Unknown, WasmOfOtherVersion,
            WasmText, Zeros, Zip,
        };
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
            [0xCF | 0xCE, 0xFA, 0xED, 0xFE, ..] | [0xCA, 0xFE, 0xBA, 0xBE, ..] => MachO,
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

    /// The kind in a sentence, with its article.
    pub fn describe(self) -> &'static str {
        match self {
            ArtifactKind::Component => "a WebAssembly component",
            ArtifactKind::CoreModule => "a core WebAssembly module",
            ArtifactKind::WasmText => "WebAssembly text",
            ArtifactKind::Elf => "an ELF library",
            ArtifactKind::MachO => "a Mach-O library",
            ArtifactKind::Pe => "a Windows library",
            ArtifactKind::Empty => "an empty file",
            ArtifactKind::WasmOfOtherVersion => "WebAssembly of an unknown version or cut short",
            ArtifactKind::ObjectFile => "an object file that was not linked",
            ArtifactKind::Program => "a program",
            ArtifactKind::Precompiled => "code that wasmtime compiled for some machine (.cwasm)",
            ArtifactKind::GitLfsPointer => "a pointer of Git LFS in place of the file",
            ArtifactKind::Html => "a page in HTML",
            ArtifactKind::JavaClass => "a class of Java",
            ArtifactKind::Gzip => "a gzip archive",
            ArtifactKind::Packed => "an archive",
            ArtifactKind::Zip => "a zip archive",
            ArtifactKind::Archive => "a static library",
            ArtifactKind::Trace => "a trace",
            ArtifactKind::Capture => "a packet capture",
            ArtifactKind::Zeros => "a file of zeros",
            ArtifactKind::Text => "a text file",
            ArtifactKind::Unknown => "a file of unknown kind",
        }
    }

    /// A word for errors about damage.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            ArtifactKind::Component => "component",
            ArtifactKind::Elf | ArtifactKind::MachO | ArtifactKind::Pe => "shared library",
            _ => "module",
        }
    }

    pub(crate) fn remedy(self) -> &'static str {
        match self {
            ArtifactKind::Empty => "build the plugin again",
            ArtifactKind::WasmOfOtherVersion | ArtifactKind::Zeros => {
                "copy or build the file again"
            }
            ArtifactKind::Gzip | ArtifactKind::Packed | ArtifactKind::Zip => "unpack it first",
            ArtifactKind::Precompiled => {
                "name the .wasm that it was made of: compiled code is believed from the host's own \
                 cache alone"
            }
            ArtifactKind::GitLfsPointer => "fetch the file with `git lfs pull`",
            ArtifactKind::Html => "download the file itself: this is a page about it, or an error",
            ArtifactKind::Archive | ArtifactKind::ObjectFile => {
                "link it as a shared library (-shared)"
            }
            ArtifactKind::Program => "build it as a shared library",
            ArtifactKind::Trace => "open it as a trace",
            ArtifactKind::Capture => "import it with `glovebox trace import`",
            _ => "name a .wasm, .wat, .so, .dylib or .dll file, or a folder with plugin.toml",
        }
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
