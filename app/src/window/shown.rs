//! The view of all panels: the source of frames, the filter, and the selection. Panels read it, and
//! ask for changes of it.

use std::sync::Arc;

use glovebox_host::InstanceId;
use glovebox_inspector::filter::{Filter, FilterError};
use glovebox_inspector::search::{Order, SortBy};
use glovebox_inspector::store::Row;

use crate::workbench::{Overview, Reader, RowRef, Source, TraceId, ViewCtx};

/// The view that all panels share.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// The selection.
    pub selection: Selection,
    /// The query for the listed frames.
    pub query: Query,
    /// The digest of the source that is shown.
    pub overview: OverviewState,
    /// The inputs and targets of replays.
    pub replays: Replays,
}

/// The inputs and targets of replays, as a person chose them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Replays {
    /// Into all plugins, instead of into the chosen one.
    pub into_all: bool,
    /// All inputs, instead of those that were recorded for a plugin of the same id.
    pub all_inputs: bool,
    /// The trace whose inputs were sent last: they stay the inputs until another trace is chosen.
    pub last: Option<TraceId>,
}

/// The selection, now and before.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// The source of the frames that are shown.
    pub source: Source,
    /// The frame.
    pub row: Option<RowRef>,
    plugin: Option<InstanceId>,
    history: Vec<RowRef>,
    position: usize,
}

/// Rows that can be gone back to.
const HISTORY: usize = 200;

impl Selection {
    /// Selects a frame and remembers the one before.
    pub(crate) fn select(&mut self, row: RowRef) {
        if self.row == Some(row) {
            return;
        }
        self.history.truncate(self.position + usize::from(!self.history.is_empty()));
        self.history.push(row);
        if self.history.len() > HISTORY {
            self.history.remove(0);
        }
        self.position = self.history.len() - 1;
        self.row = Some(row);
        self.source = row.source;
    }

    /// True if there is something to go back to.
    pub(crate) fn can_go_back(&self) -> bool {
        self.position > 0
    }

    /// True if there is something to go forward to.
    pub(crate) fn can_go_forward(&self) -> bool {
        self.position + 1 < self.history.len()
    }

    /// Goes to what was selected before.
    pub(crate) fn go_back(&mut self) {
        if self.can_go_back() {
            self.go_to(self.position - 1);
        }
    }

    /// Goes to what was selected afterwards.
    pub(crate) fn go_forward(&mut self) {
        if self.can_go_forward() {
            self.go_to(self.position + 1);
        }
    }

    fn go_to(&mut self, position: usize) {
        self.position = position;
        self.row = self.history.get(position).copied();
        if let Some(row) = self.row {
            self.source = row.source;
        }
    }

    /// Forgets the frames of sources that are gone.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(Source) -> bool) {
        if !self.history.iter().any(|row| is_gone(row.source)) {
            return;
        }
        let before = self.history.iter().take(self.position + 1);
        let left = before.filter(|row| !is_gone(row.source)).count();
        self.history.retain(|row| !is_gone(row.source));
        self.position = left.saturating_sub(1);
        self.row = self.row.filter(|row| !is_gone(row.source));
    }

    /// Selects a plugin.
    pub(crate) fn select_plugin(&mut self, plugin: InstanceId) {
        self.plugin = Some(plugin);
    }

    /// The plugin that commands are about: the selected one, else the first.
    pub(crate) fn plugin(&self, ctx: ViewCtx<'_>) -> Option<InstanceId> {
        let selected = self.plugin.filter(|id| ctx.plugin(*id).is_some());
        selected.or_else(|| ctx.plugins().first().map(|plugin| plugin.instance))
    }
}

/// Which frames are shown.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// The typed text.
    pub text: String,
    /// The error in it.
    pub error: Option<FilterError>,
    /// The last good one.
    pub filter: Option<Arc<Filter>>,
    /// The text of that.
    applied: String,
    /// Nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// The order of the list, if it is not that of time.
    pub order: Option<Order>,
    revision: u64,
}

