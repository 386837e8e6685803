//! The evidence about a failure of a copy, besides its outcome.

use std::path::PathBuf;

use glovebox_events::CallId;

/// The facts about a failure of a copy: a crash, a trap, a broken limit, or anything else after which it
/// could not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyFailure {
    /// When, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// The generation.
    pub generation: u32,
    /// Hexadecimal BLAKE3 digest of the artifact of that generation.
    pub digest: String,
    /// How it failed, in words.
    pub cause: String,
    /// The call during which it failed; `None` outside of calls.
    pub call: Option<CallId>,
    /// The rest, as far as it is known.
    pub evidence: Evidence,
}

/// The evidence that a copy leaves behind when it fails.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Evidence {
    /// The process that ended, if the copy had one of its own.
    pub process: Option<EndedProcess>,
    /// The functions that were at work, the innermost first, 32 at most. Those of a process are by its own
    /// word. [`Host::backtrace`](crate::Host::backtrace) gives them readable names, files and lines.
    pub backtrace: Vec<StackFrame>,
    /// The end of what it printed to standard output, and to standard error, during the call.
    pub printed: [Vec<u8>; 2],
    /// The file in the quarantine that holds the frame, if it crashed twice of it.
    pub kept: Option<PathBuf>,
    /// True if a mock made the failure up.
    pub is_made_up: bool,
}

/// The process of a plugin that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedProcess {
    /// Its number.
    pub process: u32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The address that it could not use, by its own word.
    pub fault_address: Option<u64>,
}

/// A function that was at work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StackFrame {
    /// The name of the file that it is in; empty if that is not known.
    pub module: String,
    /// Its name, if it is known.
    pub function: Option<String>,
    /// Where in the file, in bytes: in one of WebAssembly from its start, in a library from the address
    /// at which it is opened.
    pub offset: Option<u64>,
    /// The file and the line of its source, if they are known.
    pub place: Option<String>,
}
