//! From an artifact to its copies: a library, a program or an image that was checked, and the layers of
//! the sandbox that it needs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use glovebox_abi::manifest::{EngineName, Limits, Runtime};
use glovebox_events::{LoadStage, Outcome};
use glovebox_sandbox::{Layer, Missing, Promise, SandboxReport};
use glovebox_worker::{Canceller, Worker, Workers};
use tempfile::TempPath;

use super::super::container::{Container, Root, check_as_before};
use super::super::outside::{About, Trial};
use super::super::process::ProcessGrants;
use super::copy::WorkerBackend;
use super::start::{WorkerStarter, start_worker};
use crate::problem::{LoadProblem, StageError};
use crate::services::{Cancel, CopyServices, Meter, ResourceUsage};

/// The things that workers run.
pub(super) enum Artifact {
    /// A library that was checked, and that only they open.
    Library(TempPath),
    /// A program that only they become, and the words before its path.
    Program(TempPath, Vec<String>),
    /// A file system and a command, of which an engine makes containers.
    Container(Container),
}

/// An artifact with all that its workers need.
pub(crate) struct WorkerCode {
    workers: Arc<Workers>,
    pub(super) artifact: Artifact,
    pub(crate) report: Arc<SandboxReport>,
}

impl WorkerCode {
    /// The private copy of the library or program.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.artifact {
            Artifact::Library(file) | Artifact::Program(file, _) => Some(file),
            Artifact::Container(_) => None,
        }
    }

    /// True unless its containers have no limit of memory.
    pub(crate) fn limits_memory(&self) -> bool {
        let is_container = matches!(self.artifact, Artifact::Container(_));
        !is_container || self.report.is_enforced(Layer::Cgroup)
    }

    /// The engine of its containers, if it runs in some.
    pub(crate) fn engine(&self) -> Option<EngineName> {
        match &self.artifact {
            Artifact::Container(container) => Some(container.engine()),
            _ => None,
        }
    }

    /// A fresh copy in a worker of its own, which has not opened the library yet.
    pub(crate) fn instantiate(
        self: &Arc<Self>,
        context: CopyServices,
    ) -> Result<WorkerBackend, Outcome> {
        let started = self.start(&context)?;
        Ok(WorkerBackend::new(self.clone(), started, context))
    }

    /// A worker with the rights that a copy has now.
    fn start(&self, context: &CopyServices) -> Result<Started, Outcome> {
        let refused = |reason| Outcome::Refused { reason };
        let limits = (**context.rights.limits.load()).clone();
        let made_at = context.rights.renewals.load(Ordering::Relaxed);
        let grants = ProcessGrants::of(&context.rights.grants.load()).map_err(refused)?;
        let (workers, plugin) = (&self.workers, &*context.shared.plugin);
        let problem = |problem: LoadProblem| refused(format!("{problem}; {}", problem.remedy()));
        let worker = match &self.artifact {
            Artifact::Container(container) => {
                // Where this is not the start of the plugin, its call was not given the time for one.
                let deadline = Duration::from_millis(context.deadline());
                let started = container.start(workers, plugin, &limits, &grants, deadline, None);
                let (worker, report) = started?;
                check(&report)
                    .and_then(|()| check_as_before(&report, &self.report))
                    .map_err(problem)?;
                worker
            }
            Artifact::Library(library) => {
                start_worker(workers, (library, None), plugin, &limits, grants).map_err(problem)?
            }
            Artifact::Program(program, command) => {
                start_worker(workers, (program, Some(command)), plugin, &limits, grants)
                    .map_err(problem)?
            }
        };
        if !matches!(self.artifact, Artifact::Container(_)) {
            check(worker.report()).map_err(problem)?;
        }
        let (process, canceller, meter) = (worker.process(), worker.canceller(), worker.meter());
        let handle = Arc::new(Handle { process, canceller, meter });
        context.shared.cancellations.tell(&handle);
        context.shared.meters.add(&handle);
        Ok(Started { worker, limits, made_at, handle })
    }
}

/// A worker that has not opened its library yet.
pub(super) struct Started {
    pub(super) worker: Worker,
    pub(super) limits: Limits,
    pub(super) made_at: u64,
    pub(super) handle: Arc<Handle>,
}

/// A worker for those who do not call it.
pub(super) struct Handle {
    process: u32,
    canceller: Canceller,
    meter: glovebox_worker::Meter,
}

impl Cancel for Handle {
    fn cancel(&self) {
        self.canceller.cancel();
    }
}

impl Meter for Handle {
    fn process(&self) -> u32 {
        self.process
    }

