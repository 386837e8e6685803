//! Performs actions: one exhaustive match for verbs, one for changes of the view.

use std::path::PathBuf;

use glovebox_abi::manifest::Isolation;
use glovebox_host::{CandidateRole, InstanceId, PluginStatus};
use glovebox_inspector::baseline::Decision;
use glovebox_inspector::diff::Diff;
use glovebox_inspector::replay::Pace;
use glovebox_inspector::search::SortBy;

use super::App;
use super::opened::Awaited;
use super::questions::other_mode;
use crate::panics::contain;
use crate::window::action::{Action, Change};
use crate::window::commands::Verb;
use crate::window::dialogs::Purpose;
use crate::window::ids::{DrawerTab, PanelId};
use crate::window::overlays::{Overlay, PathField, Question};
use crate::window::palette::Palette;
use crate::window::panels::Review;
use crate::window::shell::Side;
use crate::window::theme;
use crate::workbench::{Command, Level, ReplayHow, Source, TraceId};

/// The name that is offered for a trace of live frames.
pub(super) const LIVE_FILE: &str = "live-frames.mcap";

/// The share of frames that a build gets that is tried from the menu.
const CANARY: CandidateRole = CandidateRole::Canary { one_in: 10, seed: 0 };

/// The command that attaches a debugger to the first process of a plugin.
fn debugger_command(plugin: &PluginStatus) -> Option<String> {
    let process = plugin.processes.first()?;
    Some(match cfg!(target_os = "macos") {
        true => format!("lldb -p {process}"),
        false => format!("gdb -p {process}"),
    })
}

impl App {
    /// Does what was asked for, or asks whether it is meant.
    pub(crate) fn perform(&mut self, ctx: &egui::Context, action: Action) {
        match self.question(&action) {
            Some(question) => self.overlay = Overlay::Confirm(question, Box::new(action)),
            None => self.perform_at_once(ctx, action),
        }
    }

