//! States that are kept and put back.

use super::*;

#[test]
fn a_copy_that_is_down_goes_on_from_its_kept_state() {
    fn check(next: fn(&Host, InstanceId), expected: &str) {
        let states = tempfile::tempdir().unwrap();
        let host = Host::builder().state_folder(states.path()).build().unwrap();
        let keys = "[state]\npersist = true\n[lifecycle]\nrestart = \"never\"";
        let id = load(&host, counter(keys));
        ask(&host, id, "x");
        assert!(host.save_state(id).wait());
        ask(&host, id, "x");
        assert_eq!(ask(&host, id, "die"), "trapped");
        assert_eq!(ask(&host, id, "x"), "refused");
        next(&host, id);
        assert_eq!(ask(&host, id, "x"), expected);
    }
    check(|host, id| assert_eq!(host.reload(id).wait().unwrap(), 2), "2");
    check(|host, id| host.restart(id).wait().unwrap(), "2");
    check(|host, id| assert_eq!(host.reload_cold(id).wait().unwrap(), 2), "1");
    // The state of then.
    check(
        |host, id| {
            host.reload_cold(id).wait().unwrap();
            host.roll_back(id).wait().unwrap();
        },
        "2",
    );
}

#[test]
fn a_restart_of_a_plugin_that_is_well_keeps_its_state() {
    let states = tempfile::tempdir().unwrap();
    let host = Host::builder().state_folder(states.path()).build().unwrap();
    let id = load(&host, counter("[state]\npersist = true"));
    ask(&host, id, "x");
    host.restart(id).wait().unwrap();
    assert_eq!(ask(&host, id, "x"), "2");
}

#[test]
fn states_that_cannot_be_read_stop_the_start_and_damage_is_told() {
    fn check(spoil: fn(&Path), works: bool, event: &str) {
        let states = tempfile::tempdir().unwrap();
        let sink = Arc::new(Remembered::default());
        let host = Host::builder().state_folder(states.path()).sink(sink.clone()).build().unwrap();
        let load = || host.load(counter("[state]\npersist = true")).wait();
        let id = load().unwrap();
        ask(&host, id, "x");
        host.drain(id, PATIENCE).wait();
        spoil(&states.path().join("counter/0"));
        match load() {
            Ok(id) => assert!(works && ask(&host, id, "x") == "1"),
            Err(error) => {
                let error = error.to_string();
                assert!(!works && error.starts_with("restore state: its kept states cannot"));
                assert!(error.contains("move the folder away"), "{error}");
            }
        }
        assert!(sink.0.lock().iter().any(|said| said.contains(event)), "{:?}", sink.0.lock());
    }
    check(
        |folder| {
            fs::remove_dir_all(folder).unwrap();
            fs::write(folder, "a file in its place").unwrap();
        },
        false,
        "its kept states cannot be read",
    );
    check(
        |folder| fs::write(folder.join("000000000001.state"), "damaged").unwrap(),
        true,
        "a kept state is passed over: cut short",
    );
}

/// A module that looks into its store while it is given its state, and answers with what it found.
const LOOKS: &str = r#"(module
    (import "glovebox" "kv_get" (func $get (param i32 i32 i32 i32) (result i64)))
    (import "glovebox" "kv_set" (func $set (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 512) "\52\00\01\00\00\00\00\00\01\00\00\00?")
    (data (i32.const 600) "\01\00\00\00")
    (data (i32.const 700) "key")
    (data (i32.const 720) "-")
    (func (export "glovebox_abi_0_1"))
    (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 1024))
    (func (export "glovebox_save_state") (result i64)
        (i64.or (i64.shl (i64.const 600) (i64.const 32)) (i64.const 4)))
    (func (export "glovebox_restore_state") (param i32) (result i64)
        (drop (call $get (i32.const 700) (i32.const 3) (i32.const 524) (i32.const 1)))
        (i64.const 0))
    ;; Stores the payload.
    (func (export "glovebox_process") (param i32) (result i64)
        (drop (call $set (i32.const 700) (i32.const 3) (i32.const 1036) (i32.const 1)))
        (i64.const 0x200_0000000D)))"#;

#[test]
fn a_snapshot_puts_the_store_in_before_the_states() {
    let host = host();
    let manifest = "[plugin]\nid = \"looks\"\n[permissions]\nkv = true";
    let request = LoadRequest::bytes("looks.wasm", wat::parse_str(LOOKS).unwrap());
    let id = load(&host, request.manifest(Manifest::parse(manifest).unwrap()));
    ask(&host, id, "a");
    let snapshot = host.snapshot(id).wait().unwrap();
    ask(&host, id, "b");
    host.restore(id, snapshot).wait().unwrap();
    assert_eq!(ask(&host, id, "c"), "a", "what it found when it was given its state");
}
