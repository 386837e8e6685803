//! The worker from inside.

use std::ffi::CString;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use glovebox_abi::wire::{
    Bounds, Decoder, Encoder, Load, Message, RemoteServices, ServiceAnswer, ServiceCall, Side,
};
use glovebox_abi::{Failure, Frame, Plugin, ProtocolVersion, ServiceError, Services};

use crate::client;
use crate::control::BOUNDS;
use crate::layers;
use crate::link::Link;
use crate::ring::{SharedMemory, inherited};
use crate::setup::{self, Entered, Setup};
use crate::spawn::ARGUMENT;
use crate::stream::{Ring, Stream};
use crate::system::{check, close_on_exec, poll};

/// The code that a worker runs.
pub trait Handler {
    /// Opens a plugin. The worker is in its sandbox by now; the plugin is initialized next.
    ///
    /// # Errors
    ///
    /// If it cannot be run, with the stage of loading and the reason.
    fn load(&mut self, load: &Load) -> Result<Box<dyn Plugin>, LoadFailure>;

    /// How to end a running call early, from another thread: it is given the number of the call.
    /// Without it, a cancelled call that does not end by itself ends the worker.
    fn canceller(&self) -> Option<Box<dyn Fn(u64) + Send>> {
        None
    }
}

/// Why a worker cannot run a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFailure {
    /// The stage of loading, such as `link`.
    pub stage: String,
    /// The reason.
    pub failure: Failure,
}

impl LoadFailure {
    /// A failure at a stage.
    pub fn new(stage: impl Into<String>, failure: Failure) -> LoadFailure {
        LoadFailure { stage: stage.into(), failure }
    }
}

impl fmt::Display for LoadFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.stage, self.failure)
    }
}

/// If this process was started as a worker, as the keeper of a client, or to [check its layers](crate::check_layers()),
/// does that and never returns; else does nothing.
///
/// It must be the first line of `main`: a sandbox is entered by a process with one thread.
pub fn run_if_requested<H: Handler>(make: impl FnOnce() -> H) {
    let mut arguments = std::env::args_os().skip(1);
    let Some(first) = arguments.next() else { return };
    if first == layers::ARGUMENT {
        leave(layers::answer());
    }
    if first == client::ARGUMENT {
        leave(client::keep(arguments.filter_map(|argument| argument.into_string().ok())));
    }
    if first != ARGUMENT {
        return;
    }
    let numbers = arguments.next().and_then(|numbers| numbers.into_string().ok());
    let code = match serve(&numbers.unwrap_or_default(), make) {
        Ok(()) => 0,
        Err(error) => {
            // The host keeps what comes.
            let _ = writeln!(std::io::stderr(), "glovebox worker: {error}");
            1
        }
    };
    leave(code);
}

/// Ends the process without running anything of the plugin's.
fn leave(code: i32) -> ! {
    // SAFETY: it takes a number and does not return.
    unsafe { libc::_exit(code) }
}

type Problem = Box<dyn std::error::Error>;

fn serve<H: Handler>(numbers: &str, make: impl FnOnce() -> H) -> Result<(), Problem> {
    let [control, memory, lifeline] = distinct(numbers)?;
    let mut control = UnixStream::from(inherited(control)?);
    let (memory, lifeline) = (inherited(memory)?, inherited(lifeline)?);
    let setup: Setup = setup::receive(&mut control)?;
    let memory = Arc::new(SharedMemory::open(memory)?);
    if setup.profile.limits.processes > 0 {
        keep(&lifeline)?;
    }
    drop(lifeline);
    match glovebox_sandbox::enter(&setup.profile) {
        Ok(report) => setup::send(&control, &Entered::In(report))?,
        Err(error) => {
            setup::send(&control, &Entered::Not(error.to_string()))?;
            return Err(error.into());
        }
    }
    // A write beyond the limit of a file is an error then, and not an end, also to a program that takes the
    // place of this one.
    // SAFETY: it takes numbers.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    for (name, value) in setup.environment.iter().filter(|(name, value)| is_settable(name, value)) {
        // SAFETY: this process has one thread, as the sandbox has just seen, and starts the next one
        // below.
        unsafe { std::env::set_var(name, value) };
    }
    // Nothing of the plugin was read before this line.
    if let Some(program) = setup.program {
        return become_program(control, &program, &setup.handed_on);
    }
    let handler = make();
    let canceller = handler.canceller();
    std::thread::Builder::new()
        .name("control".to_owned())
        .stack_size(128 << 10)
        .spawn(move || listen(control, canceller))?;
    let stream = Stream::Ring(Ring::new(&memory, Side::Plugin));
    talk(Link::new(stream, Side::Host, Bounds::default()), handler)
}

