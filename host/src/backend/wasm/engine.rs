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

/// Deep recursion of a plugin ends here, far from the end of the host's own stack: this many bytes of the
/// code that has no other purpose than speed.
const MAX_STACK: usize = 512 << 10;
/// So many times as much stack has code that counts its work: it needs 1.5 times as much at most.
const METERED: usize = 2;
/// So many times as much has code of the quick compiler, which keeps in memory what the optimising one
/// keeps in registers or leaves out: it needs twice as much where all values are needed later, four times
/// as much where 8 are not, and ten times where 32 are not.
const QUICK: usize = 16;

/// The most stack of all code, in bytes.
const MOST_STACK: usize = MAX_STACK * METERED * QUICK;

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
    /// Bytes of stack that code has, so that what completes in the code that is for speed alone completes in
    /// all. Nothing is promised for functions with more values that are never needed again than the tests
    /// have.
    pub(crate) fn max_stack(self) -> usize {
        let of = |is_so: bool, factor: usize| if is_so { factor } else { 1 };
        MAX_STACK * of(self.metered, METERED) * of(self.quick, QUICK)
    }

    /// True if that is more than a thread is sure to have.
    pub(crate) fn needs_room(self) -> bool {
        self.max_stack() > MAX_STACK
    }

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
            .max_wasm_stack(self.max_stack())
            // Nothing runs on such a stack, but it must be the larger one.
            .async_stack_size(MOST_STACK)
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

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Instance, Store, Trap};

    const FAST: Setting = Setting { metered: false, demanding: false, quick: false };

    /// A recursion of a function `$r` that counts down its first parameter, and keeps values meanwhile.
    fn recursion(
        parameters: &str,
        arguments: &str,
        locals: &str,
        before: &str,
        after: &str,
    ) -> String {
        format!(
            "(module (type $t (func (param i32 {parameters}) (result i64))) \
             (table funcref (elem $r)) (memory 1) \
             (func $r (export \"r\") (type $t) (param $n i32) {}(result i64) {locals} \
               (if (i32.eqz (local.get $n)) (then (return (i64.const 1)))) {before} \
               (call $r (i32.sub (local.get $n) (i32.const 1)) {arguments}) {after}) \
             (func (export \"start\") (param i32) (result i64) (call $r (local.get 0) {})))",
            parameters
                .split_whitespace()
                .map(|kind| format!("(param {kind}) "))
                .collect::<String>(),
            parameters
                .split_whitespace()
                .map(|kind| format!("({kind}.const 7)"))
                .collect::<String>(),
        )
    }

    /// Functions that keep more and more.
    fn shapes() -> Vec<(String, String)> {
        let number = |count: usize| "i64 ".repeat(count);
        let pass =
            |count: usize| (1..=count).map(|at| format!("(local.get {at})")).collect::<String>();
        let set = |count: usize, from: usize| {
            (0..count)
                .map(|at| format!("(local.set {} (i64.load (i32.const {})))", from + at, at * 8))
                .collect::<String>()
        };
        let sum = |count: usize, from: usize| {
            (0..count).map(|at| format!("(i64.add (local.get {}))", from + at)).collect::<String>()
        };
        let push = |count: usize| {
            (0..count).map(|at| format!("(i64.load (i32.const {}))", at * 8)).collect::<String>()
        };
        let mut all = Vec::new();
        for count in [0, 3, 8, 16] {
            let text = recursion(&number(count), &pass(count), "", "", &sum(count, 1));
            all.push((format!("{count} parameters"), text));
        }
        for count in [8, 32] {
            let locals = format!("(local {})", number(count));
            let text = recursion("", "", &locals, &set(count, 1), "");
            all.push((format!("{count} locals that are not needed later"), text));
        }
        for count in [1, 4, 16, 64] {
            let locals = format!("(local {})", number(count));
            let text = recursion("", "", &locals, &set(count, 1), &sum(count, 1));
            all.push((format!("{count} locals"), text));
            let text = recursion("", "", "", &push(count), &"i64.add ".repeat(count));
            all.push((format!("{count} values under way"), text));
        }
        all
    }

    /// How deep a recursion of a shape goes with a setting.
    fn deepest(setting: Setting, text: &str) -> u32 {
        let engine = setting.engine().unwrap();
        let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let is_good = |depth: u32| {
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(1);
            if setting.metered {
                store.set_fuel(u64::MAX).unwrap();
            }
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let start = instance.get_typed_func::<u32, i64>(&mut store, "start").unwrap();
            match start.call(&mut store, depth) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow), "{error:?}");
                    false
                }
            }
        };
        let (mut good, mut bad) = (0, 1 << 21);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if is_good(middle) { good = middle } else { bad = middle }
        }
        good
    }

    #[test]
    fn what_completes_in_fast_code_completes_in_all() {
        let check = || {
            for (name, text) in shapes() {
                let most = deepest(FAST, &text);
                for (metered, quick) in [(true, false), (false, true), (true, true)] {
                    if quick && cfg!(not(target_arch = "x86_64")) {
                        continue;
                    }
                    let setting = Setting { metered, quick, ..FAST };
                    let found = deepest(setting, &text);
                    // cargo test … -- --nocapture prints how much of it is needed.
                    let needed = f64::from(most) / f64::from(found);
                    println!("{name}: metered {metered}, quick {quick}: {needed:.2} of {found}");
                    assert!(found >= most, "{name}, {setting:?}: {found} of {most}");
                }
            }
        };
        // Threads of tests have less.
        let thread = std::thread::Builder::new().stack_size(MOST_STACK + (8 << 20));
        thread.spawn(check).unwrap().join().unwrap();
    }
}
