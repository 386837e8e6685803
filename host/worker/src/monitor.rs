//! The thread that starts workers and looks after them. It lives as long as [`Workers`]: the kernel
//! kills a worker when the thread that started it ends.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::{Child, ChildStderr, ChildStdout, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use glovebox_sandbox::Cgroup;

use crate::control::Pulse;
use crate::ended::ProtocolError;
use crate::system::{event, lower, never_wait, poll, raise};
use crate::usage::is_stopped;
use crate::watched::{SOON, Watched, lock};
use crate::{ClientSpec, Ended, SpawnError, Spec, Worker};

/// Bytes that are read from one pipe before the others have their turn.
const PIECE: usize = 64 << 10;
/// Orders that wait for the thread.
const ORDERS: usize = 64;

/// Where workers come from: a thread that starts and watches them. All of them end with it: when it
/// is dropped, it waits for them, but two seconds at most.
///
/// The application must not wait for children that it did not start itself, such as with
/// `waitpid(-1, …)`: how a worker ended would be lost, and its number could be another process's
/// before it is killed.
#[derive(Debug)]
pub struct Workers {
    shared: Arc<Monitor>,
    thread: Option<JoinHandle<()>>,
}

/// How other threads reach the thread.
#[derive(Debug)]
pub(crate) struct Monitor {
    orders: SyncSender<Order>,
    wake: OwnedFd,
    is_over: AtomicBool,
}

enum Order {
    /// Start a process.
    Start(Box<Command>, SyncSender<io::Result<Child>>),
    /// Look after one.
    Watch(Arc<Watched>, Option<ChildStdout>, Option<ChildStderr>),
}

impl Workers {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn start() -> io::Result<Workers> {
        let (orders, receiver) = sync_channel(ORDERS);
        let shared = Arc::new(Monitor { orders, wake: event()?, is_over: AtomicBool::new(false) });
        let monitor = shared.clone();
        let thread = std::thread::Builder::new()
            .name("glovebox-workers".to_owned())
            .spawn(move || run(&monitor, &receiver))?;
        Ok(Workers { shared, thread: Some(thread) })
    }

    /// Starts a worker, and waits until it is in its sandbox.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or does not get into its sandbox in time.
    pub fn spawn(&self, spec: Spec) -> Result<Worker, SpawnError> {
        crate::spawn::spawn(&self.shared, spec)
    }

    /// Starts a program that somebody else runs, and does not wait for it.
    ///
    /// # Errors
    ///
    /// If its keeper cannot be started.
    pub fn spawn_client(&self, spec: ClientSpec) -> Result<Worker, SpawnError> {
        crate::client::spawn(&self.shared, spec)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Monitor {
    /// Lets the thread start a process.
    pub(crate) fn start(&self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the thread that starts workers has ended");
        let (sender, receiver) = sync_channel(1);
        self.orders.send(Order::Start(Box::new(command), sender)).map_err(|_| gone())?;
        self.wake();
        receiver.recv().map_err(|_| gone())?
    }

    /// Lets the thread look after a process from now on.
    pub(crate) fn watch(&self, watched: Arc<Watched>, child: &mut Child) {
        let order = Order::Watch(watched.clone(), child.stdout.take(), child.stderr.take());
        if self.orders.send(order).is_err() {
            // With the thread, the process has ended.
            watched.reap();
        }
        self.wake();
    }

    /// Lets the thread look at its orders, and at when the next heartbeat is due.
    pub(crate) fn wake(&self) {
        raise(self.wake.as_fd());
    }
}

/// One worker that is looked after.
struct Entry {
    watched: Arc<Watched>,
    pipes: [Option<Box<dyn ReadPipe>>; 2],
}

trait ReadPipe: Read + AsRawFd + Send {}
impl<T: Read + AsRawFd + Send> ReadPipe for T {}

fn run(monitor: &Monitor, orders: &Receiver<Order>) {
    // Hosts that were killed have left groups of processes.
    Cgroup::sweep();
    let mut entries: Vec<Entry> = Vec::new();
    let mut buffer = vec![0; PIECE];
    let mut give_up = None;
    loop {
        take_orders(orders, &mut entries);
        if monitor.is_over.load(Ordering::Acquire) {
            entries.iter().for_each(|entry| entry.watched.end(Ended::Killed));
            let left = give_up.get_or_insert_with(|| Instant::now() + SOON);
            if entries.is_empty() || Instant::now() >= *left {
                return entries.iter().for_each(|entry| entry.watched.abandon());
            }
        }
        let left = give_up.map(|it| it.saturating_duration_since(Instant::now()));
        let next = entries.iter().filter_map(Entry::beat).chain(left).min();
        let mut polled = vec![readable(monitor.wake.as_raw_fd())];
        entries.iter().for_each(|entry| polled.extend(entry.descriptors().map(readable)));
        if poll(&mut polled, next).is_err() {
            continue;
        }
        lower(monitor.wake.as_fd());
        let mut results = polled[1..].chunks_exact(4);
        entries.retain_mut(|entry| {
            results.next().is_none_or(|polled| entry.look(polled, &mut buffer))
        });
    }
}

/// Does what was ordered. The sender of orders lives as long as the thread, which has it too.
fn take_orders(orders: &Receiver<Order>, entries: &mut Vec<Entry>) {
    while let Ok(order) = orders.try_recv() {
        match order {
            Order::Start(mut command, answer) => {
                // The caller waits for the answer.
                let _ = answer.send(command.spawn());
            }
            Order::Watch(watched, stdout, stderr) => {
                let boxed = [stdout.map(never_waiting), stderr.map(never_waiting)];
                entries.push(Entry { watched, pipes: boxed.map(Option::flatten) });
            }
        }
    }
}

/// A pipe whose reads do not wait; nothing if that cannot be, so that nobody waits for it.
fn never_waiting<P: ReadPipe + AsFd + 'static>(pipe: P) -> Option<Box<dyn ReadPipe>> {
    never_wait(pipe.as_fd()).ok()?;
    Some(Box::new(pipe))
}

fn readable(descriptor: RawFd) -> libc::pollfd {
    // A negative number is not looked at.
    libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 }
}

