//! Each kind of worker, as its host sees it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use glovebox_abi::wire::{Bounds, Load};
use glovebox_abi::{Failure, Frame, Health, LogLevel, ServiceError, Services, State};
use glovebox_sandbox::{Access, Folder, Layer, SystemCalls};
use glovebox_worker::{CallError, ClientSpec, Ended, LoadError, OnCancel, Spec, Worker, Workers};

/// Long enough for any machine; waiting ends with the event, not with the time.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

/// A name, and what is tried.
type Case = (&'static str, fn(&Workers));

/// The user `nobody`.
const NOBODY: u32 = 65_534;

/// This program in a folder that everybody may enter: the one it was built in may be private. The copy
/// lives as long as the folder.
fn for_everybody() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let copy = folder.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    (folder, copy)
}

pub(crate) fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--host") {
        return be_killed();
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    // SAFETY: it takes nothing.
    let is_root = unsafe { libc::geteuid() == 0 };
    if is_root {
        let (_folder, program) = for_everybody();
        let mut command = Command::new(program);
        command.current_dir("/").args(wanted).uid(NOBODY).gid(NOBODY);
        assert!(command.status().unwrap().success(), "as an ordinary user");
    }
    let user = if is_root { "root" } else { "an ordinary user" };
    let cases: &[Case] = &[
        ("frames come back", frames_come_back),
        ("a call has the services of the host", services),
        ("a plugin loads or says why not", loading),
        ("a library is opened from inside", library),
        ("a program has the conversation", program),
        ("state, health and cleanup", whole_life),
        ("large frames go through small rings", large_frames),
        ("a cleanup ends well, or says how else", bad_cleanups),
        ("a worker inherits nothing", inherits_nothing),
        ("what is printed is kept and counted", printed),
        ("each end has its name", ends),
        ("each broken rule ends a worker", broken_rules),
        ("a broken start is an error", broken_starts),
        ("a late worker is killed", late),
        ("a stopped worker is found", stopped),
        ("a call can be cancelled", cancelled),
        ("memory has a limit", memory),
        ("a strict worker works", strict),
        ("processes are killed with their worker", tree),
        ("no processes where none are permitted", no_fork),
        ("workers end with the thread that started them", dropped),
        ("nothing survives a host that is killed", host_killed),
        ("usage is told", usage),
        ("a program ends however its client ends", clients),
    ];
    let mut count = 0;
    for (name, case) in
        cases.iter().filter(|(name, _)| wanted.is_none_or(|wanted| name.contains(wanted.as_str())))
    {
        let started = Instant::now();
        let workers = Workers::start().unwrap();
        case(&workers);
        println!("as {user}: {name} ... ok ({:?})", started.elapsed());
        count += 1;
    }
    println!("test result: ok. {count} passed as {user}");
}

/// Services that keep what they are told.
#[derive(Default)]
struct Kept {
    store: HashMap<String, Vec<u8>>,
    log: Vec<String>,
    metrics: u64,
}

impl Services for Kept {
    fn log(&mut self, _: LogLevel, message: &str) -> Result<(), ServiceError> {
        self.log.push(message.to_owned());
        Ok(())
    }
    fn now(&mut self) -> Result<u64, ServiceError> {
        Ok(1)
    }
    fn random(&mut self, _: &mut [u8]) -> Result<(), ServiceError> {
        Err(ServiceError::Denied)
    }
    fn config(&mut self, _: &str) -> Result<Option<String>, ServiceError> {
        Ok(None)
    }
    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        Ok(self.store.get(key).cloned())
    }
    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), ServiceError> {
        if value == b"denied" {
            return Err(ServiceError::Denied);
        }
        self.store.insert(key.to_owned(), value.to_vec());
        Ok(())
    }
    fn kv_delete(&mut self, _: &str) -> Result<bool, ServiceError> {
        Ok(false)
    }
    fn kv_list(&mut self, _: &str) -> Result<Vec<String>, ServiceError> {
        Ok(Vec::new())
    }
    fn emit(&mut self, _: &Frame) -> Result<(), ServiceError> {
        Ok(())
    }
    fn metric(&mut self, _: &str, _: f64) -> Result<(), ServiceError> {
        self.metrics += 1;
        Ok(())
    }
}

