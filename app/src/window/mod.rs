//! The window: an eframe application over the workbench.
//!
//! Read [`App`] first: once per frame it looks at the workbench, paints the [`panels`] through a
//! read-only view, and then performs the [`Action`](action::Action)s that were asked for. The
//! table of [`commands`] feeds menus, palette, toolbar, keys and the key sheet. [`run`] opens it.
//!
//! Nothing here waits: not for a plugin, a file or a lock that is held for long.

pub mod action;
mod app;
mod capture;
pub mod commands;
mod dialogs;
mod filter_field;
mod guard;
mod logic;
mod overlays;
mod palette;
pub mod panels;
mod quitting;
pub mod session;
mod shell;
mod state;
mod tabs;
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
use glovebox_abi::text::inert;
use glovebox_files::OutputProblem;
use glovebox_host::Allowance;
use parking_lot::Mutex;

pub use app::App;
pub use capture::Report;

use crate::workbench::{Command, Level, Workbench, WorkbenchOptions, saved_consents};
use crate::{ending, folders};
use panels::PanelId;
use session::Session;
use theme::Theme;

/// What is said where no window can be opened.
const NO_DISPLAY: &str = "There is no display to open a window on (neither WAYLAND_DISPLAY nor \
    DISPLAY is set); `glovebox inspect`, `call`, `replay` and `diff` do the same work without one";

/// How the window is opened.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WindowOptions {
    /// Plugins, traces, a baseline and a glovebox.toml; a trace given with plugins is replayed into
    /// them. Without any, the glovebox.toml in this folder or the nearest one above, if there is one
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write a picture of the settled window and close
    #[arg(long, value_name = "PNG")]
    pub screenshot: Option<PathBuf>,
    /// Write what the window drew and close
    #[arg(long, value_name = "JSON")]
    pub report: Option<PathBuf>,
    /// Replace a picture or report that exists, but never a file that is opened
    #[arg(long)]
    pub force: bool,
    /// Let native plugins run in this process, where they can do whatever it can
    #[arg(long)]
    pub trust_native: bool,
    /// How long compiling a plugin may take, e.g. 90s or 5min, instead of what its manifest says or
    /// its size suggests
    #[arg(long, value_name = "TIME", value_parser = glovebox_abi::units::parse_duration)]
    pub compile_deadline: Option<Duration>,
    /// Let plugins have what they ask for of files, network or environment while this window is
    /// open, or only this much of it, or only one plugin: files, files=data, files=data:rw,
    /// network=db:5432, environment=LANG, redact:files; may be repeated
    #[arg(long, value_name = "[PLUGIN:]PERMISSION[=WHAT]")]
    pub allow: Vec<Allowance>,
    /// dark or light
    #[arg(long)]
    pub theme: Option<Theme>,
    /// 1 is the original size, 2 is twice as large
    #[arg(long)]
    pub zoom: Option<f32>,
    /// The panel in front: frames, diff, metrics, compose, policy or generations
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
        allow: options.allow.clone(),
        consents,
    })?;
    if let Some(unusable) = unusable {
        workbench.execute(Command::Notify(Level::Warning, unusable));
    }
    ending::listen(true, |signal| {
        tell(&format!("Closed the window at once; ended by {}", signal.name()));
    });
    let outcome = Arc::new(Mutex::new(None));
    let captured = options.is_capture();
    let result = {
        let outcome = Arc::clone(&outcome);
        eframe::run_native(
            "Glovebox",
            native_options(),
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
    for file in &options.files {
        session.remember(file.canonicalize().unwrap_or_else(|_| file.clone()));
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
    workbench.execute(Command::Start { files: options.files });
    let mut app = App::with_session(workbench, ctx, session, path);
    if let Some(panel) = options.show {
        app.show_panel(panel);
    }
    if capture {
        app.capture(options.screenshot, options.report, options.force, outcome);
    }
    app
}

fn native_options() -> eframe::NativeOptions {
    let icon = include_bytes!("../../../assets/icons/glovebox.png");
    let mut viewport = egui::ViewportBuilder::default()
        .with_app_id("glovebox")
        .with_title("Glovebox")
        .with_inner_size([1440.0, 900.0])
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

#[allow(clippy::print_stderr, reason = "the window is gone; the terminal is all that is left")]
fn tell(text: &str) {
    eprintln!("{}", inert(text));
}
