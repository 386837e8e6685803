//! Consent on the command line: plugins ask for parts of this machine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use glovebox_abi::{Manifest, Permission};
use glovebox_host::{Consent, Consents};

use super::Folder;

/// Opens its first folder, and answers with what WASI says: 0 if it has one.
const GUEST: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open" (func $path_open
    (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (func (export "glovebox_abi_0_1"))
  (memory (export "memory") 4)
  (data (i32.const 1024) "secret")
  (data (i32.const 2048) "\52\00\01\00\00\00\00\00\04\00\00\00none")
  (data (i32.const 3072) "read")
  (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 65536))
  (func (export "glovebox_process") (param i32) (result i64)
    (if (i32.eqz (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 6)
        (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)))
      (then (i32.store (i32.const 2060) (i32.load (i32.const 3072)))))
    (i64.const 0x80000000010)))"#;

const FILES: &str = "files = [{ path = \"data\" }]";

fn manifest(permissions: &str) -> String {
    format!(
        "[plugin]\nid = \"guest\"\n[artifact]\nwasm = \"guest.wat\"\n[permissions]\n{permissions}\n"
    )
}

fn folder(permissions: &str) -> Folder {
    let folder = Folder::with_trace();
    folder.write("guest.wat", GUEST);
    folder.write("plugin.toml", manifest(permissions));
    fs::create_dir(folder.0.path().join("data")).unwrap();
    folder.write("data/secret", "of this machine");
    folder
}

/// The sentence names what was not allowed, and no more.
#[test]
fn what_was_allowed_in_part_is_said_so() {
    let two = "files = [{ path = \"data\", at = \"data\" }, { path = \"more\", at = \"more\" }]";
    let folder = folder(two);
    fs::create_dir(folder.0.path().join("more")).unwrap();
    let [data, more] =
        ["data", "more"].map(|name| folder.0.path().join(name).canonicalize().unwrap());
    let allowed = format!("files={}", data.display());
    let call = ["call", ".", "--payload", "x", "--allow", &allowed];
    let sentence = format!(
        "files was allowed in part to guest: it also asks for {}; if you trust it, run again with \
         `--allow guest:files`",
        more.display()
    );
    let json = folder.json(&call, 0, &sentence);
    assert_eq!(json["frames"][0]["payload"], "read", "{json}");
    assert_eq!(json["not_allowed"][0]["asks_for"], more.to_str().unwrap());
    assert_eq!(json["not_allowed"][0]["allowed_in_part"], true);
}

#[test]
fn an_artifact_does_not_give_itself_the_machine() {
    let folder = folder(FILES);
    let call = ["call", ".", "--payload", "x"];
    let data = folder.0.path().join("data").canonicalize().unwrap();
    let words = format!("--allow guest:files={}", data.display());
    let sentence = format!(
        "files was not allowed to guest: it asks for {}; if you trust it, run again with `{words}`",
        data.display()
    );
    let json = folder.json(&call, 0, &sentence);
    assert_eq!(json["frames"][0]["payload"], "none", "{json}");
    assert_eq!(json["not_allowed"][0]["allow"], words.as_str());
    // The remedy can be typed as it stands.
    let words = words.split_once(' ').unwrap();
    let allowed = [&call[..], &[words.0, words.1]].concat();
    let json = folder.json(&allowed, 0, "once: completed");
    assert_eq!(json["frames"][0]["payload"], "read", "{json}");
    assert!(json.get("not_allowed").is_none());
    for verb in [
        &["replay", "in.mcap", "--plugin", "."][..],
        &["call", ".", "--payload", "x", "--allow", "network"],
    ] {
        folder.check(verb, 0, "", "files was not allowed to guest");
    }
    let allowed = ["replay", "in.mcap", "--plugin", ".", "--allow", "files"];
    let sentence = folder.json(&allowed, 0, "")["sentence"].to_string();
    assert!(!sentence.contains("not allowed"), "{sentence}");
}