    fn perform_at_once(&mut self, ctx: &egui::Context, action: Action) {
        let done = contain(|| {
            #[cfg(test)]
            crate::panics::hook::reach("Action");
            match action {
                Action::Run(verb) => self.run(ctx, verb),
                Action::Do(Command::Pin(trace)) => self.pin(trace),
                Action::Do(command) => {
                    if let Command::RunExample(_) = &command {
                        self.change(ctx, Change::Source(Source::Live));
                        self.await_opened();
                    }
                    self.workbench.execute(command);
                }
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
            Change::Show(panel) => self.choose_panel(panel),
            Change::Drawer(tab) => {
                self.panels.drawer.tab = tab;
                self.shell.open(Side::Drawer);
            }
            Change::Source(source) => {
                if self.shown.selection.source != source {
                    self.begin_list(source);
                }
                self.choose_source(source);
                self.shown.query.set_range(None);
                self.shell.show_panel(PanelId::Frames);
            }
            Change::Select(row) => {
                self.choose_source(row.source);
                self.shown.selection.select(row);
                self.panels.frames.reveal = Some(row.row);
            }
            Change::RevealSelection => self.keep_selection_in_view(),
            Change::SelectPlugin(plugin) => {
                self.shown.selection.select_plugin(plugin);
                self.panels.compose.follow_selection();
            }
            Change::Filter(text) => {
                self.shown.query.set_text(text);
                self.keep_selection_in_view();
            }
            Change::Range(range) => self.shown.query.set_range(range),
            Change::Order(order) => self.sort(order),
            Change::Compose(frame, target) => {
                self.panels.compose.fill(&frame, target);
                self.panels.compose.edit_payload();
                self.choose_panel(PanelId::Compose);
            }
            Change::OpenFile(path) => {
                self.opening.insert(path.clone());
                self.await_opened();
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
                    self.choose_panel(PanelId::Diff);
                }
            }
            Verb::SaveTrace => {
                if let Some((id, name)) = self.shown_trace() {
                    self.ask_where_to_save(ctx, id, &name);
                }
            }
            Verb::SaveLive => self.dialogs.open(ctx, Purpose::SaveLive, LIVE_FILE),
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
            Verb::FocusFilter => self.shell.filter.focus = true,
            Verb::RangeFrom => self.cut_range(|at, (_, last)| (at, last.max(at))),
            Verb::RangeTo => self.cut_range(|at, (first, _)| (first.min(at), at)),
            Verb::ClearFilter => {
                self.shown.query.clear();
                self.keep_selection_in_view();
            }
            Verb::ClearLive => self.workbench.execute(Command::ClearLive),
            Verb::Palette => self.overlay = Overlay::Palette(Palette::new(false)),
            Verb::GoTo => self.overlay = Overlay::Palette(Palette::new(true)),
            Verb::ShowLive => self.change(ctx, Change::Source(Source::Live)),
            Verb::ShowPanel(panel) => self.choose_panel(panel),
            Verb::ShowDrawer(tab) => self.change(ctx, Change::Drawer(tab)),
            Verb::AllowDenied => {
                self.change(ctx, Change::Source(Source::Live));
                self.change(ctx, Change::Drawer(DrawerTab::Denied));
                self.panels.drawer.allow_newest = true;
            }
            Verb::ToggleLeft => self.shell.toggle(Side::Left),
            Verb::ToggleRight => self.shell.toggle(Side::Right),
            Verb::ToggleTimeline => self.shell.toggle(Side::Timeline),
            Verb::ToggleDrawer => self.shell.toggle(Side::Drawer),
            Verb::WorkspaceDebug => {
                self.shell.debug();
                ctx.set_zoom_factor(1.0);
            }
            Verb::WorkspaceCompare => self.shell.compare(),
            Verb::WorkspaceDemo => {
                self.shell.debug();
                self.shell.close(Side::Drawer);
                self.shell.close(Side::Right);
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
            Verb::SaveBundle => {
                let view = self.view();
                let plugin = self.shown.selection.plugin(view).and_then(|id| view.plugin(id));
                if let Some((instance, id)) =
                    plugin.map(|plugin| (plugin.instance, plugin.manifest.plugin.id.clone()))
                {
                    let purpose = Purpose::SaveBundle(instance);
                    self.dialogs.open(ctx, purpose, &format!("{id}-failure.mcap"));
                }
            }
            Verb::CopyDebugger => {
                let view = self.view();
                let plugin = self.shown.selection.plugin(view).and_then(|id| view.plugin(id));
                if let Some(command) = plugin.and_then(debugger_command) {
                    ctx.copy_text(command.clone());
                    self.workbench
                        .execute(Command::Notify(Level::Info, format!("Copied: {command}")));
                }
            }
            Verb::Restart => self.with_plugin(Command::Restart),
            Verb::RollBack => self.with_plugin(|instance| Command::RollBack(instance, None)),
            Verb::TryShadow => self.ask_for_candidate(ctx, CandidateRole::Shadow),
            Verb::TryCanary => self.ask_for_candidate(ctx, CANARY),
            Verb::Promote => self.with_plugin(Command::Promote),
            Verb::Dismiss => self.with_plugin(Command::Dismiss),
            Verb::MoveToWorker => {
                self.with_plugin(|instance| Command::Move { instance, to: Isolation::Process });
            }
            Verb::TrustHere => {
                self.with_plugin(|instance| Command::Move { instance, to: Isolation::InProcess });
            }
            Verb::ToggleWatch => {
                let view = self.view();
                let plugin = self.shown.selection.plugin(view).and_then(|id| view.plugin(id));
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
            Verb::InjectFaults => {
                self.panels.policy.show_faults();
                self.choose_panel(PanelId::Policy);
            }
            Verb::ToggleFaults => {
                let view = self.view();
                let chosen = self.shown.selection.plugin(view);
                let faults = chosen.and_then(|id| Some((id, view.faults(id)?.clone())));
                if let Some((instance, mut faults)) = faults {
                    faults.is_on = !faults.is_on;
                    self.workbench.execute(Command::SetFaults(instance, Box::new(faults)));
                }
            }
            Verb::Unload => self.with_plugin(Command::Unload),
            Verb::Loop => {
                if self.lists_nothing() {
                    return;
                }
                self.shown.replays.last = self.view().baseline().map(|trace| trace.id);
                let (targets, routing) = (self.replay_targets(), self.routing());
                self.with_plugin(|instance| Command::Loop { instance, targets, routing });
                self.choose_panel(PanelId::Diff);
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
            Verb::CompileMemory => self.overlay = Overlay::compile_memory(self.view()),
            Verb::LoadDeadline => self.overlay = Overlay::load_deadline(self.view()),
            Verb::Replay => self.replay(Pace::Max, ReplayHow::Once),
            Verb::ReplayOriginal => self.replay(Pace::Original, ReplayHow::Once),
            Verb::ReplayFrom => self.replay_from(),
            Verb::ReplayAgain => self.replay(Pace::Max, ReplayHow::Again),
            Verb::ReplayAnswered => self.replay(Pace::Max, ReplayHow::Answered),
            Verb::ReplayIntoAll => {
                let into_all = &mut self.shown.replays.into_all;
                *into_all = !*into_all;
            }
            Verb::ReplayAllInputs => {
                let all_inputs = &mut self.shown.replays.all_inputs;
                *all_inputs = !*all_inputs;
            }
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
                    let target = self.target_of(&row).ok();
                    self.change(ctx, Change::Compose(row.frame, target));
                }
            }
            Verb::EditPayload => {
                self.panels.compose.edit_payload();
                self.choose_panel(PanelId::Compose);
            }
            Verb::ShowBytes => {
                self.panels.inspector.show_bytes();
                self.shell.open(Side::Right);
            }
            Verb::ResendAndDiff => {
                let target = self.selected_row().map(|row| self.target_of(&row));
                match (target, self.shown.selection.row) {
                    (Some(Ok(target)), Some(row)) => {
                        self.workbench.execute(Command::ResendAndDiff { target, row });
                        self.choose_panel(PanelId::Diff);
                    }
                    (Some(Err(why)), _) => {
                        self.workbench.execute(Command::Notify(Level::Error, why));
                    }
                    (None, _) | (_, None) => {}
                }
            }
            Verb::Compare => {
                if let Some(first) = self.shown.selection.plugin(self.view()) {
                    self.dialogs.open(ctx, Purpose::Compare(first), "");
                }
            }
            Verb::CompareAgain => {
                self.workbench.execute(Command::CompareAgain);
                self.choose_panel(PanelId::Diff);
            }
            Verb::SendToBoth => {
                let on = self.view().pair().is_some_and(|pair| !pair.sends_to_both);
                self.workbench.execute(Command::SendToBoth(on));
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
            Verb::SaveBaseline => {
                let open =
                    self.view().accepted().map(|accepted| accepted.path.display().to_string());
                let name = open.unwrap_or_else(|| "baseline.txt".to_owned());
                self.dialogs.open(ctx, Purpose::SaveBaseline, &name);
            }
            Verb::Pin => {
                if let Some((id, _)) = self.shown_trace() {
                    let pinned = self.view().baseline().is_some_and(|trace| trace.id == id);
                    self.pin((!pinned).then_some(id));
                }
            }
            Verb::FirstRow => self.select_position(|_, _| 0),
            Verb::FollowTail => {
                self.select_position(|_, len| len - 1);
                // In another order the newest one is anywhere, and the last row is what is asked for.
                if self.shown.query.order.is_none() {
                    self.panels.frames.follow_newest();
                }
            }
            Verb::NextRow => {
                self.select_position(|place, len| place.map_or(0, |place| place.next(len)));
            }
            Verb::PreviousRow => {
                self.select_position(|place, len| {
                    place.map_or(len - 1, |place| place.previous(len))
                });
            }
            Verb::SortByLatency => self.sort(self.shown.query.next_order(SortBy::Latency)),
            Verb::SortBySize => self.sort(self.shown.query.next_order(SortBy::Size)),
            Verb::TimeOrder => self.sort(None),
            Verb::NextInCall => self.select_in_call(1),
            Verb::PreviousInCall => self.select_in_call(-1),
            Verb::SelectionBack => {
                self.awaited = Awaited::No;
                self.shown.selection.go_back();
                self.keep_selection_in_view();
            }
            Verb::SelectionForward => {
                self.awaited = Awaited::No;
                self.shown.selection.go_forward();
                self.keep_selection_in_view();
            }
            Verb::ShowReport => {
                if let Some((id, _)) = self.shown_trace() {
                    self.show_report(id);
                }
            }
            Verb::Keys => self.overlay = Overlay::Keys,
            Verb::Welcome => self.shell.welcome = true,
            Verb::Doctor => {
                self.workbench.execute(Command::Examine);
                self.overlay = Overlay::Doctor;
            }
        }
    }

    pub(super) fn take_file(&mut self, ctx: &egui::Context, purpose: Purpose, path: PathBuf) {
        match purpose {
            Purpose::Plugin | Purpose::Trace | Purpose::Baseline => {
                self.change(ctx, Change::OpenFile(path));
            }
            Purpose::Compare(first) => {
                self.await_opened();
                self.workbench.execute(Command::Compare { first, path });
                self.choose_panel(PanelId::Diff);
            }
            Purpose::Try(instance, role) => {
                self.workbench.execute(Command::TryBeside(instance, role, Some(path)));
                self.choose_panel(PanelId::Reload);
            }
            Purpose::Save(trace) => {
                let replace = false;
                self.workbench.execute(Command::SaveTrace { trace, path, replace });
            }
            Purpose::SaveLive => {
                self.workbench.execute(Command::SaveLive { path, replace: false });
            }
            Purpose::SaveBaseline => self.save_baseline(path),
            Purpose::SaveBundle(instance) => {
                let replace = false;
                self.workbench.execute(Command::SaveBundle { instance, path, replace });
            }
            Purpose::SavePolicy => {
                let replace = false;
                self.workbench.execute(Command::SavePolicy { path, replace });
            }
        }
    }

    /// Shows the report of a failure bundle.
    pub(super) fn show_report(&mut self, id: TraceId) {
        let trace = self.view().trace(id);
        let report = trace.and_then(|trace| Some((trace.name.clone(), trace.report.clone()?)));
        if let Some((name, text)) = report {
            self.overlay = Overlay::Report { name, text };
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
            | Command::SaveLive { path, .. }
            | Command::SaveBaseline { path, .. }
            | Command::SaveBundle { path, .. }
            | Command::SavePolicy { path, .. } => path,
            _ => return,
        };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let question = Question {
            title: format!("Replace {name}"),
            means: format!("{} exists; its content will be lost", path.display()),
        };
        self.overlay = Overlay::Confirm(question, Box::new(Action::Do(command)));
    }

    /// Asks about a plugin that runs only if a person accepts how.
    pub(super) fn ask_to_accept(&mut self) {
        let Some((path, accepting, why)) = self.workbench.take_not_accepted() else { return };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let question = Question {
            title: format!("Run {name} all the same"),
            means: format!("You are asked first: {why}"),
        };
        let command = Command::LoadAccepting(path, accepting);
        self.overlay = Overlay::Confirm(question, Box::new(Action::Do(command)));
    }

    /// Files that were dropped on the window.
    pub(super) fn take_in_files(&mut self, ctx: &egui::Context) {
        let files: Vec<PathBuf> = ctx.input(|input| {
            let dropped = input.raw.dropped_files.iter();
            dropped.map(|file| file.path().to_owned()).collect()
        });
        if !files.is_empty() {
            self.opening.extend(files.iter().cloned());
            self.await_opened();
            self.workbench.execute(Command::Start { files });
        }
    }

    /// Asks for the build that is tried beside the chosen plugin; what is on disk is offered.
    fn ask_for_candidate(&mut self, ctx: &egui::Context, role: CandidateRole) {
        if let Some(instance) = self.shown.selection.plugin(self.view()) {
            self.dialogs.open(ctx, Purpose::Try(instance, role), "");
        }
    }

    fn review(&mut self, change: impl FnOnce(&mut Review, &Diff)) {
        let view = self.workbench.view();
        if let Some((number, diff)) = view.diff() {
            let review = &mut self.panels.diff.review;
            review.look_at(number, diff, || view.rejected_before());
            change(review, diff);
        }
    }

    /// Writes the baseline that the decisions lead to.
    pub fn save_baseline(&mut self, path: PathBuf) {
        let decisions = self.panels.diff.review.decisions().clone();
        self.workbench.execute(Command::SaveBaseline { path, replace: false, decisions });
    }

    fn with_plugin(&mut self, command: impl FnOnce(InstanceId) -> Command) {
        if let Some(instance) = self.shown.selection.plugin(self.view()) {
            self.workbench.execute(command(instance));
        }
    }

    /// True if Esc is to clear the filter: it leaves a text field or a list first.
    pub(super) fn is_escaped(&self, ctx: &egui::Context) -> bool {
        self.overlay.is_none()
            && !ctx.text_edit_focused()
            && self.shown.query.is_set()
            && !egui::Popup::is_any_open(ctx)
            && ctx.input(|input| input.key_pressed(egui::Key::Escape))
    }
}
