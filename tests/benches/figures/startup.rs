//! From the start of the process to the first painted frame, beside a window of the same size with
//! nothing in it.

use std::process::{Command, Stdio};
use std::time::Instant;

use glovebox_tests::display::Display;
use glovebox_tests::{binary, sample};

use crate::figure::{Figures, median};

const NAME: &str = "startup-to-first-frame";
const ROUNDS: usize = 5;
/// Tells a process of this program to open the window with nothing in it.
const BARE: &str = "GLOVEBOX_FIGURES_BARE_WINDOW";

pub(crate) fn run(figures: &mut Figures) {
    if !figures.wants(NAME) {
        return;
    }
    let Some(screen) = Display::start() else {
        return figures.skip(NAME, "Xvfb is not installed");
    };
    let binary = binary();
    let this = std::env::current_exe().expect("a program knows where it is");
    let (mut painted, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let report = tempfile::NamedTempFile::new().expect("a temporary file");
        let run = Command::new(binary)
            .args([sample("echo.wasm"), sample("redact.wasm"), sample("stats.wasm")])
            .args(["--force", "--report"])
            .arg(report.path())
            .envs(screen.environment())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let text = std::fs::read_to_string(report.path()).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let window = Command::new(&this).env(BARE, "1").envs(screen.environment()).output();
        let said = window.map(|output| String::from_utf8_lossy(&output.stdout).parse());
        match (json["startup-ms"].as_f64(), said) {
            (Some(startup), Ok(Ok(empty))) if run.is_ok() => {
                painted.push(startup);
                bare.push(empty);
            }
            _ => return figures.skip(NAME, "a window gave no report"),
        }
    }
    figures.add(NAME, median(painted), "ms", ("empty-window-ms", median(bare)), 1.5);
}

/// True if this process is to open the window with nothing in it.
pub(crate) fn is_bare_window() -> bool {
    std::env::var_os(BARE).is_some()
}

/// Opens it, and prints after how many milliseconds it was painted.
pub(crate) fn bare_window() {
    /// Until it was painted.
    struct Empty(Option<Instant>);

    impl eframe::App for Empty {
        fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
            if let Some(started) = self.0.take() {
                print!("{}", started.elapsed().as_secs_f64() * 1e3);
            }
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
        }
    }

    let started = Instant::now();
    let viewport = egui::ViewportBuilder::default().with_inner_size([1440.0, 900.0]);
    let options = eframe::NativeOptions { viewport, ..Default::default() };
    let window =
        eframe::run_native("Empty", options, Box::new(move |_| Ok(Box::new(Empty(Some(started))))));
    window.expect("there is a display");
}