#[test]
fn what_is_allowed_in_vain_is_said_at_once() {
    /// Checks allowances against the words about them, before anything else is said.
    #[track_caller]
    fn check(allowed: &[&str], expected: &str) {
        let folder = folder(FILES);
        let data = folder.0.path().join("data").canonicalize().unwrap().display().to_string();
        let words: Vec<String> = allowed.iter().map(|word| word.replace("DATA", &data)).collect();
        let allow = words.iter().flat_map(|word| ["--allow", word]).collect::<Vec<_>>();
        for verb in [
            &["call", ".", "--payload", "x", "--json", "call.json"][..],
            &["replay", "in.mcap", "--plugin", ".", "--json", "replay.json"],
        ] {
            let run = folder.run(&[verb, &allow].concat());
            let err = String::from_utf8_lossy(&run.stderr).into_owned();
            let said: Vec<&str> = err.lines().filter(|line| line.starts_with("Not used")).collect();
            let report = fs::read_to_string(folder.0.path().join(verb.last().unwrap())).unwrap();
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            assert_eq!(said.join("\n"), expected.replace("DATA", &data), "{allowed:?}");
            let listed = report["allowed_in_vain"].as_array().map_or(0, Vec::len);
            assert_eq!(listed, said.len(), "{report}");
            if !said.is_empty() {
                assert!(err.starts_with("Not used"), "{err}");
            }
        }
    }
    check(&["files"], "");
    check(&["files=DATA"], "");
    check(&["guest:files=DATA/in"], "");
    let asks = "gives nothing to any plugin: guest asks for files of DATA; if you trust it, allow that \
                with `--allow guest:files`";
    check(&["files=/no/such"], &format!("Not used: `--allow files=/no/such` {asks}"));
    check(&["files=DATA", "files=/no/such"], &format!("Not used: `--allow files=/no/such` {asks}"));
    check(
        &["files", "gust:files"],
        "Not used: `--allow gust:files` gives nothing to any plugin: none that runs is called `gust`; \
         check the id",
    );
}

#[test]
fn a_slip_of_the_finger_is_an_error() {
    let folder = folder(FILES);
    let check = |word: &str, expected: &str| {
        for verb in [&["call", "."][..], &["policy", "explain", "."]] {
            let run = folder.run(&[verb, &["--allow", word]].concat());
            let err = String::from_utf8_lossy(&run.stderr).into_owned();
            assert_eq!(run.status.code(), Some(2), "{err}");
            assert!(err.contains(expected), "{err}");
        }
    };
    check("flies", "did you mean `files`?");
    check("env", "did you mean `environment`?");
    check("network=db", "the port is missing");
}

#[test]
fn who_granted_is_explained() {
    let folder = folder(&format!("{FILES}\nkv = true"));
    let explain = |more: &[&str], data: &str, sentence: &str| {
        folder.check(&[&["policy", "explain", "."], more].concat(), 0, data, sentence);
    };
    let data = folder.0.path().join("data").canonicalize().unwrap();
    explain(&[], "kv           granted  asked for in the manifest", "1 asking");
    explain(&[], "files        asking   asked for, but nobody agreed to it", "1 asking");
    explain(&[], &format!("run again with `--allow guest:files={}`", data.display()), "");
    explain(
        &["--allow", "files"],
        "files        granted  asked for, and allowed by --allow files",
        "",
    );
    let digest = folder.json(&["policy", "explain", "."], 0, "")["digest"].to_string();
    folder.write(
        "policy.toml",
        format!(
            "[plugins.guest]\ndigest = \"blake3:{}\"\nfiles = {{ decision = \"allow\", folders = [{{ path = {data:?} }}] }}\n",
            digest.trim_matches('"')
        ),
    );
    let allowed = "files        granted  asked for, and allowed by [plugins.guest] in policy.toml";
    explain(&["--policy", "policy.toml"], allowed, "0 asking");
    // The same artifact beside a manifest that asks for more is denied that.
    folder.write("plugin.toml", manifest("files = [{ path = \"/\", access = \"read-write\" }]"));
    let narrowed = format!("{{ path = {data:?}, at = {data:?}, access = \"read\" }}");
    explain(&["--policy", "policy.toml"], &narrowed, "");
    folder.write("plugin.toml", manifest(&format!("{FILES}\nkv = true")));
    // As the window saves it.
    let consent = Consent {
        plugin: "guest".to_owned(),
        digest: digest.trim_matches('"').to_owned(),
        permission: Permission::Files,
        within: Manifest::parse(&manifest(&FILES.replace("data", &data.display().to_string())))
            .unwrap()
            .request(Permission::Files),
        at: 1_795_910_400,
    };
    let saved = Consents::open(folder.0.path().join("data-home/glovebox/consents.toml")).unwrap();
    saved.save(consent).unwrap();
    let who = format!("agreed to on 2026-11-29 for the artifact blake3:{}", &digest[1..13]);
    explain(&[], &format!("files        granted  asked for, and {who}"), "0 asking");
    folder.check(&["call", ".", "--payload", "x"], 0, "read", "once: completed");
    // The consent covers no more than was asked for.
    folder.write("plugin.toml", manifest("files = [{ path = \"/\" }]"));
    explain(&[], "it asks for more, which nobody agreed to", "");
}

