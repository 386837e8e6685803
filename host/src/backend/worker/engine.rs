//! The engine of containers of this machine: podman or docker, asked by its command line.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use glovebox_abi::units::show_duration;
use glovebox_sandbox::{Missing, SandboxReport, has_ended, own_mark};
use parking_lot::Mutex;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::seccomp::Filter;
use crate::problem::{LoadProblem, shorten};

/// The label of all containers that hosts start.
pub(super) const LABEL: &str = "io.glovebox.container";

/// How long an engine may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest answer that is read.
const MAX_ANSWER: u64 = 1 << 20;

/// An engine, and what is known of its containers.
pub(crate) struct Engine {
    pub(super) path: PathBuf,
    pub(super) is_podman: bool,
    /// A tighter filter of system calls than its own, where that is known.
    pub(super) filter: Option<Filter>,
    /// The layers of the first container that this host started.
    pub(super) layers: Mutex<Option<Arc<SandboxReport>>>,
}

impl Engine {
    /// The engine at a path, or the first one that is in `PATH`. Containers of hosts that have ended are
    /// removed.
    pub(super) fn find(named: Option<&Path>) -> Result<Engine, LoadProblem> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => ["podman", "docker"].into_iter().find_map(in_path).ok_or_else(|| {
                LoadProblem::NoContainer {
                    reason: "neither podman nor docker is in PATH".to_owned(),
                    remedy: "install podman (Debian: `apt-get install podman runc`); other plugins need \
                             none"
                        .to_owned(),
                }
            })?,
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_podman = !name.contains("docker");
        let mut engine = Engine { path, is_podman, filter: None, layers: Mutex::new(None) };
        engine.sweep()?;
        engine.filter = engine.tighter_filter();
        Ok(engine)
    }

    /// A filter without the calls that make namespaces, which podman lets through; docker does not.
    fn tighter_filter(&self) -> Option<Filter> {
        if !self.is_podman {
            return None;
        }
        let said = self.ask(&["info", "--format", "{{.Host.Security.SECCOMPProfilePath}}"]);
        let tightened = said
            .and_then(|path| Filter::of(Path::new(path.trim())).map_err(|error| error.to_string()));
        // Its own holds then, and the layer is there all the same.
        tightened
            .inspect_err(|reason| tracing::warn!(reason, "containers have the engine's filter"))
            .ok()
    }

    /// Removes the containers of hosts that have ended.
    fn sweep(&self) -> Result<(), LoadProblem> {
        let filter = format!("label={LABEL}");
        let list = ["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"];
        let names = self.ask(&list).map_err(|reason| LoadProblem::NoContainer {
            reason: format!("{} does not work: {reason}", self.path.display()),
            remedy: format!(
                "see what `{} ps` says; `glovebox doctor` has more",
                self.path.display()
            ),
        })?;
        for name in names.lines().filter(|name| is_left(name)) {
            let words = self.end_of(name);
            let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
            match self.ask(&words) {
                Ok(_) => tracing::warn!(name, "a container of a host that has ended was removed"),
                Err(reason) => tracing::warn!(name, reason, "a container could not be removed"),
            }
        }
        Ok(())
    }

    /// The command that removes a container, whatever it is doing, and that need not be there.
    pub(super) fn end_of(&self, container: &str) -> Vec<String> {
        let mut words = vec![self.path.to_string_lossy().into_owned(), "rm".to_owned()];
        words.push("--force".to_owned());
        if self.is_podman {
            words.extend(["--time=0", "--ignore"].map(str::to_owned));
        }
        words.push(container.to_owned());
        words
    }

    /// Refuses an image that is not here, or is another one than that of the digest.
    pub(super) fn check_image(&self, image: &str) -> Result<(), LoadProblem> {
        let Err(reason) = self.ask(&["image", "inspect", "--format", "{{.Id}}", image]) else {
            return Ok(());
        };
        let (name, expected) = image.rsplit_once('@').unwrap_or((image, ""));
        let filter = format!("reference={name}");
        let list = ["images", "--no-trunc", "--filter", &filter, "--format", "{{.Digest}}"];
        let others = self.ask(&list).unwrap_or_default();
        match others.lines().find(|digest| digest.starts_with("sha256:")) {
            Some(found) => {
                Err(LoadProblem::Digest { found: shorten(found), expected: expected.to_owned() })
            }
            None => Err(LoadProblem::NoContainer {
                reason: format!("the image {image} is not on this machine: {reason}"),
                remedy: format!(
                    "fetch or import it (`{} pull {image}`), or write the digest of one that is here, as \
                     `{0} images --digests` shows it",
                    self.path.display()
                ),
            }),
        }
    }

    /// The process of a container that runs.
    pub(super) fn process_of(&self, container: &str) -> Result<u32, String> {
        let said = self.ask(&["inspect", "--format", "{{.State.Pid}}", container])?;
        match said.trim().parse() {
            Ok(0) | Err(_) => Err(format!("the engine names no process of it: {}", said.trim())),
            Ok(process) => Ok(process),
        }
    }

    /// The standard output of the engine; else the last line of its errors, or why there is none.
    fn ask(&self, words: &[&str]) -> Result<String, String> {
        self.ask_within(PATIENCE, words)
    }

    /// The same of an engine that may take so long until it has ended.
    fn ask_within(&self, patience: Duration, words: &[&str]) -> Result<String, String> {
        let until = Instant::now() + patience;
        let mut command = Command::new(&self.path);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let (out, errors) = (child.stdout.take(), child.stderr.take());
        let (sender, heard) = sync_channel(2);
        let listen = |pipe: Option<Box<dyn Read + Send>>, place: usize| {
            let sender = sender.clone();
            let listen = move || {
                let mut bytes = Vec::new();
                // Words before an error count.
                let _ = pipe.map(|pipe| pipe.take(MAX_ANSWER).read_to_end(&mut bytes));
                // Nobody listens any more to one that took too long.
                let _ = sender.send((place, String::from_utf8_lossy(&bytes).into_owned()));
            };
            std::thread::Builder::new().name("glovebox-engine".to_owned()).spawn(listen)
        };
        let threads = [
            listen(out.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>), 0),
            listen(errors.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>), 1),
        ];
        let mut said = [String::new(), String::new()];
        let mut is_late = threads.iter().any(Result::is_err);
        for _ in 0..2 {
            match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((place, text)) => said[place] = text,
                Err(_) => is_late = true,
            }
        }
        // An engine that closed both need not have ended.
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        let (sender, ended) = sync_channel(1);
        let wait = move || {
            // Nobody listens any more to one that took too long.
            let _ = sender.send(child.wait());
        };
        let thread = std::thread::Builder::new().name("glovebox-engine".to_owned()).spawn(wait);
        is_late |= thread.is_err();
        let left =
            if is_late { Duration::ZERO } else { until.saturating_duration_since(Instant::now()) };
        let Ok(status) = ended.recv_timeout(left) else {
            // The thread waits for it then.
            let _ = handle.map(|handle| pidfd_send_signal(handle, Signal::KILL));
            return Err(format!("it took longer than {}", show_duration(patience)));
        };
        let status = status.map_err(|error| error.to_string())?;
        let [out, errors] = said;
        match status.success() {
            true => Ok(out),
            false => Err(last_line(&errors).unwrap_or_else(|| status.to_string())),
        }
    }
}