impl Entry {
    /// The process, its two pipes and its control socket; −1 for one that is not there.
    fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let [output, errors] =
            self.pipes.each_ref().map(|pipe| pipe.as_ref().map_or(-1, |pipe| pipe.as_raw_fd()));
        let control =
            lock(&self.watched.control).as_ref().and_then(|it| it.descriptor()).unwrap_or(-1);
        [self.watched.handle.as_raw_fd(), output, errors, control].into_iter()
    }

    /// Sends a heartbeat if it is time; says when to look again.
    fn beat(&self) -> Option<Duration> {
        let pulse = lock(&self.watched.control).as_mut()?.beat(Instant::now());
        match pulse {
            Ok(Pulse::Good(next)) => return Some(next),
            Ok(Pulse::Silent(silent)) => {
                let by_signal = is_stopped(self.watched.process);
                self.watched.end(Ended::Stopped { silent, by_signal });
            }
            Err(error) => self.watched.end(Ended::Protocol(ProtocolError::Message(error))),
        }
        None
    }

    /// Looks at what is ready; false once there is nothing left to look after.
    fn look(&mut self, polled: &[libc::pollfd], buffer: &mut [u8]) -> bool {
        let is_ready = |place: usize| polled.get(place).is_some_and(|it| it.revents != 0);
        for place in 0..2 {
            if is_ready(1 + place) {
                self.drain(place, 1, buffer);
            }
        }
        if is_ready(3) {
            let read = lock(&self.watched.control).as_mut().map(|control| control.read());
            if let Some(Err(error)) = read {
                self.watched.end(Ended::Protocol(ProtocolError::Message(error)));
            }
        }
        if !is_ready(0) {
            return true;
        }
        // It has ended. Earlier output is in the pipes, which hold no more than this.
        (0..2).for_each(|place| self.drain(place, 64, buffer));
        *lock(&self.watched.control) = None;
        self.watched.reap();
        false
    }

    /// Reads from a pipe, so many pieces at most.
    fn drain(&mut self, place: usize, pieces: usize, buffer: &mut [u8]) {
        for _ in 0..pieces {
            let Some(pipe) = &mut self.pipes[place] else { return };
            match pipe.read(buffer) {
                Ok(0) => self.pipes[place] = None,
                Ok(length) => lock(&self.watched.printed[place]).add(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipes[place] = None,
            }
        }
    }
}
