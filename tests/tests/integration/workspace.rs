//! Workspace files: found upwards, their plugins found and loaded as they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use glovebox_events::{Event, ReloadCause, Sink, What};
use glovebox_host::{Host, LoadRequest, Profile, Reloads};
use glovebox_tests::{Bench, sample};
use glovebox_workspace::Workspace;

/// A folder with a workspace file and some samples in `plugins`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(text: &str, samples: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("glovebox.toml", text);
        fs::create_dir(folder.path("plugins")).unwrap();
        for (from, to) in samples {
            fs::copy(sample(from), folder.path("plugins").join(to)).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn workspace(&self) -> Workspace {
        Workspace::read(self.path("glovebox.toml")).unwrap_or_else(|error| panic!("{error}"))
    }
}

const FOLDERS: &str = "[plugins]\nfolders = 'plugins'\n";

#[test]
fn the_file_is_found_upwards() {
    let folder = Folder::new("", &[]);
    let deep = folder.path("a/b/c");
    fs::create_dir_all(&deep).unwrap();
    let check = |from: &Path, expected: Option<PathBuf>| {
        assert_eq!(Workspace::find(from), expected, "{}", from.display());
    };
    check(&deep, Some(folder.path("glovebox.toml")));
    check(&folder.path(""), Some(folder.path("glovebox.toml")));
    check(&deep.join(".."), Some(folder.path("glovebox.toml")));
    folder.write("a/b/glovebox.toml", "");
    check(&deep, Some(folder.path("a/b/glovebox.toml")));
    fs::remove_file(folder.path("glovebox.toml")).unwrap();
    check(&folder.path("a"), None);
}

#[test]
fn plugins_are_found() {
    #[track_caller]
    fn check(text: &str, samples: &[(&str, &str)], expected: &[(&str, &str)], unreadable: usize) {
        let folder = Folder::new(text, samples);
        folder.write("plugins/damaged.wasm", "no plugin");
        folder.write("plugins/notes.txt", "no plugin either");
        let found = folder.workspace().plugins().unwrap_or_else(|error| panic!("{error}"));
        let shown: Vec<(String, String)> = found
            .plugins
            .iter()
            .map(|plugin| {
                let path = plugin.path.strip_prefix(folder.path("")).unwrap();
                (plugin.id.clone(), path.display().to_string())
            })
            .collect();
        let shown: Vec<(&str, &str)> = shown.iter().map(|(id, path)| (&**id, &**path)).collect();
        assert_eq!(shown, expected, "{text}");
        assert_eq!(found.unreadable.len(), unreadable);
    }
    let two = [("redact.wasm", "b.wasm"), ("echo.wasm", "a.wasm")];
    let all = [("echo", "plugins/a.wasm"), ("redact", "plugins/b.wasm")];
    check(FOLDERS, &two, &all, 1);
    let enabled = format!("{FOLDERS}enabled = ['redact', 'echo']");
    check(&enabled, &two, &[all[1], all[0]], 1);
    check(&format!("{FOLDERS}enabled = []"), &two, &[], 1);
    check("", &two, &[], 0);
    // The newer version counts, then the name; or what the file says.
    let versions =
        [("stats-v1.wasm", "a.wasm"), ("stats.wasm", "b.wasm"), ("stats.wasm", "c.wasm")];
    check(FOLDERS, &versions, &[("stats", "plugins/b.wasm")], 1);
    let named = format!("{FOLDERS}[plugin.stats]\npath = 'plugins/a.wasm'");
    check(&named, &versions, &[("stats", "plugins/a.wasm")], 1);
}

#[test]
fn what_cannot_be_found_is_said() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let folder = Folder::new(text, &[("redact.wasm", "redact.wasm")]);
        let error = folder.workspace().plugins().unwrap_err().to_string();
        let error = error.replace(&folder.path("").display().to_string(), "W/");
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    check(
        &format!("{FOLDERS}enabled = 'redakt'"),
        "plugin `redakt` is enabled, but not in W/plugins; did you mean `redact`?",
    );
    check(
        "[plugins]\nenabled = 'redact'",
        "not in any folder, because `folders` under [plugins] names none",
    );
    check("[plugins]\nfolders = ['plugins', 'none']", "cannot look for plugins: No such file");
    check(
        &format!("{FOLDERS}[plugin.redacts]\nconfig = {{}}"),
        "line 3: [plugin.redacts] is about a plugin that is not enabled; add it to `enabled` under [plugins], or remove the section; did you mean `redact`?",
    );
    check(
        &format!("{FOLDERS}[plugin.echo]\npath = 'plugins/redact.wasm'"),
        "line 3: `plugin.echo.path` names an artifact of plugin `redact`",
    );
    check(
        &format!("{FOLDERS}[plugin.echo]\npath = 'none.wasm'"),
        "plugin `echo`: read: No such file",
    );
}

