//! Plugins called without a host, as baselines: the same code with the same copies of frames, and
//! nothing else.

use std::ffi::c_void;
use std::hint::black_box;
use std::path::Path;

use glovebox_abi::Frame;
use glovebox_abi::native::{Entry, HostTable, Output, PluginTable, SYMBOL, Slice};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Instance, InstancePre, Memory, Module, Store, TypedFunc};

/// The engine as the host sets it up, so that only the host's own work is measured.
pub(crate) fn engine() -> Engine {
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true).cranelift_nan_canonicalization(true);
    Engine::new(&config).expect("the engine starts on any machine")
}

/// A module that keeps to the frame ABI and asks for no service.
pub(crate) struct RawModule {
    store: Store<()>,
    memory: Memory,
    process: TypedFunc<i32, i64>,
    /// Where its buffer is.
    buffer: usize,
}

impl RawModule {
    /// Code to which imports are linked that end the call.
    pub(crate) fn link(engine: &Engine, module: &Module) -> InstancePre<()> {
        let mut linker = wasmtime::Linker::new(engine);
        linker.define_unknown_imports_as_traps(module).expect("they are distinct");
        linker.instantiate_pre(module).expect("all imports are there")
    }

    pub(crate) fn start(engine: &Engine, linked: &InstancePre<()>) -> RawModule {
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance: Instance = linked.instantiate(&mut store).expect("it starts");
        let memory = instance.get_memory(&mut store, "memory").expect("it has a memory");
        let buffer = instance.get_typed_func::<i32, i32>(&mut store, "glovebox_buffer");
        let buffer = buffer.expect("it has the export").call(&mut store, 4096);
        let process = instance.get_typed_func(&mut store, "glovebox_process");
        RawModule {
            memory,
            process: process.expect("it has the export"),
            buffer: buffer.expect("it answers") as u32 as usize,
            store,
        }
    }

    /// Takes the encoded frame in, and copies what comes out.
    pub(crate) fn call(&mut self, frame: &[u8]) {
        let place = self.buffer..self.buffer + frame.len();
        self.memory.data_mut(&mut self.store)[place].copy_from_slice(frame);
        let packed = self.process.call(&mut self.store, frame.len() as i32);
        let packed = packed.expect("it answers") as u64;
        let (start, length) = ((packed >> 32) as usize, packed as u32 as usize);
        drop(black_box(self.memory.data(&self.store)[start..start + length].to_vec()));
    }
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

/// A component of the contract's world that asks for no service.
pub(crate) struct RawComponent {
    store: Store<Nothing>,
    plugin: world::Plugin,
}

impl RawComponent {
    pub(crate) fn start(engine: &Engine, component: &Component) -> RawComponent {
        let mut linker = Linker::new(engine);
        world::Plugin::add_to_linker::<_, wasmtime::component::HasSelf<Nothing>>(
            &mut linker,
            |nothing| nothing,
        )
        .expect("the imports are distinct");
        let mut store = Store::new(engine, Nothing);
        store.set_epoch_deadline(u64::MAX / 2);
        let plugin = world::Plugin::instantiate(&mut store, component, &linker).expect("it links");
        let guest = plugin.glovebox_plugin_guest();
        guest.call_initialize(&mut store, "{}").expect("it runs").expect("it is ready");
        RawComponent { store, plugin }
    }

    pub(crate) fn call(&mut self, frame: &Frame) {
        use world::exports::glovebox::plugin::guest::FrameParam;
        let given = FrameParam { kind: frame.kind.0, header: &[], payload: &frame.payload };
        let guest = self.plugin.glovebox_plugin_guest();
        drop(black_box(guest.call_process(&mut self.store, given).expect("it answers")));
    }
}

/// An instance of one of our own samples as a shared library.
pub(crate) struct RawLibrary {
    table: &'static PluginTable,
    instance: *mut c_void,
    output: Output,
    frames: Vec<Frame>,
}

impl RawLibrary {
    pub(crate) fn start(path: &Path) -> RawLibrary {
        // SAFETY: the library is our own sample, whose entry has this type.
        let table = unsafe {
            let library = libloading::Library::new(path).expect("it opens");
            let entry = *library.get::<Entry>(SYMBOL).expect("it has the symbol");
            std::mem::forget(library);
            &*entry()
        };
        let mut frames = Vec::<Frame>::new();
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
        RawLibrary { table, instance, output, frames }
    }

    pub(crate) fn call(&mut self, frame: &Frame) {
        let (header, payload) = (Slice::new(&[]), Slice::new(&frame.payload));
        self.output.context = (&raw mut self.frames).cast();
        let output = &raw const self.output;
        // SAFETY: the instance came from `create`; slices, output and the vector that it leads to live
        // through the call, and nothing else refers to them meanwhile.
        unsafe { (self.table.process)(self.instance, frame.kind.0, header, payload, output) };
        self.frames.clear();
    }
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
