//! The window as a whole: its parts, and the steps of a painted frame.
//!
//! A frame is [`App::logic`], which changes things, and [`App::ui`], which paints them: eframe
//! calls both, and the first alone while the window is hidden. The next `logic` does what panels
//! ask for while they paint.

mod clock;
mod fitting;
mod keeper;
mod listing;
mod logic;
mod opened;
mod perform;
mod questions;
mod quitting;
mod replays;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use glovebox_host::InstanceId;
use glovebox_inspector::findings::Severities;
use parking_lot::Mutex;

use super::action::Actions;
use super::capture::{Capture, Report, report_of};
use super::commands::Situation;
use super::context::PanelCtx;
use super::dialogs::Dialogs;
use super::ids::{DrawerTab, PanelId};
use super::overlays::Overlay;
use super::panels::Panels;
use super::quitting::Quitting;
use super::session::Session;
use super::shell::{Around, Shell, Side};
use super::shown::Shown;
use super::terminal::tell;
use super::theme;
use super::toasts::Toasts;
use crate::panics::contain;
use crate::workbench::{Command, Reader, ViewCtx, Workbench};

use clock::Clock;
use keeper::Keeper;
use opened::Awaited;

/// The window.
pub struct App {
    pub(super) workbench: Workbench,
    pub(super) shown: Shown,
    pub(super) panels: Panels,
    shell: Shell,
    overlay: Overlay,
    toasts: Toasts,
    dialogs: Dialogs,
    pub(super) session: Session,
    keeper: Keeper,
    /// Files that a person opens; those that can be opened are remembered.
    pub(super) opening: BTreeSet<PathBuf>,
    /// The fate of the source that they lead to.
    awaited: Awaited,
    /// The newest plugin when a person last opened a file.
    newest_plugin: Option<InstanceId>,
    /// The answer to a composed frame whose call is still to be selected was sent after this one.
    answer_after: Option<Option<SystemTime>>,
    capture: Option<Capture>,
    pub(super) quitting: Quitting,
    clock: Clock,
    frame: Frame,
}

/// The state that `logic` and `ui` hand to each other.
#[derive(Debug)]
struct Frame {
    started: Instant,
    /// The facts that commands depend on.
    now: Situation,
    /// Panels that were told what to show.
    ready: Vec<PanelId>,
    /// The actions requested while the window was painted.
    asked: Actions,
    /// Our own errors since the last frame.
    faults: Vec<String>,
    /// Input behind typed text that has not reached its field.
    late_input: Vec<egui::Event>,
}

impl Default for Frame {
    fn default() -> Self {
        Frame {
            started: Instant::now(),
            now: Situation::default(),
            ready: Vec::new(),
            asked: Actions::default(),
            faults: Vec::new(),
            late_input: Vec::new(),
        }
    }
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
            shown: Shown::default(),
            panels: Panels::default(),
            shell: Shell::new(&session),
            overlay: Overlay::None,
            toasts: Toasts::default(),
            dialogs: Dialogs::default(),
            keeper: Keeper::new(path, &session),
            session,
            opening: BTreeSet::new(),
            awaited: Awaited::default(),
            newest_plugin: None,
            answer_after: None,
            capture: None,
            quitting: Quitting::default(),
            clock: Clock::default(),
            frame: Frame::default(),
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

    /// Reads frames, between two painted frames.
    pub fn reader(&self) -> Reader<'_> {
        self.workbench.reader()
    }

    /// The workbench, for tests that drive the window.
    pub fn workbench_mut(&mut self) -> &mut Workbench {
        &mut self.workbench
    }

    /// Brings a panel to the front.
    pub fn show_panel(&mut self, id: PanelId) {
        self.shell.show_panel(id);
    }

    /// Opens the drawer at a list.
    pub fn show_drawer(&mut self, tab: DrawerTab) {
        self.panels.drawer.tab = tab;
        self.shell.open(Side::Drawer);
    }

    /// The figures of the frames drawn so far.
    pub fn report(&self) -> Report {
        let frames = &self.panels.frames;
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

    /// Paints the window as [`App::logic`] left it.
    ///
    /// A panic of ours costs what it was about: a panel says so and can be tried again.
    pub fn ui(&mut self, ui: &mut egui::Ui) {
        if self.clock.painted == 0 && self.session.zoom != 1.0 && self.clock.startup.is_none() {
            // The zoom holds from the next frame on; in this one every size would be wrong.
            self.clock.note_startup();
            return ui.ctx().request_repaint();
        }
        if let Err(fault) = contain(|| self.paint(ui)) {
            self.frame.faults.push(format!("The window was not painted to the end: {fault}"));
        }
        self.frame.faults.extend(self.shell.guard.take_new());
        self.clock.note_frame(self.frame.started.elapsed());
        if !self.frame.asked.is_empty() || !self.frame.faults.is_empty() {
            ui.ctx().request_repaint();
        }
    }

    fn paint(&mut self, ui: &mut egui::Ui) {
        let frame = &mut self.frame;
        let ctx = PanelCtx {
            view: self.workbench.view(),
            selection: &self.shown.selection,
            query: &self.shown.query,
            digest: self.shown.overview.digest(),
            now: &frame.now,
            asked: &frame.asked,
        };
        let around = Around {
            pulse: self.clock.pulse(ui.ctx()),
            recent: &self.session.recent,
            taken_in: &frame.ready,
        };
        self.shell.show(ui, ctx, &mut self.panels, &around);
        let (overlay, toasts) = (&mut self.overlay, &mut self.toasts);
        let above = contain(|| {
            #[cfg(test)]
            crate::panics::hook::reach("Overlay");
            overlay.show(ui, ctx);
            toasts.show(ui);
        });
        if let Err(fault) = above {
            self.overlay = Overlay::None;
            self.toasts.clear();
            frame.faults.push(format!("The overlays were closed: {fault}"));
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _: &mut eframe::Frame) {
        App::logic(self, ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        App::ui(self, ui);
    }

    fn on_exit(&mut self, _: Option<&eframe::glow::Context>) {
        if let Some(said) = self.workbench.end_recording() {
            tell(&said);
        }
        self.keeper.save_last(&self.session);
    }
}
