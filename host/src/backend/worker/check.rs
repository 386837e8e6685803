//! Which promises of workers hold on this machine, tried.

use std::fs::File;

use glovebox_abi::manifest::Limits;
use glovebox_sandbox::{LayerCheck, Missing, SandboxReport};
use glovebox_worker::LayerCheckError;

use super::super::container::examine;
use super::super::process::ProcessGrants;
use super::refuse_a_program_that_does_not_ask;
use super::start::{WorkerStarter, no_worker, remedy_for, start_worker};
use crate::problem::LoadProblem;

/// Tries each layer of the sandbox, and says why that was not possible.
pub(crate) fn layers() -> Result<Vec<LayerCheck>, Missing> {
    refuse_a_program_that_does_not_ask().map_err(missing)?;
    glovebox_worker::check_layers().map_err(|error| {
        let mut reason = error.to_string();
        let mut remedy = None;
        if let LayerCheckError::System { source, .. } = &error {
            reason = format!("{reason}: {source}");
            remedy = remedy_for(source);
        }
        Missing::new(reason, remedy.unwrap_or("let this user start processes of its own"))
    })
}

/// The engines of containers, and what each says about itself.
pub(crate) fn engines() -> Vec<(&'static str, Result<String, Missing>)> {
    examine(WorkerStarter::default().workers().map_err(missing))
}

/// Handles that a host has open while it loads a plugin, beside those of the worker: of the library, of
/// stored values, of folders that are watched, of a trace, and of the process that opens the library
/// first.
const OF_A_HOST: usize = 16;

/// Starts a worker as for a native plugin, with a library that it does not open, and ends it again;
/// what it said about its sandbox.
pub(crate) fn start() -> Result<SandboxReport, Missing> {
    let prepare = || -> std::io::Result<_> {
        let library = tempfile::NamedTempFile::new()?.into_temp_path();
        let held: Result<Vec<File>, _> = (0..OF_A_HOST).map(|_| File::open(&library)).collect();
        Ok((library, held?))
    };
    let (library, held) =
        prepare().map_err(|error| missing(no_worker(&Unprepared { source: error })))?;
    let workers = WorkerStarter::default().workers().map_err(missing)?;
    let limits = Limits::default();
    let worker =
        start_worker(&workers, (&library, None), "check", &limits, ProcessGrants::default());
    let report = worker.map_err(missing)?.report().clone();
    drop(held);
    Ok(report)
}

/// There is not even what a host needs beside a worker.
#[derive(Debug, thiserror::Error)]
#[error("cannot open as many files as a host with one plugin needs")]
struct Unprepared {
    source: std::io::Error,
}

fn missing(problem: LoadProblem) -> Missing {
    match problem {
        LoadProblem::NoWorker { reason, remedy } => Missing::new(reason, remedy),
        problem => Missing::new(problem.to_string(), problem.remedy()),
    }
}
