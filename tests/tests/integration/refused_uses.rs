//! Refused uses are counted as denied and shown, whatever error the plugin is given.

use std::path::Path;

use glovebox_abi::{Frame, Permission, ServiceError};
use glovebox_events::What;
use glovebox_host::{Decision, InstanceId, LoadRequest, Policy, Standing};
use glovebox_tests::{Bench, root};

/// A plugin in a folder with a file `data/hello`.
fn load(bench: &Bench, folder: &Path, artifact: &Path, permissions: &str) -> InstanceId {
    std::fs::create_dir_all(folder.join("data")).unwrap();
    std::fs::write(folder.join("data/hello"), "hello").unwrap();
    let manifest = format!(
        "[plugin]\nid = \"guest\"\n[artifact]\nwasm = '{}'\n[permissions]\n{permissions}\n",
        artifact.display()
    );
    std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
    let loaded = bench.host.load(LoadRequest::path(folder)).wait();
    loaded.unwrap_or_else(|error| panic!("{error}"))
}

/// Uses and denials as they are counted, denials in the access log, and host calls that are denied.
fn seen(bench: &Bench, id: InstanceId, permission: Permission) -> [u64; 4] {
    let status = bench.host.plugin(id).unwrap().permissions;
    let status = status.into_iter().find(|status| status.permission == permission).unwrap();
    let log = bench.host.access_log(id).unwrap().entries.into_iter();
    let log = log.filter(|entry| entry.permission == permission && !entry.allowed);
    let events = bench.events.events().into_iter().filter(|event| {
        matches!(&event.what, What::HostCall { host_call, .. }
            if host_call.permission == permission
                && host_call.result == Err(ServiceError::Denied))
    });
    [status.uses, status.denials, log.map(|entry| entry.times).sum(), events.count() as u64]
}

/// A module of the frame ABI that calls one function of preview 1. The text `hello` lies at 1024.
fn module(function: &str, parameters: &str, arguments: &str) -> String {
    let arguments: Vec<String> = arguments
        .split_whitespace()
        .zip(parameters.split(' '))
        .map(|(value, of)| format!("({of}.const {value})"))
        .collect();
    let arguments = arguments.join(" ");
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "{function}"
            (func $function (param {parameters}) (result i32)))
          (func (export "glovebox_abi_0_1"))
          (memory (export "memory") 2)
          (data (i32.const 1024) "hello")
          (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 65536))
          (func (export "glovebox_process") (param i32) (result i64)
            (drop (call $function {arguments}))
            (i64.const 0)))"#
    )
}

const FILES: &str = "files = [{ path = \"data\", access = \"read-write\" }]";
const OPEN: [&str; 3] =
    ["path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32", "3 0 1024 5 0 2 2 0 200"];

#[test]
fn a_module_that_is_refused_files_or_variables_is_denied_them() {
    /// A function with its parameters and arguments, what is asked for, the policy, and the uses and
    /// denials of a call.
    #[track_caller]
    fn check(
        [function, parameters, arguments]: [&str; 3],
        permissions: &str,
        policy: &str,
        expected: [u64; 2],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let wat = folder.path().join("guest.wat");
        std::fs::write(&wat, module(function, parameters, arguments)).unwrap();
        let bench = Bench::with(|builder| builder.policy(Policy::parse(policy).unwrap()));
        let id = load(&bench, folder.path(), Path::new("guest.wat"), permissions);
        let is_about = |word: &str| function.starts_with(word);
        let permission =
            if is_about("environ") { Permission::Environment } else { Permission::Files };
        let reply = bench.host.call(id, &Frame::data(""));
        assert!(reply.outcome.is_completed(), "{}", reply.outcome);
        let [uses, denials] = expected;
        let found = seen(&bench, id, permission);
        let expected = [uses, denials, denials, denials];
        assert_eq!(found, expected, "{function} {arguments}, {permissions:?}, {policy:?}");
    }
    const NO: [u64; 2] = [0, 1];
    const DENY: &str = "mode = 'as-declared'\n[default]\nfiles = 'deny'\nenvironment = 'deny'";
    const DECLARED: &str = "mode = 'as-declared'";
    for policy in ["", DENY, "mode = 'strict'", "mode = 'ask'"] {
        check(OPEN, FILES, policy, NO);
        check(OPEN, "", policy, NO);
    }
    check(OPEN, FILES, "mode = 'record'", NO);
    check(OPEN, FILES, DECLARED, [1, 0]);
    // With any path, and any number.
    let open = |arguments| [OPEN[0], OPEN[1], arguments];
    check(open("3 0 1024 0 0 2 2 0 200"), FILES, "", NO);
    check(open("3 0 1020 9 0 2 2 0 200"), FILES, "", NO);
    check(open("99 1 1024 5 1 66 66 0 200"), FILES, "", NO);
    check(open("1 0 1024 5 0 2 2 0 200"), FILES, "", NO);
    check(["path_create_directory", "i32 i32 i32", "3 1024 5"], FILES, "", NO);
    check(["path_remove_directory", "i32 i32 i32", "3 1024 5"], FILES, "", NO);
    check(["path_unlink_file", "i32 i32 i32", "3 1024 5"], FILES, "", NO);
    check(["path_rename", "i32 i32 i32 i32 i32 i32", "3 1024 5 3 1024 4"], FILES, "", NO);
    check(["path_link", "i32 i32 i32 i32 i32 i32 i32", "3 0 1024 5 3 1024 4"], FILES, "", NO);
    check(["path_symlink", "i32 i32 i32 i32 i32", "1024 5 3 1024 4"], FILES, "", NO);
    let stat = ["path_filestat_get", "i32 i32 i32 i32 i32", "3 0 1024 5 200"];
    check(stat, FILES, "", NO);
    check(stat, "", "", NO);
    check(stat, FILES, DECLARED, [0, 0]);
    check(["path_readlink", "i32 i32 i32 i32 i32 i32", "3 1024 5 200 9 300"], FILES, "", NO);
    let times = ["path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32", "3 0 1024 5 0 0 0"];
    check(times, FILES, "", NO);
    for (function, parameters, arguments) in [
        ("fd_read", "i32 i32 i32 i32", "3 200 0 300"),
        ("fd_pread", "i32 i32 i32 i64 i32", "3 200 0 0 300"),
        ("fd_write", "i32 i32 i32 i32", "3 200 0 300"),
        ("fd_pwrite", "i32 i32 i32 i64 i32", "3 200 0 0 300"),
        ("fd_readdir", "i32 i32 i32 i64 i32", "3 200 99 0 300"),
        ("fd_sync", "i32", "3"),
        ("fd_datasync", "i32", "3"),
        ("fd_advise", "i32 i64 i64 i32", "3 0 0 0"),
        ("fd_allocate", "i32 i64 i64", "3 0 1"),
        ("fd_seek", "i32 i64 i32 i32", "3 0 0 200"),
        ("fd_tell", "i32 i32", "3 200"),
        ("fd_fdstat_get", "i32 i32", "3 200"),
        ("fd_fdstat_set_flags", "i32 i32", "3 0"),
        ("fd_filestat_get", "i32 i32", "3 200"),
        ("fd_filestat_set_size", "i32 i64", "3 0"),
        ("fd_filestat_set_times", "i32 i64 i64 i32", "3 0 0 0"),
        ("fd_prestat_dir_name", "i32 i32 i32", "3 200 9"),
    ] {
        check([function, parameters, arguments], FILES, "", NO);
        check([function, parameters, arguments], "", "", NO);
    }
    // Standard streams are not files, and libraries look for folders and variables as they start.
    check(["fd_fdstat_get", "i32 i32", "1 200"], FILES, "", [0, 0]);
    check(["fd_write", "i32 i32 i32 i32", "1 200 0 300"], FILES, "", [0, 0]);
    let folders = ["fd_prestat_get", "i32 i32", "3 200"];
    check(folders, FILES, "", NO);
    check(folders, "", "", [0, 0]);
    check(folders, FILES, DECLARED, [0, 0]);
    for function in ["environ_get", "environ_sizes_get"] {
        let variables = [function, "i32 i32", "200 300"];
        check(variables, "environment = [\"PATH\"]", "", NO);
        check(variables, "environment = [\"PATH\"]", DENY, NO);
        check(variables, "", "", [0, 0]);
    }
    let unset = "environment = [\"NO_SUCH_VARIABLE\"]";
    check(["environ_get", "i32 i32", "200 300"], unset, DECLARED, [0, 0]);
}

