//! Does what was asked for while the window was painted.

use std::path::PathBuf;

use glovebox_host::{InstanceId, PolicyMode};
use glovebox_inspector::baseline::Decision;
use glovebox_inspector::diff::Diff;
use glovebox_inspector::replay::Pace;
use glovebox_inspector::store::{Direction, Row, Store};

use super::action::{Action, Actions, Change};
use super::app::App;
use super::commands::{Verb, entry};
use super::dialogs::{Chosen, Purpose};
use super::overlays::{Overlay, PathField, Question};
use super::palette::Palette;
use super::panels::PanelId;
use super::panels::diff::Review;
use super::theme;
use crate::panics::contain;
use crate::workbench::{
    Command, Level, Origin, ReplayHow, ReplayRequest, RowRef, SendRequest, Source, TraceId, words,
};

impl App {
    /// Does what was asked for, or asks whether it is meant.
    pub(super) fn perform(&mut self, ctx: &egui::Context, action: Action) {
        match self.question(&action) {
            Some(question) => self.overlay = Overlay::Confirm(question, Box::new(action)),
            None => self.perform_at_once(ctx, action),
        }
    }

    /// What a person is asked first, if something destroys, weakens or trusts.
    fn question(&self, action: &Action) -> Option<Question> {
        let view = self.view();
        if let Some(decisions) = self.unsaved_decisions().filter(|_| self.compares(action)) {
            let count = words::count_of(decisions, "decision");
            return Some(Question {
                title: "Compare anew".to_owned(),
                means: format!("{count} about the last comparison: in no file, and gone then"),
            });
        }
        let weakens = |to: PolicyMode| {
            let grants = |mode| match mode {
                PolicyMode::Strict | PolicyMode::Ask => 0,
                PolicyMode::Consent | PolicyMode::Record => 1,
                PolicyMode::AsDeclared => 2,
            };
            grants(to) > grants(view.policy_mode())
        };
        let is_in_no_file = |id: TraceId| {
            view.trace(id).is_some_and(|trace| matches!(trace.origin, Origin::Replay(_)))
        };
        let is_live = || view.read(Source::Live, Store::is_empty) == Some(false);
        let (verb, is_asked) = match action {
            Action::Run(Verb::ToggleTrust) => (Verb::ToggleTrust, !view.trusts_native()),
            Action::Do(Command::TrustNative(trust)) => (Verb::ToggleTrust, *trust),
            Action::Run(Verb::ClearLive) | Action::Do(Command::ClearLive) => {
                (Verb::ClearLive, is_live())
            }
            Action::Run(Verb::ToggleStrict) => {
                (Verb::ToggleStrict, weakens(other_mode(view.policy_mode())))
            }
            Action::Do(Command::SetPolicyMode(mode)) => (Verb::ToggleStrict, weakens(*mode)),
            Action::Run(Verb::Unload) => {
                return self.unload_question(self.state.selection.plugin(view));
            }
            Action::Do(Command::Unload(id)) => return self.unload_question(Some(*id)),
            Action::Run(Verb::CloseTrace) => {
                let shown = self.shown_trace();
                (Verb::CloseTrace, shown.is_some_and(|(id, _)| is_in_no_file(id)))
            }
            Action::Do(Command::CloseTrace(id)) => (Verb::CloseTrace, is_in_no_file(*id)),
            _ => return None,
        };
        let line = entry(verb);
        let title = match verb {
            Verb::ToggleStrict => "Weaken the policy",
            _ => line.name,
        };
        let question = |means: &str| Question { title: title.to_owned(), means: means.to_owned() };
        line.asks.filter(|_| is_asked).map(question)
    }

    /// Names the plugin that would go, and the replay that would go on without it.
    fn unload_question(&self, plugin: Option<InstanceId>) -> Option<Question> {
        let view = self.view();
        let plugin = view.plugin(plugin?)?;
        let mut means = entry(Verb::Unload).asks?.to_owned();
        if let Some(replay) = view.replay() {
            means.push_str(&format!(
                ". {} is under way: it gets no more inputs of it",
                replay.title
            ));
        }
        Some(Question { title: format!("Unload {}", view.name_of(plugin)), means })
    }

