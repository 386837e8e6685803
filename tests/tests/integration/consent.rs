//! An artifact does not give itself the machine, and a name gives it nothing.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::{Frame, Permission};
use glovebox_events::{LoadStage, What};
use glovebox_host::{
    Allowance, Consents, Decision, InstanceId, Lifetime, LoadRequest, Policy, Standing, inspect,
};
use glovebox_tests::{Bench, replace};

/// A module that answers with the beginning of the file `secret` in its first folder, or with `none`.
/// `version` only makes it another artifact.
fn reader(version: u32) -> String {
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "path_open" (func $path_open
            (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_read" (func $fd_read
            (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
          (func (export "glovebox_abi_0_1"))
          (memory (export "memory") 4)
          (data (i32.const 512) "version {version}")
          (data (i32.const 1024) "secret")
          (data (i32.const 2060) "none")
          (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 65536))
          (func (export "glovebox_process") (param i32) (result i64)
            (i32.store (i32.const 2048) (i32.const 0x00010052))
            (i32.store (i32.const 2052) (i32.const 0))
            (i32.store (i32.const 2056) (i32.const 4))
            (if (i32.eqz (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024)
                (i32.const 6) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0)
                (i32.const 64)))
              (then
                (i32.store (i32.const 80) (i32.const 2060))
                (i32.store (i32.const 84) (i32.const 4))
                (drop (call $fd_read (i32.load (i32.const 64)) (i32.const 80) (i32.const 1)
                  (i32.const 96)))
                (drop (call $fd_close (i32.load (i32.const 64))))))
            (i64.const 0x80000000010)))"#
    )
}

/// A folder with a plugin `reader`, and folders `a` and `b` with a file `secret` each.
struct Place(tempfile::TempDir);

impl Place {
    fn new(permissions: &str) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        for name in ["a", "b"] {
            fs::create_dir(place.path().join(name)).unwrap();
            fs::write(place.path().join(name).join("secret"), format!("in {name}")).unwrap();
        }
        place.write(1, permissions);
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, version: u32, permissions: &str) {
        self.write_manifest(permissions);
        fs::write(self.path().join("reader.wat"), reader(version)).unwrap();
    }

    fn write_manifest(&self, permissions: &str) {
        let text = format!(
            "[plugin]\nid = \"reader\"\n[artifact]\nwasm = \"reader.wat\"\n[permissions]\n{permissions}\n"
        );
        replace(&self.path().join("plugin.toml"), text);
    }

    fn load(&self, bench: &Bench) -> InstanceId {
        let loaded = bench.host.load(LoadRequest::path(self.path())).wait();
        loaded.unwrap_or_else(|error| panic!("{error}"))
    }

    fn digest(&self) -> String {
        inspect(self.path()).unwrap().digest
    }
}

const A: &str = "files = [{ path = \"a\" }]";
const B: &str = "files = [{ path = \"b\" }]";
const BOTH: &str = "files = [{ path = \"b\" }, { path = \"a\" }]";

fn standing(bench: &Bench, id: InstanceId) -> Standing {
    let permissions = bench.host.plugin(id).unwrap().permissions;
    permissions.iter().find(|status| status.permission == Permission::Files).unwrap().standing
}

