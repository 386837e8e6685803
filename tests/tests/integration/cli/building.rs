//! `glovebox watch --build`: from a changed source to the differences.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use glovebox_tests::root;

use super::{Folder, text};

/// The source of a plugin, and its words that change.
struct Plugin {
    folder: Folder,
    source: &'static str,
    build: &'static [&'static str],
}

impl Plugin {
    /// A plugin by hand, which is built in milliseconds.
    fn by_hand() -> Plugin {
        let folder = Folder::with_trace();
        fs::create_dir(folder.0.path().join("guest")).expect("the folder is empty");
        for file in ["hello.wat", "plugin.toml"] {
            let source = root().join("sample-plugins/hello-wat").join(file);
            fs::copy(source, folder.0.path().join("guest").join(file)).expect("there is space");
        }
        Plugin { folder, source: "guest/hello.wat", build: &[] }
    }

    /// The plugin of the README, for the compiler of this machine.
    fn of_the_readme() -> Plugin {
        let folder = Folder::with_trace();
        fs::create_dir_all(folder.0.path().join("guest/src")).expect("the folder is empty");
        let sdk = root().join("host/sdk");
        folder.write(
            "guest/Cargo.toml",
            format!(
                "[package]\nname = \"guest\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\n\
                 crate-type = [\"cdylib\", \"rlib\"]\n[dependencies]\n\
                 glovebox-sdk = {{ path = {sdk:?} }}\n[workspace]\n"
            ),
        );
        // The crates that are here already.
        folder.write("guest/Cargo.lock", fs::read(root().join("Cargo.lock")).expect("it is there"));
        folder.write("guest/plugin.toml", "[plugin]\nid = \"guest\"\nversion = \"0.1.0\"\n");
        folder.write("guest/src/lib.rs", SOURCE);
        Plugin { folder, source: "guest/src/lib.rs", build: &["--binding", "native"] }
    }

    fn change(&self, from: &str, to: &str) {
        let path = self.folder.0.path().join(self.source);
        let source = fs::read_to_string(&path).expect("it was written");
        assert!(source.contains(from), "{from:?} stands in the source");
        fs::write(path, source.replace(from, to)).expect("there is space");
    }

    fn watch(&self, more: &[&'static str]) -> Vec<&'static str> {
        [&["watch", "guest", "--build", "--trace", "in.mcap"], self.build, more].concat()
    }
}

const SOURCE: &str = r#"
use glovebox_sdk::{Failure, Frame, Plugin, Services};

#[derive(Default)]
pub struct Guest;

impl Plugin for Guest {
    fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(vec![Frame::data(frame.payload.to_ascii_uppercase())])
    }
}

glovebox_sdk::export!(Guest);
"#;

/// A change, a change that cannot be built, and one that changes no answer.
fn check(plugin: &Plugin, change: [&str; 2], broken: [&str; 2], same: [&str; 2]) {
    let folder = &plugin.folder;
    let once = plugin.watch(&["--once"]);
    folder.refused(&once, 2, "nothing to compare with: no build before at", "before the change");
    let build = [&["build", "guest"], plugin.build].concat();
    folder.check(&build, 0, "", "Built 1 artifact");
    let unchanged = "Watched 1 change: 0 led to differences, 0 refused";
    folder.check(&once, 0, "", unchanged);
    plugin.change(change[0], change[1]);
    let changed = "Watched 1 change: 1 led to differences, 0 refused";
    folder.check(&once, 1, "changed: ", changed);
    // The build before is the one that was just made.
    folder.check(&once, 0, "", unchanged);
    plugin.change(broken[0], broken[1]);
    let refused = "Watched 1 change: 0 led to differences, 1 refused";
    folder.check(&once, 1, "", refused);
    plugin.change(broken[1], broken[0]);
    plugin.change(same[0], same[1]);
    folder.check(&once, 0, "", unchanged);
}

#[test]
fn one_change_is_built_replayed_and_compared() {
    let plugin = Plugin::by_hand();
    check(&plugin, ["hello, ", "HELLO, "], ["(module", "(broken"], [";; Answers", ";; Gives"]);
}

#[test]
fn one_change_of_a_crate_is_built_replayed_and_compared() {
    let plugin = Plugin::of_the_readme();
    let change = ["to_ascii_uppercase", "to_ascii_lowercase"];
    check(&plugin, change, ["Ok(vec!", "Oh(vec!"], ["pub struct", "/// Shouts.\npub struct"]);
}

#[test]
fn changes_are_built_as_they_come() {
    let plugin = Plugin::by_hand();
    let mut command = plugin.folder.command(&plugin.watch(&["--changes", "2"]));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = Vec::new();
    let mut wait_for = |wanted: &str| {
        let found = lines.by_ref().inspect(|line| said.push(line.clone()));
        let found = found.into_iter().any(|line| line.contains(wanted));
        assert!(found, "{wanted:?} was not said: {said:?}");
    };
    wait_for("watching guest");
    // Nothing was changed yet, and this is said of the build at the start.
    wait_for("generation 2: Replayed 4 frames");
    plugin.change("(module", "(broken");
    wait_for("Not built: assemble: ");
    plugin.change("(broken", "(module");
    wait_for("generation 3: Replayed 4 frames");
    wait_for("Watched 2 changes: 0 led to differences, 1 refused");
    let run = child.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{}", text(&run.stdout));
}

/// Notes in its folder that it was called, computes for a while, and answers with a word.
const SLOW: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open" (func $path_open
    (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (func (export "glovebox_abi_0_1"))
  (memory (export "memory") 4)
  (data (i32.const 1024) "begun")
  (data (i32.const 2048) "\52\00\01\00\00\00\00\00\04\00\00\00one!")
  (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 65536))
  (func (export "glovebox_process") (param i32) (result i64)
    (local $turns i32)
    (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 5)
        (i32.const 1) (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 64)))
    (local.set $turns (i32.const 1000000000))
    (loop $again
      (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
      (br_if $again (local.get $turns)))
    (i64.const 0x80000000010)))"#;

/// A version that comes during the first replay takes over after it.
#[test]
fn the_standard_is_made_by_one_version() {
    let folder = Folder::with_trace();
    folder.write("guest.wat", SLOW);
    let permissions = "files = [{ path = \"data\", access = \"read-write\" }]";
    folder.write(
        "plugin.toml",
        format!(
            "[plugin]\nid = \"guest\"\n[artifact]\nwasm = \"guest.wat\"\n[limits]\n\
             call-deadline = \"30 s\"\n[permissions]\n{permissions}\n"
        ),
    );
    fs::create_dir(folder.0.path().join("data")).unwrap();
    let watch = ["watch", ".", "--trace", "in.mcap", "--changes", "1", "--allow", "files"];
    let mut command = folder.command(&watch);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = folder.0.path().join("data/begun");
    while !begun.exists() {
        std::thread::yield_now();
    }
    let next = SLOW.replace("one!", "two!").replace("1000000000", "1");
    folder.write("guest.wat", next);
    let run = child.wait_with_output().unwrap();
    let said = text(&run.stderr);
    assert!(said.contains("4 calls compared, 4 different"), "{said}");
    assert_eq!(run.status.code(), Some(1), "{said}");
}
