//! Compiling on another thread than the waiting one: with a deadline, a way to give up, and a bound
//! on the compiles that go on after that.
//!
//! The compiler works in a process of its own, which is killed when nobody waits for it any more. Where
//! there is none, it works on a thread of this process, and a thread cannot be killed: it goes on in the
//! background until it is done; its code is then in the cache, so that the next load of the artifact
//! finds it. Such compiles are counted, and when there are as many as the machine has cores (four at
//! most) nothing new is compiled. Each compile has threads of its own: in a common pool, a small plugin
//! would wait behind the functions of a large one, and time out as well.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use glovebox_abi::units::{show_duration, show_size};
use glovebox_events::LoadStage;
use parking_lot::Mutex;
use tracing::Span;

use super::read::Artifact;
use super::{CompilePlace, LoadRequest};
use crate::backend::outside::Process;
use crate::guard::caught;
use crate::problem::{LoadProblem, Origin, StageError, shorten};
use crate::underway::Underway;

/// The time that the smallest artifact may take.
const BASE: Duration = Duration::from_secs(10);
/// The time that each MiB may take in addition: some ten times the need of the compiler on two idle
/// cores.
const PER_MIB: Duration = Duration::from_secs(10);
/// In a build for debugging the compiler is hardly optimised, and takes so many times as long.
const SLOWNESS: u32 = if cfg!(debug_assertions) { 10 } else { 1 };
/// The bound that neither a manifest nor the size of an artifact can raise.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// How long an artifact of `size` bytes may take unless somebody says otherwise: 10 s and 10 s for
/// each MiB, 10 min at most.
fn deadline_of_size(size: u64) -> Duration {
    let millis = u128::from(size) * PER_MIB.as_millis() / (1 << 20);
    let more = Duration::from_millis(millis.try_into().unwrap_or(u64::MAX));
    BASE.saturating_add(more).min(MAX_DEADLINE)
}

/// The memory that the compiler of the smallest artifact may use: it depends on the largest functions
/// more than on the size of all. A runtime of Python, of 17.5 MiB, needs 385 MB on two cores.
const BASE_MEMORY: u64 = 1 << 30;
/// The memory that each byte of an artifact may take in addition.
const MEMORY_PER_BYTE: u64 = 32;
/// The bound that neither a manifest nor the size of an artifact can raise.
const MAX_MEMORY: u64 = 8 << 30;

/// How many bytes of memory compiling an artifact of `size` bytes may take unless somebody says
/// otherwise: 1 GiB and 32 MiB for each MiB, 8 GiB at most.
fn memory_of_size(size: u64) -> u64 {
    BASE_MEMORY.saturating_add(size.saturating_mul(MEMORY_PER_BYTE)).min(MAX_MEMORY)
}

/// The amounts that compiling an artifact may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CompileLimits {
    pub(super) deadline: Duration,
    /// Bytes.
    pub(super) memory: u64,
    /// True if nobody waits for it.
    pub(super) in_background: bool,
}

/// The place and the bounds of the compiles of a host.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CompileBounds {
    pub(crate) place: CompilePlace,
    /// The bound on the time of a compile, and on its memory, unless its load gives another.
    pub(crate) deadline: Option<Duration>,
    pub(crate) memory: Option<u64>,
}

impl CompileBounds {
    /// The limits of one compile: those of its load, else those that its manifest says or its size
    /// suggests, if the host allows as much.
    pub(super) fn limits(&self, artifact: &Artifact, request: &LoadRequest) -> CompileLimits {
        let (runtime, size) = (&artifact.manifest.runtime, artifact.bytes.len() as u64);
        let deadline = request.compile_deadline.unwrap_or_else(|| {
            let by_size = || deadline_of_size(size).saturating_mul(SLOWNESS);
            let asked = runtime.compile_deadline.unwrap_or_else(by_size);
            asked.min(self.deadline.unwrap_or(MAX_DEADLINE))
        });
        let memory = request.compile_memory.unwrap_or_else(|| {
            let asked = runtime.compile_memory.unwrap_or_else(|| memory_of_size(size));
            asked.min(self.memory.unwrap_or(MAX_MEMORY))
        });
        CompileLimits { deadline, memory, in_background: false }
    }
}

/// A compile that is under way; see [`Host::compiles`](crate::Host::compiles).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompileStatus {
    /// Names it in [`Host::cancel_compile`](crate::Host::cancel_compile).
    pub id: u64,
    /// Where the artifact comes from.
    pub origin: Origin,
    /// Size of the artifact in bytes.
    pub size: u64,
    /// How long it has been under way.
    pub elapsed: Duration,
    /// How long it may take.
    pub deadline: Duration,
    /// Bytes of memory that its process holds; `None` if it is in this process, and in the moment
    /// before its own has started.
    pub memory: Option<u64>,
    /// True if nobody waits for it any more: it took too long or was cancelled. Its process ends; in this
    /// process it goes on in the background.
    pub given_up: bool,
}

