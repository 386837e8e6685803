//! Adapters: plugins that were made for other hosts, run as they are.
//!
//! A plugin of another host keeps to the binding of that host: other imports, other exports, another order
//! of calls. An [`Adapter`] knows one such host. It gives the imports from the services, so that
//! permissions, limits, mocks and the trace hold as for any plugin, and makes a frame a call:
//!
//! | of a frame | is |
//! |---|---|
//! | the header's `function` ([`Header::FUNCTION`]) | the function to call; without it, the one that the manifest names, or the only one |
//! | the payload | its input |
//! | the answer, a frame of the kind `data` | its output |
//! | the outcome `failed` | its error, with its own code and words |
//!
//! **Adding the next one**: a folder here, with a type that implements [`Adapter`] and another one that
//! implements [`ForeignCode`]; then
//!
//! 1. a variant of [`Binding`] with the name that people see,
//! 2. `run by &it` at its row of `load/foreign.rs`, where such files are recognized,
//! 3. a row in the README, "Plugins of other hosts".
//!
//! [`Foreign`] carries all that runs it, and [`super::module`] is the store of a module with WASI,
//! deadline and fuel. A function of its host that cannot do what it is asked ends the call with a
//! [`Refusal`]. Loading, inspecting, scans, reloads, the command line and the window need no change.
//!
//! [`Header::FUNCTION`]: glovebox_abi::Header::FUNCTION
//! [`Foreign`]: crate::problem::Foreign

pub(crate) mod extism;

use std::fmt;
use std::sync::Arc;

use glovebox_abi::{Permission, ServiceError};
use glovebox_events::{Binding, Outcome};
use wasmtime::Module;

use super::engine::WasmEngine;
use crate::backend::Backend;
use crate::problem::LoadProblem;
use crate::services::CopyServices;

/// Runs the modules that were made for one other host.
pub(crate) trait Adapter: Send + Sync {
    /// How its plugins are called.
    fn binding(&self) -> Binding;
    /// The fate of an import.
    fn import(&self, module: &str, name: &str) -> Import;
    /// Whether an export is a function for callers, by its name and type.
    fn is_function(&self, name: &str, signature: &Signature) -> bool;
    /// Checks a module, and connects its imports.
    fn link(
        &self,
        engine: &Arc<WasmEngine>,
        module: &Module,
    ) -> Result<Arc<dyn ForeignCode>, LoadProblem>;
}

/// A module with its imports connected, from which copies are made.
pub(crate) trait ForeignCode: Send + Sync {
    /// A fresh copy. `function` is the one for frames that name none, if the manifest says so.
    fn instantiate(
        self: Arc<Self>,
        function: Option<&str>,
        context: CopyServices,
    ) -> Result<Box<dyn Backend>, Outcome>;
    /// The functions that callers may name.
    fn functions(&self) -> &[String];
    /// The functions of an application that it imports.
    fn imported_functions(&self) -> &[String];
}

/// The fate of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// The service of its host that it belongs to.
    pub(crate) service: &'static str,
    pub(crate) provision: Provision,
}

/// The provider of an import of a plugin that was made for another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provision {
    /// Glovebox, under this permission if it is under one.
    Here(Option<Permission>),
    /// The application or a mock, as the function of this name.
    Function(String),
    /// Nobody, for this reason.
    Nobody(&'static str),
}

/// The type of a function, as far as it tells who may call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) parameters: usize,
    /// In the words of WebAssembly, e.g. `i32`.
    pub(crate) results: Vec<String>,
}

/// The two are the same host.
impl PartialEq for dyn Adapter {
    fn eq(&self, other: &dyn Adapter) -> bool {
        self.binding() == other.binding()
    }
}

impl Eq for dyn Adapter {}

impl fmt::Debug for dyn Adapter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Adapter({})", self.binding())
    }
}

/// The reason why a function of its host ends the call of a plugin, and its copy: most have no way to say that
/// something failed.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Refusal {
    /// The code of the trap.
    pub(super) code: &'static str,
    pub(super) reason: String,
}

impl Refusal {
    /// The plugin breaks a rule of its host.
    pub(super) fn misuse(reason: impl Into<String>) -> wasmtime::Error {
        wasmtime::Error::new(Refusal { code: "misuse", reason: reason.into() })
    }

    /// A service did not do what the plugin asked for, and the plugin cannot be told.
    pub(super) fn of(error: ServiceError, reason: impl Into<String>) -> wasmtime::Error {
        let code = match error {
            ServiceError::Denied => "denied",
            ServiceError::Invalid => "invalid",
            ServiceError::LimitExceeded => "limit",
            ServiceError::Unavailable => "unavailable",
        };
        wasmtime::Error::new(Refusal { code, reason: reason.into() })
    }
}
