//! Native plugins in processes of their own: a worker for each copy, in its sandbox.
//!
//! [`WorkerCode`] is a library that was checked but not opened, [`WorkerBackend`] a copy of it. The other
//! side, which opens the library, is in `inside`. Two jobs are done in throw-away workers before this
//! process has the code: `compiler` compiles WebAssembly, and `trial` opens a library for the first time.

pub(crate) mod check;
mod compiler;
mod container;
pub(crate) mod engine;
mod inside;
mod layers;
mod outfit;
mod seccomp;
mod stack;
mod trial;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use glovebox_abi::manifest::{LimitKind, Limits};
use glovebox_abi::text::inert_lines;
use glovebox_abi::wire::{Bounds, Load};
use glovebox_abi::{Failure, Frame, Health, LogLevel, State};
use glovebox_events::Outcome;
use glovebox_sandbox::{Access, Folder, Layer, Missing, Promise, SandboxReport};
use glovebox_worker::{
    CallError, Canceller, Captured, Ended, LastWords, LoadError, OnCancel, Spec, Worker, Workers,
};
use parking_lot::Mutex;
use tempfile::TempPath;

#[cfg(test)]
pub(crate) use compiler::Fault;
use trial::Tried;

use super::outside::{About, Trial};
use super::{Backend, MAX_MESSAGE_LEN, failed, message_of};
use crate::failure::{EndedProcess, Evidence};
use crate::frames::Frames;
use crate::problem::{LoadProblem, shorten};
use crate::services::{AFTER_CANCELLATION, Cancel, Context, MAX_LINE_LEN, Meter, ResourceUsage};
use crate::stop::Stop;
use container::Image;
use engine::Engine;
use outfit::Outfit;

/// How much longer than its deadline a call may take before its worker is killed: time for a plugin that
/// was told to end, and for the way back.
const GRACE: Duration = Duration::from_millis(100);

/// How long a container may take to start, at least: an engine takes half a second on an idle machine.
const CONTAINER_START: Duration = Duration::from_secs(10);

/// Bytes of memory of a worker beside those of its plugin.
const AROUND: u64 = 32 << 20;

/// Bytes of addresses of a worker beside its memory: programs and libraries are mapped whole.
const ADDRESSES: u64 = 4 << 30;

/// The longest message that was cut, in bytes: with the words that say so.
const MAX_CUT_LEN: usize = MAX_MESSAGE_LEN + 64;

/// How often the kernel is asked for the memory of a worker.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);

/// The names of limits in the message that loads a plugin.
const OUTPUT_BYTES: &str = "output-bytes";
const OUTPUT_FRAMES: &str = "output-frames";

/// The code of a failure that stands for an answer of too many bytes for any message; its message is
/// their number. A plugin that uses it says the same of itself.
const EXCEEDED: u32 = 0xFFFF_FF01;

/// The binding in the message that loads a plugin.
const BINDING: &str = "native";

/// The same for a program, which knows what it is.
const FRAMED: &str = "framed";

/// True once `main` of this program has asked whether it is a worker.
static MAIN_ASKS: AtomicBool = AtomicBool::new(false);

/// If this process was started as a worker, becomes one and never returns; else does nothing.
pub(crate) fn run_if_requested() {
    glovebox_worker::run_if_requested(|| inside::Inside);
    MAIN_ASKS.store(true, Ordering::Relaxed);
}

/// Refuses to start a program again that does not ask whether it is a worker: it would start the whole
/// application again, which may load the plugin again …
fn refuse_a_program_that_does_not_ask() -> Result<(), LoadProblem> {
    refuse_unless(main_asks())
}

fn refuse_unless(main_asks: bool) -> Result<(), LoadProblem> {
    if main_asks {
        return Ok(());
    }
    Err(LoadProblem::NoWorker {
        reason: "this program cannot start itself as a worker".to_owned(),
        remedy: "let its `main` begin with `glovebox_host::worker::run_if_requested()`".to_owned(),
    })
}

