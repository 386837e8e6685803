//! The first opening of a library: in a throw-away worker, so that one whose constructors crash, end the
//! process or never return does so there.
//!
//! Each library is tried once by its digest, for as long as the host lives. A trial says that the
//! library can be opened, not that its code does no harm.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use glovebox_abi::wire::{Load, RemoteServices};
use glovebox_abi::{Failure, Plugin, ServiceError, Services};
use glovebox_sandbox::SandboxReport;
use glovebox_worker::{CallError, LoadError, LoadFailure};
use parking_lot::Mutex;

use super::super::native::NativeCode;
use super::super::outside::{Trial, Untried};
use super::super::process::ProcessGrants;
use super::compiler::Done;
use super::start::{GRACE, WorkerStarter, start_worker};
use crate::problem::{LoadProblem, shorten};

/// The binding in the message that has a library tried.
pub(super) const BINDING: &str = "native-trial";

/// The stages of a failure in the worker: the loader does not open the library, or what it gives is no
/// table.
const OPEN: &str = "open";
const TABLE: &str = "table";

/// So many libraries are known at once.
const MOST: usize = 1024;

/// The libraries that were opened in a worker, by their digests, with the sandbox that they were in.
#[derive(Default)]
pub(super) struct Tried(Mutex<HashMap<String, Arc<SandboxReport>>>);

impl WorkerStarter {
    /// Opens a library in a throw-away worker, unless that was done before. `check` refuses a sandbox
    /// that is not good enough, before the library is opened.
    pub(crate) fn try_library(
        &self,
        trial: &Trial<'_>,
        check: impl Fn(&SandboxReport) -> Result<(), LoadProblem>,
    ) -> Result<Arc<SandboxReport>, Untried> {
        let about = trial.about;
        let known = self.tried.0.lock().get(about.digest).cloned();
        let is_good = |report: &Arc<SandboxReport>| check(report).map_err(Untried::NoProcess);
        if let Some(report) = known {
            return is_good(&report).map(|()| report);
        }
        let workers = self.workers().map_err(Untried::NoProcess)?;
        let mut worker = start_worker(
            &workers,
            (trial.library, None),
            "trial",
            about.limits,
            ProcessGrants::default(),
        )
        .map_err(Untried::NoProcess)?;
        let report = Arc::new(worker.report().clone());
        is_good(&report)?;
        if about.is_skipped {
            return Ok(report);
        }
        let load = Load {
            binding: BINDING.to_owned(),
            descriptor: None,
            path: trial.library.to_str().map(str::to_owned),
            digest: Vec::new().into(),
            config: "{}".to_owned(),
            limits: Vec::new(),
        };
        let mut nobody = RemoteServices::new(|_| Err(ServiceError::Unavailable));
        let deadline = about.deadline.saturating_add(GRACE);
        let killer = worker.canceller();
        let _ending = about.load.ended_by(move || killer.kill());
        worker
            .load(load, &mut nobody as &mut dyn Services, deadline)
            .map_err(|error| untried(error, about.deadline))?;
        let mut tried = self.tried.0.lock();
        if tried.len() >= MOST {
            tried.clear();
        }
        tried.insert(about.digest.to_owned(), report.clone());
        Ok(report)
    }
}

fn untried(error: LoadError, deadline: Duration) -> Untried {
    match error {
        LoadError::Failed(LoadFailure { stage, failure }) => {
            // The words may be those of the library.
            let (reason, remedy) = failure.message.split_once('\n').unwrap_or_default();
            let (reason, remedy) = (shorten(reason), shorten(remedy));
            let problem = LoadProblem::NotOpened { reason, remedy };
            match stage.as_str() {
                OPEN => Untried::NotOpened(problem),
                _ => Untried::Bad(problem),
            }
        }
        LoadError::Call(CallError::Ended(glovebox_worker::Ended::Deadline { .. })) => {
            let cause = format!(
                "it did not return within {}, which --load-deadline and `load-deadline` under [runtime] \
                 change",
                glovebox_abi::units::show_duration(deadline)
            );
            Untried::Bad(LoadProblem::TrialEnded { cause })
        }
        LoadError::Call(error) => {
            Untried::Bad(LoadProblem::TrialEnded { cause: shorten(&error.to_string()) })
        }
    }
}

/// The side of the worker: opens the library, and does no more with it.
pub(super) fn load(load: &Load) -> Result<Box<dyn Plugin>, LoadFailure> {
    let path = load.path.as_deref().unwrap_or_default();
    NativeCode::open(Path::new(path), &AtomicU64::new(0)).map_err(|problem| {
        let stage = if matches!(problem, LoadProblem::Malformed { .. }) { OPEN } else { TABLE };
        let message = format!("{problem}\n{}", problem.remedy());
        LoadFailure::new(stage, Failure::new(Failure::UNSUPPORTED, message))
    })?;
    Ok(Box::new(Done))
}
