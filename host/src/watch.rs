//! Reloads when the artifact changes on disk.

use std::path::Path;
use std::time::Duration;

use glovebox_events::ReloadCause;
use notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};

use crate::Host;
use crate::registry::InstanceId;

/// How long the files must be quiet: a linker writes in many steps.
const SETTLE: Duration = Duration::from_millis(250);

/// Ends the watch when it goes.
pub(crate) type Watching = Debouncer<RecommendedWatcher, RecommendedCache>;

/// Why a plugin cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There is no such instance.
    #[error("no such instance; it was unloaded, or never loaded")]
    Gone,
    /// It is part of the application.
    #[error("a core plugin has no file that could change")]
    NoFile,
    /// The operating system refused.
    #[error("cannot watch the folder: {reason}; reload by hand, or raise the limit on watches")]
    Refused {
        /// What it says.
        reason: String,
    },
}

impl Host {
    /// Starts or stops reloading an instance, with its state, whenever its artifact or manifest
    /// has changed and the files were quiet for a quarter of a second.
    ///
    /// # Errors
    ///
    /// If there is nothing to watch, or the operating system refuses.
    pub fn watch(&self, id: InstanceId, on: bool) -> Result<(), WatchError> {
        let slot = self.slot(id).ok_or(WatchError::Gone)?;
        if !on {
            // Ended outside the lock, which the status needs too.
            let ended = slot.watching.lock().take();
            drop(ended);
            return Ok(());
        }
        let path = slot.current().prepared.path.clone().ok_or(WatchError::NoFile)?;
        let refused =
            |error: &dyn std::fmt::Display| WatchError::Refused { reason: error.to_string() };
        let path = path.canonicalize().map_err(|error| refused(&error))?;
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        // A manifest may name an artifact that lies elsewhere.
        let base = slot.current().prepared.base.clone();
        let base = base.and_then(|base| base.canonicalize().ok()).filter(|base| *base != folder);
        let artifact = path.file_name().map(ToOwned::to_owned);
        let host = self.downgrade();
        let handler = move |result: DebounceEventResult| {
            let Some(inner) = host.upgrade() else { return };
            let concerns = |path: &std::path::PathBuf| {
                path.file_name() == artifact.as_deref() || path.ends_with("plugin.toml")
            };
            match result {
                Ok(events) => {
                    let touched = events.iter().filter(|event| !event.kind.is_access());
                    if touched.flat_map(|event| &event.paths).any(concerns) {
                        // The outcome is an event; nobody waits for it here.
                        drop(Host { inner }.reload(id, ReloadCause::FileChanged, true));
                    }
                }
                Err(errors) => {
                    for error in errors {
                        tracing::warn!(%error, "watching a plugin");
                    }
                }
            }
        };
        let mut watching = new_debouncer(SETTLE, None, handler).map_err(|error| refused(&error))?;
        for folder in [Some(folder), base].into_iter().flatten() {
            watching
                .watch(&folder, RecursiveMode::NonRecursive)
                .map_err(|error| refused(&error))?;
        }
        let ended = slot.watching.lock().replace(watching);
        drop(ended);
        Ok(())
    }
}
