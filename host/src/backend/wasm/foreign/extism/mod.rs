//! Plug-ins of Extism, of its versions 1 and 0.
//!
//! Their host has a memory of its own between itself and the plug-in, through which all data goes in
//! eights of bytes ([`kernel`]). Here it is a buffer of the host that counts as memory of the plug-in.
//! Vars are the plugin's store, and so a part of its state; what a plug-in keeps in its own memory is
//! lost with its copy.
//!
//! | there | here |
//! |---|---|
//! | a function with input and output | a frame and its answer |
//! | a return code other than 0, an error that was set, `exit` | the outcome `failed`, with code and words; the copy goes on |
//! | a trap | the outcome `trapped`; the copy is replaced |
//! | vars | the store, under `kv`; all of it is the state that is saved, carried over and rolled back |
//! | configuration | `[config]`: texts as they are, other values as JSON |
//! | log | log lines |
//! | HTTP | `network`; there is no client, but a mock can answer |
//! | functions of the application | functions, named `MODULE#NAME`; handles become bytes |
//!
//! A plug-in that is a program, with `_start`, gets fresh memory for each run. An instance whose plug-in
//! ended itself with `exit` does, too.

mod imports;
mod kernel;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::text::{cut, inert};
use glovebox_abi::{Failure, Frame, Header, Health, Kind, LogLevel, State};
use glovebox_events::{Binding, Outcome};
use wasmtime::{ExternType, Instance, InstancePre, Module, TypedFunc};
use wasmtime_wasi::I32Exit;

use self::kernel::Kernel;
use super::{Adapter, ForeignCode, Import, Signature};
use crate::backend::wasm::engine::WasmEngine;
use crate::backend::wasm::module::{Data, ModuleStore};
use crate::backend::wasm::ticker::Pulse;
use crate::backend::wasm::wasi::preview1;
use crate::backend::{Backend, failed};
use crate::frames::Frames;
use crate::problem::{Incompatible, LoadProblem, shorten};
use crate::services::CopyServices;
use crate::stop::Stop;

/// The adapter.
pub(crate) struct Extism;

impl Adapter for Extism {
    fn binding(&self) -> Binding {
        Binding::Extism
    }

    fn import(&self, module: &str, name: &str) -> Import {
        imports::import(module, name)
    }

    fn is_function(&self, name: &str, signature: &Signature) -> bool {
        !is_of_language(name) && is_callable(signature)
    }

    fn link(
        &self,
        engine: &Arc<WasmEngine>,
        module: &Module,
    ) -> Result<Arc<dyn ForeignCode>, LoadProblem> {
        Ok(Arc::new(ExtismCode::new(engine.clone(), module)?))
    }
}

/// The function of a program.
const START: &str = "_start";

/// True of exports that languages make for themselves.
fn is_of_language(name: &str) -> bool {
    const OTHERS: [&str; 8] =
        ["hs_init", "hs_exit", "main", "malloc", "free", "realloc", "calloc", "memory"];
    const STARTS: [&str; 4] = ["_", "cabi_", "asyncify_", "tinygo_"];
    OTHERS.contains(&name) || STARTS.iter().any(|start| name.starts_with(start))
}

/// True of the types that functions for callers have.
fn is_callable(signature: &Signature) -> bool {
    let results: Vec<&str> = signature.results.iter().map(String::as_str).collect();
    signature.parameters == 0 && matches!(results[..], [] | ["i32"] | ["i64"])
}

struct ExtismCode {
    engine: Arc<WasmEngine>,
    linked: InstancePre<Data<Kernel>>,
    uses_wasi: bool,
    /// True if it has vars, which are its state.
    has_vars: bool,
    /// Those that callers may name.
    functions: Vec<String>,
    /// The function of a frame that names none.
    only: Option<String>,
    imported: Vec<String>,
}

