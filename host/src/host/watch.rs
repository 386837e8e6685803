//! Reloads when the artifact or its manifest changes on disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use glovebox_events::NoteKind;

use super::{Host, Inner};
use crate::id::InstanceId;
use crate::instance::Instance;
use crate::load::files_of;
use crate::problem::{LoadProblem, Origin};
use crate::services::Mock;
use crate::watch::{Busy, Watches, Watching};

/// Why a plugin cannot be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// There is no such instance.
    #[error("no such instance; it was unloaded, or never loaded")]
    Gone,
    /// It does not come from a file.
    #[error(
        "the plugin is {origin}, and no file of it could change; give it another artifact with \
         `Host::reload_with`"
    )]
    NoFile {
        /// Where it comes from.
        origin: Origin,
    },
    /// The operating system refused a thread.
    #[error("there is no thread that watches: {reason}; reload by hand")]
    Refused {
        /// The error of the operating system.
        reason: String,
    },
}

/// Reloads one instance.
struct Reloads {
    host: Weak<Inner>,
    id: InstanceId,
}

impl Watches for Reloads {
    fn look(&self, mut busy: Busy, first: bool) {
        let Some(inner) = self.host.upgrade() else { return };
        let reloading = Host { inner }.reload_by_itself(self.id, first, move |error| {
            if matches!(error.problem(), LoadProblem::Unsteady) {
                busy.again();
            }
        });
        // The outcome is an event; nobody waits for it here.
        drop(reloading);
    }

    fn notice(&self, text: &str) {
        let Some(inner) = self.host.upgrade() else { return };
        if let Some(instance) = (Host { inner }).instance(self.id) {
            tracing::warn!(plugin = &*instance.plugin, "{text}");
            // Before the event: whoever hears of it looks it up.
            *instance.watch_notice.lock() = Some(text.to_owned());
            instance.note(NoteKind::Watch, text);
        }
    }
}

/// Is told what became of a file that changed: its content is in force, or why it is not.
type Told = Box<dyn Fn(Result<(), String>) + Send + Sync>;

/// Applies the policy of a host again.
struct PolicyFile {
    host: Weak<Inner>,
    file: PathBuf,
    told: Told,
    /// The file could not be read when it changed last.
    is_broken: AtomicBool,
}

impl Watches for PolicyFile {
    fn look(&self, _busy: Busy, _: bool) {
        let Some(inner) = self.host.upgrade() else { return };
        let host = Host { inner };
        let before = host.policy();
        if before.file() != Some(&self.file) {
            // Another policy was set, and this watch is about to end.
            return;
        }
        let told = match before.again() {
            None => return,
            Some(Ok(policy)) => {
                let was_broken = self.is_broken.swap(false, Relaxed);
                if !was_broken && policy == *before {
                    return;
                }
                let named = policy.mode();
                if !host.renew_policy(&before, policy) {
                    return;
                }
                let mode = host.policy_mode();
                if let Some(named) = named.filter(|named| *named != mode) {
                    host.note_all(&format!(
                        "the policy file names the mode {named}, and {mode}, which was chosen, stays"
                    ));
                }
                Ok(())
            }
            Some(Err(error)) => {
                self.is_broken.store(true, Relaxed);
                let text = format!("the policy of before stays in force: {error}");
                host.note_all(&text);
                Err(text)
            }
        };
        (self.told)(told);
    }

    fn notice(&self, text: &str) {
        tracing::warn!("the policy file: {text}");
        if let Some(inner) = self.host.upgrade() {
            (Host { inner }).note_all(&format!("the policy file: {text}"));
        }
    }
}

/// A mock whose file is watched.
pub(super) struct WatchedMock {
    /// The answers of the file that are in force.
    mock: Arc<Mock>,
    #[expect(dead_code, reason = "it ends the watch when it goes")]
    watching: Watching,
}

/// Takes over what the file of a mock holds.
struct MockFile {
    host: Weak<Inner>,
    file: PathBuf,
    told: Told,
    /// The file could not be read when it changed last.
    is_broken: AtomicBool,
}

impl Watches for MockFile {
    fn look(&self, _busy: Busy, _: bool) {
        let Some(inner) = self.host.upgrade() else { return };
        let host = Host { inner };
        let told = match Mock::read(&self.file) {
            Ok(mock) => {
                let was_broken = self.is_broken.swap(false, Relaxed);
                if !host.renew_mock(mock) && !was_broken {
                    return;
                }
                Ok(())
            }
            Err(error) => {
                self.is_broken.store(true, Relaxed);
                let text = format!("the mock of before stays in force: {error}");
                host.note_mocked(&self.file, &text);
                Err(text)
            }
        };
        (self.told)(told);
    }

    fn notice(&self, text: &str) {
        tracing::warn!("the mock file: {text}");
        if let Some(inner) = self.host.upgrade() {
            (Host { inner }).note_mocked(&self.file, &format!("the mock file: {text}"));
        }
    }
}

