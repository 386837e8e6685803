//! Tends the copies of an instance, from time to time and on request.

use std::sync::Arc;
use std::time::Duration;

use super::copy_status::Care;
use super::{Instance, gone};
use crate::problem::StageError;

impl Instance {
    /// Replaces all copies by fresh ones of the same artifact. A frame that waits for a fresh copy gets it
    /// now, and that is the fresh one then.
    pub(crate) fn restart(&self) -> Result<(), StageError> {
        let before: Vec<u64> = self.pool.statuses().map(|status| status.restarts()).collect();
        self.pool.hurry();
        let restart =
            |(copy, before)| self.pool.hold(copy).ok_or_else(gone)?.copy().restart(before);
        before.into_iter().enumerate().try_for_each(restart)
    }

    /// Gives the processes of the copies, if they have some, the folders and variables that are right now;
    /// waits for the calls under way.
    pub(crate) fn keep_up(&self) {
        for copy in 0..self.copies() {
            if let Some(mut held) = self.pool.hold(copy) {
                held.copy().keep_up();
            }
        }
    }

    /// Looks after the copies for as long as the instance lives: asks how they are and saves their
    /// states, as often as the manifest says.
    pub(crate) fn tend(self: &Arc<Self>) {
        let manifest = self.current().prepared.manifest.clone();
        self.every(manifest.lifecycle.health_interval, Care::Health);
        self.every(manifest.state.checkpoint, Care::Checkpoint);
    }

    /// Gives each copy of this generation some care, again and again.
    fn every(self: &Arc<Self>, interval: Option<Duration>, care: Care) {
        let Some(interval) = interval else { return };
        let (instance, number) = (Arc::downgrade(self), self.current().number);
        self.support.runtime.spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(instance) = instance.upgrade() else { return };
                // The next generation is looked after as its own manifest says.
                if instance.current().number != number || !instance.queue.is_open() {
                    return;
                }
                // A panic must not end the looking after.
                let _ = tokio::task::spawn_blocking(move || instance.pool.care(care)).await;
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
        self.support.states.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use glovebox_abi::{Failure, Frame, Health, Manifest, Plugin, Services};

    use super::*;
    use crate::host::Host;
    use crate::load::LoadRequest;

    /// Counts how often it is asked how it is.
    struct Asked(Arc<AtomicU32>);

    impl Plugin for Asked {
        fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
            Ok(Vec::new())
        }

        fn health(&mut self) -> Health {
            self.0.fetch_add(1, Ordering::SeqCst);
            Health::good()
        }
    }

    #[test]
    fn a_copy_at_work_gets_its_care_after_its_call() {
        let asked: Arc<AtomicU32> = Arc::default();
        let host = Host::builder().build().unwrap();
        let counts = asked.clone();
        let manifest = Manifest::bare("asked");
        let request = LoadRequest::core(manifest, move || Box::new(Asked(counts.clone())));
        let id = host.load(request).wait().unwrap();
        let instance = host.instance(id).unwrap();
        let (at_start, count) = (asked.load(Ordering::SeqCst), || asked.load(Ordering::SeqCst));
        instance.pool.care(Care::Health);
        assert_eq!(count(), at_start + 1, "it is free");
        let mut held = instance.hold_copy(0).unwrap();
        for _ in 0..3 {
            instance.pool.care(Care::Health);
        }
        assert_eq!(count(), at_start + 1, "it is at work");
        held.copy().call(&Frame::data("x"), Duration::ZERO, &mut Default::default());
        drop(held);
        let started = Instant::now();
        while count() == at_start + 1 {
            assert!(started.elapsed().as_secs() < 60, "nobody asked afterwards");
            std::thread::yield_now();
        }
        assert_eq!(count(), at_start + 2, "once for all that came meanwhile");
        // It is due no more.
        assert!(host.call(id, &Frame::data("x")).outcome.is_completed());
        instance.pool.care(Care::Health);
        assert_eq!(count(), at_start + 3);
    }
}
