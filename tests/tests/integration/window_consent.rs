//! The window asks before a plugin reaches the machine, and a control acts on the row it stands on.

use std::fs;
use std::sync::Arc;

use egui_kittest::kittest::Queryable;
use glovebox::window::ids::PanelId;
use glovebox::workbench::{Command, Workbench, WorkbenchOptions};
use glovebox_abi::{Frame, Permission};
use glovebox_host::{
    Allowance, Consents, Decision, Host, InstanceId, Lifetime, PolicyMode, Standing,
};
use glovebox_tests::sample;

use crate::window::{Window, app, open, over, shows, wait};

/// Answers `none` or `read`, as it has a folder or not; `version` only makes it another artifact.
fn guest(version: u32) -> String {
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "path_open" (func $path_open
            (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (func (export "glovebox_abi_0_1"))
          (memory (export "memory") 4)
          (data (i32.const 512) "version {version}")
          (data (i32.const 1024) "secret")
          (data (i32.const 2048) "\52\00\01\00\00\00\00\00\04\00\00\00none")
          (data (i32.const 3072) "read")
          (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 65536))
          (func (export "glovebox_process") (param i32) (result i64)
            (if (i32.eqz (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024)
                (i32.const 6) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0)
                (i32.const 64)))
              (then (i32.store (i32.const 2060) (i32.load (i32.const 3072)))))
            (i64.const 0x80000000010)))"#
    )
}

/// A folder with the guest, and the folder that it asks for.
fn folder(permissions: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/secret"), "of this machine").unwrap();
    write(&folder, 1, permissions);
    folder
}

fn write(folder: &tempfile::TempDir, version: u32, permissions: &str) {
    write_as("guest", folder, version, permissions);
}

fn write_as(id: &str, folder: &tempfile::TempDir, version: u32, permissions: &str) {
    fs::write(folder.path().join("guest.wat"), guest(version)).unwrap();
    let text = format!(
        "[plugin]\nid = \"{id}\"\n[artifact]\nwasm = \"guest.wat\"\n[permissions]\n{permissions}\n"
    );
    fs::write(folder.path().join("plugin.toml"), text).unwrap();
}

const FILES: &str = "files = [{ path = \"data\" }]";

fn first(window: &Window) -> InstanceId {
    app(window).view().plugins()[0].instance
}

fn standing(window: &Window, plugin: &str, permission: Permission) -> Standing {
    let plugins = app(window).view().plugins();
    let plugin = plugins.iter().find(|one| one.manifest.plugin.id == plugin).unwrap();
    plugin.permissions.iter().find(|one| one.permission == permission).unwrap().standing
}

fn host(window: &mut Window) -> Host {
    window.state_mut().as_mut().unwrap().workbench_mut().host().clone()
}

fn execute(window: &mut Window, command: Command) {
    window.state_mut().as_mut().unwrap().workbench_mut().execute(command);
}

/// The answer of a plugin.
fn ask(host: &Host, id: InstanceId) -> String {
    let reply = host.call(id, &Frame::data(""));
    reply.frames.iter().map(|frame| String::from_utf8_lossy(&frame.payload).into_owned()).collect()
}

/// Several rows may offer the same; any will do.
fn click(window: &mut Window, label: &str) {
    shows(window, label);
    window.get_all_by_label(label).next().unwrap().click();
    window.step();
    window.step();
}

fn show(window: &mut Window, panel: PanelId) {
    window.state_mut().as_mut().unwrap().show_panel(panel);
    window.step();
}

#[test]
fn what_a_plugin_asks_for_is_asked_in_the_window() {
    /// Checks a click: whether the plugin has the folder then, and when the window is opened again.
    fn check(choice: &str, again: &str) {
        let (folder, kept) = (folder(FILES), tempfile::tempdir().unwrap());
        let open = || {
            let consents = Consents::open(kept.path().join("consents.toml")).unwrap();
            let options = WorkbenchOptions {
                consents: Some(Arc::new(consents)),
                ..WorkbenchOptions::default()
            };
            over(Workbench::new(options).unwrap(), &[folder.path().to_owned()])
        };
        let mut window = open();
        shows(&mut window, "guest asks for files: allow or deny it");
        show(&mut window, PanelId::Policy);
        assert_eq!(standing(&window, "guest", Permission::Files), Standing::Asking);
        let (id, host_of_it) = (first(&window), host(&mut window));
        assert_eq!(ask(&host_of_it, id), "none");
        click(&mut window, "Allow files for guest");
        click(&mut window, choice);
        wait(&mut window, "it has its folder", |_| ask(&host_of_it, id) == "read");
        assert_eq!(standing(&window, "guest", Permission::Files), Standing::Granted);
        let mut window = open();
        assert_eq!(ask(&host(&mut window), first(&window)), again, "{choice}");
    }
    check("while it runs for guest", "none");
    check("saved for guest", "read");
}

