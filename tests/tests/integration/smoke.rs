//! The real binary in a real window, drawn in software on a screen of its own.

use std::path::Path;
use std::process::Command;

use glovebox_tests::display::Display;
use glovebox_tests::{binary, root, sample};

/// Opens the demo, lets it replay, and gives the report.
fn run(screen: &Display, arguments: &[&str], picture: &Path) -> serde_json::Value {
    let report = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(binary())
        .arg(sample("redact.wasm"))
        .arg(root().join("assets/traces/shop.mcap"))
        .args(arguments)
        .arg("--screenshot")
        .arg(picture)
        .args(["--force", "--report"])
        .arg(report.path())
        .envs(screen.environment())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&std::fs::read(report.path()).unwrap()).unwrap()
}

#[test]
fn the_window_shows_the_demo() {
    let Some(screen) = Display::start() else {
        assert!(
            std::env::var_os("GLOVEBOX_SMOKE").is_none(),
            "Xvfb is needed and cannot be started; install it"
        );
        eprintln!("skipped: Xvfb is not installed, so no window was opened");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str], panel: &str, size: (u32, u32)| {
        let picture = folder.path().join("window.png");
        let report = run(&screen, arguments, &picture);
        let number = |key: &str| report[key].as_u64().unwrap_or_default();
        assert_eq!(number("plugins-ready"), 1, "{report:#}");
        assert_eq!(number("frames-replayed"), 221, "{report:#}");
        assert_eq!(number("rows"), 442, "{report:#}");
        assert_eq!(report["errors"], serde_json::json!([]), "{report:#}");
        let drawn = report["panels-drawn"].as_array().unwrap();
        assert!(drawn.iter().any(|title| title == panel), "{panel} is not in {drawn:?}");
        assert!(report["slowest-frame-ms"].as_f64().unwrap() > 0.0);
        let bytes = std::fs::read(&picture).unwrap();
        assert_eq!(&bytes[1..4], b"PNG");
        let edge = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((edge(16), edge(20)), size, "size of the picture");
        // A window of one colour compresses to almost nothing.
        assert!(bytes.len() > 20_000, "{} bytes are too few for a drawn window", bytes.len());
    };
    check(&["--theme", "dark"], "Frames", (1440, 900));
    check(&["--theme", "light", "--show", "policy"], "Policy", (1440, 900));
    check(&["--theme", "dark", "--zoom", "2", "--show", "metrics"], "Metrics", (1440, 900));
}

#[test]
fn without_a_display_one_sentence_says_what_to_do() {
    let output = Command::new(binary())
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("WAYLAND_SOCKET")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no display") && said.contains("`call`"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}
