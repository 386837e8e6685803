//! A program that somebody else runs, such as the engine of containers: its client carries the standard
//! streams.
//!
//! To end the client is not to end the program. So a keeper, which is this executable again, starts the
//! client, waits for its end or for that of the host, and then runs the command that ends the program.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::wire::{Bounds, Side};
use glovebox_sandbox::SandboxReport;
use serde::{Deserialize, Serialize};

use crate::Worker;
use crate::link::Link;
use crate::monitor::Monitor;
use crate::pipes::Pipes;
use crate::ring::inherited;
use crate::spawn::{SpawnError, prepare};
use crate::stream::{Bell, Stream};
use crate::system::{close_on_exec, event, open_process, poll, set_parent_death};
use crate::watched::Watched;

/// The first argument of a keeper.
pub(crate) const ARGUMENT: &str = "--glovebox-keeper";

/// How long the command that ends a program may take before the keeper gives it up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to start a program that somebody else runs.
#[derive(Debug, Clone)]
pub struct ClientSpec {
    /// The command of the client, whose standard input and output are those of the program. It has the
    /// environment of this process.
    pub command: Vec<String>,
    /// Variables of the client's environment, beside those of this process.
    pub environment: Vec<(String, String)>,
    /// The command that ends the program, whatever became of the client, and that may find none.
    pub end: Vec<String>,
    /// The bounds of one message of the program.
    pub bounds: Bounds,
    /// Bytes that are kept of what is printed to standard error.
    pub output_bytes: usize,
}

/// The orders to a keeper.
#[derive(Serialize, Deserialize)]
struct Orders {
    command: Vec<String>,
    end: Vec<String>,
}

/// Starts a client. Its program is in no sandbox of ours, so that the report of the worker is empty.
pub(crate) fn spawn(monitor: &Monitor, spec: ClientSpec) -> Result<Worker, SpawnError> {
    let failed = |action| move |source| SpawnError::System { action, source };
    let (their_line, lifeline) = io::pipe().map_err(failed("make a pipe"))?;
    let number = their_line.as_raw_fd();
    let ClientSpec { command: words, environment, end, bounds, output_bytes } = spec;
    let orders = Orders { command: words, end };
    let text = serde_json::to_string(&orders);
    let text = text.map_err(|error| failed("write orders")(error.into()))?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("glovebox-keeper")
        .args([ARGUMENT, &number.to_string(), &text])
        .envs(environment)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let passed = [number];
    // SAFETY: as in `spawn::spawn`: the closure makes calls of the system, and reads a list.
    unsafe { command.pre_exec(move || prepare(None, &passed)) };
    let mut child = monitor.start(command).map_err(failed("start a keeper"))?;
    drop(their_line);
    let process = child.id();
    let handle = open_process(process).map_err(failed("open a handle of the keeper"));
    let pipes = pipes(&mut child).map_err(failed("use the pipes of a client"));
    let both = handle.and_then(|handle| Ok((handle, pipes?)));
    let (handle, (pipes, bell)) = both.inspect_err(|_| {
        // Nobody looks after it yet, and it may have started the program.
        let _ = child.kill();
        let _ = child.wait();
        end_soon(orders.end.clone());
    })?;
    let line = lifeline.into();
    let watched = Watched::of_client(process, handle, bell, line, output_bytes, orders.end);
    let watched = Arc::new(watched);
    monitor.watch(watched.clone(), &mut child);
    let link = Link::new(Stream::Pipes(pipes), Side::Plugin, bounds);
    Ok(Worker::new(watched, link, SandboxReport::default(), bounds, None))
}

fn pipes(child: &mut Child) -> io::Result<(Pipes, Arc<Bell>)> {
    let bell = Arc::new(Bell::Event(event()?));
    let missing = || io::Error::other("a pipe that was asked for is not there");
    let to = child.stdin.take().ok_or_else(missing)?;
    let from = child.stdout.take().ok_or_else(missing)?;
    Ok((Pipes::new(to, from, bell.clone())?, bell))
}

