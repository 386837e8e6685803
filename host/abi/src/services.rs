use std::error::Error;
use std::fmt;

use crate::Frame;

/// The services that a plugin may ask its host for.
///
/// Every call is checked against the plugin's permissions, measured and recorded with its result,
/// so that a replay can answer it. The host implements this once for all tiers; the SDK's test kit
/// implements it for unit tests.
pub trait Services {
    /// Writes a line to the log.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`] without the permission `log`; [`ServiceError::LimitExceeded`]
    /// beyond the plugin's log bytes.
    fn log(&mut self, level: LogLevel, message: &str) -> Result<(), ServiceError>;

    /// The time in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`] without the permission `now`.
    fn now(&mut self) -> Result<u64, ServiceError>;

    /// Fills `buffer` with random bytes, at most 64 KiB a call.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`] without the permission `random`, [`ServiceError::Invalid`] for a
    /// larger buffer.
    fn random(&mut self, buffer: &mut [u8]) -> Result<(), ServiceError>;

    /// One value of the plugin's configuration as JSON text; the empty key gives all of it.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`] without the permission `config`.
    fn config(&mut self, key: &str) -> Result<Option<String>, ServiceError>;

    /// The value under `key` in the plugin's own store.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`] without the permission `kv`.
    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, ServiceError>;

    /// Puts `value` under `key`.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`] without the permission `kv`; [`ServiceError::LimitExceeded`] when
    /// the store is full.
    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), ServiceError>;

    /// Removes `key`; says whether it was there.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`] without the permission `kv`.
    fn kv_delete(&mut self, key: &str) -> Result<bool, ServiceError>;

    /// The keys that start with `prefix`, sorted.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`] without the permission `kv`.
    fn kv_list(&mut self, prefix: &str) -> Result<Vec<String>, ServiceError>;

    /// Sends a frame to other plugins; its header's `target` names one, otherwise those that
    /// accept its kind get it.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`] without the permission `emit`; [`ServiceError::LimitExceeded`]
    /// beyond the plugin's output.
    fn emit(&mut self, frame: &Frame) -> Result<(), ServiceError>;

    /// Publishes a measurement; names are kebab-case.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`] without the permission `metric`.
    fn metric(&mut self, name: &str, value: f64) -> Result<(), ServiceError>;

    /// Calls a function that the application gives to its plugins, such as
    /// `acme:shop/prices@1.0.0#lookup`, with bytes of which the two know the meaning.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`] without the permission `functions` for this one;
    /// [`ServiceError::Unavailable`] if the application gives no such function, or it fails. Also what
    /// the function itself answers.
    fn call(&mut self, function: &str, argument: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let _ = (function, argument);
        Err(ServiceError::Unavailable)
    }
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "manifest", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "manifest", serde(rename_all = "kebab-case"))]
#[repr(u32)]
pub enum LogLevel {
    /// Every step.
    Trace = 0,
    /// For people who debug the plugin.
    Debug = 1,
    /// Worth knowing.
    Info = 2,
    /// Odd, but handled.
    Warn = 3,
    /// Something failed.
    Error = 4,
}

impl LogLevel {
    /// The level of this number; numbers beyond the last are errors.
    pub fn from_u32(number: u32) -> LogLevel {
        match number {
            0 => LogLevel::Trace,
            1 => LogLevel::Debug,
            2 => LogLevel::Info,
            3 => LogLevel::Warn,
            _ => LogLevel::Error,
        }
    }
}

/// Why a host service did not do what it was asked.
///
/// Crosses every binding as a number, see [`code`](Self::code).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "manifest", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "manifest", serde(rename_all = "kebab-case"))]
pub enum ServiceError {
    /// The plugin lacks the permission.
    Denied,
    /// An argument makes no sense.
    Invalid,
    /// A limit of the plugin is used up.
    LimitExceeded,
    /// The host cannot do this here or now.
    Unavailable,
}

impl ServiceError {
    /// Number on the wire, from 1.
    pub fn code(self) -> u32 {
        match self {
            ServiceError::Denied => 1,
            ServiceError::Invalid => 2,
            ServiceError::LimitExceeded => 3,
            ServiceError::Unavailable => 4,
        }
    }

    /// The error of this number; numbers of later versions read as `Unavailable`.
    pub fn from_code(code: u32) -> ServiceError {
        match code {
            1 => ServiceError::Denied,
            2 => ServiceError::Invalid,
            3 => ServiceError::LimitExceeded,
            _ => ServiceError::Unavailable,
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ServiceError::Denied => "denied: the plugin lacks the permission",
            ServiceError::Invalid => "invalid argument",
            ServiceError::LimitExceeded => "a limit is used up",
            ServiceError::Unavailable => "not available",
        })
    }
}

impl Error for ServiceError {}