/// The engines that this machine has, and what each says about itself: its version, whose it is, and whether
/// it limits what containers use.
pub(crate) fn examine() -> Vec<(&'static str, Result<String, Missing>)> {
    let podman = "{{.Version.Version}} {{.Host.OCIRuntime.Name}} {{.Host.CgroupsVersion}} \
                  {{.Host.Security.Rootless}}";
    let docker = "{{.ServerVersion}} {{.DefaultRuntime}} v{{.CgroupVersion}} false";
    let asked = [("podman", podman), ("docker", docker)].map(|(name, format)| {
        let Some(path) = in_path(name) else {
            let remedy = format!("install {name}, if plugins in images are wanted");
            return (name, Err(Missing::new(format!("{name} is not in PATH"), remedy)));
        };
        let engine =
            Engine { path, is_podman: name == "podman", filter: None, layers: Mutex::new(None) };
        let said = engine.ask(&["info", "--format", format]);
        let found = said.map_err(|reason| {
            let remedy = format!("see what `{name} info` says");
            Missing::new(format!("`{name} info` failed: {reason}"), remedy)
        });
        (name, found.and_then(|said| facts(&said)))
    });
    asked.into()
}

/// The facts in the answer of an engine, in words.
fn facts(said: &str) -> Result<String, Missing> {
    let [version, runtime, cgroups, rootless] = said.split_whitespace().collect::<Vec<_>>()[..]
    else {
        let reason = format!("its answer is not known: {}", shorten(said.trim()));
        return Err(Missing::new(reason, "use a newer version of it"));
    };
    let whose = if rootless == "true" { "of this user" } else { "of root" };
    let found = format!("version {version} {whose}, with {runtime} and cgroups {cgroups}");
    match (rootless, cgroups) {
        ("true", "v1") => Err(Missing::new(
            format!("{found}: containers have no limits of memory and processes"),
            "boot with cgroups version 2 (`systemd.unified_cgroup_hierarchy=1`)",
        )),
        _ => Ok(found),
    }
}

