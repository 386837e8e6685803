//! The compiler in a process of its own, in a sandbox: [`WorkerStarter::compile`] is the side of the
//! host, [`load`] that of the process.
//!
//! A module that its compiler does not survive ends that process alone: one that takes too long, takes
//! too much memory, or makes the compiler panic, overflow its stack or crash. The process has the bytes
//! of the module, no files, no network and nobody else's memory, and is killed as soon as it has
//! answered.
//!
//! This does not guard from a compiler that a module took over: what it answers is machine code, which
//! runs in the host afterwards, as it would if it were compiled there. The code is checked to be what
//! an engine of these settings writes, not to do what the module says.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use glovebox_abi::manifest::MIN_COMPILE_MEMORY;
use glovebox_abi::wire::{Load, RemoteServices};
use glovebox_abi::{Failure, Frame, Plugin, ServiceError, Services};
use glovebox_sandbox::{Missing, SandboxReport};
use glovebox_worker::{CallError, Ended, LoadError, LoadFailure, Spec, Worker};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::{Engine, Module, OutOfMemory, Precompiled};

use super::super::outside::{Job, Process, Uncompiled};
use super::super::process::AROUND;
use super::super::wasm::{Program, Setting};
use super::start::{ADDRESSES, WorkerStarter};
use crate::guard::caught;
use crate::problem::{ArtifactKind, LoadProblem, shorten};

/// The binding in the message that gives an artifact to the compiler.
pub(super) const BINDING: &str = "compiler";

/// Threads of one compiler: each works at one function, whose memory is its own.
const MAX_THREADS: usize = 16;

/// How long the process may take to get into its sandbox on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How often the process is asked whether it is alive. It is killed after three times as long, which
/// matters only to one that somebody stopped: its deadline is looked after elsewhere.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The stages of a refusal by the process, which tell its reasons apart.
const REFUSED: &str = "refused";
const PANICKED: &str = "panicked";
const MEMORY: &str = "memory";

/// The order to the process, beside the bytes of the artifact.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    is_component: bool,
    setting: Setting,
    /// The descriptor that takes the code, and how many bytes it takes.
    output: i32,
    longest: u64,
    threads: usize,
    #[cfg(test)]
    fault: Option<Fault>,
}

/// A compiler that does what it should not, for tests.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    Panic,
    Abort,
    Exit,
    Overflow,
    Hang,
    Memory,
    NoCode,
    OtherCode,
}

impl WorkerStarter {
    /// Compiles an artifact in a process of its own. `begun` is given the process before it is given
    /// the artifact.
    pub(crate) fn compile<P: Program>(
        &self,
        job: &Job<'_>,
        begun: impl FnOnce(Process),
    ) -> Result<Vec<u8>, Uncompiled> {
        let system = |error: std::io::Error| Uncompiled::NoProcess(error.to_string());
        let input = memory_file(job.bytes).map_err(system)?;
        let output = memory_file(&[]).map_err(system)?;
        // The compiler has all of the code in its memory before it writes it.
        let longest = job.memory;
        let order = Order {
            is_component: P::KIND == ArtifactKind::Component,
            setting: job.setting,
            output: output.as_raw_fd(),
            longest,
            threads: if job.in_background { 1 } else { threads() },
            #[cfg(test)]
            fault: *self.fault.lock(),
        };
        let load = Load {
            binding: BINDING.to_owned(),
            descriptor: u32::try_from(input.as_raw_fd()).ok(),
            path: None,
            digest: Vec::new().into(),
            config: serde_json::to_string(&order).map_err(|error| system(error.into()))?,
            limits: Vec::new(),
        };
        let mut answer = File::from(output.try_clone().map_err(system)?);
        let mut spec = spec(job.memory, longest);
        spec.pass.extend([input, output]);
        let mut worker = self.spawn(spec).map_err(no_process)?;
        let (killer, meter) = (worker.canceller(), worker.meter());
        begun(Process {
            kill: Box::new(move || killer.kill()),
            memory: Box::new(move || meter.usage().map(|usage| usage.resident)),
        });
        let mut nobody = RemoteServices::new(|_| Err(ServiceError::Unavailable));
        let loaded = worker.load(load, &mut nobody as &mut dyn Services, job.deadline);
        loaded.map_err(|error| uncompiled(error, &worker))?;
        // It has nothing more to do, and may be large.
        drop(worker);
        code::<P>(&mut answer, longest)
    }
}

impl WorkerStarter {
    /// Compiles an empty module, and gives the layers of the sandbox that the compiler was in.
    pub(crate) fn compiles_outside(&self) -> Result<SandboxReport, Missing> {
        let none = |problem: LoadProblem| Missing::new(problem.to_string(), problem.remedy());
        let worker = self.spawn(spec(MIN_COMPILE_MEMORY, 1)).map_err(none)?;
        let report = worker.report().clone();
        drop(worker);
        let job = Job {
            bytes: b"\0asm\x01\0\0\0",
            setting: Setting::default(),
            memory: MIN_COMPILE_MEMORY,
            in_background: false,
            deadline: START_DEADLINE,
        };
        match self.compile::<Module>(&job, drop) {
            Ok(_) => Ok(report),
            Err(uncompiled) => {
                let reason = format!("the compiler does not work there: {uncompiled:?}");
                Err(Missing::new(reason, "report this, with what this machine is"))
            }
        }
    }
}