/// True if `main` of this program has asked whether it is a worker.
pub(crate) fn main_asks() -> bool {
    MAIN_ASKS.load(Ordering::Relaxed)
}

/// Starts workers: by one thread, once the first is wanted.
#[derive(Default)]
pub(crate) struct WorkerStarter {
    workers: Mutex<Option<Arc<Workers>>>,
    /// The libraries that were opened in a worker.
    tried: Tried,
    engine: Mutex<Option<Arc<Engine>>>,
    /// Where the engine is, if the application says so.
    engine_path: OnceLock<PathBuf>,
    /// The fault that its compilers have.
    #[cfg(test)]
    pub(crate) fault: Mutex<Option<Fault>>,
}

impl WorkerStarter {
    /// The code of a library, of which this is a private copy. A trial opens it first, and tells which
    /// layers of the sandbox hold on this machine.
    pub(crate) fn code(
        &self,
        library: TempPath,
        about: &About<'_>,
    ) -> Result<WorkerCode, LoadProblem> {
        let workers = self.workers()?;
        let report = self.try_library(&Trial { library: &library, about }, check)?;
        Ok(WorkerCode { workers, artifact: Artifact::Library(library), report })
    }

    /// The code of a program, of which this is a private copy. A worker that does not become it tells
    /// which layers of the sandbox hold on this machine.
    pub(crate) fn program(
        &self,
        program: TempPath,
        command: Vec<String>,
        limits: &Limits,
    ) -> Result<WorkerCode, LoadProblem> {
        let workers = self.workers()?;
        let outfit = Outfit::default();
        let worker = start(&workers, (&program, Some(&command)), "trial", limits, outfit)?;
        let report = Arc::new(worker.report().clone());
        check(&report)?;
        Ok(WorkerCode { workers, artifact: Artifact::Program(program, command), report })
    }

    /// The code of an image, by its name and digest. The first container of a host tells which layers
    /// its engine puts around them.
    pub(crate) fn image(
        &self,
        reference: &str,
        command: Vec<String>,
        about: &About<'_>,
    ) -> Result<WorkerCode, LoadProblem> {
        let workers = self.workers()?;
        let engine = self.engine()?;
        engine.check_image(reference)?;
        let image = Image { engine: engine.clone(), reference: reference.to_owned(), command };
        let known = engine.layers.lock().clone();
        let report = match known {
            Some(report) => report,
            None => {
                let started = image.start(
                    &workers,
                    "trial",
                    about.limits,
                    &Outfit::default(),
                    about.deadline,
                );
                let (_, report) = started.map_err(|outcome| match outcome {
                    Outcome::Refused { reason } => LoadProblem::NoContainer {
                        reason,
                        remedy: "see the reason; `glovebox doctor` examines the engine".to_owned(),
                    },
                    outcome => LoadProblem::Call(outcome),
                })?;
                let report = Arc::new(report);
                *engine.layers.lock() = Some(report.clone());
                report
            }
        };
        check(&report)?;
        Ok(WorkerCode { workers, artifact: Artifact::Image(image), report })
    }

    /// The engine of containers, which is looked for when the first one is wanted.
    fn engine(&self) -> Result<Arc<Engine>, LoadProblem> {
        let mut engine = self.engine.lock();
        if let Some(engine) = &*engine {
            return Ok(engine.clone());
        }
        let found = Arc::new(Engine::find(self.engine_path.get().map(PathBuf::as_path))?);
        *engine = Some(found.clone());
        Ok(found)
    }

    /// Says where the engine of containers is, before one is wanted.
    pub(crate) fn uses_engine(&self, path: PathBuf) {
        // The builder says it once.
        let _ = self.engine_path.set(path);
    }

    /// Starts a worker.
    fn spawn(&self, spec: Spec) -> Result<Worker, LoadProblem> {
        self.workers()?.spawn(spec).map_err(|error| no_worker(&error))
    }

