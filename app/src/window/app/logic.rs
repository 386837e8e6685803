//! The work between two painted frames: takes in events, does the requested actions, and prepares
//! the next frame.

use std::sync::Arc;
use std::time::Instant;

use glovebox_abi::manifest::Isolation;
use glovebox_events::Binding;
use glovebox_inspector::store::{RowId, Store};

use super::App;
use crate::panics::contain;
use crate::window::action::Action;
use crate::window::capture::Busy;
use crate::window::commands::{Situation, Verb, hear, pressed_in_vain, split_behind_text};
use crate::window::context::Panel as _;
use crate::window::dialogs::Chosen;
use crate::window::ids::{DrawerTab, PanelId};
use crate::window::overlays::{Overlay, PathField};
use crate::workbench::{Command, Level, RowRef, Rows, Source, TraceId, Wanted};

/// Frames among which one with a payload is searched, to be selected first.
const LOOKED_AT: usize = 200;

impl App {
    /// Changes what is to be changed before a frame is painted; called without painting, too, while
    /// the window is hidden.
    ///
    /// A panic of ours costs what it was about: what was asked for is not done, and the session is
    /// saved at once.
    pub fn logic(&mut self, ctx: &egui::Context) {
        self.frame.started = Instant::now();
        for fault in std::mem::take(&mut self.frame.faults) {
            self.tell_fault(fault);
        }
        // First, because what comes next may wait for it.
        for action in self.frame.asked.take() {
            self.perform(ctx, action);
        }
        if let Err(fault) = contain(|| self.take_in(ctx)) {
            self.tell_fault(format!("Not all that happened was taken in: {fault}"));
        }
        // While the window is hidden, the input is still that of the last painted frame.
        if ctx.input(|input| input.viewport().visible()) != Some(false) {
            self.take_in_input(ctx);
        }
        if let Err(fault) = contain(|| self.get_ready(ctx)) {
            self.tell_fault(format!("Not all is ready to be shown: {fault}"));
        }
        self.keep_session(ctx);
        self.fit_screen(ctx);
        self.go_on_with_capture(ctx);
    }

    /// Says what went wrong with us, and saves what would be lost if more went wrong.
    pub(super) fn tell_fault(&mut self, fault: String) {
        let notices = self.workbench.view().notices();
        // A panic that repeats in each painted frame is said once.
        if notices.back().is_none_or(|last| last.text != fault) {
            self.workbench.execute(Command::Notify(Level::Error, fault));
            self.keeper.save(&self.session);
        }
    }

    /// Takes in what happened since the last frame.
    fn take_in(&mut self, ctx: &egui::Context) {
        if let Some(again) = self.workbench.look() {
            ctx.request_repaint_after(again);
        }
        for path in self.workbench.take_opened() {
            if self.opening.remove(&path) {
                self.select_newest_plugin();
                self.session.remember(path.canonicalize().unwrap_or(path));
            }
        }
        self.take_in_dialogs(ctx);
        self.ask_to_replace();
        self.ask_to_accept();
        if let Some(bundle) = self.workbench.take_bundle() {
            self.show_report(bundle);
        }
        self.go_on_with_quitting(ctx);
    }

    /// Does at once what keys ask for, so that a field that gets the focus has it when the next key
    /// comes; opens files that were dropped.
    fn take_in_input(&mut self, ctx: &egui::Context) {
        self.bring_back_input(ctx);
        if self.overlay.is_none() {
            self.do_what_keys_ask(ctx);
            for why_not in pressed_in_vain(ctx, &self.situation()) {
                self.workbench.execute(Command::Notify(Level::Info, why_not));
                ctx.request_repaint();
            }
        }
        if self.is_escaped(ctx) {
            self.perform(ctx, Action::Run(Verb::ClearFilter));
        }
        self.take_in_files(ctx);
    }

    /// Puts the events that waited for a text in front of those that came since, and keeps those for
    /// later that have to wait again.
    fn bring_back_input(&mut self, ctx: &egui::Context) {
        let mut events = std::mem::take(&mut self.frame.late_input);
        events.append(&mut ctx.input_mut(|input| std::mem::take(&mut input.events)));
        if ctx.text_edit_focused() || !self.overlay.is_none() {
            self.frame.late_input = split_behind_text(&mut events);
        }
        if !self.frame.late_input.is_empty() {
            ctx.request_repaint();
        }
        ctx.input_mut(|input| input.events = events);
    }

