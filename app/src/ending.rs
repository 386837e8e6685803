//! Handles SIGINT, SIGTERM and SIGHUP: running calls are cancelled, and the work ends in order,
//! with all it recorded and one true sentence. A second signal ends the process at once; a later
//! start removes what that leaves behind.
//!
//! Signals are the process's, and so is this state. A signal that was ignored when the process began,
//! as under `nohup`, stays ignored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::panics::contain;

static ASKED: AtomicBool = AtomicBool::new(false);
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// Held while a signal is dealt with, until it was said that it was heard.
static HEARING: Mutex<()> = Mutex::new(());
static WAKERS: Mutex<Vec<(u64, Wake)>> = Mutex::new(Vec::new());

type Wake = Box<dyn Fn() + Send>;

/// True once a signal asked for the end; also for work that takes a flag to be cancelled by.
pub(crate) fn flag() -> &'static AtomicBool {
    &ASKED
}

/// True once a signal asked for the end.
pub(crate) fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// The signal that asked for the end. Waits until its message was printed, so that the caller has
/// the last word.
pub(crate) fn signal() -> Option<Signal> {
    is_asked().then(|| {
        let _heard = HEARING.lock();
        Signal(SIGNAL.load(Ordering::Relaxed))
    })
}

/// A signal, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(i32);

impl Signal {
    /// The exit code by the convention of shells: 128 and the number of the signal.
    pub(crate) fn exit_code(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(u8::MAX)
    }

    /// The name for people.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            1 => "SIGHUP",
            2 => "SIGINT",
            15 => "SIGTERM",
            _ => "a signal",
        }
    }
}

/// Calls `wake` when a signal asks for the end, after what was given before, or at once if one has. It
/// is forgotten when what is returned is dropped.
#[must_use]
pub(crate) fn on_end(wake: impl Fn() + Send + 'static) -> Waking {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let mut wakers = WAKERS.lock();
    // Under the lock, so that no signal comes between.
    if is_asked() {
        wake();
    }
    wakers.push((number, Box::new(wake)));
    Waking(number)
}

/// The same items, until a signal asks for the end: then `error`, and no more.
pub(crate) fn ending_with<T, E>(
    items: impl Iterator<Item = Result<T, E>>,
    error: E,
) -> impl Iterator<Item = Result<T, E>> {
    let mut error = Some(error);
    items.map_while(move |item| match is_asked() {
        true => error.take().map(Err),
        false => Some(item),
    })
}

/// Something that is woken at the end.
#[derive(Debug)]
pub(crate) struct Waking(u64);

impl Drop for Waking {
    fn drop(&mut self) {
        let mut wakers = WAKERS.lock();
        let at = wakers.iter().position(|(number, _)| *number == self.0);
        let gone = at.map(|at| wakers.remove(at));
        // Dropping what it holds may take long, and a signal must not wait for that.
        drop(wakers);
        drop(gone);
    }
}

/// Asks for the end.
fn ask(signal: i32) {
    SIGNAL.store(signal, Ordering::Relaxed);
    ASKED.store(true, Ordering::Relaxed);
    for (_, wake) in WAKERS.lock().iter() {
        // One that panics keeps no other from being woken.
        if let Err(fault) = contain(wake) {
            tracing::error!(fault, "a waker panicked when a signal came");
        }
    }
}

/// Lets a write beyond the largest size of a file fail as one to a full disk does, so that the verb
/// can say so. Otherwise the signal SIGXFSZ ends the process in the middle of it.
///
/// Programs that this one starts have the signal as ever.
pub(crate) fn survive_file_size_limit() {
    if let Err(error) = system::survive_file_size_limit() {
        tracing::warn!(%error, "a file that reaches the largest size ends the process");
    }
}

/// Listens from now on. Work that `asks` ends by itself after the first signal, and `first` says that
/// it was heard. Other work, and any after a second signal, is ended here: `last` says so, temporary
/// folders go, and the process ends.
///
/// Where signals cannot be listened to, they end the process as ever, and a log line says so.
pub(crate) fn listen(
    asks: bool,
    first: impl Fn(Signal) + Send + Sync + 'static,
    last: impl Fn(Signal) + Send + 'static,
) {
    let first = Arc::new(first);
    let is_heard = AtomicBool::new(false);
    let each = move |number| {
        if asks && !is_heard.swap(true, Ordering::Relaxed) {
            let first = Arc::clone(&first);
            let work = move || {
                let _hearing = HEARING.lock();
                ask(number);
                first(Signal(number));
            };
            // A waker that hangs must not keep the second signal from ending the process.
            let thread = thread::Builder::new().name("glovebox-ending".to_owned());
            match thread.spawn(work.clone()) {
                Ok(_) => {}
                Err(_) => work(),
            }
            return;
        }
        last(Signal(number));
        glovebox_files::remove_scratch();
        std::process::exit(i32::from(Signal(number).exit_code()));
    };
    if let Err(error) = system::listen(each) {
        tracing::warn!(%error, "signals end the process at once, with what it records");
    }
}

#[cfg(unix)]
mod system {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use glovebox_files::{MAX_TEXT, read_to_string};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;

    pub(super) fn listen(each: impl Fn(i32) + Send + 'static) -> io::Result<()> {
        let ignored = ignored();
        let wanted = [SIGHUP, SIGINT, SIGTERM].into_iter();
        let mut signals = Signals::new(wanted.filter(|signal| ignored & (1 << (signal - 1)) == 0))?;
        let listener = thread::Builder::new().name("glovebox-signals".to_owned());
        listener.spawn(move || signals.forever().for_each(each)).map(drop)
    }

    pub(super) fn survive_file_size_limit() -> io::Result<()> {
        // Nobody looks at the flag: with a handler, the write returns the error.
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGXFSZ, flag).map(drop)
    }

    /// The signals that the process ignores, as Linux tells them: the lowest bit is signal 1. Other
    /// systems tell it only to unsafe code; there `nohup` has no effect.
    fn ignored() -> u64 {
        let status = read_to_string(Path::new("/proc/self/status"), MAX_TEXT).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    }
}

#[cfg(not(unix))]
mod system {
    use std::io;

    /// There is no such signal.
    pub(super) fn survive_file_size_limit() -> io::Result<()> {
        Ok(())
    }

    /// Ctrl+C, Ctrl+Break, and the end of the console or session.
    pub(super) fn listen(each: impl Fn(i32) + Send + 'static) -> io::Result<()> {
        const INTERRUPT: i32 = 2;
        ctrlc::set_handler(move || each(INTERRUPT)).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_shells() {
        fn check(signal: i32, code: u8, name: &str) {
            assert_eq!((Signal(signal).exit_code(), Signal(signal).name()), (code, name));
        }
        check(1, 129, "SIGHUP");
        check(2, 130, "SIGINT");
        check(15, 143, "SIGTERM");
    }
}