/// Lets a program take the place of this one, once the host has looked at the report and wants it.
fn become_program(
    mut control: UnixStream,
    program: &[String],
    handed_on: &[i32],
) -> Result<(), Problem> {
    let [path, arguments @ ..] = program else { return Err("the program has no path".into()) };
    if control.read_exact(&mut [0]).is_err() {
        // The host does not want it.
        return Ok(());
    }
    close_on_exec()?;
    for descriptor in handed_on {
        // SAFETY: it takes numbers.
        check(unsafe { libc::fcntl(*descriptor, libc::F_SETFD, 0) })?;
    }
    // The end of the control socket tells the host that it runs.
    let error = run_instead(path, arguments);
    setup::send(&control, &Entered::Not(format!("{path} cannot be run: {error}")))?;
    Ok(())
}

/// Runs a program in the place of this one, or says why that cannot be. Nothing is looked for in `PATH`, and
/// a file that is no program is not given to a shell, as the standard library would.
fn run_instead(path: &str, arguments: &[String]) -> io::Error {
    let words = std::iter::once(path).chain(arguments.iter().map(String::as_str));
    let words: Result<Vec<CString>, _> = words.map(CString::new).collect();
    let Ok(words) = words else { return io::ErrorKind::InvalidInput.into() };
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: the path and all words end in zero, and their list in null; they live through the call.
    // The signal is one that every program of Rust ignores, and others do not.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::execv(pointers[0], pointers.as_ptr());
    }
    io::Error::last_os_error()
}

/// True for what can stand in an environment.
fn is_settable(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

/// The three numbers of descriptors, of which each is taken once.
fn distinct(numbers: &str) -> Result<[i32; 3], Problem> {
    let parsed: Vec<i32> = numbers.split(',').map(|number| number.parse().unwrap_or(-1)).collect();
    match parsed[..] {
        [a, b, c] if a != b && b != c && a != c => Ok([a, b, c]),
        _ => Err(format!("{numbers:?} are no three different descriptors").into()),
    }
}

/// Forks a keeper: a process outside of the sandbox, which ends the whole group when the host does.
/// Without it, what the plugin starts would outlive both. Only Landlock keeps signals from it: where
/// that is missing, what is inside can end it.
fn keep(lifeline: &OwnedFd) -> Result<(), Problem> {
    // SAFETY: this process has one thread, as the sandbox checks again. The child does nothing but
    // wait and end itself.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error().into()),
        0 => {
            // It keeps nothing of the worker's open but the line.
            // SAFETY: these calls take numbers, and this process uses nothing that they close.
            unsafe {
                libc::dup2(lifeline.as_raw_fd(), 0);
                libc::syscall(libc::SYS_close_range, 1 as libc::c_uint, libc::c_uint::MAX, 0);
            }
            let mut line = [libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 }];
            // The host writes nothing: it is ready when the host has ended.
            while line[0].revents == 0 && poll(&mut line, None).is_ok() {}
            // SAFETY: it takes numbers; 0 is the group of this process, which ends with it.
            unsafe { libc::kill(0, libc::SIGKILL) };
            leave(0)
        }
        _ => Ok(()),
    }
}

