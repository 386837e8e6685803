//! One copy in a worker: its calls, how they end, and what it prints.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use glovebox_abi::manifest::{LimitKind, Limits};
use glovebox_abi::text::inert_lines;
use glovebox_abi::wire::{Load, WireError};
use glovebox_abi::{Failure, Frame, Health, LogLevel, State};
use glovebox_events::Outcome;
use glovebox_worker::{
    CallError, Ended, LONGEST_SERVICE, LastWords, LoadError, OnCancel, Printed, ProtocolError,
    Worker,
};

use super::super::process::bounds_of;
use super::super::{Backend, MAX_MESSAGE_LEN, failed, message_of};
use super::code::{Artifact, Handle, Started, WorkerCode};
use super::start::GRACE;
use super::{BINDING, EXCEEDED, FRAMED, OUTPUT_BYTES, OUTPUT_FRAMES, inside, stack};
use crate::failure::{EndedProcess, Evidence};
use crate::frames::Frames;
use crate::problem::shorten;
use crate::services::{AFTER_CANCELLATION, CopyServices, MAX_LINE_LEN};
use crate::stop::Stop;

/// The longest message that was cut, in bytes: with the words that say so.
const MAX_CUT_LEN: usize = MAX_MESSAGE_LEN + 64;

/// How often the kernel is asked for the memory of a worker.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);

/// A copy in a worker.
pub(crate) struct WorkerBackend {
    code: Arc<WorkerCode>,
    worker: Worker,
    context: CopyServices,
    /// Those that the worker was started with.
    limits: Limits,
    /// The count of [`Rights::renewals`](crate::services::Rights) at that time.
    made_at: u64,
    /// The memory that it held last, and when.
    memory: Option<(Instant, u64)>,
    /// The instance tells it of cancellations, and reads its usage, as long as it is here.
    _handle: Arc<Handle>,
}

impl WorkerBackend {
    pub(super) fn new(
        code: Arc<WorkerCode>,
        started: Started,
        context: CopyServices,
    ) -> WorkerBackend {
        let Started { worker, limits, made_at, handle } = started;
        WorkerBackend { code, worker, context, limits, made_at, memory: None, _handle: handle }
    }

    /// Makes one call of the worker.
    fn run<T, E: Into<LoadError>>(
        &mut self,
        call: impl FnOnce(&mut Worker, &mut CopyServices, Duration) -> Result<T, E>,
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
    fn keep_evidence(&mut self, ended: &Ended, printed: &mut [Printed; 2]) {
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
            is_made_up: self.context.evidence.is_made_up,
        };
    }

    /// Text that the plugin printed becomes log lines: as much of its end as may be logged in one call.
    fn log_printed(&mut self, printed: &[Printed; 2], level: LogLevel) {
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

    fn stop(&self, error: LoadError, deadline: Duration, errors: &Printed) -> Stop {
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
            Stop::Alive(Outcome::LimitExceeded { limit, asked, allowed, made_up: false })
        })
    }

    /// The outcome of a call during which the worker ended.
    fn ended(&self, ended: &Ended, deadline: Duration, errors: &Printed) -> Outcome {
        let hit = |limit| self.context.shared.counters.hit_limit(limit);
        match ended {
            Ended::Deadline { .. } => {
                hit(LimitKind::CallDeadline);
                Outcome::TimedOut { deadline, made_up: false }
            }
            Ended::MemoryLimit => {
                hit(LimitKind::Memory);
                let allowed = self.limits.memory;
                // The kernel refused it, and does not tell how much it was.
                let asked = allowed.saturating_add(1);
                Outcome::LimitExceeded { limit: LimitKind::Memory, asked, allowed, made_up: false }
            }
            Ended::Cancelled => Outcome::Cancelled,
            Ended::Protocol(ProtocolError::Message(WireError::TooLong {
                message: "reply",
                length,
                ..
            })) => {
                hit(LimitKind::OutputBytes);
                let (asked, allowed) = (*length, self.limits.output_bytes);
                Outcome::LimitExceeded {
                    limit: LimitKind::OutputBytes,
                    asked,
                    allowed,
                    made_up: false,
                }
            }
            ended => {
                let said = match ended {
                    // A program says why, where a library panics or is ended by a signal.
                    Ended::Exited { .. } => last_line(&errors.bytes),
                    _ => None,
                };
                let said = said.map(|line| format!("; it said: {line}")).unwrap_or_default();
                Outcome::Crashed { cause: shorten(&format!("{ended}{said}")), made_up: false }
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
        let code = super::super::core::PANIC.to_owned();
        return Stop::Dead(Outcome::Trapped { code, message: shorten(&message) });
    }
    failed(failure.code, message)
}

impl Backend for WorkerBackend {
    fn context(&mut self) -> &mut CopyServices {
        &mut self.context
    }

    fn initialize(&mut self, config: &str) -> Result<(), Stop> {
        let library = match &self.code.artifact {
            Artifact::Library(library) => Some(library),
            Artifact::Program(..) | Artifact::Container(_) => None,
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
                (LONGEST_SERVICE.to_owned(), bounds_of(&self.limits).service.into()),
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
            return Err(Stop::Alive(Outcome::LimitExceeded {
                limit,
                asked,
                allowed,
                made_up: false,
            }));
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
        self.made_at != self.context.rights.renewals.load(Ordering::Relaxed)
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
}
