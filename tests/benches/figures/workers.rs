//! Native plugins in processes of their own, beside what any host must do for that: a message there and
//! back, and the start of a process.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use glovebox_abi::Frame;
use glovebox_host::{Host, InstanceId, LoadRequest, Outcome};
use glovebox_tests::native_sample;

use crate::figure::{Figures, pair_once};

const ROUNDS: usize = 11;
/// Messages of one round.
const MESSAGES: u32 = 2_000;
/// Tells a process of this program to give back what comes from its standard input; with no number, to
/// end at once.
const OTHER: &str = "GLOVEBOX_FIGURES_OTHER_SIDE";

pub(crate) fn run(figures: &mut Figures) {
    round_trip(figures);
    start(figures);
    crash(figures);
}

/// If this process is the other side of a baseline, is that and gives true.
pub(crate) fn is_other_side() -> bool {
    let Some(length) = std::env::var_os(OTHER) else { return false };
    let Some(length) = length.to_str().and_then(|length| length.parse().ok()) else { return true };
    let Ok(input) = std::io::stdin().as_fd().try_clone_to_owned() else { return true };
    let mut socket = UnixStream::from(input);
    let mut bytes: Vec<u8> = vec![0; length];
    while socket.read_exact(&mut bytes).is_ok() && socket.write_all(&bytes).is_ok() {}
    true
}

fn again(value: &str) -> Command {
    let program = std::env::current_exe().expect("a program knows where it is");
    let mut command = Command::new(program);
    command.env(OTHER, value);
    command
}

/// Starts a process, waits for its end, and does so `times` times.
fn processes(times: usize) {
    for _ in 0..times {
        assert!(again("").status().is_ok_and(|status| status.success()), "a process starts");
    }
}

fn load(host: &Host, library: &Path) -> InstanceId {
    host.load(LoadRequest::path(library)).wait().unwrap_or_else(|error| panic!("{error}"))
}

fn round_trip(figures: &mut Figures) {
    let name = "call-native-worker";
    if !figures.wants(name) {
        return;
    }
    let host = Host::builder().build().expect("a host starts on any machine");
    let echo = load(&host, &native_sample("echo"));
    let frame = Frame::data(vec![b'x'; 64]);
    let (mut socket, theirs) = UnixStream::pair().expect("there are sockets");
    let mut other = again("64");
    let mut other = other.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().expect("it starts");
    let mut bytes = [0; 64];
    let (value, baseline) = pair_once(
        ROUNDS,
        || {
            for _ in 0..MESSAGES {
                let reply = host.call(echo, &frame);
                assert_eq!(reply.outcome, Outcome::Completed);
            }
        },
        || {
            for _ in 0..MESSAGES {
                socket.write_all(&bytes).expect("it listens");
                socket.read_exact(&mut bytes).expect("it answers");
            }
        },
    );
    drop(socket);
    let _ = other.wait();
    let micros = |milliseconds: f64| milliseconds * 1e3 / f64::from(MESSAGES);
    let baseline = ("unix-socket-ping-pong-us", micros(baseline));
    figures.add(name, micros(value), "us", baseline, 0.5);
}

fn start(figures: &mut Figures) {
    let name = "load-native-worker";
    if !figures.wants(name) {
        return;
    }
    let host = Host::builder().build().expect("a host starts on any machine");
    let echo = native_sample("echo");
    // The first load of all also tries the library, and the layers of the sandbox.
    let first = load(&host, &echo);
    host.unload(first);
    let (value, baseline) = pair_once(
        ROUNDS,
        || {
            let id = load(&host, &echo);
            host.unload(id);
        },
        || processes(1),
    );
    figures.add(name, value, "ms", ("a-process-ms", baseline), 3.0);
}

/// From a frame that crashes a worker, and the one that it is sent to again, to the next answer.
fn crash(figures: &mut Figures) {
    let name = "crash-to-answer";
    if !figures.wants(name) {
        return;
    }
    let host = Host::builder().build().expect("a host starts on any machine");
    let misbehave = native_sample("misbehave");
    let (poison, good) = (Frame::data("mode=trap"), Frame::data("hello"));
    // Each round has an instance of its own: one that crashes again and again is started later.
    let ids = (0..ROUNDS).map(|_| load(&host, &misbehave)).collect::<Vec<_>>();
    let mut ids = ids.into_iter();
    let (value, baseline) = pair_once(
        ROUNDS,
        || {
            let id = ids.next().expect("there is one for each round");
            assert_eq!(host.call(id, &poison).outcome.name(), "crashed");
            assert_eq!(host.call(id, &good).outcome, Outcome::Completed);
        },
        || processes(2),
    );
    figures.add(name, value, "ms", ("two-processes-ms", baseline), 3.0);
}
