//! The engine of containers of this machine: podman or docker, asked by its command line.

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use glovebox_abi::manifest::EngineName;
use glovebox_abi::units::show_duration;
use glovebox_events::LoadStage;
use glovebox_sandbox::{Missing, SandboxReport, has_ended, own_mark};
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use super::filter::Filter;
use crate::problem::{LoadProblem, StageError, shorten};
use crate::underway::Underway;

/// The label of all containers that hosts start.
pub(super) const LABEL: &str = "io.glovebox.container";

/// How long an engine may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest answer that is read.
const MAX_ANSWER: u64 = 1 << 20;

/// An engine, and what is known of its containers.
pub(crate) struct Engine {
    pub(super) path: PathBuf,
    pub(super) name: EngineName,
    /// The system calls of its containers.
    pub(super) filter: Filter,
    /// The layers of the first container that this host started.
    pub(super) layers: Mutex<Option<Arc<SandboxReport>>>,
}

impl Engine {
    /// The engine at a path. Containers of hosts that have ended are removed. The end of
    /// the load ends the wait for it, here and below.
    pub(super) fn new(
        name: EngineName,
        path: PathBuf,
        load: &Underway,
    ) -> Result<Engine, LoadProblem> {
        let filter = Filter::new().map_err(|error| LoadProblem::NoContainer {
            reason: format!("no filter of system calls can be made: {error}"),
            remedy: "use Linux 3.17 or newer, and let this process open more files (`ulimit -n`)"
                .to_owned(),
        })?;
        let engine = Engine { path, name, filter, layers: Mutex::new(None) };
        engine.sweep(load)?;
        Ok(engine)
    }

    pub(super) fn is_podman(&self) -> bool {
        self.name == EngineName::Podman
    }

    /// Removes the containers of hosts that have ended.
    fn sweep(&self, load: &Underway) -> Result<(), LoadProblem> {
        let filter = format!("label={LABEL}");
        let list = ["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"];
        let names = self.ask(&list, Some(load)).map_err(|reason| LoadProblem::NoContainer {
            reason: format!("{} does not work: {reason}", self.path.display()),
            remedy: format!(
                "see what `{} ps` says; `glovebox doctor` has more",
                self.path.display()
            ),
        })?;
        for name in names.lines().filter(|name| is_left(name)) {
            let words = self.end_of(name);
            let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
            match self.ask(&words, Some(load)) {
                Ok(_) => tracing::warn!(name, "a container of a host that has ended was removed"),
                Err(reason) => tracing::warn!(name, reason, "a container could not be removed"),
            }
        }
        Ok(())
    }

    /// The command that removes a container, whatever it is doing, and that need not be there.
    pub(super) fn end_of(&self, container: &str) -> Vec<String> {
        let mut words = vec![self.path.to_string_lossy().into_owned(), "rm".to_owned()];
        words.extend(["--force", "--volumes"].map(str::to_owned));
        if self.is_podman() {
            words.extend(["--time=0", "--ignore"].map(str::to_owned));
        }
        words.push(container.to_owned());
        words
    }

    /// Refuses an image that is not here, is another one than that of the digest, or has another name: an
    /// engine finds it by its digest, and a person agrees to its name.
    pub(super) fn check_image(&self, image: &str, load: &Underway) -> Result<(), StageError> {
        let (name, expected) = image.rsplit_once('@').unwrap_or((image, ""));
        let names = ["image", "inspect", "--format", "{{json .RepoDigests}}", image];
        let reason = match self.ask(&names, Some(load)) {
            Ok(said) => {
                let named = check_name(name, &known_names(&said));
                return named.map_err(|problem| problem.at(LoadStage::Policy));
            }
            Err(reason) => reason,
        };
        let filter = format!("reference={name}");
        let list = ["images", "--no-trunc", "--filter", &filter, "--format", "{{.Digest}}"];
        let others = self.ask(&list, Some(load)).unwrap_or_default();
        match others.lines().find(|digest| digest.starts_with("sha256:")) {
            Some(found) => {
                let (found, expected) = (shorten(found), expected.to_owned());
                Err(LoadProblem::Digest { found, expected }.at(LoadStage::Signature))
            }
            None => Err(LoadProblem::NoContainer {
                reason: format!("the image {image} is not on this machine: {reason}"),
                remedy: format!(
                    "fetch or import it (`{} pull {image}`), or write the digest of one that is here, as \
                     `{0} images --digests` shows it",
                    self.path.display()
                ),
            }
            .at(LoadStage::Policy)),
        }
    }

    /// The process of a container that runs.
    pub(super) fn process_of(
        &self,
        container: &str,
        load: Option<&Underway>,
    ) -> Result<u32, String> {
        let said = self.ask(&["inspect", "--format", "{{.State.Pid}}", container], load)?;
        match said.trim().parse() {
            Ok(0) | Err(_) => Err(format!("the engine names no process of it: {}", said.trim())),
            Ok(process) => Ok(process),
        }
    }