#[test]
fn a_file_without_a_manifest_has_what_is_given_by_default() {
    let folder = Folder::new();
    folder.write("bare.wat", "(module (memory (export \"memory\") 1) (func (export \"_start\")))");
    let out = folder.check(
        &["policy", "explain", "bare.wat"],
        0,
        "log          granted  granted by default, there is no manifest",
        "Explained 12 permissions of bare",
    );
    assert!(!out.contains("asked for in the manifest"), "{out}");
}

#[test]
fn a_name_is_given_nothing() {
    let folder = Folder::new();
    folder.write(
        "x.wat",
        r#"(module
          (import "glovebox" "kv_set" (func $kv_set (param i32 i32 i32 i32) (result i32)))
          (func (export "glovebox_abi_0_1"))
          (memory (export "memory") 4)
          (data (i32.const 2048) "\52\00\01\00\00\00\00\00\00\00\00\00")
          (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 65536))
          (func (export "glovebox_process") (param i32) (result i64)
            (drop (call $kv_set (i32.const 2048) (i32.const 1) (i32.const 2048) (i32.const 1)))
            (i64.const 0x8000000000c)))"#,
    );
    folder.write("plugin.toml", "[plugin]\nid = \"redact\"\n[artifact]\nwasm = \"x.wat\"\n");
    let rules = |pin: &str| {
        let text = format!("mode = \"strict\"\n[plugins.redact]\n{pin}\nkv = \"allow\"\n");
        folder.write("policy.toml", text);
    };
    rules("");
    let call = ["call", ".", "--policy", "policy.toml"];
    folder.check(&call, 0, "denied kv-set: needs `kv`", "1 host call denied");
    let explain = ["policy", "explain", ".", "--policy", "policy.toml"];
    let reason = "kv           asking   [plugins.redact] in policy.toml allows it to a name, which any \
                  artifact may bear: allow or deny it, or add `digest = \"blake3:";
    let out = folder.check(&explain, 0, reason, "1 asking");
    // The line to add can be taken as it stands.
    let line = out.split("add `digest").nth(1).unwrap().split('`').next().unwrap();
    rules(&format!("digest{line}"));
    let json = folder.json(&call, 0, "once: completed");
    assert_eq!(json["denials"].as_array().map(Vec::len), Some(0), "{json}");
    // The file at the place that the policy means.
    rules("path = \"x.wat\"");
    folder.check(&explain, 0, "kv           granted", "0 asking");
    rules("path = \"redact.wasm\"");
    folder.check(&explain, 0, "means another artifact than this", "1 asking");
}

#[test]
fn a_policy_that_lies_about_opens_nothing() {
    let folder = folder(FILES);
    folder.write("policy.toml", "mode = \"as-declared\"\n");
    folder.write("glovebox.toml", "policy = \"policy.toml\"\n");
    let call = ["call", ".", "--payload", "x"];
    folder.check(&call, 0, "none", "files was not allowed to guest");
    for named in [["--workspace", "glovebox.toml"], ["--policy", "policy.toml"]] {
        let json = folder.json(&[&call[..], &named].concat(), 0, "once: completed");
        assert_eq!(json["frames"][0]["payload"], "read", "{named:?}");
    }
}

#[test]
fn what_is_suggested_is_not_given() {
    let folder = folder("");
    let suggest = ["policy", "suggest", ".", "--payload", "x"];
    folder.check(&suggest, 0, "files = [", "; files was not given to it");
}

#[test]
fn a_version_that_asks_for_more_waits_and_says_how_to_allow_it() {
    let folder = folder("log = true");
    let watch = ["watch", ".", "--trace", "in.mcap", "--changes", "1"];
    let mut command = folder.command(&watch);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = lines.next().unwrap().unwrap();
    assert!(ready.contains("watching ."), "{ready}");
    glovebox_tests::replace(&folder.0.path().join("plugin.toml"), manifest(FILES));
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let run = child.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{rest:?}");
    assert!(rest[0].starts_with("Not reloaded: policy: the new version asks for more"), "{rest:?}");
    assert!(rest[1].contains("run again with `--allow guest:files="), "{rest:?}");
    assert!(rest.last().unwrap().contains("Watched 1 change: 0 led to differences, 1 refused"));
}

#[test]
fn the_last_line_of_a_watch_is_about_the_plugin_that_runs_then() {
    let folder = folder(FILES);
    let watch = ["watch", ".", "--trace", "in.mcap", "--changes", "1"];
    let mut command = folder.command(&watch);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = lines.next().unwrap().unwrap();
    assert!(ready.contains("watching ."), "{ready}");
    folder.write("plugin.toml", manifest("log = true"));
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let run = child.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{rest:?}");
    let last = "Watched 1 change: 0 led to differences, 0 refused";
    assert_eq!(rest.last().map(String::as_str), Some(last), "{rest:?}");
}
