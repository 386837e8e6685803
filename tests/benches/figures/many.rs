//! What many plugins cost: time to load them, memory, threads, and time while nothing happens.

use std::time::{Duration, Instant};

use glovebox_host::{Host, LoadRequest};
use glovebox_tests::sample;

use crate::figure::Figures;

#[expect(clippy::disallowed_methods, reason = "what is measured is that nothing happens")]
pub(crate) fn run(figures: &mut Figures) {
    let names = ["many-load-100", "many-load-1000", "many-resident", "many-threads", "many-idle"];
    if !names.iter().any(|name| figures.wants(name)) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = Host::builder().cache_folder(folder.path()).build();
    let host = host.expect("a host starts on any machine");
    let load = |count: usize| {
        let started = Instant::now();
        let tasks: Vec<_> = (0..count)
            .map(|_| host.load(LoadRequest::path(sample("echo.frame-abi.wasm"))))
            .collect();
        for task in tasks {
            task.wait().expect("it loads");
        }
        started.elapsed().as_secs_f64() * 1e3
    };
    // The first one compiles; it also starts the threads that do the loading.
    let first = load(1);
    let Some(one) = rested() else {
        return figures.skip("many", "this system does not say what a process uses");
    };
    let hundred = load(100);
    figures.add("many-load-100", hundred, "ms", ("first-load-ms", first), 100.0);
    let before = Process::now().expect("it was there before");
    let thousand = load(1000);
    figures.add("many-load-1000", thousand, "ms", ("first-load-ms", first), 1000.0);
    let after = Process::now().expect("it was there before");
    let resident = (after.resident_kb - before.resident_kb) / 1000.0;
    figures.add("many-resident", resident, "KB", ("before-KB", before.resident_kb), 100.0);
    let rested = rested().expect("it was there before");
    let target = one.threads;
    figures.add("many-threads", rested.threads, "", ("with-one", one.threads), target);
    std::thread::sleep(Duration::from_secs(2));
    let idle = Process::now().expect("it was there before");
    let used = (idle.cpu_ms - rested.cpu_ms) / 2.0;
    figures.add("many-idle", used, "ms/s", ("loading-ms", after.cpu_ms - before.cpu_ms), 1.0);
}

/// The process once it has come to rest: threads that loaded wait for more to do, and end after a
/// while.
#[expect(clippy::disallowed_methods, reason = "what is measured is that nothing happens")]
fn rested() -> Option<Process> {
    std::thread::sleep(Duration::from_secs(12));
    Process::now()
}

/// What the operating system says of this process.
struct Process {
    resident_kb: f64,
    threads: f64,
    cpu_ms: f64,
}

impl Process {
    /// Read from `/proc`; `None` where that is not to be had.
    fn now() -> Option<Process> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // After the name in brackets; user and system time are in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
        let cpu_ms = (ticks(11)? + ticks(12)?) * 10.0;
        Some(Process { resident_kb: field("VmRSS:")?, threads: field("Threads:")?, cpu_ms })
    }
}
