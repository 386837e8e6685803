//! Core modules, whatever they are plugins of: the code of one, and the store of a running copy with its
//! services, its WASI, and what ends a call.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use glovebox_abi::LogLevel;
use glovebox_events::Outcome;
use wasmtime::{Module, Store};

use super::engine::{Setting, WasmEngine};
use super::foreign::{Adapter, ForeignCode};
use super::frame_abi::FrameAbiCode;
use super::ticker::Pulse;
use super::wasi::preview1::{HasWasi, Wasi};
use super::{died, refuel};
use crate::backend::Backend;
use crate::problem::LoadProblem;
use crate::services::CopyServices;
use crate::stop::Stop;

/// A core module with its imports connected, from which copies are made.
pub(crate) struct ModuleCode {
    /// The setting of its engine.
    pub(crate) setting: Setting,
    linked: LinkedModule,
}

enum LinkedModule {
    /// It keeps to our own binding.
    FrameAbi(FrameAbiCode),
    /// It was made for another host.
    Foreign(Arc<dyn ForeignCode>),
}

impl ModuleCode {
    pub(super) fn new(
        engine: &Arc<WasmEngine>,
        module: &Module,
        adapter: Option<&'static dyn Adapter>,
    ) -> Result<ModuleCode, LoadProblem> {
        let linked = match adapter {
            None => LinkedModule::FrameAbi(FrameAbiCode::new(engine.clone(), module)?),
            Some(adapter) => LinkedModule::Foreign(adapter.link(engine, module)?),
        };
        Ok(ModuleCode { setting: engine.setting, linked })
    }

    pub(crate) fn instantiate(
        &self,
        function: Option<&str>,
        context: CopyServices,
    ) -> Result<Box<dyn Backend>, Outcome> {
        match &self.linked {
            LinkedModule::FrameAbi(code) => Ok(Box::new(code.instantiate(context)?)),
            LinkedModule::Foreign(code) => code.clone().instantiate(function, context),
        }
    }

    /// The functions that a frame may name.
    pub(crate) fn functions(&self) -> &[String] {
        match &self.linked {
            LinkedModule::FrameAbi(_) => &[],
            LinkedModule::Foreign(code) => code.functions(),
        }
    }

    /// The functions of an application that it imports.
    pub(crate) fn imported_functions(&self) -> &[String] {
        match &self.linked {
            // The manifest alone knows them.
            LinkedModule::FrameAbi(_) => &[],
            LinkedModule::Foreign(code) => code.imported_functions(),
        }
    }
}

/// The state for host functions: the services, WASI if the module imports any of it, and what the host
/// that the module was made for has in addition.
pub(crate) struct Data<Extra = ()> {
    pub(super) context: CopyServices,
    wasi: Option<Box<Wasi>>,
    pub(super) extra: Extra,
}

impl<Extra> Deref for Data<Extra> {
    type Target = CopyServices;

    fn deref(&self) -> &CopyServices {
        &self.context
    }
}

impl<Extra> DerefMut for Data<Extra> {
    fn deref_mut(&mut self) -> &mut CopyServices {
        &mut self.context
    }
}

impl<Extra: Send + 'static> HasWasi for Data<Extra> {
    fn wasi(&mut self) -> Option<&mut Wasi> {
        self.wasi.as_deref_mut()
    }

    fn count_call(&mut self) -> Result<(), String> {
        self.context.count_wasi().map_err(ToString::to_string)
    }
}

/// A store, and whether its engine counts work.
pub(super) struct ModuleStore<Extra: Send + 'static = ()> {
    pub(super) store: Store<Data<Extra>>,
    metered: bool,
}

impl<Extra: Send + 'static> ModuleStore<Extra> {
    /// # Errors
    ///
    /// If the copy cannot be given what is granted to it.
    pub(super) fn new(
        engine: &WasmEngine,
        context: CopyServices,
        uses_wasi: bool,
        pulse: &Arc<Pulse>,
        extra: Extra,
    ) -> Result<ModuleStore<Extra>, Outcome> {
        let wasi = uses_wasi.then(|| Wasi::new(&context, pulse).map(Box::new)).transpose();
        let wasi = wasi.map_err(|reason| Outcome::Refused { reason })?;
        let mut store = Store::new(&engine.engine, Data { context, wasi, extra });
        store.limiter(|data| &mut data.context);
        let at_epochs = pulse.clone();
        store.epoch_deadline_callback(move |mut store| at_epochs.tick(store.data_mut()));
        Ok(ModuleStore { store, metered: engine.setting.metered })
    }

    /// Makes the engine ask at every epoch whether the call that comes next may go on, and sets its
    /// fuel.
    #[inline]
    pub(super) fn arm(&mut self) {
        self.store.set_epoch_deadline(1);
        if self.metered {
            refuel(&mut self.store, |data| &data.context);
        }
        let data = self.store.data_mut();
        if let Some(wasi) = &mut data.wasi {
            wasi.begin(&data.context);
        }
    }

    /// Text that the plugin printed during a call becomes log lines.
    #[inline]
    pub(super) fn log_printed(&mut self, level: LogLevel) {
        let data = self.store.data_mut();
        if let Some(printed) = data.wasi.as_ref().and_then(|wasi| wasi.printed()) {
            data.context.log_on_behalf(level, &printed);
        }
    }

    pub(super) fn died(&mut self, error: &wasmtime::Error) -> Stop {
        self.log_printed(LogLevel::Error);
        died(self.store.data_mut(), error)
    }
}