    /// Runs the verbs whose keys were pressed, in order.
    fn do_what_keys_ask(&mut self, ctx: &egui::Context) {
        let mut at = 0;
        // A verb may open something that the keys behind it are for.
        while self.overlay.is_none() {
            let now = self.situation();
            let mut events = ctx.input_mut(|input| std::mem::take(&mut input.events));
            let verb = hear(ctx, &mut events, &mut at, &now);
            ctx.input_mut(|input| input.events = events);
            let Some(verb) = verb else { return };
            self.perform(ctx, Action::Run(verb));
            ctx.request_repaint();
        }
    }

    /// Gets ready what will be painted.
    fn get_ready(&mut self, ctx: &egui::Context) {
        self.workbench.look_at_jobs();
        let view = self.workbench.view();
        let is_gone = |source| match source {
            Source::Live => false,
            Source::Trace(id) => view.trace(id).is_none(),
        };
        self.shown.selection.forget(is_gone);
        if is_gone(self.shown.selection.source) {
            self.shown.selection.source = Source::Live;
        }
        self.show_what_was_opened();
        let source = self.shown.selection.source;
        let more = self.shown.overview.refresh(self.workbench.reader(), source);
        self.search_in_file();
        let reader = self.workbench.reader();
        let (frames, shown) = (&mut self.panels.frames, &self.shown);
        self.shell.guard.contain(PanelId::Frames.title(), || frames.take_in(reader, shown));
        if more || self.panels.frames.list.more() {
            ctx.request_repaint();
        }
        self.select_answered();
        self.select_something();
        let reader = self.workbench.reader();
        if self.shell.take_in(*reader) {
            self.panels.drawer.tab = DrawerTab::Problems;
        }
        self.shell.filter.take_in(reader, &self.shown);
        self.overlay.take_in(reader, self.shown.selection.source);
        // A picture shows the window, not what passes over it.
        self.toasts.take_in(reader.notices(), self.capture.is_some());
        self.frame.ready = vec![PanelId::Frames];
        for id in self.shell.seen() {
            if id != PanelId::Frames {
                let panel = self.panels.get(id);
                self.shell.guard.contain(id.title(), || panel.take_in(reader, &self.shown));
                self.frame.ready.push(id);
            }
        }
        self.frame.now = self.situation();
    }

    /// Has the rows of a trace that is not held searched by what the filter is now.
    fn search_in_file(&mut self) {
        let source = self.shown.selection.source;
        let view = self.workbench.view();
        let (Source::Trace(trace), true) = (source, view.is_in_file(source)) else {
            return;
        };
        let query = &self.shown.query;
        let wanted = Wanted {
            filter: query.filter.clone(),
            range: query.range,
            order: query.order,
            revision: query.revision(),
        };
        let is_needed = query.filter.is_some() || query.range.is_some() || query.order.is_some();
        let wanted = is_needed.then_some(wanted);
        let revision = |wanted: &Wanted| wanted.revision;
        let current = view.search(source).map(|search| search.wanted.revision);
        if current != wanted.as_ref().map(revision) {
            self.workbench.execute(Command::Search(trace, wanted));
        }
    }

    /// The composed frame is selected once its answer is there: the inspector is about the same call
    /// as the answer beside it.
    fn select_answered(&mut self) {
        let Some(before) = self.answer_after else {
            return;
        };
        let Some(sent) = self.view().sent().back().filter(|sent| Some(sent.at) != before) else {
            return;
        };
        let call = sent.call;
        self.answer_after = None;
        let first = |store: &Store| store.call(call).and_then(|call| call.rows.first().copied());
        let row = self.workbench.reader().read(Source::Live, first).flatten();
        if let Some(row) = row {
            self.shown.selection.select(RowRef { source: Source::Live, row });
            self.panels.frames.reveal = Some(row);
        }
    }

    /// After a load or a replay the first frame of interest is selected, so that the inspector
    /// is not empty.
    fn select_something(&mut self) {
        let source = self.shown.selection.source;
        let has_row = self.shown.selection.row.is_some_and(|row| row.source == source);
        if has_row || self.view().is_starting() {
            return;
        }
        let failing = self.shown.overview.digest().failures.front().map(|failure| failure.row);
        let list = &self.panels.frames.list;
        let first = self.workbench.reader().rows(source, |rows| {
            let ids = || (0..list.len().min(LOOKED_AT)).filter_map(|at| list.id(at, rows));
            let has_payload = |id: &RowId| match rows {
                Rows::Here(store) => {
                    store.row_by_id(*id).is_some_and(|row| !row.frame.payload.is_empty())
                }
                Rows::Paged(_) => true,
            };
            ids().find(has_payload).or_else(|| ids().next())
        });
        if let Some(row) = failing.or(first.flatten()) {
            self.shown.selection.select(RowRef { source, row });
        }
    }