    /// True if something leads to another comparison, which takes the place of the last one.
    fn compares(&self, action: &Action) -> bool {
        match action {
            Action::Run(Verb::Loop | Verb::ResendAndDiff | Verb::CompareWithBaseline) => true,
            Action::Do(Command::Diff { .. } | Command::CompareWithBaseline(_)) => true,
            Action::Run(Verb::Replay | Verb::ReplayOriginal | Verb::ReplayAnswered) => {
                self.view().accepted().is_some()
            }
            _ => false,
        }
    }

    fn perform_at_once(&mut self, ctx: &egui::Context, action: Action) {
        let done = contain(|| {
            #[cfg(test)]
            crate::panics::hook::reach("Action");
            match action {
                Action::Run(verb) => self.run(ctx, verb),
                Action::Do(command) => self.workbench.execute(command),
                Action::View(change) => self.change(ctx, change),
                Action::Agreed(action) => self.perform_at_once(ctx, *action),
            }
        });
        if let Err(fault) = done {
            self.tell_fault(format!("Not done: {fault}"));
        }
    }

    fn change(&mut self, ctx: &egui::Context, change: Change) {
        match change {
            Change::Show(panel) => self.shell.show_panel(panel),
            Change::Drawer(tab) => {
                self.state.panels.drawer.tab = tab;
                self.shell.layout.drawer = true;
            }
            Change::Source(source) => {
                self.state.selection.source = source;
                self.state.query.set_range(None);
                self.shell.show_panel(PanelId::Frames);
            }
            Change::Select(row) => {
                self.state.selection.select(row);
                self.state.panels.frames.reveal = Some(row.row);
            }
            Change::SelectPlugin(plugin) => {
                self.state.selection.select_plugin(plugin);
                self.state.panels.compose.follow_selection();
            }
            Change::Filter(text) => {
                self.state.query.set_text(text);
                self.keep_selection_in_view();
            }
            Change::Range(range) => self.state.query.set_range(range),
            Change::Compose(frame, target) => {
                self.state.panels.compose.fill(&frame, target);
                self.shell.show_panel(PanelId::Compose);
            }
            Change::OpenFile(path) => {
                self.session.remember(path.clone());
                self.shell.welcome = false;
                self.workbench.execute(Command::Start { files: vec![path] });
            }
            Change::File(purpose, path) => self.take_file(ctx, purpose, path),
            Change::Quit(how) => self.quit(ctx, how),
            Change::Copy(text) => ctx.copy_text(text),
        }
    }