/// The keeper from inside. Gives its exit code, which is that of the client.
pub(crate) fn keep(mut arguments: impl Iterator<Item = String>) -> i32 {
    let line = arguments.next().and_then(|number| number.parse().ok());
    let orders = arguments.next().and_then(|orders| serde_json::from_str(&orders).ok());
    let (Some(line), Some(orders)) = (line, orders) else { return NO_ORDERS };
    match inherited(line).and_then(|line| wait_for_either(&line, &orders)) {
        Ok(Over::Code(code)) => code,
        Ok(Over::Signal(signal)) => {
            // The host should see how it ended.
            // SAFETY: they take numbers.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
            0
        }
        Err(error) => {
            say(&error.to_string());
            NO_ORDERS
        }
    }
}

/// Says something to the host, which keeps what comes.
fn say(words: &str) {
    let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("glovebox keeper: {words}\n"));
}

/// The exit code of a keeper that has no client.
const NO_ORDERS: i32 = 125;

/// The signal by which a keeper ends that ended the program because the host asked for it. It ends the program
/// of a client that this signal killed, too.
const PROGRAM_ENDED: i32 = libc::SIGUSR1;

/// True if the keeper ended the program, by its status. Any other one says nothing about the program: the keeper
/// may have been killed itself, and its client may have ended before the host asked for anything.
pub(crate) fn has_ended_program(status: i32) -> bool {
    libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == PROGRAM_ENDED
}

fn wait_for_either(line: &OwnedFd, orders: &Orders) -> io::Result<Over> {
    close_on_exec()?;
    // However this goes on: a client that has ended says nothing about its program.
    let ending = EndProgram(&orders.end);
    let mut client = start(&orders.command)?;
    // The streams are the client's alone, so that their ends are seen.
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    for stream in [0, 1] {
        // SAFETY: it takes numbers, and nothing here uses what they named before.
        unsafe { libc::dup2(nothing.as_raw_fd(), stream) };
    }
    let handle = open_process(client.id())?;
    let ready = |descriptor: &OwnedFd| libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let mut polled = [ready(line), ready(&handle)];
    while polled.iter().all(|entry| entry.revents == 0) {
        poll(&mut polled, None)?;
    }
    if polled[0].revents != 0 {
        // It could go on to start the program.
        client.kill()?;
        client.wait()?;
        return Ok(Over::Signal(PROGRAM_ENDED));
    }
    let status = client.wait()?;
    Ok(match status.signal() {
        Some(signal) => Over::Signal(signal),
        None => {
            // The host does it, which hears of the end at once so.
            std::mem::forget(ending);
            Over::Code(status.code().unwrap_or_default())
        }
    })
}

/// How a client ended.
enum Over {
    Code(i32),
    Signal(i32),
}

/// Runs the command that ends the program when it is dropped.
struct EndProgram<'a>(&'a [String]);

impl Drop for EndProgram<'_> {
    fn drop(&mut self) {
        if let Err(error) = end(self.0) {
            say(&format!("the program may go on, because it cannot be ended: {error}"));
        }
    }
}

fn start(command: &[String]) -> io::Result<Child> {
    let [program, arguments @ ..] = command else {
        return Err(io::Error::other("the client has no command"));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    // SAFETY: the closure makes one call of the system, which takes numbers.
    unsafe { command.pre_exec(set_parent_death) };
    command.spawn().map_err(|error| io::Error::other(format!("{program} cannot be run: {error}")))
}

/// Runs the command that ends a program, whose keeper did not.
pub(crate) fn end_soon(command: Vec<String>) {
    let thread = std::thread::Builder::new().name("glovebox-end".to_owned());
    // Without a thread, the next host finds it.
    drop(thread.spawn(move || end(&command)));
}

/// Runs the command that ends the program.
fn end(command: &[String]) -> io::Result<()> {
    let [program, arguments @ ..] = command else { return Ok(()) };
    let mut ending = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let waited = wait_for_end(&ending, PATIENCE);
    // However the wait went: it neither stays nor is left unreaped.
    ending.kill()?;
    ending.wait()?;
    waited
}

/// Waits until a process has ended, for so long at most.
fn wait_for_end(process: &Child, patience: Duration) -> io::Result<()> {
    let handle = open_process(process.id())?;
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut polled =
            [libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        poll(&mut polled, Some(left))?;
        if polled[0].revents != 0 || left.is_zero() {
            return Ok(());
        }
    }
}