/// `compiling a.wasm, 17.5 MiB: 12 s of 185 s, 310 MB`.
impl fmt::Display for CompileStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CompileStatus { origin, size, elapsed, deadline, .. } = self;
        let (name, size) = (shorten(&origin.name()), show_size(*size));
        let (elapsed, deadline) = (elapsed.as_secs(), show_duration(*deadline));
        write!(formatter, "compiling {name}, {size}: {elapsed} s of {deadline}")?;
        self.memory.map_or(Ok(()), |memory| write!(formatter, ", {}", show_size(memory)))
    }
}

/// All compiles of a host that are under way.
pub(super) struct Compiles {
    running: Arc<Mutex<UnderWay>>,
    /// So many may go on without anybody who waits.
    limit: usize,
}

#[derive(Default)]
struct UnderWay {
    last_id: u64,
    /// True once all were cancelled.
    is_over: bool,
    list: BTreeMap<u64, Compile>,
}

struct Compile {
    origin: Origin,
    size: u64,
    started: Instant,
    deadline: Duration,
    given_up: bool,
    /// The place where it is.
    place: Place,
    /// Ends the wait for it, and says whether it goes on.
    cancel: Box<dyn Fn(bool) + Send>,
}

/// Where a compile is.
enum Place {
    /// On its way to a process of its own.
    Soon,
    /// In it.
    Process(Process),
    /// In this process, where nothing can end it.
    Here,
}

impl Compile {
    /// Ends the wait for it. `false` if that was done before.
    fn give_up(&mut self) -> bool {
        let is_first = !std::mem::replace(&mut self.given_up, true);
        if is_first {
            (self.cancel)(self.goes_on());
            self.end();
        }
        is_first
    }

    /// True if it goes on in the background when it is given up.
    fn goes_on(&self) -> bool {
        matches!(self.place, Place::Here)
    }

    /// Ends its process.
    fn end(&self) {
        if let Place::Process(process) = &self.place {
            (process.kill)();
        }
    }
}

/// A compile under way, for the thread that does it.
pub(super) struct Attempt {
    running: Arc<Mutex<UnderWay>>,
    id: u64,
    started: Instant,
}

impl Attempt {
    /// The compiler works in this process from now on. If nobody waits for it any more, it is ended.
    pub(super) fn moves_out(&self, process: Process) {
        self.moves(Place::Process(process));
    }

    /// The compiler works in the process of the host from now on. `false` if nobody waits for it any
    /// more, who was told that it ends: then it must not begin.
    pub(super) fn stays_here(&self) -> bool {
        self.moves(Place::Here)
    }

    /// The problem of a compile that was given up.
    pub(super) fn given_up(&self) -> LoadProblem {
        LoadProblem::CompileCancelled { elapsed: self.started.elapsed(), goes_on: false }
    }

    fn moves(&self, place: Place) -> bool {
        let mut running = self.running.lock();
        let Some(compile) = running.list.get_mut(&self.id) else { return false };
        compile.place = place;
        if compile.given_up {
            compile.end();
        }
        !compile.given_up
    }
}

impl Compiles {
    pub(super) fn new() -> Compiles {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Compiles { running: Arc::default(), limit: cores.min(4) }
    }

