//! Plugins in containers that bubblewrap makes, of a root folder or of the programs of this machine: what they
//! reach, how they end, and what is left of them; as this user, and as an ordinary one where this is root.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use glovebox_abi::manifest::Tier;
use glovebox_events::Binding;
use glovebox_host::worker::Layer;
use glovebox_host::{
    EngineName, InstanceId, Isolation, LoadError, LoadRequest, Policy, PolicyMode, inspect,
};
use glovebox_tests::Bench;

use super::containers::{FORBIDDEN, FORBIDDEN_IN_A_FOLDER};
use super::framed::{AT_ONCE, program_of, still_there};
use super::plugin::{wait_for_line, wait_until_gone};

/// Tests that need bubblewrap say so in one place.
macro_rules! needs_bubblewrap {
    ($(#[$doc:meta])* fn $name:ident() $body:block) => {
        $(#[$doc])*
        #[test]
        #[cfg_attr(
            not(has_bubblewrap),
            ignore = "needs bubblewrap: install it with `apt-get install bubblewrap`"
        )]
        fn $name() $body
    };
}

/// A plugin in a root folder, of a program that does what a frame says.
fn root_folder(folder: &Path, name: &str, engine: &str, more: &str) {
    let root = folder.join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("volume")).unwrap();
    program_of("contained", &root.join("bin/program"), &["-static"]);
    manifest(folder, name, engine, more);
}

fn manifest(folder: &Path, name: &str, engine: &str, more: &str) {
    let limits = match more.contains("call-deadline") {
        true => "",
        // Nothing here depends on how busy the machine is, unless a test says so.
        false => "[limits]\ncall-deadline = \"60s\"\n",
    };
    let text = format!(
        "[plugin]\nid = \"{name}\"\n[artifact]\nrootfs = \"root\"\n[runtime]\nengine = \"{engine}\"\ncommand = \
         [\"/bin/program\"]\n{AT_ONCE}{limits}{more}"
    );
    fs::write(folder.join("plugin.toml"), text).unwrap();
}

/// The same with a folder, in which somebody listens.
pub(super) fn with_root_folder(
    folder: &Path,
    name: &str,
    engine: &str,
    access: &str,
) -> UnixListener {
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    root_folder(folder, name, engine, &files(access));
    UnixListener::bind(data.join("listens")).unwrap()
}

fn files(access: &str) -> String {
    format!(
        "[permissions.files]\nfolders = [{{ path = \"data\", at = \"data\", access = \"{access}\" }}]\n"
    )
}

#[track_caller]
pub(super) fn load_boxed(folder: &Path) -> (Bench, InstanceId) {
    let bench = Bench::as_declared();
    let request = LoadRequest::path(folder).accept_container();
    let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
    (bench, id)
}

#[track_caller]
fn load(name: &str, more: &str) -> (Bench, InstanceId) {
    let folder = tempfile::tempdir().unwrap();
    root_folder(folder.path(), name, "bubblewrap", more);
    load_boxed(folder.path())
}

/// The layers that hold in each container here.
const LAYERS: [Layer; 10] = [
    Layer::UserNamespace,
    Layer::NetworkNamespace,
    Layer::MountNamespace,
    Layer::IpcNamespace,
    Layer::Limits,
    Layer::Capabilities,
    Layer::NoNewPrivileges,
    Layer::ParentDeath,
    Layer::Scopes,
    Layer::SystemCalls,
];

