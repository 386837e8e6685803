//! An image, and the containers that are made of it.
//!
//! A container has no network, no place to write to but its folders, no capabilities and no new
//! privileges, a filter of system calls, and limits of memory, processes, files and processor time. The
//! engine is told so, and the process is looked at from outside before it gets a frame: a layer that is
//! missing is known.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::manifest::{LimitKind, Limits};
use glovebox_events::{LoadStage, Outcome};
use glovebox_sandbox::{Access, SandboxReport};
use glovebox_worker::{CallError, ClientSpec, Ended, Spec, Worker, Workers};

use super::super::process::{AROUND, Place, ProcessGrants, bounds_of};
use super::engine::{Engine, LABEL, last_line, new_name};
use super::layers::{Amounts, look};
use crate::problem::{LoadProblem, StageError, shorten};
use crate::underway::Underway;

/// Processes and threads of a container.
const PROCESSES: u64 = 64;

/// Files that each of its processes may have open.
const FILES: u64 = 64;

/// The user in a container that was granted no folder: nobody.
const NOBODY: &str = "65534:65534";

/// How long a container may take to start, at least: an engine takes half a second on an idle machine.
const START: Duration = Duration::from_secs(10);

/// An image that is there, and the command in it.
pub(crate) struct Image {
    engine: Arc<Engine>,
    /// Its name, with the digest.
    reference: String,
    /// Empty if the image has one of its own.
    command: Vec<String>,
}

impl Image {
    /// Refuses an image that is not on this machine.
    pub(crate) fn find(
        engine: Arc<Engine>,
        reference: &str,
        command: Vec<String>,
        load: &Underway,
    ) -> Result<Image, StageError> {
        engine.check_image(reference, load)?;
        Ok(Image { engine, reference: reference.to_owned(), command })
    }

    /// The layers around containers: the first one of a host tells which its engine puts there.
    pub(crate) fn layers(
        &self,
        workers: &Workers,
        limits: &Limits,
        deadline: Duration,
        load: &Underway,
    ) -> Result<Arc<SandboxReport>, StageError> {
        if let Some(report) = &*self.engine.layers.lock() {
            return Ok(report.clone());
        }
        let nothing = ProcessGrants::default();
        let started = self.start(workers, "trial", limits, &nothing, deadline, Some(load));
        let (_, report) = started.map_err(|outcome| match outcome {
            Outcome::Refused { reason } => {
                let remedy = "see the reason; `glovebox doctor` examines the engine".to_owned();
                LoadProblem::NoContainer { reason, remedy }.at(LoadStage::Policy)
            }
            outcome => LoadProblem::Call(outcome).at(LoadStage::Initialize),
        })?;
        let report = Arc::new(report);
        *self.engine.layers.lock() = Some(report.clone());
        Ok(report)
    }

    /// Starts a container, and waits until the plugin in it says hello and its layers are known.
    pub(crate) fn start(
        &self,
        workers: &Workers,
        plugin: &str,
        limits: &Limits,
        grants: &ProcessGrants,
        deadline: Duration,
        load: Option<&Underway>,
    ) -> Result<(Worker, SandboxReport), Outcome> {
        let refused = |reason: String| Outcome::Refused { reason };
        let deadline = deadline.max(START);
        let until = Instant::now() + deadline;
        let name = new_name();
        let amounts = Amounts {
            memory: limits.memory.saturating_add(AROUND),
            processes: PROCESSES,
            files: FILES,
            file_bytes: limits.file_bytes,
        };
        let spec = ClientSpec {
            command: self.arguments(&name, plugin, amounts, grants).map_err(refused)?,
            environment: grants.environment.clone(),
            end: self.engine.end_of(&name),
            bounds: bounds_of(limits),
            output_bytes: Spec::new("").output_bytes,
        };
        let worker = workers.spawn_client(spec).map_err(|error| refused(error.to_string()))?;
        let killer = worker.canceller();
        let _ending = load.map(|load| load.ended_by(move || killer.kill()));
        self.meet(worker, &name, amounts, grants, until, load).map_err(|stopped| match stopped {
            Stopped::Refused(reason) => refused(reason),
            Stopped::Late => Outcome::TimedOut { deadline, made_up: false },
            Stopped::OutOfMemory => {
                let allowed = limits.memory;
                let asked = allowed.saturating_add(1);
                Outcome::LimitExceeded { limit: LimitKind::Memory, asked, allowed, made_up: false }
            }
            Stopped::Crashed(cause) => Outcome::Crashed { cause, made_up: false },
        })
    }

    fn meet(
        &self,
        mut worker: Worker,
        name: &str,
        amounts: Amounts,
        grants: &ProcessGrants,
        until: Instant,
        load: Option<&Underway>,
    ) -> Result<(Worker, SandboxReport), Stopped> {
        let left = until.saturating_duration_since(Instant::now());
        worker.greet(left).map_err(|error| stopped(error, &worker))?;
        let process = self.engine.process_of(name, load).map_err(|reason| {
            Stopped::Refused(format!("its container cannot be looked at: {reason}"))
        })?;
        worker.set_program(process);
        let report = look(process, amounts, &grants.writable());
        let root = format!("/proc/{process}/root");
        grants
            .places()
            .try_for_each(|place| is_the_folder(Path::new(&root), &place))
            .map_err(Stopped::Refused)?;
        Ok((worker, report))
    }

