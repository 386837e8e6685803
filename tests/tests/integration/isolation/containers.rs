//! Plugins in images, run by podman: what they reach, how they end, and what is left of them. The image is
//! made here, of busybox and a program that does what a frame says.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use glovebox_abi::manifest::LimitKind;
use glovebox_events::Binding;
use glovebox_host::worker::Layer;
use glovebox_host::{
    Enforcement, EngineName, Frame, InstanceId, Isolation, LoadError, LoadRequest, Outcome,
    PluginStatus, PolicyMode,
};
use glovebox_tests::Bench;

use super::bubblewrap::{load_boxed, with_root_folder};
use super::framed::{AT_ONCE, program_of, still_there};
use super::plugin::{wait_for_line, wait_until_gone};

/// Tests that need podman say so in one place.
macro_rules! needs_podman {
    ($(#[$doc:meta])* fn $name:ident() $body:block) => {
        $(#[$doc])*
        #[test]
        #[cfg_attr(
            not(has_podman),
            ignore = "needs podman: install it with `apt-get install podman runc busybox-static`"
        )]
        fn $name() $body
    };
}

/// The output of podman.
#[track_caller]
fn podman(words: &[&str]) -> String {
    let output = Command::new("podman").args(words).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "podman {words:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The image, by its name and digest. It is imported once for all runs of the tests with the same content.
fn image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        for name in ["tmp", "proc", "dev", "sys", "etc", "volume"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        program_of("contained", &root.join("bin/program"), &["-static"]);
        let busybox = Command::new("sh").args(["-c", "command -v busybox"]).output().unwrap();
        let busybox = String::from_utf8(busybox.stdout).unwrap();
        fs::copy(busybox.trim(), root.join("bin/busybox")).unwrap();
        std::os::unix::fs::symlink("busybox", root.join("bin/sh")).unwrap();
        let archive = folder.path().join("root.tar");
        let always_the_same = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0"];
        let mut tar = Command::new("tar");
        tar.args(always_the_same).arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".");
        assert!(tar.status().unwrap().success());
        let content = blake3::hash(&fs::read(&archive).unwrap()).to_hex();
        let name = format!("localhost/glovebox-tests:{}", &content[..16]);
        if !Command::new("podman").args(["image", "exists", &name]).status().unwrap().success() {
            let volume = ["--change", "VOLUME /volume"];
            let words = ["import", "--quiet", archive.to_str().unwrap(), &name];
            podman(&[&words[..2], &volume, &words[2..]].concat());
        }
        let digest = podman(&["image", "inspect", "--format", "{{.Digest}}", &name]);
        format!("{name}@{digest}")
    })
}

/// A folder with the manifest of the image.
fn manifest(folder: &Path, name: &str, image: &str, more: &str) {
    let limits = match more.contains("call-deadline") {
        true => "",
        // Nothing here depends on how busy the machine is, unless a test says so.
        false => "[limits]\ncall-deadline = \"60s\"\n",
    };
    let text = format!(
        "[plugin]\nid = \"{name}\"\n[artifact]\nimage = \"{image}\"\n[runtime]\ncommand = \
         [\"/bin/program\"]\n{AT_ONCE}{limits}{more}"
    );
    fs::write(folder.join("plugin.toml"), text).unwrap();
}

fn request(name: &str, more: &str) -> (tempfile::TempDir, LoadRequest) {
    let folder = tempfile::tempdir().unwrap();
    manifest(folder.path(), name, image(), more);
    let request = LoadRequest::path(folder.path()).accept_container();
    (folder, request)
}

#[track_caller]
fn load(name: &str, more: &str) -> (Bench, InstanceId) {
    let (_folder, request) = request(name, more);
    let bench = Bench::as_declared();
    let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
    (bench, id)
}

fn status(bench: &Bench, id: InstanceId) -> PluginStatus {
    bench.host.plugin(id).unwrap()
}

/// The containers of a plugin, running or not.
fn containers(plugin: &str) -> Vec<String> {
    let filter = format!("label=io.glovebox.container={plugin}");
    let names = podman(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
    names.lines().map(str::to_owned).collect()
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not so after 120 s");
    }
}

