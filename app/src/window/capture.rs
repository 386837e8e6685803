//! Takes a screenshot of the window without a person, reports what was drawn, and closes.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use glovebox_events::Phase;
use parking_lot::Mutex;
use serde::Serialize;

use crate::workbench::words::with_causes;
use crate::workbench::{Level, ViewCtx};

/// How long everything may take until the picture.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long work is waited for that nothing else waits for, such as the scan of a huge trace.
const BACKGROUND: Duration = Duration::from_secs(30);
/// Painted frames without work that count as settled.
const QUIET: u32 = 12;

/// Whether anything is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Busy {
    /// It decides what is shown.
    pub(super) front: bool,
    /// It goes on behind what is shown.
    pub(super) background: bool,
}

/// Figures of what the window drew.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Plugins that are loaded.
    pub plugins: usize,
    /// Plugins that wait for frames.
    pub plugins_ready: usize,
    /// Traces that are open.
    pub traces: usize,
    /// Rows in the list of frames.
    pub rows: usize,
    /// Rows that were painted last.
    pub frames_shown: usize,
    /// Frames that replays sent.
    pub frames_replayed: u64,
    /// Titles of the panels that were painted.
    pub panels_drawn: BTreeSet<String>,
    /// Times the window was painted.
    pub frames_painted: u64,
    /// The longest time between the start and the end of painting, in milliseconds.
    pub slowest_frame_ms: f64,
    /// From the start of the program to the first painted frame, in milliseconds.
    pub startup_ms: f64,
    /// Errors that occurred.
    pub errors: Vec<String>,
    /// Why there is no picture, if there is none.
    pub unsettled: Option<String>,
}

/// A picture that is to be taken.
#[derive(Debug)]
pub(super) struct Capture {
    screenshot: Option<PathBuf>,
    report: Option<PathBuf>,
    replaces: bool,
    started: Instant,
    quiet: u32,
    stage: Stage,
    picture: Arc<Mutex<Option<Arc<egui::ColorImage>>>>,
    outcome: Arc<Mutex<Option<Result<(), String>>>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Settling,
    Shooting,
    Closed,
}

impl Capture {
    /// A picture and a report for these files; how it went is put into `outcome`.
    pub(super) fn new(
        screenshot: Option<PathBuf>,
        report: Option<PathBuf>,
        replaces: bool,
        outcome: Arc<Mutex<Option<Result<(), String>>>>,
    ) -> Capture {
        Capture {
            screenshot,
            report,
            replaces,
            started: Instant::now(),
            quiet: 0,
            stage: Stage::Settling,
            picture: Arc::default(),
            outcome,
        }
    }

    /// Goes on after a painted frame.
    pub(super) fn go_on(
        &mut self,
        ctx: &egui::Context,
        view: ViewCtx<'_>,
        busy: Busy,
        report: impl FnOnce() -> Report,
    ) {
        ctx.request_repaint();
        let late = self.started.elapsed() > DEADLINE;
        match self.stage {
            Stage::Closed => {}
            _ if late => {
                let jobs: Vec<_> = view.jobs().iter().map(|job| job.title.as_str()).collect();
                let reason =
                    format!("not settled within {} s: {}", DEADLINE.as_secs(), jobs.join(", "));
                let mut report = report();
                report.unsettled = Some(reason.clone());
                self.finish(ctx, &report, None, Err(reason));
            }
            Stage::Settling => {
                let waits = busy.background && self.started.elapsed() < BACKGROUND;
                self.quiet = if busy.front || waits { 0 } else { self.quiet + 1 };
                if self.quiet >= QUIET {
                    self.stage = Stage::Shooting;
                    if self.screenshot.is_some() {
                        let picture = Arc::clone(&self.picture);
                        let take = egui::ScreenshotCallback::new(move |image| {
                            *picture.lock() = Some(image)
                        });
                        ctx.send_viewport_cmd(egui::ViewportCommand::Screenshot(take));
                    }
                }
            }
            Stage::Shooting => {
                let picture = self.picture.lock().clone();
                if picture.is_some() || self.screenshot.is_none() {
                    let report = report();
                    let result = match report.errors.is_empty() {
                        true => Ok(()),
                        false => Err(report.errors.join("; ")),
                    };
                    self.finish(ctx, &report, picture.as_deref(), result);
                }
            }
        }
    }

    fn finish(
        &mut self,
        ctx: &egui::Context,
        report: &Report,
        picture: Option<&egui::ColorImage>,
        result: Result<(), String>,
    ) {
        self.stage = Stage::Closed;
        let written = self.write(report, picture).map_err(|error| with_causes(&error));
        *self.outcome.lock() = Some(written.and(result));
        ctx.send_viewport_cmd(egui::ViewportCommand::Close);
    }

    fn write(&self, report: &Report, picture: Option<&egui::ColorImage>) -> anyhow::Result<()> {
        if let (Some(path), Some(picture)) = (&self.screenshot, picture) {
            let [width, height] = picture.size;
            let pixels: Vec<u8> = picture.pixels.iter().flat_map(egui::Color32::to_array).collect();
            let image = image::RgbaImage::from_raw(width as u32, height as u32, pixels);
            let image = image.context("the picture has another size than its pixels")?;
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, image::ImageFormat::Png)?;
            self.write_file(path, bytes.get_ref())?;
        }
        if let Some(path) = &self.report {
            let text = serde_json::to_string_pretty(report)?;
            self.write_file(path, (text + "\n").as_bytes())?;
        }
        Ok(())
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        // These names were compared with those of the opened files before the window opened.
        glovebox_files::write(path, bytes, self.replaces, &[]).context("cannot write")
    }
}

/// The part of the report that the workbench knows.
pub(super) fn report_of(view: ViewCtx<'_>) -> Report {
    let ready = |phase| matches!(phase, Phase::Ready | Phase::Busy);
    let errors = view.notices().iter().filter(|notice| notice.level == Level::Error);
    Report {
        plugins: view.plugins().len(),
        plugins_ready: view.plugins().iter().filter(|plugin| ready(plugin.phase)).count(),
        traces: view.traces().len(),
        frames_replayed: view.frames_replayed(),
        errors: errors.map(|notice| notice.text.clone()).collect(),
        ..Report::default()
    }
}
