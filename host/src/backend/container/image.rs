//! An image or a root folder, and the containers that podman or docker makes of it.
//!
//! A container has no network, no place to write to but its folders, no capabilities and no new
//! privileges, a filter of system calls, and limits of memory, processes, files and processor time. The
//! engine is told so, and the process is looked at from outside before it gets a frame: a layer that is
//! missing is known.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use glovebox_abi::manifest::Limits;
use glovebox_sandbox::{Access, SandboxReport};
use glovebox_worker::{CallError, ClientSpec, Ended, Spec, Worker, Workers};

use super::super::process::{Place, ProcessGrants, bounds_of};
use super::engine::{Engine, LABEL, last_line, new_name};
use super::layers::{Amounts, look};
use super::root::RootFolder;
use crate::problem::{StageError, shorten};
use crate::underway::Underway;

/// The user in a container that was granted no folder: nobody.
const NOBODY: &str = "65534:65534";

/// An image or a root folder that is there, and the command in it.
pub(crate) struct Image {
    engine: Arc<Engine>,
    contents: Contents,
    /// Empty if the image has one of its own.
    command: Vec<String>,
}

/// The things that an engine makes a container of.
pub(super) enum Contents {
    /// An image, by its name and digest.
    Image(String),
    Folder(RootFolder),
}

impl Image {
    /// Refuses an image that is not on this machine.
    pub(super) fn find(
        engine: Arc<Engine>,
        contents: Contents,
        command: Vec<String>,
        load: &Underway,
    ) -> Result<Image, StageError> {
        if let Contents::Image(reference) = &contents {
            engine.check_image(reference, load)?;
        }
        Ok(Image { engine, contents, command })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Starts a container, and waits until the plugin in it says hello and its layers are known.
    pub(super) fn meet(
        &self,
        workers: &Workers,
        plugin: &str,
        limits: &Limits,
        grants: &ProcessGrants,
        until: Instant,
        load: Option<&Underway>,
    ) -> Result<(Worker, SandboxReport), Stopped> {
        let name = new_name();
        let amounts = Amounts::of(limits);
        let command = self.arguments(&name, plugin, amounts, grants).map_err(Stopped::Refused)?;
        let spec = ClientSpec {
            command,
            environment: grants.environment.clone(),
            end: self.engine.end_of(&name),
            bounds: bounds_of(limits),
            output_bytes: Spec::new("").output_bytes,
        };
        let worker = workers.spawn_client(spec);
        let mut worker = worker.map_err(|error| Stopped::Refused(error.to_string()))?;
        let killer = worker.canceller();
        let _ending = load.map(|load| load.ended_by(move || killer.kill()));
        let left = until.saturating_duration_since(Instant::now());
        worker.greet(left).map_err(|error| stopped(error, &worker))?;
        let process = self.engine.process_of(&name, load).map_err(|reason| {
            Stopped::Refused(format!("its container cannot be looked at: {reason}"))
        })?;
        worker.set_program(process);
        let report = look(process, amounts, &grants.writable());
        let root = format!("/proc/{process}/root");
        in_its_place(Path::new(&root), grants).map_err(Stopped::Refused)?;
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
        if self.engine.is_podman() {
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
                if self.engine.is_podman() {
                    add(&["--userns=keep-id"]);
                }
                add(&["--user", &own]);
            }
        }
        for Place { path, access, .. } in grants.outermost() {
            if let Contents::Folder(root) = &self.contents {
                root.make(path)?;
            }
            let text = text_of(path)?;
            if text.contains([',', '"', '\n']) {
                return Err(not_given(path));
            }
            let writes = if access == Access::ReadWrite { "" } else { ",readonly" };
            add(&[&format!("--mount=type=bind,source={text},target={text}{writes}")]);
        }
        for (variable, _) in &grants.environment {
            // Its value comes from the environment of the client, where others do not see it.
            add(&["--env", variable]);
        }
        match &self.contents {
            Contents::Image(reference) => add(&[reference]),
            Contents::Folder(root) => add(&["--rootfs", text_of(root.path())?]),
        }
        words.extend(self.command.iter().cloned());
        Ok(words)
    }
}

/// The path of a folder as a word of a command.
pub(super) fn text_of(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| not_given(path))
}

fn not_given(path: &Path) -> String {
    format!("a folder with this path cannot be given to a container: {}", path.display())
}

/// Refuses other folders in the places of those that were granted: they were opened by their paths.
pub(super) fn in_its_place(root: &Path, grants: &ProcessGrants) -> Result<(), String> {
    grants.places().try_for_each(|place| is_the_folder(root, &place))
}

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
pub(super) enum Stopped {
    Refused(String),
    Late,
    OutOfMemory,
    Crashed(String),
}

impl Stopped {
    /// It in words.
    pub(super) fn reason(&self) -> String {
        match self {
            Stopped::Refused(reason) | Stopped::Crashed(reason) => reason.clone(),
            Stopped::Late => "it did not start in time".to_owned(),
            Stopped::OutOfMemory => "it used up its memory".to_owned(),
        }
    }
}

pub(super) fn stopped(error: CallError, worker: &Worker) -> Stopped {
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
        (Ended::Exited { code: 125..=127 }, Some(said)) => not_started(&said),
        // Bubblewrap has none.
        (Ended::Exited { code: 1 }, Some(said)) if said.starts_with("bwrap: ") => {
            not_started(&said)
        }
        (ended, Some(said)) => Stopped::Crashed(format!("{ended}; it said: {said}")),
        (ended, None) => Stopped::Crashed(ended.to_string()),
    }
}

pub(super) fn not_started(reason: &str) -> Stopped {
    Stopped::Refused(format!("its container did not start: {reason}"))
}
