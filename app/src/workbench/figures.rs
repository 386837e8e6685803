//! Figures of each instance alone, as several may run under one id, and of each plugin as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use glovebox_events::Event;
use glovebox_inspector::metrics::{GenerationMetrics, Metrics, Series};

/// Figures of a source, at one moment.
#[derive(Debug, Default)]
pub struct Figures {
    /// Each instance, by id and number.
    pub instances: Vec<InstanceFigures>,
    /// All generations of all instances of each plugin together, by id.
    pub totals: Vec<GenerationMetrics>,
}

/// Figures of one instance.
#[derive(Debug)]
pub struct InstanceFigures {
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The instance, by its number in the host.
    pub instance: u64,
    /// Each generation, oldest first; one at least.
    pub generations: Vec<GenerationMetrics>,
    /// By the second.
    pub series: Series,
    /// By the tenth of a second.
    pub fine: Series,
}

impl Figures {
    /// Those of one instance.
    pub fn of(&self, plugin: &str, instance: u64) -> Option<&InstanceFigures> {
        self.instances.iter().find(|one| &*one.plugin == plugin && one.instance == instance)
    }

    /// True if another instance runs under the id of this one.
    pub fn has_twin(&self, plugin: &str, instance: u64) -> bool {
        self.instances.iter().any(|one| &*one.plugin == plugin && one.instance != instance)
    }
}

/// Instances that are told apart; of more, those that were loaded first are only part of the totals.
const MAX_INSTANCES: usize = 1_024;

/// Counts events of each instance alone. A clone is cheap, and its figures can be computed while this
/// one counts on.
#[derive(Debug, Clone, Default)]
pub(super) struct Counting {
    /// By the id of the plugin and the number of the instance.
    instances: BTreeMap<(Arc<str>, u64), Arc<Metrics>>,
    /// The others.
    older: Arc<Metrics>,
}

impl Counting {
    /// Takes one event.
    pub(super) fn ingest(&mut self, event: &Event) {
        let key = (Arc::clone(&event.plugin), event.instance);
        if let Some(metrics) = self.instances.get_mut(&key) {
            return Arc::make_mut(metrics).ingest(event);
        }
        // A file that was never loaded is no instance.
        if !event.what.is_of_a_plugin() {
            return;
        }
        if self.instances.len() == MAX_INSTANCES {
            self.forget_the_first();
        }
        Arc::make_mut(self.instances.entry(key).or_default()).ingest(event);
    }

    fn forget_the_first(&mut self) {
        let keys = self.instances.keys();
        let Some(first) = keys.min_by_key(|(_, instance)| *instance).cloned() else { return };
        if let Some(metrics) = self.instances.remove(&first) {
            Arc::make_mut(&mut self.older).merge(&metrics);
        }
    }

    /// The figures as they are now.
    pub(super) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        let mut together = Metrics::clone(&self.older);
        for ((plugin, instance), metrics) in &self.instances {
            let mut snapshot = metrics.snapshot();
            let own = (Arc::clone(plugin), 0)..=(Arc::clone(plugin), u64::MAX);
            // Merging histograms costs something.
            let is_alone = self.instances.range(own).nth(1).is_none();
            match is_alone && !self.older.has(plugin) {
                true => figures.totals.append(&mut snapshot.totals),
                false => together.merge(metrics),
            }
            figures.instances.push(InstanceFigures {
                plugin: Arc::clone(plugin),
                instance: *instance,
                series: snapshot.series.remove(plugin).unwrap_or_default(),
                fine: snapshot.fine.remove(plugin).unwrap_or_default(),
                generations: snapshot.generations,
            });
        }
        figures.totals.extend(together.totals());
        figures.totals.sort_by(|one, other| one.plugin.cmp(&other.plugin));
        figures
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use glovebox_events::{CallId, Outcome, Timing, What};

    use super::*;

    fn ended(plugin: &str, instance: u64) -> Event {
        let what = What::CallEnded {
            call: CallId(1),
            outcome: Outcome::Completed,
            timing: Timing { guest: Duration::from_micros(1), ..Timing::default() },
            bytes_in: 0,
            bytes_out: 0,
            frames_out: 0,
            memory: None,
        };
        Event { sequence: 0, at: 1, plugin: plugin.into(), instance, generation: 1, what }
    }

    #[test]
    fn instances_are_bounded_and_stay_in_the_totals() {
        let mut counting = Counting::default();
        for instance in 0..MAX_INSTANCES as u64 + 10 {
            let plugin = if instance < 20 { "old" } else { "new" };
            counting.ingest(&ended(plugin, instance));
        }
        let before = counting.clone();
        counting.ingest(&ended("old", 19));
        let check = |counting: &Counting, old: u64| {
            let figures = counting.figures();
            assert_eq!(figures.instances.len(), MAX_INSTANCES);
            let totals = figures.totals.iter().map(|total| (&*total.plugin, total.calls));
            let new = MAX_INSTANCES as u64 - 10;
            assert_eq!(totals.collect::<Vec<_>>(), [("new", new), ("old", old)]);
        };
        check(&counting, 21);
        check(&before, 20);
    }
}