    fn run(&mut self, ctx: &egui::Context, verb: Verb) {
        match verb {
            Verb::OpenPlugin => self.dialogs.open(ctx, Purpose::Plugin, ""),
            Verb::OpenTrace => self.dialogs.open(ctx, Purpose::Trace, ""),
            Verb::OpenPath => self.overlay = Overlay::Path(PathField::new(Purpose::Plugin, "")),
            Verb::OpenBaseline => self.dialogs.open(ctx, Purpose::Baseline, ""),
            Verb::CloseBaseline => self.workbench.execute(Command::CloseBaseline),
            Verb::CompareWithBaseline => {
                if let Some((id, _)) = self.shown_trace() {
                    self.workbench.execute(Command::CompareWithBaseline(id));
                    self.shell.show_panel(PanelId::Diff);
                }
            }
            Verb::SaveTrace => {
                if let Some((id, name)) = self.shown_trace() {
                    self.ask_where_to_save(ctx, id, &name);
                } else {
                    let text = "Live frames are saved by recording them (Ctrl+E); Ctrl+S saves the \
                                trace that is shown";
                    self.workbench.execute(Command::Notify(Level::Info, text.to_owned()));
                }
            }
            Verb::CloseTrace => {
                if let Some((id, _)) = self.shown_trace() {
                    self.workbench.execute(Command::CloseTrace(id));
                }
            }
            Verb::Quit => self.ask_to_quit(ctx),
            Verb::CopyRow => {
                if let Some(row) = self.selected_row() {
                    ctx.copy_text(String::from_utf8_lossy(&row.frame.payload).into_owned());
                }
            }
            Verb::FocusFilter => self.state.query.focus = true,
            Verb::RangeFrom => self.cut_range(|at, (_, last)| (at, last.max(at))),
            Verb::RangeTo => self.cut_range(|at, (first, _)| (first.min(at), at)),
            Verb::ClearFilter => {
                self.state.query.clear();
                self.keep_selection_in_view();
            }
            Verb::ClearLive => self.workbench.execute(Command::ClearLive),
            Verb::Palette => self.overlay = Overlay::Palette(Palette::new(false)),
            Verb::GoTo => self.overlay = Overlay::Palette(Palette::new(true)),
            Verb::ShowLive => self.change(ctx, Change::Source(Source::Live)),
            Verb::ShowPanel(panel) => self.shell.show_panel(panel),
            Verb::ShowDrawer(tab) => self.change(ctx, Change::Drawer(tab)),
            Verb::ToggleLeft => self.shell.layout.left ^= true,
            Verb::ToggleRight => self.shell.layout.right ^= true,
            Verb::ToggleTimeline => self.shell.layout.timeline ^= true,
            Verb::ToggleDrawer => self.shell.layout.drawer ^= true,
            Verb::WorkspaceDebug => {
                self.shell.debug();
                ctx.set_zoom_factor(1.0);
            }
            Verb::WorkspaceCompare => self.shell.compare(),
            Verb::WorkspaceDemo => {
                self.shell.debug();
                self.shell.layout.drawer = false;
                self.shell.layout.right = false;
                ctx.set_zoom_factor(1.5);
            }
            Verb::SwitchTheme => {
                self.session.theme = self.session.theme.other();
                theme::choose(ctx, self.session.theme);
            }
            Verb::ZoomIn => ctx.set_zoom_factor((ctx.zoom_factor() + 0.1).min(3.0)),
            Verb::ZoomOut => ctx.set_zoom_factor((ctx.zoom_factor() - 0.1).max(0.5)),
            Verb::ZoomReset => ctx.set_zoom_factor(1.0),
            Verb::Reload => {
                self.with_plugin(|instance| Command::Reload { instance, carry_state: true })
            }
            Verb::ReloadCold => {
                self.with_plugin(|instance| Command::Reload { instance, carry_state: false })
            }
            Verb::RollBack => self.with_plugin(Command::RollBack),
            Verb::ToggleWatch => {
                let view = self.view();
                let plugin = self.state.selection.plugin(view).and_then(|id| view.plugin(id));
                if let Some((instance, on)) =
                    plugin.map(|plugin| (plugin.instance, !plugin.watching))
                {
                    self.workbench.execute(Command::Watch(instance, on));
                }
            }
            Verb::ToggleTrust => {
                let trust = !self.view().trusts_native();
                self.workbench.execute(Command::TrustNative(trust));
            }
            Verb::ToggleStrict => {
                let mode = other_mode(self.view().policy_mode());
                self.workbench.execute(Command::SetPolicyMode(mode));
            }
            Verb::SavePolicy => self.dialogs.open(ctx, Purpose::SavePolicy, "policy.toml"),
            Verb::Unload => self.with_plugin(Command::Unload),
            Verb::Loop => {
                self.with_plugin(Command::Loop);
                self.shell.show_panel(PanelId::Diff);
            }
            Verb::ToggleRecording => {
                let command = match self.view().recording() {
                    Some(_) => Command::StopRecording,
                    None => Command::StartRecording,
                };
                self.workbench.execute(command);
            }
            Verb::Snapshots => self.overlay = Overlay::snapshots(self.view()),
            Verb::CompileDeadline => self.overlay = Overlay::compile_deadline(self.view()),
            Verb::Replay => self.replay(Pace::Max, ReplayHow::Once),
            Verb::ReplayOriginal => self.replay(Pace::Original, ReplayHow::Once),
            Verb::ReplayFrom => self.replay_from(),
            Verb::ReplayAgain => self.replay(Pace::Max, ReplayHow::Again),
            Verb::ReplayAnswered => self.replay(Pace::Max, ReplayHow::Answered),
            Verb::PauseReplay => {
                let paused = self.view().replay().and_then(|job| job.replay);
                if let Some(paused) = paused {
                    self.workbench.execute(Command::PauseReplay(!paused));
                }
            }
            Verb::Step => match self.view().replay() {
                Some(_) => self.workbench.execute(Command::StepReplay),
                None => {
                    self.replay(Pace::Step, ReplayHow::Once);
                    self.workbench.execute(Command::StepReplay);
                }
            },
            Verb::Stop => self.workbench.execute(Command::CancelAll),
            Verb::ReplayRow => self.replay_row(),
            Verb::EditRow => {
                if let Some(row) = self.selected_row() {
                    let target = self.target_of(&row);
                    self.change(ctx, Change::Compose(row.frame, target));
                }
            }
            Verb::ResendAndDiff => {
                let row = self.selected_row();
                let target = row.and_then(|row| self.target_of(&row));
                if let (Some(target), Some(row)) = (target, self.state.selection.row) {
                    self.workbench.execute(Command::ResendAndDiff { target, row });
                    self.shell.show_panel(PanelId::Diff);
                }
            }
            Verb::Send => self.send(),
            Verb::AcceptDifference => {
                self.review(|review, diff| review.decide(Decision::Accept, diff))
            }
            Verb::RejectDifference => {
                self.review(|review, diff| review.decide(Decision::Reject, diff))
            }
            Verb::SkipDifference => self.review(|review, diff| review.decide(Decision::Skip, diff)),
            Verb::AcceptRemaining => {
                self.review(|review, diff| review.decide_remaining(Decision::Accept, diff));
            }
            Verb::RejectRemaining => {
                self.review(|review, diff| review.decide_remaining(Decision::Reject, diff));
            }
            Verb::SkipRemaining => {
                self.review(|review, diff| review.decide_remaining(Decision::Skip, diff));
            }
            Verb::NextDifference => self.review(|review, _| review.step(1)),
            Verb::PreviousDifference => self.review(|review, _| review.step(-1)),
            Verb::SaveBaseline => self.dialogs.open(ctx, Purpose::SaveBaseline, "baseline.txt"),
            Verb::Pin => {
                if let Some((id, _)) = self.shown_trace() {
                    let pinned = self.view().baseline().is_some_and(|trace| trace.id == id);
                    self.workbench.execute(Command::Pin((!pinned).then_some(id)));
                }
            }
            Verb::FirstRow => self.select_position(|_, _| 0),
            Verb::FollowTail => {
                self.select_position(|_, len| len - 1);
                self.state.panels.frames.follow = true;
            }
            Verb::NextRow => self.select_position(|position, len| {
                position.map_or(0, |position| (position + 1).min(len - 1))
            }),
            Verb::PreviousRow => self.select_position(|position, len| {
                position.map_or(len - 1, |position| position.saturating_sub(1))
            }),
            Verb::NextInCall => self.select_in_call(1),
            Verb::PreviousInCall => self.select_in_call(-1),
            Verb::SelectionBack => {
                self.state.selection.go_back();
                self.keep_selection_in_view();
            }
            Verb::SelectionForward => {
                self.state.selection.go_forward();
                self.keep_selection_in_view();
            }
            Verb::Keys => self.overlay = Overlay::Keys,
            Verb::Welcome => self.shell.welcome = true,
        }
    }

