//! Native plugins in processes of their own: a worker for each copy, in its sandbox.
//!
//! `start` starts workers, [`WorkerCode`] is an artifact that was checked but not opened, and
//! `copy` is one copy of it. The other side, which opens a library, is in `inside`. Two jobs are
//! done in throw-away workers before this process has the code: `compiler` compiles WebAssembly, and
//! `trial` opens a library for the first time.

pub(crate) mod check;
mod code;
mod compiler;
mod copy;
mod inside;
mod stack;
mod start;
mod trial;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::problem::LoadProblem;

pub(crate) use check::engines;
pub(crate) use code::WorkerCode;
#[cfg(test)]
pub(crate) use compiler::Fault;
pub(crate) use start::WorkerStarter;

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
    fn a_program_that_does_not_ask_is_not_started_again() {
        let problem = refuse_unless(false).unwrap_err();
        assert!(problem.remedy().contains("run_if_requested"), "{problem}; {}", problem.remedy());
    }
}