#[test]
fn a_component_that_is_refused_the_machine_is_denied_it() {
    /// Checks the number of denials of a command under permissions that a manifest asks for.
    #[track_caller]
    fn check(permissions: &str, command: &str, permission: Permission, expected: u64) {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::new();
        let artifact = root().join("tests/fixtures/wasi-guest.wasm");
        let id = load(&bench, folder.path(), &artifact, permissions);
        bench.ask(id, command);
        let found = seen(&bench, id, permission);
        assert_eq!(found, [0, expected, expected, expected], "{permissions:?} {command}");
    }
    use Permission::{Environment, Files, Network};
    check(FILES, "open hello", Files, 1);
    check("", "open hello", Files, 0);
    check("environment = [\"PATH\"]", "variables", Environment, 1);
    check("", "variables", Environment, 0);
    check("network = [\"127.0.0.1:1\"]", "connect 127.0.0.1 1", Network, 1);
    check("", "send 127.0.0.1 1", Network, 1);
    check("", "resolve localhost 1", Network, 1);
}

#[test]
fn files_that_are_held_when_they_are_taken_away_are_denied() {
    /// Checks that `after` is denied to a component that holds a file since `before`.
    #[track_caller]
    fn check(before: &str, after: &str) {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::as_declared();
        let artifact = root().join("tests/fixtures/wasi-guest.wasm");
        let id = load(&bench, folder.path(), &artifact, FILES);
        bench.ask(id, before);
        bench.host.set_decision(id, Permission::Files, Decision::Deny);
        // The copy that held it may be replaced by now; then it holds nothing.
        let answer = bench.ask(id, after);
        let [_, denials, log, events] = seen(&bench, id, Permission::Files);
        let is_replaced = answer.contains("nothing is held");
        assert!(is_replaced || denials > 0, "{after}: {answer}");
        assert_eq!([denials; 2], [log, events], "{after}: {answer}");
    }
    check("hold hello", "more text");
    check("list", "list");
    check("open hello", "open hello");
}

#[test]
fn a_refused_use_is_asked_about_once() {
    let folder = tempfile::tempdir().unwrap();
    let wat = module(OPEN[0], OPEN[1], OPEN[2]);
    std::fs::write(folder.path().join("guest.wat"), wat).unwrap();
    let bench = Bench::new();
    let id = load(&bench, folder.path(), Path::new("guest.wat"), FILES);
    for _ in 0..3 {
        bench.host.call(id, &Frame::data(""));
    }
    let status = bench.host.plugin(id).unwrap().permissions;
    let files = status.iter().find(|status| status.permission == Permission::Files).unwrap();
    assert_eq!((files.standing, files.uses, files.denials), (Standing::Asking, 0, 3));
    let events = bench.events.events().into_iter();
    let asked = events.filter(|event| matches!(event.what, What::PolicyAsked { .. })).count();
    assert_eq!(asked, 1);
}