    /// Esc leaves a text field, then clears the filter; the selection stays.
    pub(super) fn escape(&mut self, ctx: &egui::Context, out: &mut Actions) {
        if self.overlay.is_none()
            && !ctx.text_edit_focused()
            && self.state.query.is_set()
            && !egui::Popup::is_any_open(ctx)
            && ctx.input(|input| input.key_pressed(egui::Key::Escape))
        {
            out.run(Verb::ClearFilter);
        }
    }

    /// Files that were dropped on the window.
    pub(super) fn take_in_files(&mut self, ctx: &egui::Context) {
        let files: Vec<PathBuf> = ctx.input(|input| {
            let dropped = input.raw.dropped_files.iter();
            dropped.map(|file| file.path().to_owned()).collect()
        });
        if !files.is_empty() {
            files.iter().for_each(|path| self.session.remember(path.clone()));
            self.shell.welcome = false;
            self.workbench.execute(Command::Start { files });
        }
    }

    pub(super) fn take_in_dialogs(&mut self, ctx: &egui::Context) {
        while let Some(chosen) = self.dialogs.chosen() {
            match chosen {
                Chosen::Nothing => {}
                Chosen::File(purpose, path) => self.take_file(ctx, purpose, path),
                Chosen::NoDialog(purpose, name) => {
                    self.overlay = Overlay::Path(PathField::new(purpose, &name));
                }
            }
        }
    }