    /// The thread that starts workers.
    fn workers(&self) -> Result<Arc<Workers>, LoadProblem> {
        refuse_a_program_that_does_not_ask()?;
        let mut workers = self.workers.lock();
        if let Some(workers) = &*workers {
            return Ok(workers.clone());
        }
        let started = Arc::new(Workers::start().map_err(|error| no_worker(&error))?);
        *workers = Some(started.clone());
        Ok(started)
    }
}

/// The things that workers run.
enum Artifact {
    /// A library that was checked, and that only they open.
    Library(TempPath),
    /// A program that only they become, and the words before its path.
    Program(TempPath, Vec<String>),
    /// An image, from which an engine makes containers.
    Image(Image),
}

/// An artifact with all that its workers need.
pub(crate) struct WorkerCode {
    workers: Arc<Workers>,
    artifact: Artifact,
    pub(crate) report: Arc<SandboxReport>,
}

impl WorkerCode {
    /// The private copy of the library or program.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.artifact {
            Artifact::Library(file) | Artifact::Program(file, _) => Some(file),
            Artifact::Image(_) => None,
        }
    }

    /// True unless its containers have no limit of memory.
    pub(crate) fn limits_memory(&self) -> bool {
        let is_image = matches!(self.artifact, Artifact::Image(_));
        !is_image || self.report.is_enforced(Layer::Cgroup)
    }

    /// A fresh copy in a worker of its own, which has not opened the library yet.
    pub(crate) fn instantiate(
        self: &Arc<Self>,
        context: Context,
    ) -> Result<WorkerBackend, Outcome> {
        let Started { worker, limits, made_at, handle } = self.start(&context)?;
        let code = self.clone();
        let memory = None;
        Ok(WorkerBackend { code, worker, context, limits, made_at, memory, _handle: handle })
    }

    /// A worker with the rights that a copy has now.
    fn start(&self, context: &Context) -> Result<Started, Outcome> {
        let refused = |reason| Outcome::Refused { reason };
        let limits = (**context.rights.limits.load()).clone();
        let made_at = context.rights.outfit.load(Ordering::Relaxed);
        let outfit = Outfit::of(&context.rights.grants.load()).map_err(refused)?;
        let (workers, plugin) = (&self.workers, &*context.shared.plugin);
        let problem = |problem: LoadProblem| refused(format!("{problem}; {}", problem.remedy()));
        let worker = match &self.artifact {
            Artifact::Image(image) => {
                // Where this is not the start of the plugin, its call was not given the time for one.
                let deadline = Duration::from_millis(context.deadline()).max(CONTAINER_START);
                let started = image.start(workers, plugin, &limits, &outfit, deadline);
                let (worker, report) = started?;
                check(&report)
                    .and_then(|()| check_as_before(&report, &self.report))
                    .map_err(problem)?;
                worker
            }
            Artifact::Library(library) => {
                start(workers, (library, None), plugin, &limits, outfit).map_err(problem)?
            }
            Artifact::Program(program, command) => {
                start(workers, (program, Some(command)), plugin, &limits, outfit)
                    .map_err(problem)?
            }
        };
        if !matches!(self.artifact, Artifact::Image(_)) {
            check(worker.report()).map_err(problem)?;
        }
        let (process, canceller, meter) = (worker.process(), worker.canceller(), worker.meter());
        let handle = Arc::new(Handle { process, canceller, meter });
        context.shared.cancellations.tell(&handle);
        context.shared.meters.add(&handle);
        Ok(Started { worker, limits, made_at, handle })
    }
}

/// A worker that has not opened its library yet.
struct Started {
    worker: Worker,
    limits: Limits,
    made_at: u64,
    handle: Arc<Handle>,
}