fn plugin(binding: &str, config: &str) -> Load {
    Load {
        binding: binding.to_owned(),
        descriptor: None,
        path: None,
        digest: Vec::new().into(),
        config: config.to_owned(),
        limits: vec![("memory".to_owned(), 64 << 20)],
    }
}

fn loaded(workers: &Workers, adjust: impl FnOnce(&mut Spec)) -> Worker {
    let mut spec = Spec::new("commands");
    adjust(&mut spec);
    let mut worker = workers.spawn(spec).unwrap();
    worker.load(plugin("commands", "{}"), &mut Kept::default(), LONG).unwrap();
    worker
}

fn tell(worker: &mut Worker, text: &str) -> Result<String, CallError> {
    let frames = worker.call(&Frame::data(text.to_owned()), &mut Kept::default(), LONG)?;
    let texts = frames.iter().map(|frame| String::from_utf8_lossy(&frame.payload).into_owned());
    Ok(texts.collect::<Vec<_>>().join("|"))
}

fn frames_come_back(workers: &Workers) {
    let mut worker = loaded(workers, |_| {});
    let missing: Vec<Layer> = worker.report().missing().map(|(layer, _)| layer).collect();
    // Root's processes are counted by the cgroup alone, and an ordinary user seldom has one.
    let may_miss = [Layer::Processes, Layer::Cgroup];
    assert!(missing.iter().all(|layer| may_miss.contains(layer)), "{missing:?}");
    assert_eq!(worker.report().layers.len(), Layer::ALL.len());
    for number in 0..1000 {
        assert_eq!(tell(&mut worker, &format!("echo {number}")), Ok(format!("echo {number}")));
    }
    assert_eq!(tell(&mut worker, "many 3"), Ok("many 3|many 3|many 3".to_owned()));
    assert_eq!(tell(&mut worker, "many 0"), Ok(String::new()));
    let failure = Failure::new(1000, "on purpose");
    assert_eq!(tell(&mut worker, "fail on purpose"), Err(CallError::Failed(failure)));
    assert_eq!(tell(&mut worker, "echo again"), Ok("echo again".to_owned()));
    let header = glovebox_abi::Header::build().text("id", "7").finish();
    let frame = Frame::new(glovebox_abi::Kind(0x61), header, &b"echo"[..]);
    assert_eq!(worker.call(&frame, &mut Kept::default(), LONG), Ok(vec![frame.clone()]));
    assert_eq!(worker.ended(), None);
    assert_eq!(worker.kill(), Ended::Killed);
}

fn services(workers: &Workers) {
    let mut worker = loaded(workers, |_| {});
    let mut kept = Kept::default();
    let mut call =
        |text: &str, kept: &mut Kept| worker.call(&Frame::data(text.to_owned()), kept, LONG);
    assert_eq!(call("set value", &mut kept), Ok(vec![]));
    assert_eq!(call("get", &mut kept), Ok(vec![Frame::data(&b"value"[..])]));
    assert_eq!(call("ask 1000", &mut kept), Ok(vec![]));
    assert_eq!(kept.metrics, 1000);
    let denied = call("set denied", &mut kept).unwrap_err();
    assert!(matches!(&denied, CallError::Failed(f) if f.code == Failure::SERVICE), "{denied}");
}

