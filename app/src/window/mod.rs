//! The window: an eframe application over the workbench.
//!
//! Read [`App`] first: its `logic` takes in what happened and does what was asked for, its `ui` paints
//! the panels, which read and ask. The table of [`commands`] feeds menus, palette, toolbar, keys and
//! the key sheet. [`run`] opens the window. `app/README.md` has the map.
//!
//! Nothing here waits for a plugin or a file, and nothing that paints takes a lock that a plugin's
//! thread takes.

mod action;
mod app;
mod buttons;
mod capture;
pub mod commands;
mod context;
mod dialogs;
mod excerpt;
mod filter_field;
mod guard;
pub mod ids;
mod look;
mod overlays;
mod palette;
mod panels;
mod quitting;
pub mod session;
mod shell;
mod shown;
mod terminal;
pub mod theme;
mod toasts;
mod widgets;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use glovebox_files::OutputProblem;
use glovebox_host::Allowance;
use parking_lot::Mutex;

pub use app::App;
pub use capture::Report;

use crate::ending::{self, Signal};
use crate::folders;
use crate::workbench::{Command, Level, Workbench, WorkbenchOptions, saved_consents};
use ids::PanelId;
use session::Session;
use terminal::tell;
use theme::Theme;

/// The message where no window can be opened.
const NO_DISPLAY: &str = "There is no display to open a window on (neither WAYLAND_DISPLAY nor \
    DISPLAY is set); `glovebox inspect`, `call`, `replay` and `diff` do the same work without one";

/// How the window is opened.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WindowOptions {
    /// Open these plugins, traces, a baseline and a glovebox.toml. A trace given with plugins is
    /// replayed into them. Without files, the nearest glovebox.toml in this folder or above is opened
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write a picture of the settled window and close
    #[arg(long, value_name = "PNG")]
    pub screenshot: Option<PathBuf>,
    /// Write a report of what the window drew, and close
    #[arg(long, value_name = "JSON")]
    pub report: Option<PathBuf>,
    /// Overwrite an existing picture or report, but never an opened file
    #[arg(long)]
    pub force: bool,
    /// Run native plugins as trusted code inside this process, and in no sandbox
    #[arg(long)]
    pub trust_native: bool,
    /// Stop compiling a plugin after this time, e.g. 90s or 5min. The default comes from its
    /// manifest or its size
    #[arg(long, value_name = "TIME", value_parser = glovebox_abi::units::parse_duration)]
    pub compile_deadline: Option<Duration>,
    /// Stop compiling a plugin that takes more memory than this, from 64 MiB, e.g. 2GiB. The default
    /// comes from its manifest or its size
    #[arg(long, value_name = "SIZE", value_parser = glovebox_abi::units::parse_size)]
    pub compile_memory: Option<u64>,
    /// Stop opening a native plugin for the first time after this time, e.g. 20s. The default comes from
    /// its manifest, or is 5 s
    #[arg(long, value_name = "TIME", value_parser = glovebox_abi::units::parse_duration)]
    pub load_deadline: Option<Duration>,
    /// Allow plugins the files, network or environment that they ask for while this window is open.
    /// The value may narrow this down to one plugin or one resource: files, files=data,
    /// files=data:rw, network=db:5432, environment=LANG, redact:files. May be repeated
    #[arg(long, value_name = "[PLUGIN:]PERMISSION[=WHAT]")]
    pub allow: Vec<Allowance>,
    /// Use this theme: dark or light
    #[arg(long)]
    pub theme: Option<Theme>,
    /// Draw everything larger or smaller: 1 is the original size, 2 is twice as large
    #[arg(long)]
    pub zoom: Option<f32>,
    /// Show this panel in front: frames, diff, metrics, compose, policy or generations
    #[arg(long, value_name = "PANEL")]
    pub show: Option<PanelId>,
}

impl WindowOptions {
    fn is_capture(&self) -> bool {
        self.screenshot.is_some() || self.report.is_some()
    }

    /// Refuses to overwrite a file, before the window opens.
    fn check_capture(&self) -> Result<(), OutputProblem> {
        let inputs: Vec<&Path> = self.files.iter().map(PathBuf::as_path).collect();
        let mut outputs = [&self.screenshot, &self.report].into_iter().flatten();
        outputs.try_for_each(|path| glovebox_files::refuse(path, self.force, &inputs))
    }
}

