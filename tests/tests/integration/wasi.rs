//! WASI gives what the policy grants and nothing more, and no wait outlasts the call.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{Frame, Manifest, Permission, ServiceError};
use glovebox_events::{HostCall, Outcome, What};
use glovebox_host::{Decision, InstanceId, LoadRequest, Mock, Policy};
use glovebox_tests::{Bench, root};

/// A module of the frame ABI with preview 1: `body` leaves a number, which is the answer. Texts of
/// the test lie at 1024.
pub(crate) fn preview1(body: &str, data: &str) -> String {
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "path_open" (func $path_open
            (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $fd_write
            (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_read" (func $fd_read
            (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff
            (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "random_get" (func $random_get
            (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get
            (param i32 i64 i32) (result i32)))
          (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get
            (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "environ_get" (func $environ_get
            (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_rename" (func $path_rename
            (param i32 i32 i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_link" (func $path_link
            (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_symlink" (func $path_symlink
            (param i32 i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber
            (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
          (func (export "glovebox_abi_0_1"))
          (memory (export "memory") 4)
          (data (i32.const 1024) "{data}")
          (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 65536))
          (func $answer (result i32) (local $i i32) {body})
          (func (export "glovebox_process") (param i32) (result i64)
            (i32.store (i32.const 12) (call $answer))
            ;; A data frame without a header and with four bytes.
            (i32.store (i32.const 0) (i32.const 0x00010052))
            (i64.store (i32.const 4) (i64.const 0x400000000))
            (i64.const 16)))"#
    )
}

/// A plugin in a folder of its own.
pub(crate) struct Guest {
    pub(crate) bench: Bench,
    pub(crate) id: InstanceId,
    pub(crate) folder: tempfile::TempDir,
}

impl Guest {
    /// `manifest` follows the section `[plugin]`; `prepare` fills the folder before loading.
    pub(crate) fn load(manifest: &str, wat: &str, prepare: impl FnOnce(&Path)) -> Guest {
        Guest::load_with(Mock::default(), manifest, wat, prepare)
    }

    fn load_with(mock: Mock, manifest: &str, wat: &str, prepare: impl FnOnce(&Path)) -> Guest {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        std::fs::write(folder.path().join("guest.wat"), wat).unwrap();
        let manifest =
            format!("[plugin]\nid = \"guest\"\n[artifact]\nwasm = \"guest.wat\"\n{manifest}");
        std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let bench = Bench::as_declared();
        let request = LoadRequest::path(folder.path()).mock(mock.into());
        let loaded = bench.host.load(request).wait();
        let id = loaded.unwrap_or_else(|error| panic!("{error}"));
        Guest { bench, id, folder }
    }

    /// The number that the guest answers, or the outcome.
    pub(crate) fn ask(&self) -> Result<u32, Outcome> {
        let reply = self.bench.host.call(self.id, &Frame::data(""));
        match reply.outcome {
            Outcome::Completed => {
                let payload = &reply.frames[0].payload;
                Ok(u32::from_le_bytes(*payload.first_chunk().unwrap()))
            }
            outcome => Err(outcome),
        }
    }

    pub(crate) fn host_calls(&self, prefix: &str) -> Vec<HostCall> {
        let events = self.bench.events.events().into_iter();
        let calls = events.filter_map(|event| match event.what {
            What::HostCall { host_call, .. } => Some(host_call),
            _ => None,
        });
        calls.filter(|call| call.service.starts_with(prefix)).collect()
    }
}

pub(crate) const SUCCESS: u32 = 0;
const NO_ENTRY: u32 = 44;
const INVALID: [u32; 2] = [28, 25];
pub(crate) const REFUSED: [u32; 4] = [2, 63, 69, 76];

/// A file, a link to `/etc` and a folder that is not granted, next to the granted one.
pub(crate) fn folders(root: &Path) {
    std::fs::create_dir_all(root.join("data/inner")).unwrap();
    std::fs::create_dir_all(root.join("outside")).unwrap();
    std::fs::write(root.join("data/hello"), "hello").unwrap();
    std::fs::write(root.join("outside/secret"), "secret").unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/etc", root.join("data/etc")).unwrap();
        std::os::unix::fs::symlink("../outside", root.join("data/out")).unwrap();
        std::os::unix::fs::symlink("hello", root.join("data/greeting")).unwrap();
    }
}

#[test]
fn paths_lead_nowhere_but_into_granted_folders() {
    /// `flags` are those of `path_open`: 1 makes the file if it is not there.
    #[track_caller]
    fn check(access: &str, path: &str, flags: i32, expected: &[u32]) {
        let length = path.replace("\\00", "0").len();
        // Follow links; the rights to read and, with flags, to write.
        let rights = if flags == 0 { 2 } else { 66 };
        let body = format!(
            "(call $path_open (i32.const 3) (i32.const 1) (i32.const 1024) (i32.const {length})
               (i32.const {flags}) (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 64))"
        );
        let manifest = format!(
            "[permissions]\nfiles = [{{ path = \"data\", at = \"/data\", access = \"{access}\" }}]"
        );
        let guest = Guest::load(&manifest, &preview1(&body, path), folders);
        let found = guest.ask().unwrap();
        assert!(expected.contains(&found), "{path}: {found} is not among {expected:?}");
        let calls = guest.host_calls("wasi:filesystem path-open");
        let denied = calls.iter().any(|call| call.result == Err(ServiceError::Denied));
        assert_eq!((calls.len(), denied), (1, REFUSED.contains(&found)), "{path}: {calls:?}");
        let log = guest.bench.host.access_log(guest.id).unwrap();
        let entry = log.entries.iter().find(|entry| entry.permission == Permission::Files).unwrap();
        assert_eq!(entry.allowed, !denied, "{path}");
        let outside = std::fs::read_dir(guest.folder.path().join("outside")).unwrap().count();
        assert_eq!(outside, 1, "{path} changed what is not granted");
    }
    check("read", "hello", 0, &[SUCCESS]);
    check("read", "greeting", 0, &[SUCCESS]);
    check("read", "inner/../hello", 0, &[SUCCESS]);
    check("read", "../outside/secret", 0, &REFUSED);
    check("read", "inner/../../outside/secret", 0, &REFUSED);
    check("read", "/etc/passwd", 0, &REFUSED);
    check("read", "etc/passwd", 0, &REFUSED);
    check("read", "out/secret", 0, &REFUSED);
    check("read-write", "out/new", 1, &REFUSED);
    check("read-write", "../new", 1, &REFUSED);
    check("read", &"a/".repeat(255), 0, &[NO_ENTRY]);
    check("read", "hello\\00", 0, &INVALID);
    check("read", "CON", 0, &[NO_ENTRY]);
    check("read", "new", 1, &REFUSED);
    check("read-write", "new", 1, &[SUCCESS]);
}

/// The native tier and containers do the same, each in its own tests.
#[test]
fn of_folders_in_each_other_the_outer_one_decides() {
    #[track_caller]
    fn check(outer: &str, inner: &str, expected: &[u32]) {
        // The inner one is the first handle; `new` is made in it.
        let body = "(call $path_open (i32.const 3) (i32.const 1) (i32.const 1024) (i32.const 3)
                      (i32.const 1) (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 64))";
        let manifest = format!(
            "[permissions]\nfiles = [{{ path = \"data/inner\", at = \"/inner\", access = \"{inner}\" }}, \
             {{ path = \"data\", at = \"/data\", access = \"{outer}\" }}]"
        );
        let guest = Guest::load(&manifest, &preview1(body, "new"), folders);
        let found = guest.ask().unwrap();
        assert!(expected.contains(&found), "{outer}, {inner}: {found} is not among {expected:?}");
    }
    check("read", "read-write", &REFUSED);
    check("read-write", "read", &[SUCCESS]);
    check("read-write", "read-write", &[SUCCESS]);
    check("read", "read", &REFUSED);
}

#[test]
fn a_folder_that_is_taken_away_is_gone_at_once() {
    let body = "(call $path_open (i32.const 3) (i32.const 1) (i32.const 1024) (i32.const 5)
                  (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64))";
    let manifest = "[permissions]\nfiles = [{ path = \"data\", at = \"/data\" }]";
    let guest = Guest::load(manifest, &preview1(body, "hello"), folders);
    let host = &guest.bench.host;
    assert_eq!(guest.ask(), Ok(SUCCESS));
    host.set_decision(guest.id, Permission::Files, Decision::Deny);
    // Whether the copy was replaced by now or not, there is no such folder.
    let bad_number = 8;
    assert_eq!(guest.ask(), Ok(bad_number));
    host.set_decision(guest.id, Permission::Files, Decision::AsDeclared);
    // The fresh copy comes beside the running one.
    let soon = Instant::now() + Duration::from_secs(60);
    let renewed = || {
        guest.bench.events.events().into_iter().any(|event| {
            matches!(event.what, What::Reloaded { cause, .. } if cause.name() == "policy changed")
        })
    };
    while guest.ask() != Ok(SUCCESS) || !renewed() {
        assert!(Instant::now() < soon, "the folder does not come back");
        std::thread::yield_now();
    }
}

#[test]
fn folders_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("guest.wat"), preview1("(i32.const 0)", "")).unwrap();
    let manifest = "[plugin]\nid = \"guest\"\n[artifact]\nwasm = \"guest.wat\"\n\
                    [permissions]\nfiles = [{ path = \"nowhere\" }]";
    std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
    let loaded = Bench::as_declared().host.load(LoadRequest::path(folder.path())).wait();
    let error = loaded.unwrap_err().to_string();
    let start = "initialize: the folder `nowhere` of the permission `files` cannot be opened: ";
    assert!(error.starts_with(start), "{error}");
    assert!(error.contains("; make it available, or change [permissions]"), "{error}");
}

#[test]
fn waiting_ends_with_the_call() {
    /// A body that would go on for an hour, or for ever.
    #[track_caller]
    fn check(body: &str, permissions: &str) {
        let manifest = format!("[limits]\ncall-deadline = \"100ms\"\n[permissions]\n{permissions}");
        let guest = Guest::load(&manifest, &preview1(body, ""), |_| ());
        let started = Instant::now();
        let deadline = Duration::from_millis(100);
        assert_eq!(guest.ask(), Err(Outcome::TimedOut { deadline, made_up: false }), "{body}");
        assert!(started.elapsed() < Duration::from_secs(60));
        let status = guest.bench.host.plugin(guest.id).unwrap();
        assert_eq!(status.limit(LimitKind::CallDeadline).unwrap().hits, 1);
    }
    // One subscription to a clock, an hour from now.
    let sleep = |clock: u32| {
        format!(
            "(i32.store (i32.const 16) (i32.const {clock}))
             (i64.store (i32.const 24) (i64.const 3600000000000))
             (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))"
        )
    };
    check(&sleep(0), "");
    check(&sleep(1), "now = true");
}

#[test]
fn waiting_ends_when_the_call_is_taken_back() {
    let guest = Component::load("", "");
    let host = guest.bench.host.clone();
    let mut limits = host.plugin(guest.id).unwrap().limits;
    limits.call_deadline = Duration::from_secs(600);
    host.set_limits(guest.id, limits).unwrap();
    let id = guest.id;
    let call = std::thread::spawn(move || guest.ask("sleep 3600"));
    // Only a call that has begun can be cancelled.
    while !call.is_finished() {
        host.cancel(id);
        std::thread::yield_now();
    }
    assert_eq!(call.join().unwrap(), "cancelled");
}

#[test]
fn clocks_are_as_exact_as_granted() {
    /// Checks the remainder of both clocks when divided by `unit` nanoseconds, added; and whether
    /// the calendar's stands still.
    #[track_caller]
    fn check(permissions: &str, unit: u64, expected: u32) {
        let body = format!(
            "(drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 64)))
             (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 72)))
             (i32.or
               (i32.wrap_i64 (i64.add
                 (i64.rem_u (i64.load (i32.const 64)) (i64.const {unit}))
                 (i64.rem_u (i64.load (i32.const 72)) (i64.const {unit}))))
               (i64.eqz (i64.load (i32.const 64))))"
        );
        let manifest = format!("[permissions]\n{permissions}");
        let guest = Guest::load(&manifest, &preview1(&body, ""), |_| ());
        assert_eq!(guest.ask(), Ok(expected), "{permissions}");
        let calls = guest.host_calls("wasi:clocks");
        let denied = calls.iter().all(|call| call.result == Err(ServiceError::Denied));
        assert_eq!((calls.len(), denied), (1, permissions.is_empty()), "{calls:?}");
        let status = guest.bench.host.plugin(guest.id).unwrap();
        let now = status.permissions.iter().find(|p| p.permission == Permission::Now).unwrap();
        assert_eq!(now.uses + now.denials, 2);
    }
    check("now = { precision = \"1 s\" }", 1_000_000_000, 0);
    check("now = { precision = \"1 min\" }", 60_000_000_000, 0);
    check("", 1_000_000_000, 1);
}

#[test]
fn mocks_move_clocks_and_give_random_bytes() {
    /// `ask` leaves eight bytes at 64.
    #[track_caller]
    fn check(mock: &str, permissions: &str, ask: &str, expected: [u32; 2]) {
        let body = format!("(drop {ask}) (i32.wrap_i64 (i64.load (i32.const 64)))");
        let manifest = format!("[permissions]\n{permissions}");
        let mock = Mock::parse(mock).unwrap();
        let guest = Guest::load_with(mock, &manifest, &preview1(&body, ""), |_| ());
        assert_eq!([guest.ask(), guest.ask()], expected.map(Ok), "{permissions} {ask}");
    }
    let mock = "[now]\nfixed = 5000\nstep = '7ns'\n[random]\nseed = 42";
    let calendar = "(call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 64))";
    let steady = "(call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 64))";
    let random = "(call $random_get (i32.const 64) (i32.const 4))";
    check(mock, "now = true", calendar, [5000, 5007]);
    check(mock, "now = true", steady, [0, 7]);
    check(mock, "now = { precision = '1 us' }", calendar, [5000, 5000]);
    check(mock, "", calendar, [0, 0]);
    check(mock, "random = true", random, [922_291_828, 1_567_474_740]);
    check(mock, "", random, [0x0101_0101; 2]);
}

#[test]
fn random_bytes_are_granted_and_bounded() {
    #[track_caller]
    fn check(permissions: &str, length: u32, expected: impl Fn(Result<u32, Outcome>) -> bool) {
        let body = format!(
            "(drop (call $random_get (i32.const 64) (i32.const {length}))) (i32.load (i32.const 64))"
        );
        let guest =
            Guest::load(&format!("[permissions]\n{permissions}"), &preview1(&body, ""), |_| ());
        let found = guest.ask();
        assert!(expected(found.clone()), "{permissions} {length}: {found:?}");
    }
    let not_random = 0x0101_0101;
    check("random = true", 4, |found| found.is_ok_and(|number| number != not_random));
    check("", 4, |found| found == Ok(not_random));
    check("random = true", u32::MAX, |found| {
        let Err(Outcome::Trapped { code, message }) = found else { return false };
        code == "host-error" && message == "asked for 4 GiB of random bytes at once, limit 1 MiB"
    });
}

#[test]
fn only_granted_variables_are_there() {
    #[track_caller]
    fn check(permissions: &str, expected: u32) {
        let body = "(drop (call $environ_sizes_get (i32.const 64) (i32.const 68)))
                    (i32.load (i32.const 64))";
        let guest =
            Guest::load(&format!("[permissions]\n{permissions}"), &preview1(body, ""), |_| ());
        assert_eq!(guest.ask(), Ok(expected), "{permissions}");
    }
    // The one is set wherever tests run, and the other nowhere.
    check("environment = [\"PATH\", \"NO_SUCH_VARIABLE\"]", 1);
    check("environment = { names = [\"PATH\"], except = [\"PATH\"] }", 0);
    check("", 0);
}

#[test]
fn a_flood_of_output_is_kept_in_part_and_counted_in_full() {
    // 1 GiB, in pieces of 128 KiB from the memory.
    let body = "(i32.store (i32.const 64) (i32.const 65536))
                (i32.store (i32.const 68) (i32.const 131072))
                (loop $again
                  (drop (call $fd_write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 72)))
                  (local.set $i (i32.add (local.get $i) (i32.const 1)))
                  (br_if $again (i32.lt_u (local.get $i) (i32.const 8192))))
                (local.get $i)";
    let manifest = "[limits]\ncall-deadline = \"2min\"\n[permissions]\nlog = true";
    let guest = Guest::load(manifest, &preview1(body, ""), |_| ());
    assert_eq!(guest.ask(), Ok(8192));
    let lines = guest.host_calls("log");
    let text = format!("{:?}", lines.last().unwrap().arguments);
    let dropped = (1 << 30) - (16 << 10);
    assert!(text.contains(&format!("({dropped} earlier bytes dropped)")), "{text:.99}");
}

