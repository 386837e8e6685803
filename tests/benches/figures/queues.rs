//! How many frames go through queues in a second, and what many plugins cost.

use std::time::{Duration, Instant};

use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_host::{Host, InstanceId, LoadRequest};

use crate::figure::Figures;

/// Frames in one piece of work.
const BATCH: usize = 512;
/// How long each side is measured.
const SPAN: Duration = Duration::from_millis(600);

struct Count(u64);

impl Plugin for Count {
    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        self.0 += 1;
        Ok(Vec::new())
    }
}

pub(crate) fn run(figures: &mut Figures) {
    if !figures.wants("queue-frames-per-second") && !figures.wants("queue-two-plugins") {
        return;
    }
    let host = Host::builder().build().expect("a host starts on any machine");
    let load = |name: &str| {
        let mut manifest = Manifest::bare(name);
        manifest.limits.queue = 100_000;
        host.load(LoadRequest::core(manifest, || Box::new(Count(0)))).wait().expect("it loads")
    };
    let ids = [load("first"), load("second")];
    let raw = per_second(|batch| {
        let mut plugin: Box<dyn Plugin> = std::hint::black_box(Box::new(Count(0)));
        let mut services = glovebox_sdk::testing::TestHost::default();
        for frame in batch {
            drop(std::hint::black_box(plugin.process(&mut services, frame)));
        }
    });
    let one = through(&host, &ids[..1]);
    figures.add_at_least("queue-frames-per-second", one, "per-s", ("bare-calls-per-s", raw), 5e6);
    let two = through(&host, &ids);
    figures.add_at_least("queue-two-plugins", two / one, "x", ("one-plugin-per-s", one), 1.6);
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