/// Opens the window and returns when it is closed.
///
/// The exit code is 0, 1 if a picture or report could not be made, 2 without a display, or 128 and
/// the number of the signal that ended it.
///
/// # Errors
///
/// If the plugin host or the window cannot be started.
pub fn run(options: WindowOptions) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if !has_display() {
        tell(NO_DISPLAY);
        return Ok(ExitCode::from(2));
    }
    if let Err(problem) = options.check_capture() {
        tell(&format!("Opened no window: write: {problem}"));
        return Ok(ExitCode::from(2));
    }
    let (consents, unusable) = match saved_consents() {
        Some(Ok(consents)) => (Some(Arc::new(consents)), None),
        Some(Err(error)) => (None, Some(error.to_string())),
        None => (None, None),
    };
    let mut workbench = Workbench::new(WorkbenchOptions {
        cache_folder: folders::compiled_code(),
        recordings_folder: folders::recordings(),
        scratch_folder: folders::scratch(),
        quarantine_folder: folders::quarantine(),
        allow: options.allow.clone(),
        consents,
    })?;
    if let Some(unusable) = unusable {
        workbench.execute(Command::Notify(Level::Warning, unusable));
    }
    for report in crate::crashes::take() {
        let text = format!("Glovebox crashed before; the report is in {}", report.display());
        workbench.execute(Command::Notify(Level::Warning, text));
    }
    let first = |signal: Signal| {
        tell(&format!(
            "Heard {}: closing the window; a second signal closes it at once",
            signal.name()
        ));
    };
    ending::listen(true, first, |signal| {
        tell(&format!("Closed the window at once; ended by {}", signal.name()));
    });
    let outcome = Arc::new(Mutex::new(None));
    let captured = options.is_capture();
    let result = {
        let outcome = Arc::clone(&outcome);
        eframe::run_native(
            "Glovebox",
            native_options(captured),
            Box::new(move |creation| {
                Ok(Box::new(
                    open(workbench, &creation.egui_ctx, options, outcome).started_at(started),
                ))
            }),
        )
    };
    if let Err(error) = result {
        let error = error.to_string();
        tell(&format!("The window cannot be opened: {error}; {NO_DISPLAY}"));
        return Ok(ExitCode::from(2));
    }
    if let Some(signal) = ending::signal() {
        tell(&format!("Closed the window; ended by {}", signal.name()));
        return Ok(ExitCode::from(signal.exit_code()));
    }
    match outcome.lock().take() {
        Some(Err(reason)) => {
            tell(&reason);
            Ok(ExitCode::FAILURE)
        }
        None if captured => Err(anyhow!("the window was closed before its picture was taken")),
        Some(Ok(())) | None => Ok(ExitCode::SUCCESS),
    }
}

fn open(
    mut workbench: Workbench,
    ctx: &egui::Context,
    options: WindowOptions,
    outcome: Arc<Mutex<Option<Result<(), String>>>>,
) -> App {
    // A picture must not depend on what was done before, nor change what comes next.
    let path = (!options.is_capture()).then(folders::session).flatten();
    let mut session = path.as_deref().map(Session::read).unwrap_or_default();
    if let Some(theme) = options.theme {
        session.theme = theme;
    }
    if let Some(zoom) = options.zoom {
        session.zoom = zoom.clamp(0.5, 3.0);
    }
    let closing = ctx.clone();
    // The window is there until the process ends, and so is what closes it.
    std::mem::forget(ending::on_end(move || {
        closing.send_viewport_cmd(egui::ViewportCommand::Close);
        closing.request_repaint();
    }));
    let capture = options.is_capture();
    workbench.execute(Command::TrustNative(options.trust_native));
    workbench.execute(Command::SetCompileDeadline(options.compile_deadline));
    workbench.execute(Command::SetCompileMemory(options.compile_memory));
    workbench.execute(Command::SetLoadDeadline(options.load_deadline));
    let files = options.files;
    workbench.execute(Command::Start { files: files.clone() });
    let mut app = App::with_session(workbench, ctx, session, path);
    app.opening.extend(files);
    if let Some(panel) = options.show {
        app.show_panel(panel);
    }
    if capture {
        app.capture(options.screenshot, options.report, options.force, outcome);
    }
    app
}

/// The size of a window whose size nobody chose, in points: there is room for it on a small screen.
const SIZE: [f32; 2] = [1280.0, 800.0];
/// The size of a window of which a picture is taken.
const CAPTURED: [f32; 2] = [1440.0, 900.0];

fn native_options(is_capture: bool) -> eframe::NativeOptions {
    let icon = include_bytes!("../../../assets/icons/glovebox.png");
    let mut viewport = egui::ViewportBuilder::default()
        .with_app_id("glovebox")
        .with_title("Glovebox")
        .with_inner_size(if is_capture { CAPTURED } else { SIZE })
        .with_min_inner_size([480.0, 320.0]);
    if let Ok(icon) = eframe::icon_data::from_png_bytes(icon) {
        viewport = viewport.with_icon(icon);
    }
    eframe::NativeOptions { viewport, ..Default::default() }
}

fn has_display() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(all(unix, not(target_os = "macos"))) || is_set("WAYLAND_DISPLAY") || is_set("DISPLAY")
}