impl ExtismCode {
    fn new(engine: Arc<WasmEngine>, module: &Module) -> Result<ExtismCode, LoadProblem> {
        let misfit = |error: wasmtime::Error| Incompatible::Import {
            reason: shorten(&format!("{error:#}")),
        };
        let mut linker = imports::linker(&engine.engine).map_err(misfit)?;
        let (mut unknown, mut imported) = (Vec::new(), Vec::new());
        for import in module.imports() {
            let (from, name) = (import.module(), import.name());
            match (imports::import(from, name).provision, import.ty()) {
                (super::Provision::Here(_), ExternType::Func(_)) => {}
                (super::Provision::Function(function), ExternType::Func(ty))
                    if imports::can_be_given(&ty) =>
                {
                    // A module may import one function twice.
                    if !imported.contains(&function) {
                        imports::add_function(&mut linker, from, name, ty).map_err(misfit)?;
                        imported.push(function);
                    }
                }
                _ => unknown.push(format!("`{}::{}`", shorten(from), shorten(name))),
            }
        }
        if !unknown.is_empty() {
            return Err(Incompatible::UnknownImports(unknown).into());
        }
        let linked = linker.instantiate_pre(module).map_err(misfit)?;
        let uses_wasi = module.imports().any(|import| import.module() == preview1::MODULE);
        let mut from = module.imports();
        let has_vars = from.any(|import| imports::is_var(import.module(), import.name()));
        let callable = |name: &str| {
            let ExternType::Func(ty) = module.get_export(name)? else { return None };
            let results = ty.results().map(|ty| ty.to_string()).collect();
            let signature = Signature { parameters: ty.params().len(), results };
            is_callable(&signature).then(|| name.to_owned())
        };
        let names = module.exports().map(|export| export.name());
        let functions: Vec<String> =
            names.filter(|name| !is_of_language(name)).filter_map(callable).collect();
        let only = match &functions[..] {
            [only] => Some(only.clone()),
            [] => callable(START),
            _ => None,
        };
        Ok(ExtismCode { engine, linked, uses_wasi, has_vars, functions, only, imported })
    }
}

impl ForeignCode for ExtismCode {
    fn instantiate(
        self: Arc<Self>,
        function: Option<&str>,
        context: CopyServices,
    ) -> Result<Box<dyn Backend>, Outcome> {
        let pulse = self.engine.ticker.pulse();
        let running = Running::start(&self, &pulse, context).map_err(Stop::into_outcome)?;
        let function = function.map(str::to_owned).or_else(|| self.only.clone());
        Ok(Box::new(ExtismPlugin { code: self, function, pulse, running, is_spent: false }))
    }

    fn functions(&self) -> &[String] {
        &self.functions
    }

    fn imported_functions(&self) -> &[String] {
        &self.imported
    }
}

/// One running copy of a module.
struct ExtismPlugin {
    code: Arc<ExtismCode>,
    /// The function of a frame that names none.
    function: Option<String>,
    pulse: Arc<Pulse>,
    running: Running,
    /// True if the next call needs fresh memory.
    is_spent: bool,
}

/// An instance of the module in its store.
struct Running {
    module: ModuleStore<Kernel>,
    instance: Instance,
    /// The functions that were called so far.
    called: HashMap<String, Function>,
}

/// A function for callers, by what it returns.
#[derive(Clone)]
enum Function {
    Nothing(TypedFunc<(), ()>),
    Code(TypedFunc<(), i32>),
    Long(TypedFunc<(), i64>),
}

impl Running {
    fn start(
        code: &ExtismCode,
        pulse: &Arc<Pulse>,
        context: CopyServices,
    ) -> Result<Running, Stop> {
        let module = ModuleStore::new(&code.engine, context, code.uses_wasi, pulse, Kernel::new());
        let mut module = module.map_err(Stop::Dead)?;
        let _running = pulse.run();
        module.arm();
        let started = code.linked.instantiate(&mut module.store).and_then(|instance| {
            initialize(&mut module, &instance)?;
            Ok(instance)
        });
        let instance = started.map_err(|error| module.died(&error))?;
        Ok(Running { module, instance, called: HashMap::new() })
    }

    /// The function of this name.
    fn function(&mut self, name: &str, code: &ExtismCode) -> Result<Function, Stop> {
        if let Some(function) = self.called.get(name) {
            return Ok(function.clone());
        }
        let store = &mut self.module.store;
        let shown = inert(&cut(name, 80)).to_string();
        let Some(function) = self.instance.get_func(&mut *store, name) else {
            let reason = format!("the plug-in exports no function `{shown}`; {}", list(code));
            return Err(Failure::invalid(reason).into());
        };
        let found = if let Ok(function) = function.typed::<(), i32>(&*store) {
            Function::Code(function)
        } else if let Ok(function) = function.typed::<(), ()>(&*store) {
            Function::Nothing(function)
        } else if let Ok(function) = function.typed::<(), i64>(&*store) {
            Function::Long(function)
        } else {
            let ty = function.ty(&*store);
            let (given, results) = (ty.params().len(), ty.results().len());
            let reason = format!(
                "`{shown}` takes {given} arguments and gives {results} results: functions for callers \
                 take none, and give a code or nothing; {}",
                list(code)
            );
            return Err(Failure::invalid(reason).into());
        };
        self.called.insert(name.to_owned(), found.clone());
        Ok(found)
    }