needs_bubblewrap! {
    fn a_container_speaks_and_says_where_it_is() {
        let (bench, id) = load("boxed-speaks", "[permissions]\nlog = true\n");
        assert_eq!(bench.ask(id, "hello"), "hello");
        let large = bench.ask(id, &"x".repeat(3 << 20));
        assert_eq!(large.len(), 127, "it answers with what it kept");
        let found = bench.host.plugin(id).unwrap();
        assert_eq!((found.binding, found.isolation), (Binding::Framed, Isolation::Container));
        assert_eq!((found.tier, found.engine), (Tier::Container, Some(EngineName::Bubblewrap)));
        let sandbox = found.sandbox.unwrap();
        for layer in LAYERS {
            assert!(sandbox.is_enforced(layer), "{layer}: {sandbox:?}");
        }
        assert!(found.usage.unwrap().resident > 0);
        bench.ask(id, "complain");
        wait_for_line(&bench, "to standard error", || drop(bench.ask(id, "next")));
        let process = found.processes[0].to_string();
        assert!(bench.host.unload(id));
        wait_until_gone(&process);
    }
}

/// All that leads out is tried by a plugin with a folder, and fails.
fn try_all(folder: &Path) {
    let (bench, id) = load_boxed(folder);
    // Before it opens some itself.
    assert_eq!(bench.ask(id, "handles"), "3");
    let processes = bench.host.plugin(id).unwrap().sandbox.unwrap().is_enforced(Layer::Processes);
    for (command, expected) in FORBIDDEN_IN_A_FOLDER.iter().chain(FORBIDDEN) {
        if *command == "forks" && !processes {
            continue;
        }
        let found = bench.ask(id, command);
        assert!(expected.contains(&found.as_str()), "{command}: {found:?}");
    }
    assert_eq!(bench.ask(id, "room"), "Success");
    for place in ["/etc/passwd", "/sys", "/usr", "/root", "/run", "/plugin"] {
        assert_eq!(bench.ask(id, &format!("see {place}")), "No such file or directory", "{place}");
    }
    // It does not ignore the signal, which bubblewrap's child inherits as ignored.
    assert_eq!(bench.ask(id, "too much"), "File too large");
    if cfg!(target_arch = "x86_64") {
        let found = bench.ask(id, "old call");
        assert!(
            found.starts_with("crashed: the worker made a system call that its profile"),
            "{found}"
        );
    }
}

needs_bubblewrap! {
    fn nothing_outside_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        let _listener = with_root_folder(folder.path(), "boxed-leads", "bubblewrap", "read-write");
        try_all(folder.path());
    }
}

needs_bubblewrap! {
    /// A user who has no entry in the list of users, and no rights but those of everybody.
    fn nothing_outside_is_reached_by_an_ordinary_user() {
        const USER: u32 = 54_321;
        /// The plugin, in the process of that user.
        const PLUGIN: &str = "GLOVEBOX_TEST_OF_ORDINARY_USER";
        if let Some(plugin) = std::env::var_os(PLUGIN) {
            assert!(!is_root());
            return try_all(Path::new(&plugin));
        }
        let folder = tempfile::tempdir().unwrap();
        let _listener = with_root_folder(folder.path(), "boxed-leads", "bubblewrap", "read-write");
        if !is_root() {
            return try_all(folder.path());
        }
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        for owned in [folder.path(), &folder.path().join("data"), &home] {
            std::os::unix::fs::chown(owned, Some(USER), Some(USER)).unwrap();
        }
        // Folders around this program need not be everybody's.
        let program = home.join("tests");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let test = "isolation::bubblewrap::nothing_outside_is_reached_by_an_ordinary_user";
        let output = Command::new(&program)
            .args([test, "--exact", "--nocapture"])
            .env(PLUGIN, folder.path())
            .env("TMPDIR", &home)
            .env("HOME", &home)
            .env_remove("XDG_CACHE_HOME")
            .current_dir(&home)
            .uid(USER)
            .gid(USER)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}{errors}");
    }
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