/// Reads the code. It is a copy: whatever still has the memory that it came through cannot change it.
fn code<P: Program>(answer: &mut File, longest: u64) -> Result<Vec<u8>, Uncompiled> {
    let crashed = |cause: String| Uncompiled::Crashed(cause);
    let mut code = Vec::new();
    answer
        .rewind()
        .and_then(|()| answer.take(longest.saturating_add(1)).read_to_end(&mut code))
        .map_err(|error| crashed(format!("its answer cannot be read: {error}")))?;
    if code.len() as u64 > longest {
        return Err(crashed(format!("its answer is longer than {longest} bytes")));
    }
    let expected = match P::KIND {
        ArtifactKind::Component => Precompiled::Component,
        _ => Precompiled::Module,
    };
    if Engine::detect_precompiled(&code) == Some(expected) {
        return Ok(code);
    }
    Err(crashed("its answer is no code of such an artifact".to_owned()))
}

/// The process: nothing but memory, time and threads.
fn spec(memory: u64, longest: u64) -> Spec {
    let mut spec = Spec::new("compiler");
    let memory = memory.saturating_add(AROUND);
    let limits = &mut spec.profile.limits;
    limits.memory = Some(memory);
    limits.address_space = Some(memory.saturating_add(ADDRESSES));
    limits.file_size = Some(longest);
    limits.threads = MAX_THREADS as u32 + 4;
    spec.heartbeat = HEARTBEAT;
    spec.start_deadline = START_DEADLINE;
    spec
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}