needs_podman! {
    fn a_container_speaks_and_says_where_it_is() {
        let (bench, id) = load("container-speaks", "[permissions]\nlog = true\n");
        assert_eq!(bench.ask(id, "hello"), "hello");
        let large = bench.ask(id, &"x".repeat(3 << 20));
        assert_eq!(large.len(), 127, "it answers with what it kept");
        let found = status(&bench, id);
        assert_eq!((found.binding, found.isolation), (Binding::Framed, Isolation::Container));
        let sandbox = found.sandbox.unwrap();
        for layer in [
            Layer::Cgroup, Layer::NetworkNamespace, Layer::MountNamespace, Layer::IpcNamespace,
            Layer::Limits, Layer::Processes, Layer::Capabilities, Layer::NoNewPrivileges,
            Layer::Scopes, Layer::SystemCalls,
        ] {
            assert!(sandbox.is_enforced(layer), "{layer}: {sandbox:?}");
        }
        assert!(status(&bench, id).usage.unwrap().resident > 0);
        bench.ask(id, "complain");
        wait_for_line(&bench, "to standard error", || drop(bench.ask(id, "next")));
        assert_eq!(containers("container-speaks").len(), 1);
        assert!(bench.host.unload(id));
        wait_until("its container is removed", || containers("container-speaks").is_empty());
    }
}

/// The commands of a frame that lead out, and what they give inside.
pub(super) const FORBIDDEN: &[(&str, &[&str])] = &[
    ("write", &["Read-only file system"]),
    ("replace", &["Read-only file system", "No such file or directory"]),
    // Where bubblewrap does it, one of them is that.
    ("processes", &["1", "2"]),
    ("networks", &["1"]),
    ("mount", &["Operation not permitted", "Function not implemented"]),
    ("raw socket", &["Operation not permitted", "Address family not supported by protocol"]),
    ("new namespace", &["Operation not permitted", "Function not implemented"]),
    ("privileges", &["0000000000000000 1 2"]),
    ("files", &["64"]),
    ("forks", &["Resource temporarily unavailable"]),
    ("devices", &["Read-only file system"]),
    ("volume", &["Read-only file system"]),
    ("groups of processes", &["Read-only file system", "No such file or directory"]),
];

/// The commands of a frame that make something in a granted folder by which another program is reached or
/// rights are had outside, or that take what nobody counts; and what they give inside.
pub(super) const FORBIDDEN_IN_A_FOLDER: &[(&str, &[&str])] = &[
    ("setuid", NOT_PERMITTED),
    ("setuid of a handle", NOT_PERMITTED),
    ("setuid by a new call", &["Function not implemented", "Operation not permitted"]),
    ("setuid at once", NOT_PERMITTED),
    ("setuid by a structure", &["Function not implemented"]),
    ("setgid folder", NOT_PERMITTED),
    ("symbolic link", NOT_PERMITTED),
    ("named pipe", NOT_PERMITTED),
    ("unix socket", NOT_PERMITTED),
    ("named socket", NOT_PERMITTED),
    ("pair of datagrams", NOT_PERMITTED),
    ("vsock", NOT_PERMITTED),
    ("hidden room", NOT_PERMITTED),
    ("old hidden room", NOT_PERMITTED),
    ("lease", NOT_PERMITTED),
    ("large file", &["File too large"]),
];

const NOT_PERMITTED: &[&str] = &["Operation not permitted"];

/// The manifest of a plugin with a folder, in which somebody listens.
fn with_folder(folder: &Path, name: &str, access: &str) -> UnixListener {
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    let files = format!(
        "[permissions.files]\nfolders = [{{ path = \"data\", at = \"data\", access = \"{access}\" }}]\n"
    );
    manifest(folder, name, image(), &files);
    UnixListener::bind(data.join("listens")).unwrap()
}

needs_podman! {
    fn nothing_outside_is_reached() {
        let (bench, id) = load("container-reach", "");
        for (command, expected) in FORBIDDEN {
            let found = bench.ask(id, command);
            assert!(expected.contains(&found.as_str()), "{command}: {found:?}");
        }
    }
}

needs_podman! {
    /// Where the engine is root's, a plugin with a folder is root, but for the capabilities.
    fn a_granted_folder_leads_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let _listener = with_folder(folder.path(), "container-leads", "read-write");
        let bench = Bench::as_declared();
        let request = LoadRequest::path(folder.path()).accept_container();
        let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
        for (command, expected) in FORBIDDEN_IN_A_FOLDER.iter().chain(FORBIDDEN) {
            let found = bench.ask(id, command);
            assert!(expected.contains(&found.as_str()), "{command}: {found:?}");
        }
        assert_eq!(bench.ask(id, "room"), "Success");
        if cfg!(target_arch = "x86_64") {
            let found = bench.ask(id, "old call");
            assert!(found.starts_with("crashed: signal 31 (SIGSYS"), "{found}");
        }
    }
}

