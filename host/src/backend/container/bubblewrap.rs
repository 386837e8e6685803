//! Containers that bubblewrap makes: of a root folder, or of the programs of this machine for reading.
//!
//! A worker enters the layers that last beyond the start of a program (limits, its group of processes, its
//! end with the host) and then becomes bubblewrap, which makes namespaces and a root folder, gives up its
//! privileges, enters the filter of system calls, and runs the program. As with engines, the process is
//! looked at from outside before it gets a frame.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::manifest::Limits;
use glovebox_sandbox::{
    Access, Layer, LayerReport, Missing, SandboxReport, container_call_program, status_fields,
    system_programs,
};
use glovebox_worker::{LoadError, Spec, Worker, Workers};
use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::super::process::{Place, ProcessGrants, bounds_of};
use super::image::{Stopped, in_its_place, not_started, stopped, text_of};
use super::layers::{Amounts, FILES, PROCESSES, look};
use super::root::RootFolder;
use crate::underway::Underway;

/// Bytes of addresses beside its memory: programs and libraries are mapped whole.
const ADDRESSES: u64 = 4 << 30;

/// Processes beside those of the program: the keeper of a worker, and bubblewrap outside and inside.
const OF_BUBBLEWRAP: u32 = 3;

/// The layers that the worker enters; the others are bubblewrap's.
const OF_THE_WORKER: [Layer; 4] =
    [Layer::Cgroup, Layer::Limits, Layer::Processes, Layer::ParentDeath];

/// Where a program beside those of the machine lies inside.
const PROGRAM: &str = "/plugin";

/// Bubblewrap, and what is known of its containers.
pub(crate) struct Bubblewrap {
    pub(super) path: PathBuf,
    /// The layers of the first container that this host started.
    pub(super) layers: Mutex<Option<Arc<SandboxReport>>>,
}

/// A root that bubblewrap makes containers of, and the command in it.
pub(crate) struct Boxed {
    pub(super) bubblewrap: Arc<Bubblewrap>,
    pub(super) root: BoxedRoot,
    pub(super) command: Vec<String>,
}

/// A root that bubblewrap can make.
pub(super) enum BoxedRoot {
    Folder(RootFolder),
    /// The programs of this machine, and one more.
    System(Option<tempfile::TempPath>),
}

/// A container whose program runs.
struct Launched {
    worker: Worker,
    /// The first process in it, which is bubblewrap's.
    first: u32,
    /// The layers of the worker.
    own: SandboxReport,
}

