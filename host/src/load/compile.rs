//! Compiling beside whoever waits for it: with a deadline, a way to give up, and a bound on what goes
//! on after that.
//!
//! A thread cannot be killed. One that nobody waits for any more goes on in the background until it
//! is done; its code is then in the cache, so that the next load of the artifact finds it. What goes
//! on like this is counted, and when it is as much as the machine has cores (four at most) nothing
//! new is compiled: it would wait behind that in the compiler's own threads, and time out as well.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use glovebox_abi::units::{show_duration, show_size};
use parking_lot::Mutex;
use tracing::Span;

use super::{LoadProblem, shorten};
use crate::guard::caught;

/// What the smallest artifact may take.
const BASE: Duration = Duration::from_secs(10);
/// What each MiB may take in addition: some ten times what the compiler needs for it on two idle
/// cores.
const PER_MIB: Duration = Duration::from_secs(10);
/// What neither a manifest nor the size of an artifact can raise.
pub(crate) const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// How long an artifact of `size` bytes may take unless somebody says otherwise: 10 s and 10 s for
/// each MiB, 10 min at most.
pub(crate) fn deadline_of_size(size: u64) -> Duration {
    let millis = u128::from(size) * PER_MIB.as_millis() / (1 << 20);
    let more = Duration::from_millis(millis.try_into().unwrap_or(u64::MAX));
    BASE.saturating_add(more).min(MAX_DEADLINE)
}

/// A compile that is under way; see [`Host::compiles`](crate::Host::compiles).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileStatus {
    /// Names it in [`Host::cancel_compile`](crate::Host::cancel_compile).
    pub id: u64,
    /// The artifact.
    pub path: PathBuf,
    /// Size of the artifact in bytes.
    pub size: u64,
    /// How long it has been under way.
    pub elapsed: Duration,
    /// How long it may take.
    pub deadline: Duration,
    /// True if nobody waits for it any more: it took too long or was cancelled, and goes on in the
    /// background.
    pub given_up: bool,
}

/// `compiling a.wasm, 17.5 MiB: 12 s of 185 s`.
impl fmt::Display for CompileStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CompileStatus { path, size, elapsed, deadline, .. } = self;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let (name, size) = (shorten(&name), show_size(*size));
        let (elapsed, deadline) = (elapsed.as_secs(), show_duration(*deadline));
        write!(formatter, "compiling {name}, {size}: {elapsed} s of {deadline}")
    }
}

/// All compiles of a host that are under way.
pub(super) struct Compiles {
    running: Arc<Mutex<Running>>,
    /// So many may go on without anybody who waits.
    limit: usize,
}

#[derive(Default)]
struct Running {
    last_id: u64,
    list: BTreeMap<u64, Compile>,
}

struct Compile {
    path: PathBuf,
    size: u64,
    started: Instant,
    deadline: Duration,
    given_up: bool,
    /// Ends the wait for it.
    cancel: Box<dyn Fn() + Send>,
}

impl Compiles {
    pub(super) fn new() -> Compiles {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Compiles { running: Arc::default(), limit: cores.min(4) }
    }

