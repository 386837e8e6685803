//! Where a native plugin runs, and how it moves.

use glovebox_abi::{Frame, Header, Kind};
use glovebox_host::{Isolation, LoadRequest, Policy};
use glovebox_tests::{Bench, native_sample, sample};

#[test]
fn places_that_there_are_not_are_refused() {
    let check = |request: LoadRequest, expected: &str| {
        let error = Bench::new().host.load(request).wait().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error:?} is not {expected:?}");
    };
    let native = || LoadRequest::path(native_sample("echo"));
    check(native().isolation(Isolation::InProcess), "policy: a native plugin runs as trusted code");
    check(
        native().isolation(Isolation::Container).trust_native(),
        "policy: isolation `container` is not available in this host; ",
    );
    check(
        LoadRequest::path(sample("echo.wasm")).isolation(Isolation::Process),
        "policy: for WebAssembly, isolation `process` is not available in this host; ",
    );
}

#[test]
fn a_native_plugin_has_a_worker_unless_it_is_trusted() {
    let check = |request: fn(LoadRequest) -> LoadRequest, expected: Isolation| {
        let bench = Bench::new();
        let request = request(LoadRequest::path(native_sample("echo")));
        let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
        let status = bench.host.plugin(id).unwrap();
        assert_eq!(status.isolation, expected);
        assert_eq!(status.sandbox.is_some(), expected == Isolation::Process);
        assert_eq!(bench.ask(id, "hello"), "hello");
    };
    check(|request| request, Isolation::Process);
    check(LoadRequest::trust_native, Isolation::InProcess);
    check(|request| request.trust_native().isolation(Isolation::Process), Isolation::Process);
    let wasm = Bench::new();
    let id = wasm.load("echo.wasm");
    assert_eq!(wasm.host.plugin(id).unwrap().isolation, Isolation::InProcess);
}

#[test]
fn the_policy_says_what_follows_from_a_missing_layer() {
    let echo = || LoadRequest::path(native_sample("echo"));
    // Some machines lack none: the expectation is what the status says.
    let usual = Bench::new();
    let id = usual.host.load(echo()).wait().unwrap_or_else(|error| panic!("{error}"));
    let sandbox = usual.host.plugin(id).unwrap().sandbox.unwrap();
    let missing: Vec<String> = sandbox.missing().map(|(layer, _)| layer.to_string()).collect();
    let check = |rule: &str, accepts: bool, runs: bool, remedy: &str| {
        let policy = format!("[sandbox]\nmissing-layers = \"{rule}\"\n");
        let bench = Bench::with(|builder| builder.policy(Policy::parse(&policy).unwrap()));
        let request = if accepts { echo().accept_missing_layers() } else { echo() };
        match bench.host.load(request).wait() {
            Ok(id) => {
                assert!(runs || missing.is_empty(), "{rule}: it runs without {missing:?}");
                assert_eq!(bench.ask(id, "hello"), "hello");
            }
            Err(error) => {
                let error = error.to_string();
                assert!(!runs && !missing.is_empty(), "{rule}: {error}");
                assert!(error.starts_with("policy: its sandbox lacks layers: "), "{error}");
                assert!(missing.iter().all(|layer| error.contains(layer)), "{error}");
                assert!(error.contains(remedy), "{error}");
            }
        }
    };
    check("run", false, true, "");
    check("ask", false, false, "--accept-missing-layers");
    check("ask", true, true, "");
    check("refuse", true, false, "glovebox doctor");
    let refused = |text: &str, expected: &str| {
        let error = Policy::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} lacks {expected}");
    };
    refused("[sandbox]\nmissing-layers = \"perhaps\"", "use run, ask or refuse");
    refused("[sandbox]\nmissing = \"run\"", "missing-layers");
}

#[test]
fn a_plugin_moves_with_its_state() {
    let bench = Bench::new();
    let request = LoadRequest::path(native_sample("stats"));
    let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
    let place = || bench.host.plugin(id).unwrap().isolation;
    let count = || {
        assert_eq!(bench.ask(id, "counted"), "");
        let report = Frame::new(Kind::CONTROL, Header::empty(), "report");
        let answer = bench.ask_frame(id, &report);
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer["kinds"]["data"]["frames"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    };
    assert_eq!((place(), count()), (Isolation::Process, 1));
    bench.host.trust_and_move_here(id).wait().unwrap();
    assert_eq!((place(), count()), (Isolation::InProcess, 2));
    bench.host.move_to_workers(id).wait().unwrap();
    assert_eq!((place(), count()), (Isolation::Process, 3));
    // It stays there.
    bench.host.reload(id).wait().unwrap();
    assert_eq!((place(), count()), (Isolation::Process, 4));
    // Going back to a generation takes nobody back to where that ran.
    bench.host.trust_and_move_here(id).wait().unwrap();
    bench.host.move_to_workers(id).wait().unwrap();
    bench.host.roll_back(id).wait().unwrap();
    assert_eq!(place(), Isolation::Process);
    assert!(count() > 0);
    bench.host.trust_and_move_here(id).wait().unwrap();
    bench.host.roll_back(id).wait().unwrap();
    assert_eq!(place(), Isolation::InProcess);
    bench.host.move_to_workers(id).wait().unwrap();
    let usage = bench.host.plugin(id).unwrap().usage.unwrap();
    assert!(usage.processes >= 1 && usage.resident > 0, "{usage:?}");
    let wasm = bench.load("echo.wasm");
    let error = bench.host.move_to_workers(wasm).wait().unwrap_err().to_string();
    assert!(error.starts_with("policy: for WebAssembly, isolation `process`"), "{error}");
    assert_eq!(bench.ask(wasm, "still there?"), "still there?");
}