#[test]
fn calls_of_wasi_count_as_host_calls() {
    #[track_caller]
    fn check(call: &str, times: u32, expected: Result<u32, &str>) {
        let body = format!(
            "(loop $again
               (drop {call})
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $again (i32.lt_u (local.get $i) (i32.const {times}))))
             (local.get $i)"
        );
        let manifest = "[limits]\ncall-deadline = \"30 s\"";
        let guest = Guest::load(manifest, &preview1(&body, ""), |_| ());
        let found = guest.ask().map_err(|outcome| outcome.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{times} times {call}");
        let hits = guest.bench.host.plugin(guest.id).unwrap();
        let hits = hits.limit(LimitKind::HostCalls).unwrap().hits;
        assert_eq!(hits, u64::from(expected.is_err()));
    }
    let exceeded = Err("limit exceeded: asked for 10001 of host-calls, limit 10000");
    for call in [
        "(call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 64))",
        "(call $random_get (i32.const 64) (i32.const 8))",
        "(call $fd_write (i32.const 9) (i32.const 64) (i32.const 0) (i32.const 72))",
    ] {
        check(call, 10_000, Ok(10_000));
        check(call, 10_001, exceeded);
        check(call, u32::MAX, exceeded);
    }
    let guest = Component::load("random = true", "");
    assert!(guest.ask("random 16").contains("16 bytes"));
    let mut limits = guest.bench.host.plugin(guest.id).unwrap().limits;
    limits.host_calls = 0;
    guest.bench.host.set_limits(guest.id, limits).unwrap();
    let outcome = guest.ask("random 16");
    assert_eq!(outcome, "limit exceeded: asked for 1 of host-calls, limit 0");
}