fn loading(workers: &Workers) {
    let mut worker = workers.spawn(Spec::new("commands")).unwrap();
    let mut check = |load: Load, expected: &str| {
        let mut kept = Kept::default();
        let shown = worker
            .load(load, &mut kept, LONG)
            .map_or_else(|error| error.to_string(), |()| format!("loaded {:?}", kept.log));
        assert!(shown.contains(expected), "{shown} does not say {expected}");
    };
    check(plugin("none", "{}"), "sniff: there is no such binding (code 2)");
    check(plugin("commands", r#"{"refuse":1}"#), "initialize: refused (code 1001)");
    check(plugin("commands", r#"{"a":1}"#), r#"loaded ["{\"a\":1}"]"#);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    check(plugin("commands", &long), "loaded");
}

/// A native plugin is opened by its path, so that the profile names the file.
fn library(workers: &Workers) {
    let folders = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib"];
    let found = folders.iter().map(|folder| Path::new(folder).join("libm.so.6"));
    let Some(original) = found.into_iter().find(|path| path.exists()) else {
        return println!("SKIPPED: no libm.so.6 is in {folders:?}");
    };
    let copy = std::env::temp_dir().join(format!("glovebox-worker-{}.so", std::process::id()));
    std::fs::copy(original, &copy).unwrap();
    let load = |is_given: bool| {
        let mut spec = Spec::new("commands");
        spec.profile.reach.libraries = true;
        if is_given {
            let file = std::fs::File::open(&copy).unwrap();
            let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
            spec.profile.reach.folders.push(Folder { descriptor, access: Access::Read });
            spec.pass.push(file.into());
        }
        let load = plugin("library", copy.to_str().unwrap());
        workers.spawn(spec).unwrap().load(load, &mut Kept::default(), LONG)
    };
    assert_eq!(load(true), Ok(()));
    let refused = load(false).unwrap_err().to_string();
    std::fs::remove_file(&copy).unwrap();
    assert_eq!(refused, "open: it cannot be opened (code 2)");
}

/// A worker becomes another program, which speaks over its standard input and output.
fn program(workers: &Workers) {
    let own = std::env::current_exe().unwrap();
    let spawn = |path: &Path, words: &[&str]| {
        let mut spec = Spec::new("program");
        let file = std::fs::File::open(path).unwrap();
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
        spec.profile.reach.programs = true;
        spec.profile.reach.folders.push(Folder { descriptor, access: Access::Run });
        spec.pass.push(file.into());
        spec.program = Some(words.iter().map(|word| (*word).to_owned()).collect());
        workers.spawn(spec).unwrap()
    };
    let kept = &mut Kept::default();
    let mut worker = spawn(&own, &[own.to_str().unwrap(), crate::program::ARGUMENT]);
    assert_eq!(worker.load(plugin("framed", "{}"), kept, LONG), Ok(()));
    for size in [0, 1, 5000, 100_000, 8 << 20] {
        let frame = Frame::data(vec![b'x'; size]);
        assert_eq!(worker.call(&frame, kept, LONG), Ok(vec![frame]), "{size} bytes");
    }
    assert_eq!(worker.cleanup(kept, LONG), Ok(()));
    assert_eq!(worker.ended(), Some(Ended::Exited { code: 0 }));
    let check = |path: &Path, words: &[&str], expected: &str| {
        let refused = spawn(path, words).load(plugin("framed", "{}"), &mut Kept::default(), LONG);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused} does not say {expected}");
    };
    check(&own, &["/no/such"], "start: /no/such cannot be run: No such file or directory");
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&text, "no program").unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&text, open).unwrap();
    let text = text.into_temp_path();
    check(&text, &[text.to_str().unwrap()], "cannot be run: Exec format error");
}

fn whole_life(workers: &Workers) {
    let mut worker = loaded(workers, |_| {});
    let kept = &mut Kept::default();
    assert_eq!(worker.health(kept, LONG), Ok(Health::bad(7, "as told")));
    assert_eq!(worker.save_state(kept, LONG), Ok(None));
    tell(&mut worker, "keep this").unwrap();
    let state = worker.save_state(kept, LONG).unwrap().unwrap();
    assert_eq!(state, State { version: 3, bytes: b"this".to_vec() });
    let mut next = loaded(workers, |_| {});
    assert_eq!(next.restore_state(state.clone(), kept, LONG), Ok(()));
    assert_eq!(next.save_state(kept, LONG), Ok(Some(state.clone())));
    let other = State { version: 4, ..state };
    let refused = next.restore_state(other, kept, LONG).unwrap_err();
    assert_eq!(refused, CallError::Failed(Failure::invalid("another version")));
    assert_eq!(worker.cleanup(kept, LONG), Ok(()));
    assert_eq!(worker.ended(), Some(Ended::Exited { code: 0 }));
    assert_eq!(worker.take_output().bytes, b"cleaned up\n");
    assert_eq!(tell(&mut worker, "echo"), Err(CallError::Ended(Ended::Exited { code: 0 })));
    assert_eq!(worker.usage(), None);
}

fn large_frames(workers: &Workers) {
    let mut worker = loaded(workers, |spec| spec.ring_bytes = 4096);
    let payload: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 7) as u8).collect();
    let frame = Frame::data(payload);
    for _ in 0..3 {
        assert_eq!(worker.call(&frame, &mut Kept::default(), LONG), Ok(vec![frame.clone()]));
    }
    // An answer that the host does not take is a failure, and no reason to end.
    let mut worker = loaded(workers, |spec| spec.bounds = Bounds::of(100_000, 9));
    let error = tell(&mut worker, "large 200000").unwrap_err().to_string();
    assert!(error.contains("accepted are 100000"), "{error}");
    assert_eq!(tell(&mut worker, "echo"), Ok("echo".to_owned()));
    // A frame that no worker takes is not sent.
    let huge = Frame::data(vec![0; glovebox_abi::MAX_FRAME_LEN]);
    let error = worker.call(&huge, &mut Kept::default(), LONG).unwrap_err();
    assert!(matches!(error, CallError::TooLong(_)), "{error}");
    assert_eq!(tell(&mut worker, "echo"), Ok("echo".to_owned()));
}

