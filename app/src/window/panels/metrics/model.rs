//! The chosen instance, and its figures.

use std::ops::Range;
use std::sync::Arc;

use glovebox_host::{InstanceId, PluginStatus};
use glovebox_inspector::metrics::{Bucket, Series};

use super::compared::Compared;
use crate::window::shown::Selection;
use crate::workbench::{Figures, InstanceFigures, Origin, Source, ViewCtx};

/// The state of the metrics panel.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The instance that was clicked here last.
    pub(super) clicked: Option<Clicked>,
    pub(super) compared: Compared,
    /// True if charts show tenths of a second.
    pub(super) fine: bool,
}

/// An instance that was clicked in the metrics of a source.
#[derive(Debug)]
pub(super) struct Clicked {
    pub(super) source: Source,
    pub(super) plugin: Arc<str>,
    pub(super) instance: u64,
    /// The plugin that is selected by that: once another one is, the click is over.
    pub(super) selects: Option<InstanceId>,
}

impl State {
    /// The instance whose charts are shown: the one that was clicked, else the selected plugin, else
    /// the first one.
    pub(crate) fn chosen<'a>(
        &self,
        view: ViewCtx<'_>,
        selection: &Selection,
        figures: &'a Figures,
    ) -> Option<&'a InstanceFigures> {
        let plugin = selection.plugin(view);
        let is_still =
            |clicked: &&Clicked| clicked.source == selection.source && clicked.selects == plugin;
        let clicked = self.clicked.as_ref().filter(is_still);
        let clicked = clicked.and_then(|one| figures.of(&one.plugin, one.instance));
        let selected = || {
            let plugin = view.plugin(plugin?)?;
            let is_it = |one: &&InstanceFigures| {
                loaded(view, selection.source, one)
                    .is_some_and(|loaded| loaded.instance == plugin.instance)
            };
            let mut all = figures.instances.iter();
            all.find(is_it).or_else(|| {
                let id = &plugin.manifest.plugin.id;
                figures.instances.iter().find(|one| *one.plugin == **id)
            })
        };
        clicked.or_else(selected).or(figures.instances.first())
    }
}

/// The plugin that is loaded as this instance. A replay ran in the instances that are loaded; of an
/// instance in a trace file, it is one of the same id, if possible with the same number.
pub(super) fn loaded<'a>(
    view: ViewCtx<'a>,
    source: Source,
    one: &InstanceFigures,
) -> Option<&'a PluginStatus> {
    match source {
        Source::Live => view.plugins().iter().find(|plugin| plugin.instance.get() == one.instance),
        Source::Trace(trace) => {
            let is_it = |plugin: &&PluginStatus| {
                plugin.instance.get() == one.instance && *plugin.manifest.plugin.id == *one.plugin
            };
            let is_run =
                || view.trace(trace).is_some_and(|trace| matches!(trace.origin, Origin::Replay(_)));
            let exact = view.plugins().iter().find(is_it);
            exact.or_else(|| view.plugin_by_id(&one.plugin).filter(|_| !is_run()))
        }
    }
}

/// When a generation ran, as far as reloads in a series tell, in nanoseconds since the Unix epoch.
pub(super) fn times_of(generation: u32, series: &Series) -> Range<u64> {
    let accepted = || series.reloads.iter().filter(|mark| mark.accepted);
    let start = accepted().find(|mark| mark.generation == generation).map(|mark| mark.at);
    let end = accepted().find(|mark| mark.generation > generation).map(|mark| mark.at);
    // Before the first switch there was the generation before it.
    start.unwrap_or(0)..end.unwrap_or(u64::MAX)
}

/// Frames of each of the last seconds that began in these times; others and seconds without events
/// count as 0.
pub(super) fn per_second(buckets: &[Bucket], seconds: u64, times: &Range<u64>) -> Vec<f64> {
    let Some(last) = buckets.last() else {
        return Vec::new();
    };
    const SECOND: u64 = 1_000_000_000;
    let second = |bucket: &Bucket| bucket.start / SECOND;
    let first = second(last).saturating_sub(seconds - 1);
    let mut values = vec![0.0; seconds as usize];
    // The second of a switch counts for the generation after it.
    let own = times.start / SECOND..times.end / SECOND;
    let buckets = buckets.iter().filter(|bucket| own.contains(&second(bucket)));
    for bucket in buckets.filter(|bucket| second(bucket) >= first) {
        values[(second(bucket) - first) as usize] = bucket.frames as f64;
    }
    values
}

#[cfg(test)]
mod tests {
    use glovebox_inspector::metrics::ReloadMark;

    use super::*;

    #[test]
    fn quiet_seconds_count() {
        let bucket = |second: u64, frames| Bucket {
            start: second * 1_000_000_000,
            frames,
            ..Bucket::default()
        };
        let all = 0..u64::MAX;
        let buckets = [bucket(1, 9), bucket(7, 3), bucket(10, 5)];
        assert_eq!(per_second(&buckets, 4, &all), [3.0, 0.0, 0.0, 5.0]);
        assert!(per_second(&[], 4, &all).is_empty());
    }

    #[test]
    fn seconds_belong_to_one_generation() {
        let mark = |second: u64, generation, accepted| ReloadMark {
            at: second * 1_000_000_000 + 5,
            generation,
            accepted,
        };
        let buckets = (1..=6).map(|second| Bucket {
            start: second * 1_000_000_000,
            frames: second,
            ..Bucket::default()
        });
        let series = Series {
            buckets: buckets.collect(),
            reloads: vec![mark(3, 2, true), mark(4, 2, false), mark(5, 3, true)],
            ..Series::default()
        };
        let check = |generation: u32, expected: [f64; 6]| {
            let times = times_of(generation, &series);
            assert_eq!(per_second(&series.buckets, 6, &times), expected, "{generation}");
        };
        check(1, [1.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
        check(2, [0.0, 0.0, 3.0, 4.0, 0.0, 0.0]);
        check(3, [0.0, 0.0, 0.0, 0.0, 5.0, 6.0]);
    }
}
