//! The two jobs that are done in throw-away processes, so that this one gets only code that they were
//! done with: compiling WebAssembly, and opening a library for the first time.
//!
//! [`WorkerStarter`] does both, where there are workers.

use std::time::Duration;

use glovebox_abi::manifest::Limits;
use glovebox_events::LoadStage;
#[cfg(not(target_os = "linux"))]
use glovebox_sandbox::{Missing, SandboxReport};
use tempfile::TempPath;

use super::wasm::Setting;
use crate::problem::{LoadProblem, StageError};
use crate::underway::Underway;

#[cfg(target_os = "linux")]
pub(crate) use super::worker::WorkerStarter;

/// One artifact for the compiler.
pub(crate) struct Job<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) setting: Setting,
    /// Bytes of memory that the compiler may use.
    pub(crate) memory: u64,
    /// True if nobody waits for it, so that it leaves the other cores alone.
    pub(crate) in_background: bool,
    /// How long its process may take at most, if nobody ends it before.
    pub(crate) deadline: Duration,
}

/// Why there is no code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Uncompiled {
    /// There is no such process here, and why.
    NoProcess(String),
    /// The compiler refuses the artifact, and says why.
    Refused(String),
    /// The compiler panicked.
    Panicked(String),
    /// The memory was used up.
    OutOfMemory,
    /// The process was killed, because it took too long or somebody gave it up.
    Killed,
    /// The process ended otherwise, or its answer is no code.
    Crashed(String),
}

/// A compiler at work in its process, for those who give it up or look at it.
pub(crate) struct Process {
    /// Ends it.
    pub(crate) kill: Box<dyn Fn() + Send>,
    /// Bytes of memory that it holds now.
    pub(crate) memory: Box<dyn Fn() -> Option<u64> + Send>,
}

/// A library to try.
pub(crate) struct Trial<'a> {
    /// A private copy of it.
    pub(crate) library: &'a TempPath,
    pub(crate) about: &'a About<'a>,
}

/// How a library is tried.
pub(crate) struct About<'a> {
    /// The digest of its bytes.
    pub(crate) digest: &'a str,
    /// The limits of the process.
    pub(crate) limits: &'a Limits,
    /// How long opening it may take.
    pub(crate) deadline: Duration,
    /// The load that it is for.
    pub(crate) load: &'a Underway,
    /// True if the process only enters its sandbox, and opens nothing.
    pub(crate) is_skipped: bool,
}

/// Why a library was not opened in a process of its own.
#[derive(Debug)]
pub(crate) enum Untried {
    /// There is no process here that is good enough.
    NoProcess(LoadProblem),
    /// The loader did not open it there, and says why. It may lack what the sandbox does not have.
    NotOpened(LoadProblem),
    /// Opening it ended the process, or what it gives is no table.
    Bad(LoadProblem),
}

impl From<Untried> for StageError {
    fn from(untried: Untried) -> StageError {
        match untried {
            Untried::NoProcess(problem) => problem.at(LoadStage::Policy),
            Untried::NotOpened(problem) | Untried::Bad(problem) => problem.at(LoadStage::Link),
        }
    }
}

/// No workers, which are of Linux alone.
#[cfg(not(target_os = "linux"))]
#[derive(Default)]
pub(crate) struct WorkerStarter;

#[cfg(not(target_os = "linux"))]
impl WorkerStarter {
    const REASON: &'static str = "only Linux has sandboxed processes yet";

    pub(crate) fn compile<P: super::wasm::Program>(
        &self,
        _: &Job<'_>,
        _: impl FnOnce(Process),
    ) -> Result<Vec<u8>, Uncompiled> {
        Err(Uncompiled::NoProcess(Self::REASON.to_owned()))
    }

    pub(crate) fn compiles_outside(&self) -> Result<SandboxReport, Missing> {
        Err(Missing::new(Self::REASON, "use Linux"))
    }

    pub(crate) fn try_library(
        &self,
        _: &Trial<'_>,
        _: impl Fn(&SandboxReport) -> Result<(), LoadProblem>,
    ) -> Result<std::sync::Arc<SandboxReport>, Untried> {
        let (reason, remedy) = (Self::REASON.to_owned(), "use Linux".to_owned());
        Err(Untried::NoProcess(LoadProblem::NoWorker { reason, remedy }))
    }
}
