//! Plug-ins of Extism, written by hand.

use std::sync::Arc;

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{Frame, Header, Kind, Manifest, Permission};
use glovebox_events::{Binding, Outcome};

use crate::{Host, HostBuilder, InstanceId, LoadError, LoadRequest, Mock, Reply, Source};

/// A plug-in with these functions, which may use all that its host has, and a memory with a few texts.
fn plugin(functions: &str) -> Vec<u8> {
    wat::parse_str(module(functions)).unwrap_or_else(|error| panic!("{error}"))
}

fn module(functions: &str) -> String {
    let import = |name: &str, ty: &str| {
        format!("(import \"extism:host/env\" \"{name}\" (func ${name} {ty}))\n")
    };
    let one_to_one = "(param i64) (result i64)";
    let imports = [
        ("alloc", one_to_one),
        ("free", "(param i64)"),
        ("length", one_to_one),
        ("load_u8", "(param i64) (result i32)"),
        ("load_u64", one_to_one),
        ("store_u8", "(param i64 i32)"),
        ("store_u64", "(param i64 i64)"),
        ("input_length", "(result i64)"),
        ("input_offset", "(result i64)"),
        ("input_load_u8", "(param i64) (result i32)"),
        ("output_set", "(param i64 i64)"),
        ("error_set", "(param i64)"),
        ("config_get", one_to_one),
        ("var_get", one_to_one),
        ("var_set", "(param i64 i64)"),
        ("log_info", "(param i64)"),
        ("get_log_level", "(result i32)"),
        ("http_request", "(param i64 i64) (result i64)"),
        ("http_status_code", "(result i32)"),
        ("http_headers", "(result i64)"),
    ];
    let imports: String = imports.iter().map(|(name, ty)| import(name, ty)).collect();
    format!(
        r#"(module {imports}
        (memory (export "memory") 1)
        (global $runs (mut i64) (i64.const 0))
        ;; A block with a letter.
        (func $letter (param $letter i32) (result i64) (local $block i64)
            (local.set $block (call $alloc (i64.const 1)))
            (call $store_u8 (local.get $block) (local.get $letter))
            (local.get $block))
        ;; The block at a handle is the output.
        (func $answer (param $block i64)
            (call $output_set (local.get $block) (call $length (local.get $block))))
        {functions})"#
    )
}

/// Answers with its input.
const ECHO: &str = "(func (export \"echo\") (result i32)
    (call $output_set (call $input_offset) (call $input_length)) (i32.const 0))";

fn manifest(keys: &str) -> Manifest {
    Manifest::parse(&format!("[plugin]\nid = \"some\"\n{keys}")).unwrap()
}

fn load(request: LoadRequest) -> (Host, InstanceId) {
    load_in(Host::builder(), request)
}

fn load_in(host: HostBuilder, request: LoadRequest) -> (Host, InstanceId) {
    let host = host.build().unwrap();
    let id = host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
    (host, id)
}

fn refusal(request: LoadRequest) -> LoadError {
    let host = Host::builder().build().unwrap();
    host.load(request).wait().expect_err("it must be refused")
}

fn frame(function: &str, payload: &'static str) -> Frame {
    let header = Header::build().text(Header::FUNCTION, function).finish();
    Frame::new(Kind::DATA, header, payload)
}

fn told(reply: &Reply) -> String {
    match reply.frames.first() {
        Some(frame) => String::from_utf8_lossy(&frame.payload).into_owned(),
        None => reply.outcome.to_string(),
    }
}

/// Calls functions of a plugin one after the other: each answer, or a part of what its outcome says.
#[track_caller]
fn check(request: LoadRequest, script: &[(&str, &str)]) {
    check_in(Host::builder(), request, script);
}

#[track_caller]
fn check_in(host: HostBuilder, request: LoadRequest, script: &[(&str, &str)]) {
    let (host, id) = load_in(host, request);
    for (function, expected) in script {
        let told = told(&host.call(id, &frame(function, "in")));
        assert!(told.contains(expected), "{function}: {told}\nlacks {expected:?}");
    }
}