/// The last line that says something, shortened.
pub(super) fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?.trim();
    Some(shorten(line.strip_prefix("Error: ").unwrap_or(line)))
}

/// A program in one of the folders of `PATH`.
fn in_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// How the names of containers begin: then the mark of their host, and a number.
const PREFIX: &str = "glovebox-";

/// A name that no other container has: it tells which process of which boot of the machine is its host.
pub(super) fn new_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{}-{number}", own_mark())
}

/// True of a container whose host has ended.
fn is_left(name: &str) -> bool {
    let mark = name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('-'));
    mark.is_some_and(|(mark, _)| has_ended(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_of_hosts_that_have_ended_are_known() {
        #[track_caller]
        fn check(name: &str, expected: bool) {
            assert_eq!(is_left(name), expected, "{name}");
        }
        let own = new_name();
        check(&own, false);
        let parts: Vec<&str> = own.split('-').collect();
        let [_, boot, space, process, started, _] = parts[..] else { panic!("{own}") };
        check(&format!("glovebox-{boot}-{space}-{process}-1-0"), true);
        check(&format!("glovebox-{boot}-{space}-4194305-{started}-0"), true);
        check(&format!("glovebox-0000-{space}-{process}-{started}-0"), true);
        check(&format!("glovebox-{boot}-1-{process}-1-0"), false);
        check("glovebox-0000-1-1", false);
        check("glovebox-mine", false);
        check("somebody-0-0-0-0", false);
    }

    #[test]
    fn the_answer_of_an_engine_is_read() {
        #[track_caller]
        fn check(said: &str, expected: Result<&str, &str>) {
            let found = facts(said).map_err(|missing| missing.reason);
            assert_eq!(found.as_deref().map_err(String::as_str), expected);
        }
        let good = "version 4.3.1 of root, with runc and cgroups v1";
        check("4.3.1 runc v1 false\n", Ok(good));
        check("5.0 crun v2 true", Ok("version 5.0 of this user, with crun and cgroups v2"));
        let without = "version 5.0 of this user, with crun and cgroups v1: containers have no limits of \
                       memory and processes";
        check("5.0 crun v1 true", Err(without));
        check("so what", Err("its answer is not known: so what"));
    }

    #[test]
    fn an_engine_that_does_not_answer_is_given_up() {
        #[track_caller]
        fn check(script: &str, patience: Duration, expected: Result<&str, &str>) {
            let folder = tempfile::tempdir().unwrap();
            let script_file = folder.path().join("script");
            std::fs::write(&script_file, script).unwrap();
            let path = PathBuf::from("/bin/sh");
            let engine = Engine { path, is_podman: true, filter: None, layers: Mutex::new(None) };
            let found = engine.ask_within(patience, &[script_file.to_str().unwrap()]);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{script}");
        }
        let (long, short) = (Duration::from_secs(600), Duration::from_millis(50));
        check("echo well", long, Ok("well\n"));
        check("echo Error: ill >&2; exit 3", long, Err("ill"));
        check("exec sleep 1000", short, Err("it took longer than 50 ms"));
        // It has closed its streams, and goes on.
        check("exec sleep 1000 >&- 2>&-", short, Err("it took longer than 50 ms"));
    }

    #[test]
    fn an_engine_that_is_not_there_is_said() {
        let problem = Engine::find(Some(Path::new("/no/such/podman"))).err().unwrap();
        assert!(problem.to_string().contains("/no/such/podman does not work"), "{problem}");
    }
}