fn bad_cleanups(workers: &Workers) {
    fn check(workers: &Workers, how: &str, deadline: Duration, expected: Ended) {
        let mut worker = workers.spawn(Spec::new(format!("evil {how}"))).unwrap();
        let kept = &mut Kept::default();
        worker.load(plugin("any", "{}"), kept, LONG).unwrap();
        let cleaned = worker.cleanup(kept, deadline);
        assert_eq!(cleaned, Err(CallError::Ended(expected)), "{how}");
        assert!(is_gone(worker.process()), "{how}");
    }
    check(workers, "exit-after-done", LONG, Ended::Exited { code: 7 });
    check(workers, "flood-after-done", SHORT, Ended::Deadline { after: SHORT });
}

fn inherits_nothing(workers: &Workers) {
    // SAFETY: this program has no other thread that reads the environment now.
    unsafe { std::env::set_var("SECRET", "hunter2") };
    // Opened without saying that programs should not get it.
    // SAFETY: the path ends in zero.
    let leak = unsafe { libc::open(c"/etc/passwd".as_ptr(), libc::O_RDONLY) };
    assert!(leak > 2);
    let given = std::fs::File::open("/etc/hostname").unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&given);
    let mut worker = loaded(workers, |spec| spec.pass.push(given.into()));
    assert_eq!(tell(&mut worker, "environment"), Ok(String::new()));
    let open = tell(&mut worker, "descriptors").unwrap();
    let open: Vec<i32> = open.split(' ').map(|number| number.parse().unwrap()).collect();
    assert!(open.contains(&number) && !open.contains(&leak), "{open:?}, {leak}");
    // The three usual ones, the given one, the control socket and the memory.
    assert_eq!(open.len(), 6, "{open:?}");
    // SAFETY: it was opened above, and nothing else uses it.
    unsafe { libc::close(leak) };
}

fn printed(workers: &Workers) {
    let mut worker = loaded(workers, |spec| spec.output_bytes = 1000);
    tell(&mut worker, "print 500").unwrap();
    // More than a pipe holds, so that the host must have read most when the call ends.
    tell(&mut worker, "print 1000000").unwrap();
    worker.kill();
    let (output, errors) = (worker.take_output(), worker.take_errors());
    assert_eq!((output.bytes, output.dropped), (vec![b'o'; 1000], 1_000_500 - 1000));
    assert_eq!((errors.bytes, errors.dropped), (b"errorserrors".to_vec(), 0));
}