    fn ask(&self, words: &[&str], load: Option<&Underway>) -> Result<String, String> {
        ask_within(&self.path, PATIENCE, words, load)
    }
}

/// The news of an engine that was asked for something.
enum Heard {
    /// All that it wrote to standard output, 0, or to standard error, 1.
    Said(usize, String),
    Ended,
    /// Its answer is not wanted any more.
    Cancelled,
}

/// The standard output of an engine that may take so long until it has ended; else the last line of its
/// errors, or why there is none. The end of the load ends it.
fn ask_within(
    engine: &Path,
    patience: Duration,
    words: &[&str],
    load: Option<&Underway>,
) -> Result<String, String> {
    let until = Instant::now() + patience;
    let mut command = Command::new(engine);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    let asked = Asked(Arc::new(Mutex::new(child)));
    let handle = handle.map_err(|error| format!("it cannot be waited for: {error}"))?;
    let (sender, heard) = sync_channel(4);
    let cancelled = sender.clone();
    // An error means that it was said already.
    let cancel = move || drop(cancelled.try_send(Heard::Cancelled));
    let _ending = load.map(|load| load.ended_by(cancel));
    let listen = |pipe: Option<Box<dyn Read + Send>>, place: usize| {
        let mut bytes = Vec::new();
        // Words before an error count.
        let _ = pipe.map(|pipe| pipe.take(MAX_ANSWER).read_to_end(&mut bytes));
        Heard::Said(place, String::from_utf8_lossy(&bytes).into_owned())
    };
    let (out, errors) =
        (out.map(|pipe| Box::new(pipe) as _), errors.map(|pipe| Box::new(pipe) as _));
    tell(&sender, move || listen(out, 0))?;
    tell(&sender, move || listen(errors, 1))?;
    // An engine that closed both need not have ended, and what it started may hold both.
    tell(&sender, move || {
        // It is left to be waited for.
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while waitid(WaitId::PidFd(handle.as_fd()), how).is_err_and(|error| error == Errno::INTR) {}
        Heard::Ended
    })?;
    let mut said = [String::new(), String::new()];
    for _ in 0..3 {
        match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Heard::Said(place, text)) => said[place] = text,
            Ok(Heard::Ended) => {}
            Ok(Heard::Cancelled) => return Err("the load was cancelled".to_owned()),
            Err(_) => return Err(format!("it took longer than {}", show_duration(patience))),
        }
    }
    let status = asked.0.lock().wait().map_err(|error| error.to_string())?;
    let [out, errors] = said;
    match status.success() {
        true => Ok(out),
        false => Err(last_line(&errors).unwrap_or_else(|| status.to_string())),
    }
}

/// Tells what a thread hears, once it does.
fn tell(
    sender: &SyncSender<Heard>,
    hear: impl FnOnce() -> Heard + Send + 'static,
) -> Result<(), String> {
    let sender = sender.clone();
    // Nobody listens any more to one that took too long.
    let hear = move || drop(sender.send(hear()));
    let thread = std::thread::Builder::new().name("glovebox-engine".to_owned()).spawn(hear);
    thread.map(drop).map_err(|error| format!("there is no thread that listens to it: {error}"))
}

/// An engine that was asked for something. It ends with this, whatever was heard.
struct Asked(Arc<Mutex<Child>>);

impl Drop for Asked {
    fn drop(&mut self) {
        let mut child = self.0.lock();
        // It was waited for, or has ended by now.
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        // An error means that it has ended.
        let _ = child.kill();
        drop(child);
        let reap = |child: Arc<Mutex<Child>>| drop(child.lock().wait());
        let (thread, child) = (std::thread::Builder::new(), self.0.clone());
        // One that waits for a device ends once that answers: only without a thread, it is waited for here.
        if thread.name("glovebox-engine".to_owned()).spawn(move || reap(child)).is_err() {
            reap(self.0.clone());
        }
    }
}

/// The answer of the engine of this name about itself: its version, whose it is, and whether it limits what
/// containers use.
pub(super) fn examine(name: EngineName, path: &Path) -> Result<String, Missing> {
    let format = match name {
        EngineName::Podman => {
            "{{.Version.Version}} {{.Host.OCIRuntime.Name}} {{.Host.CgroupsVersion}} \
             {{.Host.Security.Rootless}}"
        }
        _ => "{{.ServerVersion}} {{.DefaultRuntime}} v{{.CgroupVersion}} false",
    };
    let said = ask_within(path, PATIENCE, &["info", "--format", format], None);
    let said = said.map_err(|reason| {
        let remedy = format!("see what `{} info` says", name.name());
        Missing::new(format!("`{} info` failed: {reason}", name.name()), remedy)
    })?;
    facts(&said)
}