/// Starts a worker with a library that it can open, or a program with its command, which it can become.
fn start(
    workers: &Workers,
    (artifact, command): (&TempPath, Option<&[String]>),
    name: &str,
    limits: &Limits,
    outfit: Outfit,
) -> Result<Worker, LoadProblem> {
    let file = File::open(artifact)?;
    let mut spec = Spec::new(name);
    outfit.equip(&mut spec);
    let memory = limits.memory.saturating_add(AROUND);
    spec.profile.limits.memory = Some(memory);
    spec.profile.limits.address_space = Some(memory.saturating_add(ADDRESSES));
    let access = match command {
        None => {
            spec.profile.reach.libraries = true;
            Access::Read
        }
        Some(command) => {
            spec.profile.reach.programs = true;
            let path = artifact.to_str().ok_or_else(|| LoadProblem::NoWorker {
                reason: "the folder for private copies has a path that is no text".to_owned(),
                remedy: "set TMPDIR to a folder whose path is UTF-8".to_owned(),
            })?;
            spec.program = Some(command.iter().cloned().chain([path.to_owned()]).collect());
            Access::Run
        }
    };
    let folder = Folder { descriptor: file.as_raw_fd(), access };
    spec.profile.reach.folders.push(folder);
    spec.pass.push(file.into());
    spec.bounds = bounds_of(limits);
    workers.spawn(spec).map_err(|error| no_worker(&error))
}

/// Room for all that may be put out, and for the frame that is too many.
fn bounds_of(limits: &Limits) -> Bounds {
    let Bounds { body, items } = Bounds::default();
    let around = limits.output_frames.saturating_mul(64);
    let room = limits.output_bytes.saturating_add(around).saturating_add(body.into());
    let frames = limits.output_frames.saturating_add(1);
    Bounds {
        body: u32::try_from(room).unwrap_or(u32::MAX),
        items: u32::try_from(frames).unwrap_or(u32::MAX).max(items),
    }
}

fn no_worker(error: &dyn std::error::Error) -> LoadProblem {
    let mut reason = error.to_string();
    if let Some(source) = error.source() {
        reason = format!("{reason}: {source}");
    }
    let system = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let remedy = system.and_then(remedy_for);
    let remedy =
        remedy.unwrap_or("see the reason; a plugin that you trust can run in this process");
    LoadProblem::NoWorker { reason: shorten(&reason), remedy: remedy.to_owned() }
}

/// The remedy for what keeps a process from being started, where it is known.
fn remedy_for(error: &std::io::Error) -> Option<&'static str> {
    let is_full = error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error());
    if is_full {
        return Some(
            "let this process open more files (`ulimit -n`); 64 are enough for a few plugins",
        );
    }
    (!std::path::Path::new("/proc/self").exists()).then_some("mount /proc")
}

/// Refuses a sandbox without one of the layers that keep machine code from the files and the processes
/// around it. The others make it tighter, and the status says which of them are missing.
fn check(report: &SandboxReport) -> Result<(), LoadProblem> {
    let needed = Promise::ALL.iter().filter(|promise| promise.is_needed);
    let broken = needed.into_iter().find(|it| !it.is_kept(|layer| report.is_enforced(layer)));
    let Some(promise) = broken else { return Ok(()) };
    let is_missing = |layer: &&Layer| report.missing().any(|(missing, _)| missing == **layer);
    let layer = promise.kept_by.iter().find(is_missing).or(promise.kept_by.first());
    let Some(layer) = layer.copied() else { return Ok(()) };
    let missing = report.missing().find(|(missing, _)| *missing == layer);
    let missing = missing.map(|(_, missing)| missing.clone());
    let Missing { reason, remedy } =
        missing.unwrap_or_else(|| Missing::new("it was not asked for", "report this"));
    Err(LoadProblem::NoWorker {
        reason: format!("its sandbox lacks the layer `{layer}`: {reason}"),
        remedy,
    })
}

/// Refuses a container that lacks a layer which the first one had: the policy decided about that.
fn check_as_before(report: &SandboxReport, first: &SandboxReport) -> Result<(), LoadProblem> {
    let mut worse = report.missing().filter(|(layer, _)| first.is_enforced(*layer));
    let Some((layer, Missing { reason, .. })) = worse.next() else { return Ok(()) };
    Err(LoadProblem::NoContainer {
        reason: format!("it lacks the layer `{layer}`, which the first one had: {reason}"),
        remedy: "see what changed in the engine, and start this program again".to_owned(),
    })
}

