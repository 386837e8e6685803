//! The window as a whole: looks at the workbench, paints it, does what was asked for.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_inspector::findings::Severities;
use glovebox_inspector::store::{RowId, Store};
use parking_lot::Mutex;

use super::action::{Action, Actions};
use super::capture::{Busy, Capture, Report, report_of};
use super::commands::{Situation, pressed};
use super::dialogs::Dialogs;
use super::overlays::Overlay;
use super::panels::{PanelId, frames};
use super::quitting::Quitting;
use super::session::Session;
use super::shell::{Moment, Pulse, Shell};
use super::state::ViewState;
use super::theme;
use super::toasts::Toasts;
use crate::panics::contain;
use crate::workbench::{Command, Level, Origin, Rows, Source, Trace, ViewCtx, Wanted, Workbench};

/// A pause between two painted frames that counts as doing nothing.
const IDLE: Duration = Duration::from_millis(300);
/// Frames among which one with a payload is searched, to be selected first.
const LOOKED_AT: usize = 200;
/// How long after the last change the session is saved.
const SAVE_AFTER: Duration = Duration::from_secs(2);

/// The window.
pub struct App {
    pub(super) workbench: Workbench,
    pub(super) state: ViewState,
    pub(super) shell: Shell,
    pub(super) overlay: Overlay,
    pub(super) dialogs: Dialogs,
    pub(super) session: Session,
    keeper: Keeper,
    toasts: Toasts,
    /// How many traces there were when it was last looked.
    traces_seen: usize,
    pub(super) capture: Option<Capture>,
    pub(super) quitting: Quitting,
    clock: Clock,
}

/// Writes the session when it changed.
#[derive(Debug, Default)]
struct Keeper {
    path: Option<PathBuf>,
    saved: Option<Session>,
    changed: Option<Instant>,
}

/// When frames were painted.
#[derive(Debug)]
struct Clock {
    program_started: Instant,
    startup: Option<Duration>,
    painted: u64,
    slowest: Duration,
    recent: VecDeque<Instant>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("App").finish_non_exhaustive()
    }
}

impl App {
    /// A window over a workbench that remembers nothing and writes nothing.
    pub fn new(workbench: Workbench, ctx: &egui::Context) -> App {
        App::with_session(workbench, ctx, Session::default(), None)
    }

    /// A window with the session of the last time, to be saved at `path`.
    pub fn with_session(
        mut workbench: Workbench,
        ctx: &egui::Context,
        session: Session,
        path: Option<PathBuf>,
    ) -> App {
        theme::install(ctx, session.theme);
        ctx.set_zoom_factor(session.zoom);
        ctx.options_mut(|options| options.zoom_with_keyboard = false);
        let mut severities = Severities::default();
        for setting in &session.severities {
            // The rule may have gone since.
            if let Err(error) = severities.set(setting) {
                tracing::warn!("the session sets a severity that is left out: {error}");
            }
        }
        workbench.execute(Command::SetSeverities(severities));
        workbench.execute(Command::SetSnapshots(session.snapshots.parse().ok()));
        let waker = ctx.clone();
        workbench.connect(move || waker.request_repaint());
        App {
            workbench,
            state: ViewState::default(),
            shell: Shell::new(&session),
            overlay: Overlay::None,
            dialogs: Dialogs::default(),
            keeper: Keeper { path, saved: Some(session.clone()), changed: None },
            session,
            toasts: Toasts::default(),
            traces_seen: 0,
            capture: None,
            quitting: Quitting::default(),
            clock: Clock {
                program_started: Instant::now(),
                startup: None,
                painted: 0,
                slowest: Duration::ZERO,
                recent: VecDeque::new(),
            },
        }
    }

    /// Measures the startup from this moment.
    #[must_use]
    pub fn started_at(mut self, moment: Instant) -> App {
        self.clock.program_started = moment;
        self
    }

