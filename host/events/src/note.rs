use serde::{Deserialize, Serialize};

/// The matter of a note, for programs: its text is for people, and may be worded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NoteKind {
    /// A frame, during which a process ended.
    Frame,
    /// The state: it cannot be saved or read, or is lost.
    State,
    /// A generation, which is on probation, is tried beside another one or was accepted.
    Generation,
    /// Something of a generation that did not go away with it: its name and more, as `destructor of
    /// generation 1: it panicked`.
    LeftBehind,
    /// The source of the instance, of which something else was refused, holds again what runs.
    Mended,
    /// The code, which the optimising compiler does not make better.
    Code,
    /// The watch over the files.
    Watch,
    /// Code of the application, such as a hook, panicked.
    Application,
    /// Something that this version does not know, or that a trace of an older one does not tell.
    #[serde(other)]
    Unknown,
}