/// The thread of the control socket. The worker ends with it.
fn listen(mut control: UnixStream, canceller: Option<Box<dyn Fn(u64) + Send>>) {
    let mut decoder = Decoder::new(Side::Host, BOUNDS);
    let mut encoder = Encoder::new(BOUNDS.body);
    let mut buffer = [0; 1024];
    let mut bytes = Vec::new();
    loop {
        match control.read(&mut buffer) {
            Ok(length @ 1..) => decoder.push(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            // The host has ended.
            _ => leave(0),
        }
        loop {
            match decoder.next_message() {
                Ok(None) => break,
                Ok(Some(beat @ Message::Heartbeat { .. })) => {
                    bytes.clear();
                    let sent = encoder.encode(&beat, &mut bytes);
                    if sent.is_err() || control.write_all(&bytes).is_err() {
                        leave(0);
                    }
                }
                Ok(Some(Message::Cancel { call })) => {
                    if let Some(cancel) = &canceller {
                        cancel(call);
                    }
                }
                Ok(Some(_)) | Err(_) => leave(1),
            }
        }
    }
}

/// The limit in the message that loads a plugin which says how long a question may be.
pub const LONGEST_SERVICE: &str = "service-message-bytes";

/// Messages from the host and to it.
struct Conversation {
    link: Link,
}

impl Conversation {
    fn hear(&mut self) -> Message {
        // A host that breaks the rules is not one to talk to.
        self.link.receive(None, &|| None).unwrap_or_else(|_| leave(1))
    }

    fn say(&mut self, message: &Message) -> Result<(), glovebox_abi::wire::WireError> {
        match self.link.send(message, None, &|| None) {
            Ok(()) => Ok(()),
            Err(crate::link::Broken::Wire(error)) => Err(error),
            Err(_) => leave(1),
        }
    }

    /// Asks the host during a call.
    fn ask(&mut self, call: u64, ask: ServiceCall) -> Result<ServiceAnswer, ServiceError> {
        if self.say(&Message::Service { call, ask }).is_err() {
            return Err(ServiceError::LimitExceeded);
        }
        match self.hear() {
            Message::Answer { call: about, result } if about == call => result,
            // The host makes one call at a time, and says nothing else during it.
            _ => leave(1),
        }
    }
}

fn talk<H: Handler>(link: Link, mut handler: H) -> Result<(), Problem> {
    let mut conversation = Conversation { link };
    match conversation.hear() {
        Message::Hello { protocol, longest, .. } if protocol == ProtocolVersion::CURRENT => {
            conversation.link.set_longest(longest);
        }
        other => return Err(format!("the host began with {}", other.name()).into()),
    }
    let longest = Bounds::default().body;
    let name = "glovebox-worker".to_owned();
    conversation.say(&Message::Hello { protocol: ProtocolVersion::CURRENT, longest, name })?;
    let mut plugin: Option<Box<dyn Plugin>> = None;
    loop {
        let message = conversation.hear();
        let Some(call) = message.call() else {
            match message {
                Message::Bye { .. } => return Ok(()),
                other => return Err(format!("the host sent {}", other.name()).into()),
            }
        };
        let answer = match message {
            Message::Load { load, .. } => {
                let longest = load.limits.iter().find(|(name, _)| name == LONGEST_SERVICE);
                if let Some((_, longest)) = longest {
                    let longest = u32::try_from(*longest).unwrap_or(u32::MAX);
                    conversation.link.set_longest_service(longest);
                }
                match open(&mut handler, &mut conversation, call, &load) {
                    Ok(loaded) => {
                        plugin = Some(loaded);
                        Message::Ready { call }
                    }
                    Err(LoadFailure { stage, failure }) => {
                        Message::LoadFailed { call, stage, failure }
                    }
                }
            }
            other => match &mut plugin {
                Some(plugin) => serve_call(&mut **plugin, &mut conversation, call, other)?,
                None => return Err(format!("the host sent {} before load", other.name()).into()),
            },
        };
        if let Err(error) = conversation.say(&answer) {
            // The answer is longer than the host takes. A failure is not.
            let failure =
                Failure::new(Failure::INVALID, format!("the answer is too long: {error}"));
            conversation.say(&Message::Failed { call, failure })?;
        }
    }
}

fn open<H: Handler>(
    handler: &mut H,
    conversation: &mut Conversation,
    call: u64,
    load: &Load,
) -> Result<Box<dyn Plugin>, LoadFailure> {
    let mut plugin = handler.load(load)?;
    let mut services = RemoteServices::new(|ask| conversation.ask(call, ask));
    let initialized = plugin.initialize(&mut services, &load.config);
    initialized.map_err(|failure| LoadFailure::new("initialize", failure))?;
    Ok(plugin)
}

fn serve_call(
    plugin: &mut dyn Plugin,
    conversation: &mut Conversation,
    call: u64,
    message: Message,
) -> Result<Message, Problem> {
    let failed = |failure| Message::Failed { call, failure };
    Ok(match message {
        Message::Process { frame, .. } => match process(plugin, conversation, call, &frame) {
            Ok(frames) => Message::Reply { call, frames },
            Err(failure) => failed(failure),
        },
        Message::SaveState { .. } => match plugin.save_state() {
            Ok(state) => Message::State { call, state },
            Err(failure) => failed(failure),
        },
        Message::RestoreState { state, .. } => match plugin.restore_state(state) {
            Ok(()) => Message::Done { call },
            Err(failure) => failed(failure),
        },
        Message::Health { .. } => Message::Condition { call, health: plugin.health() },
        Message::Cleanup { .. } => {
            plugin.cleanup();
            Message::Done { call }
        }
        other => return Err(format!("the host sent {}", other.name()).into()),
    })
}

fn process(
    plugin: &mut dyn Plugin,
    conversation: &mut Conversation,
    call: u64,
    frame: &Frame,
) -> Result<Vec<Frame>, Failure> {
    let mut services = RemoteServices::new(|ask| conversation.ask(call, ask));
    plugin.process(&mut services as &mut dyn Services, frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_different() {
        fn check(numbers: &str, expected: Option<[i32; 3]>) {
            assert_eq!(distinct(numbers).ok(), expected, "{numbers}");
        }
        check("3,4,5", Some([3, 4, 5]));
        check("3,4,3", None);
        check("3,3,4", None);
        check("4,3,3", None);
        check("3,4", None);
        check("3,4,5,6", None);
        check("", None);
    }
}