needs_podman! {
    fn a_granted_folder_is_there_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("in"), "inside").unwrap();
        let files = |access: &str| format!(
            "[permissions.files]\nfolders = [{{ path = \"data\", at = \"data\", access = \"{access}\" }}]\n"
        );
        let check = |access: &str, written: &str| {
            manifest(folder.path(), "container-folder", image(), &files(access));
            let bench = Bench::as_declared();
            let request = LoadRequest::path(folder.path()).accept_container();
            let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(bench.ask(id, "file in"), "inside");
            assert_eq!(bench.ask(id, "file out"), written, "{access}");
        };
        check("read", "Read-only file system");
        check("read-write", "written");
        assert_eq!(fs::read_to_string(data.join("out")).unwrap(), "written");
    }
}

needs_podman! {
    fn of_folders_in_each_other_the_outer_one_decides() {
        let check = |outer: &str, inner: &str, written: &str| {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join("around/data")).unwrap();
            fs::write(folder.path().join("around/data/in"), "inside").unwrap();
            let files = format!(
                "[permissions.files]\nfolders = [{{ path = \"around/data\", at = \"data\", access = \
                 \"{inner}\" }}, {{ path = \"around\", at = \"around\", access = \"{outer}\" }}]\n"
            );
            manifest(folder.path(), "container-within", image(), &files);
            let bench = Bench::as_declared();
            let request = LoadRequest::path(folder.path()).accept_container();
            let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(bench.ask(id, "file in"), "inside");
            assert_eq!(bench.ask(id, "file out"), written, "{outer}, {inner}");
        };
        check("read", "read-write", "Read-only file system");
        check("read-write", "read", "written");
        check("read-write", "read-write", "written");
        check("read", "read", "Read-only file system");
    }
}

needs_podman! {
    fn each_end_has_its_name_and_the_next_frame_is_processed() {
        let limits = "[limits]\ncall-deadline = \"5s\"\nmemory = \"64 MiB\"\n";
        let (bench, id) = load("container-ends", limits);
        let check = |command: &str, expected: &str| {
            let before = containers("container-ends");
            let outcome = bench.ask(id, command);
            assert!(outcome.starts_with(expected), "{command}: {outcome:?} is not {expected:?}");
            still_there(&bench, id, command);
            wait_until("the container before is removed", || {
                containers("container-ends").iter().all(|name| !before.contains(name))
            });
        };
        check("segv", "crashed: signal 11 (SIGSEGV");
        check("exit 3", "crashed: the worker exited with code 3");
        check("allocate 4096", "limit exceeded: asked for ");
        check("ignore and hang", "timed out");
        check("garbage", "crashed: the worker broke the protocol, and was killed: ");
        check("drip", "timed out");
    }
}

needs_podman! {
    /// Case 64: a gigabyte of output goes nowhere but into the log, of which the end is kept.
    fn a_flood_fills_no_storage() {
        let (bench, id) = load("container-flood", "[permissions]\nlog = true\n");
        let storage = podman(&["info", "--format", "{{.Store.GraphRoot}} {{.Store.RunRoot}}"]);
        let used = || {
            let folders = storage.split(' ');
            let sizes = folders.map(|folder| {
                let size = Command::new("du").args(["-s", "-k", folder]).output().unwrap();
                let size = String::from_utf8_lossy(&size.stdout).into_owned();
                size.split_whitespace().next().and_then(|size| size.parse::<u64>().ok()).unwrap_or(0)
            });
            sizes.sum::<u64>()
        };
        let before = used();
        for _ in 0..16 {
            assert_eq!(bench.ask(id, "flood"), "flood");
        }
        assert_eq!(bench.ask(id, "next"), "next");
        // Other tests start containers at the same time; a gigabyte would show.
        assert!(used() < before + (200 << 10), "{before} KiB before, {} after", used());
        wait_for_line(&bench, "bytes left out", || drop(bench.ask(id, "next")));
    }
}

