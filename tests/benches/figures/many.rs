//! The costs of many plugins: time to load them, memory, threads, and time while nothing happens, beside as
//! many instances of the same code without a host, whose file is read and known by its digest each time.

use std::time::{Duration, Instant};

use glovebox_host::{Host, LoadRequest};
use glovebox_tests::sample;

use wasmtime::{Engine, InstancePre, Module};

use crate::figure::Figures;
use crate::raw::{RawModule, engine};

/// All are measured if one is wanted.
pub(crate) const NAMES: [&str; 5] =
    ["many-load-100", "many-load-1000", "many-resident", "many-threads", "many-idle"];
const SAMPLE: &str = "echo.frame-abi.wasm";

#[expect(clippy::disallowed_methods, reason = "what is measured is that nothing happens")]
pub(crate) fn run(figures: &mut Figures) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = Host::builder().cache_folder(folder.path()).build();
    let host = host.expect("a host starts on any machine");
    let load = |count: usize| {
        let started = Instant::now();
        let tasks: Vec<_> =
            (0..count).map(|_| host.load(LoadRequest::path(sample(SAMPLE)))).collect();
        for task in tasks {
            task.wait().expect("it loads");
        }
        started.elapsed().as_secs_f64() * 1e3
    };
    // The first one compiles; it also starts the threads that do the loading.
    load(1);
    let Some(one) = rested() else {
        return figures.skip("many", "this system does not say what a process uses");
    };
    let raw = Raw::compile();
    let (hundred, bare) = (load(100), raw.start(100).took);
    figures.add("many-load-100", hundred, "ms", ("raw-instances-ms", bare), 3.0);
    let before = Process::now().expect("it was there before");
    let thousand = load(1000);
    let after = Process::now().expect("it was there before");
    let bare = raw.start(1000);
    let with_bare = Process::now().expect("it was there before");
    figures.add("many-load-1000", thousand, "ms", ("raw-instances-ms", bare.took), 3.0);
    let each =
        |before: &Process, after: &Process| (after.resident_kb - before.resident_kb) / 1000.0;
    let baseline = ("raw-instance-KB", each(&after, &with_bare));
    figures.add("many-resident", each(&before, &after), "KB", baseline, 2.0);
    drop(bare);
    let rested = rested().expect("it was there before");
    figures.add("many-threads", rested.threads, "", ("with-one", one.threads), 1.0);
    std::thread::sleep(Duration::from_secs(2));
    let idle = Process::now().expect("it was there before");
    let used = (idle.cpu_ms - rested.cpu_ms) / 2.0;
    figures.add("many-idle", used, "ms/s", ("one-core-ms/s", 1000.0), 0.001);
}

/// The code of the same plugin, without a host.
struct Raw {
    engine: Engine,
    linked: InstancePre<()>,
}

/// Instances of it.
struct Started {
    /// In milliseconds.
    took: f64,
    _instances: Vec<RawModule>,
}

impl Raw {
    fn compile() -> Raw {
        let engine = engine();
        let module = Module::from_file(&engine, sample(SAMPLE)).expect("it compiles");
        Raw { linked: RawModule::link(&engine, &module), engine }
    }

    fn start(&self, count: usize) -> Started {
        let started = Instant::now();
        let start = |_| {
            let bytes = std::fs::read(sample(SAMPLE)).expect("it is there");
            std::hint::black_box(blake3::hash(&bytes));
            RawModule::start(&self.engine, &self.linked)
        };
        let instances = (0..count).map(start).collect();
        Started { took: started.elapsed().as_secs_f64() * 1e3, _instances: instances }
    }
}

/// The process once it has come to rest: threads that loaded wait for more to do, and end after a
/// while.
#[expect(clippy::disallowed_methods, reason = "what is measured is that nothing happens")]
fn rested() -> Option<Process> {
    std::thread::sleep(Duration::from_secs(12));
    Process::now()
}

/// The figures of this process, from the operating system.
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
