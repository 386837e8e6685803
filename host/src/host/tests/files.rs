//! Files that plugins write.

use super::*;

/// A module that makes the file `f` in its folder and then does to it what the payload says; it answers
/// with the error of that as a byte.
const GROWS: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pwrite"
        (func $pwrite (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek"
        (func $seek (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_filestat_set_size"
        (func $resize (param i32 i64) (result i32)))
    (import "wasi_snapshot_preview1" "fd_allocate"
        (func $allocate (param i32 i64 i64) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 512) "\52\00\01\00\00\00\00\00\01\00\00\00?")
    (data (i32.const 700) "f")
    ;; An empty vector, and one of two bytes.
    (data (i32.const 720) "\bc\02\00\00\00\00\00\00\bc\02\00\00\02\00\00\00")
    (func (export "glovebox_abi_0_1"))
    (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 1024))
    (func $fd (param $flags i32) (result i32)
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const 700) (i32.const 1) (i32.const 1)
            (i64.const 0x1fffffff) (i64.const 0x1fffffff) (local.get $flags) (i32.const 760)))
        (i32.load (i32.const 760)))
    (func $do (param $what i32) (result i32)
        (local $fd i32)
        (local.set $fd (call $fd (i32.eq (local.get $what) (i32.const 43))))
        (if (i32.eq (local.get $what) (i32.const 97))
            (then (return (call $allocate (local.get $fd) (i64.const 1) (i64.const 67108864)))))
        (if (i32.eq (local.get $what) (i32.const 115))
            (then (return (call $resize (local.get $fd) (i64.const 1000000000000)))))
        (if (i32.eq (local.get $what) (i32.const 83))
            (then (return (call $resize (local.get $fd) (i64.const 67108864)))))
        (if (i32.eq (local.get $what) (i32.const 112))
            (then (return (call $pwrite (local.get $fd) (i32.const 720) (i32.const 2)
                (i64.const 67108863) (i32.const 764)))))
        (if (i32.eq (local.get $what) (i32.const 80))
            (then (return (call $pwrite (local.get $fd) (i32.const 720) (i32.const 2)
                (i64.const 67108862) (i32.const 764)))))
        (if (i32.eq (local.get $what) (i32.const 119))
            (then (drop (call $seek (local.get $fd) (i64.const 67108863) (i32.const 0)
                (i32.const 768)))))
        (call $write (local.get $fd) (i32.const 720) (i32.const 2) (i32.const 764)))
    (func (export "glovebox_process") (param i32) (result i64)
        (i32.store8 (i32.const 524) (call $do (i32.load8_u (i32.const 1036))))
        (i64.const 0x200_0000000D)))"#;

#[test]
fn a_module_writes_no_file_above_the_limit() {
    const TOO_LARGE: u8 = 22;
    /// `before` is the size of the file, and `after` the one that it has then.
    fn check(what: &'static str, before: u64, error: u8, after: u64) {
        check_within("", what, before, error, after);
    }
    /// The same under other limits of the manifest.
    fn check_within(limits: &str, what: &'static str, before: u64, error: u8, after: u64) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let file = folder.path().join("data/f");
        fs::File::create(&file).unwrap().set_len(before).unwrap();
        fs::write(folder.path().join("grows.wat"), GROWS).unwrap();
        let keys = "[permissions]\nfiles = [{ path = \"data\", access = \"read-write\" }]";
        let manifest = "[plugin]\nid = \"grows\"\n[artifact]\nwasm = \"grows.wat\"\n";
        let manifest = format!("{manifest}{keys}\n{limits}");
        fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let sink = Arc::new(Remembered::default());
        let host = Host::builder().sink(sink.clone()).build().unwrap();
        host.set_policy_mode(crate::policy::PolicyMode::AsDeclared);
        let id = load(&host, LoadRequest::path(folder.path()));
        let reply = host.call(id, &Frame::data(what));
        assert_eq!(reply.frames[0].payload[..], [error], "{what}: {:?}", reply.outcome);
        assert_eq!(file.metadata().unwrap().len(), after, "{what}");
        let is_told = sink.0.lock().iter().any(|event| event.contains("LimitExceeded"));
        assert_eq!(is_told, error == TOO_LARGE, "{what}");
        let status = host.plugin(id).unwrap();
        let limit = status.limit(LimitKind::FileBytes).unwrap();
        assert_eq!(limit.hits, u64::from(error == TOO_LARGE), "{what}");
    }
    const LIMIT: u64 = 64 << 20;
    check("s", 0, TOO_LARGE, 0);
    check("S", 0, 0, LIMIT);
    // It becomes smaller.
    check("S", LIMIT + 7, 0, LIMIT);
    check("p", 0, TOO_LARGE, 0);
    check("P", 0, 0, LIMIT);
    check("w", 0, TOO_LARGE, 0);
    check("a", 0, TOO_LARGE, 0);
    // At the place where it begins, and at the end.
    check("-", LIMIT, 0, LIMIT);
    check("+", LIMIT - 1, TOO_LARGE, LIMIT - 1);
    check("+", LIMIT - 2, 0, LIMIT);
    check_within("[limits]\nfile-bytes = \"64 MiB\"", "S", 0, 0, LIMIT);
    check_within("[limits]\nfile-bytes = 67108863", "S", 0, TOO_LARGE, 0);
    check_within("[limits]\nfile-bytes = \"65 MiB\"", "p", 0, 0, LIMIT + 1);
}
