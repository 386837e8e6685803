//! Better code that takes over, or waits for the next start. The compiles run when a test says so.

use glovebox_abi::manifest::Compiler;

use super::super::optimise::work;
use super::*;
use crate::load::CompiledBy;

/// A module that answers nothing, gives no state, and traps at the frame of one byte.
const NO_STATE: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "glovebox_abi_0_1"))
    (func (export "glovebox_buffer") (param i32) (result i32) i32.const 4096)
    (func (export "glovebox_process") (param i32) (result i64)
        (if (i32.eq (local.get 0) (i32.const 13)) (then unreachable))
        i64.const 0))"#;

fn quick(name: &str) -> LoadRequest {
    let module = wat::parse_str(NO_STATE).unwrap();
    let manifest = Manifest::parse(&format!("[plugin]\nid = \"{name}\"")).unwrap();
    LoadRequest::bytes("a.wasm", module).manifest(manifest).compiler(Compiler::QuickFirst)
}

/// A host that makes no better code by itself.
fn idle_host(sink: &Arc<Remembered>) -> Host {
    let host = Host::builder().sink(sink.clone()).build().unwrap();
    host.inner.optimiser.set_at_work();
    host
}

fn make_better(host: &Host) {
    work(&host.downgrade(), &host.inner.preparer);
    host.inner.optimiser.set_at_work();
}

fn compiler(host: &Host, id: InstanceId) -> CompiledBy {
    host.plugin(id).unwrap().compiler.unwrap()
}

fn notes(sink: &Remembered) -> usize {
    sink.0.lock().iter().filter(|event| event.contains("keeps the code of the quick")).count()
}

#[test]
fn what_gives_no_state_has_better_code_from_its_next_start_on() {
    fn check(start: impl Fn(&Host, InstanceId), generation: u32) {
        let sink = Arc::default();
        let host = idle_host(&sink);
        let id = load(&host, quick("a"));
        let prepared = host.instance(id).unwrap().current().prepared.clone();
        assert_eq!(compiler(&host, id), CompiledBy::QuickFirst);
        assert!(prepared.held_bytes() > 0);
        make_better(&host);
        assert_eq!((compiler(&host, id), notes(&sink)), (CompiledBy::Quick, 1));
        assert_eq!(prepared.held_bytes(), 0, "the artifact is not needed any more");
        start(&host, id);
        assert_eq!(compiler(&host, id), CompiledBy::Optimising);
        assert_eq!(host.plugin(id).unwrap().generation, generation);
        assert_eq!(ask(&host, id, "xy"), "completed");
        // It is told once, whoever asks again.
        make_better(&host);
        assert_eq!(notes(&sink), 1);
    }
    check(|host, id| host.restart(id).wait().unwrap(), 1);
    check(|host, id| assert_eq!(ask(host, id, "x"), "trapped"), 1);
    // The code that did not take over had the number 2.
    check(|host, id| assert_eq!(host.reload(id).wait().unwrap(), 3), 3);
}

#[test]
fn better_code_of_one_version_says_nothing_about_another() {
    let sink = Arc::default();
    let host = idle_host(&sink);
    let id = load(&host, quick("a"));
    let instance = host.instance(id).unwrap();
    let (ran, request) = (instance.current().prepared.clone(), instance.request());
    let load = host.inner.loads.begin(request.source.origin());
    let better = host.inner.preparer.optimised(&ran, &request, &load).unwrap();
    // Another version takes over during the compile.
    let other = wat::parse_str(NO_STATE.replace("4096", "8192")).unwrap();
    let manifest = Manifest::parse("[plugin]\nid = \"a\"\nversion = \"0.0.2\"").unwrap();
    let other = LoadRequest::bytes("a.wasm", other).manifest(manifest).source;
    assert_eq!(host.reload_with(id, other).wait().unwrap(), 2);
    host.take_optimised(&instance, &ran, better);
    assert_eq!((compiler(&host, id), notes(&sink)), (CompiledBy::QuickFirst, 0));
    assert_eq!(host.plugin(id).unwrap().generation, 2);
    // A way back leads to it.
    assert_eq!(host.roll_back(id).wait().unwrap(), 3);
    assert_eq!(compiler(&host, id), CompiledBy::Optimising);
}

/// A subscriber that panics when the first compile begins.
struct Panics(std::sync::atomic::AtomicBool);

impl tracing::Subscriber for Panics {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let is_first = span.metadata().name() == "compile" && !self.0.swap(true, Relaxed);
        assert!(!is_first, "on purpose");
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_panic_costs_one_artifact_its_better_code() {
    let sink = Arc::default();
    let host = idle_host(&sink);
    let ids = ["a", "b"].map(|name| load(&host, quick(name)));
    tracing::subscriber::with_default(Panics(false.into()), || {
        work(&host.downgrade(), &host.inner.preparer);
    });
    let is_told = |words: &str| sink.0.lock().iter().any(|event| event.contains(words));
    assert!(is_told("to make better code panicked: on purpose"));
    assert!(is_told("it gives no state"), "the other one has its turn");
    let held = |id: InstanceId| host.instance(id).unwrap().current().prepared.held_bytes();
    assert_eq!(ids.map(held), [0, 0]);
    // Those that come later have theirs.
    assert!(!host.inner.optimiser.is_at_work());
}
