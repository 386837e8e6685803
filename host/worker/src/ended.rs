use std::fmt;
use std::time::Duration;

use glovebox_abi::units::show_duration;
use glovebox_abi::wire::WireError;

/// How a worker ended. The first cause counts: a worker that was killed because it broke the
/// protocol ended by that, not by the signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It ended by itself.
    Exited {
        /// Its exit code; 0 is no better than others unless it was asked to end.
        code: i32,
    },
    /// A signal ended it that the host did not send.
    Signalled {
        /// The number of the signal.
        signal: i32,
    },
    /// It made a system call that its strict list does not have.
    Seccomp,
    /// Its memory was used up.
    MemoryLimit,
    /// It did not do in time what it was asked for, and was killed.
    Deadline {
        /// The time that it had.
        after: Duration,
    },
    /// It broke the rules of the conversation, and was killed.
    Protocol(ProtocolError),
    /// It did not answer heartbeats, and was killed.
    Stopped {
        /// How long it was silent.
        silent: Duration,
        /// True if a signal had stopped it; otherwise something else kept its threads from running.
        by_signal: bool,
    },
    /// It did not end a call that was cancelled, and was killed.
    Cancelled,
    /// The host did not need it any more.
    Killed,
}

/// How a worker broke the rules of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtocolError {
    /// By a message.
    Message(WireError),
    /// By a position in shared memory that cannot be.
    Position {
        /// How many words went through at this end.
        own: u64,
        /// How many at the other, by its own word.
        other: u64,
    },
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolError::Message(error) => write!(formatter, "{error}"),
            ProtocolError::Position { own, other } => {
                write!(formatter, "position {other} in shared memory cannot be, with {own} here")
            }
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Exited { code } => write!(formatter, "the worker exited with code {code}"),
            Ended::Signalled { signal } => {
                let name = signal_name(*signal).unwrap_or("of no common name");
                write!(formatter, "signal {signal} ({name}) ended the worker")
            }
            Ended::Seccomp => formatter.write_str(
                "the worker made a system call that its profile forbids, and the kernel ended it",
            ),
            Ended::MemoryLimit => formatter.write_str("the worker used up its memory"),
            Ended::Deadline { after } => {
                write!(formatter, "the worker did not answer within {after:?}, and was killed")
            }
            Ended::Protocol(error) => {
                write!(formatter, "the worker broke the protocol, and was killed: {error}")
            }
            Ended::Stopped { silent, by_signal: true } => {
                write!(
                    formatter,
                    "a signal had stopped the worker for {}; it was killed",
                    show_duration(*silent)
                )
            }
            Ended::Stopped { silent, by_signal: false } => {
                write!(
                    formatter,
                    "the worker was silent for {}, and was killed",
                    show_duration(*silent)
                )
            }
            Ended::Cancelled => {
                formatter.write_str("the worker did not end a cancelled call, and was killed")
            }
            Ended::Killed => formatter.write_str("the host ended the worker"),
        }
    }
}

/// The usual name of a signal.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL, an instruction that does not exist",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT, it gave up",
        libc::SIGBUS => "SIGBUS, memory that is not there",
        libc::SIGFPE => "SIGFPE, a division by zero",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV, memory that is not its own",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU, its processor time is used up",
        libc::SIGXFSZ => "SIGXFSZ, a file beyond its limit",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
}

/// The messages before memory is used up: of the runtimes of Rust and of C++. That of Python is the
/// last line of a program that exits.
const OUT_OF_MEMORY: [&[u8]; 2] = [b"memory allocation of ", b"std::bad_alloc"];