#[test]
fn a_plugin_that_exits_ends_only_itself() {
    let guest =
        Guest::load("", &preview1("(call $proc_exit (i32.const 7)) (i32.const 0)", ""), |_| ());
    let outcome = guest.ask().unwrap_err().to_string();
    assert_eq!(outcome, "trapped: exit: the plugin ended itself with the code 7");
    assert_eq!(guest.bench.host.plugin(guest.id).unwrap().stats.restarts, 1);
}

#[test]
fn wishes_for_files_are_seen_where_none_is_granted() {
    let body = "(call $path_open (i32.const 3) (i32.const 1) (i32.const 1024) (i32.const 10)
                  (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64))";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("guest.wat"), preview1(body, "data/hello")).unwrap();
    let policy = Policy::parse("mode = \"record\"").unwrap();
    let bench = Bench::with(|builder| builder.policy(policy));
    let loaded = bench.host.load(LoadRequest::path(folder.path().join("guest.wat"))).wait();
    let id = loaded.unwrap_or_else(|error| panic!("{error}"));
    bench.host.call(id, &Frame::data(""));
    let wishes = bench.host.wishes(id);
    let suggestion = glovebox_host::suggest(|_| Ok::<_, ()>(wishes.clone())).unwrap();
    let expected = "files = [{ path = \"data\", at = \"/data\", access = \"read\" }]\n";
    assert_eq!(suggestion.permissions.to_string(), expected);
}

