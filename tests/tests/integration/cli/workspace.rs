//! Workspaces, profiles and mocks on the command line.

use serde_json::json;

use super::{Folder, text};

/// A folder with a trace, and a workspace in it with some samples.
fn folder(workspace: &str) -> Folder {
    let folder = Folder::with_trace();
    folder.write("glovebox.toml", workspace);
    let path = folder.0.path();
    std::fs::create_dir_all(path.join("plugins")).unwrap();
    std::fs::create_dir_all(path.join("below/deep")).unwrap();
    for name in ["stats.wasm", "echo.wasm", "misbehave.wasm"] {
        std::fs::copy(glovebox_tests::sample(name), path.join("plugins").join(name)).unwrap();
    }
    folder
}

const LINE: &str = "[pipeline]\noutputs = ['twice', 'count']\n\
    [stage.once]\nplugin = 'echo'\nfrom = 'input'\n\
    [stage.twice]\nplugin = 'echo'\nfrom = 'once'\n\
    [stage.count]\nplugin = 'stats'\nfrom = 'once'\nkinds = 'data'\n";

#[test]
fn verbs_work_in_a_workspace() {
    let folder = folder(
        "pipeline = 'line.toml'\n[plugins]\nfolders = 'plugins'\nenabled = ['stats', 'echo', 'misbehave']\n\
         [plugin.misbehave]\nconfig = { mode = 'trap', when = 'initialize' }",
    );
    folder.write("line.toml", LINE);
    // Only what the pipeline names is loaded: `misbehave` could not be.
    let run = ["run", "--trace", "in.mcap"];
    folder.check(&run, 0, "twice  echo     4         0    4", "11 calls");
    let json = folder.json(&run, 0, "all completed; 4 frames came out");
    assert_eq!(json["pipeline"], "line");
    assert_eq!(json["stages"][2]["frames_in"], 3);
    // From a folder below, with the file found above; paths are relative to it.
    let mut below = folder.command(&["run", "--trace", "../../in.mcap"]);
    let below = below.current_dir(folder.0.path().join("below/deep")).output().unwrap();
    assert_eq!(below.status.code(), Some(0), "{}", text(&below.stderr));
    let named = ["--workspace", "glovebox.toml", "--plugin", "stats"];
    let json = folder.json(&[&["replay", "in.mcap"], &named[..]].concat(), 0, "all completed");
    assert_eq!(json["plugins"][0]["plugin"], "stats");
    folder.check(&["call", "echo", "--payload", "hi"], 0, "hi", "Called echo once: completed");
    // All that are enabled: the one that cannot be loaded is said, after the two that can.
    folder.check(
        &["replay", "in.mcap"],
        3,
        "",
        "Loaded 2 plugins, then stopped: load plugin: initialize",
    );
}

#[test]
fn bad_workspaces_are_refused() {
    #[track_caller]
    fn check(workspace: &str, arguments: &[&str], exit: i32, stage: &str, remedy: &str) {
        let folder = folder(workspace);
        folder.write("line.toml", LINE);
        folder.refused(arguments, exit, stage, remedy);
    }
    let replay = ["replay", "in.mcap"];
    check("[plugin", &replay, 2, "read workspace: line 1", "glovebox.toml");
    check("pipelin = 'x'", &replay, 2, "unknown key `pipelin`", "did you mean `pipeline`?");
    check("", &replay, 2, "there is no plugin to send to", "use a workspace that enables some");
    check("", &["run", "--trace", "in.mcap"], 2, "there is no pipeline to run", "name its file");
    let enabled = "[plugins]\nfolders = 'plugins'\nenabled = 'stat'";
    check(enabled, &replay, 3, "plugin `stat` is enabled, but not in ", "did you mean `stats`?");
    let absent = ["run", "line.toml", "--trace", "in.mcap"];
    check(
        "[plugins]\nfolders = 'plugins'\nenabled = 'stats'",
        &absent,
        3,
        "no plugin `echo` is loaded (loaded: stats)",
        "load it first",
    );
    let none = ["call", "plugins/echo.wasm", "--workspace", "none.toml"];
    check("", &none, 2, "read workspace: No such file", "check the path");
    let profile = ["call", "plugins/echo.wasm", "--profile", "prod"];
    check(
        "[profiles.product]\nfrom = 'production'",
        &profile,
        2,
        "there is no profile `prod` (development, production, product)",
        "",
    );
}