/// The version of an engine, as it says it.
pub(super) fn version_of(path: &Path) -> Result<String, String> {
    let said = ask_within(path, PATIENCE, &["--version"], None)?;
    Ok(format!("version {}", shorten(said.split_whitespace().last().unwrap_or("unknown"))))
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

/// The names under which an engine knows an image, from the list of them with digests.
fn known_names(said: &str) -> Vec<String> {
    let with_digests: Vec<String> = serde_json::from_str(said).unwrap_or_default();
    let name = |one: String| one.rsplit_once('@').map_or(one.clone(), |(name, _)| name.to_owned());
    with_digests.into_iter().map(name).collect()
}

/// Refuses a name that an image does not have.
fn check_name(name: &str, known: &[String]) -> Result<(), LoadProblem> {
    // A tag stands behind the last colon; a port does if a slash comes after it.
    let name = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    };
    // Engines leave these out, and put them in.
    let full = |name: &str| {
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        name.strip_prefix("library/").unwrap_or(name).to_owned()
    };
    let is_local = |known: &String| known.strip_prefix("localhost/") == Some(name);
    if known.iter().any(|known| full(known) == full(name) || is_local(known)) {
        return Ok(());
    }
    let names = match known {
        [] => "no name".to_owned(),
        names => names.join(", "),
    };
    Err(LoadProblem::NoContainer {
        reason: format!(
            "the image with this digest is not named {name} here, but {}",
            shorten(&names)
        ),
        remedy: "write the name that it has here into `image`, if it is the one that you mean"
            .to_owned(),
    })
}

/// The last line that says something, shortened.
pub(super) fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?.trim();
    Some(shorten(line.strip_prefix("Error: ").unwrap_or(line)))
}

/// A program in one of the folders of `PATH`.
pub(super) fn in_path(name: &str) -> Option<PathBuf> {
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
    use crate::problem::Origin;
    use crate::underway::Loads;

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
    fn an_image_has_the_names_that_the_engine_knows() {
        #[track_caller]
        fn check(name: &str, known: &str, expected: Result<(), &str>) {
            let found = check_name(name, &known_names(known)).map_err(|error| error.to_string());
            match (&found, expected) {
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => assert_eq!(found.is_ok(), expected.is_ok(), "{found:?}"),
            }
        }
        let evil = r#"["localhost/evil@sha256:00"]"#;
        check("localhost/evil", evil, Ok(()));
        check("localhost/evil:1", evil, Ok(()));
        check("evil", evil, Ok(()));
        check(
            "docker.io/library/alpine",
            evil,
            Err("is not named docker.io/library/alpine here, but localhost/evil"),
        );
        check("alpine", evil, Err("not named alpine here"));
        check("docker.io/library/evil", evil, Err("but localhost/evil"));
        check("localhost/evil", "[]", Err("but no name"));
        check("localhost/evil", "null", Err("but no name"));
        let known = r#"["docker.io/library/alpine@sha256:00","registry:5000/a/b@sha256:00"]"#;
        check("alpine", known, Ok(()));
        check("docker.io/library/alpine:3", known, Ok(()));
        check("registry:5000/a/b", known, Ok(()));
        check("registry:5000/a/b:1", known, Ok(()));
        check("b", known, Err("but docker.io/library/alpine, registry:5000/a/b"));
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
            let found = ask_within(&path, patience, &[script_file.to_str().unwrap()], None);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{script}");
        }
        let (long, short) = (Duration::from_secs(600), Duration::from_millis(50));
        check("echo well", long, Ok("well\n"));
        check("echo Error: ill >&2; exit 3", long, Err("ill"));
        check("exec sleep 1000", short, Err("it took longer than 50 ms"));
        // It has ended, and what it started holds its streams.
        check("sleep 5 & exit 0", short, Err("it took longer than 50 ms"));
        // It has closed its streams, and goes on.
        check("exec sleep 1000 >&- 2>&-", short, Err("it took longer than 50 ms"));
    }

    #[test]
    fn a_cancelled_load_does_not_wait_for_an_engine() {
        let folder = tempfile::tempdir().unwrap();
        let (script, mark) = (folder.path().join("script"), folder.path().join("asked"));
        let engine = format!("mkdir '{}'; exec sleep 1000000", mark.display());
        std::fs::write(&script, engine).unwrap();
        let loads = Loads::default();
        let load = loads.begin(Origin::Application);
        let ask = || {
            let words = [script.to_str().unwrap()];
            ask_within(Path::new("/bin/sh"), Duration::from_secs(600), &words, Some(&load))
        };
        let expected = Err("the load was cancelled".to_owned());
        std::thread::scope(|scope| {
            let asking = scope.spawn(ask);
            while !mark.exists() && !asking.is_finished() {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            assert!(loads.cancel(loads.list()[0].id));
            assert_eq!(asking.join().unwrap(), expected);
        });
        // Nor does one that comes to ask later.
        assert_eq!(ask(), expected);
    }

    #[test]
    fn an_engine_that_is_not_there_is_said() {
        let load = Loads::default().begin(Origin::Application);
        let path = PathBuf::from("/no/such/podman");
        let problem = Engine::new(EngineName::Podman, path, &load).err().unwrap();
        assert!(problem.to_string().contains("/no/such/podman does not work"), "{problem}");
    }
}