/// A component that uses preview 2 as it is told.
pub(crate) struct Component {
    pub(crate) bench: Bench,
    pub(crate) id: InstanceId,
}

impl Component {
    pub(crate) fn load(permissions: &str, policy: &str) -> Component {
        let text = format!("[plugin]\nid = \"wasi-guest\"\n[permissions]\n{permissions}");
        let permissions = Manifest::parse(&text).unwrap().permissions;
        let policy = if policy.is_empty() { "mode = \"as-declared\"" } else { policy };
        let policy = Policy::parse(policy).unwrap();
        let bench = Bench::with(|builder| builder.policy(policy));
        let path = root().join("tests/fixtures/wasi-guest.wasm");
        let loaded = bench.host.load(LoadRequest::path(path).permissions(permissions)).wait();
        let id = loaded.unwrap_or_else(|error| panic!("{error}"));
        Component { bench, id }
    }

    pub(crate) fn ask(&self, command: &str) -> String {
        self.bench.ask(self.id, command)
    }
}

/// Connections and datagrams that reach this machine.
struct Listeners {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Listeners {
    fn new() -> Listeners {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        Listeners { tcp, udp }
    }

    /// `<tcp>` and `<udp>` become the ports.
    fn fill_in(&self, text: &str) -> String {
        let port = |address: SocketAddr| address.port().to_string();
        text.replace("<tcp>", &port(self.tcp.local_addr().unwrap()))
            .replace("<udp>", &port(self.udp.local_addr().unwrap()))
    }