impl Query {
    /// Takes what was typed; a bad filter leaves the last good one in place.
    pub(crate) fn set_text(&mut self, text: String) {
        self.text = text;
        match Filter::parse(&self.text) {
            Ok(filter) => {
                self.error = None;
                self.applied.clone_from(&self.text);
                self.filter = (!filter.is_empty()).then(|| Arc::new(filter));
                self.revision += 1;
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// The error in the typed text, and what is listed meanwhile, for people.
    pub(crate) fn trouble(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        let end = if error.suggestion.is_some() { "" } else { "." };
        let listed = match self.applied.trim() {
            "" => "all frames".to_owned(),
            applied => format!("what fulfils `{applied}`"),
        };
        Some(format!("{error}{end} Meanwhile the list shows {listed}"))
    }

    /// Narrows the time.
    pub(crate) fn set_range(&mut self, range: Option<(u64, u64)>) {
        if self.range != range {
            self.range = range;
            self.revision += 1;
        }
    }

    /// Sorts the list; `None` for the order of time.
    pub(crate) fn set_order(&mut self, order: Option<Order>) {
        if self.order != order {
            self.order = order;
            self.revision += 1;
        }
    }

    /// The order after the next click on a figure: its largest first, its smallest first, time.
    pub(crate) fn next_order(&self, by: SortBy) -> Option<Order> {
        match self.order.filter(|order| order.by == by) {
            None => Some(Order { by, largest_first: true }),
            Some(Order { largest_first: true, .. }) => Some(Order { by, largest_first: false }),
            Some(Order { largest_first: false, .. }) => None,
        }
    }

    /// True if a row is listed, whatever else is.
    pub(crate) fn lists(&self, row: &Row) -> bool {
        let in_range = |(from, to): (u64, u64)| (from..=to).contains(&row.at);
        self.range.is_none_or(in_range)
            && self.filter.as_ref().is_none_or(|filter| filter.matches(&row.subject()))
    }

    /// Shows everything again.
    pub(crate) fn clear(&mut self) {
        self.set_text(String::new());
        self.set_range(None);
    }

    /// True if some frames are left out.
    pub(crate) fn is_set(&self) -> bool {
        self.filter.is_some() || self.range.is_some() || self.error.is_some()
    }

    /// Changes whenever other frames are to be shown.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }
}

/// The digest of the source that is shown, and of which source it is.
#[derive(Debug, Default)]
pub(crate) struct OverviewState {
    /// That of a source in memory.
    own: Overview,
    /// That of a trace that is not held, once it was looked over.
    whole: Option<Arc<Overview>>,
    source: Source,
}

impl OverviewState {
    /// Takes in what is new; true if there is more.
    pub(crate) fn refresh(&mut self, reader: Reader<'_>, source: Source) -> bool {
        if self.source != source {
            self.source = source;
            self.own = Overview::default();
        }
        self.whole = match source {
            Source::Live => None,
            Source::Trace(id) => reader.trace(id).and_then(|trace| trace.overview.clone()),
        };
        if reader.is_in_file(source) {
            return false;
        }
        reader.read(source, |store| self.own.take_in(store)).unwrap_or(false)
    }

    /// The digest.
    pub(crate) fn digest(&self) -> &Overview {
        self.whole.as_deref().unwrap_or(&self.own)
    }
}

#[cfg(test)]
mod tests {
    use glovebox_inspector::store::RowId;

    use super::*;

    #[test]
    fn selections_can_be_gone_back_to() {
        let row = |number| RowRef { source: Source::Live, row: RowId(number) };
        let mut selection = Selection::default();
        assert!(!selection.can_go_back());
        selection.select(row(1));
        selection.select(row(2));
        selection.select(row(3));
        selection.go_back();
        selection.go_back();
        assert_eq!(selection.row, Some(row(1)));
        assert!(!selection.can_go_back());
        selection.go_forward();
        assert_eq!(selection.row, Some(row(2)));
        selection.select(row(9));
        assert!(!selection.can_go_forward());
        selection.go_back();
        assert_eq!(selection.row, Some(row(2)));
    }

    #[test]
    fn frames_of_closed_traces_are_not_gone_back_to() {
        let row = |source, number| RowRef { source, row: RowId(number) };
        let trace = Source::Trace(TraceId::of_none());
        let mut selection = Selection::default();
        for row in [row(trace, 1), row(Source::Live, 2), row(trace, 3)] {
            selection.select(row);
        }
        selection.forget(|source| source == Source::Live);
        assert_eq!(selection.row, Some(row(trace, 3)));
        selection.go_back();
        assert_eq!(selection.row, Some(row(trace, 1)));
        selection.forget(|source| source == trace);
        assert_eq!(selection.row, None);
        assert!(!selection.can_go_back() && !selection.can_go_forward());
    }

    #[test]
    fn a_bad_filter_names_the_one_that_is_in_effect() {
        let check = |typed: &[&str], expected: Option<&str>| {
            let mut query = Query::default();
            typed.iter().for_each(|text| query.set_text((*text).to_owned()));
            let trouble = query.trouble();
            let listed = trouble.as_deref().and_then(|text| text.split(" Meanwhile ").nth(1));
            assert_eq!(listed, expected, "{typed:?}: {trouble:?}");
        };
        check(&["kind:data"], None);
        check(&["nonsense:1"], Some("the list shows all frames"));
        check(&["nonsense", "nonsense:1"], Some("the list shows what fulfils `nonsense`"));
        check(&["kind:data", "", "nonsense:1"], Some("the list shows all frames"));
    }

    #[test]
    fn a_figure_is_sorted_by_in_three_steps() {
        let mut query = Query::default();
        let mut seen = Vec::new();
        for _ in 0..3 {
            query.set_order(query.next_order(SortBy::Latency));
            seen.push((query.order.map(|order| order.largest_first), query.revision()));
        }
        assert_eq!(seen, [(Some(true), 1), (Some(false), 2), (None, 3)]);
        query.set_order(query.next_order(SortBy::Latency));
        let other = query.next_order(SortBy::Size);
        assert_eq!(other, Some(Order { by: SortBy::Size, largest_first: true }));
    }
}
