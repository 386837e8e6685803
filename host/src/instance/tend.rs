//! Tends the copies of an instance, from time to time and on request.

use std::sync::Arc;
use std::time::Duration;

use super::copy::PluginCopy;
use super::{Instance, gone};
use crate::problem::StageError;

impl Instance {
    /// Replaces all copies by fresh ones of the same artifact.
    pub(crate) fn restart(&self) -> Result<(), StageError> {
        self.pool.hurry();
        (0..self.copies())
            .try_for_each(|copy| self.pool.hold(copy).ok_or_else(gone)?.copy().restart())
    }

    /// Gives the processes of the copies the folders and variables that are right now; waits for the
    /// calls under way. False if the copies have no processes of their own.
    pub(crate) fn keep_up(&self) -> bool {
        if !self.current().has_process() {
            return false;
        }
        for copy in 0..self.copies() {
            if let Some(mut held) = self.pool.hold(copy) {
                held.copy().keep_up();
            }
        }
        true
    }

    /// Looks after the copies for as long as the instance lives: asks how they are and saves their
    /// states, as often as the manifest says.
    pub(crate) fn tend(self: &Arc<Self>) {
        let manifest = self.current().prepared.manifest.clone();
        self.every(manifest.lifecycle.health_interval, PluginCopy::check_health);
        self.every(manifest.state.checkpoint, PluginCopy::keep_state);
    }

    /// Does something with each free copy of this generation, again and again.
    fn every(self: &Arc<Self>, interval: Option<Duration>, work: fn(&mut PluginCopy)) {
        let Some(interval) = interval else { return };
        let (instance, number) = (Arc::downgrade(self), self.current().number);
        self.common.runtime.spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(instance) = instance.upgrade() else { return };
                // The next generation is looked after as its own manifest says.
                if instance.current().number != number || !instance.queue.is_open() {
                    return;
                }
                // A panic must not end the looking after.
                let _ = tokio::task::spawn_blocking(move || instance.pool.each_free(work)).await;
            }
        });
    }

    /// Saves the states of all copies; waits for the calls under way.
    pub(crate) fn keep_states(&self) -> bool {
        for copy in 0..self.copies() {
            if let Some(mut held) = self.pool.hold(copy) {
                held.copy().keep_state();
            }
        }
        self.common.states.is_some()
    }
}