fn bare(functions: &str) -> LoadRequest {
    LoadRequest::bytes("some", plugin(functions))
}

#[test]
fn a_frame_is_a_call_of_a_function() {
    let (host, id) = load(bare(ECHO));
    let status = host.plugin(id).unwrap();
    assert_eq!(
        (status.binding, &status.functions[..]),
        (Binding::Extism, &["echo".to_owned()][..])
    );
    assert_eq!(status.manifest.plugin.id, "some");
    // The only function needs no name.
    let reply = host.call(id, &Frame::data("hello"));
    assert_eq!(reply.outcome, Outcome::Completed);
    assert_eq!(&reply.frames[..], &[Frame::data("hello")]);
    assert_eq!(told(&host.call(id, &Frame::data(""))), "");
    assert_eq!(told(&host.call(id, &frame("echo", "again"))), "again");
    let missing = told(&host.call(id, &frame("other", "")));
    assert!(missing.contains("exports no function `other`; it has `echo`"), "{missing}");
}

#[test]
fn a_function_is_chosen_by_header_or_manifest() {
    let two = "(func (export \"a\") (call $answer (call $letter (i32.const 97))))
        (func (export \"b\") (result i32) (call $answer (call $letter (i32.const 98))) (i32.const 0))
        (func (export \"takes\") (param i32)) (func (export \"_private\"))";
    let data = |host: &Host, id| told(&host.call(id, &Frame::data("")));
    let (host, id) = load(bare(two));
    assert_eq!(host.plugin(id).unwrap().functions, ["a", "b"]);
    let unsaid = data(&host, id);
    assert!(unsaid.contains("which function to call: it has `a`, `b`"), "{unsaid}");
    assert_eq!(told(&host.call(id, &frame("b", ""))), "b");
    let takes = told(&host.call(id, &frame("takes", "")));
    assert!(takes.contains("`takes` takes 1 arguments"), "{takes}");
    let (host, id) = load(bare(two).manifest(manifest("[runtime]\nfunction = \"a\"")));
    assert_eq!(data(&host, id), "a");
    assert_eq!(told(&host.call(id, &frame("b", ""))), "b");
}

#[test]
fn codes_and_errors_are_failures() {
    let functions = "
        (func (export \"code\") (result i32) (i32.const 7))
        (func (export \"negative\") (result i32) (i32.const -1))
        (func (export \"error\") (result i32) (call $error_set (call $letter (i32.const 120))) (i32.const 3))
        (func (export \"freed\") (result i32) (local $text i64)
            (local.set $text (call $letter (i32.const 121)))
            (call $error_set (local.get $text)) (call $free (local.get $text)) (i32.const 0))
        (func (export \"taken-back\") (result i32)
            (call $error_set (call $letter (i32.const 120))) (call $error_set (i64.const 0)) (i32.const 0))
        (func (export \"trap\") (call $error_set (call $letter (i32.const 122))) unreachable)";
    let (host, id) = load(bare(functions));
    let call = |function: &str| host.call(id, &frame(function, "")).outcome;
    let failed = |code, message: &str| Outcome::Failed { code, message: message.to_owned() };
    assert_eq!(call("code"), failed(7, "it returned the code 7"));
    assert_eq!(call("negative"), failed(1, "it returned the code -1"));
    assert_eq!(call("error"), failed(3, "x"));
    assert_eq!(call("freed"), failed(1, "y"));
    assert_eq!(call("taken-back"), Outcome::Completed);
    let Outcome::Trapped { code, message } = call("trap") else { panic!("no trap") };
    assert_eq!(code, "unreachable-code-reached");
    assert!(message.ends_with("; it says: z"), "{message}");
    // The words of one call are not those of the next.
    assert_eq!(call("code"), failed(7, "it returned the code 7"));
}

/// Sets the var `v` to its input, or removes it, and answers with the var.
const VARS: &str = "
    (func (export \"set\") (call $var_set (call $letter (i32.const 118)) (call $input_offset)))
    (func (export \"remove\") (call $var_set (call $letter (i32.const 118)) (i64.const 0)))
    (func (export \"get\") (call $answer (call $var_get (call $letter (i32.const 118)))))";

#[test]
fn vars_are_the_state() {
    let (host, id) = load(bare(VARS));
    let call = |function: &str, input| told(&host.call(id, &frame(function, input)));
    assert_eq!(
        (call("get", ""), call("set", "one"), call("get", "")),
        ("".into(), "".into(), "one".into())
    );
    let snapshot = host.snapshot(id).wait().unwrap();
    let Value::Map(vars) = Value::decode(&snapshot.states[0].as_ref().unwrap().bytes).unwrap()
    else {
        panic!("no map")
    };
    assert_eq!(vars, [(Value::Text("v".to_owned()), Value::Bytes(b"one".to_vec()))]);
    // Another version of the plug-in has them, and the one before again those of that moment.
    let other =
        format!("{VARS} (func (export \"new\") (call $answer (call $letter (i32.const 33))))");
    host.reload_with(id, Source::bytes("some", plugin(&other))).wait().unwrap();
    assert_eq!((call("get", ""), call("new", "")), ("one".to_owned(), "!".to_owned()));
    assert_eq!((call("set", "two"), call("get", "")), ("".to_owned(), "two".to_owned()));
    host.roll_back(id).wait().unwrap();
    assert_eq!(call("get", ""), "one");
    assert_eq!((call("remove", ""), call("get", "")), ("".to_owned(), "".to_owned()));
}

#[test]
fn vars_need_their_permission_and_keep_to_their_limit() {
    let denied = bare(VARS).manifest(manifest(""));
    check(denied, &[("get", "the var `v` was not read: "), ("set", "the var `v` was not set: ")]);
    let small = manifest("[permissions]\nkv = true\n[limits]\nkv-bytes = 100");
    check(bare(VARS).manifest(small), &[("set", "see its limits"), ("get", "")]);
}

#[test]
fn settings_and_logs_go_through_the_services() {
    let functions = "
        (func (export \"config\") (call $answer (call $config_get (call $letter (i32.const 99)))))
        (func (export \"log\") (call $log_info (call $input_offset))
            (call $answer (call $letter (i32.add (i32.const 48) (call $get_log_level)))))";
    let settings = "[config]\nc = \"value\"";
    let with = |permissions: &str| {
        bare(functions).manifest(manifest(&format!("{settings}\n[permissions]\n{permissions}")))
    };
    check(with("config = true\nlog = true"), &[("config", "value"), ("log", "0")]);
    check(with(""), &[("config", ""), ("log", "/")]);
    let (host, id) = load(bare(functions));
    assert_eq!(told(&host.call(id, &frame("config", ""))), "");
    let status = host.plugin(id).unwrap();
    let asked = status.permissions.iter().filter(|one| one.asked);
    let asked: Vec<Permission> = asked.map(|one| one.permission).collect();
    for permission in [Permission::Config, Permission::Log, Permission::Kv] {
        assert!(asked.contains(&permission), "{asked:?}");
    }
    assert!(!asked.contains(&Permission::Network), "{asked:?}");
}

/// Asks for a URL, and answers with what comes back.
fn asks_for(url: &str) -> String {
    let request = format!("{{\"url\":\"{url}\",\"headers\":{{}},\"method\":\"POST\"}}");
    let bytes = request.bytes().enumerate();
    let stores: String = bytes
        .map(|(at, byte)| {
            format!(
                "(call $store_u8 (i64.add (local.get $request) (i64.const {at})) (i32.const {byte}))"
            )
        })
        .collect();
    format!(
        "(func (export \"ask\") (local $request i64)
            (local.set $request (call $alloc (i64.const {})))
            {stores}
            (call $answer (call $http_request (local.get $request) (call $input_offset))))
         (func (export \"status\")
            (call $answer (call $letter (i32.div_u (call $http_status_code) (i32.const 4)))))",
        request.len()
    )
}

#[test]
fn requests_are_denied_or_answered_by_a_mock() {
    let url = "https://api.example.org/a";
    let denied = "the request to api.example.org:443 was not made: ";
    check(bare(&asks_for(url)), &[("ask", denied)]);
    let asking = || manifest("[permissions]\nnetwork = [\"*.example.org:443\"]");
    let check_allowed = |url: &str, mock: &str, script: &[(&str, &str)]| {
        let request = bare(&asks_for(url)).manifest(asking());
        let request = request.mock(Arc::new(Mock::parse(mock).unwrap()));
        let host = Host::builder().allow("some:network".parse().unwrap());
        check_in(host, request, script);
    };
    check_allowed(url, "", &[("ask", "no client for HTTP here")]);
    let mock =
        format!("[[function]]\nname = \"http-request\"\nargument = \"{url}\"\ngives = \"yes\"");
    check_allowed(url, &mock, &[("ask", "yes"), ("status", "2")]);
    check_allowed("https://other.org/", &mock, &[("ask", "other.org:443 was not made: denied")]);
    check_allowed("https://api.example.org:80/", &mock, &[("ask", "not made: denied")]);
    check_allowed("ftp://api.example.org/", &mock, &[("ask", "no URL of HTTP")]);
}

#[test]
fn wrong_uses_have_a_name_and_end_the_copy() {
    #[track_caller]
    fn check_one(body: &str, expected: &str) {
        let functions = format!("(func (export \"wrong\") {body}) {ECHO}");
        let request = bare(&functions).manifest(manifest(
            "[permissions]\nlog = true\nkv = true\nnetwork = [\"*:*\"]\n[limits]\nmemory = \"2 MiB\"",
        ));
        check(request, &[("wrong", expected), ("echo", "in")]);
    }
    check_one("(drop (call $load_u64 (i64.const -8)))", "lie outside of the memory");
    check_one("(drop (call $load_u8 (i64.const 0)))", "lie outside of the memory");
    check_one("(call $store_u64 (i64.const 0x7fffffffffffffff) (i64.const 1))", "lie outside");
    check_one("(call $output_set (call $input_offset) (i64.const -1))", "lie outside");
    check_one("(call $output_set (call $input_offset) (i64.const 1000000))", "lie outside");
    check_one("(call $error_set (i64.const 12345))", "got the handle 12345, which is none");
    check_one("(call $log_info (i64.const 12345))", "`log_info` got the handle 12345");
    check_one("(drop (call $var_get (i64.const -1)))", "got the handle 18446744073709551615");
    check_one(
        "(drop (call $http_request (call $letter (i32.const 65)) (i64.const 0)))",
        "got no request",
    );
    check_one("(drop (call $alloc (i64.const -1)))", "exceeded");
    check_one("(drop (call $alloc (i64.const 0x40000000)))", "exceeded");
    check_one("(loop (drop (call $alloc (i64.const 65536))) (br 0))", "exceeded");
    check_one("(loop (drop (call $alloc (i64.const 1))) (br 0))", "exceeded");
    // Those are none, there as here.
    check_one(
        "(local $b i64) (local.set $b (call $alloc (i64.const 9)))
        (call $free (local.get $b)) (call $free (local.get $b)) (call $free (i64.const 77))",
        "",
    );
    check_one("(call $output_set (i64.const 99999999) (i64.const 0))", "");
}

#[test]
fn limits_hold() {
    let functions = format!(
        "{ECHO} (func (export \"forever\") (loop (br 0)))
        (func (export \"huge\") (local $b i64) (local.set $b (call $alloc (i64.const 2000000)))
            (call $answer (local.get $b)))
        (func (export \"talks\") (loop (drop (call $config_get (call $letter (i32.const 97)))) (br 0)))"
    );
    let limits =
        "[permissions]\nconfig = true\n[limits]\ncall-deadline = \"50 ms\"\noutput-bytes = 1000000";
    let (host, id) = load(bare(&functions).manifest(manifest(limits)));
    let call = |function: &str| host.call(id, &frame(function, "in")).outcome;
    assert!(matches!(call("forever"), Outcome::TimedOut { .. }));
    assert!(matches!(call("huge"), Outcome::LimitExceeded { limit: LimitKind::OutputBytes, .. }));
    assert!(matches!(
        call("talks"),
        Outcome::LimitExceeded { limit: LimitKind::HostCalls, .. } | Outcome::TimedOut { .. }
    ));
    assert_eq!(call("echo"), Outcome::Completed);
    let (host, id) = load(bare(&functions).manifest(manifest("[limits]\nmemory = \"1 MiB\"")));
    let large =
        Frame::new(Kind::DATA, Header::build().text("function", "echo").finish(), vec![7; 2 << 20]);
    let outcome = host.call(id, &large).outcome;
    assert!(
        matches!(outcome, Outcome::LimitExceeded { limit: LimitKind::Memory, .. }),
        "{outcome}"
    );
    assert_eq!(told(&host.call(id, &frame("echo", "small"))), "small");
}

#[test]
fn languages_are_started_in_their_order() {
    /// The letters that the functions with these names leave.
    #[track_caller]
    fn check_order(exports: &[(&str, &str)], expected: &str) {
        let note = |letter: char| {
            format!(
                "(global.set $runs (i64.add (i64.mul (global.get $runs) (i64.const 256))
                    (i64.const {})))",
                u32::from(letter)
            )
        };
        let functions: String = exports
            .iter()
            .zip('p'..)
            .map(|((name, ty), letter)| {
                let result = if ty.contains("result") { "(i32.const 0)" } else { "" };
                format!("(func (export \"{name}\") {ty} {} {result})", note(letter))
            })
            .collect();
        let told =
            "(func (export \"told\") (local $b i64) (local.set $b (call $alloc (i64.const 8)))
            (call $store_u64 (local.get $b) (global.get $runs)) (call $answer (local.get $b)))";
        let (host, id) = load(bare(&format!("{functions}{told}")));
        let answer = host.call(id, &frame("told", "")).frames[0].payload.clone();
        let letters: String =
            answer.iter().rev().filter(|byte| **byte > 0).map(|byte| char::from(*byte)).collect();
        assert_eq!(letters, expected, "{exports:?}");
    }
    let haskell = ("hs_init", "(param i32 i32)");
    check_order(&[], "");
    check_order(&[("_initialize", "")], "p");
    check_order(&[("_initialize", ""), ("__wasm_call_ctors", "")], "q");
    check_order(&[haskell, ("_initialize", ""), ("__wasm_call_ctors", "")], "qp");
    check_order(&[("hs_init", "(param i32 i32) (result i32)")], "p");
    check_order(&[("_initialize", "(param i32)")], "");
    let endless = "(func (export \"_initialize\") (loop (br 0)))";
    let keys = "[lifecycle]\nstart-deadline = \"50 ms\"";
    let error = refusal(bare(endless).manifest(manifest(keys))).to_string();
    assert!(error.starts_with("initialize: the plugin timed out"), "{error}");
}

#[test]
fn programs_and_exits_get_fresh_memory() {
    let wasi = "(module
        (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
        (import \"extism:host/env\" \"alloc\" (func $alloc (param i64) (result i64)))
        (import \"extism:host/env\" \"store_u8\" (func $store_u8 (param i64 i32)))
        (import \"extism:host/env\" \"output_set\" (func $output_set (param i64 i64)))
        (memory (export \"memory\") 1)
        (global $runs (mut i32) (i32.const 48))
        (func $told (local $b i64) (local.set $b (call $alloc (i64.const 1)))
            (global.set $runs (i32.add (global.get $runs) (i32.const 1)))
            (call $store_u8 (local.get $b) (global.get $runs))
            (call $output_set (local.get $b) (i64.const 1)))
        (func (export \"_start\") (call $told))
        (func (export \"count\") (call $told))
        (func (export \"leave\") (call $told) (call $exit (i32.const 0)))
        (func (export \"fail\") (call $exit (i32.const 6))))";
    let request = LoadRequest::bytes("some", wat::parse_str(wasi).unwrap());
    let code = "failed: it returned the code 6 (code 6)";
    check(
        request,
        &[
            ("count", "1"),
            ("count", "2"),
            ("_start", "3"),
            ("_start", "1"),
            ("count", "1"),
            ("leave", "2"),
            ("count", "1"),
            ("fail", code),
            ("count", "1"),
        ],
    );
}

#[test]
fn the_old_dialect_runs() {
    let old = module(ECHO).replace("\"extism:host/env\" \"", "\"env\" \"extism_");
    check(LoadRequest::bytes("some", wat::parse_str(old).unwrap()), &[("echo", "in")]);
}

#[test]
fn functions_of_the_application_are_named_and_scripted() {
    let functions = "
        (import \"extism:host/user\" \"greet\" (func $greet (param i64) (result i64)))
        (import \"extism:host/user\" \"add\" (func $add (param i32 i32) (result i32)))";
    let bodies = "
        (func (export \"greets\") (call $answer (call $greet (call $letter (i32.const 97)))))
        (func (export \"adds\") (call $answer (call $letter (call $add (i32.const 1) (i32.const 2)))))";
    // Imports stand first.
    let text = module(bodies).replacen("(module ", &format!("(module {functions}"), 1);
    let request = || LoadRequest::bytes("some", wat::parse_str(&text).unwrap());
    let error = refusal(request()).to_string();
    let missing = "link: the application gives no function `extism:host/user#add`, \
                   `extism:host/user#greet`";
    assert!(error.starts_with(missing), "{error}");
    let mock = "
        [[function]]
        name = \"extism:host/user#greet\"
        argument = { hex = \"61\" }
        gives = \"hello a\"
        [[function]]
        name = \"extism:host/user#add\"
        gives = 51";
    let mock = Arc::new(Mock::parse(mock).unwrap());
    check(request().mock(mock), &[("greets", "hello a"), ("adds", "3")]);
    let wrong = "[[function]]\nname = \"extism:host/user#greet\"\nfail = \"unavailable\"
        [[function]]\nname = \"extism:host/user#add\"\ngives = \"three\"";
    let wrong = request().mock(Arc::new(Mock::parse(wrong).unwrap()));
    check(wrong, &[("greets", "`extism:host/user#greet` was not called"), ("adds", "takes i32")]);
}

#[test]
fn unknown_imports_are_named() {
    let error = |import: &str| {
        let text = format!(
            "(module (import \"extism:host/env\" \"alloc\" (func (param i64) (result i64))) {import})"
        );
        refusal(LoadRequest::bytes("some", wat::parse_str(text).unwrap())).to_string()
    };
    let check = |import: &str, expected: &str| {
        let error = error(import);
        assert!(error.contains(expected), "{error}\nlacks {expected}");
    };
    check("(import \"extism:host/env\" \"fly\" (func))", "unknown import `extism:host/env::fly`");
    check("(import \"extism:host/env\" \"memory\" (memory 1))", "`extism:host/env::memory`");
    check("(import \"other\" \"f\" (func (param v128)))", "`other::f`");
    check("(import \"extism:host/env\" \"free\" (func (param i32)))", "an import does not fit");
}