needs_bubblewrap! {
    fn a_granted_folder_is_there_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("in"), "inside").unwrap();
        root_folder(folder.path(), "boxed-folder", "bubblewrap", "");
        let check = |access: &str, written: &str| {
            manifest(folder.path(), "boxed-folder", "bubblewrap", &files(access));
            let (bench, id) = load_boxed(folder.path());
            assert_eq!(bench.ask(id, "file in"), "inside");
            assert_eq!(bench.ask(id, "file out"), written, "{access}");
            let beside = folder.path().join("plugin.toml");
            let found = bench.ask(id, &format!("see {}", beside.display()));
            assert_eq!(found, "No such file or directory");
        };
        check("read", "Read-only file system");
        check("read-write", "written");
        assert_eq!(fs::read_to_string(data.join("out")).unwrap(), "written");
        // A pipe in a folder for reading could be written to.
        let made = Command::new("mkfifo").arg(data.join("pipe")).status().unwrap();
        assert!(made.success());
        check("read-write", "written");
        manifest(folder.path(), "boxed-folder", "bubblewrap", &files("read"));
        let request = LoadRequest::path(folder.path()).accept_container();
        let bench = Bench::as_declared();
        let error = bench.host.load(request).wait().unwrap_err().to_string();
        assert!(error.contains("has a named pipe, to which a container could write"), "{error}");
    }
}

needs_bubblewrap! {
    fn each_end_has_its_name_and_the_next_frame_is_processed() {
        let limits = "[limits]\ncall-deadline = \"5s\"\nmemory = \"64 MiB\"\n";
        let (bench, id) = load("boxed-ends", limits);
        let check = |command: &str, expected: &str| {
            let before = bench.host.plugin(id).unwrap().processes;
            let outcome = bench.ask(id, command);
            assert!(outcome.starts_with(expected), "{command}: {outcome:?} is not {expected:?}");
            still_there(&bench, id, command);
            before.iter().for_each(|process| wait_until_gone(&process.to_string()));
        };
        check("segv", "crashed: signal 11 (SIGSEGV");
        check("exit 3", "crashed: the worker exited with code 3");
        check("ignore and hang", "timed out");
        check("garbage", "crashed: the worker broke the protocol, and was killed: ");
        check("drip", "timed out");
        assert_eq!(bench.ask(id, "allocate 4096"), "Cannot allocate memory");
    }
}

needs_bubblewrap! {
    fn a_killed_host_leaves_no_container() {
        const HOST: &str = "GLOVEBOX_TEST_BUBBLEWRAP_HOST";
        if std::env::var_os(HOST).is_some() {
            let (bench, id) = load("boxed-left", "");
            let first = bench.host.plugin(id).unwrap().processes[0];
            let _ticket =
                bench.host.try_dispatch_to(id, glovebox_host::Frame::data("ignore and hang")).unwrap();
            println!("processes {first} {}", inner(first));
            std::io::stdout().flush().unwrap();
            // Until it is killed.
            let _ = std::io::stdin().read(&mut [0]);
            return;
        }
        let mut host = Command::new(std::env::current_exe().unwrap())
            .args(["isolation::bubblewrap::a_killed_host_leaves_no_container", "--exact", "--nocapture"])
            .env(HOST, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(host.stdout.take().unwrap()).lines();
        let said = lines
            .map_while(Result::ok)
            .find_map(|line| line.split_once("processes ").map(|(_, both)| both.trim().to_owned()));
        let said = said.expect("the host says which processes it has");
        host.kill().unwrap();
        host.wait().unwrap();
        said.split(' ').for_each(wait_until_gone);
    }
}

/// The innermost process below one.
fn inner(process: u32) -> u32 {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let child = numbers.find(|number| {
        let status = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let parent = status.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1));
        parent == Some(&*process.to_string())
    });
    child.map_or(process, inner)
}

