//! The cost of `host.call` beside the least that any host must do for it: the raw call of the same code with the
//! same copies of frames, one lock that nobody else wants, and, where calls are timed, to read the
//! clock as often as the metrics need.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_host::{Host, InstanceId, LoadRequest};
use glovebox_tests::{native_sample, sample};
use wasmtime::Module;
use wasmtime::component::Component;

use crate::figure::{Figures, pair};
use crate::raw::{RawComponent, RawLibrary, RawModule, engine};

/// Gives the frame back from where it lies: the frame ABI at its cheapest.
const ECHO: &str = r#"(module
    (memory (export "memory") 2)
    (func (export "glovebox_abi_0_1"))
    (func (export "glovebox_buffer") (param i32) (result i32) i32.const 1024)
    (func (export "glovebox_process") (param i32) (result i64)
        (i64.or (i64.const 0x40000000000) (i64.extend_i32_u (local.get 0)))))"#;
/// The largest good ratio.
const TARGET: f64 = 1.3;

pub(crate) fn run(figures: &mut Figures) {
    core(figures);
    frame_abi(figures);
    component(figures);
    native(figures);
}

/// A tier, with and without timing. The clock is read at both ends of a call, and `also_inside` if the
/// time in the plugin is told from that of carrying frames.
fn measure(
    figures: &mut Figures,
    tier: &str,
    also_inside: bool,
    load: impl Fn(&Host) -> InstanceId,
    mut raw: impl FnMut(),
) {
    let lock = Mutex::new(());
    let frame = frame();
    for is_timed in [false, true] {
        let name = format!("call-{tier}{}", if is_timed { "-timed" } else { "" });
        if !figures.wants(&name) {
            continue;
        }
        let (builder, reads, baseline_is) = match is_timed {
            false => (Host::builder(), 0, "raw-call-and-lock-ns"),
            true => {
                let reads = if also_inside { 4 } else { 2 };
                (Host::builder().time_calls(), reads, "raw-call-lock-and-clock-ns")
            }
        };
        let host = builder.build().expect("a host starts on any machine");
        let id = load(&host);
        let (value, baseline) = pair(
            || drop(black_box(host.call(id, &frame))),
            || {
                let held = lock.lock().expect("nobody panics");
                for _ in 0..reads {
                    black_box(Instant::now());
                }
                raw();
                drop(held);
            },
        );
        figures.add(&name, value, "ns", (baseline_is, baseline), TARGET);
    }
}

fn frame() -> Frame {
    Frame::data(vec![7; 64])
}

struct Echo;

impl Plugin for Echo {
    fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(vec![frame.clone()])
    }
}

fn core(figures: &mut Figures) {
    let load = |host: &Host| {
        let manifest = Manifest::bare("echo");
        host.load(LoadRequest::core(manifest, || Box::new(Echo))).wait().expect("it loads")
    };
    let frame = frame();
    let mut raw: Box<dyn Plugin> = black_box(Box::new(Echo));
    let mut services = glovebox_sdk::testing::TestHost::default();
    measure(figures, "core", false, load, || {
        drop(black_box(raw.process(&mut services, &frame)));
    });
}

fn frame_abi(figures: &mut Figures) {
    if !figures.wants("call-frame-abi-64b-timed") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("echo.wat");
    std::fs::write(&path, ECHO).expect("a temporary file");
    let load = |host: &Host| host.load(LoadRequest::path(&path)).wait().expect("it loads");
    let engine = engine();
    let module = wat::parse_str(ECHO).expect("the text is right");
    let module = Module::new(&engine, module).expect("it compiles");
    let mut raw = RawModule::start(&engine, &RawModule::link(&engine, &module));
    let bytes = frame().to_bytes();
    measure(figures, "frame-abi-64b", true, load, || raw.call(&bytes));
}

fn component(figures: &mut Figures) {
    if !figures.wants("call-component-64b-timed") {
        return;
    }
    let load =
        |host: &Host| host.load(LoadRequest::path(sample("echo.wasm"))).wait().expect("it loads");
    let engine = engine();
    let component = Component::from_file(&engine, sample("echo.wasm")).expect("it compiles");
    let mut raw = RawComponent::start(&engine, &component);
    let frame = frame();
    measure(figures, "component-64b", false, load, || raw.call(&frame));
}

fn native(figures: &mut Figures) {
    if !figures.wants("call-native-timed") {
        return;
    }
    let path = native_sample("echo");
    let load = |host: &Host| {
        let request = LoadRequest::path(&path).trust_native();
        host.load(request).wait().expect("it loads")
    };
    let mut raw = RawLibrary::start(&path);
    let frame = frame();
    measure(figures, "native", false, load, || raw.call(&frame));
}