    /// The command of the client.
    fn arguments(
        &self,
        name: &str,
        plugin: &str,
        amounts: Amounts,
        grants: &ProcessGrants,
    ) -> Result<Vec<String>, String> {
        let Amounts { memory, processes, files, file_bytes } = amounts;
        let mut words = vec![self.engine.path.to_string_lossy().into_owned()];
        let mut add = |all: &[&str]| words.extend(all.iter().map(|word| (*word).to_owned()));
        add(&["run", "--rm", "--interactive", "--pull=never", "--log-driver=none"]);
        add(&["--network=none", "--ipc=none", "--read-only", "--cap-drop=all"]);
        add(&["--security-opt=no-new-privileges", "--cpus=1", "--ulimit=core=0:0"]);
        add(&[&format!("--name={name}"), &format!("--label={LABEL}={plugin}")]);
        add(&[&format!("--memory={memory}"), &format!("--memory-swap={memory}")]);
        add(&[&format!("--ulimit=fsize={file_bytes}:{file_bytes}")]);
        add(&[&format!("--pids-limit={processes}"), &format!("--ulimit=nofile={files}:{files}")]);
        // The kernel counts all processes of a user, in whatever container.
        add(&["--ulimit=nproc=1024:1024"]);
        // With the devices that each container has; nothing can be put beside them.
        add(&["--tmpfs=/dev:ro,nosuid,noexec,mode=755,size=64k"]);
        if self.engine.is_podman {
            add(&["--read-only-tmpfs=false", "--no-hosts", "--http-proxy=false"]);
            // Volumes are disks that no limit counts, and that a container leaves behind.
            add(&["--image-volume=ignore", "--security-opt=mask=/sys/fs/cgroup"]);
        }
        add(&[&format!("--security-opt=seccomp={}", self.engine.filter.path())]);
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let own = format!("{}:{}", user.as_raw(), group.as_raw());
        match (user.is_root(), grants.is_empty()) {
            (true, true) => add(&["--user", NOBODY]),
            // Folders belong to somebody.
            (true, false) => add(&["--user", &own]),
            (false, _) => {
                if self.engine.is_podman {
                    add(&["--userns=keep-id"]);
                }
                add(&["--user", &own]);
            }
        }
        for Place { path, access, .. } in grants.outermost() {
            let text = path.to_str().filter(|text| !text.contains([',', '"', '\n']));
            let text = text.ok_or_else(|| {
                format!(
                    "a folder with this path cannot be given to a container: {}",
                    path.display()
                )
            })?;
            let writes = if access == Access::ReadWrite { "" } else { ",readonly" };
            add(&[&format!("--mount=type=bind,source={text},target={text}{writes}")]);
        }
        for (variable, _) in &grants.environment {
            // Its value comes from the environment of the client, where others do not see it.
            add(&["--env", variable]);
        }
        add(&[&self.reference]);
        words.extend(self.command.iter().cloned());
        Ok(words)
    }
}

/// Refuses another folder in the place of the one that was granted: the engine opened it by its path.
fn is_the_folder(root: &Path, place: &Place<'_>) -> Result<(), String> {
    let path = place.path.strip_prefix("/").unwrap_or(place.path);
    let same = place.handle.metadata().and_then(|granted| {
        let found = fs::metadata(root.join(path))?;
        Ok((granted.dev(), granted.ino()) == (found.dev(), found.ino()))
    });
    match same {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("its container has another folder as {}", place.path.display())),
        Err(error) => Err(format!(
            "the folder of its container cannot be looked at: {error}: {}",
            place.path.display()
        )),
    }
}

/// Why there is no container.
enum Stopped {
    Refused(String),
    Late,
    OutOfMemory,
    Crashed(String),
}

fn stopped(error: CallError, worker: &Worker) -> Stopped {
    let ended = match error {
        CallError::Ended(ended) => ended,
        error => return Stopped::Crashed(shorten(&error.to_string())),
    };
    let printed = worker.take_errors().bytes;
    let said = last_line(&String::from_utf8_lossy(&printed));
    match (ended, said) {
        (Ended::Deadline { .. }, _) => Stopped::Late,
        (Ended::MemoryLimit, _) => Stopped::OutOfMemory,
        // Codes of engines: it did not run the command, or the command cannot be run.
        (Ended::Exited { code: 125..=127 }, Some(said)) => {
            Stopped::Refused(format!("its container did not start: {said}"))
        }
        (ended, Some(said)) => Stopped::Crashed(format!("{ended}; it said: {said}")),
        (ended, None) => Stopped::Crashed(ended.to_string()),
    }
}