fn ends(workers: &Workers) {
    fn check(workers: &Workers, text: &str, expected: Ended) {
        let mut worker = loaded(workers, |_| {});
        let ended = tell(&mut worker, text).unwrap_err();
        assert_eq!(ended, CallError::Ended(expected.clone()), "{text}");
        assert_eq!(worker.ended(), Some(expected));
        // Nothing is left of it.
        assert!(is_gone(worker.process()));
    }
    check(workers, "exit 0", Ended::Exited { code: 0 });
    check(workers, "exit 3", Ended::Exited { code: 3 });
    check(workers, "panic", Ended::Exited { code: 101 });
    check(workers, "segfault", Ended::Signalled { signal: libc::SIGSEGV });
    check(workers, "abort", Ended::Signalled { signal: libc::SIGABRT });
    for signal in [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGABRT,
        libc::SIGKILL,
        libc::SIGTERM,
        libc::SIGXCPU,
    ] {
        check(workers, &format!("raise {signal}"), Ended::Signalled { signal });
    }
    check(workers, &format!("raise {}", libc::SIGSYS), Ended::Seccomp);
}

fn broken_rules(workers: &Workers) {
    fn check(workers: &Workers, how: &str, expected: &str) {
        let before = resident();
        let mut worker = workers.spawn(Spec::new(format!("evil {how}"))).unwrap();
        let kept = &mut Kept::default();
        let error = match worker.load(plugin("any", "{}"), kept, LONG) {
            Err(LoadError::Call(error)) => error,
            Ok(()) => {
                // So long, if it matters, that the host must ask how much of the ring was read.
                let length = if how == "head-too-far" { 500_000 } else { 1 };
                worker.call(&Frame::data(vec![0; length]), kept, LONG).unwrap_err()
            }
            Err(error) => panic!("{how}: {error}"),
        };
        let CallError::Ended(ended) = &error else { panic!("{how}: {error}") };
        assert!(matches!(ended, Ended::Protocol(_)), "{how}: {ended}");
        assert!(ended.to_string().contains(expected), "{how}: {ended} does not say {expected}");
        assert!(is_gone(worker.process()), "{how}");
        let grown = resident().saturating_sub(before);
        assert!(grown < 16 << 20, "{how}: {grown} bytes more");
    }
    check(workers, "random", "format version");
    check(workers, "not-hello", "no call is open");
    check(workers, "wrong-version", "`hello`");
    check(workers, "huge-length", "` of 4294967295 bytes, accepted are");
    check(workers, "above-bound", "` of 73400320 bytes, accepted are 67174400");
    check(workers, "out-of-order", "message number 7 came, number 1 was next");
    check(workers, "unknown-call", "call 99 was named, but call 0 is the open one");
    check(workers, "wrong-answer", "`reply` for call 0, which waits for `ready`");
    check(workers, "duplicate-reply", "call 0 was named, but call 1 is the open one");
    check(workers, "hello-again", "`hello`");
    check(workers, "of-the-host", "the plugin sent `health`");
    check(workers, "tail-too-far", "position 9223372036854775807");
    check(workers, "tail-back", "position 1 in shared memory");
    check(workers, "head-too-far", "position 9223372036854775807");
    check(workers, "ask-twice", "call 7 was named");
}

fn broken_starts(workers: &Workers) {
    fn check(workers: &Workers, how: &str, deadline: Duration, expected: &str) {
        let mut spec = Spec::new(format!("evil {how}"));
        spec.start_deadline = deadline;
        let error = workers.spawn(spec).unwrap_err().to_string();
        assert!(error.contains(expected), "{how}: {error} does not say {expected}");
    }
    check(workers, "first-words", LONG, "4294967295 bytes at the start");
    check(workers, "no-first-words", SHORT, "no answer within 300ms");
    let mut spec = Spec::new("commands");
    spec.heartbeat = Duration::ZERO;
    assert_eq!(workers.spawn(spec).unwrap_err().to_string(), "cannot use a heartbeat of 0 s");
    // The thread that looks after the control socket finds these messages.
    for how in ["control-garbage", "control-huge", "control-unasked"] {
        let worker = workers.spawn(Spec::new(format!("evil {how}"))).unwrap();
        let ended = worker.wait();
        assert!(matches!(ended, Ended::Protocol(_)), "{how}: {ended}");
    }
}

