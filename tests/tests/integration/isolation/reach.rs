//! The reach of a plugin in a process of its own: what it was granted, and nothing else.

use std::fs;

use glovebox_abi::manifest::LimitKind;
use glovebox_host::worker::{self, Layer};
use glovebox_host::{Decision, Enforcement, LimitOrigin, LoadRequest, Permission};
use glovebox_tests::Bench;

use super::plugin::{load, plugin};
use crate::cli::Folder;

#[test]
fn nothing_outside_is_reached() {
    let (bench, id) = load("reach", "");
    let check = |command: &str, expected: &[&str]| {
        let found = bench.ask(id, command);
        assert!(expected.contains(&found.as_str()), "{command}: {found:?}");
    };
    let denied = ["Permission denied", "No such file or directory", "Read-only file system"];
    check("read", &denied);
    check("write", &denied);
    check("connect", &["Operation not permitted", "Permission denied"]);
    check("fork", &["Operation not permitted", "Permission denied"]);
    check("kill parent", &["Operation not permitted", "Permission denied"]);
    check("trace parent", &["Operation not permitted", "No such process"]);
    // AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET: streams, datagrams and raw ones.
    for family in [1, 2, 10, 16, 17] {
        for kind in [1, 2, 3] {
            let socket = format!("socket {family} {kind}");
            check(&socket, &["Operation not permitted", "Permission denied"]);
        }
    }
}

/// The attempts are real ones: without the sandbox they succeed.
#[test]
fn outside_of_the_sandbox_all_of_it_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    plugin(folder.path(), "free", "");
    let bench = Bench::new();
    let request = LoadRequest::path(folder.path()).trust_native();
    let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
    let check = |command: &str, expected: &str| {
        assert_eq!(bench.ask(id, command), expected, "{command}");
    };
    check("read", "Success");
    check("connect", "Success");
    check("kill parent", "Success");
    check("socket 1 1", "open");
    check("socket 2 2", "open");
    assert_ne!(bench.ask(id, "variables"), "");
}

#[test]
fn a_process_inherits_nothing() {
    let (bench, id) = load("inherits", "");
    // Standard input, output and error; its memory, its line to the host, and the library.
    let handles: u32 = bench.ask(id, "handles").parse().unwrap();
    assert!(handles <= 8, "{handles} handles are open");
    assert_eq!(bench.ask(id, "variables"), "");
    // `/dev/null` is everybody's, and root could change its mode.
    assert_eq!(bench.ask(id, "input"), "a pipe");
}

#[test]
fn a_slice_that_cannot_be_is_the_plugins_fault() {
    let (bench, id) = load("slices", "[permissions]\nlog = true\n");
    for (length, expected) in [
        ("9223372036854775808", "the plugin gave a slice of 9223372036854775808 bytes"),
        ("18446744073709551615", "the plugin gave a slice of 18446744073709551615 bytes"),
    ] {
        let outcome = bench.ask(id, &format!("slice {length}"));
        assert!(outcome.contains(expected), "{outcome}");
    }
    assert_eq!(bench.ask(id, "slice 0xffffffffffffffff"), "logged");
    assert_eq!(bench.ask(id, "still there?"), "still there?");
}

#[test]
fn handles_and_memory_end_inside() {
    let (bench, id) = load("limits", "[limits]\nmemory = \"64 MiB\"\n");
    let own = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = own();
    assert_eq!(bench.ask(id, "exhaust handles"), "Too many open files");
    assert_eq!(bench.ask(id, "allocate 4096"), "Cannot allocate memory");
    assert_eq!(bench.ask(id, "still there?"), "still there?");
    // Other tests open some at the same time.
    assert!(own() < before + 32, "{} handles, {before} before", own());
}

