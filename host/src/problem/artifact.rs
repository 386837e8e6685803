//! The kinds of files.

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
    /// A program or a script of which its manifest says that it speaks the framed protocol.
    FramedProgram,
    /// Nothing at all.
    Empty,
    /// WebAssembly of a version that does not exist.
    WasmOfOtherVersion,
    /// Machine code that was not linked.
    ObjectFile,
    /// A program of an operating system.
    Program,
    /// The information that a debugger needs of a program or library, without its code.
    DebugFile,
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
    /// The kind in a sentence, with its article.
    pub fn describe(self) -> &'static str {
        match self {
            ArtifactKind::Component => "a WebAssembly component",
            ArtifactKind::CoreModule => "a core WebAssembly module",
            ArtifactKind::WasmText => "WebAssembly text",
            ArtifactKind::Elf => "an ELF library",
            ArtifactKind::MachO => "a Mach-O library",
            ArtifactKind::Pe => "a Windows library",
            ArtifactKind::FramedProgram => "a program that speaks the framed protocol",
            ArtifactKind::Empty => "an empty file",
            ArtifactKind::WasmOfOtherVersion => "WebAssembly of an unknown version or cut short",
            ArtifactKind::ObjectFile => "an object file that was not linked",
            ArtifactKind::Program => "a program",
            ArtifactKind::DebugFile => {
                "debug information of a program or library, without its code"
            }
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
            ArtifactKind::Zeros => "a file that begins with zeros",
            ArtifactKind::Text => "a text file",
            ArtifactKind::Unknown => "a file of unknown kind",
        }
    }

    /// The name of several of them, where scans count them.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            ArtifactKind::ObjectFile => "object files that were not linked",
            ArtifactKind::Program => "programs",
            ArtifactKind::DebugFile => "files of debug information",
            // Scans name each of the others.
            _ => "other files",
        }
    }

    /// True of the formats of shared libraries.
    pub(crate) fn is_library(self) -> bool {
        matches!(self, ArtifactKind::Elf | ArtifactKind::MachO | ArtifactKind::Pe)
    }

    /// A word for errors about damage.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            ArtifactKind::Component => "component",
            ArtifactKind::FramedProgram => "program",
            kind if kind.is_library() => "shared library",
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
            ArtifactKind::Program => {
                "build it as a shared library; one that speaks the framed protocol is named by \
                 `program` under [artifact] of a plugin.toml"
            }
            ArtifactKind::DebugFile => "name the library itself",
            ArtifactKind::Trace => "open it as a trace",
            ArtifactKind::Capture => "import it with `glovebox trace import`",
            _ => "name a .wasm, .wat, .so, .dylib or .dll file, or a folder with plugin.toml",
        }
    }
}