fn late(workers: &Workers) {
    let deadline = |error: CallError| match error {
        CallError::Ended(ended @ Ended::Deadline { .. }) => ended,
        other => panic!("{other}"),
    };
    let kept = &mut Kept::default();
    for text in ["loop", "ask-forever"] {
        let mut worker = loaded(workers, |_| {});
        let error = worker.call(&Frame::data(text), kept, SHORT).unwrap_err();
        assert_eq!(deadline(error), Ended::Deadline { after: SHORT }, "{text}");
        assert!(is_gone(worker.process()));
    }
    for how in ["silent", "drip", "flood"] {
        let mut worker = workers.spawn(Spec::new(format!("evil {how}"))).unwrap();
        match worker.load(plugin("any", "{}"), kept, SHORT).unwrap_err() {
            LoadError::Call(error) => deadline(error),
            other => panic!("{how}: {other}"),
        };
    }
    // One that reads nothing: the frame finds no room.
    let mut worker = workers.spawn(Spec::new("evil never-reads")).unwrap();
    worker.load(plugin("any", "{}"), kept, LONG).unwrap();
    let error = worker.call(&Frame::data(vec![0; 1 << 19]), kept, SHORT).unwrap_err();
    assert_eq!(deadline(error), Ended::Deadline { after: SHORT });
}

fn stopped(workers: &Workers) {
    // It is loaded meanwhile, and answers though the machine is busy.
    let heartbeat = Duration::from_millis(500);
    let worker = loaded(workers, |spec| spec.heartbeat = heartbeat);
    // SAFETY: it takes numbers, and the worker was not waited for.
    unsafe { libc::kill(worker.process() as i32, libc::SIGSTOP) };
    let ended = worker.wait();
    assert!(matches!(ended, Ended::Stopped { by_signal: true, .. }), "{ended}");
    // One that answers nothing is found too, though it runs, and one that cannot.
    for how in ["silent", "control-closed"] {
        let mut spec = Spec::new(format!("evil {how}"));
        spec.heartbeat = Duration::from_millis(50);
        let ended = workers.spawn(spec).unwrap().wait();
        assert!(matches!(ended, Ended::Stopped { by_signal: false, .. }), "{how}: {ended}");
    }
    // One that computes answers all the same.
    let mut worker = loaded(workers, |spec| spec.heartbeat = heartbeat);
    let after = 8 * heartbeat;
    let error = worker.call(&Frame::data("loop"), &mut Kept::default(), after).unwrap_err();
    assert_eq!(error, CallError::Ended(Ended::Deadline { after }));
}

fn cancelled(workers: &Workers) {
    let mut worker = loaded(workers, |_| {});
    let kept = &mut Kept::default();
    let frame = Frame::data("loop-until-cancelled");
    // One that can end early does, and goes on.
    for _ in 0..3 {
        let canceller = worker.canceller();
        let thread = std::thread::spawn(move || canceller.cancel());
        assert_eq!(worker.call(&frame, kept, LONG), Err(CallError::Cancelled));
        thread.join().unwrap();
    }
    // The next call is not meant.
    let failure = Failure::new(1000, "by itself");
    assert_eq!(tell(&mut worker, "fail by itself"), Err(CallError::Failed(failure)));
    // One before a call counts, unless it is forgotten.
    worker.canceller().cancel();
    assert_eq!(worker.call(&frame, kept, LONG), Err(CallError::Cancelled));
    worker.canceller().cancel();
    worker.heed(OnCancel::Ask);
    assert_eq!(tell(&mut worker, "echo 1"), Ok("echo 1".to_owned()));
    // One with which the plugin ends is given time, and is not asked to end.
    worker.heed(OnCancel::Allow(LONG));
    worker.canceller().cancel();
    assert_eq!(tell(&mut worker, "echo 2"), Ok("echo 2".to_owned()));
    worker.heed(OnCancel::Allow(SHORT));
    worker.canceller().cancel();
    assert_eq!(worker.call(&frame, kept, LONG), Err(CallError::Ended(Ended::Cancelled)));
    let mut worker = loaded(workers, |_| {});
    // One that cannot is killed.
    worker.canceller().cancel();
    assert_eq!(tell(&mut worker, "loop"), Err(CallError::Ended(Ended::Cancelled)));
    let mut worker = loaded(workers, |_| {});
    let canceller = worker.canceller();
    let thread = std::thread::spawn(move || canceller.kill());
    assert_eq!(tell(&mut worker, "loop"), Err(CallError::Ended(Ended::Killed)));
    thread.join().unwrap();
}

