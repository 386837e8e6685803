//! The state of one worker, which all threads of the host share.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use glovebox_sandbox::Cgroup;

use crate::Ended;
use crate::control::Control;
use crate::link::Broken;
use crate::output::PrintedTail;
use crate::stream::Bell;
use crate::system::signal;
use crate::usage::{Usage, of_process};

/// How long a killed process may take to end.
pub(crate) const SOON: Duration = Duration::from_secs(2);

pub(crate) struct Watched {
    pub(crate) process: u32,
    pub(crate) handle: OwnedFd,
    /// Wakes the thread that waits for its answer.
    bell: Arc<Bell>,
    pub(crate) cgroup: Option<Cgroup>,
    /// Nothing before the worker is in its sandbox, and of a program.
    pub(crate) control: Mutex<Option<Control>>,
    /// Standard output and standard error.
    pub(crate) printed: [Mutex<PrintedTail>; 2],
    /// Its other end is read by the keeper, which ends the worker's processes once this is closed.
    lifeline: Mutex<Option<OwnedFd>>,
    /// Of the keeper of a client, which ends what it keeps once its line is closed: the command for that.
    ends_by: Option<Vec<String>>,
    /// True of a program whose exit code tells how another one ended.
    pub(crate) is_wrapper: bool,
    /// The process of the program that somebody else runs; 0 if it is not known.
    program: AtomicU32,
    state: Mutex<State>,
    changed: Condvar,
    /// True once it was killed or has ended, and once it was waited for.
    is_ending: AtomicBool,
    is_over: AtomicBool,
    is_cancelled: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Why it was killed, if it was.
    cause: Option<Ended>,
    /// How it ended. Until then its number and its group are not anybody else's.
    ended: Option<Ended>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watched").field("process", &self.process).finish_non_exhaustive()
    }
}

/// The guard of a lock whose holders leave nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    pub(crate) fn new(
        process: u32,
        handle: OwnedFd,
        bell: Arc<Bell>,
        cgroup: Option<Cgroup>,
        lifeline: OwnedFd,
        output_bytes: usize,
    ) -> Watched {
        Watched {
            process,
            handle,
            bell,
            cgroup,
            control: Mutex::new(None),
            printed: [(); 2].map(|()| Mutex::new(PrintedTail::new(output_bytes))),
            lifeline: Mutex::new(Some(lifeline)),
            ends_by: None,
            is_wrapper: false,
            program: AtomicU32::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
            is_ending: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            is_cancelled: AtomicBool::new(false),
        }
    }

    /// The keeper of a client.
    pub(crate) fn of_client(
        process: u32,
        handle: OwnedFd,
        bell: Arc<Bell>,
        lifeline: OwnedFd,
        output_bytes: usize,
        ends_by: Vec<String>,
    ) -> Watched {
        let watched = Watched::new(process, handle, bell, None, lifeline, output_bytes);
        Watched { ends_by: Some(ends_by), ..watched }
    }

    /// Notes the process of the program, whose usage counts.
    pub(crate) fn set_program(&self, process: u32) {
        self.program.store(process, Ordering::Relaxed);
    }

    /// Kills the worker and all that it started, for this reason if it is the first.
    pub(crate) fn end(&self, cause: Ended) {
        let mut state = lock(&self.state);
        if state.ended.is_none() {
            state.cause.get_or_insert(cause);
            self.is_ending.store(true, Ordering::Release);
            self.kill_all();
        }
    }

    /// Kills the whole tree. The caller holds the lock of the state, and the process was not waited
    /// for.
    fn kill_all(&self) {
        if self.ends_by.is_some() {
            // It knows how to end what it keeps, and ends then.
            drop(lock(&self.lifeline).take());
            return;
        }
        // Errors mean that there is nobody left.
        let _ = signal(self.handle.as_fd(), libc::SIGKILL);
        if let Ok(group) = i32::try_from(self.process) {
            // SAFETY: it takes numbers. The worker leads the group of its own number, which is
            // nobody else's as long as it was not waited for.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill();
        }
    }

    /// Waits for the process, which has ended, and notes how it did. Processes that it started are
    /// killed first.
    pub(crate) fn reap(&self) {
        let mut state = lock(&self.state);
        if state.ended.is_some() {
            return;
        }
        self.kill_all();
        let mut status = 0;
        let waited = loop {
            // SAFETY: the number is ours; the process is a child of this one that nobody waited
            // for.
            let waited = unsafe { libc::waitpid(self.process as i32, &raw mut status, 0) };
            if waited != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                break waited;
            }
        };
        // Somebody else waited for it, such as a handler of SIGCHLD of the application.
        let status = if waited == -1 { libc::SIGKILL } else { status };
        let for_memory = self.cgroup.as_ref().is_some_and(|group| group.killed_for_memory() > 0);
        let errors = lock(&self.printed[1]).bytes();
        let ended = match &self.ends_by {
            Some(command) => {
                // To end it twice does no harm.
                if !crate::client::has_ended_program(status) {
                    crate::client::end_soon(command.clone());
                }
                crate::ended::classify_client(status, &errors)
            }
            None if self.is_wrapper => {
                let inner = crate::ended::status_of_inner(status);
                crate::ended::classify(inner, for_memory, &errors)
            }
            None => crate::ended::classify(status, for_memory, &errors),
        };
        state.ended = Some(state.cause.take().unwrap_or(ended));
        drop(state);
        self.announce_end();
    }

    /// Gives up waiting for a process that was killed and does not end. The kernel ends it once it
    /// can, and nobody learns how.
    pub(crate) fn abandon(&self) {
        let mut state = lock(&self.state);
        let cause = state.cause.take().unwrap_or(Ended::Killed);
        state.ended.get_or_insert(cause);
        drop(state);
        self.announce_end();
    }

    fn announce_end(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.is_over.store(true, Ordering::Release);
        self.changed.notify_all();
        self.bell.ring();
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        lock(&self.state).ended.clone()
    }

    /// Its usage; `None` once it has ended.
    pub(crate) fn usage(&self) -> Option<Usage> {
        // Until it was waited for, its number is nobody else's.
        let state = lock(&self.state);
        let process = match self.program.load(Ordering::Relaxed) {
            0 => self.process,
            program => program,
        };
        state.ended.is_none().then(|| of_process(process)).flatten()
    }

    /// True once it was killed, or has ended.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// How it ended, which it is about to do. A process that waits for a device does not end before
    /// that answers: then this is why it was killed.
    pub(crate) fn soon_ended(&self) -> Ended {
        let state = lock(&self.state);
        let waited = self.changed.wait_timeout_while(state, SOON, |state| state.ended.is_none());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.ended.clone().or_else(|| state.cause.clone()).unwrap_or(Ended::Killed)
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&self) -> Ended {
        let state = lock(&self.state);
        let waited = self.changed.wait_while(state, |state| state.ended.is_none());
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        state.ended.clone().unwrap_or(Ended::Killed)
    }

    /// Why a thread should not wait for the worker any longer.
    pub(crate) fn interrupt(&self) -> Option<Broken> {
        if self.is_over.load(Ordering::Acquire) {
            return Some(Broken::Gone);
        }
        self.is_cancelled.load(Ordering::Relaxed).then_some(Broken::Cancelled)
    }

    /// The same for a call that was cancelled already.
    pub(crate) fn interrupt_by_end(&self) -> Option<Broken> {
        self.is_over.load(Ordering::Acquire).then_some(Broken::Gone)
    }

    fn cancel(&self) {
        // All that the caller did before is seen by the thread that forgets this.
        self.is_cancelled.store(true, Ordering::Release);
        self.bell.ring();
    }

    pub(crate) fn forget_cancellation(&self) {
        self.is_cancelled.swap(false, Ordering::AcqRel);
    }
}

