//! The component binding on the host's side: the world in `abi/wit/since_v0.1.0`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{
    FRAME_PREFIX_LEN, Failure, Frame, Header, Health, Kind, LogLevel, ProtocolVersion,
    ServiceError, Services, State,
};
use glovebox_events::Outcome;
use wasmtime::component::{Component, HasSelf, Linker, types as types_of};
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::died;
use super::engine::WasmEngine;
use super::output::Printed;
use super::ticker::Pulse;
use super::values::{self, Imported};
use super::wasi::preview2::{self, HasWasi, Wasi};
use crate::backend::Backend;
use crate::frames::Frames;
use crate::problem::{Incompatible, LoadProblem, shorten};
use crate::services::{CopyServices, HotLimits, SERVICES};
use crate::stop::Stop;

mod world {
    wasmtime::component::bindgen!({
        path: "abi/wit/since_v0.1.0",
        world: "plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { default: trappable },
    });
}

use world::exports::glovebox::plugin::guest;
use world::glovebox::plugin::{host, types};

const PACKAGE: &str = "glovebox:plugin/";
pub(super) const GUEST: &str = "glovebox:plugin/guest@";
/// The functions of the interface `guest`; a plugin exports all of them.
const GUEST_FUNCTIONS: [&str; 6] =
    ["initialize", "process", "health", "save-state", "restore-state", "cleanup"];

/// Bytes that one crossing to the host may carry beyond the limits: names, keys, lengths.
const CROSSING_SLACK: u64 = 1 << 20;

/// The interface through which plugins call functions of the application by name.
const APPLICATION: &str = "glovebox:functions/application@0.1.0";

/// The state for host functions.
pub(crate) struct Data {
    context: CopyServices,
    wasi: Wasi,
}

impl Data {
    pub(super) fn context(&mut self) -> &mut CopyServices {
        &mut self.context
    }
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.view()
    }
}

impl HasWasi for Data {
    fn wasi(&mut self) -> &mut Wasi {
        &mut self.wasi
    }

    fn count_call(&mut self) {
        // The library's functions give nothing that could say so: the next tick does.
        let _ = self.context.count_wasi();
    }
}

/// A component of our world.
pub(crate) struct ComponentCode {
    pub(crate) engine: Arc<WasmEngine>,
    linked: world::PluginPre<Data>,
    /// The functions of an application that it imports, by name.
    pub(crate) functions: Vec<String>,
}

impl ComponentCode {
    pub(super) fn new(engine: Arc<WasmEngine>, component: &Component) -> Result<Self, LoadProblem> {
        let shape = component.component_type();
        check_exports(&shape, &engine.engine)?;
        let functions = check_imports(&shape, &engine.engine)?;
        let reason = |error: wasmtime::Error| shorten(&format!("{error:#}"));
        let import = |error| Incompatible::Import { reason: reason(error) };
        let linked = match functions.is_empty() {
            true => engine.component_linker.instantiate_pre(component),
            false => values::link(&engine.component_linker, &functions)
                .and_then(|linker| linker.instantiate_pre(component)),
        };
        let linked = linked.map_err(import)?;
        let linked = world::PluginPre::new(linked)
            .map_err(|error| Incompatible::Export { reason: reason(error) })?;
        let functions = functions.iter().map(Imported::name).collect();
        Ok(ComponentCode { engine, linked, functions })
    }

    pub(crate) fn instantiate(
        self: &Arc<Self>,
        context: CopyServices,
    ) -> Result<ComponentBackend, Outcome> {
        let printed = Printed::default();
        let pulse = self.engine.ticker.pulse();
        let wasi = Wasi::new(&context, &printed, &pulse);
        let wasi = wasi.map_err(|reason| Outcome::Refused { reason })?;
        let data = Data { context, wasi };
        let mut store = Store::new(&self.engine.engine, data);
        store.limiter(|data| &mut data.context);
        let at_epochs = pulse.clone();
        store.epoch_deadline_callback(move |mut store| {
            at_epochs.tick(&mut store.data_mut().context)
        });
        let mut backend =
            ComponentBackend { code: self.clone(), plugin: None, printed, pulse, store };
        match backend.start() {
            Ok(plugin) => {
                backend.plugin = Some(plugin);
                Ok(backend)
            }
            Err(stop) => Err(stop.into_outcome()),
        }
    }
}