/// A copy in a worker.
pub(crate) struct WorkerBackend {
    code: Arc<WorkerCode>,
    worker: Worker,
    context: Context,
    /// Those that the worker was started with.
    limits: Limits,
    /// The count of [`Rights::outfit`](crate::services::Rights) at that time.
    made_at: u64,
    /// The memory that it held last, and when.
    memory: Option<(Instant, u64)>,
    /// The instance tells it of cancellations, and reads its usage, as long as it is here.
    _handle: Arc<Handle>,
}

/// A worker for those who do not call it.
struct Handle {
    process: u32,
    canceller: Canceller,
    meter: glovebox_worker::Meter,
}

impl Cancel for Handle {
    fn cancel(&self) {
        self.canceller.cancel();
    }
}

impl Meter for Handle {
    fn process(&self) -> u32 {
        self.process
    }

    fn usage(&self) -> Option<ResourceUsage> {
        let usage = self.meter.usage()?;
        Some(ResourceUsage {
            processes: 1,
            user: usage.user,
            system: usage.system,
            resident: usage.resident,
            threads: usage.threads,
            minor_faults: usage.minor_faults,
            major_faults: usage.major_faults,
            carried: usage.carried,
        })
    }
}

impl WorkerBackend {
    /// Makes one call of the worker.
    fn run<T, E: Into<LoadError>>(
        &mut self,
        call: impl FnOnce(&mut Worker, &mut Context, Duration) -> Result<T, E>,
    ) -> Result<T, Stop> {
        // In this order: a cancellation before is in the count, and one afterwards is heard of.
        self.worker.heed(match self.context.is_last_step() {
            true => OnCancel::Allow(AFTER_CANCELLATION),
            false => OnCancel::Ask,
        });
        self.context.check_cancelled().map_err(Stop::Alive)?;
        let deadline = Duration::from_millis(self.context.deadline());
        let result = call(&mut self.worker, &mut self.context, deadline.saturating_add(GRACE));
        let mut printed = [self.worker.take_output(), self.worker.take_errors()];
        let result = result.map_err(|error| {
            let error = error.into();
            if let LoadError::Call(CallError::Ended(ended)) = &error {
                self.keep_evidence(ended, &mut printed);
            }
            self.stop(error, deadline, &printed[1])
        });
        self.log_printed(&printed, if result.is_ok() { LogLevel::Info } else { LogLevel::Error });
        result
    }

    /// Keeps the evidence that a process leaves behind. Its last words are no line of the log.
    fn keep_evidence(&mut self, ended: &Ended, printed: &mut [Captured; 2]) {
        let fault = LastWords::take(&mut printed[1].bytes);
        let signal = match ended {
            Ended::Signalled { signal } => Some(*signal),
            _ => None,
        };
        let library = self.code.file();
        let backtrace =
            fault.iter().zip(library).flat_map(|(it, library)| stack::backtrace(it, library));
        self.context.evidence = Evidence {
            process: Some(EndedProcess {
                process: self.worker.process(),
                signal,
                fault_address: fault.as_ref().and_then(|fault| fault.address),
            }),
            backtrace: backtrace.collect(),
            printed: [printed[0].bytes.clone(), printed[1].bytes.clone()],
            kept: None,
        };
    }

