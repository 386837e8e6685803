use std::error::Error;
use std::fmt;

use crate::{Frame, ServiceError, Services};

/// A plugin as its author writes it: one trait, the same source for every tier.
///
/// The host calls [`initialize`](Plugin::initialize) once, then [`process`](Plugin::process) for
/// each frame, one call at a time but not always on the same thread, and
/// [`cleanup`](Plugin::cleanup) last.
pub trait Plugin: Send {
    /// Gets ready. `config` is JSON text, `{}` where nothing is configured.
    ///
    /// # Errors
    ///
    /// A failure keeps the plugin from being listed as ready.
    fn initialize(&mut self, services: &mut dyn Services, config: &str) -> Result<(), Failure> {
        let _ = (services, config);
        Ok(())
    }

    /// Answers a frame with any number of frames.
    ///
    /// # Errors
    ///
    /// A failure is a normal result: the plugin goes on with the next frame.
    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure>;

    /// Says how it is.
    fn health(&mut self) -> Health {
        Health::good()
    }

    /// Gives its state away, so that a later generation can go on from it; `None` if it has none.
    ///
    /// # Errors
    ///
    /// A failure stops a reload before anything is changed.
    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        Ok(None)
    }

    /// Goes on from a state that an earlier generation saved, maybe an older version of it.
    ///
    /// # Errors
    ///
    /// A failure stops a reload: the earlier generation runs on.
    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        Err(Failure::new(
            Failure::UNSUPPORTED,
            format!("this plugin has no state, but was given version {} of one", state.version),
        ))
    }

    /// Ends. Nothing is called afterwards.
    fn cleanup(&mut self) {}
}

/// The state of a plugin: opaque bytes and the version of their layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// Version of the layout of `bytes`, counted by the plugin.
    pub version: u32,
    /// The state itself.
    pub bytes: Vec<u8>,
}

/// Why a plugin could not do something, in its own words.
///
/// Codes below 1000 are named here; plugins define their own from 1000.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Failure {
    /// The kind of failure.
    pub code: u32,
    /// The message for people.
    pub message: String,
}

impl Failure {
    /// Any failure without a better name.
    pub const GENERIC: u32 = 1;
    /// The input makes no sense to the plugin.
    pub const INVALID: u32 = 2;
    /// The plugin cannot do this.
    pub const UNSUPPORTED: u32 = 3;
    /// A host service refused.
    pub const SERVICE: u32 = 4;
    /// The plugin panicked; the export macro caught it inside the plugin. A failure that a plugin
    /// gives itself with this code, or with 0, is [`GENERIC`](Failure::GENERIC), whatever runs it.
    pub const PANIC: u32 = 5;
    /// The first code that plugins define for themselves.
    pub const FIRST_OWN: u32 = 1000;

    /// A failure with a code and a message.
    pub fn new(code: u32, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }

    /// A failure about input that makes no sense.
    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(Failure::INVALID, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (code {})", self.message, self.code)
    }
}

impl Error for Failure {}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Failure {
        Failure::new(Failure::SERVICE, error.to_string())
    }
}

/// How a plugin is, in its own opinion.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Health {
    /// 0 is good; anything else is a problem.
    pub code: u32,
    /// The problem; empty if there is none.
    pub message: String,
}

impl Health {
    /// All is well.
    pub fn good() -> Health {
        Health { code: 0, message: String::new() }
    }

    /// Something is wrong.
    pub fn bad(code: u32, message: impl Into<String>) -> Health {
        Health { code: code.max(1), message: message.into() }
    }

    /// True if nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.code == 0
    }
}
