//! What `host.call` adds to a raw call of the same code with the same copies.

use std::ffi::c_void;
use std::hint::black_box;

use glovebox_abi::native::{Entry, HostTable, Output, SYMBOL, Slice};
use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_host::{Host, LoadRequest};
use glovebox_tests::{native_sample, sample};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Instance, Module, Store};

use crate::figure::{Figures, pair};

/// Gives the frame back from where it lies: the frame ABI at its cheapest.
const ECHO: &str = r#"(module
    (memory (export "memory") 2)
    (func (export "glovebox_abi_0_1"))
    (func (export "glovebox_buffer") (param i32) (result i32) i32.const 1024)
    (func (export "glovebox_process") (param i32) (result i64)
        (i64.or (i64.const 0x40000000000) (i64.extend_i32_u (local.get 0)))))"#;

pub(crate) fn run(figures: &mut Figures) {
    if figures.wants("call-core") {
        core(figures);
    }
    if figures.wants("call-frame-abi-64b") {
        frame_abi(figures);
    }
    if figures.wants("call-component-64b") {
        component(figures);
    }
    if figures.wants("call-native") {
        native(figures);
    }
}

fn frame() -> Frame {
    Frame::data(vec![7; 64])
}

fn host() -> Host {
    Host::builder().build().expect("a host starts on any machine")
}

/// The engine as the host sets it up, so that only the host's own work is measured.
fn engine() -> Engine {
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true).cranelift_nan_canonicalization(true);
    Engine::new(&config).expect("the engine starts on any machine")
}

struct Echo;

impl Plugin for Echo {
    fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(vec![frame.clone()])
    }
}

fn core(figures: &mut Figures) {
    let host = host();
    let manifest = Manifest::bare("echo");
    let id = host.load(LoadRequest::core(manifest, || Box::new(Echo))).wait().expect("it loads");
    let frame = frame();
    let mut raw: Box<dyn Plugin> = black_box(Box::new(Echo));
    let mut services = glovebox_sdk::testing::TestHost::default();
    let (value, baseline) = pair(
        || drop(black_box(host.call(id, &frame))),
        || drop(black_box(raw.process(&mut services, &frame))),
    );
    figures.add(
        "call-core-over-trait",
        value - baseline,
        "ns",
        ("bare-trait-call-ns", baseline),
        30.0,
    );
}

fn frame_abi(figures: &mut Figures) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("echo.wat");
    std::fs::write(&path, ECHO).expect("a temporary file");
    let host = host();
    let id = host.load(LoadRequest::path(path)).wait().expect("it loads");
    let frame = frame();

    let engine = engine();
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(u64::MAX / 2);
    let module = Module::new(&engine, wat::parse_str(ECHO).expect("the text is right"))
        .expect("it compiles");
    let instance = Instance::new(&mut store, &module, &[]).expect("it links");
    let memory = instance.get_memory(&mut store, "memory").expect("it has a memory");
    let process = instance
        .get_typed_func::<i32, i64>(&mut store, "glovebox_process")
        .expect("it has the export");
    let bytes = frame.to_bytes();
    let (value, baseline) = pair(
        || drop(black_box(host.call(id, &frame))),
        || {
            memory.data_mut(&mut store)[1024..1024 + bytes.len()].copy_from_slice(&bytes);
            let packed = process.call(&mut store, bytes.len() as i32).expect("it answers") as u64;
            let (start, length) = ((packed >> 32) as usize, packed as u32 as usize);
            drop(black_box(memory.data(&store)[start..start + length].to_vec()));
        },
    );
    figures.add("call-frame-abi-64b", value / baseline, "x", ("raw-wasmtime-ns", baseline), 1.8);
}