/// How much may cross to the host at once. The engine knows one number for the arguments of a host
/// call and for the result of a call to the plugin; the smaller of the two limits is checked again
/// where it applies.
pub(super) fn crossing_bytes(hot: &HotLimits) -> u64 {
    let output = hot.output_bytes.load(Ordering::Relaxed);
    hot.host_call_bytes.load(Ordering::Relaxed).max(output).saturating_add(CROSSING_SLACK)
}

/// Checks the version first, then that no function of the guest is missing.
fn check_exports(shape: &types_of::Component, engine: &Engine) -> Result<(), LoadProblem> {
    let guest = shape.exports(engine).find(|(name, _)| name.starts_with(GUEST));
    let Some((name, export)) = guest else {
        let needed = format!("`{GUEST}{}.0`", ProtocolVersion::CURRENT);
        return Err(Incompatible::MissingExports(vec![needed]).into());
    };
    check_version(&name[GUEST.len()..])?;
    let functions = functions_of(&export.ty, engine);
    let missing: Vec<String> = GUEST_FUNCTIONS
        .iter()
        .filter(|function| !functions.contains(&(**function).to_owned()))
        .map(|function| format!("`{name}#{function}`"))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Incompatible::MissingExports(missing).into()) }
}

/// Lists everything that the component wants and the world does not have; gives the functions that an
/// application may have.
fn check_imports(
    shape: &types_of::Component,
    engine: &Engine,
) -> Result<Vec<Imported>, LoadProblem> {
    let (mut unknown, mut functions) = (Vec::new(), Vec::new());
    for (name, import) in shape.imports(engine) {
        // A missing part of WASI is named by the linker.
        if name.starts_with("wasi:") || name == APPLICATION {
            continue;
        }
        let own = name.strip_prefix(PACKAGE).and_then(|name| name.split_once('@'));
        let Some((interface, version)) = own else {
            match name.starts_with("glovebox:") {
                true => unknown.push(format!("`{name}`")),
                false => functions.extend(values::imported(name, &import.ty, engine)?),
            }
            continue;
        };
        check_version(version)?;
        match interface {
            "types" => {}
            "host" => {
                let functions = functions_of(&import.ty, engine).into_iter();
                let others = functions.filter(|name| !SERVICES.contains(&name.as_str()));
                unknown.extend(others.map(|function| format!("`{name}#{function}`")));
            }
            _ => unknown.push(format!("`{name}`")),
        }
    }
    match unknown.is_empty() {
        true => Ok(functions),
        false => Err(Incompatible::UnknownImports(unknown).into()),
    }
}

fn functions_of(item: &types_of::ComponentItem, engine: &Engine) -> Vec<String> {
    let types_of::ComponentItem::ComponentInstance(instance) = item else {
        return Vec::new();
    };
    let exports = instance.exports(engine);
    let functions =
        exports.filter(|(_, item)| matches!(item.ty, types_of::ComponentItem::ComponentFunc(_)));
    functions.map(|(name, _)| name.to_owned()).collect()
}

fn check_version(version: &str) -> Result<(), LoadProblem> {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(u16::MAX));
    let found = ProtocolVersion {
        major: numbers.next().unwrap_or(u16::MAX),
        minor: numbers.next().unwrap_or(u16::MAX),
    };
    if ProtocolVersion::CURRENT.supports(found) {
        Ok(())
    } else {
        Err(Incompatible::Version { found }.into())
    }
}

/// One running copy of a component.
pub(crate) struct ComponentBackend {
    code: Arc<ComponentCode>,
    plugin: Option<world::Plugin>,
    printed: Printed,
    pulse: Arc<Pulse>,
    store: Store<Data>,
}