#[test]
fn a_granted_folder_is_reached_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("in"), "inside").unwrap();
    fs::write(folder.path().join("secret"), "outside").unwrap();
    std::os::unix::fs::symlink("../secret", data.join("link")).unwrap();
    let manifest = |access: &str| {
        format!(
            "[permissions.files]\nfolders = [{{ path = \"data\", at = \"data\", access = \"{access}\" }}]\n"
        )
    };
    let load = |name: &str, access: &str| {
        plugin(folder.path(), name, &manifest(access));
        let bench = Bench::as_declared();
        let id = bench.host.load(LoadRequest::path(folder.path())).wait();
        (bench, id.unwrap_or_else(|error| panic!("{error}")))
    };
    let denied = ["Permission denied", "No such file or directory", "Read-only file system"];
    let (bench, id) = load("folders", "read-write");
    assert_eq!(bench.ask(id, "variables"), "GLOVEBOX_FOLDER_DATA ");
    assert_eq!(bench.ask(id, "file r in"), "inside");
    assert_eq!(bench.ask(id, "file w out"), "written");
    assert_eq!(fs::read_to_string(data.join("out")).unwrap(), "written");
    for way in ["../secret", "link"] {
        let found = bench.ask(id, &format!("file r {way}"));
        assert!(denied.contains(&found.as_str()), "{way}: {found:?}");
    }
    // The limit of a file ends what would fill the disk.
    let full = |bench: &Bench, id| {
        let found = bench.ask(id, "file F full");
        let length = data.join("full").metadata().unwrap().len();
        fs::remove_file(data.join("full")).unwrap();
        (found, length)
    };
    assert_eq!(full(&bench, id), ("File too large".to_owned(), 64 << 20));
    let limited = format!("{}[limits]\nfile-bytes = \"3 MiB\"\n", manifest("read-write"));
    plugin(folder.path(), "folders-limited", &limited);
    let few = Bench::as_declared();
    let limited = few.host.load(LoadRequest::path(folder.path())).wait().unwrap();
    assert_eq!(full(&few, limited), ("File too large".to_owned(), 3 << 20));
    let limit = few.host.plugin(limited).unwrap().limit(LimitKind::FileBytes).cloned().unwrap();
    assert_eq!((limit.value, limit.origin), (Some(3 << 20), LimitOrigin::Manifest));
    assert_eq!(limit.enforcement, Enforcement::Enforced);
    let process = bench.ask(id, "process");
    assert!(bench.host.set_decision(id, Permission::Files, Decision::Deny));
    assert_eq!(bench.ask(id, "file r in"), "No such file or directory");
    assert_ne!(bench.ask(id, "process"), process, "it has a fresh process without the folder");
    let (bench, id) = load("folders-read", "read");
    assert_eq!(bench.ask(id, "file r in"), "inside");
    let found = bench.ask(id, "file w in");
    assert!(denied.contains(&found.as_str()), "{found:?}");
    // The outer one of two folders decides what may be written.
    fs::create_dir(data.join("inner")).unwrap();
    let inner = "read\" }, { path = \"data/inner\", at = \"inner\", access = \"read-write";
    let (bench, id) = load("folders-within", inner);
    assert_eq!(bench.ask(id, "file r in"), "inside");
    let found = bench.ask(id, "file w inner/new");
    assert!(denied.contains(&found.as_str()), "{found:?}");
    let inner = "read-write\" }, { path = \"data/inner\", at = \"inner\", access = \"read";
    let (bench, id) = load("folders-around", inner);
    assert_eq!(bench.ask(id, "file w inner/new"), "written");
}

#[test]
fn what_the_machine_has_is_found_out_by_trying() {
    let check = worker::check();
    let probes = check.layers.clone().unwrap();
    let layers: Vec<Layer> = probes.iter().map(|probe| probe.layer).collect();
    assert_eq!(layers, Layer::ALL);
    let started = check.started.clone().unwrap();
    // Root's processes are counted by a cgroup, which a trial has to have, too.
    let processes = probes.iter().find(|probe| probe.layer == Layer::Processes).unwrap();
    assert_eq!(processes.missing.is_none(), started.is_enforced(Layer::Processes), "{processes:?}");
    for (promise, is_kept) in check.promises() {
        // A worker that starts has what a promise needs, or the promise is broken in both.
        let in_worker = promise.is_kept(|layer| started.is_enforced(layer));
        assert_eq!(is_kept, in_worker, "{}", promise.text);
        assert!(is_kept || !promise.is_needed, "{}", promise.text);
    }
}

/// A grant without effect is said to be one, wherever it is shown.
#[test]
fn a_network_that_is_not_there_is_said_to_be_none() {
    let folder = Folder::new();
    plugin(folder.0.path(), "told", "[permissions]\nnetwork = [\"example.org:443\"]\n");
    let why = "there is no network in a process of its own; only WebAssembly has what is granted";
    let call = ["call", ".", "--allow", "network", "--payload", "x"];
    let run = folder.run(&call);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    let line = format!("network is granted to told, and has no effect: {why}");
    assert_eq!(said.matches(&line).count(), 1, "{said}");
    let json = folder.json(&call, 0, "completed");
    assert_eq!(json["plugin"]["no_effect"]["network"], why);
    let explain = ["policy", "explain", ".", "--allow", "network"];
    folder.check(&explain, 0, &format!("no effect: {why}"), "");
    let json = folder.json(&explain, 0, "");
    let permissions = json["permissions"].as_array().unwrap();
    let network = permissions.iter().find(|it| it["permission"] == "network").unwrap();
    assert_eq!(network["no_effect"], why);
    // Nothing is said of one that does not have it.
    let denied =
        String::from_utf8_lossy(&folder.run(&["call", ".", "--payload", "x"]).stderr).into_owned();
    assert!(!denied.contains("has no effect"), "{denied}");
}

/// Dashboards have what the system counts of the processes.
#[test]
fn figures_have_the_usage_of_processes() {
    let (bench, id) = load("measured", "");
    bench.ask(id, "hello");
    let figures = bench.host.prometheus();
    let plugin = "{plugin=\"measured\",instance=\"0\"";
    let more_than_nothing = |name: &str, labels: &str| {
        let begin = format!("glovebox_plugin_{name}{plugin}{labels}}} ");
        let value = figures.lines().find_map(|line| line.strip_prefix(&begin));
        let value: f64 = value.unwrap_or_else(|| panic!("{begin} in {figures}")).parse().unwrap();
        assert!(value > 0.0, "{begin}{value}");
    };
    more_than_nothing("processes", "");
    more_than_nothing("process_resident_memory_bytes", "");
    more_than_nothing("process_threads", "");
    more_than_nothing("process_page_faults", ",kind=\"minor\"");
    for name in ["process_cpu_seconds", "process_page_faults"] {
        assert!(figures.contains(&format!("# TYPE glovebox_plugin_{name} gauge")), "{figures}");
    }
}
