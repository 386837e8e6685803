//! The thread that watches: it follows the ways to all files, and calls back when one changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::settle::Settling;
use super::system::{Heard, Messages, Unwatched, is_remote};
use super::trail::{Identity, Trail};
use super::{Busy, Files, Mailbox, NewMessages, Watches, Wish};
use crate::guard::caught;

/// How often the ways are followed anew because they changed while the system was asked to tell of
/// it. They settle later if they do not now.
const MAX_ROUNDS: usize = 8;

/// Something watched.
struct Entry {
    files: Files,
    watches: Box<dyn Watches>,
    trail: Trail,
    /// The change that nobody was told of yet.
    change: Option<Settling>,
    /// True until the first call.
    first: bool,
    /// True while somebody works on the last change.
    busy: bool,
    /// When it is looked at next, if the system does not tell of all changes.
    poll: Option<Instant>,
    /// True if it changed so shortly before the last look that another change may look the same.
    young: bool,
    /// The notices that were given.
    noticed: BTreeSet<&'static str>,
}

/// A folder of which the system tells, or does not.
struct Folder {
    identity: Identity,
    refused: Option<Unwatched>,
}

pub(super) struct WatchThread {
    shared: Arc<Mailbox>,
    new_messages: NewMessages,
    messages: Option<Box<dyn Messages>>,
    folders: BTreeMap<PathBuf, Folder>,
    entries: BTreeMap<u64, Entry>,
    /// True if the folders to watch may be others now.
    is_changed: bool,
}

impl WatchThread {
    pub(super) fn new(shared: Arc<Mailbox>, new_messages: NewMessages) -> WatchThread {
        let (folders, entries, is_changed) = Default::default();
        WatchThread { shared, new_messages, messages: None, folders, entries, is_changed }
    }

    /// Watches until nothing is left to watch.
    pub(super) fn run(mut self) {
        loop {
            let (heard, wishes) = self.shared.wait(self.next());
            let now = Instant::now();
            for wish in wishes {
                self.guarded(|thread| thread.grant(wish, now));
            }
            self.guarded(|thread| thread.look_around(&heard, now));
            if self.entries.is_empty() {
                // The system is asked for nothing meanwhile.
                self.messages = None;
                self.folders.clear();
                if self.shared.may_end() {
                    return;
                }
            }
        }
    }

    /// Does the work. If it panics, which is a bug of ours, the watches go on by looking themselves, and
    /// say so.
    fn guarded(&mut self, work: impl FnOnce(&mut WatchThread)) {
        let Err(reason) = caught(|| work(self)) else { return };
        tracing::error!(reason, "watching files panicked");
        // Nobody knows of which folders the system tells.
        self.messages = None;
        self.folders.clear();
        self.is_changed = false;
        let poll = Instant::now() + self.shared.poll;
        for entry in self.entries.values_mut() {
            entry.poll = Some(poll);
            // Not at once again, if it panics at that.
            entry.change = entry.change.take().map(|_| Settling::new(poll));
            entry.notice(
                "panicked",
                &format!(
                    "watching its files panicked ({reason}), which is a bug of the host: they are \
                     looked at every second until one changes"
                ),
            );
        }
    }

    /// Sees what is different, and calls back about it.
    pub(super) fn look_around(&mut self, heard: &Heard, now: Instant) {
        self.take_in(heard, now);
        self.poll(now);
        if std::mem::take(&mut self.is_changed) {
            self.follow();
        }
        self.call(Instant::now());
    }

