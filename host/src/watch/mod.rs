//! Notices that files changed, whatever became of the folders and links on the way to them.
//!
//! Read [`Watcher`] first. One thread follows the [`Trail`](trail::Trail) of each set of files: it has
//! the system tell of changes in every folder on the way, and looks itself once a second where the
//! system tells nothing. When files changed and are quiet again, as [`Settling`](settle::Settling)
//! says, it calls back.
//!
//! It reads no file and compares no content: who is called back finds out whether anything is
//! different. It knows nothing of plugins.

mod settle;
mod system;
mod thread;
mod trail;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use system::{Heard, Messages, System, Unwatched};
use thread::WatchThread;

/// How often files are looked at of which the system tells nothing.
const POLL: Duration = Duration::from_secs(1);

/// The files that matter. They are asked for again whenever something changed.
pub(crate) type Files = Box<dyn Fn() -> Vec<PathBuf> + Send>;

/// Asks the system for messages.
type NewMessages = fn(Arc<Mailbox>) -> Result<Box<dyn Messages>, Unwatched>;

/// It is told of changes.
pub(crate) trait Watches: Send {
    /// The files may be others, and are quiet. `first` is true for the call with which each watch
    /// begins. The next call comes when `busy` is gone.
    fn look(&self, busy: Busy, first: bool);
    /// The watch does not work as ever, and why.
    fn notice(&self, text: &str);
}

/// Watches the files of a host. It has a thread while there are any.
pub(crate) struct Watcher {
    shared: Arc<Mailbox>,
    messages: NewMessages,
}

/// The part of the thread that others reach.
struct Mailbox {
    inbox: Mutex<Inbox>,
    woken: Condvar,
    /// [`POLL`], but in tests.
    poll: Duration,
}

#[derive(Default)]
struct Inbox {
    heard: Heard,
    wishes: Vec<Wish>,
    /// True if there is a thread.
    runs: bool,
    last_id: u64,
}

/// An order to the thread.
enum Wish {
    Begin(u64, Files, Box<dyn Watches>),
    End(u64),
    /// Nobody works on the last change any more; `again` if it could not be seen in whole.
    Free {
        id: u64,
        again: bool,
    },
}

/// Ends the watch when it goes.
pub(crate) struct Watching {
    shared: Arc<Mailbox>,
    id: u64,
}

/// Hears when files of an application changed and are quiet, as a host does of those of plugins; until
/// it is dropped. Where the system tells of no changes, they are looked at once a second.
pub struct FileWatch(#[expect(dead_code, reason = "it ends the watch when it goes")] Watching);

impl FileWatch {
    /// Calls `changed` at once, and after each change from then on, on a thread of its own.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    pub fn start(
        files: Vec<PathBuf>,
        changed: impl Fn() + Send + 'static,
    ) -> std::io::Result<FileWatch> {
        let files = move || files.clone();
        Watcher::new().watch(Box::new(files), Box::new(Calls(changed))).map(FileWatch)
    }
}

impl fmt::Debug for FileWatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FileWatch").finish_non_exhaustive()
    }
}

struct Calls<F>(F);

impl<F: Fn() + Send> Watches for Calls<F> {
    fn look(&self, _: Busy, _: bool) {
        (self.0)();
    }

    fn notice(&self, text: &str) {
        tracing::warn!("{text}");
    }
}

/// Held while somebody works on a change.
pub(crate) struct Busy {
    shared: Arc<Mailbox>,
    id: u64,
    again: bool,
}

impl Watcher {
    pub(crate) fn new() -> Watcher {
        Watcher::with(POLL, |shared| Ok(Box::new(System::new(shared)?)))
    }

    fn with(poll: Duration, messages: NewMessages) -> Watcher {
        let shared = Mailbox { inbox: Mutex::default(), woken: Condvar::new(), poll };
        Watcher { shared: Arc::new(shared), messages }
    }

    /// Watches files until what it gives is dropped.
    ///
    /// # Errors
    ///
    /// If the system refuses a thread.
    pub(crate) fn watch(
        &self,
        files: Files,
        watches: Box<dyn Watches>,
    ) -> std::io::Result<Watching> {
        let mut inbox = self.shared.inbox.lock();
        if !inbox.runs {
            let thread = WatchThread::new(self.shared.clone(), self.messages);
            std::thread::Builder::new()
                .name("glovebox-watch".to_owned())
                .spawn(move || thread.run())?;
            inbox.runs = true;
        }
        inbox.last_id += 1;
        let id = inbox.last_id;
        inbox.wishes.push(Wish::Begin(id, files, watches));
        self.shared.woken.notify_one();
        Ok(Watching { shared: self.shared.clone(), id })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.shared.wish(Wish::End(self.id));
    }
}

impl Busy {
    /// The files changed while they were read: they are to be looked at again.
    pub(crate) fn again(&mut self) {
        self.again = true;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.shared.wish(Wish::Free { id: self.id, again: self.again });
    }
}

impl Mailbox {
    fn wish(&self, wish: Wish) {
        let mut inbox = self.inbox.lock();
        // Nobody would ever take it.
        if inbox.runs {
            inbox.wishes.push(wish);
            self.woken.notify_one();
        }
    }

    /// Waits until there is something to do, or until then.
    fn wait(&self, until: Option<Instant>) -> (Heard, Vec<Wish>) {
        let mut inbox = self.inbox.lock();
        while !inbox.heard.is_any() && inbox.wishes.is_empty() {
            match until {
                None => self.woken.wait(&mut inbox),
                Some(until) if self.woken.wait_until(&mut inbox, until).timed_out() => break,
                Some(_) => {}
            }
        }
        let touched = std::mem::take(&mut inbox.heard.touched);
        let lost = std::mem::take(&mut inbox.heard.lost);
        (Heard { touched, lost, ..Heard::default() }, std::mem::take(&mut inbox.wishes))
    }

    /// True if the thread may end, because there is nothing more to do.
    fn may_end(&self) -> bool {
        let mut inbox = self.inbox.lock();
        if inbox.wishes.is_empty() {
            inbox.runs = false;
            inbox.heard = Heard::default();
        }
        !inbox.runs
    }
}

#[cfg(test)]
mod tests;
