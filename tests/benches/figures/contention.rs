//! One instance called from several threads at once: what a call takes in the worst cases, beside calls of
//! the same code behind a mutex of the standard library.

use std::hint::{black_box, spin_loop};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_host::{Host, LoadRequest};

use crate::figure::Figures;

/// How long each side is measured in one turn.
const SPAN: Duration = Duration::from_millis(250);
const TURNS: usize = 8;
/// Calls of a thread in one turn whose time is kept.
const KEPT: usize = 1 << 20;

/// Takes so long, without doing anything.
struct Busy(Duration);

impl Plugin for Busy {
    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        let started = Instant::now();
        while started.elapsed() < self.0 {
            spin_loop();
        }
        Ok(Vec::new())
    }
}

pub(crate) fn run(figures: &mut Figures) {
    let works = [("100ns", Duration::from_nanos(100)), ("100us", Duration::from_micros(100))];
    for threads in [2, 4] {
        for (work_name, work) in works {
            let name = format!("contended-{threads}-threads-{work_name}");
            if figures.wants(&name) {
                measure(figures, &name, threads, work);
            }
        }
    }
}

fn measure(figures: &mut Figures, name: &str, threads: usize, work: Duration) {
    let host = Host::builder().build().expect("a host starts on any machine");
    let manifest = Manifest::bare("busy");
    let request = LoadRequest::core(manifest, move || Box::new(Busy(work)));
    let id = host.load(request).wait().expect("it loads");
    let frame = Frame::data("frame");
    let mut services = glovebox_sdk::testing::TestHost::default();
    let raw = Mutex::new((Busy(work), &mut services));
    let (mut calls, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        calls.extend(times(threads, || drop(black_box(host.call(id, &frame)))));
        bare.extend(times(threads, || {
            let mut raw = raw.lock().expect("nobody panics");
            let (plugin, services) = &mut *raw;
            drop(black_box(plugin.process(&mut **services, &frame)));
        }));
    }
    // One of a thousand, and the slowest: that one is the scheduler's most of the time, on both sides.
    let counts = ("behind-a-mutex-calls", bare.len() as f64);
    figures.add_at_least(&format!("{name}-calls"), calls.len() as f64, "", counts, 0.7);
    for (suffix, share, target) in [("p999", 0.999, 2.0), ("slowest", 1.0, 2.0)] {
        let baseline = ("behind-a-mutex-us", quantile(&mut bare, share));
        let value = quantile(&mut calls, share);
        figures.add(&format!("{name}-{suffix}"), value, "us", baseline, target);
    }
}

/// How long calls took, in microseconds, from so many threads at once.
fn times(threads: usize, call: impl Fn() + Sync) -> Vec<f64> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let start = |_| {
            scope.spawn(|| {
                let mut times = Vec::with_capacity(KEPT);
                while !is_over.load(Ordering::Relaxed) && times.len() < KEPT {
                    let started = Instant::now();
                    call();
                    times.push(started.elapsed().as_secs_f64() * 1e6);
                }
                times
            })
        };
        let running: Vec<_> = (0..threads).map(start).collect();
        let started = Instant::now();
        while started.elapsed() < SPAN {
            std::thread::park_timeout(SPAN.saturating_sub(started.elapsed()));
        }
        is_over.store(true, Ordering::Relaxed);
        running.into_iter().flat_map(|thread| thread.join().expect("it only calls")).collect()
    })
}

fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share) as usize]
}
