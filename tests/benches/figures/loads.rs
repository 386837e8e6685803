//! From a file to a ready instance.

use glovebox_host::{Host, LoadRequest};
use glovebox_tests::{native_sample, sample};
use wasmtime::component::Component;

use crate::figure::{Figures, pair_once};

const ROUNDS: usize = 11;

pub(crate) fn run(figures: &mut Figures) {
    let load = |host: &Host, request: LoadRequest| {
        let id = host.load(request).wait().expect("it loads");
        host.unload(id);
    };
    let redact = || LoadRequest::path(sample("redact.wasm"));
    let bytes = std::fs::read(sample("redact.wasm")).expect("the sample is there");
    let engine = wasmtime::Engine::default();
    if figures.wants("load-wasm-cold") {
        let host = Host::builder().build().expect("a host starts on any machine");
        let (value, baseline) = pair_once(
            ROUNDS,
            || load(&host, redact()),
            || drop(Component::new(&engine, &bytes).expect("it compiles")),
        );
        figures.add("load-wasm-cold", value, "ms", ("raw-compile-ms", baseline), 100.0);
    }
    if figures.wants("load-wasm-cached") {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cached = Host::builder().cache_folder(folder.path());
        let host = cached.build().expect("a host starts on any machine");
        load(&host, redact());
        let code = Component::new(&engine, &bytes).and_then(|component| component.serialize());
        let code = code.expect("it compiles");
        let (value, baseline) = pair_once(
            ROUNDS,
            || load(&host, redact()),
            // SAFETY: the bytes were just made by the same engine.
            || drop(unsafe { Component::deserialize(&engine, &code) }.expect("it is its own")),
        );
        figures.add("load-wasm-cached", value, "ms", ("raw-deserialize-ms", baseline), 10.0);
    }
    if figures.wants("load-native") {
        let host = Host::builder().build().expect("a host starts on any machine");
        let path = native_sample("redact");
        let (value, baseline) = pair_once(
            ROUNDS,
            || load(&host, LoadRequest::path(&path).trust_native(true)),
            // SAFETY: the library is our own sample.
            || drop(unsafe { libloading::Library::new(&path) }.expect("it opens")),
        );
        figures.add("load-native", value, "ms", ("raw-open-ms", baseline), 10.0);
    }
}