#[test]
fn profiles_and_mocks_have_effect() {
    let folder = folder(
        "profile = 'production'\n[plugins]\nfolders = 'plugins'\n[profiles.trial]\nfrom = 'production'\nmocks = true\nlog = 'debug'",
    );
    folder.write("mock.toml", "[kv]\ncanned = '\"from the mock\"'\n[[answer]]\nservice = 'kv-delete'\nfail = 'unavailable'");
    let call = |payload: &'static str, more: &[&'static str]| {
        [&["call", "plugins/storage.wasm", "--payload", payload][..], more].concat()
    };
    let retrieve = r#"{"do":"retrieve","key":"canned"}"#;
    let mocked = ["--mock", "mock.toml", "--profile", "development"];
    let json = folder.json(&call(retrieve, &mocked), 0, "completed");
    let answer = json["frames"][0]["payload"].as_str().unwrap();
    assert!(answer.contains("from the mock"), "{answer}");
    assert_eq!(json["mocks"], json!(["kv-get", "kv-set", "kv-delete", "kv-list"]));
    let delete = r#"{"do":"delete","key":"canned"}"#;
    folder.check(&call(delete, &mocked), 1, "", "not available");
    // The workspace says production, which refuses mocks.
    let refused = "mock host services are refused in profile `production`";
    folder.refused(&call(retrieve, &mocked[..2]), 2, refused, "use the profile `development`");
    let trial = call(retrieve, &["--mock", "mock.toml", "--profile", "trial"]);
    folder.check(&trial, 0, "from the mock", "completed");
    // The level of the log is the profile's, too.
    #[track_caller]
    fn logged(folder: &Folder, profile: &str, expected: [bool; 2]) {
        let run = folder.run(&[
            "call",
            "plugins/misbehave.wasm",
            "--payload",
            "mode=trap",
            "--profile",
            profile,
        ]);
        let err = text(&run.stderr);
        assert_eq!(["loaded", "phase"].map(|word| err.contains(word)), expected, "{err}");
    }
    logged(&folder, "production", [true, false]);
    logged(&folder, "development", [true, true]);
    folder.refused(
        &["call", "plugins/echo.wasm", "--mock", "none.toml"],
        2,
        "read mock: ",
        "check the path",
    );
    let refused = |more: &[&str], exit: i32, stage: &str, remedy: &str| {
        folder.refused(&[&["call", "plugins/echo.wasm"], more].concat(), exit, stage, remedy);
    };
    refused(&["--policy", "none"], 2, "read policy: ", "; check the path: none");
    refused(&["--payload", "@none"], 2, "cannot read the file named", "; check the path: none");
    folder.write("mock.toml", "[knv]");
    folder.refused(
        &call(retrieve, &mocked),
        2,
        "read mock: unknown key `knv`",
        "did you mean `kv`?",
    );
}

#[test]
fn what_plugins_depend_on_comes_with_them() {
    let folder = Folder::with_trace();
    for (id, version, dependencies) in [
        ("a", "1.0.0", "b = '1'"),
        ("b", "1.0.0", "c = '1'"),
        ("c", "1.0.0", ""),
        ("d", "1.0.0", "x = '2'"),
    ] {
        let place = folder.0.path().join("plugins").join(id);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::copy(glovebox_tests::sample("echo.wasm"), place.join("echo.wasm")).unwrap();
        let manifest = format!(
            "[plugin]\nid = '{id}'\nversion = '{version}'\n[artifact]\nwasm = 'echo.wasm'\n\
             [dependencies]\n{dependencies}"
        );
        std::fs::write(place.join("plugin.toml"), manifest).unwrap();
    }
    let workspace = |enabled: &str| {
        folder
            .write("glovebox.toml", format!("[plugins]\nfolders = 'plugins'\nenabled = {enabled}"));
    };
    let a = folder.0.path().join("plugins/a");
    let d = folder.0.path().join("plugins/d");
    let (a, d) = (a.to_str().unwrap(), d.to_str().unwrap());
    /// Checks the plugins loaded before this one, and those that are not there.
    #[track_caller]
    fn check(folder: &Folder, plugin: &str, before: &[&str], missing: &[&str]) {
        let json = folder.json(&["call", plugin, "--payload", "hi"], 0, "completed with 1 frame");
        assert_eq!(json["loaded_before"], json!(before));
        assert_eq!(json["dependencies_missing"], json!(missing));
    }
    workspace("['a']");
    check(&folder, "a", &["c", "b"], &[]);
    check(&folder, "b", &["c"], &[]);
    check(&folder, a, &["c", "b"], &[]);
    check(&folder, d, &[], &["d needs x ^2, which is neither named nor in a workspace"]);
    // Without one.
    folder.write("glovebox.toml", "");
    check(&folder, a, &[], &["a needs b ^1, which is neither named nor in a workspace"]);
    let told = folder.run(&["call", a, "--payload", "hi"]);
    let told = text(&told.stderr);
    assert!(
        told.starts_with(
            "a needs b ^1, which is neither named nor in a workspace; it runs without\n"
        ),
        "{told}"
    );

    /// A stage, more arguments, and the plugins that are loaded before it and that nobody named.
    #[track_caller]
    fn run(folder: &Folder, stage: &str, more: &[&str], expected: &[&str]) {
        folder.write(
            "line.toml",
            format!("[pipeline]\noutputs = 'one'\n[stage.one]\n{stage}\nfrom = 'input'"),
        );
        let run = [&["run", "line.toml", "--trace", "in.mcap"], more].concat();
        let json = folder.json(&run, 0, "4 calls, all completed");
        assert_eq!(json["loaded_before"], json!(expected));
    }
    workspace("['a']");
    run(&folder, "plugin = 'a'", &[], &["c", "b"]);
    run(&folder, "plugin = 'b'", &[], &["c"]);
    run(&folder, "plugin = 'plugins/a'", &[], &["c", "b"]);
    let b = folder.0.path().join("plugins/b");
    run(&folder, "plugin = 'a'", &["--plugin", b.to_str().unwrap()], &["c"]);
}