/// The client of a container.
fn client_of(container: &str) -> u32 {
    let is_it = |process: &u32| {
        let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let words: Vec<String> = words
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into())
            .collect();
        words.get(1).is_some_and(|word| word == "run")
            && words.contains(&format!("--name={container}"))
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found = numbers.into_iter().find(is_it);
    found.unwrap_or_else(|| panic!("{container} has no client"))
}

fn signal(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

needs_podman! {
    /// Case 63: the container does not outlive its client, though that cannot take it along.
    fn a_killed_client_leaves_no_container() {
        let (bench, id) = load("container-client", "[limits]\ncall-deadline = \"10s\"\n");
        let before = containers("container-client");
        // It reads nothing, so that the end of its input is nothing to it.
        let ticket = bench.host.try_dispatch_to(id, Frame::data("ignore and hang")).unwrap();
        signal("-9", client_of(&before[0]));
        let outcome = ticket.wait().outcome;
        assert!(matches!(outcome, Outcome::Crashed { .. } | Outcome::TimedOut { .. }), "{outcome}");
        wait_until("the container is removed", || {
            containers("container-client").iter().all(|name| !before.contains(name))
        });
    }
}

const HOST: &str = "GLOVEBOX_TEST_CONTAINER_HOST";

/// A host in a process of its own, with a container whose process ignores everything. Gives both.
fn host_apart(test: &str) -> (std::process::Child, String) {
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(HOST, image())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let container = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("container ").map(|(_, name)| name.trim().to_owned()));
    (host, container.expect("the host says which container it has"))
}

/// True in the host apart, which ends when it is killed.
fn is_host_apart(plugin: &str) -> bool {
    let Some(image) = std::env::var_os(HOST) else { return false };
    let folder = tempfile::tempdir().unwrap();
    manifest(folder.path(), plugin, image.to_str().unwrap(), "");
    let bench = Bench::as_declared();
    let request = LoadRequest::path(folder.path()).accept_container();
    let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
    let _ticket = bench.host.try_dispatch_to(id, Frame::data("ignore and hang")).unwrap();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "container {}", containers(plugin)[0]).unwrap();
    stdout.flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    true
}

needs_podman! {
    fn a_killed_host_leaves_no_container() {
        if is_host_apart("container-left") {
            return;
        }
        let (mut host, container) =
            host_apart("isolation::containers::a_killed_host_leaves_no_container");
        assert!(containers("container-left").contains(&container));
        host.kill().unwrap();
        host.wait().unwrap();
        wait_until("its container is removed", || !containers("container-left").contains(&container));
    }
}

needs_podman! {
    /// Where the keeper is killed, too, the next host that starts a container removes what was left.
    fn what_is_left_is_swept_at_the_next_start() {
        if is_host_apart("container-swept") {
            return;
        }
        let (mut host, container) =
            host_apart("isolation::containers::what_is_left_is_swept_at_the_next_start");
        let client = client_of(&container);
        let status = fs::read_to_string(format!("/proc/{client}/stat")).unwrap();
        let keeper = status.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned();
        // It would remove the container otherwise.
        signal("-STOP", keeper.parse().unwrap());
        host.kill().unwrap();
        host.wait().unwrap();
        signal("-9", keeper.parse().unwrap());
        wait_until_gone(&client.to_string());
        let (bench, id) = load("container-sweeps", "");
        assert!(!containers("container-swept").contains(&container));
        assert_eq!(bench.ask(id, "hello"), "hello");
    }
}