mod world {
    wasmtime::component::bindgen!({
        path: "../host/abi/wit/since_v0.1.0",
        world: "plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// Serves nothing: echo asks for nothing.
struct Nothing;

impl world::glovebox::plugin::types::Host for Nothing {}

impl world::glovebox::plugin::host::Host for Nothing {
    fn log(&mut self, _: u32, _: String) -> Result<(), u32> {
        Err(4)
    }
    fn now(&mut self) -> Result<u64, u32> {
        Err(4)
    }
    fn random(&mut self, _: u32) -> Result<Vec<u8>, u32> {
        Err(4)
    }
    fn config(&mut self, _: String) -> Result<Option<String>, u32> {
        Err(4)
    }
    fn kv_get(&mut self, _: String) -> Result<Option<Vec<u8>>, u32> {
        Err(4)
    }
    fn kv_set(&mut self, _: String, _: Vec<u8>) -> Result<(), u32> {
        Err(4)
    }
    fn kv_delete(&mut self, _: String) -> Result<bool, u32> {
        Err(4)
    }
    fn kv_list(&mut self, _: String) -> Result<Vec<String>, u32> {
        Err(4)
    }
    fn emit(&mut self, _: world::glovebox::plugin::types::FrameResult) -> Result<(), u32> {
        Err(4)
    }
    fn metric(&mut self, _: String, _: f64) -> Result<(), u32> {
        Err(4)
    }
}

fn component(figures: &mut Figures) {
    use world::exports::glovebox::plugin::guest::FrameParam;
    let host = host();
    let id = host.load(LoadRequest::path(sample("echo.wasm"))).wait().expect("it loads");
    let frame = frame();

    let engine = engine();
    let component = Component::from_file(&engine, sample("echo.wasm")).expect("it compiles");
    let mut linker = Linker::new(&engine);
    world::Plugin::add_to_linker::<_, wasmtime::component::HasSelf<Nothing>>(
        &mut linker,
        |nothing| nothing,
    )
    .expect("the imports are distinct");
    let mut store = Store::new(&engine, Nothing);
    store.set_epoch_deadline(u64::MAX / 2);
    let plugin = world::Plugin::instantiate(&mut store, &component, &linker).expect("it links");
    let guest = plugin.glovebox_plugin_guest();
    guest.call_initialize(&mut store, "{}").expect("it runs").expect("it is ready");
    let (value, baseline) = pair(
        || drop(black_box(host.call(id, &frame))),
        || {
            let given = FrameParam { kind: 0x52, header: &[], payload: &frame.payload };
            drop(black_box(guest.call_process(&mut store, given).expect("it answers")));
        },
    );
    figures.add("call-component-64b", value / baseline, "x", ("raw-wasmtime-ns", baseline), 1.2);
}

fn native(figures: &mut Figures) {
    let path = native_sample("echo");
    let host = host();
    let request = LoadRequest::path(&path).trust_native(true);
    let id = host.load(request).wait().expect("it loads");
    let frame = frame();

    // SAFETY: the library is our own sample, whose entry has this type.
    let table = unsafe {
        let library = libloading::Library::new(&path).expect("it opens");
        let entry = *library.get::<Entry>(SYMBOL).expect("it has the symbol");
        std::mem::forget(library);
        &*entry()
    };
    let mut frames: Vec<Frame> = Vec::new();
    let output = Output {
        context: (&raw mut frames).cast(),
        frame: take_frame,
        state: take_state,
        message: take_message,
    };
    // SAFETY: echo calls no service, so it never reads the host table.
    let instance = unsafe {
        let host = std::ptr::dangling::<HostTable>();
        (table.create)(host, Slice::new(b"{}"), &raw const output)
    };
    assert!(!instance.is_null());
    let (value, baseline) = pair(
        || drop(black_box(host.call(id, &frame))),
        || {
            let (header, payload) = (Slice::new(&[]), Slice::new(&frame.payload));
            // SAFETY: the instance came from `create`; slices and output live through the call.
            unsafe { (table.process)(instance, 0x52, header, payload, &raw const output) };
            // SAFETY: the callbacks of the output are over, so nothing else refers to it.
            unsafe { (*output.context.cast::<Vec<Frame>>()).clear() };
        },
    );
    figures.add(
        "call-native-over-pointer",
        value - baseline,
        "ns",
        ("raw-pointer-ns", baseline),
        50.0,
    );
}

unsafe extern "C" fn take_frame(context: *mut c_void, kind: u8, _: Slice, payload: Slice) {
    // SAFETY: the context is the vector of the call under way; the plugin lends the payload.
    unsafe {
        let payload = std::slice::from_raw_parts(payload.pointer, payload.length);
        (*context.cast::<Vec<Frame>>()).push(Frame::new(
            glovebox_abi::Kind(kind),
            glovebox_abi::Header::empty(),
            bytes::Bytes::copy_from_slice(payload),
        ));
    }
}

unsafe extern "C" fn take_state(_: *mut c_void, _: u32, _: Slice) {}

unsafe extern "C" fn take_message(_: *mut c_void, _: u32, _: Slice) {}
