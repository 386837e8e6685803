//! From the start of the process to the first painted frame.

use std::process::{Command, Stdio};

use glovebox_tests::display::Display;
use glovebox_tests::{binary, sample};

use crate::figure::{Figures, median};

const NAME: &str = "startup-to-first-frame";
const ROUNDS: usize = 5;

pub(crate) fn run(figures: &mut Figures) {
    if !figures.wants(NAME) {
        return;
    }
    let Some(screen) = Display::start() else {
        return figures.skip(NAME, "Xvfb is not installed");
    };
    let binary = binary();
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
        match json["startup-ms"].as_f64() {
            Some(startup) if run.is_ok() => painted.push(startup),
            _ => return figures.skip(NAME, "the window gave no report"),
        }
        let started = std::time::Instant::now();
        let _ = Command::new(binary).arg("--version").stdout(Stdio::null()).status();
        bare.push(started.elapsed().as_secs_f64() * 1e3);
    }
    figures.add(NAME, median(painted), "ms", ("process-start-ms", median(bare)), 500.0);
}
