use std::collections::HashMap;
use std::sync::Arc;

use glovebox_events::Event;
use glovebox_trace::{PluginRecord, Versions};

use crate::metrics::{GenerationMetrics, Metrics, Series};

/// One instance of a plugin, in one version: what figures are written apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Runner {
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The instance, by its number in the host.
    pub instance: u64,
    /// The version that it ran; empty if nothing says it.
    pub version: Arc<str>,
}

/// Runners that are told apart. Events of others are only counted.
const MAX_RUNNERS: usize = 2_000;

/// Counts the events of each instance and version alone, so that two that share an id are never
/// added up.
#[derive(Debug)]
pub struct InstanceMetrics {
    /// In order of appearance.
    all: Vec<(Runner, Metrics)>,
    places: HashMap<Runner, usize>,
    versions: Versions,
    /// Buckets of each series.
    kept: usize,
    left_out: u64,
}

impl InstanceMetrics {
    /// Of a whole trace with these records; each series keeps so many buckets.
    pub fn keeping(buckets: usize, plugins: &[PluginRecord]) -> InstanceMetrics {
        let mut versions = Versions::default();
        versions.describe(plugins);
        let (all, places) = Default::default();
        InstanceMetrics { all, places, versions, kept: buckets, left_out: 0 }
    }

    /// Takes one event.
    pub fn ingest(&mut self, event: &Event) {
        self.versions.take_in(event);
        let version = self.versions.of(event.instance, event.generation).cloned();
        let runner = Runner {
            plugin: event.plugin.clone(),
            instance: event.instance,
            version: version.unwrap_or_default(),
        };
        let place = self.places.get(&runner).copied();
        // A file that was never loaded is no plugin with figures.
        if place.is_none() && !event.what.is_of_a_plugin() {
            return;
        }
        if place.is_none() && self.all.len() == MAX_RUNNERS {
            self.left_out += 1;
            return;
        }
        let place = place.unwrap_or_else(|| {
            self.places.insert(runner.clone(), self.all.len());
            self.all.push((runner, Metrics::keeping(self.kept)));
            self.all.len() - 1
        });
        self.all[place].1.ingest(event);
    }

    /// The figures of each generation, by runner in order of appearance.
    pub fn generations(&self) -> Vec<(Runner, GenerationMetrics)> {
        let all = self.all.iter().flat_map(|(runner, metrics)| {
            let generations = metrics.snapshot().generations.into_iter();
            generations.map(|one| (runner.clone(), one))
        });
        all.collect()
    }

    /// The series of each runner, by the tenth of a second if they are to be `fine`.
    pub fn series(&self, fine: bool) -> Vec<(Runner, Series)> {
        let all = self.all.iter().flat_map(|(runner, metrics)| {
            let snapshot = metrics.snapshot();
            let series = if fine { snapshot.fine } else { snapshot.series };
            series.into_values().map(|one| (runner.clone(), one))
        });
        all.collect()
    }

    /// Generations that are only part of the total of their plugin.
    pub fn generations_left_out(&self) -> u64 {
        self.all.iter().map(|(_, metrics)| metrics.generations_left_out()).sum()
    }

    /// Events that are in no figures, because there were 2,000 instances and versions before theirs.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}
