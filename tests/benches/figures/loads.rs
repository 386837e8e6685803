//! From a file to a ready instance, beside what any host must do: read the file, know it by its digest,
//! turn it into code, and start an instance of it.

use std::path::Path;

use glovebox_host::worker::compiles_outside;
use glovebox_host::{CompilePlace, Compiler, Host, LoadRequest};
use glovebox_tests::{native_sample, sample};
use wasmtime::component::Component;

use crate::figure::{Figures, pair_once};
use crate::raw::{RawComponent, RawLibrary, engine};

const ROUNDS: usize = 11;

pub(crate) fn run(figures: &mut Figures) {
    let load = |host: &Host, request: LoadRequest| {
        let id = host.load(request).wait().expect("it loads");
        host.unload(id);
    };
    let path = sample("redact.wasm");
    let redact = || LoadRequest::path(&path);
    let engine = engine();
    if figures.wants("load-wasm-cold") {
        let host = Host::builder().build().expect("a host starts on any machine");
        let (value, baseline) = pair_once(
            ROUNDS,
            || load(&host, redact()),
            || {
                let bytes = read(&path);
                let component = Component::new(&engine, &bytes).expect("it compiles");
                drop(RawComponent::start(&engine, &component));
            },
        );
        figures.add("load-wasm-cold", value, "ms", ("raw-compile-and-start-ms", baseline), 1.3);
    }
    if !figures.wants("load-wasm-cold-outside") {
    } else if let Err(missing) = compiles_outside() {
        figures.skip("load-wasm-cold-outside", &missing.reason);
    } else {
        let host = |place| {
            let builder = Host::builder().compile_place(place);
            builder.build().expect("a host starts on any machine")
        };
        let (outside, here) = (host(CompilePlace::Process), host(CompilePlace::ThisProcess));
        let (value, baseline) =
            pair_once(ROUNDS, || load(&outside, redact()), || load(&here, redact()));
        let baseline = ("load-and-compile-in-process-ms", baseline);
        figures.add("load-wasm-cold-outside", value, "ms", baseline, 1.3);
    }
    if figures.wants("load-wasm-quick") {
        let host = Host::builder().build().expect("a host starts on any machine");
        let (value, baseline) = pair_once(
            ROUNDS,
            || load(&host, redact().compiler(Compiler::Quick)),
            || load(&host, redact().compiler(Compiler::Optimising)),
        );
        figures.add("load-wasm-quick", value, "ms", ("load-optimised-ms", baseline), 0.5);
    }
    if figures.wants("load-wasm-cached") {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cached = Host::builder().cache_folder(folder.path());
        let host = cached.build().expect("a host starts on any machine");
        load(&host, redact());
        let component = Component::new(&engine, read(&path)).expect("it compiles");
        let code = folder.path().join("code");
        std::fs::write(&code, component.serialize().expect("it can")).expect("there is space");
        let (value, baseline) = pair_once(
            ROUNDS,
            || load(&host, redact()),
            || {
                read(&path);
                let code = read(&code);
                // SAFETY: the bytes were made by the same engine above, and nobody else knows the file.
                let component = unsafe { Component::deserialize(&engine, &code) };
                drop(RawComponent::start(&engine, &component.expect("it is its own")));
            },
        );
        let baseline = ("raw-deserialize-and-start-ms", baseline);
        figures.add("load-wasm-cached", value, "ms", baseline, 2.0);
    }
    if figures.wants("load-native") {
        let host = Host::builder().build().expect("a host starts on any machine");
        let path = native_sample("redact");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut number = 0;
        let (value, baseline) = pair_once(
            ROUNDS,
            || load(&host, LoadRequest::path(&path).trust_native()),
            || {
                // A library that is open already would not be opened again.
                number += 1;
                let copy = folder.path().join(number.to_string());
                std::fs::write(&copy, read(&path)).expect("there is space");
                drop(RawLibrary::start(&copy));
            },
        );
        figures.add("load-native", value, "ms", ("raw-copy-and-open-ms", baseline), 1.5);
    }
}

/// The bytes of a file, of which the digest was made.
fn read(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).expect("it is there");
    std::hint::black_box(blake3::hash(&bytes));
    bytes
}