/// Reads the usage of a worker, from any thread, as long as somebody has the worker.
#[derive(Debug, Clone)]
pub struct Meter(pub(crate) Weak<Watched>);

impl Meter {
    /// Its usage; `None` once it has ended.
    pub fn usage(&self) -> Option<Usage> {
        self.0.upgrade()?.usage()
    }
}

/// Cancels what a worker does, from any thread.
#[derive(Debug, Clone)]
pub struct Canceller(pub(crate) Arc<Watched>);

impl Canceller {
    /// Cancels the running call, as [`Worker::heed`](crate::Worker::heed) said. If none is running, the
    /// next one, unless the host forgets it.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Kills the worker and all that it started.
    pub fn kill(&self) {
        self.0.end(Ended::Killed);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;

    use super::*;
    use crate::client::has_ended_program;
    use crate::system::{event, open_process};

    /// A program is ended, unless its keeper says that it did so: also if the client exited before the keeper
    /// heard that it should.
    #[test]
    fn a_program_is_ended_unless_its_keeper_did() {
        fn check(keeper: &str, is_asked: bool, expected: &Ended) {
            let folder = tempfile::tempdir().unwrap();
            let mark = folder.path().join("ended").display().to_string();
            let keeper = Command::new("/bin/sh").args(["-c", keeper]).process_group(0).spawn();
            let mut keeper = keeper.unwrap();
            let (_line, lifeline) = io::pipe().unwrap();
            let handle = open_process(keeper.id()).unwrap();
            let bell = Arc::new(Bell::Event(event().unwrap()));
            let ends_by = vec!["mkdir".to_owned(), mark.clone()];
            let lifeline = lifeline.into();
            let watched = Watched::of_client(keeper.id(), handle, bell, lifeline, 0, ends_by);
            if is_asked {
                watched.end(Ended::Killed);
            }
            watched.reap();
            assert_eq!(watched.ended().as_ref(), Some(expected));
            assert!(keeper.wait().is_err(), "it was waited for");
            let end = std::time::Instant::now() + Duration::from_secs(300);
            while !std::path::Path::new(&mark).exists() {
                assert!(std::time::Instant::now() < end, "nobody ends the program");
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        check("exit 3", false, &Ended::Exited { code: 3 });
        check("exit 3", true, &Ended::Killed);
        check("kill -9 $$", false, &Ended::Signalled { signal: libc::SIGKILL });
        check("kill -9 $$", true, &Ended::Killed);
        let status = Command::new("/bin/sh").args(["-c", "kill -USR1 $$"]).status().unwrap();
        assert!(has_ended_program(status.into_raw()) && !has_ended_program(0));
    }
}
