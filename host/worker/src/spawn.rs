use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::wire::{Bounds, Side};
use glovebox_sandbox::{Cgroup, Layer, LayerReport, LayerState, Missing, Profile};

use crate::control::Control;
use crate::link::Link;
use crate::monitor::Monitor;
use crate::pipes::Pipes;
use crate::ring::SharedMemory;
use crate::setup::{self, Entered, Setup};
use crate::stream::{Bell, Ring, Stream};
use crate::system::{check, event, open_process, set_parent_death};
use crate::watched::{Watched, lock};
use crate::{Ended, Printed, Worker};

/// The first argument of a worker.
pub(crate) const ARGUMENT: &str = "--glovebox-worker";

/// How to start a worker.
#[derive(Debug)]
pub struct Spec {
    /// Its name in the list of processes.
    pub name: String,
    /// The sandbox. Its parent is filled in.
    pub profile: Profile,
    /// Descriptors that the worker gets, under the numbers that they have here; no others.
    pub pass: Vec<OwnedFd>,
    /// Variables of its environment, which holds no others. They are set once it is in its sandbox.
    pub environment: Vec<(String, String)>,
    /// A program with its arguments that takes the worker's place, in its sandbox, when a plugin is
    /// loaded: it has the conversation over its standard input and output, answers no heartbeats, and
    /// gets no descriptor beside its standard streams. It must lie within the reach of the profile.
    pub program: Option<Vec<String>>,
    /// Of a program that runs another one in a container that it makes, such as bubblewrap: descriptors that
    /// it gets beside its standard streams, under the numbers that they have here. Its exit code tells how
    /// the other one ended, as shells have it: 128 and the number of a signal.
    pub wrapper: Option<Vec<OwnedFd>>,
    /// Bytes of each of the two rings, at least. A longer message goes through in pieces.
    pub ring_bytes: usize,
    /// The bounds of one message of the worker.
    pub bounds: Bounds,
    /// Bytes that are kept of what it prints, of standard output and of standard error each.
    pub output_bytes: usize,
    /// How often it is asked whether it is alive: more than 0. Silent for three times as long, it is killed.
    pub heartbeat: Duration,
    /// How long it may take to get into its sandbox.
    pub start_deadline: Duration,
}

