//! Recorders that are killed with SIGKILL at any moment.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use glovebox_events::Sink;

use super::{NEVER, folder, input};
use crate::record::recording::Pace;
use crate::storage::Disk;
use crate::*;

/// Tells this program that it is the one to be killed, and where to record.
const FOLDER: &str = "GLOVEBOX_KILLED_RECORDER";

#[test]
fn what_was_acknowledged_survives_a_kill() {
    (5..25).for_each(kill_after);
}

/// `cargo test -p glovebox-trace kill_500_recorders -- --ignored`
#[test]
#[ignore = "takes minutes"]
fn kill_500_recorders() {
    (0..500).for_each(|turn| kill_after(4 + turn * 7 % 101));
}

/// Kills a recorder after it said this often how far it is.
fn kill_after(lines: usize) {
    let folder = folder();
    let mut child = Command::new(std::env::current_exe().expect("this is a program"))
        .args(["tests::kills::records_until_killed", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is this program");
    let mut said = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    let mut acknowledged = 0;
    let mut seen = 0;
    let mut take_in = |line: std::io::Result<String>| {
        let number = line.ok().and_then(|line| line.strip_prefix("safe ")?.parse().ok());
        acknowledged = number.unwrap_or(acknowledged);
        seen += usize::from(number.is_some());
        seen
    };
    for line in said.by_ref() {
        if take_in(line) > lines {
            break;
        }
    }
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    said.for_each(|line| {
        take_in(line);
    });
    let path = folder.path().join("a.mcap.partial");
    let out = folder.path().join("out.mcap");
    let report = recover(&path, &out, &NEVER).expect("it is a trace");
    let found = report.found.events();
    assert!(found >= acknowledged, "{acknowledged} were safe, {found} are there");
    assert_eq!(
        (report.lost.events(), report.recovered.lost_events, report.missing_events),
        (0, 0, 0)
    );
    assert!(report.problems.len() <= 1, "{report:?}");
    let events = read(&out).expect("it was recovered").events;
    assert!(events.iter().enumerate().all(|(n, event)| event.sequence == n as u64));
    assert!(acknowledged > 0, "the first flush comes long before");
}

#[test]
#[ignore = "is run by the tests above"]
#[allow(clippy::print_stdout, reason = "the one who kills it reads this")]
fn records_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let path = Path::new(&folder).join("a.mcap");
    // As often as it can, so that kills come in all moments.
    let pace = Pace { flush: Duration::from_micros(500), ..Pace::USUAL };
    let recorder = Recorder::start_in(Arc::new(Disk), &path, &RecorderOptions::default(), pace)
        .expect("the folder is empty");
    for sequence in 0.. {
        recorder.record(&input(sequence, vec![sequence as u8; 200]));
        while sequence % 100 == 0 && recorder.status().events < sequence.saturating_sub(200) {
            std::thread::yield_now();
        }
        if sequence % 100 == 0 {
            println!("safe {}", recorder.status().events);
            std::io::stdout().flush().expect("somebody reads");
        }
    }
}
