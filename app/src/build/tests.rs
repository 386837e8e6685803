use std::process::Command;

use super::*;

/// A core module with one custom section of each of these names, whose content is the name.
fn module(names: &[&str]) -> Vec<u8> {
    let mut binary = b"\0asm\x01\0\0\0".to_vec();
    for name in names {
        section::append(&mut binary, name, name.as_bytes());
    }
    binary
}

#[test]
fn custom_sections_are_found_and_removed() {
    fn check(names: &[&str], wanted: &str, found: bool, left: &[&str]) {
        let binary = module(names);
        let content = section::find(&binary, wanted).unwrap();
        assert_eq!(content, found.then_some(wanted.as_bytes()), "{names:?}");
        assert_eq!(section::without(&binary, wanted).unwrap(), module(left));
    }
    check(&[], "a", false, &[]);
    check(&["a", "b", "a"], "a", true, &["b"]);
    check(&["b"], "a", false, &["b"]);
    let long = "x".repeat(1000);
    check(&["a", &long], &long, true, &["a"]);
}

#[test]
fn damaged_binaries_are_refused() {
    fn check(binary: &[u8], expected: &str) {
        let error = encode::module(binary.to_vec(), None).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    check(b"", "no WebAssembly");
    check(b"\x7FELF....", "no WebAssembly");
    check(b"\0asm\x0D\0\x01\0", "made a component");
    check(b"\0asm\x01\0\0\0\x00\xFF", "cut short");
    check(b"\0asm\x01\0\0\0\x00\x02\x05a", "cut short");
    check(b"\0asm\x01\0\0\0\x00\xFF\xFF\xFF\xFF\xFF\xFF", "cut short");
}

#[test]
fn a_module_gets_the_manifest_once() {
    fn check(names: &[&str], manifest: Option<&str>, expected: Option<&str>) {
        let bytes = manifest.map(str::as_bytes);
        let (binary, has_manifest) = encode::module(module(names), bytes).unwrap();
        let mut whole = b"\0asm\x01\0\0\0".to_vec();
        if let Some(expected) = expected {
            section::append(&mut whole, section::MANIFEST, expected.as_bytes());
        }
        assert_eq!((binary, has_manifest), (whole, expected.is_some()));
    }
    check(&[], None, None);
    check(&[], Some("text"), Some("text"));
    check(&[section::MANIFEST], None, Some(section::MANIFEST));
    check(&[section::MANIFEST], Some("text"), Some(section::MANIFEST));
}

#[test]
fn failures_of_cargo_say_what_to_do() {
    fn check(said: &str, expected: &str) {
        let told = cargo::explain(said, Some("wasm32-unknown-unknown"), "exit status: 101");
        assert!(told.contains(expected), "{told:?} does not say {expected:?}");
    }
    check("error[E0463]: can't find crate for `core`", "rustup target add wasm32-unknown-unknown");
    check(
        "error: the package 'a' does not contain this feature: component",
        "add `component = [\"glovebox-sdk/component\"]`",
    );
    check("  Compiling a\nerror: expected `;`\n --> src/lib.rs", "error: expected `;`\n -->");
    check("", "exit status: 101");
}

#[test]
fn the_artifact_is_the_one_cargo_names() {
    fn check(kind: &str, file: &str, expected: &str) {
        let messages = format!(
            "not json\n{}\n{}\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/dep/Cargo.toml","target":{"crate_types":["cdylib"]},"filenames":["/t/dep.wasm"]}"#,
            format_args!(
                r#"{{"reason":"compiler-artifact","package_id":"p","manifest_path":"/p/Cargo.toml","target":{{"name":"p","kind":["{kind}"],"crate_types":["{kind}","rlib"],"src_path":"/p/src/lib.rs"}},"profile":{{"opt_level":"3","debug_assertions":false,"overflow_checks":false,"test":false}},"features":[],"filenames":["/t/p.rlib","{file}"],"executable":null,"fresh":false}}"#
            )
        );
        let shown = match cargo::find_artifact(&messages, Path::new("/p/Cargo.toml")) {
            Ok(path) => path.display().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(shown.contains(expected), "{shown:?} does not say {expected:?}");
    }
    check("cdylib", "/t/p.wasm", "/t/p.wasm");
    check("cdylib", "/t/libp.so", "/t/libp.so");
    check("cdylib", "/t/p.txt", "named no file");
    check("lib", "/t/p.wasm", "add `crate-type");
}

#[test]
fn no_artifact_carries_what_no_host_can_read() {
    fn check(manifest: &str, expected: Result<(), &str>) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.wat"), "(module)").unwrap();
        fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let cancel = AtomicBool::new(false);
        let built = build(folder.path(), &BuildOptions::default(), &cancel, &mut |_| {});
        match expected {
            Ok(()) => assert!(built.unwrap().has_manifest),
            Err(expected) => {
                let error = format!("{:#}", built.unwrap_err());
                assert!(
                    error.starts_with("parse manifest: ") && error.contains(expected),
                    "{error}"
                );
                assert!(!folder.path().join("target").exists());
            }
        }
    }
    check("[plugin]\nid = \"a\"\n", Ok(()));
    check("[plugin]\nid = \"a\"\n[nonsense]\n", Err("unknown key `nonsense`"));
    check("[plugin]\nid = \"a b!!\"\n", Err("is not a plugin id"));
    check("garbage [", Err("line 1"));
}