    /// Text that the plugin printed becomes log lines: as much of its end as may be logged in one call.
    fn log_printed(&mut self, printed: &[Captured; 2], level: LogLevel) {
        let streams = printed.iter().filter(|printed| !printed.bytes.is_empty()).count();
        for printed in printed.iter().filter(|printed| !printed.bytes.is_empty()) {
            let text = String::from_utf8_lossy(&printed.bytes);
            let text = inert_lines(text.trim_end()).to_string();
            let room = usize::try_from(self.context.log_room()).unwrap_or(usize::MAX) / streams;
            let (left_out, pieces) = pieces(&text, room.saturating_sub(NOTE), MAX_LINE_LEN - NOTE);
            let left_out = left_out as u64 + printed.dropped;
            let note = match left_out {
                0 => String::new(),
                left_out => format!("({left_out} bytes left out) … "),
            };
            self.context.log_on_behalf(level, &format!("{note}{}", pieces.first().unwrap_or(&"")));
            for piece in pieces.iter().skip(1) {
                self.context.log_on_behalf(level, piece);
            }
        }
    }

    fn stop(&self, error: LoadError, deadline: Duration, errors: &Captured) -> Stop {
        match error {
            LoadError::Failed(failure) if failure.stage == inside::INITIALIZE => {
                stop_of(failure.failure)
            }
            LoadError::Failed(failure) => {
                let message = format!("{}: {}", failure.stage, failure.failure.message);
                Stop::Dead(Outcome::Failed { code: failure.failure.code, message })
            }
            LoadError::Call(CallError::Failed(failure)) => {
                self.exceeded(&failure).unwrap_or_else(|| stop_of(failure))
            }
            LoadError::Call(CallError::Cancelled) => Stop::Alive(Outcome::Cancelled),
            LoadError::Call(CallError::Ended(ended)) => {
                Stop::Dead(self.ended(&ended, deadline, errors))
            }
            LoadError::Call(error @ CallError::TooLong(_)) => {
                failed(Failure::INVALID, error.to_string())
            }
        }
    }

    /// The limit that an answer exceeded by so much that it could not be sent.
    fn exceeded(&self, failure: &Failure) -> Option<Stop> {
        let (limit, allowed) = (LimitKind::OutputBytes, self.limits.output_bytes);
        let asked: u64 = failure.message.parse().ok().filter(|_| failure.code == EXCEEDED)?;
        (asked > allowed).then(|| {
            self.context.shared.counters.hit_limit(limit);
            Stop::Alive(Outcome::LimitExceeded { limit, asked, allowed })
        })
    }

    /// The outcome of a call during which the worker ended.
    fn ended(&self, ended: &Ended, deadline: Duration, errors: &Captured) -> Outcome {
        let hit = |limit| self.context.shared.counters.hit_limit(limit);
        match ended {
            Ended::Deadline { .. } => {
                hit(LimitKind::CallDeadline);
                Outcome::TimedOut { deadline }
            }
            Ended::MemoryLimit => {
                hit(LimitKind::Memory);
                let allowed = self.limits.memory;
                // The kernel refused it, and does not tell how much it was.
                let asked = allowed.saturating_add(1);
                Outcome::LimitExceeded { limit: LimitKind::Memory, asked, allowed }
            }
            Ended::Cancelled => Outcome::Cancelled,
            ended => {
                let said = match ended {
                    // A program says why, where a library panics or is ended by a signal.
                    Ended::Exited { .. } => last_line(&errors.bytes),
                    _ => None,
                };
                let said = said.map(|line| format!("; it said: {line}")).unwrap_or_default();
                Outcome::Crashed { cause: shorten(&format!("{ended}{said}")) }
            }
        }
    }
}

/// The last line of what was printed that says something, shortened.
fn last_line(printed: &[u8]) -> Option<String> {
    let text = inert_lines(&String::from_utf8_lossy(printed)).to_string();
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(shorten(line.trim()))
}

/// Bytes of a line beside what was printed: that some was left out.
const NOTE: usize = 64;

/// The end of a text, so many bytes at most, in pieces that end with a line where they can; and how many
/// bytes are before it.
fn pieces(text: &str, room: usize, most: usize) -> (usize, Vec<&str>) {
    let begin = text.ceil_char_boundary(text.len().saturating_sub(room));
    let mut rest = &text[begin..];
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let end = rest.floor_char_boundary(most);
        let end = match rest[..end].rfind('\n') {
            Some(line) if end < rest.len() => line + 1,
            // A letter goes with the next piece rather than in two.
            _ => end.max(rest.chars().next().map_or(0, char::len_utf8)),
        };
        let (piece, behind) = rest.split_at(end);
        pieces.push(piece.trim_end_matches('\n'));
        rest = behind;
    }
    (begin, pieces)
}