impl Host {
    /// Takes over what the file of a mock holds, whenever that changed and was quiet, for all instances that are
    /// answered by it, and for those that are loaded with it later; files are watched as those of plugins are,
    /// see [`watch`](Self::watch). The effect of a change on counts and on the store is said at [`Mock`]. If the file
    /// cannot be read, the mock of before stays in force, and an event of each of these instances says why.
    /// `told` is told of either, on a thread of the host. Of one file, the last watch counts. `false` if the
    /// mock was read from no file.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    pub fn watch_mock(
        &self,
        mock: &Arc<Mock>,
        told: impl Fn(Result<(), String>) + Send + Sync + 'static,
    ) -> Result<bool, WatchError> {
        let Some(file) = mock.file().map(Path::to_owned) else { return Ok(false) };
        let watches = MockFile {
            host: self.downgrade(),
            file: file.clone(),
            told: Box::new(told),
            is_broken: AtomicBool::new(false),
        };
        let mut watched = self.inner.watched_mocks.lock();
        let watching = self
            .inner
            .watcher
            .watch(Box::new(move || vec![file.clone()]), Box::new(watches))
            .map_err(|error| WatchError::Refused { reason: error.to_string() })?;
        watched.retain(|one| one.mock.file() != mock.file());
        watched.push(WatchedMock { mock: mock.clone(), watching });
        drop(watched);
        self.follow_mocks();
        Ok(true)
    }

    /// Puts a mock in place of the one from the same file. `false` if that is the same.
    fn renew_mock(&self, mock: Mock) -> bool {
        let mut watched = self.inner.watched_mocks.lock();
        let before = watched.iter_mut().find(|one| one.mock.file() == mock.file());
        let Some(before) = before.filter(|before| *before.mock != mock) else { return false };
        before.mock = Arc::new(mock);
        drop(watched);
        self.follow_mocks();
        true
    }

    /// The answers of a mock's file that are in force; the mock itself if its file is not watched.
    pub(super) fn mock_now(&self, mock: Arc<Mock>) -> Arc<Mock> {
        let watched = self.inner.watched_mocks.lock();
        let now =
            watched.iter().find(|one| mock.file().is_some() && one.mock.file() == mock.file());
        now.map_or(mock, |now| now.mock.clone())
    }

    fn follow_mocks(&self) {
        self.inner.registry.all().iter().for_each(|instance| self.follow_mock(instance));
    }

    /// Has an instance answered by what is in force of the file of its mock.
    pub(super) fn follow_mock(&self, instance: &Instance) {
        // Again, because another change may come in between, and the last one counts.
        while let Some(mock) = instance.mock()
            && instance.renew_mock(&self.mock_now(mock))
        {}
    }

    /// Tells the log of every instance that is answered by the mock of a file.
    fn note_mocked(&self, file: &Path, text: &str) {
        let all = self.inner.registry.all();
        let is_mocked =
            |one: &&Arc<Instance>| one.mock().is_some_and(|mock| mock.file() == Some(file));
        all.iter().filter(is_mocked).for_each(|instance| instance.note(NoteKind::Watch, text));
    }

    /// Applies the policy again, as [`set_policy`](Self::set_policy) does, whenever its file changed and
    /// was quiet; files are watched as those of plugins are, see [`watch`](Self::watch). A mode that was
    /// [chosen](Self::set_policy_mode) stays all the same. If the file cannot be read, the policy of before
    /// stays in force, and an event of each instance says why. `told` is told of either, on a thread of the
    /// host. The watch ends when another policy is set. `false` if the policy was read from no file.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    pub fn watch_policy(
        &self,
        told: impl Fn(Result<(), String>) + Send + Sync + 'static,
    ) -> Result<bool, WatchError> {
        let Some(file) = self.policy().file().map(Path::to_owned) else { return Ok(false) };
        let watches = PolicyFile {
            host: self.downgrade(),
            file: file.clone(),
            told: Box::new(told),
            is_broken: AtomicBool::new(false),
        };
        let watching = self
            .inner
            .watcher
            .watch(Box::new(move || vec![file.clone()]), Box::new(watches))
            .map_err(|error| WatchError::Refused { reason: error.to_string() })?;
        let ended = self.inner.policy_watch.lock().replace(watching);
        drop(ended);
        Ok(true)
    }

    /// Tells the log of every instance.
    fn note_all(&self, text: &str) {
        self.inner.registry.all().iter().for_each(|instance| instance.note(NoteKind::Watch, text));
    }

    /// Reloads an instance, with its state, whenever its artifact or its manifest has changed and the
    /// files were quiet for 150 ms; files that are replaced again and again are read once a second. A
    /// file that its writer has open is waited for, until nothing is written to it for two seconds.
    /// [`unwatch`](Self::unwatch) ends that.
    ///
    /// The way to the files is watched, too: folders that are renamed or made anew, and links that
    /// are pointed elsewhere. If the content is the same as before, nothing happens. A change between
    /// the load and this call counts. Where the system tells of no changes, as on network folders or
    /// if its limits are reached, the host looks at the files once a second, and an event says so.
    ///
    /// # Errors
    ///
    /// If there is nothing to watch, or the operating system refuses a thread.
    pub fn watch(&self, id: InstanceId) -> Result<(), WatchError> {
        let instance = self.instance(id).ok_or(WatchError::Gone)?;
        let source = &instance.request().source;
        let Some(path) = source.file() else {
            return Err(WatchError::NoFile { origin: source.origin() });
        };
        // The working folder may change.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let files = move || files_of(&path);
        let reloads = Reloads { host: self.downgrade(), id };
        let watching = self
            .inner
            .watcher
            .watch(Box::new(files), Box::new(reloads))
            .map_err(|error| WatchError::Refused { reason: error.to_string() })?;
        // Ended outside the lock, which the status needs too.
        let ended = instance.watching.lock().replace(watching);
        drop(ended);
        Ok(())
    }

    /// Watches the files of the source that an instance has now, if those of the one before were
    /// watched.
    pub(super) fn watch_anew(&self, instance: &Instance) {
        if instance.watching.lock().is_none() {
            return;
        }
        if let Err(error) = self.watch(instance.id) {
            instance.stop_watching();
            let text = format!("its files are watched no more: {error}");
            instance.note(NoteKind::Watch, &text);
        }
    }

    /// Stops reloading an instance by itself. `false` if nothing watched it.
    pub fn unwatch(&self, id: InstanceId) -> bool {
        let Some(instance) = self.instance(id) else { return false };
        instance.stop_watching()
    }
}