    fn take_file(&mut self, ctx: &egui::Context, purpose: Purpose, path: PathBuf) {
        match purpose {
            Purpose::Plugin | Purpose::Trace | Purpose::Baseline => {
                self.change(ctx, Change::OpenFile(path));
            }
            Purpose::Save(trace) => {
                let replace = false;
                self.workbench.execute(Command::SaveTrace { trace, path, replace });
            }
            Purpose::SaveBaseline => self.save_baseline(path),
            Purpose::SavePolicy => {
                let replace = false;
                self.workbench.execute(Command::SavePolicy { path, replace });
            }
        }
    }

    pub(super) fn ask_where_to_save(&mut self, ctx: &egui::Context, trace: TraceId, name: &str) {
        let name = format!("{}.mcap", name.trim_end_matches(".mcap").replace(['/', ' '], "-"));
        self.dialogs.open(ctx, Purpose::Save(trace), &name);
    }

    /// Asks before a file is replaced that was in the way of a command.
    pub(super) fn ask_to_replace(&mut self) {
        let Some(command) = self.workbench.take_in_the_way() else {
            return;
        };
        let path = match &command {
            Command::SaveTrace { path, .. }
            | Command::SaveBaseline { path, .. }
            | Command::SavePolicy { path, .. } => path,
            _ => return,
        };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let question = Question {
            title: format!("Replace {name}"),
            means: format!("{} is there; what it holds is gone then", path.display()),
        };
        self.overlay = Overlay::Confirm(question, Box::new(Action::Do(command)));
    }

    fn review(&mut self, change: impl FnOnce(&mut Review, &Diff)) {
        let view = self.workbench.view();
        if let Some((number, diff)) = view.diff() {
            let review = &mut self.state.panels.diff.review;
            review.look_at(number, diff, || view.rejected_before());
            change(review, diff);
        }
    }

    /// Writes the baseline that the decisions lead to.
    pub fn save_baseline(&mut self, path: PathBuf) {
        let decisions = self.state.panels.diff.review.decisions().clone();
        self.workbench.execute(Command::SaveBaseline { path, replace: false, decisions });
    }

    fn with_plugin(&mut self, command: impl FnOnce(InstanceId) -> Command) {
        if let Some(instance) = self.state.selection.plugin(self.view()) {
            self.workbench.execute(command(instance));
        }
    }

    fn shown_trace(&self) -> Option<(TraceId, String)> {
        let Source::Trace(id) = self.state.selection.source else {
            return None;
        };
        let trace = self.view().trace(id)?;
        Some((trace.id, trace.name.clone()))
    }

    fn replay(&mut self, pace: Pace, how: ReplayHow) {
        let baseline = self.view().baseline().map(|trace| trace.id);
        let shown = self.shown_trace().map(|(id, _)| id);
        let Some(trace) = shown.or(baseline) else {
            return;
        };
        // What is listed of a trace is what is sent.
        let (filter, range) = match shown {
            Some(_) => (self.state.query.filter.as_deref().cloned(), self.state.query.range),
            None => (None, None),
        };
        let request = ReplayRequest { filter, range, ..self.whole(trace, pace, how) };
        self.change_to_live();
        self.workbench.execute(Command::Replay(request));
    }