    /// When there is something to do, even if nobody says anything.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = |entry: &Entry| {
            let change = entry.change.as_ref().filter(|_| !entry.busy);
            let due = change.map(|change| change.due(entry.trail.has_empty()));
            due.into_iter().chain(entry.poll).min()
        };
        self.entries.values().filter_map(due).min()
    }

    pub(super) fn grant(&mut self, wish: Wish, now: Instant) {
        match wish {
            Wish::Begin(id, files, watches) => {
                let entry = Entry {
                    files,
                    watches,
                    trail: Trail::default(),
                    // The file may have changed since it was read.
                    change: Some(Settling::new(now)),
                    first: true,
                    busy: false,
                    poll: None,
                    young: false,
                    noticed: BTreeSet::new(),
                };
                self.is_changed = true;
                self.entries.entry(id).or_insert(entry).look(now);
            }
            Wish::End(id) => self.is_changed |= self.entries.remove(&id).is_some(),
            Wish::Free { id, again } => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.busy = false;
                    if again {
                        entry.change.get_or_insert_with(|| Settling::new(now)).change(now, true);
                    }
                }
            }
        }
    }

    /// Takes in what the system told.
    pub(super) fn take_in(&mut self, heard: &Heard, now: Instant) {
        for (path, touch) in &heard.touched {
            if touch.moved {
                // The system has forgotten it, and those inside, or tells of what is elsewhere now.
                self.is_changed |= self.forget_all(|folder| folder.starts_with(path));
            }
        }
        if heard.lost {
            self.is_changed |= self.forget_all(|_| true);
        }
        for entry in self.entries.values_mut() {
            let paths = || heard.touched.keys();
            let concerns = heard.lost || paths().any(|path| entry.trail.leads_over(path));
            let ended: Vec<_> = paths().filter(|path| entry.trail.ends_at(path)).collect();
            if concerns {
                self.is_changed |= entry.look(now);
            }
            // A file that is there since just now counts as well: its writer may have it open still.
            for (path, touch) in &heard.touched {
                if entry.trail.ends_at(path) || ended.contains(&path) {
                    let change = entry.change.get_or_insert_with(|| Settling::new(now));
                    match touch.open {
                        Some(is_open) => change.hear(now, is_open),
                        None => change.touch(now),
                    }
                }
            }
            if heard.lost {
                entry.change.get_or_insert_with(|| Settling::new(now));
                entry.notice(
                    "lost",
                    "messages about changed files were lost because they were too many; all watched \
                     files are looked at now",
                );
            }
        }
    }

    /// Looks at those of which the system does not tell enough.
    fn poll(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            if entry.poll.is_some_and(|poll| poll <= now) {
                entry.poll = Some(now + self.shared.poll);
                let was_young = entry.young;
                self.is_changed |= entry.look(now);
                entry.young = entry.trail.is_young();
                if was_young && !entry.young {
                    entry.change.get_or_insert_with(|| Settling::new(now));
                }
            }
        }
    }

    /// Has the system tell of what happens on all ways.
    fn follow(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let mut wanted: BTreeMap<PathBuf, Identity> = BTreeMap::new();
            for entry in self.entries.values() {
                let folders = entry.trail.folders();
                wanted.extend(folders.iter().map(|(path, one)| (path.clone(), one.clone())));
            }
            let is_other =
                |(path, folder): &(&PathBuf, &Folder)| wanted.get(*path) != Some(&folder.identity);
            let others = self.folders.iter().filter(is_other);
            let others: Vec<PathBuf> = others.map(|(path, _)| path.clone()).collect();
            others.iter().for_each(|path| self.forget(path));
            wanted.retain(|path, _| !self.folders.contains_key(path));
            self.tell_names();
            if wanted.is_empty() {
                break;
            }
            for (path, identity) in wanted {
                let refused = self.begin(&path).err();
                self.folders.insert(path, Folder { identity, refused });
            }
            // Nobody tells of changes before the system was asked.
            let now = Instant::now();
            for entry in self.entries.values_mut() {
                entry.look(now);
            }
        }
        self.set_polls();
    }

    fn begin(&mut self, folder: &Path) -> Result<(), Unwatched> {
        let messages = match &mut self.messages {
            Some(messages) => messages,
            none => none.insert((self.new_messages)(self.shared.clone())?),
        };
        messages.begin(folder)
    }

    /// True if there was any.
    fn forget_all(&mut self, which: impl Fn(&PathBuf) -> bool) -> bool {
        let gone: Vec<PathBuf> = self.folders.keys().filter(|path| which(path)).cloned().collect();
        gone.iter().for_each(|folder| self.forget(folder));
        !gone.is_empty()
    }

    fn forget(&mut self, folder: &Path) {
        if self.folders.remove(folder).is_some()
            && let Some(messages) = &mut self.messages
        {
            messages.end(folder);
        }
    }

    /// Says which messages matter.
    fn tell_names(&self) {
        let mut inbox = self.shared.inbox.lock();
        let names = self.entries.values().flat_map(|entry| entry.trail.names()).cloned();
        inbox.heard.names = names.collect();
        inbox.heard.folders = self.folders.keys().cloned().collect();
    }

    /// Looks by itself where the system does not tell.
    fn set_polls(&mut self) {
        let (now, every) = (Instant::now(), self.shared.poll);
        for entry in self.entries.values_mut() {
            let folders = entry.trail.folders().keys();
            let refused = folders.filter_map(|path| self.folders.get(path)?.refused.as_ref());
            let mut is_polled = false;
            let mut reasons = Vec::new();
            for refused in refused {
                is_polled = true;
                if let Unwatched::Refused(reason) = refused {
                    reasons.push(reason.clone());
                }
            }
            let is_remote = entry.trail.homes().any(is_remote);
            if let Some(reason) = reasons.first() {
                entry.notice(
                    "refused",
                    &format!(
                        "the system does not tell of changes of its files ({reason}): they are \
                         looked at every second; raise the limits fs.inotify.max_user_watches and \
                         fs.inotify.max_user_instances if this is Linux"
                    ),
                );
            }
            if is_remote {
                entry.notice(
                    "remote",
                    "its files lie on a file system that other machines may change without a \
                     message: they are looked at every second",
                );
            }
            entry.poll = match is_polled || is_remote {
                true => Some(entry.poll.unwrap_or_else(|| now + every)),
                false => None,
            };
        }
    }

    /// Calls back whose files changed and are quiet.
    fn call(&mut self, now: Instant) {
        let mut is_changed = false;
        for (id, entry) in &mut self.entries {
            let is_due = |entry: &Entry| {
                let due = |change: &Settling| change.due(entry.trail.has_empty());
                !entry.busy && entry.change.as_ref().is_some_and(|change| due(change) <= now)
            };
            if !is_due(entry) {
                continue;
            }
            is_changed |= entry.look(now);
            if is_due(entry) {
                entry.change = None;
                entry.busy = true;
                let busy = Busy { shared: self.shared.clone(), id: *id, again: false };
                let first = std::mem::take(&mut entry.first);
                if let Err(reason) = caught(|| entry.watches.look(busy, first)) {
                    tracing::error!(reason, "acting on a changed file panicked");
                }
            }
        }
        if is_changed {
            self.follow();
        }
    }
}

impl Entry {
    /// Follows the ways again; true if they lead over other folders or names than before.
    fn look(&mut self, now: Instant) -> bool {
        let trail = Trail::to(&(self.files)());
        if trail == self.trail {
            return false;
        }
        let grew = trail.grew_from(&self.trail);
        self.change.get_or_insert_with(|| Settling::new(now)).change(now, grew);
        let is_same_way = trail.leads_as(&self.trail);
        self.trail = trail;
        !is_same_way
    }

    fn notice(&mut self, kind: &'static str, text: &str) {
        if self.noticed.insert(kind)
            && let Err(reason) = caught(|| self.watches.notice(text))
        {
            tracing::error!(reason, "telling of a watch panicked");
        }
    }
}