/// Classifies the status of a process that was waited for.
pub(crate) fn classify(status: i32, killed_for_memory: bool, errors: &[u8]) -> Ended {
    if libc::WIFEXITED(status) {
        let code = libc::WEXITSTATUS(status);
        let is_python = code == 1 && errors.trim_ascii_end().ends_with(b"\nMemoryError");
        return if is_python { Ended::MemoryLimit } else { Ended::Exited { code } };
    }
    let signal = libc::WTERMSIG(status);
    let says_so = || OUT_OF_MEMORY.iter().any(|text| contains(errors, text));
    match signal {
        libc::SIGKILL if killed_for_memory => Ended::MemoryLimit,
        libc::SIGABRT if says_so() => Ended::MemoryLimit,
        libc::SIGSYS => Ended::Seccomp,
        signal => Ended::Signalled { signal },
    }
}

/// The status of a program from that of the one that ran it: 128 and the number of a signal, as shells have
/// it, is the signal.
pub(crate) fn status_of_inner(status: i32) -> i32 {
    let code = libc::WEXITSTATUS(status);
    let is_signal = libc::WIFEXITED(status) && (129..=159).contains(&code);
    if is_signal { code - 128 } else { status }
}

/// Classifies the status of the client of a program that is the first process of a container: no other
/// process in there can kill it, and it cannot kill itself, so that the kernel does it for memory.
pub(crate) fn classify_client(status: i32, errors: &[u8]) -> Ended {
    match classify(status, false, errors) {
        // 128 and the number of a signal, as shells have it.
        Ended::Exited { code: 137 } => Ended::MemoryLimit,
        Ended::Exited { code: code @ 129..=159 } => Ended::Signalled { signal: code - 128 },
        ended => ended,
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_clients_are_those_of_their_programs() {
        fn check(code: i32, expected: Ended) {
            assert_eq!(classify_client(code << 8, b""), expected);
        }
        check(0, Ended::Exited { code: 0 });
        check(125, Ended::Exited { code: 125 });
        check(137, Ended::MemoryLimit);
        check(139, Ended::Signalled { signal: libc::SIGSEGV });
        check(255, Ended::Exited { code: 255 });
        let killed = Ended::Signalled { signal: libc::SIGKILL };
        assert_eq!(classify_client(libc::SIGKILL, b""), killed);
    }

    #[test]
    fn the_end_of_a_program_is_told_by_the_one_that_ran_it() {
        fn check(status: i32, expected: i32) {
            assert_eq!(status_of_inner(status), expected);
        }
        check(0, 0);
        check(3 << 8, 3 << 8);
        check(139 << 8, libc::SIGSEGV);
        check(137 << 8, libc::SIGKILL);
        check(159 << 8, libc::SIGSYS);
        check(128 << 8, 128 << 8);
        check(255 << 8, 255 << 8);
        check(libc::SIGKILL, libc::SIGKILL);
    }

    #[test]
    fn ends_have_names() {
        fn check(status: i32, killed_for_memory: bool, errors: &str, expected: Ended) {
            assert_eq!(classify(status, killed_for_memory, errors.as_bytes()), expected);
        }
        let signalled = |signal| Ended::Signalled { signal };
        check(0, false, "", Ended::Exited { code: 0 });
        check(3 << 8, true, "", Ended::Exited { code: 3 });
        check(1 << 8, false, "  File \"a.py\", line 1\nMemoryError\n", Ended::MemoryLimit);
        check(1 << 8, false, "No MemoryError\n", Ended::Exited { code: 1 });
        check(libc::SIGSEGV, false, "", signalled(libc::SIGSEGV));
        check(libc::SIGSEGV | 0x80, false, "", signalled(libc::SIGSEGV));
        check(libc::SIGKILL, false, "", signalled(libc::SIGKILL));
        check(libc::SIGKILL, true, "", Ended::MemoryLimit);
        check(libc::SIGSYS, false, "", Ended::Seccomp);
        check(libc::SIGABRT, false, "panicked", signalled(libc::SIGABRT));
        check(libc::SIGABRT, false, "memory allocation of 9 bytes failed", Ended::MemoryLimit);
        check(libc::SIGABRT, false, "an instance of 'std::bad_alloc'", Ended::MemoryLimit);
        assert!(signalled(libc::SIGSEGV).to_string().contains("11 (SIGSEGV"));
    }
}