/// A bubblewrap that leaves options out, or has others.
fn load_by(folder: &Path, change: &str) -> (Bench, Result<InstanceId, LoadError>) {
    let kept = tempfile::tempdir().unwrap();
    let path = kept.path().join("bwrap");
    let found = Command::new("sh").args(["-c", "command -v bwrap"]).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    // The options come by a descriptor, after which come `--` and the command.
    let script = format!(
        "#!/bin/sh\nexec xargs -0 -a /proc/self/fd/$2 sh -c 'for word; do shift; case \"$word\" in {change} \
         *) set -- \"$@\" \"$word\";; esac; done; exec {} \"$@\" -- /bin/program' sh\n",
        found.trim()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let bench = Bench::with(|builder| builder.container_engine(path));
    bench.host.set_policy_mode(PolicyMode::AsDeclared);
    let loaded = bench.host.load(LoadRequest::path(folder).accept_container()).wait();
    // The engine is needed until the end, for which the folder stays.
    std::mem::forget(kept);
    (bench, loaded)
}

needs_bubblewrap! {
    /// Each defence is one that counts: without it, what it forbids succeeds, and the host says which layer
    /// is missing, or refuses to run the plugin.
    fn each_defence_counts() {
        let folder = tempfile::tempdir().unwrap();
        let _listener = with_root_folder(folder.path(), "boxed-weak", "bubblewrap", "read");
        let (bench, loaded) = load_by(folder.path(), "");
        let id = loaded.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(bench.ask(id, "through the script"), "through the script");
        let check = |change: &str, layer: Layer, command: &str| {
            let (bench, loaded) = load_by(folder.path(), change);
            let id = match loaded {
                Ok(id) => id,
                Err(error) => {
                    let error = error.to_string();
                    let expected = format!("its sandbox lacks the layer `{layer}`");
                    assert!(error.contains(&expected), "{change}: {error}");
                    return;
                }
            };
            let sandbox = bench.host.plugin(id).unwrap().sandbox.unwrap();
            assert!(sandbox.missing().any(|(missing, _)| missing == layer), "{change}: {sandbox:?}");
            let found = bench.ask(id, command);
            let (_, inside) = FORBIDDEN.iter().find(|(forbidden, _)| *forbidden == command).unwrap();
            assert!(!inside.contains(&found.as_str()), "{change}: {command} still gives {found:?}");
        };
        let apart = |without: &str| {
            let all = ["user", "ipc", "pid", "net", "uts", "cgroup-try"];
            let others = all.iter().filter(|one| **one != without);
            let words: Vec<String> = others.map(|one| format!("--unshare-{one}")).collect();
            format!("--unshare-all) set -- \"$@\" {};;", words.join(" "))
        };
        check(&apart("net"), Layer::NetworkNamespace, "networks");
        check(&apart("pid"), Layer::Scopes, "processes");
        check("ALL) set -- \"$@\" CAP_MKNOD --cap-add CAP_NET_RAW;;", Layer::Capabilities, "privileges");
        check("--remount-ro) set -- \"$@\" --chdir;;", Layer::MountNamespace, "write");
        check("--ro-bind) set -- \"$@\" --bind;;", Layer::MountNamespace, "write");
        // The descriptor stays open then, and nothing more.
        check("--seccomp) set -- \"$@\" --sync-fd;;", Layer::SystemCalls, "new namespace");
    }
}

needs_bubblewrap! {
    /// A program beside those of the machine: the manifest asks for it by `isolation`.
    fn a_program_runs_beside_those_of_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        program_of("beside", &folder.path().join("program"), &[]);
        let text = format!(
            "[plugin]\nid = \"boxed-beside\"\n[artifact]\nprogram = \"program\"\n[runtime]\nisolation = \
             \"container\"\n{AT_ONCE}[limits]\ncall-deadline = \"60s\"\n"
        );
        fs::write(folder.path().join("plugin.toml"), text).unwrap();
        let error = Bench::new().host.load(LoadRequest::path(folder.path())).wait().unwrap_err();
        let error = error.to_string();
        assert!(error.contains("a container of the program program, which nobody accepted"), "{error}");
        let (bench, id) = load_boxed(folder.path());
        let found = bench.host.plugin(id).unwrap();
        assert_eq!((found.tier, found.engine), (Tier::Container, Some(EngineName::Bubblewrap)));
        for (command, expected) in FORBIDDEN {
            let found = bench.ask(id, command);
            let is_absent = found == "No such file or directory";
            assert!(is_absent || expected.contains(&found.as_str()), "{command}: {found:?}");
        }
        assert_eq!(bench.ask(id, "see /usr/bin/env"), "there");
        for place in ["/home", "/root", "/etc/passwd", "/tmp", "/var", "/run", "/sys"] {
            assert_eq!(bench.ask(id, &format!("see {place}")), "No such file or directory", "{place}");
        }
        for place in ["/made", "/usr/made", "/dev/made"] {
            assert_eq!(bench.ask(id, &format!("make {place}")), "Read-only file system", "{place}");
        }
        let found = bench.ask(id, "make /plugin");
        assert!(["Read-only file system", "Permission denied"].contains(&&*found), "{found}");
    }
}

