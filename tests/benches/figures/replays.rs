//! The overhead of a replay at maximum speed over calling the plugin for every frame.
//!
//! The bare loop is `host.call` over the same frames. Two plugins stand for both ends of what is
//! replayed: `redact` as a component, which reads every payload and changes some, and `echo` in the
//! frame ABI, which does so little that the replay itself is most of what is measured. Nothing is
//! recorded in either loop; the cost of recording is another figure.

use std::hint::black_box;

use glovebox::workbench::replay::{ReplayControl, Routing, Targets, replay};
use glovebox_host::{Host, LoadRequest};
use glovebox_inspector::replay::{Pace, ReplayPlan};
use glovebox_tests::sample;
use glovebox_trace::MadeUpRun;

use crate::figure::{Figures, pair_once_here};

const ROUNDS: usize = 7;

pub(crate) fn run(figures: &mut Figures) {
    let plugins = [
        ("replay-redact", "redact.wasm", 50_000),
        ("replay-echo-frame-abi", "echo.frame-abi.wasm", 500_000),
    ];
    for (name, file, frames) in plugins {
        if figures.wants(name) {
            measure(figures, name, file, frames);
        }
    }
}

fn measure(figures: &mut Figures, name: &str, file: &str, frames: u64) {
    let host = Host::builder().build().expect("a host starts on any machine");
    let id = host.load(LoadRequest::path(sample(file))).wait().expect("it loads");
    let plugin = host.plugin(id).expect("it is loaded").manifest.plugin.id.to_string();
    let plan = ReplayPlan::from_events(MadeUpRun::inputs(&plugin, frames, 0), None);
    let targets = Targets::new(&host, vec![id.into()], &plan, Routing::ByPlugin);
    let replay_all = || {
        let control = ReplayControl::default();
        let mut done = 0;
        let mut progress = |at: glovebox::workbench::replay::ReplayProgress| done = at.done;
        let summary = replay(&host, &targets, &plan, Pace::Max, &control, &mut progress);
        assert_eq!((summary.sent as u64, summary.failures(), done as u64), (frames, 0, frames));
    };
    let call_all = || {
        for input in &plan.inputs {
            drop(black_box(host.call(id, &input.frame)));
        }
    };
    let (value, baseline) = pair_once_here(ROUNDS, replay_all, call_all);
    let per_second = |millis: f64| frames as f64 * 1e3 / millis;
    let bare = ("bare-loop-frames-per-s", per_second(baseline));
    figures.add_at_least(name, per_second(value), "per-s", bare, 0.8);
}