    /// The facts that commands depend on.
    pub(crate) fn situation(&self) -> Situation {
        let view = self.view();
        let selection = &self.shown.selection;
        let plugin = selection.plugin(view).and_then(|id| view.plugin(id));
        let shown = match selection.source {
            Source::Live => None,
            Source::Trace(id) => view.trace(id),
        };
        let native = plugin.filter(|plugin| plugin.binding == Binding::Native);
        let native = native.map(|plugin| plugin.isolation);
        let faults = plugin.and_then(|plugin| view.faults(plugin.instance));
        let is_other = self.panels.diff.choice.is_other(view);
        let aim = |trace: Option<TraceId>| trace.map(|trace| self.aim(trace));
        let (replays, loops) = (self.replayed_trace(), view.baseline().map(|trace| trace.id));
        let (replays, loops) = (aim(replays), aim(loops));
        let compares = plugin.map(|plugin| self.comparison(plugin.instance, true));
        let again = view.pair().map(|pair| self.comparison(pair.first, false));
        Situation {
            compares: compares.map(Arc::new),
            compares_again: again.map(Arc::new),
            plugin: plugin.is_some(),
            native_here: native == Some(Isolation::InProcess),
            native_in_worker: native == Some(Isolation::Process),
            has_process: plugin.is_some_and(|plugin| !plugin.processes.is_empty()),
            candidate: plugin.is_some_and(|plugin| plugin.candidate.is_some()),
            can_roll_back: plugin.is_some_and(|plugin| plugin.can_roll_back),
            trace: shown.is_some() || view.baseline().is_some(),
            trace_shown: shown.is_some(),
            bundle_shown: shown.is_some_and(|shown| shown.report.is_some()),
            baseline: view.baseline().is_some(),
            pinned: shown.is_some_and(|shown| {
                view.baseline().is_some_and(|baseline| baseline.id == shown.id)
            }),
            live: view.live().frames > 0,
            denied: view.denied_live() > 0,
            recording: view.recording().is_some(),
            watching: plugin.is_some_and(|plugin| plugin.watching),
            accepted: view.accepted().is_some(),
            row: selection.row.is_some_and(|row| self.is_at_hand(row)),
            rows: !self.panels.frames.list.is_empty(),
            sorted: self.shown.query.order.is_some(),
            filter: self.shown.query.is_set(),
            replay: view.replay().is_some(),
            other_inputs: replays.as_ref().is_some_and(|(_, others)| *others),
            replays: replays.map(|(aim, _)| Arc::new(aim)),
            loops: loops.map(|(aim, _)| Arc::new(aim)),
            into_all: self.shown.replays.into_all,
            all_inputs: self.shown.replays.all_inputs,
            several: view.plugins().len() > 1,
            pair: view.pair().is_some(),
            sends_to_both: view.pair().is_some_and(|pair| pair.sends_to_both),
            has_faults: faults.is_some_and(|faults| !faults.all.is_empty()),
            faults_on: faults.is_some_and(|faults| faults.is_on),
            busy: view.is_busy(),
            can_send: plugin.is_some() && self.panels.compose.can_send(),
            difference: self.shell.drawn.contains(PanelId::Diff.title())
                && !is_other
                && view.diff().is_some_and(|(_, diff)| diff.counts.different() > 0),
            policy_edited: view.edits().policy > 0,
            decided: self.panels.diff.review.decided() > 0 && !is_other,
            can_go_back: selection.can_go_back(),
            can_go_forward: selection.can_go_forward(),
        }
    }

    fn take_in_dialogs(&mut self, ctx: &egui::Context) {
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

    fn keep_session(&mut self, ctx: &egui::Context) {
        if !self.keeper.keeps() {
            return;
        }
        self.session.layout = self.shell.layout;
        self.session.centre = Some(self.shell.centre.clone());
        self.session.zoom = ctx.zoom_factor();
        self.session.severities = self.view().severities().settings();
        let every = self.view().snapshot_every();
        self.session.snapshots = every.map_or_else(String::new, |every| every.to_string());
        if let Some(rest) = self.keeper.keep(&self.session) {
            ctx.request_repaint_after(rest);
        }
    }

    fn go_on_with_capture(&mut self, ctx: &egui::Context) {
        let Some(mut capture) = self.capture.take() else {
            return;
        };
        let reader = self.workbench.reader();
        let pages = reader.pages(self.shown.selection.source);
        let reading = pages.is_some_and(|pages| !pages.is_settled());
        let busy = Busy {
            front: reader.is_starting() || reading,
            background: reader.is_busy() || self.panels.frames.list.more(),
        };
        capture.go_on(ctx, *reader, busy, || self.report());
        self.capture = Some(capture);
    }
}