impl Spec {
    /// The strictest sandbox, rings of 256 KiB, 64 KiB of output, a heartbeat each second, ten
    /// seconds to start.
    pub fn new(name: impl Into<String>) -> Spec {
        Spec {
            name: name.into(),
            profile: Profile::strictest(),
            pass: Vec::new(),
            environment: Vec::new(),
            program: None,
            wrapper: None,
            ring_bytes: 256 << 10,
            bounds: Bounds::default(),
            output_bytes: 64 << 10,
            heartbeat: Duration::from_secs(1),
            start_deadline: Duration::from_secs(10),
        }
    }
}

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The system refused something.
    #[error("cannot {action}")]
    System {
        /// The failed action.
        action: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// The executable cannot be run again.
    #[error("cannot run this executable again, {}", path.display())]
    Executable {
        /// Where it is.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The worker did not get into its sandbox.
    #[error("the worker did not enter its sandbox: {reason}")]
    NotEntered {
        /// Why.
        reason: String,
        /// How it ended.
        ended: Ended,
        /// The end of what it printed to standard error.
        printed: Printed,
    },
}

pub(crate) fn spawn(monitor: &Monitor, mut spec: Spec) -> Result<Worker, SpawnError> {
    let failed = |action| move |source| SpawnError::System { action, source };
    if spec.heartbeat.is_zero() {
        let reason = io::Error::new(io::ErrorKind::InvalidInput, "no worker answers in no time");
        return Err(failed("use a heartbeat of 0 s")(reason));
    }
    let ring_bytes = if spec.program.is_some() { 0 } else { spec.ring_bytes };
    let memory = SharedMemory::create(ring_bytes).map_err(failed("make shared memory"))?;
    let memory = Arc::new(memory);
    let (control, theirs) = UnixStream::pair().map_err(failed("make a control socket"))?;
    let (their_line, lifeline) = io::pipe().map_err(failed("make a pipe"))?;
    // Nothing comes out of it. `/dev/null` is everybody's, and root's worker could change its mode.
    let (nothing, _) = io::pipe().map_err(failed("make a pipe"))?;
    match spec.program {
        // One more than the plugin's: it answers heartbeats.
        None => {
            let limits = &mut spec.profile.limits;
            limits.threads = limits.threads.saturating_add(1);
        }
        // The kernel lets every program be dumped again.
        Some(_) => drop(spec.profile.layers.remove(&Layer::NotDumpable)),
    }
    spec.profile.parent = Some(std::process::id());
    let mut group = group(&spec.profile);

    let path = Path::new("/proc/self/exe");
    let mut command = Command::new(path);
    let numbers = [theirs.as_raw_fd(), memory.file().as_raw_fd(), their_line.as_raw_fd()];
    let mut passed = numbers.to_vec();
    let handed_on = spec.wrapper.iter().flatten();
    passed.extend(spec.pass.iter().chain(handed_on).map(AsRawFd::as_raw_fd));
    command
        .arg0("glovebox-worker")
        .arg(ARGUMENT)
        .arg(numbers.map(|number| number.to_string()).join(","))
        .arg(OsStr::new(&spec.name))
        .env_clear()
        .current_dir("/")
        .stdin(match spec.program {
            None => Stdio::from(nothing),
            Some(_) => Stdio::piped(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let parent = std::process::id();
    // SAFETY: between fork and exec, the closure makes calls of the system that may be made there,
    // and reads a list that was made before. It neither allocates nor takes a lock.
    unsafe { command.pre_exec(move || prepare(Some(parent), &passed)) };
    let mut child = monitor.start(command).map_err(|source| {
        let path = std::fs::read_link(path).unwrap_or_else(|_| path.to_owned());
        SpawnError::Executable { path, source }
    })?;
    let process = child.id();
    let handle = match open_process(process) {
        Ok(handle) => handle,
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed("open a handle of the worker")(error));
        }
    };
    let in_group = group.as_mut().map_or(Ok(()), |group| group.add(process));
    let counts_processes =
        in_group.is_ok() && group.as_ref().is_ok_and(|group| group.limits_processes());
    // From here on the worker is looked after: every way out ends and reaps it.
    let (cgroup, cgroup_state) = match (group, in_group) {
        (Ok(group), Ok(())) => {
            let state = group.state();
            (Some(group), state)
        }
        (Ok(_), Err(error)) => {
            let reason = format!("the worker cannot be put into a cgroup: {error}");
            (None, Err(Missing::new(reason, "let the host change the cgroups below its own")))
        }
        (Err(missing), _) => (None, Err(missing)),
    };
    let streams = streams(&spec, &mut child, &memory);
    let bell = match &streams {
        Ok((_, bell)) => bell.clone(),
        Err(_) => Arc::new(Bell::Memory(memory)),
    };
    let mut watched =
        Watched::new(process, handle, bell, cgroup, lifeline.into(), spec.output_bytes);
    watched.is_wrapper = spec.wrapper.is_some();
    let watched = Arc::new(watched);
    monitor.watch(watched.clone(), &mut child);
    let handles = spec.wrapper.take().unwrap_or_default();
    let handed_on = handles.iter().map(AsRawFd::as_raw_fd).collect();
    drop((theirs, their_line, std::mem::take(&mut spec.pass), handles));

    let entered = first_words(&control, &spec, handed_on);
    let ended = |reason: String| {
        watched.end(Ended::Killed);
        let ended = watched.soon_ended();
        let printed = lock(&watched.printed[1]).take();
        SpawnError::NotEntered { reason, ended, printed }
    };
    let mut report = match entered {
        Ok(Entered::In(report)) => report,
        Ok(Entered::Not(reason)) => return Err(ended(reason)),
        Err(error) => return Err(ended(error.to_string())),
    };
    let state = match cgroup_state {
        _ if !spec.profile.wants(Layer::Cgroup) => LayerState::NotRequested,
        Ok(()) => LayerState::Enforced,
        Err(missing) => LayerState::Missing(missing),
    };
    report.layers.insert(0, LayerReport { layer: Layer::Cgroup, state });
    // The kernel counts the processes of root by their group alone.
    if counts_processes {
        report.keep_elsewhere(Layer::Processes);
    }
    let stream = match streams {
        Ok((stream, _)) => stream,
        Err(error) => return Err(ended(error.to_string())),
    };
    let link = Link::new(stream, Side::Plugin, spec.bounds);
    if spec.program.is_some() {
        return Ok(Worker::new(watched, link, report, spec.bounds, Some(control)));
    }
    let control = match Control::new(control, spec.heartbeat) {
        Ok(control) => control,
        Err(error) => return Err(ended(error.to_string())),
    };
    *lock(&watched.control) = Some(control);
    monitor.wake();
    Ok(Worker::new(watched, link, report, spec.bounds, None))
}

/// The streams of the conversation, and what wakes the thread that waits on them.
fn streams(
    spec: &Spec,
    child: &mut Child,
    memory: &Arc<SharedMemory>,
) -> io::Result<(Stream, Arc<Bell>)> {
    if spec.program.is_none() {
        let ring = Ring::new(memory, Side::Host);
        return Ok((Stream::Ring(ring), Arc::new(Bell::Memory(memory.clone()))));
    }
    let bell = Arc::new(Bell::Event(event()?));
    let missing = || io::Error::other("a pipe that was asked for is not there");
    let to = child.stdin.take().ok_or_else(missing)?;
    let from = child.stdout.take().ok_or_else(missing)?;
    Ok((Stream::Pipes(Pipes::new(to, from, bell.clone())?), bell))
}

/// The group of processes, with room for those of this crate.
fn group(profile: &Profile) -> Result<Cgroup, Missing> {
    if !profile.wants(Layer::Cgroup) {
        return Err(Missing::new("it was not asked for", ""));
    }
    let mut limits = profile.limits.clone();
    // The keeper is a process of its own.
    limits.processes = limits.processes.saturating_add(1);
    Cgroup::new(&limits)
}

/// The steps of the new process before it runs the executable again. It ends with its parent, if that is
/// named.
pub(crate) fn prepare(parent: Option<u32>, passed: &[i32]) -> io::Result<()> {
    if let Some(parent) = parent {
        set_parent_death()?;
        // SAFETY: it takes nothing.
        if unsafe { libc::getppid() } != parent as libc::pid_t {
            // The host ended before its end could be awaited.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
    }
    // SAFETY: these calls take numbers.
    unsafe {
        // Nothing is inherited, not even what the application opened without saying so.
        let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_uint;
        check(libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, flags))?;
        for descriptor in passed {
            check(libc::fcntl(*descriptor, libc::F_SETFD, 0))?;
        }
    }
    Ok(())
}

/// Tells the worker its profile, and hears what became of it.
fn first_words(control: &UnixStream, spec: &Spec, handed_on: Vec<i32>) -> io::Result<Entered> {
    control.set_read_timeout(Some(spec.start_deadline))?;
    control.set_write_timeout(Some(spec.start_deadline))?;
    let (profile, environment) = (spec.profile.clone(), spec.environment.clone());
    let program = spec.program.clone();
    setup::send(control, &Setup { profile, environment, program, handed_on })?;
    let line = "`main` may not begin with `run_if_requested`";
    setup::receive(control).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            let reason = format!("no answer within {:?}; {line}", spec.start_deadline);
            io::Error::new(error.kind(), reason)
        }
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), format!("it ended before it answered; {line}"))
        }
        _ => error,
    })
}
