use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! named {
    ($type:ty { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// The name from the word list.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.name())
            }
        }
    };
}

/// Where an instance stands in its life.
///
/// ```text
/// Found → Loaded → Initializing → Ready ⇄ Busy → Draining → Stopped
///                              ↘ Faulted → Restarting → Ready | Draining | Faulted | Quarantined
/// ```
///
/// [`may_become`](Phase::may_become) has the whole table. A new generation takes a faulted or
/// quarantined instance back to ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Its files are known.
    Found,
    /// Its code is compiled or opened.
    Loaded,
    /// It gets ready.
    Initializing,
    /// It waits for frames.
    Ready,
    /// It works on a frame.
    Busy,
    /// It finishes what waits, and takes nothing new.
    Draining,
    /// It is over.
    Stopped,
    /// It cannot go on.
    Faulted,
    /// A fresh copy is being made.
    Restarting,
    /// It failed too often; only a person restarts it.
    Quarantined,
}

impl Phase {
    /// All of them, in the order of their numbers.
    pub const ALL: [Phase; 10] = [
        Phase::Found,
        Phase::Loaded,
        Phase::Initializing,
        Phase::Ready,
        Phase::Busy,
        Phase::Draining,
        Phase::Stopped,
        Phase::Faulted,
        Phase::Restarting,
        Phase::Quarantined,
    ];

    /// True if `next` may follow. Nothing follows [`Phase::Stopped`].
    pub fn may_become(self, next: Phase) -> bool {
        use Phase::*;
        match self {
            Found => matches!(next, Loaded | Stopped | Faulted),
            Loaded => matches!(next, Initializing | Stopped | Faulted),
            Initializing => matches!(next, Ready | Draining | Stopped | Faulted),
            Ready => matches!(next, Busy | Draining | Faulted | Restarting),
            Busy => matches!(next, Ready | Draining | Faulted),
            Draining => matches!(next, Stopped | Faulted | Restarting | Quarantined),
            Faulted => {
                matches!(next, Found | Restarting | Quarantined | Draining | Stopped | Ready)
            }
            Restarting => matches!(next, Ready | Draining | Faulted | Quarantined | Stopped),
            Quarantined => matches!(next, Restarting | Draining | Stopped | Ready),
            Stopped => false,
        }
    }
}

named!(Phase {
    Found => "found",
    Loaded => "loaded",
    Initializing => "initializing",
    Ready => "ready",
    Busy => "busy",
    Draining => "draining",
    Stopped => "stopped",
    Faulted => "faulted",
    Restarting => "restarting",
    Quarantined => "quarantined",
});

/// A step of loading, in order. A load error names the one at which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadStage {
    /// Reading the files.
    Read,
    /// Finding out what the artifact is.
    Sniff,
    /// Reading the manifest.
    ParseManifest,
    /// Checking who signed it.
    Signature,
    /// Checking that it may run here.
    Policy,
    /// Turning it into machine code, or opening the library.
    Compile,
    /// Connecting its imports.
    Link,
    /// Letting it get ready.
    Initialize,
    /// Carrying the state of the generation before over.
    RestoreState,
    /// Trying it.
    Probe,
}

named!(LoadStage {
    Read => "read",
    Sniff => "sniff",
    ParseManifest => "parse manifest",
    Signature => "signature",
    Policy => "policy",
    Compile => "compile",
    Link => "link",
    Initialize => "initialize",
    RestoreState => "restore state",
    Probe => "probe",
});

/// How the host talks to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Binding {
    /// A trait object of the application.
    Core,
    /// A WebAssembly component.
    Component,
    /// A core WebAssembly module.
    FrameAbi,
    /// A shared library.
    Native,
    /// A program that speaks the framed protocol over its standard input and output.
    Framed,
    /// A core module for hosts with Extism.
    Extism,
}

named!(Binding {
    Core => "core",
    Component => "component",
    FrameAbi => "frame ABI",
    Native => "native table",
    Framed => "framed protocol",
    Extism => "Extism",
});

/// The cause of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReloadCause {
    /// A person.
    Requested,
    /// The artifact changed on disk.
    FileChanged,
    /// A person, back to the generation before.
    RolledBack,
    /// The instance cannot go on.
    Restart,
    /// The permissions or limits changed, and the copy cannot be given them while it runs.
    PolicyChanged,
    /// The optimising compiler has made better code of what runs.
    Optimised,
}

named!(ReloadCause {
    Requested => "requested",
    FileChanged => "file changed",
    RolledBack => "rolled back",
    Restart => "restart",
    PolicyChanged => "policy changed",
    Optimised => "optimised code",
});