fn memory(workers: &Workers) {
    let limited = |spec: &mut Spec| spec.profile.limits.memory = Some(64 << 20);
    let mut worker = loaded(workers, limited);
    assert_eq!(tell(&mut worker, "allocate 10000000"), Ok("\u{1}".to_owned()));
    let error = tell(&mut worker, "allocate 4000000000").unwrap_err();
    assert_eq!(error, CallError::Ended(Ended::MemoryLimit));
    // By the group of processes, where there are such.
    let mut worker = loaded(workers, |spec| {
        limited(spec);
        spec.profile.layers.remove(&Layer::Limits);
    });
    if worker.report().is_enforced(Layer::Cgroup) {
        let error = tell(&mut worker, "allocate 4000000000").unwrap_err();
        assert_eq!(error, CallError::Ended(Ended::MemoryLimit));
    } else {
        println!("SKIPPED: memory of a cgroup: {:?}", worker.report().missing().next());
    }
}

fn strict(workers: &Workers) {
    let strict = |spec: &mut Spec| spec.profile.system_calls = SystemCalls::Strict;
    let mut worker = loaded(workers, strict);
    let kept = &mut Kept::default();
    assert_eq!(tell(&mut worker, "echo"), Ok("echo".to_owned()));
    let frame = Frame::data(vec![7; 1 << 20]);
    assert_eq!(worker.call(&frame, kept, LONG), Ok(vec![frame.clone()]));
    tell(&mut worker, "print 10").unwrap();
    assert_eq!(worker.cleanup(kept, LONG), Ok(()));
    let mut worker = loaded(workers, strict);
    assert_eq!(tell(&mut worker, "unlisted"), Err(CallError::Ended(Ended::Seccomp)));
}

fn tree(workers: &Workers) {
    for has_group in [true, false] {
        let mut worker = loaded(workers, |spec| {
            spec.profile.limits.processes = 20;
            if !has_group {
                spec.profile.layers.remove(&Layer::Cgroup);
            }
        });
        let children = tell(&mut worker, "fork 10").unwrap();
        let children: Vec<u32> = children.split(' ').map(|it| it.parse().unwrap()).collect();
        assert_eq!(children.len(), 10);
        assert_eq!(worker.kill(), Ended::Killed);
        children.iter().for_each(|child| wait_until_gone(*child));
        // Also where the worker ends by itself.
        let mut worker = loaded(workers, |spec| spec.profile.limits.processes = 20);
        let children = tell(&mut worker, "fork 3").unwrap();
        assert_eq!(
            tell(&mut worker, "exit 1").unwrap_err().to_string(),
            "the worker exited with code 1"
        );
        children.split(' ').for_each(|child| wait_until_gone(child.parse().unwrap()));
    }
}

fn no_fork(workers: &Workers) {
    let mut worker = loaded(workers, |_| {});
    assert_eq!(tell(&mut worker, "fork 1"), Ok(String::new()));
    // As many as permitted, where somebody counts: for root, only a group of processes does.
    let mut worker = loaded(workers, |spec| spec.profile.limits.processes = 8);
    let report = worker.report();
    if report.is_enforced(Layer::Cgroup) || report.is_enforced(Layer::Processes) {
        let count = tell(&mut worker, "fork 500").unwrap().split(' ').count();
        assert!((8..200).contains(&count), "{count}");
    } else {
        println!("SKIPPED: a fork bomb, which nothing counts here");
    }
}