    /// Calls a function with this input. Gives its code.
    fn call(&mut self, function: Function, input: &[u8]) -> wasmtime::Result<i32> {
        let data = self.module.store.data_mut();
        data.extra.reset();
        imports::counted(&mut data.extra, &mut data.context, |kernel, left| {
            kernel.give_input(input, left)
        })?;
        let started = data.shared.journal.is_heard().then(Instant::now);
        let store = &mut self.module.store;
        let code = match function {
            Function::Nothing(function) => function.call(&mut *store, ()).map(|()| 0),
            Function::Code(function) => function.call(&mut *store, ()),
            // Extism takes a result of another type for a failure, whatever it is.
            Function::Long(function) => function.call(&mut *store, ()).map(|_| -1),
        };
        if let Some(started) = started {
            store.data_mut().plugin_time = Some(started.elapsed());
        }
        code
    }
}

/// Starts the runtime of the language that a plug-in was written in: of several ways, the first that there
/// is.
fn initialize(module: &mut ModuleStore<Kernel>, instance: &Instance) -> wasmtime::Result<()> {
    const REACTOR: &str = "_initialize";
    let Some(haskell) = instance.get_func(&mut module.store, "hs_init") else {
        if !run(module, instance, "__wasm_call_ctors")? {
            run(module, instance, REACTOR)?;
        }
        return Ok(());
    };
    run(module, instance, REACTOR)?;
    let store = &mut module.store;
    match haskell.typed::<(i32, i32), ()>(&*store) {
        Ok(haskell) => haskell.call(&mut *store, (0, 0)),
        Err(_) => haskell.typed::<(i32, i32), i32>(&*store)?.call(&mut *store, (0, 0)).map(drop),
    }
}

/// Runs a function that takes nothing and gives nothing; `false` if there is none of this name.
fn run(
    module: &mut ModuleStore<Kernel>,
    instance: &Instance,
    name: &str,
) -> wasmtime::Result<bool> {
    let store = &mut module.store;
    let function = instance.get_func(&mut *store, name);
    let typed = function.and_then(|function| function.typed::<(), ()>(&*store).ok());
    let Some(function) = typed else { return Ok(false) };
    function.call(&mut *store, ()).map(|()| true)
}

/// The functions that a frame may name, in a sentence.
fn list(code: &ExtismCode) -> String {
    const SHOWN: usize = 12;
    let names = code.functions.iter().take(SHOWN);
    let names: Vec<String> = names.map(|name| format!("`{}`", inert(&cut(name, 80)))).collect();
    match code.functions.len() {
        0 => "it exports none for callers".to_owned(),
        count if count > SHOWN => {
            format!("it has {} and {} more", names.join(", "), count - SHOWN)
        }
        _ => format!("it has {}", names.join(", ")),
    }
}

impl ExtismPlugin {
    /// Puts a fresh instance of the module in the place of the one that cannot go on.
    fn renew(&mut self) -> Result<(), Stop> {
        let context = self.running.module.store.data().context.again();
        let mut fresh = Running::start(&self.code, &self.pulse, context)?;
        let (old, new) =
            (&mut self.running.module.store.data_mut().context, fresh.module.store.data_mut());
        // The use of the call so far goes on; the memory is that of the fresh one.
        old.memory = new.context.memory;
        std::mem::swap(old, &mut new.context);
        self.running = fresh;
        self.is_spent = false;
        Ok(())
    }

    fn name(&self, frame: &Frame) -> Result<String, Stop> {
        let named = match frame.header.as_bytes().is_empty() {
            true => None,
            false => frame.header.get_text(Header::FUNCTION),
        };
        named.or_else(|| self.function.clone()).ok_or_else(|| {
            let reason = format!(
                "the frame does not say which function to call: {}; name one in its header, as \
                 {{\"{}\": \"NAME\"}}, or in the manifest, as `function` under [runtime]",
                list(&self.code),
                Header::FUNCTION
            );
            Failure::invalid(reason).into()
        })
    }