#[test]
fn plugins_come_after_those_they_depend_on() {
    /// Each plugin is its id and version, and what it depends on.
    #[track_caller]
    fn check(enabled: &str, plugins: &[(&str, &str)], expected: Result<&[&str], &str>) {
        let folder = Folder::new(&format!("{FOLDERS}{enabled}"), &[]);
        for (place, (plugin, dependencies)) in plugins.iter().enumerate() {
            let (id, version) = plugin.split_once(' ').unwrap();
            let place = format!("plugins/{place}");
            fs::create_dir(folder.path(&place)).unwrap();
            fs::copy(sample("echo.wasm"), folder.path(&place).join("echo.wasm")).unwrap();
            let manifest = format!(
                "[plugin]\nid = '{id}'\nversion = '{version}'\n[artifact]\nwasm = 'echo.wasm'\n\
                 [dependencies]\n{dependencies}"
            );
            folder.write(&format!("{place}/plugin.toml"), &manifest);
        }
        match (folder.workspace().plugins(), expected) {
            (Ok(found), Ok(expected)) => {
                let ids: Vec<&str> = found.plugins.iter().map(|plugin| &*plugin.id).collect();
                assert_eq!(ids, expected);
                let host = Host::builder().build().unwrap();
                for plugin in found.plugins {
                    host.load(plugin.request).wait().unwrap();
                }
            }
            (found, expected) => {
                let error = found.unwrap_err().to_string();
                let expected = expected.unwrap_err();
                assert!(error.contains(expected), "{error:?} does not say {expected:?}");
            }
        }
    }
    let chain = [("a 1.0.0", "b = '1'"), ("b 1.0.0", "c = '1'"), ("c 1.0.0", ""), ("d 1.0.0", "")];
    check("", &chain, Ok(&["c", "b", "a", "d"]));
    check("enabled = ['d', 'a']", &chain, Ok(&["d", "c", "b", "a"]));
    check("enabled = ['c', 'd']", &chain, Ok(&["c", "d"]));
    // The newest that will do.
    let versions = [("a 1.0.0", "b = '1'"), ("b 1.1.0", ""), ("b 2.0.0", "")];
    check("enabled = ['b', 'a']", &versions, Ok(&["b", "a"]));
    check("enabled = 'b'", &[("b 1.0.0-beta", "")], Ok(&["b"]));
    check(
        "",
        &[("a 1.0.0", "b = '2'"), ("b 1.0.0", "")],
        Err("[plugins]: Because `a` 1.0.0 needs `b ^2`, but there is only `b` 1.0.0"),
    );
    check("", &[("a 1.0.0", "b = '2'")], Err("`a` 1.0.0 needs `b ^2`"));
    check(
        "",
        &[("a 1.0.0", "b = '1'"), ("b 1.0.0", "a = '1'")],
        Err("plugins depend on each other in a circle: a → b → a"),
    );
}

#[test]
fn plugins_are_loaded_as_the_file_says() {
    let text = format!(
        "{FOLDERS}[plugin.redact]\nconfig = {{ replacement = 'X' }}\n\
         [plugin.redact.limits]\nmemory = '32 MiB'\ncall-deadline = '77 ms'"
    );
    let folder = Folder::new(&text, &[("redact.wasm", "redact.wasm")]);
    let bench = Bench::new();
    let found = folder.workspace().plugins().unwrap();
    let id = bench.host.load(found.get("redact").unwrap().request.clone()).wait().unwrap();
    assert_eq!(bench.ask(id, "to ann@example.org"), "to X");
    let check = || {
        let status = bench.host.plugin(id).unwrap();
        assert_eq!(status.limits.memory, 32 << 20);
        assert_eq!(status.limits.call_deadline, Duration::from_millis(77));
        assert_eq!(status.limits.queue, status.manifest.limits.queue);
        assert_eq!(status.manifest.limits.call_deadline, Duration::from_millis(500));
    };
    check();
    // They stay over a reload, which reads the manifest anew.
    bench.host.reload(id).wait().unwrap();
    check();
}

/// Tells when an instance was reloaded because its file changed.
struct Reloaded(mpsc::SyncSender<()>);

impl Sink for Reloaded {
    fn record(&self, event: &Event) {
        if let What::Reloaded { cause: ReloadCause::FileChanged, .. } = event.what {
            // One that is not waited for changes nothing.
            let _ = self.0.try_send(());
        }
    }
}

#[test]
fn development_reloads_and_production_does_not() {
    let check = |profile: Profile, reloads: bool| {
        let folder = Folder::new("", &[("stats-v1.wasm", "stats.wasm")]);
        let (sender, reloaded) = mpsc::sync_channel(16);
        let sink = std::sync::Arc::new(Reloaded(sender));
        let host = Host::builder().sink(sink).profile(profile).build().unwrap();
        let artifact = folder.path("plugins/stats.wasm");
        let id = host.load(LoadRequest::path(&artifact)).wait().unwrap();
        assert_eq!(host.plugin(id).unwrap().watching, reloads);
        if reloads {
            fs::copy(sample("stats.wasm"), &artifact).unwrap();
            reloaded.recv_timeout(Duration::from_secs(60)).expect("the change is seen");
            assert_eq!(host.plugin(id).unwrap().manifest.plugin.version.to_string(), "2.0.0");
        }
    };
    check(Profile::development(), true);
    check(Profile::production(), false);
    check(Profile::production().renamed("mine").with_reloads(Reloads::ByItself), true);
}
