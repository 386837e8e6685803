//! Sends frames: replays, single calls, composed frames.

use std::collections::BTreeSet;

use glovebox_events::Direction;
use glovebox_host::InstanceId;
use glovebox_inspector::replay::Pace;

use super::App;
use super::opened::Awaited;
use crate::window::commands::Aim;
use crate::window::ids::PanelId;
use crate::window::widgets::text::elided;
use crate::workbench::replay::Routing;
use crate::workbench::words::count_of;
use crate::workbench::{Command, Level, ReplayHow, ReplayRequest, SendRequest, Source, TraceId};

impl App {
    /// Sends what is listed of a trace again, or all of the one that was replayed last or is pinned.
    pub(super) fn replay(&mut self, pace: Pace, how: ReplayHow) {
        let shown = self.shown_trace().map(|(id, _)| id);
        let Some(trace) = self.replayed_trace() else {
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
        self.shown.replays.last = Some(trace);
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
        self.shown.replays.last = Some(trace);
        self.change_to_live();
        self.workbench.execute(Command::Replay(request));
    }

    /// All of a trace, into the plugins that replays are for.
    fn whole(&self, trace: TraceId, pace: Pace, how: ReplayHow) -> ReplayRequest {
        let (targets, routing) = (self.replay_targets(), self.routing());
        let (filter, range, from) = (None, None, None);
        ReplayRequest { trace, targets, routing, pace, filter, calls: Vec::new(), range, from, how }
    }

    /// The trace that a replay is about: the one whose replay is under way, else the one that is shown, else the
    /// one that was replayed last, else the pinned one.
    pub(super) fn replayed_trace(&self) -> Option<TraceId> {
        let view = self.view();
        let shown = self.shown_trace().map(|(id, _)| id);
        let last = || self.shown.replays.last.filter(|id| view.trace(*id).is_some());
        view.replayed().or(shown).or_else(last).or_else(|| view.baseline().map(|trace| trace.id))
    }

    /// Pins a trace, which is the one that replays are about then, or none.
    pub(super) fn pin(&mut self, trace: Option<TraceId>) {
        self.shown.replays.last = None;
        self.workbench.execute(Command::Pin(trace));
    }

    /// The plugins that replays are for: the chosen one, or all if a person said so.
    pub(super) fn replay_targets(&self) -> Vec<InstanceId> {
        let view = self.view();
        let chosen = self.shown.selection.plugin(view).filter(|_| !self.shown.replays.into_all);
        match chosen {
            Some(chosen) => vec![chosen],
            None => view.plugins().iter().map(|plugin| plugin.instance).collect(),
        }
    }

    /// Which inputs they get.
    pub(super) fn routing(&self) -> Routing {
        if self.shown.replays.all_inputs { Routing::Everything } else { Routing::ByPlugin }
    }

    /// The inputs that a replay of a trace sends and their targets, in words; and whether it has inputs of other plugins, too.
    pub(super) fn aim(&self, trace: TraceId) -> (Aim, bool) {
        self.aim_at(trace, self.replay_targets(), self.routing())
    }

    /// The inputs that a comparison of this plugin with another build sends, and both builds; the other one
    /// is not there yet if it `is_first`.
    pub(super) fn comparison(&self, first: InstanceId, is_first: bool) -> Aim {
        let view = self.view();
        let pair = view.pair().filter(|_| !is_first);
        let first = pair.map_or(first, |pair| pair.first);
        let targets: Vec<_> = [first].into_iter().chain(pair.map(|pair| pair.second)).collect();
        let other = if is_first { " and the other build" } else { "" };
        let into = format!("{}{other}", view.names_of(&targets));
        let mut aim = match view.baseline() {
            Some(pinned) => self.aim_at(pinned.id, targets, Routing::ByPlugin).0,
            None => {
                let sent = view.sent().iter().filter(|sent| sent.instance == first).count();
                let inputs = match sent {
                    0 => "Nothing is sent until something is composed: no trace is pinned",
                    _ => "No trace is pinned: they get what was composed for the first",
                };
                let trace = count_of(sent, "composed frame");
                Aim { trace, inputs: inputs.to_owned(), ..Aim::default() }
            }
        };
        let trace = view.baseline().map_or(&*aim.trace, |pinned| &pinned.name);
        (aim.whole, aim.into) = (format!("{trace} → {into}"), short(&into));
        aim
    }

    fn aim_at(
        &self,
        trace: TraceId,
        mut targets: Vec<InstanceId>,
        routing: Routing,
    ) -> (Aim, bool) {
        let view = self.view();
        let id = |instance: &InstanceId| view.plugin(*instance).map(|one| &*one.manifest.plugin.id);
        let wanted: BTreeSet<&str> = targets.iter().filter_map(id).collect();
        let recorded = view.inputs_for(trace);
        let routed = routed(&wanted, recorded.as_deref(), routing);
        if let Some(own) = routed.own {
            targets.retain(|target| id(target).is_some_and(|id| own.contains(id)));
        }
        let (trace, into) = (view.source_name(Source::Trace(trace)), view.names_of(&targets));
        let whole = format!("{trace} → {into}");
        let aim = Aim { trace: short(trace), into: short(&into), whole, inputs: routed.sentence };
        (aim, routed.has_others)
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
            // Keys that are typed next are text, and no commands.
            self.panels.compose.edit_payload();
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

/// Letters of a name in a command.
const NAME: usize = 32;

fn short(name: &str) -> String {
    elided(name, |text| text.chars().count() <= NAME).into_owned()
}

/// Which inputs go where.
#[derive(Debug, PartialEq, Eq)]
struct Routed<'a> {
    /// The ids of those that get any, if not all do.
    own: Option<BTreeSet<&'a str>>,
    /// True if inputs of other plugins are in the trace beside them.
    has_others: bool,
    sentence: String,
}

/// Which inputs of a trace go to the plugins of the `wanted` ids: those that were `recorded` for them, or all
/// if there are none; `None` if nobody knows yet.
fn routed<'a>(
    wanted: &BTreeSet<&'a str>,
    recorded: Option<&[&'a str]>,
    routing: Routing,
) -> Routed<'a> {
    let names = |ids: &BTreeSet<&str>| ids.iter().copied().collect::<Vec<_>>().join(", ");
    let known: BTreeSet<&str> = recorded.into_iter().flatten().copied().collect();
    let own: BTreeSet<&str> = known.intersection(wanted).copied().collect();
    let others: BTreeSet<&str> = known.difference(wanted).copied().collect();
    let has_others = !own.is_empty() && !others.is_empty();
    let (own, sentence) = match (routing, recorded) {
        (Routing::Everything, _) => {
            (None, "All inputs, whichever plugin they were recorded for".to_owned())
        }
        (Routing::ByPlugin, None) => {
            let names = names(wanted);
            (None, format!("The inputs recorded for {names}; all of them if there are none"))
        }
        (Routing::ByPlugin, Some(_)) if own.is_empty() && others.is_empty() => {
            (None, "The trace has no inputs".to_owned())
        }
        (Routing::ByPlugin, Some(_)) if own.is_empty() => {
            (None, format!("All inputs; they were recorded for {}", names(&others)))
        }
        (Routing::ByPlugin, Some(_)) if others.is_empty() => (Some(own), "All inputs".to_owned()),
        (Routing::ByPlugin, Some(_)) => {
            let left_out = format!("those for {} are left out", names(&others));
            let sentence = format!("The inputs recorded for {}; {left_out}", names(&own));
            (Some(own), sentence)
        }
    };
    Routed { own, has_others, sentence }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_go_where_they_were_recorded() {
        fn check(
            wanted: &[&str],
            recorded: Option<&[&str]>,
            routing: Routing,
            (own, has_others, sentence): (Option<&[&str]>, bool, &str),
        ) {
            let wanted = wanted.iter().copied().collect();
            let found = routed(&wanted, recorded, routing);
            let own = own.map(|own| own.iter().copied().collect());
            let expected = Routed { own, has_others, sentence: sentence.to_owned() };
            assert_eq!(found, expected, "{wanted:?} {recorded:?}");
        }
        use Routing::{ByPlugin, Everything};
        let both = Some(&["a", "b"][..]);
        let of_a = "The inputs recorded for a; those for b are left out";
        check(&["a"], both, ByPlugin, (Some(&["a"]), true, of_a));
        check(&["a", "b", "c"], both, ByPlugin, (Some(&["a", "b"]), false, "All inputs"));
        check(&["c"], both, ByPlugin, (None, false, "All inputs; they were recorded for a, b"));
        let all = "All inputs, whichever plugin they were recorded for";
        check(&["a"], both, Everything, (None, true, all));
        let unknown = "The inputs recorded for a; all of them if there are none";
        check(&["a"], None, ByPlugin, (None, false, unknown));
        check(&["a"], Some(&[]), ByPlugin, (None, false, "The trace has no inputs"));
    }
}