    /// Replays the trace that is shown from the call of the selected frame on.
    fn replay_from(&mut self) {
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

    /// Changes the time that is listed to start or to end at the selected frame.
    fn cut_range(&mut self, cut: impl FnOnce(u64, (u64, u64)) -> (u64, u64)) {
        let whole = self.state.overview.digest().range;
        let range = self.state.query.range.or(whole);
        if let (Some(row), Some(range)) = (self.selected_row(), range) {
            self.state.query.set_range(Some(cut(row.at, range)));
            self.keep_selection_in_view();
        }
    }

    fn change_to_live(&mut self) {
        self.state.selection.source = Source::Live;
        self.state.query.set_range(None);
        self.state.panels.frames.follow = true;
        self.shell.show_panel(PanelId::Frames);
    }

    fn send(&mut self) {
        let view = self.view();
        let chosen = self.state.selection.plugin(view);
        let command = match self.state.panels.compose.request(view, chosen, 1) {
            Ok(request) => Command::Send(request),
            Err(error) => Command::Notify(Level::Error, error),
        };
        self.workbench.execute(command);
        self.shell.show_panel(PanelId::Compose);
    }

    /// Sends the input of the selected call again.
    fn replay_row(&mut self) {
        let Some(row) = self.selected_row() else {
            return;
        };
        let Some(target) = self.target_of(&row) else {
            return;
        };
        let Some(selected) = self.state.selection.row else {
            return;
        };
        let frame = match row.direction {
            Direction::In => Some(row.frame.clone()),
            Direction::Out => self
                .view()
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

    fn selected_row(&self) -> Option<Row> {
        let selected = self.state.selection.row?;
        self.view().read_row(selected, |store| store.row_by_id(selected.row).cloned()).flatten()
    }

    /// The plugin a row belongs to if it is loaded, else the chosen one.
    fn target_of(&self, row: &Row) -> Option<InstanceId> {
        let view = self.view();
        let same = view.plugin_by_id(&row.plugin).map(|plugin| plugin.instance);
        same.or_else(|| self.state.selection.plugin(view))
    }

    fn keep_selection_in_view(&mut self) {
        self.state.panels.frames.reveal = self.state.selection.row.map(|row| row.row);
    }

    fn select_position(&mut self, choose: impl FnOnce(Option<usize>, usize) -> usize) {
        let source = self.state.selection.source;
        let selected = self.state.selection.row.filter(|row| row.source == source);
        let list = &self.state.panels.frames.list;
        if list.is_empty() {
            return;
        }
        let row = self.view().rows(source, |rows| {
            let position = selected.and_then(|row| list.position(row.row, rows));
            list.id(choose(position, list.len()), rows)
        });
        if let Some(row) = row.flatten() {
            self.state.selection.select(RowRef { source, row });
            self.state.panels.frames.follow = false;
            self.state.panels.frames.reveal = Some(row);
        }
    }

    fn select_in_call(&mut self, step: isize) {
        let Some(RowRef { source, row }) = self.state.selection.row else {
            return;
        };
        let found = self.view().read_row(RowRef { source, row }, |store| {
            let call = store.row_by_id(row)?.call;
            let rows = &store.call(call)?.rows;
            let position = rows.iter().position(|id| *id == row)?;
            rows.get(position.checked_add_signed(step)?).copied()
        });
        if let Some(row) = found.flatten() {
            self.state.selection.select(RowRef { source, row });
            self.state.panels.frames.reveal = Some(row);
        }
    }
}

/// What `Strict policy` changes to.
fn other_mode(mode: PolicyMode) -> PolicyMode {
    match mode {
        PolicyMode::Strict => PolicyMode::Consent,
        PolicyMode::Consent | PolicyMode::AsDeclared | PolicyMode::Ask | PolicyMode::Record => {
            PolicyMode::Strict
        }
    }
}
