//! Starts workers: a thread for all of a host, and a process in its sandbox for each.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::manifest::Limits;
use glovebox_sandbox::{Access, Folder};
use glovebox_worker::{Spec, Worker, Workers};
use parking_lot::Mutex;
use tempfile::TempPath;

use super::super::container::Engines;
use super::super::process::{AROUND, ProcessGrants, bounds_of};
#[cfg(test)]
use super::Fault;
use super::refuse_a_program_that_does_not_ask;
use super::trial::Tried;
use crate::problem::{LoadProblem, shorten};

/// How much longer than its deadline a call may take before its worker is killed: time for a plugin that
/// was told to end, and for the way back.
pub(super) const GRACE: Duration = Duration::from_millis(100);

/// Bytes of addresses of a worker beside its memory: programs and libraries are mapped whole.
pub(super) const ADDRESSES: u64 = 4 << 30;

/// Starts workers: by one thread, once the first is wanted.
#[derive(Default)]
pub(crate) struct WorkerStarter {
    workers: Mutex<Option<Arc<Workers>>>,
    /// The libraries that were opened in a worker.
    pub(super) tried: Tried,
    /// Where containers come from.
    pub(crate) engines: Engines,
    /// The fault that its compilers have.
    #[cfg(test)]
    pub(crate) fault: Mutex<Option<Fault>>,
}

impl WorkerStarter {
    /// Starts a worker.
    pub(super) fn spawn(&self, spec: Spec) -> Result<Worker, LoadProblem> {
        self.workers()?.spawn(spec).map_err(|error| no_worker(&error))
    }

    /// The thread that starts workers.
    pub(super) fn workers(&self) -> Result<Arc<Workers>, LoadProblem> {
        refuse_a_program_that_does_not_ask()?;
        let mut workers = self.workers.lock();
        if let Some(workers) = &*workers {
            return Ok(workers.clone());
        }
        let started = Arc::new(Workers::start().map_err(|error| no_worker(&error))?);
        *workers = Some(started.clone());
        Ok(started)
    }
}

/// Starts a worker with a library that it can open, or a program with its command, which it can become.
pub(super) fn start_worker(
    workers: &Workers,
    (artifact, command): (&TempPath, Option<&[String]>),
    name: &str,
    limits: &Limits,
    grants: ProcessGrants,
) -> Result<Worker, LoadProblem> {
    let file = File::open(artifact)?;
    let mut spec = Spec::new(name);
    grants.give_to(&mut spec);
    let memory = limits.memory.saturating_add(AROUND);
    spec.profile.limits.memory = Some(memory);
    spec.profile.limits.file_size = Some(limits.file_bytes);
    spec.profile.limits.address_space = Some(memory.saturating_add(ADDRESSES));
    let access = match command {
        None => {
            spec.profile.reach.libraries = true;
            Access::Read
        }
        Some(command) => {
            spec.profile.reach.programs = true;
            let path = artifact.to_str().ok_or_else(|| LoadProblem::NoWorker {
                reason: "the folder for private copies has a path that is no text".to_owned(),
                remedy: "set TMPDIR to a folder whose path is UTF-8".to_owned(),
            })?;
            spec.program = Some(command.iter().cloned().chain([path.to_owned()]).collect());
            Access::Run
        }
    };
    let folder = Folder { descriptor: file.as_raw_fd(), access };
    spec.profile.reach.folders.push(folder);
    spec.pass.push(file.into());
    spec.bounds = bounds_of(limits);
    workers.spawn(spec).map_err(|error| no_worker(&error))
}

pub(super) fn no_worker(error: &dyn std::error::Error) -> LoadProblem {
    let mut reason = error.to_string();
    if let Some(source) = error.source() {
        reason = format!("{reason}: {source}");
    }
    let system = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let remedy = system.and_then(remedy_for);
    let remedy =
        remedy.unwrap_or("see the reason; a plugin that you trust can run in this process");
    LoadProblem::NoWorker { reason: shorten(&reason), remedy: remedy.to_owned() }
}

/// The remedy for what keeps a process from being started, where it is known.
pub(super) fn remedy_for(error: &std::io::Error) -> Option<&'static str> {
    let is_full = error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error());
    if is_full {
        return Some(
            "let this process open more files (`ulimit -n`); 64 are enough for a few plugins",
        );
    }
    (!std::path::Path::new("/proc/self").exists()).then_some("mount /proc")
}
