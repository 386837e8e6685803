//! Sends frames: replays, single calls, composed frames.

use glovebox_events::Direction;
use glovebox_inspector::replay::Pace;

use super::App;
use super::opened::Awaited;
use crate::window::ids::PanelId;
use crate::workbench::{Command, Level, ReplayHow, ReplayRequest, SendRequest, Source, TraceId};

impl App {
    /// Sends what is listed of a trace again, or the whole pinned one.
    pub(super) fn replay(&mut self, pace: Pace, how: ReplayHow) {
        let baseline = self.view().baseline().map(|trace| trace.id);
        let shown = self.shown_trace().map(|(id, _)| id);
        let Some(trace) = shown.or(baseline) else {
            return;
        };
        if self.lists_nothing() {
            return;
        }
        if shown.is_none() && self.shown.query.is_set() {
            let name = self.view().source_name(Source::Trace(trace));
            let text = format!("The filter is about live frames: all of {name} is replayed");
            self.workbench.execute(Command::Notify(Level::Info, text));
        }
        // Of a trace, exactly the listed frames are sent.
        let (filter, range) = match shown {
            Some(_) => (self.shown.query.filter.as_deref().cloned(), self.shown.query.range),
            None => (None, None),
        };
        let request = ReplayRequest { filter, range, ..self.whole(trace, pace, how) };
        self.change_to_live();
        self.workbench.execute(Command::Replay(request));
    }

    /// True, and says so, if the filter leaves no frame that a replay could be about.
    pub(super) fn lists_nothing(&mut self) -> bool {
        let list = &self.panels.frames.list;
        let nothing = self.shown.query.is_set() && list.is_empty() && !list.more();
        if nothing {
            let text = "Nothing is replayed: the filter leaves no frame; clear it (Esc)";
            self.workbench.execute(Command::Notify(Level::Warning, text.to_owned()));
        }
        nothing
    }

    /// Replays the trace that is shown from the call of the selected frame on.
    pub(super) fn replay_from(&mut self) {
        let (Some((trace, _)), Some(row)) = (self.shown_trace(), self.selected_row()) else {
            return;
        };
        let from = Some(row.call);
        let request = ReplayRequest { from, ..self.whole(trace, Pace::Max, ReplayHow::Once) };
        self.change_to_live();
        self.workbench.execute(Command::Replay(request));
    }

    /// All inputs of a trace, to all plugins.
    fn whole(&self, trace: TraceId, pace: Pace, how: ReplayHow) -> ReplayRequest {
        let targets = match self.view().plugins() {
            [only] => vec![only.instance],
            _ => Vec::new(),
        };
        let (filter, range, from) = (None, None, None);
        ReplayRequest { trace, targets, pace, filter, calls: Vec::new(), range, from, how }
    }

    fn change_to_live(&mut self) {
        self.choose_source(Source::Live);
        self.shown.query.set_range(None);
        self.panels.frames.follow = true;
        self.shell.show_panel(PanelId::Frames);
    }

    /// Sends what is composed, if it is in view: nobody sends a frame, or to a plugin, that was not seen.
    pub(super) fn send(&mut self) {
        if !self.shell.drawn.contains(PanelId::Compose.title()) {
            return self.choose_panel(PanelId::Compose);
        }
        self.awaited = Awaited::No;
        let view = self.view();
        let chosen = self.shown.selection.plugin(view);
        self.answer_after = Some(view.sent().back().map(|sent| sent.at));
        let view = self.view();
        let command = match self.panels.compose.request(view, chosen, 1) {
            Ok(request) => Command::Send(request),
            Err(error) => Command::Notify(Level::Error, error),
        };
        self.workbench.execute(command);
    }

    /// Sends the input of the selected call again.
    pub(super) fn replay_row(&mut self) {
        let Some(row) = self.selected_row() else {
            return;
        };
        let target = match self.target_of(&row) {
            Ok(target) => target,
            Err(why) => return self.workbench.execute(Command::Notify(Level::Error, why)),
        };
        let Some(selected) = self.shown.selection.row else {
            return;
        };
        let frame = match row.direction {
            Direction::In => Some(row.frame.clone()),
            Direction::Out => self
                .reader()
                .read_row(selected, |store| {
                    let rows = store.call(row.call)?.rows.iter();
                    let mut rows = rows.filter_map(|id| store.row_by_id(*id));
                    rows.find(|row| row.direction == Direction::In).map(|row| row.frame.clone())
                })
                .flatten(),
        };
        match frame {
            Some(frame) => self.workbench.execute(Command::Send(SendRequest {
                target,
                frame,
                payload_file: None,
                times: 1,
            })),
            None => {
                let text = "The input of this call is no longer in memory";
                self.workbench.execute(Command::Notify(Level::Warning, text.to_owned()));
            }
        }
    }
}
