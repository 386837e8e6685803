use glovebox_files::{FileKind, Way};

/// The kind of an artifact.
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
    /// The list of a root folder, of which its manifest says that a program in it speaks the framed
    /// protocol.
    Rootfs,
    /// The name and digest of an image of a container engine.
    Image,
    /// Machine code that was not linked.
    ObjectFile,
    /// A program of an operating system.
    Program,
    /// The information that a debugger needs of a program or library, without its code.
    DebugFile,
    /// A file that is no artifact, as its first bytes say.
    Other(FileKind),
}

impl ArtifactKind {
    /// Looks at the first bytes of a file, which do not tell libraries from other machine code.
    pub fn of(start: &[u8]) -> ArtifactKind {
        match FileKind::of(start) {
            FileKind::Component => ArtifactKind::Component,
            FileKind::CoreModule => ArtifactKind::CoreModule,
            FileKind::WasmText => ArtifactKind::WasmText,
            FileKind::Elf => ArtifactKind::Elf,
            FileKind::MachO => ArtifactKind::MachO,
            FileKind::Pe => ArtifactKind::Pe,
            other => ArtifactKind::Other(other),
        }
    }

    /// The kind in a sentence, with its article.
    pub fn describe(self) -> &'static str {
        match self {
            ArtifactKind::Component => FileKind::Component.name(),
            ArtifactKind::CoreModule => FileKind::CoreModule.name(),
            ArtifactKind::WasmText => FileKind::WasmText.name(),
            ArtifactKind::Elf => "an ELF library",
            ArtifactKind::MachO => "a Mach-O library",
            ArtifactKind::Pe => "a Windows library",
            ArtifactKind::FramedProgram => "a program that speaks the framed protocol",
            ArtifactKind::Rootfs => "a root folder of a container",
            ArtifactKind::Image => "an image of a container",
            ArtifactKind::ObjectFile => "an object file that was not linked",
            ArtifactKind::Program => "a program",
            ArtifactKind::DebugFile => {
                "debug information of a program or library, without its code"
            }
            ArtifactKind::Other(other) => other.name(),
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
            ArtifactKind::Rootfs => "root folder",
            ArtifactKind::Image => "image",
            kind if kind.is_library() => "shared library",
            _ => "module",
        }
    }

    pub(crate) fn remedy(self) -> &'static str {
        const NAME_ONE: &str =
            "name a .wasm, .wat, .so, .dylib or .dll file, or a folder with plugin.toml";
        match self {
            ArtifactKind::ObjectFile => "link it as a shared library (-shared)",
            ArtifactKind::Program => {
                "build it as a shared library; one that speaks the framed protocol is named by \
                 `program` under [artifact] of a plugin.toml"
            }
            ArtifactKind::DebugFile => "name the library itself",
            ArtifactKind::Other(FileKind::Empty) => "build the plugin again",
            ArtifactKind::Other(other) => match other.way() {
                Way::Trace => "open it as a trace",
                Way::Import => "import it with `glovebox trace import`",
                Way::Unpack(how) | Way::First(how) => how,
                Way::Plugin | Way::Other => NAME_ONE,
            },
            _ => NAME_ONE,
        }
    }
}