impl Boxed {
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
        let Launched { mut worker, first, own } =
            self.launch(workers, plugin, limits, grants, until, load)?;
        let killer = worker.canceller();
        let _ending = load.map(|load| load.ended_by(move || killer.kill()));
        worker.greet(left(until)).map_err(|error| stopped(error, &worker))?;
        // Without processes of its own, there is none of bubblewrap's in it, and this is the program.
        let process = oldest_child(first).unwrap_or(first);
        worker.set_program(process);
        let seen = look(process, Amounts::of(limits), &grants.writable());
        let root = format!("/proc/{process}/root");
        in_its_place(Path::new(&root), grants).map_err(Stopped::Refused)?;
        Ok((worker, joined(own, seen)))
    }

    fn launch(
        &self,
        workers: &Workers,
        plugin: &str,
        limits: &Limits,
        grants: &ProcessGrants,
        until: Instant,
        load: Option<&Underway>,
    ) -> Result<Launched, Stopped> {
        let refused = |error: std::io::Error| not_started(&error.to_string());
        let filter = container_call_program().map_err(Stopped::Refused)?;
        let filter = in_memory(&filter).map_err(refused)?;
        // Closed before it is written to, it would let the program run as well: it lives longer than the
        // worker.
        let (gate, open_gate) = std::io::pipe().map_err(refused)?;
        let (mut told, tells) = UnixStream::pair().map_err(refused)?;
        let mut words = self.arguments(grants).map_err(Stopped::Refused)?;
        let numbers = [
            ("--seccomp", filter.as_raw_fd()),
            ("--block-fd", gate.as_raw_fd()),
            ("--info-fd", tells.as_raw_fd()),
        ];
        words.extend(
            numbers.iter().flat_map(|(word, number)| [(*word).to_owned(), number.to_string()]),
        );
        // Grants are not for the list of processes, which everybody can read.
        let text: Vec<u8> =
            words.iter().flat_map(|word| [word.as_bytes(), &[0]].concat()).collect();
        let arguments = in_memory(&text).map_err(refused)?;
        let mut program = vec![
            self.bubblewrap.path.to_string_lossy().into_owned(),
            "--args".to_owned(),
            arguments.as_raw_fd().to_string(),
            "--".to_owned(),
        ];
        program.extend(self.command.iter().cloned());
        if let BoxedRoot::System(Some(_)) = &self.root {
            program.push(PROGRAM.to_owned());
        }
        let mut spec = Spec::new(plugin);
        let amounts = Amounts::of(limits);
        spec.profile.layers = OF_THE_WORKER.into();
        spec.profile.limits.memory = Some(amounts.memory);
        spec.profile.limits.file_size = Some(amounts.file_bytes);
        spec.profile.limits.address_space = Some(amounts.memory.saturating_add(ADDRESSES));
        spec.profile.limits.files = FILES as u32;
        spec.profile.limits.processes = PROCESSES as u32;
        spec.profile.limits.threads = OF_BUBBLEWRAP;
        spec.program = Some(program);
        spec.wrapper = Some(vec![arguments, filter, gate.into(), tells.into()]);
        spec.bounds = bounds_of(limits);
        let mut worker =
            workers.spawn(spec).map_err(|error| Stopped::Refused(error.to_string()))?;
        let killer = worker.canceller();
        let _ending = load.map(|load| load.ended_by(move || killer.kill()));
        worker.become_program(left(until)).map_err(|error| match error {
            LoadError::Failed(failure) => not_started(&failure.failure.to_string()),
            LoadError::Call(error) => stopped(error, &worker),
        })?;
        let mut own = worker.report().clone();
        let Some(first) = first_process(&mut told, until) else {
            // It says why, and ends.
            let said = worker.greet(left(until)).map_err(|error| stopped(error, &worker));
            said?;
            return Err(Stopped::Refused("bubblewrap does not say what it started".to_owned()));
        };
        if !own.is_enforced(Layer::Processes) && limit_processes(first).is_ok() {
            own.keep_elsewhere(Layer::Processes);
        }
        let mut gate = open_gate;
        gate.write_all(&[1]).map_err(refused)?;
        Ok(Launched { worker, first, own })
    }

    /// The options of bubblewrap.
    fn arguments(&self, grants: &ProcessGrants) -> Result<Vec<String>, String> {
        let mut words: Vec<String> = Vec::new();
        let mut add = |all: &[&str]| words.extend(all.iter().map(|word| (*word).to_owned()));
        add(&["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
        match &self.root {
            BoxedRoot::Folder(root) => add(&["--bind", text_of(root.path())?, "/"]),
            BoxedRoot::System(program) => {
                for place in system_programs() {
                    match fs::symlink_metadata(place) {
                        Ok(about) if about.is_symlink() => {
                            let target = fs::read_link(place).map_err(|error| error.to_string())?;
                            add(&["--symlink", text_of(&target)?, place]);
                        }
                        Ok(_) => add(&["--ro-bind", place, place]),
                        // Not every machine has each.
                        Err(_) => {}
                    }
                }
                if let Some(program) = program {
                    add(&["--ro-bind", text_of(program)?, PROGRAM]);
                }
            }
        }
        add(&["--proc", "/proc", "--dev", "/dev"]);
        for Place { path, access, .. } in grants.outermost() {
            if let BoxedRoot::Folder(root) = &self.root {
                root.make(path)?;
            }
            let bind = if access == Access::ReadWrite { "--bind" } else { "--ro-bind" };
            add(&[bind, text_of(path)?, text_of(path)?]);
        }
        // Nothing is put there any more.
        add(&["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--clearenv"]);
        for (variable, value) in &grants.environment {
            add(&["--setenv", variable, value]);
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err("a path or variable has a zero byte".to_owned());
        }
        Ok(words)
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// A file that is nowhere but in memory, to be read from its start.
fn in_memory(content: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("glovebox-bubblewrap", MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file.into())
}

/// The number of the first process of a container, which bubblewrap tells before that does anything; nothing if
/// it does not.
fn first_process(told: &mut UnixStream, until: Instant) -> Option<u32> {
    let mut text = Vec::new();
    while !text.contains(&b'}') {
        told.set_read_timeout(Some(left(until).max(Duration::from_millis(1)))).ok()?;
        let mut piece = [0; 1024];
        match told.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(read) => text.extend_from_slice(&piece[..read]),
        }
        if text.len() > 16 << 10 {
            return None;
        }
    }
    let facts: serde_json::Value = serde_json::from_slice(&text).ok()?;
    facts["child-pid"].as_u64()?.try_into().ok()
}

/// Limits the processes of a container by that of its first one, which has started none yet: all of them have
/// the limit from it, and the kernel counts those of its own users alone.
fn limit_processes(first: u32) -> Result<(), rustix::io::Errno> {
    let user = rustix::process::geteuid();
    let is_apart = |name| {
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{name}")).ok();
        of(&first.to_string()) != of("self")
    };
    // The kernel does not count root's, and would count all of this user.
    if user.is_root() || !is_apart("user") {
        return Err(rustix::io::Errno::NOTSUP);
    }
    let most = Some(PROCESSES + 1);
    let limit = Rlimit { current: most, maximum: most };
    prlimit(Pid::from_raw(first as i32), Resource::Nproc, limit).map(drop)
}

/// The oldest process that another one started.
fn oldest_child(parent: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let children = numbers.filter_map(|process| {
        let status = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let fields: Vec<&str> = status_fields(&status)?.collect();
        // Numbers 4 and 22 in proc(5), where the first one here is number 3.
        let is_child = fields.get(1)?.parse::<u32>() == Ok(parent);
        is_child.then_some((fields.get(19)?.parse::<u64>().ok()?, process))
    });
    Some(children.min()?.1)
}

/// The layers of a container: those of the worker as it said, the others as they were seen.
fn joined(own: SandboxReport, seen: SandboxReport) -> SandboxReport {
    let is_own = |layer: &Layer| OF_THE_WORKER.contains(layer);
    let others = seen.layers.into_iter().filter(|entry| !is_own(&entry.layer));
    let mut layers: Vec<LayerReport> =
        own.layers.into_iter().filter(|entry| is_own(&entry.layer)).chain(others).collect();
    layers.sort_by_key(|entry| entry.layer);
    let mut report = SandboxReport::default();
    report.layers = layers;
    report
}

/// Tries, in a container of the programs of this machine, what none should be able to do, and says on standard
/// error what it could.
const ATTEMPTS: &str = r#"
for place in / /usr /dev /proc; do (: > $place/glovebox-doctor) 2>/dev/null && echo "could write to $place" >&2; done
for place in /home /root /etc/passwd /tmp /var /run /sys; do [ -e $place ] && echo "could see $place" >&2; done
count=0; for process in /proc/[0-9]*; do count=$((count + 1)); done
[ $count -gt 3 ] && echo "could see other processes" >&2
while IFS=: read -r device rest; do
  case $device in *\|*|*Inter-*|*face*|*lo) ;; *) echo "could use the network $device" >&2 ;; esac