    /// Takes a picture and writes a report once everything is settled, then closes. Files that exist
    /// stay unless it `replaces` them.
    pub fn capture(
        &mut self,
        screenshot: Option<PathBuf>,
        report: Option<PathBuf>,
        replaces: bool,
        outcome: Arc<Mutex<Option<Result<(), String>>>>,
    ) {
        self.capture = Some(Capture::new(screenshot, report, replaces, outcome));
    }

    /// The read-only view of the workbench.
    pub fn view(&self) -> ViewCtx<'_> {
        self.workbench.view()
    }

    /// The workbench, for whoever drives the window.
    pub fn workbench_mut(&mut self) -> &mut Workbench {
        &mut self.workbench
    }

    /// Brings a panel to the front.
    pub fn show_panel(&mut self, id: super::panels::PanelId) {
        self.shell.show_panel(id);
    }

    /// Opens the drawer at a list.
    pub fn show_drawer(&mut self, tab: super::panels::DrawerTab) {
        self.state.panels.drawer.tab = tab;
        self.shell.layout.drawer = true;
    }

    /// What the window drew so far.
    pub fn report(&self) -> Report {
        let frames = &self.state.panels.frames;
        Report {
            rows: frames.list.len(),
            frames_shown: frames.painted,
            panels_drawn: self.shell.drawn.iter().map(|title| (*title).to_owned()).collect(),
            frames_painted: self.clock.painted,
            slowest_frame_ms: self.clock.slowest.as_secs_f64() * 1e3,
            startup_ms: self.clock.startup.unwrap_or_default().as_secs_f64() * 1e3,
            ..report_of(self.view())
        }
    }

    /// Takes in what happened and paints the window; all of a frame but the desktop's part.
    ///
    /// A panic of ours costs what it was about: a panel says so and can be tried again, what was asked
    /// for is not done, and the session is saved at once.
    pub fn ui(&mut self, ui: &mut egui::Ui) {
        if let Err(fault) = contain(|| self.paint(ui)) {
            self.tell_fault(format!("The window was not painted to the end: {fault}"));
        }
        for fault in self.shell.guard.take_new() {
            self.tell_fault(fault);
        }
    }

    /// Says what went wrong with us, and saves what would be lost if more went wrong.
    pub(super) fn tell_fault(&mut self, fault: String) {
        let notices = self.workbench.view().notices();
        // What panics in each painted frame is said once.
        if notices.back().is_none_or(|last| last.text != fault) {
            self.workbench.execute(Command::Notify(Level::Error, fault));
            self.save_session();
        }
    }

    fn paint(&mut self, ui: &mut egui::Ui) {
        let started = Instant::now();
        let ctx = ui.ctx().clone();
        if self.clock.painted == 0 && self.session.zoom != 1.0 && self.clock.startup.is_none() {
            // The zoom holds from the next frame on; in this one every size would be wrong.
            self.clock.startup = Some(self.clock.program_started.elapsed());
            return ctx.request_repaint();
        }
        let mut actions = Actions::default();
        if let Err(fault) = contain(|| self.take_in(&ctx)) {
            self.tell_fault(format!("Not all that happened was taken in: {fault}"));
        }
        let now = self.situation();
        if self.overlay.is_none() {
            // At once, so that a field that gets the focus has it when the next key comes.
            for verb in pressed(&ctx, &now) {
                self.perform(&ctx, Action::Run(verb));
                ctx.request_repaint();
            }
        }
        self.escape(&ctx, &mut actions);
        self.take_in_files(&ctx);
        let now = self.situation();
        let pulse = self.pulse(&ctx);
        let view = self.workbench.view();
        let moment = Moment { now: &now, pulse, recent: &self.session.recent };
        self.shell.show(ui, view, &mut self.state, &moment, &mut actions);
        let (overlay, toasts) = (&mut self.overlay, &mut self.toasts);
        let source = self.state.selection.source;
        let above = contain(|| {
            #[cfg(test)]
            crate::panics::hook::reach("Overlay");
            overlay.show(ui, view, source, &now, &mut actions);
            toasts.show(ui);
        });
        if let Err(fault) = above {
            self.overlay = Overlay::None;
            self.toasts.clear();
            self.tell_fault(format!("What lay above the window is closed: {fault}"));
        }
        for action in actions.take() {
            self.perform(&ctx, action);
            ctx.request_repaint();
        }
        self.keep_session(&ctx);
        self.clock.painted += 1;
        self.clock.startup.get_or_insert_with(|| self.clock.program_started.elapsed());
        self.clock.slowest = self.clock.slowest.max(started.elapsed());
        if let Some(mut capture) = self.capture.take() {
            let view = self.view();
            let pages = view.pages(self.state.selection.source);
            let reading = pages.is_some_and(|pages| !pages.is_settled());
            let busy = Busy {
                front: view.is_starting() || reading,
                background: view.is_busy() || self.state.panels.frames.list.more(),
            };
            capture.go_on(&ctx, view, busy, || self.report());
            self.capture = Some(capture);
        }
    }

    /// Reads the workbench, briefly.
    fn take_in(&mut self, ctx: &egui::Context) {
        let again = self.workbench.look();
        if let Some(again) = again {
            ctx.request_repaint_after(again);
        }
        if let Source::Trace(id) = self.state.selection.source
            && self.view().trace(id).is_none()
        {
            self.state.selection.source = Source::Live;
        }
        self.show_what_was_opened();
        let view = self.workbench.view();
        let source = self.state.selection.source;
        let more = self.state.overview.refresh(view, source);
        self.search_in_file();
        let view = self.workbench.view();
        let more = frames::refresh(view, &mut self.state) || more;
        if more {
            ctx.request_repaint();
        }
        self.select_something();
        // A picture shows the window, not what passes over it.
        let quiet = self.capture.is_some();
        self.toasts.take_in(self.workbench.view().notices(), quiet);
        self.take_in_dialogs(ctx);
        self.ask_to_replace();
        self.go_on_with_quitting(ctx);
    }

    /// Has the rows of a trace that is not held searched by what the filter is now.
    fn search_in_file(&mut self) {
        let source = self.state.selection.source;
        let view = self.workbench.view();
        let (Source::Trace(trace), Some(_)) = (source, view.pages(source)) else {
            return;
        };
        let query = &self.state.query;
        let wanted =
            Wanted { filter: query.filter.clone(), range: query.range, revision: query.revision() };
        let wanted = (query.filter.is_some() || query.range.is_some()).then_some(wanted);
        let revision = |wanted: &Wanted| wanted.revision;
        let current = view.search(source).map(|search| search.wanted.revision);
        if current != wanted.as_ref().map(revision) {
            self.workbench.execute(Command::Search(trace, wanted));
        }
    }

    /// The first trace of those that were opened is shown, unless there are live frames.
    fn show_what_was_opened(&mut self) {
        let view = self.workbench.view();
        let count = view.traces().len();
        if view.is_starting() || count == self.traces_seen {
            return;
        }
        let opened = view.traces().get(self.traces_seen);
        let is_opened = |trace: &&Trace| !matches!(trace.origin, Origin::Replay(_));
        let is_live = view.read(Source::Live, Store::is_empty) == Some(false);
        if let Some(trace) = opened.filter(is_opened).filter(|_| !is_live) {
            self.state.selection.source = Source::Trace(trace.id);
            // It does not grow.
            self.state.panels.frames.follow = false;
        }
        self.traces_seen = count;
    }

    /// After a load or a replay the first frame of interest is selected, so that the inspector
    /// is not empty.
    fn select_something(&mut self) {
        let source = self.state.selection.source;
        let has_row = self.state.selection.row.is_some_and(|row| row.source == source);
        if has_row || self.view().is_starting() {
            return;
        }
        let failing = self.state.overview.digest().failures.front().map(|failure| failure.row);
        let list = &self.state.panels.frames.list;
        let first = self.view().rows(source, |rows| {
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
            self.state.selection.select(crate::workbench::RowRef { source, row });
        }
    }

    /// What commands depend on.
    pub(super) fn situation(&self) -> Situation {
        let view = self.view();
        let selection = &self.state.selection;
        let plugin = selection.plugin(view).and_then(|id| view.plugin(id));
        let shown = match selection.source {
            Source::Live => None,
            Source::Trace(id) => view.trace(id),
        };
        Situation {
            plugin: plugin.is_some(),
            can_roll_back: plugin.is_some_and(|plugin| plugin.can_roll_back),
            trace: shown.is_some() || view.baseline().is_some(),
            trace_shown: shown.is_some(),
            baseline: view.baseline().is_some(),
            accepted: view.accepted().is_some(),
            row: selection.row.is_some(),
            rows: !self.state.panels.frames.list.is_empty(),
            filter: self.state.query.is_set(),
            replay: view.replay().is_some(),
            busy: view.is_busy(),
            can_send: plugin.is_some() && self.state.panels.compose.can_send(),
            difference: self.shell.drawn.contains(PanelId::Diff.panel().title)
                && view.diff().is_some_and(|(_, diff)| diff.counts.different() > 0),
            policy_edited: view.edits().policy > 0,
            decided: self.state.panels.diff.review.decided() > 0,
            can_go_back: selection.can_go_back(),
            can_go_forward: selection.can_go_forward(),
        }
    }

    /// How fast frames are painted; asks for one more frame to notice that nothing happens.
    fn pulse(&mut self, ctx: &egui::Context) -> Pulse {
        let now = Instant::now();
        let pause = self.clock.recent.back().map(|last| now - *last);
        self.clock.recent.push_back(now);
        while self.clock.recent.front().is_some_and(|first| now - *first > Duration::from_secs(1)) {
            self.clock.recent.pop_front();
        }
        if pause.is_none_or(|pause| pause >= IDLE) {
            return Pulse::Idle;
        }
        ctx.request_repaint_after(IDLE + Duration::from_millis(20));
        Pulse::Fps(self.clock.recent.len())
    }

    fn keep_session(&mut self, ctx: &egui::Context) {
        if self.keeper.path.is_none() {
            return;
        }
        self.session.layout = self.shell.layout;
        self.session.centre = Some(self.shell.centre.clone());
        self.session.zoom = ctx.zoom_factor();
        self.session.severities = self.view().severities().settings();
        let every = self.view().snapshot_every();
        self.session.snapshots = every.map_or_else(String::new, |every| every.to_string());
        if self.keeper.saved.as_ref() == Some(&self.session) {
            self.keeper.changed = None;
            return;
        }
        let changed = *self.keeper.changed.get_or_insert_with(Instant::now);
        match SAVE_AFTER.checked_sub(changed.elapsed()) {
            Some(rest) => ctx.request_repaint_after(rest),
            None => self.save_session(),
        }
    }

    fn save_session(&mut self) {
        let Some(path) = self.keeper.path.clone() else {
            return;
        };
        self.keeper.changed = None;
        self.keeper.saved = Some(self.session.clone());
        let session = self.session.clone();
        let thread = std::thread::Builder::new().name("glovebox session".to_owned());
        let spawned = thread.spawn(move || {
            if let Err(error) = session.write(&path) {
                tracing::warn!("the session was not saved: {error:#}");
            }
        });
        if let Err(error) = spawned {
            tracing::warn!("the session was not saved: {error}");
        }
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        App::ui(self, ui);
    }

    fn on_exit(&mut self, _: Option<&eframe::glow::Context>) {
        if let Some(said) = self.workbench.end_recording() {
            super::tell(&said);
        }
        let changed = self.keeper.saved.as_ref() != Some(&self.session);
        if let (Some(path), true) = (&self.keeper.path, changed)
            && let Err(error) = self.session.write(path)
        {
            tracing::warn!("the session was not saved: {error:#}");
        }
    }
}