    /// Runs the compiler on a thread of its own and waits for it.
    ///
    /// # Errors
    ///
    /// What `compile` says, and [`LoadProblem::CompileTimeout`], [`LoadProblem::CompileCancelled`],
    /// [`LoadProblem::CompilesStuck`] or [`LoadProblem::CompilerPanicked`].
    pub(super) fn run<T: Send + 'static>(
        &self,
        (path, size): (&Path, u64),
        deadline: Duration,
        compile: impl FnOnce() -> Result<T, LoadProblem> + Send + 'static,
    ) -> Result<T, LoadProblem> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let cancel = sender.clone();
        let started = Instant::now();
        let id = self.begin(Compile {
            path: path.to_owned(),
            size,
            started,
            deadline,
            given_up: false,
            cancel: Box::new(move || {
                let elapsed = started.elapsed();
                // A result that is there already wins.
                let _ = cancel.try_send(Err(LoadProblem::CompileCancelled { elapsed }));
            }),
        })?;
        let load = Span::current();
        let running = self.running.clone();
        let thread = std::thread::Builder::new().name("glovebox-compile".to_owned());
        let spawned = thread.spawn(move || {
            // The compiler keeps nothing of ours that a panic could leave half-done.
            let compiled = caught(|| load.in_scope(compile))
                .unwrap_or_else(|message| Err(LoadProblem::CompilerPanicked { message }));
            // Nobody waits for the end of this thread, and the span ends with the load.
            drop(load);
            running.lock().list.remove(&id);
            // Nobody listens any more if it was given up.
            let _ = sender.try_send(compiled);
        });
        if let Err(error) = spawned {
            self.running.lock().list.remove(&id);
            return Err(error.into());
        }
        match receiver.recv_timeout(deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                if let Some(compile) = self.running.lock().list.get_mut(&id) {
                    compile.given_up = true;
                }
                Err(LoadProblem::CompileTimeout { size, deadline })
            }
        }
    }

    /// Refuses a further compile if too many go on that were given up.
    fn begin(&self, compile: Compile) -> Result<u64, LoadProblem> {
        let mut running = self.running.lock();
        let given_up = running.list.values().filter(|compile| compile.given_up).count();
        if given_up >= self.limit {
            return Err(LoadProblem::CompilesStuck { given_up, limit: self.limit });
        }
        running.last_id += 1;
        let id = running.last_id;
        running.list.insert(id, compile);
        Ok(id)
    }

    /// Ends the wait for a compile. `false` if it is done, or nobody waits for it.
    pub(super) fn cancel(&self, id: u64) -> bool {
        let mut running = self.running.lock();
        match running.list.get_mut(&id) {
            Some(compile) if !compile.given_up => {
                compile.given_up = true;
                (compile.cancel)();
                true
            }
            _ => false,
        }
    }

    pub(super) fn list(&self) -> Vec<CompileStatus> {
        let running = self.running.lock();
        let list = running.list.iter().map(|(id, compile)| CompileStatus {
            id: *id,
            path: compile.path.clone(),
            size: compile.size,
            elapsed: compile.started.elapsed(),
            deadline: compile.deadline,
            given_up: compile.given_up,
        });
        list.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const FILE: (&str, u64) = ("a.wasm", 3);

    fn run<T: Send + 'static>(
        compiles: &Compiles,
        deadline: Duration,
        compile: impl FnOnce() -> Result<T, LoadProblem> + Send + 'static,
    ) -> Result<T, String> {
        let result = compiles.run((Path::new(FILE.0), FILE.1), deadline, compile);
        result.map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_deadline_grows_with_the_size() {
        fn check(size: u64, expected: u64) {
            assert_eq!(deadline_of_size(size), Duration::from_secs(expected), "{size}");
        }
        check(0, 10);
        check(1 << 20, 20);
        check(16 << 20, 170);
        check(256 << 20, 600);
        check(u64::MAX, 600);
    }

    #[test]
    fn a_panic_of_the_compiler_says_its_reason() {
        #[track_caller]
        fn check(compile: impl FnOnce() + Send + 'static, expected: &str) {
            let compiles = Compiles::new();
            let result = run(&compiles, LONG, || {
                compile();
                Ok(())
            });
            assert_eq!(result.unwrap_err(), format!("the compiler panicked: {expected}"));
            assert_eq!(compiles.list(), []);
        }
        check(|| panic!("no such\n  thing"), "no such thing");
        check(|| panic!("{} things", 3), "3 things");
        check(|| std::panic::panic_any(3), "it gave no reason");
    }

    #[test]
    fn what_was_given_up_counts_until_it_is_done() {
        let compiles = Compiles { limit: 2, ..Compiles::new() };
        let (go, blocked) = mpsc::sync_channel::<()>(1);
        let blocked = Arc::new(Mutex::new(blocked));
        let hang = || {
            let blocked = blocked.clone();
            move || {
                // Until the sender is gone.
                let _ = blocked.lock().recv();
                Ok(())
            }
        };
        for _ in 0..2 {
            let error = run(&compiles, Duration::from_millis(1), hang()).unwrap_err();
            assert_eq!(error, "compiling took longer than 1 ms for 3 B");
        }
        assert!(compiles.list().iter().all(|compile| compile.given_up));
        let error = run(&compiles, LONG, || Ok(())).unwrap_err();
        assert_eq!(
            error,
            "2 compiles that were given up are still under way, and no more than 2 may be"
        );
        drop(go);
        // They end by themselves, and then there is room again.
        while !compiles.list().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(run(&compiles, LONG, || Ok(5)), Ok(5));
    }

    #[test]
    fn a_compile_can_be_cancelled() {
        let compiles = Arc::new(Compiles::new());
        let (go, blocked) = mpsc::sync_channel::<()>(1);
        let (begun, begins) = mpsc::sync_channel(1);
        let waiting = std::thread::spawn({
            let compiles = compiles.clone();
            move || {
                run(&compiles, LONG, move || {
                    let _ = begun.send(());
                    let _ = blocked.recv();
                    Ok(())
                })
            }
        });
        begins.recv().unwrap();
        let status = compiles.list().remove(0);
        assert_eq!((status.path.as_path(), status.size), (Path::new(FILE.0), FILE.1));
        assert!(compiles.cancel(status.id) && !compiles.cancel(status.id));
        let error = waiting.join().unwrap().unwrap_err();
        assert!(error.starts_with("compiling was cancelled after "), "{error}");
        assert!(compiles.list().remove(0).given_up);
        drop(go);
    }
}