/// Memory that is handed to the process.
fn memory_file(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("glovebox-code", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

fn no_process(problem: LoadProblem) -> Uncompiled {
    Uncompiled::NoProcess(match problem {
        LoadProblem::NoWorker { reason, .. } => reason,
        problem => problem.to_string(),
    })
}

fn uncompiled(error: LoadError, worker: &Worker) -> Uncompiled {
    match error {
        LoadError::Failed(LoadFailure { stage, failure }) => {
            let message = shorten(&failure.message);
            match stage.as_str() {
                REFUSED => Uncompiled::Refused(message),
                MEMORY => Uncompiled::OutOfMemory,
                PANICKED => Uncompiled::Panicked(message),
                _ => Uncompiled::Crashed(message),
            }
        }
        LoadError::Call(CallError::Ended(ended)) => match ended {
            Ended::MemoryLimit => Uncompiled::OutOfMemory,
            Ended::Deadline { .. } | Ended::Killed | Ended::Cancelled => Uncompiled::Killed,
            ended => {
                let printed = String::from_utf8_lossy(&worker.take_errors().bytes).into_owned();
                let last = printed.lines().rev().find(|line| !line.trim().is_empty());
                let said = last.map(|line| format!("; it said: {}", line.trim()));
                Uncompiled::Crashed(shorten(&format!("{ended}{}", said.unwrap_or_default())))
            }
        },
        LoadError::Call(error) => Uncompiled::Crashed(shorten(&error.to_string())),
    }
}

/// The side of the process: compiles an artifact and writes the code to where it is told.
pub(super) fn load(load: &Load) -> Result<Box<dyn Plugin>, LoadFailure> {
    let order: Order = serde_json::from_str(&load.config)
        .map_err(|error| failure("order", format!("the order cannot be read: {error}")))?;
    let input = load.descriptor.and_then(|number| i32::try_from(number).ok());
    let input = input.filter(|input| *input != order.output);
    let input = input.ok_or_else(|| failure("order", "there is no artifact".to_owned()))?;
    // SAFETY: the host passed both descriptors to this process for this order, which is its only one;
    // they differ, and nothing else here has either.
    let (mut input, mut output) =
        unsafe { (File::from_raw_fd(input), File::from_raw_fd(order.output)) };
    let system = |error: std::io::Error| failure("system", error.to_string());
    let length = input.metadata().map_err(system)?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    input.read_to_end(&mut bytes).map_err(system)?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(order.threads).build();
    // The system has no memory for them.
    let threads = threads.map_err(|error| failure(MEMORY, error.to_string()))?;
    // The process ends after this, so that nothing is left half-done by a panic.
    let compiled = caught(|| threads.install(|| compile(&order, &bytes)));
    let code = compiled.map_err(|reason| failure(PANICKED, reason))??;
    if code.len() as u64 > order.longest {
        return Err(failure(MEMORY, format!("its code has {} bytes", code.len())));
    }
    output.write_all(&code).map_err(system)?;
    Ok(Box::new(Done))
}

fn compile(order: &Order, bytes: &[u8]) -> Result<Vec<u8>, LoadFailure> {
    #[cfg(test)]
    if let Some(fault) = order.fault {
        return fault.happen();
    }
    let compiled = order.setting.engine().and_then(|engine| match order.is_component {
        true => Component::precompile(&engine, bytes),
        false => <Module as Program>::precompile(&engine, bytes),
    });
    compiled.map_err(|error| {
        let stage = if error.is::<OutOfMemory>() { MEMORY } else { REFUSED };
        failure(stage, error.root_cause().to_string())
    })
}

fn failure(stage: &str, message: String) -> LoadFailure {
    LoadFailure::new(stage, Failure::new(Failure::UNSUPPORTED, message))
}

/// The process has this in place of a plugin: its work is done.
pub(super) struct Done;

impl Plugin for Done {
    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        Err(Failure::new(Failure::UNSUPPORTED, "this process takes no frames"))
    }
}

#[cfg(test)]
impl Fault {
    fn happen(self) -> Result<Vec<u8>, LoadFailure> {
        match self {
            Fault::Panic => panic!("no such register"),
            Fault::Abort => std::process::abort(),
            Fault::Exit => std::process::exit(3),
            Fault::Overflow => Ok(vec![deep(0)]),
            Fault::Hang => loop {
                std::thread::park();
            },
            Fault::Memory => {
                let mut held: Vec<Vec<u8>> = Vec::new();
                loop {
                    held.push(vec![1; 1 << 20]);
                }
            }
            Fault::NoCode => Ok(b"no code".to_vec()),
            Fault::OtherCode => {
                let engine =
                    Setting::default().engine().map_err(|_| failure(REFUSED, String::new()))?;
                let component = b"\0asm\x0d\0\x01\0";
                engine.precompile_component(component).map_err(|_| failure(REFUSED, String::new()))
            }
        }
    }
}

/// Calls itself until the stack is used up.
#[cfg(test)]
fn deep(depth: u8) -> u8 {
    let here = std::hint::black_box([depth; 4096]);
    if std::hint::black_box(false) {
        return depth;
    }
    deep(depth.wrapping_add(1)).wrapping_add(here[usize::from(depth)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x01\0\0\0";
    const MINUTE: Duration = Duration::from_secs(60);

    fn compile(
        fault: Option<Fault>,
        deadline: Duration,
        begun: impl FnOnce(Process),
    ) -> Result<Vec<u8>, Uncompiled> {
        let starter = WorkerStarter::default();
        *starter.fault.lock() = fault;
        let setting = Setting::default();
        let job = Job {
            bytes: EMPTY,
            setting,
            memory: MIN_COMPILE_MEMORY,
            in_background: false,
            deadline,
        };
        starter.compile::<Module>(&job, begun)
    }

    #[test]
    fn a_compiler_that_fails_ends_alone_and_says_how() {
        #[track_caller]
        fn check(fault: Fault, expected: &Uncompiled) {
            let found = compile(Some(fault), MINUTE, drop).unwrap_err();
            let is_it = match (&found, expected) {
                (Uncompiled::Crashed(found), Uncompiled::Crashed(part)) => found.contains(part),
                (found, expected) => found == expected,
            };
            assert!(is_it, "{fault:?}: {found:?}");
        }
        let crashed = |part: &str| Uncompiled::Crashed(part.to_owned());
        check(Fault::Panic, &Uncompiled::Panicked("no such register".to_owned()));
        check(Fault::Abort, &crashed("SIGABRT"));
        check(Fault::Exit, &crashed("exited with code 3"));
        // SIGABRT with a message where the runtime of Rust was started, as by any `main`.
        check(Fault::Overflow, &crashed("(SIG"));
        check(Fault::Memory, &Uncompiled::OutOfMemory);
        check(Fault::NoCode, &crashed("no code of such an artifact"));
        check(Fault::OtherCode, &crashed("no code of such an artifact"));
    }

    #[test]
    fn a_compiler_that_hangs_can_be_ended() {
        let killed = Err(Uncompiled::Killed);
        assert_eq!(compile(Some(Fault::Hang), MINUTE, |process| (process.kill)()), killed);
        assert_eq!(compile(Some(Fault::Hang), Duration::from_millis(50), drop), killed);
    }

    #[test]
    fn the_code_is_that_of_this_process() {
        fn check(setting: Setting) {
            let starter = WorkerStarter::default();
            let job = Job {
                bytes: EMPTY,
                setting,
                memory: MIN_COMPILE_MEMORY,
                in_background: false,
                deadline: MINUTE,
            };
            let code = starter.compile::<Module>(&job, drop);
            let here = <Module as Program>::precompile(&setting.engine().unwrap(), EMPTY);
            assert_eq!(code, Ok(here.unwrap()), "{setting:?}");
        }
        for metered in [false, true] {
            check(Setting { metered, ..Setting::default() });
            check(Setting { metered, demanding: true, quick: false });
            if cfg!(target_arch = "x86_64") {
                check(Setting { metered, demanding: false, quick: true });
            }
        }
        assert!(WorkerStarter::default().compiles_outside().is_ok());
    }
}