#[test]
fn a_pipe_in_place_of_the_record_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.wat"), "(module)").unwrap();
    let options = BuildOptions { name: Some("a".to_owned()), ..BuildOptions::default() };
    let artifact = artifact_path(folder.path(), &options).unwrap();
    fs::create_dir_all(artifact.with_file_name(".a.frame-abi.wasm.built")).unwrap();
    let built = build(folder.path(), &options, &AtomicBool::new(false), &mut |_| {});
    let error = format!("{:#}", built.unwrap_err());
    assert!(error.contains("remove ") && error.contains(".a.frame-abi.wasm.built"), "{error}");
}

#[test]
fn folders_are_told_apart() {
    fn check(files: &[&str], expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let shown = match Source::find(folder.path()) {
            Ok(source) => format!("{source:?}"),
            Err(error) => error.to_string(),
        };
        assert!(shown.contains(expected), "{shown:?} does not say {expected:?}");
    }
    check(&["Cargo.toml", "a.c"], "Cargo(");
    check(&["a.wat", "plugin.toml"], "Wat(");
    check(&["a.c"], "C(");
    check(&[], "0 source files");
    check(&["a.c", "b.wat"], "2 source files");
}

#[test]
#[cfg(unix)]
fn all_that_a_compiler_says_is_handed_on() {
    /// The standard output, and the lines of standard error.
    fn check(script: &str, stdout: &str, lines: &[&str]) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut heard: Vec<String> = Vec::new();
        let cancel = AtomicBool::new(false);
        let mut hear = |line: &str| heard.push(line.to_owned());
        let ended = child::run(&mut command, &cancel, &mut hear, String::new).unwrap().unwrap();
        assert!(ended.status.success(), "{script}: {}", ended.status);
        assert_eq!(
            (ended.stdout.as_str(), heard),
            (stdout, lines.iter().map(|line| (*line).to_owned()).collect()),
            "{script}"
        );
        assert_eq!(ended.stderr.lines().collect::<Vec<_>>(), lines, "{script}");
    }
    check("echo out; echo one >&2; echo two >&2", "out\n", &["one", "two"]);
    // The rest comes after a line that is no text.
    check(r"printf 'a\377b\n' >&2; echo two >&2", "", &["a\u{fffd}b", "two"]);
    check(r"printf 'a\377b\n'; printf 'no end' >&2", "a\u{fffd}b\n", &["no end"]);
}

#[test]
fn only_a_compiler_that_cannot_be_run_is_to_be_installed() {
    let mut command = Command::new("/no/such/compiler");
    let remedy = || "install it".to_owned();
    let run = child::run(&mut command, &AtomicBool::new(false), &mut |_| {}, remedy);
    let error = format!("{:#}", run.map(drop).unwrap_err());
    assert!(error.starts_with("install it: "), "{error}");
}