fn dropped(_: &Workers) {
    let workers = Workers::start().unwrap();
    let mut worker = loaded(&workers, |spec| spec.profile.limits.processes = 8);
    let child = tell(&mut worker, "fork 1").unwrap().parse().unwrap();
    drop(workers);
    assert_eq!(worker.ended(), Some(Ended::Killed));
    assert_eq!(tell(&mut worker, "echo"), Err(CallError::Ended(Ended::Killed)));
    wait_until_gone(child);
    // One that is dropped itself is killed too.
    let workers = Workers::start().unwrap();
    let process = loaded(&workers, |_| {}).process();
    wait_until_gone(process);
}

/// The host of the next case.
fn be_killed() {
    let workers = Workers::start().unwrap();
    let mut quiet = loaded(&workers, |_| {});
    let mut parent = loaded(&workers, |spec| spec.profile.limits.processes = 20);
    let children = tell(&mut parent, "fork 3").unwrap();
    println!("{} {} {children}", quiet.process(), parent.process());
    // The quiet one computes when the host is killed, and does not look at its socket by itself.
    let _ = quiet.call(&Frame::data("loop"), &mut Kept::default(), LONG);
}

fn host_killed(_: &Workers) {
    let mut host = Command::new(std::env::current_exe().unwrap())
        .arg("--host")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let processes: Vec<u32> = line.split_whitespace().map(|it| it.parse().unwrap()).collect();
    assert_eq!(processes.len(), 5, "{line}");
    assert!(processes.iter().all(|process| !is_gone(*process)));
    host.kill().unwrap();
    let killed = Instant::now();
    host.wait().unwrap();
    processes.iter().for_each(|process| wait_until_gone(*process));
    println!("all are gone {:?} after the host", killed.elapsed());
    // The next host removes its groups before it starts anything.
    drop(loaded(&Workers::start().unwrap(), |_| {}));
    let name = format!("glovebox_*-{}-*", host.id());
    let find = ["/sys/fs/cgroup", "-maxdepth", "4", "-name", &name];
    let left = Command::new("find").args(find).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

fn usage(workers: &Workers) {
    let mut worker = loaded(workers, |_| {});
    let before = worker.usage().unwrap();
    tell(&mut worker, "allocate 30000000").unwrap();
    let after = worker.usage().unwrap();
    assert!(after.minor_faults > before.minor_faults, "{before:?} {after:?}");
    assert!(after.resident > 0 && after.threads == 2, "{after:?}");
}

fn clients(workers: &Workers) {
    fn check(workers: &Workers, client: &str, end: fn(&Worker), expected: &Ended) {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("ended");
        let shell = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
        let spec = ClientSpec {
            command: shell(client),
            environment: Vec::new(),
            end: shell(&format!("touch {}", mark.display())),
            bounds: Bounds::default(),
            output_bytes: 1 << 10,
        };
        let worker = workers.spawn_client(spec).unwrap();
        end(&worker);
        assert_eq!(worker.wait(), *expected, "{client}");
        let started = Instant::now();
        while !mark.exists() {
            assert!(started.elapsed() < LONG, "{client}: its program goes on");
            std::thread::yield_now();
        }
    }
    let kill = |worker: &Worker| drop(worker.kill());
    check(workers, "exec sleep 1000", kill, &Ended::Killed);
    check(workers, "kill -9 $$", |_| {}, &Ended::Signalled { signal: libc::SIGKILL });
    // An error of the client itself looks like that.
    check(workers, "exit 125", |_| {}, &Ended::Exited { code: 125 });
    check(workers, "exit 0", |_| {}, &Ended::Exited { code: 0 });
    check(workers, "exit 139", |_| {}, &Ended::Signalled { signal: libc::SIGSEGV });
}

/// True if there is no such process, or only its exit code.
fn is_gone(process: u32) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
    status.map_or(true, |text| text.rsplit_once(')').is_none_or(|it| it.1.starts_with(" Z")))
}

/// Waits for the end of a process that is nobody's child here.
fn wait_until_gone(process: u32) {
    let started = Instant::now();
    while !is_gone(process) {
        assert!(started.elapsed() < LONG, "process {process} lives on");
        std::thread::yield_now();
    }
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