    fn heard(&self) -> (usize, usize) {
        let connections = std::iter::from_fn(|| self.tcp.accept().ok()).count();
        let datagrams = std::iter::from_fn(|| self.udp.recv(&mut [0; 16]).ok()).count();
        (connections, datagrams)
    }
}

#[test]
fn the_network_is_reached_where_it_is_granted_and_nowhere_else() {
    const DENIED: &str = "access-denied";
    /// `heard` counts connections and datagrams; the last access of the network is `log`.
    #[track_caller]
    fn check(permissions: &str, command: &str, answer: &str, heard: (usize, usize), log: &str) {
        let listeners = Listeners::new();
        let guest = Component::load(&listeners.fill_in(permissions), "");
        let found = guest.ask(&listeners.fill_in(command));
        assert!(found.contains(answer), "{permissions} {command}: {found}");
        assert_eq!(listeners.heard(), heard, "{permissions} {command}");
        let accesses = guest.bench.host.access_log(guest.id).unwrap().entries;
        let network = accesses.iter().filter(|entry| entry.permission == Permission::Network);
        let entries: Vec<String> = network
            .map(|entry| {
                format!("{} {}", if entry.allowed { "may" } else { "may not" }, entry.parameter)
            })
            .collect();
        let log = listeners.fill_in(log);
        assert!(entries.contains(&log), "{permissions} {command}: {entries:?} lacks {log}");
        let events = guest.bench.events.events().into_iter();
        let shown = events.filter(|event| {
            matches!(&event.what, What::HostCall { host_call, .. }
                if host_call.permission == Permission::Network)
        });
        assert_eq!(shown.count(), entries.len(), "{permissions} {command}");
    }
    let here = "network = [\"127.0.0.1:<tcp>\", \"127.0.0.1:<udp>\"]";
    let (tcp, udp) = ("connect 127.0.0.1 <tcp>", "send 127.0.0.1 <udp>");
    check("", tcp, DENIED, (0, 0), "may not ");
    check("", udp, DENIED, (0, 0), "may not ");
    check(here, tcp, "connected", (1, 0), "may 127.0.0.1:<tcp>");
    check(here, udp, "sent 1", (0, 1), "may 127.0.0.1:<udp>");
    check("network = [\"127.0.0.0/8:*\"]", tcp, "connected", (1, 0), "may 127.0.0.1:<tcp>");
    check("network = [\"127.0.0.1:1\"]", tcp, DENIED, (0, 0), "may not 127.0.0.1:<tcp>");
    check("network = [\"127.0.0.1:1\"]", udp, DENIED, (0, 0), "may not 127.0.0.1:<udp>");
    check("network = [\"10.0.0.0/8:*\"]", tcp, DENIED, (0, 0), "may not 127.0.0.1:<tcp>");
    let except = "network = { hosts = [\"*:*\"], except = [\"127.0.0.0/8:*\"] }";
    check(except, tcp, DENIED, (0, 0), "may not 127.0.0.1:<tcp>");
    // A name stands for what looking it up gives, and for nothing else.
    let name = "network = [\"localhost:<tcp>\"]";
    let resolve = "resolve localhost <tcp>";
    check("", resolve, DENIED, (0, 0), "may not look up localhost");
    check(here, resolve, DENIED, (0, 0), "may not look up localhost");
    check(name, resolve, "connected", (1, 0), "may localhost:<tcp>");
    check(name, tcp, DENIED, (0, 0), "may not 127.0.0.1:<tcp>");
}

#[test]
fn queued_frames_reach_the_network_too() {
    let listeners = Listeners::new();
    let guest = Component::load(&listeners.fill_in("network = [\"127.0.0.1:<tcp>\"]"), "");
    let frame = Frame::data(listeners.fill_in("connect 127.0.0.1 <tcp>"));
    let reply = guest.bench.host.try_dispatch_to(guest.id, frame).unwrap().wait();
    assert!(reply.outcome.is_completed(), "{}", reply.outcome);
    assert_eq!(listeners.heard(), (1, 0));
}

#[test]
fn a_network_that_is_wished_for_is_suggested() {
    let listeners = Listeners::new();
    let guest = Component::load("", "mode = \"record\"");
    let answer = guest.ask(&listeners.fill_in("connect 127.0.0.1 <tcp>"));
    assert!(answer.contains("access-denied"), "{answer}");
    assert_eq!(listeners.heard(), (0, 0));
    let wishes = guest.bench.host.wishes(guest.id);
    let suggestion = glovebox_host::suggest(|_| Ok::<_, ()>(wishes.clone())).unwrap();
    let expected = listeners.fill_in("network = [\"127.0.0.1:<tcp>\"]\n");
    assert_eq!(suggestion.permissions.to_string(), expected);
}

#[test]
fn components_get_what_is_granted() {
    #[track_caller]
    fn check(permissions: &str, command: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        folders(folder.path());
        let path = folder.path().display().to_string();
        let guest = Component::load(&permissions.replace("<folder>", &path), "");
        // On a busy machine anything else may take as long.
        if command.starts_with("sleep") {
            let mut limits = guest.bench.host.plugin(guest.id).unwrap().limits;
            limits.call_deadline = Duration::from_millis(200);
            guest.bench.host.set_limits(guest.id, limits).unwrap();
        }
        let found = guest.ask(command);
        assert!(found.contains(expected), "{permissions} {command}: {found}");
    }
    let data = "files = [{ path = \"<folder>/data\", at = \"/data\" }]";
    check(data, "open hello", "/data: opened");
    check(data, "open ../outside/secret", "not-permitted");
    check(data, "open etc/passwd", "not-permitted");
    check(data, "open nothing", "no-entry");
    check("environment = [\"PATH\"]", "variables", "PATH");
    check("random = true", "random 16", "16 bytes");
    check(
        "random = true",
        "random 1099511627776",
        "trapped: host-error: asked for 1024 GiB of random bytes at once, limit 1 MiB",
    );
    check("", "sleep 3600", "timed out: stopped at its deadline of 200 ms");
}

#[test]
fn a_component_loses_a_folder_at_once() {
    let folder = tempfile::tempdir().unwrap();
    folders(folder.path());
    let path = folder.path().join("data");
    let files = format!("files = [{{ path = \"{}\", at = \"/data\" }}]", path.display());
    let guest = Component::load(&files, "");
    assert_eq!(guest.ask("open hello"), "/data: opened");
    guest.bench.host.set_decision(guest.id, Permission::Files, Decision::Deny);
    assert_eq!(guest.ask("open hello"), "");
}