    /// Runs `compile` on a thread of its own and waits for it.
    ///
    /// # Errors
    ///
    /// The error of `compile`, and [`LoadProblem::CompileTimeout`],
    /// [`LoadProblem::CompileCancelled`],
    /// [`LoadProblem::CompilesStuck`] or [`LoadProblem::CompilerPanicked`].
    pub(super) fn run<T: Send + 'static>(
        &self,
        (origin, size): (&Origin, u64),
        deadline: Duration,
        load: &Underway,
        compile: impl FnOnce(&Attempt) -> Result<T, StageError> + Send + 'static,
    ) -> Result<T, StageError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let cancel = sender.clone();
        let started = Instant::now();
        let id = self.begin(Compile {
            origin: origin.clone(),
            size,
            started,
            deadline,
            given_up: false,
            place: Place::Soon,
            cancel: Box::new(move |goes_on| {
                let elapsed = started.elapsed();
                // A result that is there already wins.
                let cancelled = LoadProblem::CompileCancelled { elapsed, goes_on };
                let _ = cancel.try_send(Err(cancelled.at(LoadStage::Compile)));
            }),
        });
        let id = id.map_err(|problem| problem.at(LoadStage::Compile))?;
        let attempt = Attempt { running: self.running.clone(), id, started };
        let cancelled = self.running.clone();
        let _ending = load.ended_by(move || {
            if let Some(compile) = cancelled.lock().list.get_mut(&id) {
                compile.give_up();
            }
        });
        let load = Span::current();
        let running = self.running.clone();
        let thread = std::thread::Builder::new().name("glovebox-compile".to_owned());
        let spawned = thread.spawn(move || {
            // The compiler keeps nothing of ours that a panic could leave half-done.
            let compiled =
                caught(|| load.in_scope(|| compile(&attempt))).unwrap_or_else(|message| {
                    Err(LoadProblem::CompilerPanicked { message }.at(LoadStage::Compile))
                });
            // Nobody waits for the end of this thread, and the span ends with the load.
            drop(load);
            running.lock().list.remove(&id);
            // Nobody listens any more if it was given up.
            let _ = sender.try_send(compiled);
        });
        if let Err(error) = spawned {
            self.running.lock().list.remove(&id);
            return Err(LoadProblem::from(error).at(LoadStage::Compile));
        }
        match receiver.recv_timeout(deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let mut goes_on = false;
                if let Some(compile) = self.running.lock().list.get_mut(&id) {
                    compile.given_up = true;
                    goes_on = compile.goes_on();
                    compile.end();
                }
                let late = LoadProblem::CompileTimeout { size, deadline, goes_on };
                Err(late.at(LoadStage::Compile))
            }
        }
    }

    /// Refuses a further compile if too many go on that were given up.
    fn begin(&self, compile: Compile) -> Result<u64, LoadProblem> {
        let mut running = self.running.lock();
        if running.is_over {
            let elapsed = Duration::ZERO;
            return Err(LoadProblem::CompileCancelled { elapsed, goes_on: false });
        }
        let goes_on = |compile: &&Compile| compile.given_up && compile.goes_on();
        let given_up = running.list.values().filter(goes_on).count();
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
        self.running.lock().list.get_mut(&id).is_some_and(Compile::give_up)
    }

    /// Ends the wait for all of them, and refuses further ones.
    pub(super) fn cancel_all(&self) {
        let mut running = self.running.lock();
        running.is_over = true;
        for compile in running.list.values_mut() {
            compile.give_up();
        }
    }

    pub(super) fn list(&self) -> Vec<CompileStatus> {
        let running = self.running.lock();
        let list = running.list.iter().map(|(id, compile)| CompileStatus {
            id: *id,
            origin: compile.origin.clone(),
            size: compile.size,
            elapsed: compile.started.elapsed(),
            deadline: compile.deadline,
            memory: match &compile.place {
                Place::Process(process) => (process.memory)(),
                Place::Soon | Place::Here => None,
            },
            given_up: compile.given_up,
        });
        list.collect()
    }
}

/// Runs a compile so that its parallel parts have threads that no other compile uses.
pub(super) fn on_own_threads<T: Send>(compile: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().thread_name(|at| format!("glovebox-compile-{at}"));
    match pool.build() {
        Ok(pool) => pool.install(compile),
        // On the threads that all share.
        Err(error) => {
            tracing::warn!(%error, "a compile has no threads of its own");
            compile()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::underway::Loads;

    const LONG: Duration = Duration::from_secs(60);
    const FILE: (&str, u64) = ("a.wasm", 3);

    fn run<T: Send + 'static>(
        compiles: &Compiles,
        deadline: Duration,
        compile: impl FnOnce() -> Result<T, LoadProblem> + Send + 'static,
    ) -> Result<T, String> {
        let origin = Path::new(FILE.0).into();
        let load = Loads::default().begin(Origin::Application);
        let result = compiles.run((&origin, FILE.1), deadline, &load, |attempt| {
            assert!(attempt.stays_here());
            on_own_threads(compile).map_err(|problem| problem.at(LoadStage::Compile))
        });
        result.map_err(|error| error.problem.to_string())
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
    fn memory_grows_with_the_size() {
        fn check(size: u64, expected: u64) {
            assert_eq!(memory_of_size(size), expected << 20, "{size}");
        }
        check(0, 1024);
        check(1 << 20, 1056);
        check(256 << 20, 8192);
        check(u64::MAX, 8192);
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
    fn a_compile_does_not_wait_behind_another() {
        let compiles = Arc::new(Compiles::new());
        let (go, blocked) = mpsc::sync_channel::<()>(1);
        let blocked = Arc::new(Mutex::new(blocked));
        let hogs: Vec<_> = (0..2)
            .map(|_| {
                let (compiles, blocked) = (compiles.clone(), blocked.clone());
                let (begun, begins) = mpsc::sync_channel(1);
                let hog = std::thread::spawn(move || {
                    run(&compiles, LONG, move || {
                        // On all threads that it has.
                        rayon::broadcast(|_| {
                            let _ = begun.try_send(());
                            let _ = blocked.lock().recv();
                        });
                        Ok(())
                    })
                });
                begins.recv().unwrap();
                hog
            })
            .collect();
        assert_eq!(run(&compiles, LONG, || Ok(rayon::join(|| 1, || 2))), Ok((1, 2)));
        drop(go);
        for hog in hogs {
            assert_eq!(hog.join().unwrap(), Ok(()));
        }
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
        assert_eq!((status.origin.path(), status.size), (Some(Path::new(FILE.0)), FILE.1));
        assert!(compiles.cancel(status.id) && !compiles.cancel(status.id));
        let error = waiting.join().unwrap().unwrap_err();
        assert!(error.starts_with("compiling was cancelled after "), "{error}");
        assert!(compiles.list().remove(0).given_up);
        drop(go);
    }
}