/// The reading of a failure that came over the wire.
fn stop_of(failure: Failure) -> Stop {
    let message = match failure.message.len() {
        // The worker has cut it already, and said so.
        0..=MAX_CUT_LEN => failure.message,
        _ => message_of(failure.message.as_bytes()),
    };
    if failure.code == Failure::PANIC {
        // The macro caught it inside the plugin, and runs this copy no more.
        let code = super::core::PANIC.to_owned();
        return Stop::Dead(Outcome::Trapped { code, message: shorten(&message) });
    }
    failed(failure.code, message)
}

impl Backend for WorkerBackend {
    fn context(&mut self) -> &mut Context {
        &mut self.context
    }

    fn initialize(&mut self, config: &str) -> Result<(), Stop> {
        let library = match &self.code.artifact {
            Artifact::Library(library) => Some(library),
            Artifact::Program(..) | Artifact::Image(_) => None,
        };
        let load = Load {
            binding: if library.is_some() { BINDING } else { FRAMED }.to_owned(),
            // The loader opens it by its path.
            descriptor: None,
            path: library.and_then(|library| library.to_str()).map(str::to_owned),
            // The host has checked it, and its copy is private.
            digest: Vec::new().into(),
            config: config.to_owned(),
            limits: vec![
                (OUTPUT_BYTES.to_owned(), self.limits.output_bytes),
                (OUTPUT_FRAMES.to_owned(), self.limits.output_frames),
            ],
        };
        self.run(|worker, context, deadline| worker.load(load, context, deadline))
    }

    fn process(&mut self, frame: &Frame, out: &mut Frames) -> Result<(), Stop> {
        let frames = self.run(|worker, context, deadline| worker.call(frame, context, deadline))?;
        self.context.check_output(&frames)?;
        // It stopped to collect then. If the limits were raised meanwhile, that counts from the next
        // copy on.
        let bytes: u64 = frames.iter().map(|frame| frame.encoded_len() as u64).sum();
        let checks = [
            (LimitKind::OutputBytes, bytes, self.limits.output_bytes),
            (LimitKind::OutputFrames, frames.len() as u64, self.limits.output_frames),
        ];
        if let Some((limit, asked, allowed)) =
            checks.into_iter().find(|(_, asked, allowed)| asked > allowed)
        {
            self.context.shared.counters.hit_limit(limit);
            return Err(Stop::Alive(Outcome::LimitExceeded { limit, asked, allowed }));
        }
        *out = frames.into();
        Ok(())
    }

    fn health(&mut self) -> Result<Health, Stop> {
        let health = self.run(|worker, context, deadline| worker.health(context, deadline))?;
        if health.code == Failure::PANIC {
            return Err(stop_of(Failure { code: health.code, message: health.message }));
        }
        Ok(health)
    }

    fn save_state(&mut self) -> Result<Option<State>, Stop> {
        self.run(|worker, context, deadline| worker.save_state(context, deadline))
    }

    fn restore_state(&mut self, state: &State) -> Result<(), Stop> {
        let state = state.clone();
        self.run(|worker, context, deadline| worker.restore_state(state, context, deadline))
    }

    fn cleanup(&mut self) {
        // However it ends, it has ended.
        let _ = self.run(|worker, context, deadline| worker.cleanup(context, deadline));
    }

    fn is_outdated(&self) -> bool {
        self.made_at != self.context.rights.outfit.load(Ordering::Relaxed)
    }

