//! The number of frames that go through queues in a second, beside the least that this takes: a bounded channel of
//! the standard library to a thread that makes the raw calls, and one that says when a batch is done.

use std::hint::black_box;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_host::{Host, InstanceId, LoadRequest};

use crate::figure::{Figures, median};

/// Frames in one piece of work.
const BATCH: usize = 512;
/// How long each side is measured.
const SPAN: Duration = Duration::from_millis(300);
/// How often.
const TURNS: usize = 5;
/// Batches of one plugin that wait.
const WAITING: usize = 16;

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
    let one = [load("quick", 0)];
    let two = [load("first", ROUNDS), load("second", ROUNDS)];
    let cases = [
        ("queue-frames-per-second", &one[..], 0, 0.5),
        ("queue-two-plugins", &two[..], ROUNDS, 0.8),
    ];
    for (name, ids, rounds, target) in cases {
        if !figures.wants(name) {
            continue;
        }
        let (mut queued, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            queued.push(through(&host, ids));
            bare.push(through_channels(ids.len(), rounds));
        }
        let baseline = ("channel-to-bare-calls-per-s", median(bare));
        figures.add_at_least(name, median(queued), "per-s", baseline, target);
    }
}

/// Frames per second through bounded channels to as many threads, which make the raw calls.
fn through_channels(threads: usize, rounds: u32) -> f64 {
    let serve = |batches: Receiver<Vec<Frame>>, done: SyncSender<usize>| {
        let mut plugin: Box<dyn Plugin> = black_box(Box::new(Sum { rounds, sum: 0 }));
        let mut services = glovebox_sdk::testing::TestHost::default();
        for batch in batches {
            for frame in &batch {
                drop(black_box(plugin.process(&mut services, frame)));
            }
            if done.send(batch.len()).is_err() {
                return;
            }
        }
    };
    let started = Instant::now();
    let frames: usize = std::thread::scope(|scope| {
        let start = |_| {
            let (give, batches) = sync_channel(WAITING);
            let (done, is_done) = sync_channel(WAITING);
            scope.spawn(move || serve(batches, done));
            (give, is_done, 0)
        };
        let mut lines: Vec<_> = (0..threads).map(start).collect();
        let mut frames = 0;
        while started.elapsed() < SPAN {
            for (give, is_done, waiting) in &mut lines {
                give.send(batch()).expect("it takes more");
                *waiting += 1;
                while *waiting > WAITING {
                    frames += is_done.recv().expect("it says so");
                    *waiting -= 1;
                }
            }
        }
        for (give, is_done, _) in lines {
            drop(give);
            frames += is_done.iter().sum::<usize>();
        }
        frames
    });
    frames as f64 / started.elapsed().as_secs_f64()
}

fn batch() -> Vec<Frame> {
    vec![Frame::data(bytes::Bytes::from_static(&[7; 64])); BATCH]
}

/// Frames per second through queues that are kept full from this thread.
fn through(host: &Host, ids: &[InstanceId]) -> f64 {
    let processed = |id: &InstanceId| host.plugin(*id).map_or(0, |status| status.stats.processed);
    let before: u64 = ids.iter().map(processed).sum();
    let started = Instant::now();
    let mut waiting = std::collections::VecDeque::new();
    while started.elapsed() < SPAN {
        for id in ids {
            if let Ok(ticket) = host.try_dispatch_batch(*id, batch()) {
                waiting.push_back(ticket);
            }
        }
        while waiting.len() > WAITING * ids.len() {
            waiting.pop_front().map(|ticket| ticket.wait());
        }
    }
    waiting.into_iter().for_each(|ticket| drop(ticket.wait()));
    let after: u64 = ids.iter().map(processed).sum();
    (after - before) as f64 / started.elapsed().as_secs_f64()
}