/// Waits until something is so.
#[track_caller]
fn wait(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn asked(bench: &Bench) -> Vec<String> {
    let events = bench.events.events().into_iter();
    let asked = events.filter_map(|event| match event.what {
        What::PolicyAsked { permission, parameter } => Some(format!("{permission} {parameter}")),
        _ => None,
    });
    asked.collect()
}

#[test]
fn what_reaches_the_machine_is_asked_about() {
    /// Checks the folder that the plugin reads under permissions allowed in words and a policy.
    #[track_caller]
    fn check(allowed: &[&str], policy: &str, expected: &str) {
        let place = Place::new(A);
        let digest = place.digest();
        let folder = place.path().join("a").display().to_string();
        let policy = policy.replace("DIGEST", &digest).replace("FOLDER", &folder);
        let policy = Policy::parse(&policy).unwrap();
        let bench = Bench::with(|builder| {
            let allowed = allowed
                .iter()
                .map(|word| word.replace("FOLDER", &folder).parse::<Allowance>().unwrap());
            allowed.fold(builder.policy(policy), glovebox_host::HostBuilder::allow)
        });
        let id = place.load(&bench);
        assert_eq!(bench.ask(id, ""), expected, "{allowed:?}");
        let folder = place.path().join("a").canonicalize().unwrap();
        let is_asked = standing(&bench, id) == Standing::Asking;
        // Later attempts are refused, counted and kept.
        let log = bench.host.access_log(id).unwrap();
        let refused = log.entries.iter().filter(|entry| !entry.allowed).count();
        assert_eq!(refused > 0, expected == "none", "{allowed:?}: {:?}", log.entries);
        let expected = is_asked.then(|| format!("files {}", folder.display()));
        assert_eq!(asked(&bench), Vec::from_iter(expected));
    }
    check(&[], "", "none");
    check(&[], "mode = \"record\"", "none");
    check(&["files"], "", "in a");
    check(&["files=FOLDER"], "", "in a");
    check(&["reader:files=FOLDER:rw"], "", "in a");
    check(&["other:files"], "", "none");
    check(&["network"], "", "none");
    check(&["files=/no/such"], "", "none");
    check(&[], "mode = \"as-declared\"", "in a");
    check(&[], "[default]\nfiles = \"allow\"", "in a");
    check(&[], "[plugins.reader]\nfiles = \"allow\"", "none");
    check(&[], "[plugins.reader]\ndigest = \"blake3:DIGEST\"\nfiles = \"allow\"", "none");
    let within = "files = { decision = \"allow\", folders = [{ path = \"FOLDER\", access = \"read-write\" }] }";
    check(&[], &format!("[plugins.reader]\n{within}"), "none");
    check(&[], &format!("[plugins.reader]\ndigest = \"blake3:DIGEST\"\n{within}"), "in a");
}

#[test]
fn an_agreement_lasts_as_long_as_was_said() {
    /// How long it was allowed for; what is read then, after a reload of another artifact that asks
    /// for the same, and when the first artifact is loaded again.
    #[track_caller]
    fn check(lifetime: Lifetime, expected: [&str; 3]) {
        let place = Place::new(A);
        let kept = tempfile::tempdir().unwrap();
        let open = || {
            let consents = Consents::open(kept.path().join("consents.toml")).unwrap();
            Bench::with(|builder| builder.consents(Arc::new(consents)))
        };
        let bench = open();
        let id = place.load(&bench);
        assert_eq!(bench.ask(id, ""), "none");
        assert!(bench.host.allow(id, Permission::Files, lifetime));
        wait("the copy is given its folder", || bench.ask(id, "") != "none");
        let first = bench.ask(id, "");
        place.write(2, A);
        bench.host.reload(id).wait().unwrap();
        let reloaded = bench.ask(id, "");
        place.write(1, A);
        let bench = open();
        let id = place.load(&bench);
        let again = bench.ask(id, "");
        assert_eq!([&first, &reloaded, &again], expected, "{lifetime:?}");
        // Another artifact of the same name at the same place is a stranger when it is loaded.
        place.write(3, A);
        let bench = open();
        let id = place.load(&bench);
        assert_eq!(bench.ask(id, ""), "none", "{lifetime:?}");
        // So is the same artifact with a manifest that asks for more: it has what was agreed to.
        place.write(1, BOTH);
        let bench = open();
        let id = place.load(&bench);
        let files = bench.host.plugin(id).unwrap().permissions;
        let files = files.into_iter().find(|one| one.permission == Permission::Files).unwrap();
        match lifetime {
            Lifetime::Saved => {
                assert!(files.asks_more && files.granted, "{}", files.explanation);
                assert_eq!(bench.ask(id, ""), "in a");
                // A consent that is taken back is forgotten.
                place.write(1, A);
                let bench = open();
                let id = place.load(&bench);
                bench.host.set_decision(id, Permission::Files, Decision::AsDeclared);
                let bench = open();
                let id = place.load(&bench);
                assert_eq!(bench.ask(id, ""), "none");
            }
            _ => assert_eq!(files.standing, Standing::Asking),
        }
    }
    check(Lifetime::Once, ["in a", "none", "none"]);
    check(Lifetime::WhileItRuns, ["in a", "in a", "none"]);
    check(Lifetime::Saved, ["in a", "in a", "in a"]);
}

#[test]
fn a_generation_that_asks_for_more_waits() {
    /// Checks the requests of the first and the next version, whether the next one waits, and the
    /// folders that are read before and after everything it asks for is decided so.
    #[track_caller]
    fn check(before: &str, next: &str, waits: bool, decision: Decision, expected: [&str; 2]) {
        let place = Place::new(before);
        let bench = Bench::new();
        let id = place.load(&bench);
        if before.starts_with("files") {
            bench.host.allow(id, Permission::Files, Lifetime::WhileItRuns);
            wait("it has its folder", || bench.ask(id, "") != "none");
        }
        let first = bench.host.plugin(id).unwrap().digest;
        place.write(2, next);
        let result = bench.host.reload(id).wait();
        let status = bench.host.plugin(id).unwrap();
        assert_eq!(bench.ask(id, ""), expected[0], "{before} → {next}");
        if !waits {
            assert!(result.is_ok() && status.refused.is_none() && status.digest != first);
            return;
        }
        let error = result.unwrap_err();
        assert_eq!((error.stage(), &status.digest), (LoadStage::Policy, &first));
        let refused = status.refused.unwrap();
        assert_eq!(refused.stage, LoadStage::Policy);
        assert!(refused.message.contains("asks for more than was agreed to"), "{error}");
        let permissions: Vec<_> = refused.waits_for.iter().map(|one| one.permission).collect();
        for permission in permissions {
            assert_eq!(bench.host.plugin(id).unwrap().digest, first, "{permission} is to come");
            bench.host.set_decision(id, permission, decision);
        }
        wait("it takes over", || bench.host.plugin(id).unwrap().digest != first);
        assert_eq!(bench.ask(id, ""), expected[1], "{before} → {next}");
        wait("nothing waits", || bench.host.plugin(id).unwrap().refused.is_none());
    }
    use Decision::{Allow, Deny};
    check("", A, true, Allow, ["none", "in a"]);
    check("", A, true, Deny, ["none", "none"]);
    check(A, BOTH, true, Allow, ["in a", "in b"]);
    check(A, B, true, Allow, ["in a", "in b"]);
    check(A, B, true, Deny, ["in a", "none"]);
    check(A, "files = [{ path = \"a\", access = \"read-write\" }]", true, Allow, ["in a", "in a"]);
    check(A, &format!("{A}\nnetwork = [\"*:*\"]"), true, Deny, ["in a", "in a"]);
    check(A, &format!("{A}\nenvironment = [\"PATH\"]"), true, Allow, ["in a", "in a"]);
    let several = format!("{BOTH}\nenvironment = [\"PATH\"]\nnetwork = [\"*:*\"]");
    check("log = true", &several, true, Allow, ["none", "in b"]);
    check(BOTH, A, false, Allow, ["in a", ""]);
    check(A, A, false, Allow, ["in a", ""]);
    check(A, "", false, Allow, ["none", ""]);
    check(A, &format!("{A}\nkv = true\nnow = true"), false, Allow, ["in a", ""]);
}

#[test]
fn a_file_that_grows_waits_while_it_is_watched() {
    let place = Place::new("log = true");
    let bench = Bench::with(|builder| builder.allow("files".parse().unwrap()));
    let id = place.load(&bench);
    bench.host.watch(id).unwrap();
    let refused = || bench.host.plugin(id).unwrap().refused;
    let failures = || {
        let events = bench.events.events().into_iter();
        let failed =
            |what: &What| matches!(what, What::ReloadFailed { stage: LoadStage::Policy, .. });
        events.filter(|event| failed(&event.what)).count()
    };
    // Permissions allowed in words are those asked for at the start.
    place.write_manifest(A);
    // A listener of the event finds the reason in the status, which therefore comes first.
    wait("the new generation waits", || refused().is_some() && failures() > 0);
    assert_eq!((bench.host.plugin(id).unwrap().generation, failures()), (1, 1));
    assert_eq!(bench.ask(id, ""), "none");
    // The file holds again what runs.
    place.write_manifest("log = true");
    wait("nothing waits", || refused().is_none());
    place.write_manifest(A);
    wait("it waits again", || refused().is_some());
    bench.host.allow(id, Permission::Files, Lifetime::Once);
    wait("it takes over", || bench.ask(id, "") == "in a");
    assert!(refused().is_none());
}

#[test]
fn a_change_of_the_manifest_alone_reloads() {
    /// The manifest lies beside the artifact, or in the folder above.
    fn check(artifact: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(artifact);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, reader(1)).unwrap();
        let write = |more: &str| {
            let text =
                format!("[plugin]\nid = \"reader\"\n[artifact]\nwasm = \"{artifact}\"\n{more}\n");
            replace(&folder.path().join("plugin.toml"), text);
        };
        write("");
        let bench = Bench::new();
        let loaded = bench.host.load(LoadRequest::path(folder.path())).wait();
        let id = loaded.unwrap_or_else(|error| panic!("{error}"));
        bench.host.watch(id).unwrap();
        write("[config]\nemails = false");
        let status = || bench.host.plugin(id).unwrap();
        wait("it is reloaded", || status().generation == 2);
        assert_eq!(status().manifest.config["emails"].as_bool(), Some(false));
        // The same manifest in other words changes nothing.
        let unchanged = bench.host.reload_if_changed(id).wait().unwrap();
        assert_eq!(unchanged, 2);
        write("# a remark\n[config]\nemails = false");
        write("[config]\nemails = true");
        wait("it is reloaded again", || status().manifest.config["emails"].as_bool() == Some(true));
    }
    check("reader.wat");
    check("out/reader.wat");
}

#[test]
fn a_replay_copy_has_what_was_agreed_to() {
    let place = Place::new(A);
    let bench = Bench::new();
    let id = place.load(&bench);
    bench.host.allow(id, Permission::Files, Lifetime::WhileItRuns);
    let copy = bench.host.load(bench.host.request(id).unwrap()).wait().unwrap();
    assert_eq!(bench.host.call(copy, &Frame::data("")).frames[0].payload, "in a");
    // Another one that is loaded from the same file was not agreed to.
    let other = place.load(&bench);
    assert_eq!(bench.ask(other, ""), "none");
}