    fn memory(&mut self) -> Option<u64> {
        let is_fresh = |(at, _): &(Instant, u64)| at.elapsed() < MEMORY_INTERVAL;
        if !self.memory.as_ref().is_some_and(is_fresh) {
            self.memory = self.worker.usage().map(|usage| (Instant::now(), usage.resident));
        }
        self.memory.map(|(_, bytes)| bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs before `main`, which belongs to the harness: a worker starts with one thread.
    #[used]
    // SAFETY: the section holds functions of this type, which the C library calls one after the other.
    #[unsafe(link_section = ".init_array")]
    static BEFORE_MAIN: extern "C" fn() = {
        extern "C" fn ask() {
            run_if_requested();
        }
        ask
    };

    #[test]
    fn a_sandbox_without_a_needed_layer_is_refused() {
        #[track_caller]
        fn check_without(lacking: &[Layer], expected: Option<&str>) {
            let mut report = SandboxReport::default();
            for layer in Layer::ALL {
                report.add(layer, true, || match lacking.contains(&layer) {
                    true => Err(Missing::new("an old kernel", "a new one")),
                    false => Ok(()),
                });
            }
            let refused = check(&report).err();
            let refused = refused.map(|problem| format!("{problem}; {}", problem.remedy()));
            assert_eq!(refused.as_deref(), expected, "without {lacking:?}");
        }
        check_without(&[], None);
        check_without(&[Layer::Cgroup, Layer::Ports, Layer::Scopes, Layer::UserNamespace], None);
        check_without(&[Layer::Files], None);
        check_without(&[Layer::MountNamespace], None);
        let refusal = |layer: &str| {
            format!(
                "there is no sandboxed process for it: its sandbox lacks the layer `{layer}`: an old \
                 kernel; a new one"
            )
        };
        check_without(&[Layer::MountNamespace, Layer::Files], Some(&refusal("files")));
        check_without(&[Layer::NoNewPrivileges], Some(&refusal("no-new-privileges")));
        check_without(&[Layer::SystemCalls], Some(&refusal("system-calls")));
    }

    #[test]
    fn text_that_is_too_long_is_cut_at_its_beginning() {
        fn check(text: &str, room: usize, expected: (usize, &[&str])) {
            let (left_out, found) = pieces(text, room, 8);
            assert_eq!((left_out, &found[..]), expected, "{text:?}");
        }
        check("", 10, (0, &[]));
        check("short", 10, (0, &["short"]));
        check("one\ntwo\nthree\nfour", 100, (0, &["one\ntwo", "three", "four"]));
        check("0123456789abcdef", 100, (0, &["01234567", "89abcdef"]));
        check("0123456789", 4, (6, &["6789"]));
        check("0123456789", 0, (10, &[]));
        check("äöüä", 5, (4, &["üä"]));
    }

    #[test]
    fn a_container_with_fewer_layers_than_the_first_is_refused() {
        #[track_caller]
        fn check(lacking: &[Layer], first_lacks: &[Layer], is_good: bool) {
            let report = |lacking: &[Layer]| {
                let mut report = SandboxReport::default();
                for layer in [Layer::Cgroup, Layer::NetworkNamespace] {
                    report.add(layer, true, || match lacking.contains(&layer) {
                        true => Err(Missing::new("none", "none")),
                        false => Ok(()),
                    });
                }
                report
            };
            let found = check_as_before(&report(lacking), &report(first_lacks));
            assert_eq!(found.is_ok(), is_good, "{lacking:?} after {first_lacks:?}");
        }
        check(&[], &[], true);
        check(&[Layer::Cgroup], &[Layer::Cgroup], true);
        check(&[], &[Layer::Cgroup], true);
        check(&[Layer::Cgroup], &[], false);
        check(&[Layer::Cgroup, Layer::NetworkNamespace], &[Layer::Cgroup], false);
    }

    #[test]
    fn a_program_that_does_not_ask_is_not_started_again() {
        let problem = refuse_unless(false).unwrap_err();
        assert!(problem.remedy().contains("run_if_requested"), "{problem}; {}", problem.remedy());
    }
}