impl ComponentBackend {
    fn start(&mut self) -> Result<world::Plugin, Stop> {
        let code = self.code.clone();
        let pulse = self.pulse.clone();
        let _running = pulse.run();
        self.arm();
        code.linked
            .instantiate(&mut self.store)
            .map_err(|error| died(&mut self.store.data_mut().context, &error))
    }

    /// Sets what the call that comes next may use: time, handles, and bytes that cross to the host
    /// whatever lengths the plugin claims.
    fn arm(&mut self) {
        let data = self.store.data_mut();
        data.wasi.begin(&data.context);
        let hot = &data.context.rights.hot;
        let resources = hot.resources.load(Ordering::Relaxed);
        let resources = usize::try_from(resources).unwrap_or(usize::MAX);
        let bytes = crossing_bytes(hot);
        self.store.set_epoch_deadline(1);
        self.store.set_hostcall_fuel(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.store.set_max_component_handles(resources);
        if self.code.engine.setting.metered {
            super::refuel(&mut self.store, |data| &data.context);
        }
    }

    /// Runs one export. Text that the plugin printed meanwhile becomes log lines.
    fn run<T>(
        &mut self,
        call: impl FnOnce(
            &guest::Guest,
            &mut Store<Data>,
        ) -> wasmtime::Result<Result<T, guest::Failure>>,
    ) -> Result<T, Stop> {
        self.arm();
        let Some(plugin) = &self.plugin else {
            let reason = "the instance was thrown away".to_owned();
            return Err(Stop::Dead(Outcome::Refused { reason }));
        };
        let running = self.pulse.run();
        let result = call(plugin.glovebox_plugin_guest(), &mut self.store);
        drop(running);
        let context = &mut self.store.data_mut().context;
        if let Some(printed) = self.printed.take() {
            let level = if result.is_ok() { LogLevel::Info } else { LogLevel::Error };
            context.log_on_behalf(level, &printed);
        }
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure)) => Err(Failure::new(failure.code, failure.message).into()),
            Err(error) => Err(died(context, &error)),
        }
    }
}

impl Backend for ComponentBackend {
    fn context(&mut self) -> &mut CopyServices {
        &mut self.store.data_mut().context
    }

    fn initialize(&mut self, config: &str) -> Result<(), Stop> {
        self.run(|guest, store| guest.call_initialize(store, config))
    }

    fn process(&mut self, frame: &Frame, out: &mut Frames) -> Result<(), Stop> {
        let given = self.run(|guest, store| {
            guest.call_process(
                store,
                guest::FrameParam {
                    kind: frame.kind.0,
                    header: frame.header.as_bytes(),
                    payload: &frame.payload,
                },
            )
        })?;
        let CopyServices { shared, rights, .. } = &self.store.data().context;
        let count = given.len() as u64;
        let allowed = rights.hot.output_frames.load(Ordering::Relaxed);
        if count > allowed {
            shared.counters.hit_limit(LimitKind::OutputFrames);
            let limit = LimitKind::OutputFrames;
            return Err(Stop::Alive(Outcome::LimitExceeded {
                limit,
                asked: count,
                allowed,
                made_up: false,
            }));
        }
        let size = |frame: &guest::FrameResult| {
            (FRAME_PREFIX_LEN + frame.header.len() + frame.payload.len()) as u64
        };
        let asked: u64 = given.iter().map(size).sum();
        let allowed = rights.hot.output_bytes.load(Ordering::Relaxed);
        if asked > allowed {
            shared.counters.hit_limit(LimitKind::OutputBytes);
            let limit = LimitKind::OutputBytes;
            return Err(Stop::Alive(Outcome::LimitExceeded {
                limit,
                asked,
                allowed,
                made_up: false,
            }));
        }
        for frame in given {
            out.push(frame_of(frame.kind, frame.header, frame.payload)?);
        }
        Ok(())
    }

    fn health(&mut self) -> Result<Health, Stop> {
        match self.run(|guest, store| guest.call_health(store)) {
            Ok(()) => Ok(Health::good()),
            Err(Stop::Alive(Outcome::Failed { code, message })) => Ok(Health::bad(code, message)),
            Err(stop) => Err(stop),
        }
    }

