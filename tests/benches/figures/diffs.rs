//! Comparing large runs.

use std::sync::Arc;

use glovebox_abi::{Frame, Header, Kind};
use glovebox_events::{CallId, Outcome};
use glovebox_inspector::diff::{DiffOptions, Run, RunCall, diff};

use crate::figure::{Figures, pair_once};

/// Half of the frames are inputs, half are outputs.
const FRAMES: u64 = 1_000_000;

pub(crate) fn run(figures: &mut Figures) {
    for (name, stamp, target) in
        [("diff-million-frames-same", 0, 1.0), ("diff-million-frames-stamped", 7, 4.0)]
    {
        if !figures.wants(name) {
            continue;
        }
        let (before, after) = (answers(0), answers(stamp));
        let options = DiffOptions::default();
        let (value, baseline) = pair_once(
            3,
            || {
                let found = diff(before.clone(), after.clone(), &options);
                assert_eq!(found.groups.len(), usize::from(stamp > 0));
            },
            // The least possible cost: to look at every byte of both runs once.
            || {
                let frames = before.iter().chain(after.iter());
                let bytes: usize = frames.map(|call| call.outputs[0].frame.size()).sum();
                assert!(bytes > 0);
            },
        );
        figures.add(name, value / 1e3, "s", ("decoding-both-s", baseline / 1e3), target);
    }
}

fn answers(stamp: u64) -> Arc<Run> {
    let calls = (0..FRAMES / 2).map(|number| {
        let header = Header::build().integer("user", number).finish();
        let frame = |text: String| Frame::new(Kind::DATA, header.clone(), text);
        let at = number + stamp;
        RunCall {
            id: CallId(number + 1),
            plugin: "redact".into(),
            input: frame(format!(r#"{{"order":{number},"mail":"u{number}@example.org"}}"#)),
            outputs: vec![frame(format!(r#"{{"order":{number},"meta":{{"ts":{at}}}}}"#)).into()],
            host_calls: Vec::new(),
            outcome: Some(Outcome::Completed),
            latency: None,
        }
    });
    Arc::new(Run::from_calls("answers", calls))
}