    /// The end of a call whose function returned, or ended the plug-in itself, with a code.
    fn ended(&mut self, code: i32, out: &mut Frames) -> Result<(), Stop> {
        self.running.module.log_printed(LogLevel::Info);
        let data = self.running.module.store.data_mut();
        let error = data.extra.take_error();
        if code != 0 || error.is_some() {
            let message = error.unwrap_or_else(|| format!("it returned the code {code}"));
            // Many give -1 for everything.
            let own = u32::try_from(code).unwrap_or(Failure::GENERIC);
            return Err(failed(own, message));
        }
        let output = data.extra.output();
        let (asked, limit) = (output.len() as u64, LimitKind::OutputBytes);
        let allowed = data.rights.hot.output_bytes.load(Ordering::Relaxed);
        if asked > allowed {
            data.shared.counters.hit_limit(limit);
            return Err(Stop::Alive(Outcome::LimitExceeded {
                limit,
                asked,
                allowed,
                made_up: false,
            }));
        }
        let frames = data.rights.hot.output_frames.load(Ordering::Relaxed);
        if frames == 0 {
            let limit = LimitKind::OutputFrames;
            data.shared.counters.hit_limit(limit);
            return Err(Stop::Alive(Outcome::LimitExceeded {
                limit,
                asked: 1,
                allowed: 0,
                made_up: false,
            }));
        }
        *out = vec![Frame::new(Kind::DATA, Header::empty(), output.to_vec())].into();
        Ok(())
    }
}

impl Backend for ExtismPlugin {
    fn context(&mut self) -> &mut CopyServices {
        self.running.module.store.data_mut()
    }

    fn initialize(&mut self, _: &str) -> Result<(), Stop> {
        // It reads its configuration when it needs it.
        Ok(())
    }

    fn process(&mut self, frame: &Frame, out: &mut Frames) -> Result<(), Stop> {
        let name = self.name(frame)?;
        if self.is_spent {
            self.renew()?;
        }
        let function = self.running.function(&name, &self.code)?;
        self.is_spent = name == START;
        let called = {
            let _running = self.pulse.run();
            self.running.module.arm();
            self.running.call(function, &frame.payload)
        };
        let error = match called {
            Ok(code) => return self.ended(code, out),
            Err(error) => error,
        };
        if let Some(I32Exit(code)) = error.downcast_ref()
            && self.context().broken.is_none()
        {
            self.is_spent = true;
            return self.ended(*code, out);
        }
        let said = self.running.module.store.data_mut().extra.take_error();
        let stop = self.running.module.died(&error);
        Err(match (stop, said) {
            (Stop::Dead(Outcome::Trapped { code, message }), Some(said)) => {
                let message = format!("{message}; it says: {said}");
                Stop::Dead(Outcome::Trapped { code, message })
            }
            (stop, _) => stop,
        })
    }

    fn health(&mut self) -> Result<Health, Stop> {
        Ok(Health::good())
    }

    /// The vars.
    fn save_state(&mut self) -> Result<Option<State>, Stop> {
        if !self.code.has_vars {
            return Ok(None);
        }
        let vars = self.context().shared.kv.lock();
        let text = |text: &String| Value::Text(text.clone());
        let entries =
            vars.entries().iter().map(|(key, value)| (text(key), Value::Bytes(value.clone())));
        let bytes = Value::Map(entries.collect()).to_bytes();
        Ok(Some(State { version: STATE, bytes }))
    }

    fn restore_state(&mut self, state: &State) -> Result<(), Stop> {
        let vars = vars_in(state).map_err(|reason| Stop::from(Failure::invalid(reason)))?;
        *self.context().shared.kv.lock() = vars.into();
        Ok(())
    }

    fn cleanup(&mut self) {}

    fn memory(&mut self) -> Option<u64> {
        Some(self.context().memory)
    }
}

/// The version of the state: a map of the vars in CBOR, from texts to bytes.
const STATE: u32 = 1;

fn vars_in(state: &State) -> Result<BTreeMap<String, Vec<u8>>, String> {
    if state.version != STATE {
        let reason =
            format!("the state of its vars has version {}, expected {STATE}", state.version);
        return Err(reason);
    }
    let value = Value::decode(&state.bytes);
    let value = value.map_err(|error| format!("the state of its vars is no CBOR: {error}"))?;
    let Value::Map(entries) = value else {
        return Err("the state of its vars is no map".to_owned());
    };
    let var = |entry| match entry {
        (Value::Text(key), Value::Bytes(value)) => Ok((key, value)),
        _ => Err("the state of its vars is no map of texts to bytes".to_owned()),
    };
    entries.into_iter().map(var).collect()
}