done < /proc/net/dev
echo tried >&2
"#;

/// The answer of bubblewrap about itself, and whether a program in its container can do what is forbidden.
pub(super) fn examine(path: PathBuf, workers: &Workers, version: &str) -> Result<String, Missing> {
    let remedy = "let users make namespaces (`sysctl user.max_user_namespaces`, and \
                  `kernel.apparmor_restrict_unprivileged_userns=0` where that is there)";
    let missing = |reason: String| Missing::new(reason, remedy);
    let bubblewrap = Arc::new(Bubblewrap { path, layers: Mutex::new(None) });
    let command = ["/bin/sh", "-c", ATTEMPTS].map(str::to_owned).into();
    let boxed = Boxed { bubblewrap, root: BoxedRoot::System(None), command };
    let until = Instant::now() + Duration::from_secs(20);
    let (limits, nothing) = (Limits::default(), ProcessGrants::default());
    let launched = boxed.launch(workers, "check", &limits, &nothing, until, None);
    let Launched { mut worker, own, .. } = launched.map_err(|stopped| missing(stopped.reason()))?;
    // It is no plugin, and says no hello.
    let ended = worker.greet(left(until)).err();
    let said = worker.take_errors().bytes;
    let said = String::from_utf8_lossy(&said);
    let said: Vec<&str> = said.lines().map(str::trim).collect();
    match said[..] {
        ["tried"] => {}
        [ref could @ .., "tried"] => {
            return Err(missing(format!("a program inside {}", could.join(", "))));
        }
        _ => {
            let ended = ended.map_or_else(String::new, |ended| ended.to_string());
            return Err(missing(format!(
                "a program inside did not come to its end: {ended} {}",
                said.join("; ")
            )));
        }
    }
    let lacks: Vec<&str> = own.missing().map(|(layer, _)| layer.name()).collect();
    let lacks = match lacks[..] {
        [] => String::new(),
        _ => format!("; without a layer {}", lacks.join(", ")),
    };
    Ok(format!(
        "{version}: a program inside wrote nowhere, and saw no files, processes and network{lacks}"
    ))
}
