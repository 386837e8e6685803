//! Several versions or tiers of a plugin that get the same inputs, side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use glovebox_events::{Event, Sink};
use glovebox_host::PluginStatus;
use glovebox_inspector::diff::{self, Diff, DiffOptions, Run};
use glovebox_inspector::metrics::{GenerationMetrics, Metrics};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::super::report::count;
use super::super::{diff as diff_verb, plugins, timing};

/// Counts events for each instance alone.
#[derive(Debug, Default)]
pub(super) struct EachInstance(Mutex<BTreeMap<u64, Metrics>>);

impl EachInstance {
    /// The figures of one instance, by generation.
    pub(super) fn figures(&self, instance: u64) -> Vec<GenerationMetrics> {
        let metrics = self.0.lock();
        metrics.get(&instance).map(|metrics| metrics.snapshot().generations).unwrap_or_default()
    }
}

impl Sink for EachInstance {
    fn record(&self, event: &Event) {
        self.0.lock().entry(event.instance).or_default().ingest(event);
    }
}

/// One that got inputs, and what it did.
pub(super) struct TargetFound {
    /// The name that a person gave it.
    pub(super) given: Option<String>,
    pub(super) status: PluginStatus,
    pub(super) figures: Vec<GenerationMetrics>,
}

impl TargetFound {
    fn id(&self) -> &str {
        &self.status.manifest.plugin.id
    }

    /// The name that a person gave it, version, binding and file, which tell it from others of the same
    /// plugin.
    fn name(&self) -> String {
        let about = &self.status.manifest.plugin;
        let file = self.status.origin.name();
        let given = self.given.as_ref().map(|given| format!("{given}: ")).unwrap_or_default();
        format!("{given}{} {}, {}, {file}", about.id, about.version, self.status.binding)
    }

    /// Its name among the targets, where it is the one at this place.
    fn place(&self, at: usize) -> String {
        self.given.clone().unwrap_or_else(|| format!("target {}", at + 1))
    }

    fn calls(&self) -> u64 {
        self.figures.iter().map(|figures| figures.calls).sum()
    }

    fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        let mut outcomes = BTreeMap::new();
        for (name, count) in self.figures.iter().flat_map(|figures| &figures.outcomes) {
            *outcomes.entry(*name).or_default() += count;
        }
        outcomes
    }

    fn line(&self) -> String {
        let outcomes = self.outcomes();
        let outcomes = outcomes.iter().map(|(name, count)| format!("{count} {name}"));
        let outcomes = outcomes.collect::<Vec<_>>().join(", ");
        let mut text = format!("{}: {} ({outcomes})", self.name(), count(self.calls(), "call"));
        if let Some(last) = self.figures.last() {
            text.push_str(&format!(", {}", timing::short(&last.latency)));
        }
        text
    }

    fn json(&self) -> Json {
        let sum = |figure: fn(&GenerationMetrics) -> u64| -> u64 {
            self.figures.iter().map(figure).sum()
        };
        let mut json = plugins::status_json(&self.status);
        if let Some(given) = &self.given {
            json["name"] = given.as_str().into();
        }
        json["instance"] = self.status.instance.get().into();
        json["calls"] = self.calls().into();
        json["outcomes"] = json!(self.outcomes());
        json["frames_out"] = sum(|figures| figures.frames_out).into();
        json["bytes_out"] = sum(|figures| figures.bytes_out).into();
        json["host_calls"] = sum(GenerationMetrics::host_calls).into();
        json["denied"] = sum(GenerationMetrics::denials).into();
        json["injected"] = sum(GenerationMetrics::injected).into();
        json["latency"] =
            self.figures.iter().map(|figures| timing::json(&figures.latency)).collect();
        json
    }
}

/// All that got inputs, and how those of one plugin compare.
pub(super) struct TargetsFound {
    all: Vec<TargetFound>,
    /// The first of a plugin with each other one of it, by position from 0.
    compared: Vec<(usize, usize, Diff)>,
}

/// For each target the one that it is compared with: the first of the same plugin.
fn pairs(all: &[TargetFound]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let first = |id: &str| all.iter().position(|target| target.id() == id);
    let pairs = all.iter().enumerate().map(move |(at, target)| (first(target.id()), at));
    pairs.filter_map(|(first, at)| Some((first?, at)).filter(|(first, at)| first < at))
}

/// True if several are of one plugin, so that they are compared.
pub(super) fn are_comparable(statuses: &[PluginStatus]) -> bool {
    let id = |status: &PluginStatus| status.manifest.plugin.id.clone();
    let mut ids: Vec<String> = statuses.iter().map(id).collect();
    ids.sort();
    ids.windows(2).any(|pair| pair[0] == pair[1])
}