#[test]
fn what_was_shown_is_what_is_allowed() {
    let folder = folder(FILES);
    let mut window = open(&[folder.path().to_owned()]);
    let allow = |window: &mut Window, asks: Vec<Allowance>| {
        let command = Command::Allow {
            instance: first(window),
            permission: Permission::Files,
            asks,
            others: Vec::new(),
            lifetime: Lifetime::WhileItRuns,
        };
        execute(window, command);
    };
    allow(&mut window, vec!["files=/".parse().unwrap()]);
    shows(&mut window, "asks for something else now");
    assert_eq!(standing(&window, "guest", Permission::Files), Standing::Asking);
}

#[test]
fn a_new_version_that_asks_for_more_waits_in_the_window() {
    /// Checks clicks against the answer of the new version.
    fn check(clicks: &[&str], expected: &str) {
        let folder = folder("log = true");
        let mut window = open(&[folder.path().to_owned()]);
        show(&mut window, PanelId::Policy);
        let before = app(&window).view().plugins()[0].digest.clone();
        write(&folder, 2, FILES);
        let reload = Command::Reload { instance: first(&window), carry_state: true };
        execute(&mut window, reload);
        shows(&mut window, "A new version waits");
        assert_eq!(app(&window).view().plugins()[0].digest, before);
        for label in clicks {
            click(&mut window, label);
        }
        wait(&mut window, "it takes over", |window| {
            app(window).view().plugins()[0].digest != before
        });
        assert_eq!(ask(&host(&mut window), first(&window)), expected);
        wait(&mut window, "nothing waits", |window| {
            window.query_by_label("A new version waits").is_none()
        });
    }
    check(&["Allow files for guest", "until it is reloaded for guest"], "read");
    check(&["Deny files to guest"], "none");
}

