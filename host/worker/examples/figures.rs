//! Figures of a worker, each against a raw baseline in the same run:
//! `cargo run --profile dist -p glovebox-worker --example figures`.
#![cfg_attr(not(target_os = "linux"), allow(unused))]
#![allow(clippy::print_stdout, reason = "figures are what this program is for")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{Read, Write};
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use glovebox_abi::wire::Load;
    use glovebox_abi::{Failure, Frame, LogLevel, Plugin, ServiceError, Services};
    use glovebox_sandbox::Profile;
    use glovebox_worker::{Handler, LoadFailure, Spec, Worker, Workers, run_if_requested};

    const SECOND: Duration = Duration::from_secs(10);
    const ROUNDS: usize = 41;

    struct Echoes;

    impl Handler for Echoes {
        fn load(&mut self, _: &Load) -> Result<Box<dyn Plugin>, LoadFailure> {
            Ok(Box::new(Echo))
        }
    }

    struct Echo;

    impl Plugin for Echo {
        fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
            Ok(vec![frame.clone()])
        }
    }

    /// Services that nobody asks.
    struct Unasked;

    impl Services for Unasked {
        fn log(&mut self, _: LogLevel, _: &str) -> Result<(), ServiceError> {
            Err(ServiceError::Denied)
        }
        fn now(&mut self) -> Result<u64, ServiceError> {
            Err(ServiceError::Denied)
        }
        fn random(&mut self, _: &mut [u8]) -> Result<(), ServiceError> {
            Err(ServiceError::Denied)
        }
        fn config(&mut self, _: &str) -> Result<Option<String>, ServiceError> {
            Err(ServiceError::Denied)
        }
        fn kv_get(&mut self, _: &str) -> Result<Option<Vec<u8>>, ServiceError> {
            Err(ServiceError::Denied)
        }
        fn kv_set(&mut self, _: &str, _: &[u8]) -> Result<(), ServiceError> {
            Err(ServiceError::Denied)
        }
        fn kv_delete(&mut self, _: &str) -> Result<bool, ServiceError> {
            Err(ServiceError::Denied)
        }
        fn kv_list(&mut self, _: &str) -> Result<Vec<String>, ServiceError> {
            Err(ServiceError::Denied)
        }
        fn emit(&mut self, _: &Frame) -> Result<(), ServiceError> {
            Err(ServiceError::Denied)
        }
        fn metric(&mut self, _: &str, _: f64) -> Result<(), ServiceError> {
            Err(ServiceError::Denied)
        }
    }

    pub(crate) fn main() {
        run_if_requested(|| Echoes);
        match std::env::args().nth(1).as_deref() {
            Some("--ping-pong") => ping_pong(),
            Some("--enter") => enter(),
            wanted => measure(wanted),
        }
    }

    /// The other process of the baseline: gives 64 bytes back.
    fn ping_pong() {
        // SAFETY: it was made this process's standard input by the one that started it.
        let mut socket = unsafe { UnixStream::from_raw_fd(0) };
        let mut bytes = [0; 64];
        while socket.read_exact(&mut bytes).is_ok() && socket.write_all(&bytes).is_ok() {}
    }

    fn enter() {
        let started = Instant::now();
        glovebox_sandbox::enter(&Profile::strictest()).unwrap();
        println!("{}", started.elapsed().as_nanos());
    }

    /// Puts a process, 0 for this one, onto one core: both sides of a pair run at once, or neither
    /// figure says anything about what lies between them.
    fn pin(process: u32, core: usize) {
        // SAFETY: all zeros are a set of cores, the macro sets a bit of it, and the call reads it.
        let result = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(core, &mut set);
            libc::sched_setaffinity(process as i32, size_of_val(&set), &raw const set)
        };
        if result != 0 {
            println!("SKIPPED: no core {core} to measure on");
        }
    }

    fn again(argument: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(argument);
        command
    }

    fn measure(wanted: Option<&str>) {
        let workers = Workers::start().unwrap();
        type Figure = (&'static str, fn(&Workers));
        let figures: [Figure; 4] = [
            ("round-trip", round_trips),
            ("spawn", starts),
            ("memory", private_memory),
            ("set-up", set_up),
        ];
        for (_, figure) in
            figures.iter().filter(|(name, _)| wanted.is_none_or(|wanted| name.contains(wanted)))
        {
            figure(&workers);
        }
    }

    fn loaded(workers: &Workers) -> Worker {
        let mut worker = workers.spawn(Spec::new("echo")).unwrap();
        let load = Load {
            binding: "echo".to_owned(),
            descriptor: None,
            path: None,
            digest: Vec::new().into(),
            config: "{}".to_owned(),
            limits: Vec::new(),
        };
        worker.load(load, &mut Unasked, SECOND).unwrap();
        worker
    }

    fn round_trips(workers: &Workers) {
        let mut worker = loaded(workers);
        pin(0, 0);
        pin(worker.process(), 1);
        let (mut apart, mut together) = (PingPong::start(1), PingPong::start(0));
        let frame = Frame::data(vec![7; 64]);
        let (mut rings, mut sockets, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            // Each round trip by itself, in turns of some thousands, for the median of all.
            for _ in 0..2000 {
                let started = Instant::now();
                worker.call(&frame, &mut Unasked, SECOND).unwrap();
                rings.push(started.elapsed().as_nanos() as f64);
            }
            apart.times(&mut sockets);
            // On one core, neither process wakes another core, which is what costs most.
            together.times(&mut alone);
        }
        let alone = median(alone);
        let (ring, socket) = (median(rings), median(sockets));
        figure("worker-round-trip", ring / 1e3, "us", ("none", 0.0), "<=2");
        for (name, sockets) in [("two-cores", socket), ("one-core", alone)] {
            let name = format!("worker-round-trip-of-socket-on-{name}");
            figure(&name, ring / sockets, "x", ("unix-socket-us", sockets / 1e3), "<=0.2");
        }
    }

    /// Both ends of a socket in turns, the other one in a process of its own.
    struct PingPong {
        child: Child,
        socket: UnixStream,
    }

    impl PingPong {
        fn start(core: usize) -> PingPong {
            let (socket, theirs) = UnixStream::pair().unwrap();
            let mut command = again("--ping-pong");
            let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
            pin(child.id(), core);
            PingPong { child, socket }
        }

        fn times(&mut self, times: &mut Vec<f64>) {
            let mut bytes = [7; 64];
            for _ in 0..2000 {
                let started = Instant::now();
                self.socket.write_all(&bytes).unwrap();
                self.socket.read_exact(&mut bytes).unwrap();
                times.push(started.elapsed().as_nanos() as f64);
            }
        }
    }

    impl Drop for PingPong {
        fn drop(&mut self) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }

    fn starts(workers: &Workers) {
        let (mut starts, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let worker = loaded(workers);
            starts.push(started.elapsed().as_secs_f64() * 1e3);
            worker.kill();
            let started = Instant::now();
            let output = again("--enter").output().unwrap();
            bare.push(started.elapsed().as_secs_f64() * 1e3);
            assert!(output.status.success());
        }
        let baseline = ("process-that-enters-a-sandbox", median(bare));
        figure("worker-spawn-to-ready", median(starts), "ms", baseline, "<=50");
    }

    fn private_memory(workers: &Workers) {
        let mut worker = loaded(workers);
        let frame = Frame::data(vec![7; 64]);
        for _ in 0..10_000 {
            worker.call(&frame, &mut Unasked, SECOND).unwrap();
        }
        match std::fs::read_to_string(format!("/proc/{}/smaps_rollup", worker.process())) {
            Ok(text) => {
                let lines = text.lines().filter(|line| line.starts_with("Private_"));
                let kilobytes =
                    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
                figure(
                    "worker-private-memory",
                    kilobytes.sum::<f64>() / 1e3,
                    "MB",
                    ("none", 0.0),
                    "<=5",
                );
            }
            Err(error) => println!("SKIPPED worker-private-memory: {error}; root may read it"),
        }
    }

    fn set_up(_: &Workers) {
        let times = (0..ROUNDS).map(|_| {
            let output = again("--enter").output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse::<f64>().unwrap() / 1e6
        });
        let time = median(times.collect());
        figure("sandbox-set-up", time, "ms", ("none", 0.0), "<=2");
    }

    fn figure(name: &str, value: f64, unit: &str, baseline: (&str, f64), target: &str) {
        let (baseline_is, baseline) = baseline;
        println!(
            "FIGURE {name} value={value:.2} unit={unit} baseline={baseline:.2} \
             baseline-is={baseline_is} target={target}"
        );
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}