impl TargetsFound {
    /// Compares what the targets did; without events nothing is compared. Gives also the events of
    /// the first target of each plugin, for comparisons with another run.
    pub(super) fn new(
        all: Vec<TargetFound>,
        events: Vec<Event>,
        options: &DiffOptions,
    ) -> (TargetsFound, Vec<Event>) {
        let others: Vec<(usize, usize)> = pairs(&all).collect();
        if others.is_empty() || events.is_empty() {
            return (TargetsFound { all, compared: Vec::new() }, events);
        }
        let mut by_instance: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
        for event in events {
            by_instance.entry(event.instance).or_default().push(event);
        }
        let mut runs: BTreeMap<usize, Arc<Run>> = BTreeMap::new();
        let mut run = |at: usize, by_instance: &mut BTreeMap<u64, Vec<Event>>, keep: bool| {
            let instance = all[at].status.instance.get();
            let make = || {
                let events = match keep {
                    true => by_instance.get(&instance).cloned(),
                    false => by_instance.remove(&instance),
                };
                let name = match all[at].given {
                    Some(_) => all[at].name(),
                    None => format!("target {}: {}", at + 1, all[at].name()),
                };
                Arc::new(Run::from_events(name, events.unwrap_or_default()))
            };
            runs.entry(at).or_insert_with(make).clone()
        };
        let mut compared = Vec::new();
        for (first, at) in others {
            let before = run(first, &mut by_instance, true);
            let after = run(at, &mut by_instance, false);
            compared.push((first, at, diff::diff(before, after, options)));
        }
        let mut rest: Vec<Event> = by_instance.into_values().flatten().collect();
        rest.sort_by_key(|event| event.sequence);
        (TargetsFound { all, compared }, rest)
    }

    pub(super) fn statuses(&self) -> impl Iterator<Item = &PluginStatus> {
        self.all.iter().map(|target| &target.status)
    }

    pub(super) fn figures(&self) -> impl Iterator<Item = &GenerationMetrics> {
        self.all.iter().flat_map(|target| &target.figures)
    }

    /// The figures with the name of the target: its plugin, and what tells it from the others of it.
    pub(super) fn named_figures(&self) -> impl Iterator<Item = (String, &GenerationMetrics)> {
        let is_alone = |target: &TargetFound| {
            self.all.iter().filter(|other| other.id() == target.id()).count() == 1
        };
        self.all.iter().enumerate().flat_map(move |(at, target)| {
            let name = match is_alone(target) {
                true => target.id().to_owned(),
                false => match target.given {
                    Some(_) => format!("{},", target.name()),
                    None => format!("target {}, {},", at + 1, target.name()),
                },
            };
            target.figures.iter().map(move |figures| (name.clone(), figures))
        })
    }

    /// The latencies of all targets, for programs.
    pub(super) fn latencies_json(&self) -> Json {
        let all = self.all.iter().enumerate().flat_map(|(at, target)| {
            target.figures.iter().map(move |figures| {
                let mut json = timing::json(&figures.latency);
                json["plugin"] = target.id().into();
                json["version"] = target.status.manifest.plugin.version.to_string().into();
                json["target"] = (at + 1).into();
                json["instance"] = target.status.instance.get().into();
                json["generation"] = figures.generation.into();
                json
            })
        });
        all.collect()
    }

    /// The comparisons of targets, each with a name.
    pub(super) fn comparisons(&self) -> impl Iterator<Item = (String, &Diff)> {
        self.compared
            .iter()
            .map(|(_, _, diff)| (format!("{} against {}", diff.after.name, diff.before.name), diff))
    }

    /// True if targets of one plugin did different things.
    pub(super) fn differ(&self) -> bool {
        self.compared.iter().any(|(.., diff)| !diff.is_same())
    }

    pub(super) fn sentences(&self) -> impl Iterator<Item = String> {
        self.compared
            .iter()
            .map(|compared| format!("{}: {}", self.sides(compared), compared.2.summary()))
    }

    /// Which target is compared with which.
    fn sides(&self, (first, at, _): &(usize, usize, Diff)) -> String {
        format!("{} against {}", self.all[*at].place(*at), self.all[*first].place(*first))
    }

    /// The differences between targets, for people.
    pub(super) fn text(&self) -> String {
        let text = |compared| format!("{}:\n{}\n", self.sides(compared), compared.2.to_text());
        self.compared.iter().map(text).collect()
    }

    /// Lines for people: a name and what there is to say; none if there is a single target.
    pub(super) fn lines(&self) -> Vec<(String, String)> {
        let many = self.all.len() > 1;
        let all = self.all.iter().enumerate().filter(|_| many);
        all.map(|(at, target)| (format!("target {}", at + 1), target.line())).collect()
    }

    pub(super) fn json(&self) -> Json {
        self.all.iter().map(TargetFound::json).collect()
    }

    pub(super) fn comparisons_json(&self) -> Json {
        let compared = self.compared.iter();
        compared
            .map(|(first, at, diff)| {
                let mut json = diff_verb::to_json(diff);
                json["before_target"] = (first + 1).into();
                json["after_target"] = (at + 1).into();
                json
            })
            .collect()
    }
}