/// An engine that leaves words out before it asks podman, or adds some.
fn engine(folder: &Path, change: &str) -> std::path::PathBuf {
    let path = folder.join("podman");
    let script = format!(
        "#!/bin/sh\nfor word; do shift; case \"$word\" in {change} *) set -- \"$@\" \"$word\";; esac; done\n\
         exec {} \"$@\"\n",
        podman_path()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn podman_path() -> String {
    let found = Command::new("sh").args(["-c", "command -v podman"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().trim().to_owned()
}

/// Loads the image by a changed engine.
fn load_by(change: &str) -> (Bench, Result<InstanceId, LoadError>) {
    let (_folder, request) = request("container-weak", "");
    load_of(change, request)
}

/// Loads a plugin by a changed engine.
fn load_of(change: &str, request: LoadRequest) -> (Bench, Result<InstanceId, LoadError>) {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), change);
    let bench = Bench::with(|builder| builder.container_engine(engine));
    bench.host.set_policy_mode(PolicyMode::AsDeclared);
    let loaded = bench.host.load(request.accept_container()).wait();
    // The engine is needed until the end, for which the folder stays.
    std::mem::forget(folder);
    (bench, loaded)
}

needs_podman! {
    /// Each defence is one that counts: without it, what it forbids succeeds, and the host says which layer
    /// is missing, or refuses to run the plugin.
    fn each_defence_counts() {
        let check = |change: &str, layer: Layer, command: &str| {
            let (bench, loaded) = load_by(change);
            let id = match loaded {
                Ok(id) => id,
                Err(error) => {
                    let error = error.to_string();
                    let expected = format!("its sandbox lacks the layer `{layer}`");
                    assert!(error.contains(&expected), "{change}: {error}");
                    return;
                }
            };
            let sandbox = status(&bench, id).sandbox.unwrap();
            assert!(sandbox.missing().any(|(missing, _)| missing == layer), "{change}: {sandbox:?}");
            let found = bench.ask(id, command);
            let (_, inside) = FORBIDDEN.iter().find(|(forbidden, _)| *forbidden == command).unwrap();
            assert!(!inside.contains(&found.as_str()), "{change}: {command} still gives {found:?}");
        };
        check("--network=none) set -- \"$@\" --network=host;;", Layer::NetworkNamespace, "networks");
        check("--cap-drop=all) ;;", Layer::Capabilities, "privileges");
        check("--pids-limit=*) set -- \"$@\" --pids-limit=-1;;", Layer::Processes, "forks");
        check("--ulimit=nofile=*) set -- \"$@\" --ulimit=nofile=256:256;;", Layer::Limits, "files");
        check("--read-only) ;;", Layer::MountNamespace, "write");
        check("--tmpfs=/dev:*) ;;", Layer::MountNamespace, "devices");
        check("--image-volume=ignore) ;;", Layer::MountNamespace, "volume");
        check("--security-opt=mask=*) ;;", Layer::MountNamespace, "groups of processes");
        check("--security-opt=no-new-privileges) ;;", Layer::NoNewPrivileges, "privileges");
        check(
            "--security-opt=seccomp=*) set -- \"$@\" --security-opt=seccomp=unconfined;;",
            Layer::SystemCalls,
            "new namespace",
        );
        check("--interactive) set -- \"$@\" \"$word\" --pid=host;;", Layer::Scopes, "processes");
        // Of a filter, only that there is one can be seen from outside. The engine's own lets through what
        // leads out by a folder.
        let folder = tempfile::tempdir().unwrap();
        let _listener = with_folder(folder.path(), "container-weak", "read-write");
        let (bench, loaded) = load_of("--security-opt=seccomp=*) ;;", LoadRequest::path(folder.path()));
        let id = loaded.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(bench.ask(id, "new namespace"), "Success");
        for (command, expected) in FORBIDDEN_IN_A_FOLDER {
            // The limit of files is another layer, and not every kernel or file system knows these.
            let elsewhere = ["large file", "setuid by a new call", "vsock", "old hidden room"];
            let found = bench.ask(id, command);
            let is_inside = expected.contains(&found.as_str());
            assert!(!is_inside || elsewhere.contains(command), "{command} still gives {found:?}");
        }
        let (bench, loaded) =
            load_of("--ulimit=fsize=*) ;;", LoadRequest::path(folder.path()));
        let id = loaded.unwrap_or_else(|error| panic!("{error}"));
        assert!(!status(&bench, id).sandbox.unwrap().is_enforced(Layer::Limits));
        assert_eq!(bench.ask(id, "large file"), "Success");
        let (bench, loaded) = load_by("--memory*) ;;");
        let id = loaded.unwrap_or_else(|error| panic!("{error}"));
        let found = status(&bench, id);
        assert!(!found.sandbox.unwrap().is_enforced(Layer::Cgroup));
        let memory = found.limit_status.iter().find(|limit| limit.limit == LimitKind::Memory).unwrap();
        assert!(matches!(memory.enforcement, Enforcement::NotAvailable(_)), "{memory:?}");
        assert_eq!(bench.ask(id, "allocate 1024"), "allocate 1024");
    }
}

#[test]
fn an_engine_or_image_that_is_missing_is_said_and_others_go_on() {
    let check = |bench: &Bench, image: &str, expected: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        manifest(folder.path(), "container-missing", image, "");
        let request = LoadRequest::path(folder.path());
        let error = bench.host.load(request.clone()).wait().unwrap_err().to_string();
        assert!(error.contains("which nobody accepted; accept it (--accept-container)"), "{error}");
        let error = bench.host.load(request.accept_container()).wait().unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
        let wasm = bench.load("echo.wasm");
        assert_eq!(bench.ask(wasm, "fine"), "fine");
    };
    let some = format!("localhost/none@sha256:{}", "0".repeat(64));
    let absent = Bench::with(|builder| builder.container_engine("/no/such/podman"));
    check(
        &absent,
        &some,
        &["policy: ", "/no/such/podman does not work: No such file or directory"],
    );
    let folder = tempfile::tempdir().unwrap();
    manifest(folder.path(), "container-loose", "localhost/none:1", "");
    let error = absent.host.load(LoadRequest::path(folder.path())).wait().unwrap_err().to_string();
    assert!(error.contains("`artifact.image`: `localhost/none:1` does not say which"), "{error}");
}

needs_podman! {
    /// Case 65.
    fn another_image_and_a_truncated_import_are_said() {
        let load = |image: &str| {
            let folder = tempfile::tempdir().unwrap();
            manifest(folder.path(), "container-other", image, "");
            let request = LoadRequest::path(folder.path()).accept_container();
            Bench::new().host.load(request).wait().unwrap_err().to_string()
        };
        let (name, digest) = image().split_once('@').unwrap();
        let other = format!("{name}@sha256:{}", "0".repeat(64));
        let error = load(&other);
        let expected = format!("signature: the artifact has the digest {digest}, but its manifest says");
        assert!(error.starts_with(&expected), "{error}");
        // A name that people trust, with the digest of this one.
        let error = load(&format!("docker.io/library/alpine@{digest}"));
        let (own, _) = name.rsplit_once(':').unwrap();
        let expected = format!("is not named docker.io/library/alpine here, but {own}");
        assert!(error.contains(&expected), "{error}");
        // An import that was cut short makes no image.
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("cut.tar");
        fs::write(&archive, [b'x'; 700]).unwrap();
        let cut = "localhost/glovebox-cut:1";
        let words = ["import", "--quiet", archive.to_str().unwrap(), cut];
        assert!(!Command::new("podman").args(words).output().unwrap().status.success());
        let error = load(&format!("{cut}@sha256:{}", "0".repeat(64)));
        assert!(error.contains("is not on this machine: "), "{error}");
        assert!(error.contains("podman images --digests"), "{error}");
        // A command that the image does not have.
        let folder = tempfile::tempdir().unwrap();
        manifest(folder.path(), "container-command", image(), "");
        let path = folder.path().join("plugin.toml");
        let text = fs::read_to_string(&path).unwrap().replace("/bin/program", "/bin/none");
        fs::write(&path, text).unwrap();
        let request = LoadRequest::path(folder.path()).accept_container();
        let error = Bench::new().host.load(request).wait().unwrap_err().to_string();
        assert!(error.contains("its container did not start: "), "{error}");
        assert!(error.contains("/bin/none"), "{error}");
    }
}

needs_podman! {
    /// A root folder has the same closure as an image.
    fn a_root_folder_is_a_container_of_podman() {
        let folder = tempfile::tempdir().unwrap();
        let _listener = with_root_folder(folder.path(), "container-root", "podman", "read-write");
        let (bench, id) = load_boxed(folder.path());
        let found = status(&bench, id);
        assert_eq!((found.isolation, found.engine), (Isolation::Container, Some(EngineName::Podman)));
        for (command, expected) in FORBIDDEN_IN_A_FOLDER.iter().chain(FORBIDDEN) {
            let found = bench.ask(id, command);
            assert!(expected.contains(&found.as_str()), "{command}: {found:?}");
        }
        assert_eq!(containers("container-root").len(), 1);
        assert!(bench.host.unload(id));
        wait_until("its container is removed", || containers("container-root").is_empty());
        // Nothing was written to where it came from.
        let mut names: Vec<_> = fs::read_dir(folder.path().join("root")).unwrap().flatten().collect();
        names.sort_by_key(std::fs::DirEntry::file_name);
        let names: Vec<_> = names.iter().map(std::fs::DirEntry::file_name).collect();
        assert_eq!(names, ["bin", "volume"]);
    }
}
