//! What the window remembers between two frames and forgets at the end.

use std::sync::Arc;

use glovebox_host::InstanceId;
use glovebox_inspector::filter::{Filter, FilterError};

use super::filter_field;
use super::panels::{compose, diff, drawer, frames, inspector, metrics, plugins, policy, timeline};
use crate::workbench::{Overview, RowRef, Source, ViewCtx};

/// Everything the panels remember.
#[derive(Debug, Default)]
pub struct ViewState {
    /// What is selected.
    pub selection: Selection,
    /// Which frames are shown.
    pub query: Query,
    /// The digest of the source that is shown.
    pub overview: OverviewState,
    /// Per panel.
    pub panels: PanelStates,
}

/// What each panel remembers.
#[derive(Debug, Default)]
pub struct PanelStates {
    pub plugins: plugins::State,
    pub frames: frames::State,
    pub inspector: inspector::State,
    pub metrics: metrics::State,
    pub compose: compose::State,
    pub diff: diff::State,
    pub policy: policy::State,
    pub drawer: drawer::State,
    pub timeline: timeline::State,
}

/// What is selected, and was.
#[derive(Debug, Default)]
pub struct Selection {
    /// Whose frames are shown.
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
    pub fn select(&mut self, row: RowRef) {
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
    pub fn can_go_back(&self) -> bool {
        self.position > 0
    }

    /// True if there is something to go forward to.
    pub fn can_go_forward(&self) -> bool {
        self.position + 1 < self.history.len()
    }

    /// Goes to what was selected before.
    pub fn go_back(&mut self) {
        if self.can_go_back() {
            self.go_to(self.position - 1);
        }
    }

    /// Goes to what was selected afterwards.
    pub fn go_forward(&mut self) {
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

    /// Selects a plugin.
    pub fn select_plugin(&mut self, plugin: InstanceId) {
        self.plugin = Some(plugin);
    }

    /// The plugin that commands are about: the selected one, else the first.
    pub fn plugin(&self, ctx: ViewCtx<'_>) -> Option<InstanceId> {
        let selected = self.plugin.filter(|id| ctx.plugin(*id).is_some());
        selected.or_else(|| ctx.plugins().first().map(|plugin| plugin.instance))
    }
}

/// Which frames are shown.
#[derive(Debug, Default)]
pub struct Query {
    /// What is typed.
    pub text: String,
    /// What is wrong with it.
    pub error: Option<FilterError>,
    /// The last good one.
    pub filter: Option<Arc<Filter>>,
    /// Nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// True if the field is to get the focus.
    pub focus: bool,
    /// What could be typed next.
    pub completion: filter_field::State,
    revision: u64,
}

impl Query {
    /// Takes what was typed; a bad filter leaves the last good one in place.
    pub fn set_text(&mut self, text: String) {
        self.text = text;
        match Filter::parse(&self.text) {
            Ok(filter) => {
                self.error = None;
                self.filter = (!filter.is_empty()).then(|| Arc::new(filter));
                self.revision += 1;
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// Narrows the time.
    pub fn set_range(&mut self, range: Option<(u64, u64)>) {
        if self.range != range {
            self.range = range;
            self.revision += 1;
        }
    }

    /// Shows everything again.
    pub fn clear(&mut self) {
        self.set_text(String::new());
        self.set_range(None);
    }

    /// True if some frames are left out.
    pub fn is_set(&self) -> bool {
        self.filter.is_some() || self.range.is_some() || self.error.is_some()
    }

    /// Changes whenever other frames are to be shown.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

/// The digest of the source that is shown, and of which source it is.
#[derive(Debug, Default)]
pub struct OverviewState {
    /// That of a source in memory.
    own: Overview,
    /// That of a trace that is not held, once it was looked over.
    whole: Option<Arc<Overview>>,
    source: Source,
}

impl OverviewState {
    /// Takes in what is new; true if there is more.
    pub fn refresh(&mut self, ctx: ViewCtx<'_>, source: Source) -> bool {
        if self.source != source {
            self.source = source;
            self.own = Overview::default();
        }
        self.whole = match source {
            Source::Live => None,
            Source::Trace(id) => ctx.trace(id).and_then(|trace| trace.overview.clone()),
        };
        if ctx.pages(source).is_some() {
            return false;
        }
        ctx.read(source, |store| self.own.take_in(store)).unwrap_or(false)
    }

    /// The digest.
    pub fn digest(&self) -> &Overview {
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
}