/// A folder with a plugin in WAT, and how it is built.
fn by_hand() -> (tempfile::TempDir, BuildOptions) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugin")).unwrap();
    fs::write(folder.path().join("plugin/code.wat"), "(module)").unwrap();
    fs::write(folder.path().join("precious"), "precious").unwrap();
    (folder, BuildOptions { name: Some("it".to_owned()), ..BuildOptions::default() })
}

#[test]
#[cfg(unix)]
fn a_build_replaces_what_a_build_made_and_nothing_else() {
    /// Prepares the folder and changes the options; the start of the error without --force, and whether
    /// it is built with it.
    #[track_caller]
    fn check(prepare: fn(&Path, &mut BuildOptions), expected: Result<(), &str>, forced: bool) {
        for force in [false, true] {
            let (folder, mut options) = by_hand();
            let (root, plugin) = (folder.path(), folder.path().join("plugin"));
            prepare(root, &mut options);
            options.force = force;
            let built = build(&plugin, &options, &AtomicBool::new(false), &mut |_| {});
            let told = built.as_ref().map(drop).map_err(|error| error.to_string());
            match (&told, expected) {
                (Err(told), Err(expected)) if !force => assert!(told.contains(expected), "{told}"),
                (told, expected) => {
                    let good = if force { forced } else { expected.is_ok() };
                    assert_eq!(told.is_ok(), good, "{told:?}");
                }
            }
            // Nothing is written through a link, with force or without.
            assert_eq!(fs::read_to_string(root.join("precious")).unwrap(), "precious");
            assert_eq!(fs::read_dir(root).unwrap().count(), 2, "something was made outside");
            if let Ok(built) = built {
                assert!(built.artifact.symlink_metadata().unwrap().is_file());
                assert!(fs::read(&built.artifact).unwrap().starts_with(b"\0asm"));
                // The next version replaces it.
                fs::write(plugin.join("code.wat"), "(module (memory 1))").unwrap();
                options.force = false;
                build(&plugin, &options, &AtomicBool::new(false), &mut |_| {}).unwrap();
                // A file that somebody made of it is theirs.
                fs::write(&built.artifact, "precious").unwrap();
                let error = build(&plugin, &options, &AtomicBool::new(false), &mut |_| {});
                assert!(error.unwrap_err().to_string().contains("did not make what is there"));
            }
        }
    }
    let foreign =
        Err("did not make what is there; choose another folder with --out, or add --force");
    fn artifact(root: &Path) -> PathBuf {
        fs::create_dir_all(root.join("plugin/target/glovebox")).unwrap();
        root.join("plugin/target/glovebox/it.frame-abi.wasm")
    }
    check(|_, _| {}, Ok(()), true);
    check(|root, _| fs::write(artifact(root), "precious").unwrap(), foreign, true);
    check(
        |root, _| std::os::unix::fs::symlink(root.join("precious"), artifact(root)).unwrap(),
        foreign,
        true,
    );
    check(
        |root, _| std::os::unix::fs::symlink(root.join("none"), artifact(root)).unwrap(),
        foreign,
        true,
    );
    // A record beside it is no way out either.
    check(
        |root, _| {
            let record = artifact(root).with_file_name(".it.frame-abi.wasm.built");
            std::os::unix::fs::symlink(root.join("precious"), record).unwrap();
        },
        Ok(()),
        true,
    );
    check(
        |root, _| std::os::unix::fs::symlink(root, root.join("plugin/target")).unwrap(),
        Err("a link in the plugin's folder leads out of it; name a folder with --out"),
        false,
    );
    check(
        |root, options| {
            fs::create_dir(root.join("plugin/out")).unwrap();
            fs::write(root.join("plugin/out/it.frame-abi.wasm"), "precious").unwrap();
            options.out = Some(root.join("plugin/out"));
        },
        foreign,
        true,
    );
}
