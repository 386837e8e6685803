//! A host that runs bad plugins of all sorts for long: what it takes of the machine does not grow, and
//! a good plugin beside them answers as ever.
//!
//! `GLOVEBOX_SOAK_SECONDS=28800 cargo test -p glovebox-tests --test integration soak -- --ignored
//! --nocapture` runs for hours, ten minutes unless told. `GLOVEBOX_SOAK_SEED` repeats the choices of an
//! earlier run, which are printed.
#![cfg(target_os = "linux")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use glovebox_events::{Event, Sink, What};
use glovebox_host::{Frame, Host, InstanceId, LoadRequest, Outcome};
use glovebox_tests::patiently;

use crate::isolation::plugin::{children, plugin};

/// Numbers by chance, the same for the same seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[(self.next() % all.len() as u64) as usize]
    }
}

/// Counts frames that were captured and calls that ended, and keeps nothing.
#[derive(Default)]
struct Counting {
    frames: AtomicU64,
    ended: AtomicU64,
}

impl Sink for Counting {
    fn record(&self, event: &Event) {
        match event.what {
            What::FrameIn { .. } => self.frames.fetch_add(1, Ordering::Relaxed),
            What::CallEnded { .. } => self.ended.fetch_add(1, Ordering::Relaxed),
            _ => return,
        };
    }
}

/// The share of this process in the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    descriptors: u64,
    threads: u64,
    /// Bytes of memory.
    resident: u64,
}

impl Held {
    fn now() -> Held {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        Held {
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64),
            threads: number("Threads:"),
            resident: number("VmRSS:") * 1024,
        }
    }
}

/// The most that each may grow from the second third of the run to the last.
const GROWTH: Held = Held { descriptors: 16, threads: 16, resident: 64 << 20 };

/// The samples that grew too much; each is compared by the middle of its sorted samples.
fn growth(samples: &[Held]) -> Vec<String> {
    let third = samples.len() / 3;
    let (before, after) = (&samples[third..2 * third], &samples[2 * third..]);
    let check = |name: &str, of: fn(&Held) -> u64| {
        let middle = |samples: &[Held]| {
            let mut all: Vec<u64> = samples.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or(0)
        };
        let (before, after) = (middle(before), middle(after));
        (after > before + of(&GROWTH)).then(|| format!("{name}: {before} → {after}"))
    };
    let all = [
        check("descriptors", |held| held.descriptors),
        check("threads", |held| held.threads),
        check("resident", |held| held.resident),
    ];
    all.into_iter().flatten().collect()
}

#[test]
fn what_grows_is_named() {
    let held = |descriptors, threads, resident| Held { descriptors, threads, resident };
    let flat = vec![held(10, 20, 1 << 30); 30];
    assert_eq!(growth(&flat), [""; 0]);
    // A high beginning is none, nor is a single peak.
    let mut started = flat.clone();
    (started[0], started[25]) = (held(500, 500, 2 << 30), held(500, 500, 2 << 30));
    assert_eq!(growth(&started), [""; 0]);
    let leaking: Vec<Held> = (0..30).map(|n| held(10 + 2 * n, 20, 1 << 30)).collect();
    assert_eq!(growth(&leaking), ["descriptors: 40 → 60"]);
}

/// The frames of the bad plugins.
const WASM: [&str; 7] =
    ["mode=trap", "mode=grow", "mode=recurse", "mode=flood", "mode=fail", "mode=panic", "hello"];
const NATIVE: [&str; 8] =
    ["segv", "abort", "exit 0", "exit 3", "signal 15", "exhaust handles", "complain", "hello"];

#[test]
#[ignore = "takes ten minutes, or as long as GLOVEBOX_SOAK_SECONDS says"]
fn a_host_with_bad_plugins_does_not_grow() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("GLOVEBOX_SOAK_SECONDS").unwrap_or(600);
    let started = Instant::now();
    let seed = number("GLOVEBOX_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("GLOVEBOX_SOAK_SEED={seed} GLOVEBOX_SOAK_SECONDS={seconds}");
    let mut chance = Chance(seed);
    let folder = tempfile::tempdir().unwrap();
    plugin(folder.path(), "soaked", "[lifecycle]\nback-off = \"1 ms\"\nback-off-max = \"2 ms\"\n");
    let counting = Arc::new(Counting::default());
    let kept = folder.path().join("kept");
    let builder = Host::builder().sink(counting.clone()).quarantine_folder(&kept);
    let host = builder.build().unwrap();
    let load = |request: LoadRequest| host.load(request).wait().unwrap();
    let good = load(patiently("echo.wasm"));
    let mut wasm = load(patiently("misbehave.wasm"));
    let mut native = load(LoadRequest::path(folder.path()));
    let (mut samples, mut turns, mut sampled) = (Vec::new(), 0_u64, Duration::ZERO);
    let interval = Duration::from_secs(seconds) / 90;
    while started.elapsed() < Duration::from_secs(seconds) {
        turns += 1;
        let act = |host: &Host, id: InstanceId, chance: &mut Chance| match chance.next() % 40 {
            0 => drop(host.restart(id).wait()),
            1 => drop(host.reload(id).wait()),
            2 => drop(host.cancel(id)),
            _ => {}
        };
        let word = *chance.of(&WASM);
        host.call(wasm, &Frame::data(word));
        act(&host, wasm, &mut chance);
        let word = *chance.of(&NATIVE);
        host.call(native, &Frame::data(word));
        act(&host, native, &mut chance);
        // A plugin that was stopped stays so until somebody starts it.
        let is_stopped = host.plugin(native).is_some_and(|status| status.supervision.is_stopped);
        if is_stopped || chance.next().is_multiple_of(200) {
            host.unload(native);
            native = load(LoadRequest::path(folder.path()));
        }
        if chance.next().is_multiple_of(200) {
            host.unload(wasm);
            wasm = load(patiently("misbehave.wasm"));
        }
        let answer = host.call(good, &Frame::data(turns.to_string()));
        assert_eq!(answer.outcome, Outcome::Completed, "seed {seed}, turn {turns}");
        assert_eq!(answer.frames[0].payload, turns.to_string(), "seed {seed}, turn {turns}");
        if started.elapsed() >= sampled {
            sampled += interval;
            let held = Held::now();
            println!("{:>6} s, turn {turns}: {held:?}", started.elapsed().as_secs());
            samples.push(held);
        }
    }
    let grown = growth(&samples);
    assert!(grown.is_empty(), "seed {seed}, {turns} turns: {grown:?}");
    let frames = counting.frames.load(Ordering::Relaxed);
    assert_eq!(frames, counting.ended.load(Ordering::Relaxed), "each captured frame has an end");
    drop(host);
    assert_eq!(children("soaked"), [""; 0], "nothing runs on, seed {seed}");
    println!("{turns} turns, {frames} frames, seed {seed}: nothing grew");
}
