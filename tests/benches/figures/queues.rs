//! How many frames go through queues in a second.

use std::time::{Duration, Instant};

use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_host::{Host, InstanceId, LoadRequest};

use crate::figure::Figures;

/// Frames in one piece of work.
const BATCH: usize = 512;
/// How long each side is measured.
const SPAN: Duration = Duration::from_millis(600);

/// Work of two plugins shows whether they run beside each other, as long as it is more than the work
/// of the thread that feeds them: checksums of so many rounds, about a microsecond.
const ROUNDS: u32 = 16;

struct Sum {
    rounds: u32,
    sum: u64,
}

impl Plugin for Sum {
    fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        self.sum += 1;
        for _ in 0..self.rounds {
            for byte in frame.payload.iter() {
                self.sum = (self.sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        Ok(Vec::new())
    }
}

pub(crate) fn run(figures: &mut Figures) {
    if !figures.wants("queue-frames-per-second") && !figures.wants("queue-two-plugins") {
        return;
    }
    let host = Host::builder().build().expect("a host starts on any machine");
    let load = |name: &str, rounds: u32| {
        let mut manifest = Manifest::bare(name);
        manifest.limits.queue = 100_000;
        let make = move || Box::new(Sum { rounds, sum: 0 }) as Box<dyn Plugin>;
        host.load(LoadRequest::core(manifest, make)).wait().expect("it loads")
    };
    let raw = |rounds| {
        let mut plugin: Box<dyn Plugin> = std::hint::black_box(Box::new(Sum { rounds, sum: 0 }));
        let mut services = glovebox_sdk::testing::TestHost::default();
        per_second(|batch| {
            for frame in batch {
                drop(std::hint::black_box(plugin.process(&mut services, frame)));
            }
        })
    };
    let quick = through(&host, &[load("quick", 0)]);
    figures.add_at_least(
        "queue-frames-per-second",
        quick,
        "per-s",
        ("bare-calls-per-s", raw(0)),
        5e6,
    );
    let two = through(&host, &[load("first", ROUNDS), load("second", ROUNDS)]);
    let bare = raw(ROUNDS);
    figures.add_at_least("queue-two-plugins", two / bare, "x", ("one-core-bare-per-s", bare), 1.6);
}

fn per_second(mut work: impl FnMut(&[Frame])) -> f64 {
    let batch = vec![Frame::data(vec![7; 64]); BATCH];
    let (started, mut frames) = (Instant::now(), 0);
    while started.elapsed() < SPAN {
        work(&batch);
        frames += BATCH;
    }
    frames as f64 / started.elapsed().as_secs_f64()
}

/// Frames per second through queues that are kept full from this thread.
fn through(host: &Host, ids: &[InstanceId]) -> f64 {
    let processed = |id: &InstanceId| host.plugin(*id).map_or(0, |status| status.stats.processed);
    let before: u64 = ids.iter().map(processed).sum();
    let started = Instant::now();
    let mut waiting = std::collections::VecDeque::new();
    while started.elapsed() < SPAN {
        for id in ids {
            let batch = vec![Frame::data(bytes::Bytes::from_static(&[7; 64])); BATCH];
            if let Ok(ticket) = host.try_dispatch_batch(*id, batch) {
                waiting.push_back(ticket);
            }
        }
        while waiting.len() > 16 * ids.len() {
            waiting.pop_front().map(|ticket| ticket.wait());
        }
    }
    waiting.into_iter().for_each(|ticket| drop(ticket.wait()));
    let after: u64 = ids.iter().map(processed).sum();
    (after - before) as f64 / started.elapsed().as_secs_f64()
}