    fn save_state(&mut self) -> Result<Option<State>, Stop> {
        let saved = self.run(|guest, store| guest.call_save_state(store))?;
        Ok(saved.map(|state| State { version: state.version, bytes: state.bytes }))
    }

    fn restore_state(&mut self, state: &State) -> Result<(), Stop> {
        self.run(|guest, store| {
            let state = guest::StateParam { version: state.version, bytes: &state.bytes };
            guest.call_restore_state(store, state)
        })
    }

    fn cleanup(&mut self) {
        if let Err(stop) = self.run(|guest, store| guest.call_cleanup(store).map(Ok)) {
            let message = format!("cleanup {}", stop.into_outcome());
            self.store.data_mut().context.log_on_behalf(LogLevel::Warn, &message);
        }
        self.plugin = None;
    }

    fn memory(&mut self) -> Option<u64> {
        Some(self.store.data().context.memory)
    }
}

fn frame_of(kind: u8, header: Vec<u8>, payload: Vec<u8>) -> Result<Frame, Stop> {
    let header = Header::from_cbor(header.into()).map_err(|error| {
        Stop::from(Failure::invalid(format!("the plugin gave a frame with a bad header: {error}")))
    })?;
    Ok(Frame::new(Kind(kind), header, payload))
}

/// The imports of the world, and WASI under the policy.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    preview2::add_to_linker(&mut linker)?;
    world::Plugin::add_to_linker::<_, HasSelf<Data>>(&mut linker, |data| data)?;
    linker.instance(APPLICATION)?.func_wrap(
        "call",
        |mut store: StoreContextMut<'_, Data>, (function, argument): (String, Vec<u8>)| {
            let data = store.data_mut();
            let result = data.context.call(&function, &argument);
            Ok((data.answer(result)?,))
        },
    )?;
    Ok(linker)
}

impl Data {
    /// The result for the plugin, unless a limit was broken: then the call ends here.
    fn answer<T>(&self, result: Result<T, ServiceError>) -> wasmtime::Result<Result<T, u32>> {
        match &self.context.broken {
            Some(broken) => Err(wasmtime::Error::msg(broken.to_string())),
            None => Ok(result.map_err(ServiceError::code)),
        }
    }
}

impl types::Host for Data {}

impl host::Host for Data {
    fn log(&mut self, level: u32, message: String) -> wasmtime::Result<Result<(), u32>> {
        let result = self.context.log(LogLevel::from_u32(level), &message);
        self.answer(result)
    }

    fn now(&mut self) -> wasmtime::Result<Result<u64, u32>> {
        let result = self.context.now();
        self.answer(result)
    }

    fn random(&mut self, length: u32) -> wasmtime::Result<Result<Vec<u8>, u32>> {
        let result = self.context.random_bytes(length as usize);
        self.answer(result)
    }

    fn config(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, u32>> {
        let result = self.context.config(&key);
        self.answer(result)
    }

    fn kv_get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, u32>> {
        let result = self.context.kv_get(&key);
        self.answer(result)
    }

    fn kv_set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), u32>> {
        let result = self.context.kv_set(&key, &value);
        self.answer(result)
    }

    fn kv_delete(&mut self, key: String) -> wasmtime::Result<Result<bool, u32>> {
        let result = self.context.kv_delete(&key);
        self.answer(result)
    }

    fn kv_list(&mut self, prefix: String) -> wasmtime::Result<Result<Vec<String>, u32>> {
        let result = self.context.kv_list(&prefix);
        self.answer(result)
    }

    fn emit(&mut self, frame: types::FrameResult) -> wasmtime::Result<Result<(), u32>> {
        let bytes = frame.header.len() + frame.payload.len();
        let read = Header::from_cbor(frame.header.into())
            .map(|header| Frame::new(Kind(frame.kind), header, frame.payload));
        let result = self.context.emit_read(bytes, read);
        self.answer(result)
    }

    fn metric(&mut self, name: String, value: f64) -> wasmtime::Result<Result<(), u32>> {
        let result = self.context.metric(&name, value);
        self.answer(result)
    }
}