    fn usage(&self) -> Option<ResourceUsage> {
        let usage = self.meter.usage()?;
        Some(ResourceUsage {
            processes: 1,
            user: usage.user,
            system: usage.system,
            resident: usage.resident,
            threads: usage.threads,
            minor_faults: usage.minor_faults,
            major_faults: usage.major_faults,
            carried: usage.carried,
        })
    }
}

impl WorkerStarter {
    /// The code of a library, of which this is a private copy. A trial opens it first, and tells which
    /// layers of the sandbox hold on this machine.
    pub(crate) fn code(
        &self,
        library: TempPath,
        about: &About<'_>,
    ) -> Result<WorkerCode, StageError> {
        let workers = self.workers().map_err(no_process)?;
        let report = self.try_library(&Trial { library: &library, about }, check)?;
        Ok(WorkerCode { workers, artifact: Artifact::Library(library), report })
    }

    /// The code of a program, of which this is a private copy. A worker that does not become it tells
    /// which layers of the sandbox hold on this machine.
    pub(crate) fn program(
        &self,
        program: TempPath,
        command: Vec<String>,
        limits: &Limits,
    ) -> Result<WorkerCode, StageError> {
        let workers = self.workers().map_err(no_process)?;
        let nothing = ProcessGrants::default();
        let worker = start_worker(&workers, (&program, Some(&command)), "trial", limits, nothing)
            .map_err(no_process)?;
        let report = Arc::new(worker.report().clone());
        check(&report).map_err(no_process)?;
        Ok(WorkerCode { workers, artifact: Artifact::Program(program, command), report })
    }

    /// The code of what runs in a container. The first container of an engine tells which layers it puts
    /// around them.
    pub(crate) fn container(
        &self,
        root: Root,
        runtime: &Runtime,
        about: &About<'_>,
    ) -> Result<WorkerCode, StageError> {
        let workers = self.workers().map_err(no_process)?;
        let container = self.engines.container(root, runtime, about.load)?;
        let report = container.layers(&workers, about.limits, about.deadline, about.load)?;
        check(&report).map_err(no_process)?;
        Ok(WorkerCode { workers, artifact: Artifact::Container(container), report })
    }
}

/// There is no process that a policy lets a stranger's code run in.
fn no_process(problem: LoadProblem) -> StageError {
    problem.at(LoadStage::Policy)
}

/// Refuses a sandbox without one of the layers that keep machine code from the files and the processes
/// around it. The others make it tighter, and the status says which of them are missing.
fn check(report: &SandboxReport) -> Result<(), LoadProblem> {
    let needed = Promise::ALL.iter().filter(|promise| promise.is_needed);
    let broken = needed.into_iter().find(|it| !it.is_kept(|layer| report.is_enforced(layer)));
    let Some(promise) = broken else { return Ok(()) };
    let is_missing = |layer: &&Layer| report.missing().any(|(missing, _)| missing == **layer);
    let layer = promise.kept_by.iter().find(is_missing).or(promise.kept_by.first());
    let Some(layer) = layer.copied() else { return Ok(()) };
    let missing = report.missing().find(|(missing, _)| *missing == layer);
    let missing = missing.map(|(_, missing)| missing.clone());
    let Missing { reason, remedy } =
        missing.unwrap_or_else(|| Missing::new("it was not asked for", "report this"));
    Err(LoadProblem::NoWorker {
        reason: format!("its sandbox lacks the layer `{layer}`: {reason}"),
        remedy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_without_a_needed_layer_is_refused() {
        #[track_caller]
        fn check_without(lacking: &[Layer], expected: Option<&str>) {
            let mut report = SandboxReport::default();
            for layer in Layer::ALL {
                report.add(layer, true, || match lacking.contains(&layer) {
                    true => Err(Missing::new("an old kernel", "a new one")),
                    false => Ok(()),
                });
            }
            let refused = check(&report).err();
            let refused = refused.map(|problem| format!("{problem}; {}", problem.remedy()));
            assert_eq!(refused.as_deref(), expected, "without {lacking:?}");
        }
        check_without(&[], None);
        check_without(&[Layer::Cgroup, Layer::Ports, Layer::Scopes, Layer::UserNamespace], None);
        check_without(&[Layer::Files], None);
        check_without(&[Layer::MountNamespace], None);
        let refusal = |layer: &str| {
            format!(
                "there is no sandboxed process for it: its sandbox lacks the layer `{layer}`: an old \
                 kernel; a new one"
            )
        };
        check_without(&[Layer::MountNamespace, Layer::Files], Some(&refusal("files")));
        check_without(&[Layer::NoNewPrivileges], Some(&refusal("no-new-privileges")));
        check_without(&[Layer::SystemCalls], Some(&refusal("system-calls")));
    }
}
