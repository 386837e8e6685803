use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use wasmparser::WasmFeatures;
use wasmtime::component::Component;
use wasmtime::{Config, Engine, Module, Strategy, WasmBacktraceDetails};

use super::component::ComponentCode;
use super::features;
use super::foreign::Adapter;
use super::module::{Data, ModuleCode};
use super::symbols::MAX_FRAMES;
use super::ticker::Ticker;
use crate::problem::{ArtifactKind, LoadProblem};

/// Deep recursion of a plugin ends here, far from the end of the host's own stack.
const MAX_STACK: usize = 512 << 10;

/// The purpose of an engine beyond speed. Each costs something, so only plugins that need it run
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// It counts work, for plugins that must repeat or have a limit on their work: a third of the
    /// speed.
    pub(crate) metered: bool,
    /// It has the proposals that are there on demand; see [`features`].
    pub(crate) demanding: bool,
    /// Its compiler is quick, and its code slower.
    pub(crate) quick: bool,
}

/// The engines of a host: one for speed, and one for each other setting.
pub(crate) struct Engines {
    fast: Arc<WasmEngine>,
    /// Made when the first plugin needs it.
    others: Mutex<HashMap<Setting, Arc<WasmEngine>>>,
}

impl Engines {
    pub(crate) fn new() -> wasmtime::Result<Engines> {
        let fast = Arc::new(WasmEngine::new(Setting::default())?);
        Ok(Engines { fast, others: Mutex::default() })
    }

    /// The engine with this setting.
    pub(crate) fn get(&self, setting: Setting) -> Result<Arc<WasmEngine>, LoadProblem> {
        if setting == Setting::default() {
            return Ok(self.fast.clone());
        }
        let mut others = self.others.lock();
        if let Some(engine) = others.get(&setting) {
            return Ok(engine.clone());
        }
        let engine = WasmEngine::new(setting)
            .map_err(|error| std::io::Error::other(format!("no engine: {error:#}")))?;
        let engine = Arc::new(engine);
        others.insert(setting, engine.clone());
        Ok(engine)
    }

    /// Whether an artifact needs an engine with the proposals that are there on demand.
    pub(crate) fn is_demanding<P: Program>(bytes: &[u8]) -> Result<bool, LoadProblem> {
        features::are_demanded(P::KIND, bytes)
    }
}

/// An engine that runs wasm plugins.
pub(crate) struct WasmEngine {
    pub(super) engine: Engine,
    pub(super) ticker: Ticker,
    pub(super) core_linker: wasmtime::Linker<Data>,
    pub(super) component_linker: wasmtime::component::Linker<super::component::Data>,
    /// The setting that it was made with.
    pub(crate) setting: Setting,
    /// Code of which copies may run, by the digest of its artifact: a thousand instances of one
    /// artifact need its code once.
    loaded: Mutex<HashMap<String, Weak<dyn Any + Send + Sync>>>,
}

/// The product of the compiler: a core module, or a component.
pub(crate) trait Program: Sized + Send + 'static {
    /// The kind of its artifacts.
    const KIND: ArtifactKind;
    /// The same with its imports connected, so that copies can be made.
    type Code: Send + Sync + 'static;

    fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self>;
    /// The bytes that [`serialize`](Self::serialize) gives of the compiled code, without any of it in
    /// memory that runs.
    fn precompile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Vec<u8>>;
    fn serialize(&self) -> wasmtime::Result<Vec<u8>>;
    /// # Safety
    ///
    /// The bytes must be what [`serialize`](Self::serialize) gave, for an engine of these settings.
    unsafe fn deserialize(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self>;
    /// Checks it against the contract, or against that of the host that it was made for.
    fn link(
        &self,
        engine: &Arc<WasmEngine>,
        adapter: Option<&'static dyn Adapter>,
    ) -> Result<Self::Code, LoadProblem>;
}

impl Program for Module {
    const KIND: ArtifactKind = ArtifactKind::CoreModule;
    type Code = ModuleCode;

    fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Module> {
        Module::new(engine, bytes)
    }

    fn precompile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
        engine.precompile_module(bytes)
    }

    fn serialize(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    unsafe fn deserialize(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Module> {
        // SAFETY: the caller keeps to the same condition.
        unsafe { Module::deserialize(engine, bytes) }
    }

    fn link(
        &self,
        engine: &Arc<WasmEngine>,
        adapter: Option<&'static dyn Adapter>,
    ) -> Result<ModuleCode, LoadProblem> {
        ModuleCode::new(engine, self, adapter)
    }
}

impl Program for Component {
    const KIND: ArtifactKind = ArtifactKind::Component;
    type Code = ComponentCode;

    fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
        Component::new(engine, bytes)
    }

    fn precompile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
        engine.precompile_component(bytes)
    }

    fn serialize(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    unsafe fn deserialize(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the caller keeps to the same condition.
        unsafe { Component::deserialize(engine, bytes) }
    }

    fn link(
        &self,
        engine: &Arc<WasmEngine>,
        _: Option<&'static dyn Adapter>,
    ) -> Result<ComponentCode, LoadProblem> {
        ComponentCode::new(engine.clone(), self)
    }
}

impl Setting {
    /// An engine with this setting: the same in each process of this program, so that one takes what
    /// another compiled.
    pub(in crate::backend) fn engine(self) -> wasmtime::Result<Engine> {
        let Setting { metered, demanding, quick } = self;
        let on = match (demanding, quick) {
            (true, _) => features::ON.union(features::ON_DEMAND),
            (false, true) => features::ON.difference(features::NOT_QUICK),
            (false, false) => features::ON,
        };
        let mut config = Config::new();
        config
            .strategy(if quick { Strategy::Winch } else { Strategy::Cranelift })
            .epoch_interruption(true)
            .consume_fuel(metered)
            .max_wasm_stack(MAX_STACK)
            // Lines are looked up when somebody wants to see them, not with each trap: see `symbols`.
            .wasm_backtrace_details(WasmBacktraceDetails::Disable)
            .wasm_backtrace_max_frames(Some(MAX_FRAMES))
            // Not-a-number values with the same bits everywhere, so that traces repeat.
            .cranelift_nan_canonicalization(true)
            // For the same reason.
            .relaxed_simd_deterministic(demanding)
            .wasm_features(WasmFeatures::all().difference(on), false)
            .wasm_features(on, true);
        Engine::new(&config)
    }
}

impl WasmEngine {
    fn new(setting: Setting) -> wasmtime::Result<WasmEngine> {
        let engine = setting.engine()?;
        let ticker = Ticker::start(engine.clone())?;
        let core_linker = super::frame_abi::linker(&engine)?;
        let component_linker = super::component::linker(&engine)?;
        let loaded = Mutex::default();
        Ok(WasmEngine { engine, ticker, core_linker, component_linker, setting, loaded })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The code of an artifact that other instances run.
    pub(crate) fn loaded<P: Program>(&self, digest: &str) -> Option<Arc<P::Code>> {
        self.loaded.lock().get(digest)?.upgrade()?.downcast().ok()
    }

    /// Connects what a program imports, and keeps the code for further instances of the artifact
    /// for as long as one runs.
    pub(crate) fn link<P: Program>(
        self: &Arc<Self>,
        program: &P,
        adapter: Option<&'static dyn Adapter>,
        digest: &str,
    ) -> Result<Arc<P::Code>, LoadProblem> {
        let code = Arc::new(program.link(self, adapter)?);
        let mut loaded = self.loaded.lock();
        loaded.retain(|_, code| code.strong_count() > 0);
        let code_of_any_kind: Arc<dyn Any + Send + Sync> = code.clone();
        loaded.insert(digest.to_owned(), Arc::downgrade(&code_of_any_kind));
        Ok(code)
    }
}
