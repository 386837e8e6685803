//! Writes the session when it changed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::window::session::Session;

/// How long after the last change the session is saved.
const SAVE_AFTER: Duration = Duration::from_secs(2);

/// Writes the session when it changed; writes nothing without a path.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    path: Option<PathBuf>,
    saved: Option<Session>,
    changed: Option<Instant>,
}

impl Keeper {
    /// One for a session that was just read from `path`.
    pub(super) fn new(path: Option<PathBuf>, session: &Session) -> Keeper {
        Keeper { path, saved: Some(session.clone()), changed: None }
    }

    /// True if the session is kept at all.
    pub(super) fn keeps(&self) -> bool {
        self.path.is_some()
    }

    /// Saves a session that did not change for a while; else says after what time to look again.
    pub(super) fn keep(&mut self, session: &Session) -> Option<Duration> {
        if self.saved.as_ref() == Some(session) {
            self.changed = None;
            return None;
        }
        let changed = *self.changed.get_or_insert_with(Instant::now);
        let rest = SAVE_AFTER.checked_sub(changed.elapsed());
        if rest.is_none() {
            self.save(session);
        }
        rest
    }

    /// Saves a session at once, on a thread of its own.
    pub(super) fn save(&mut self, session: &Session) {
        let Some(path) = self.path.clone() else {
            return;
        };
        self.changed = None;
        self.saved = Some(session.clone());
        let session = session.clone();
        let thread = std::thread::Builder::new().name("glovebox session".to_owned());
        let spawned = thread.spawn(move || {
            if let Err(error) = session.write(&path) {
                tracing::warn!("the session was not saved: {error:#}");
            }
        });
        if let Err(error) = spawned {
            tracing::warn!("the session was not saved: {error}");
        }
    }

    /// Saves a session on this thread, because the program ends.
    pub(super) fn save_last(&self, session: &Session) {
        let changed = self.saved.as_ref() != Some(session);
        if let (Some(path), true) = (&self.path, changed)
            && let Err(error) = session.write(path)
        {
            tracing::warn!("the session was not saved: {error:#}");
        }
    }
}