#[test]
fn the_digest_covers_all_that_lies_in_a_root_folder() {
    let folder = tempfile::tempdir().unwrap();
    root_folder(folder.path(), "boxed-digest", "bubblewrap", "");
    let inspection = inspect(folder.path()).unwrap();
    let program = fs::metadata(folder.path().join("root/bin/program")).unwrap().len();
    assert_eq!(inspection.size, program);
    let before = inspection.digest;
    fs::write(folder.path().join("root/volume/more"), "").unwrap();
    assert_ne!(inspect(folder.path()).unwrap().digest, before);
    fs::remove_file(folder.path().join("root/volume/more")).unwrap();
    assert_eq!(inspect(folder.path()).unwrap().digest, before);
    let check = |change: (&str, &str), expected: &str| {
        manifest(folder.path(), "boxed-digest", "bubblewrap", "");
        let path = folder.path().join("plugin.toml");
        let text = fs::read_to_string(&path).unwrap().replace(change.0, change.1);
        fs::write(&path, text).unwrap();
        let bench = Bench::as_declared();
        let request = LoadRequest::path(folder.path()).accept_container();
        let error = bench.host.load(request).wait().unwrap_err().to_string();
        assert!(error.contains(expected), "{error} lacks {expected}");
    };
    let rootfs = "rootfs = \"root\"";
    let pinned = format!("{rootfs}\ndigest = \"blake3:{}\"", "0".repeat(64));
    check((rootfs, &pinned), "signature: the artifact has the digest");
    check((rootfs, "rootfs = \"..\""), "`rootfs = \"..\"` leads out of the folder");
    check((rootfs, "rootfs = \"none\""), "none does not exist");
    check((rootfs, "rootfs = \"root\"\nimage = \"a\""), "`artifact.image`: `a` does not say which");
    check(
        ("command = [\"/bin/program\"]", ""),
        "`artifact.rootfs`: says what there is, and nothing",
    );
    check(("engine = \"bubblewrap\"", "engine = \"chroot\""), "chroot");
    check(
        ("engine = \"bubblewrap\"", "engine = \"docker\""),
        "its manifest names docker, which makes",
    );
}

#[test]
fn the_policy_names_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    root_folder(folder.path(), "boxed-policy", "bubblewrap", "");
    let policy = Policy::parse("[sandbox]\nengine = \"docker\"\n").unwrap();
    let bench = Bench::with(|builder| builder.policy(policy));
    let request = LoadRequest::path(folder.path()).accept_container();
    let error = bench.host.load(request.clone()).wait().unwrap_err().to_string();
    let refused = "the policy names docker, which makes no container of a root folder; name podman or \
                   bubblewrap";
    assert!(error.contains(refused), "{error}");
    // In effect from the next load on.
    bench.host.set_policy(Policy::default());
    if cfg!(has_bubblewrap) {
        bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
    }
    let error = Policy::parse("[sandbox]\nengine = \"chroot\"").unwrap_err().to_string();
    assert!(
        error.contains("`chroot` is no engine of containers; use podman, docker or"),
        "{error}"
    );
}