#[test]
fn a_denial_is_allowed_on_its_row() {
    let mut window = open(&[sample("storage.wasm"), sample("misbehave.wasm")]);
    execute(&mut window, Command::SetPolicyMode(PolicyMode::Strict));
    let instance =
        |window: &Window, id: &str| app(window).view().plugin_by_id(id).unwrap().instance;
    for (id, payload) in [("storage", r#"{"do":"list"}"#), ("misbehave", "mode=deny-me")] {
        let instance = instance(&window, id);
        host(&mut window).call(instance, &Frame::data(payload));
    }
    wait(&mut window, "denials are shown", |window| app(window).view().live().denied >= 5);
    let denied = app(&window).view().live().denied;
    click(&mut window, &format!("Denied {denied}"));
    shows(&mut window, "Allow kv for storage");
    // Any row but the last one.
    click(&mut window, "Allow kv for storage");
    click(&mut window, "while it runs for storage");
    wait(&mut window, "kv is granted", |window| {
        standing(window, "storage", Permission::Kv) == Standing::Granted
    });
    // The rows of what is granted now have no control any more.
    assert!(window.query_by_label("Allow kv for storage").is_none());
    // Nothing is given that a manifest does not ask for, and the window says why.
    let why_not =
        "misbehave does not ask for kv, so it cannot be allowed from here: add `kv = true`";
    shows(&mut window, &format!("was denied: {why_not}"));
    assert!(window.query_by_label("Allow kv for misbehave").is_none());
    let instance = instance(&window, "misbehave");
    let (permission, lifetime) = (Permission::Kv, Lifetime::WhileItRuns);
    let (asks, others) = (Vec::new(), Vec::new());
    for command in [
        Command::Allow { instance, permission, asks, others, lifetime },
        Command::Decide(instance, permission, Decision::Allow),
    ] {
        let said = app(&window).view().notices().len();
        execute(&mut window, command);
        let notices = app(&window).view().notices();
        assert_eq!(notices.len(), said + 1);
        assert!(notices.back().unwrap().text.starts_with(why_not), "{:?}", notices.back());
        assert_ne!(standing(&window, "misbehave", permission), Standing::Granted);
    }
}

#[test]
fn what_is_allowed_to_all_is_no_more_than_what_is_shown() {
    /// Checks the requests of the chosen plugin and another one, the words shown for them, and
    /// whether the other one is offered it, too.
    #[track_caller]
    fn check(chosen: &str, other: &str, permission: Permission, shown: &str, expected: bool) {
        let (first, second) = (folder(chosen), folder(other));
        // The same folder of this machine.
        let data = first.path().join("data").canonicalize().unwrap().display().to_string();
        write_as("guest", &first, 1, &chosen.replace("DATA", &data));
        write_as("other", &second, 1, &other.replace("DATA", &data));
        let mut window = open(&[first.path().to_owned(), second.path().to_owned()]);
        wait(&mut window, "both are loaded", |window| app(window).view().plugins().len() == 2);
        show(&mut window, PanelId::Policy);
        click(&mut window, &format!("Allow {permission} for guest"));
        shows(&mut window, &shown.replace("DATA", &data));
        let all = "while it runs for guest and other, no more than this";
        assert_eq!(window.query_by_label(all).is_some(), expected, "{chosen} {other}");
        // Nor is it given to somebody who was offered less meanwhile.
        let plugins = app(&window).view().plugins();
        let [one, other_one] = plugins else { panic!("two plugins") };
        let asks = glovebox::workbench::asked_of(one, permission).to_vec();
        let (instance, others) = (one.instance, vec![other_one.instance]);
        let lifetime = Lifetime::WhileItRuns;
        execute(&mut window, Command::Allow { instance, permission, asks, others, lifetime });
        assert_eq!(standing(&window, "guest", permission), Standing::Granted);
        let granted = standing(&window, "other", permission) == Standing::Granted;
        assert_eq!(granted, expected, "{chosen} {other}");
    }
    use Permission::{Environment, Files, Network};
    let read = "files = [{ path = 'DATA' }]";
    let write = "files = [{ path = 'DATA', access = 'read-write' }]";
    check(read, read, Files, "files: DATA, read only", true);
    check(read, write, Files, "files: DATA, read only", false);
    check(write, read, Files, "files: DATA, read and write", true);
    let (one, all) = ("network = ['example.org:443']", "network = ['*:*']");
    check(one, one, Network, "network: example.org:443", true);
    check(one, all, Network, "network: example.org:443", false);
    check(all, one, Network, "network: *:*", true);
    let but = "network = { hosts = ['*:*'], except = ['10.0.0.0/8:*'] }";
    check(but, all, Network, "network: *:*; not 10.0.0.0/8:*", false);
    let (lang, more) = ("environment = ['LANG']", "environment = ['LANG', 'HOME']");
    check(lang, more, Environment, "environment: LANG", false);
}

#[test]
fn a_reload_that_ends_what_was_allowed_says_so() {
    /// For how long it was allowed, and whether it is asked about again.
    fn check(lifetime: Lifetime, expected: bool) {
        let folder = folder(FILES);
        let mut window = open(&[folder.path().to_owned()]);
        let asks = "guest asks for files: allow or deny it";
        shows(&mut window, asks);
        shows(&mut window, "asks for files · gen 1");
        let id = first(&window);
        host(&mut window).allow(id, Permission::Files, lifetime);
        wait(&mut window, "it is granted", |window| {
            standing(window, "guest", Permission::Files) == Standing::Granted
                && window.query_by_label_contains("asks for files · gen").is_none()
        });
        let said = || app(&window).view().notices().iter().filter(|one| one.text.contains(asks));
        let (said, before) = (said().count(), app(&window).view().plugins()[0].digest.clone());
        write(&folder, 2, FILES);
        execute(&mut window, Command::Reload { instance: id, carry_state: true });
        wait(&mut window, "it is reloaded", |window| {
            app(window).view().plugins()[0].digest != before
        });
        let notices = app(&window).view().notices().iter();
        let found = notices.filter(|one| one.text.contains(asks)).count();
        assert_eq!(found - said, usize::from(expected), "{lifetime:?}");
        if expected {
            shows(&mut window, "asks for files · gen");
        }
    }
    check(Lifetime::Once, true);
    check(Lifetime::WhileItRuns, false);
}
