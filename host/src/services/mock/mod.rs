//! Scripted host services: a file decides what a plugin sees, instead of the world.
//!
//! A [`Mock`] is given to the [`HostBuilder`](crate::HostBuilder::mock) for all instances, or to a
//! [`LoadRequest`](crate::LoadRequest::mock) for one. The same file and the same frames lead to the
//! same bytes, every time.
//!
//! ```toml
//! [now]
//! fixed = 2026-01-01T00:00:00Z      # or nanoseconds since the Unix epoch
//! step = "1 ms"                     # how much later each reading is; "0 ns" if absent
//!
//! [random]
//! seed = 42
//!
//! [kv]                              # what the store holds at the start
//! "cart/1" = "two apples"
//! "cart/2" = { hex = "00ff" }
//!
//! [[answer]]                        # the third `kv-get` fails
//! service = "kv-get"
//! call = 3                          # every call, if absent
//! fail = "unavailable"              # or "denied", "limit"
//!
//! [[answer]]                        # every reading of the clock takes its time
//! service = "now"
//! delay = "5 ms"
//!
//! [faults]                          # where chance comes from, below
//! seed = 7                          # 0 if absent
//!
//! [[answer]]                        # one of ten readings of the store gives three bytes alone
//! service = "kv-get"
//! plugin = "redact"                 # of this plugin; of all, if absent
//! one-in = 10                       # by chance; every call, if absent
//! short = 3
//!
//! [[answer]]                        # the clock is set, from the fifth reading on
//! service = "now"
//! call = 5
//! forward = "3600 s"                # or `back`
//!
//! [[answer]]                        # the plugin ends in the middle of a call
//! service = "log"
//! call = 2
//! stop = "crash"                    # or "memory": it reaches its limit of memory
//!
//! [[function]]                      # a function of the application, which need not give it then
//! name = "acme:shop/prices@1.0.0#lookup"
//! argument = "apple"                # any, if absent; several arguments are a list
//! gives = 120                       # or { hex = "00ff" }; or `fail`, as above
//! ```
//!
//! Services that the file does not name work as ever. Calls are counted per instance and service,
//! from 1, a reload does not start them again, and of several answers for the same call the first
//! counts.
//!
//! Mocks stand *behind* the permissions: a call that is denied never reaches them and is not
//! counted by them. Their answers are counted, limited and recorded like any answer.
//! [`PluginStatus::mocks`](crate::PluginStatus::mocks), and an event when the instance is loaded,
//! say that they answer. All delays of a call together last no longer than its deadline: the one
//! that would is cut short, and the call has timed out.
//!
//! # Random bytes
//!
//! An instance reads, from call to call, the output of BLAKE3 in its extendable mode (`derive_key`
//! with the context `glovebox 2026-01 mock random`) over the seed as eight bytes, little-endian, and
//! the id of the plugin. So plugins do not see each other's bytes, and the order in which they ask
//! does not matter.
//!
//! # Faults
//!
//! Which calls are met by chance follows from the seed, the id of the plugin, the place of the entry and
//! the number of the call alone, so that a run can be repeated. A short answer has the first bytes of a
//! value, or the first names of a list; fewer random bytes than were asked for are none. A plugin that is
//! stopped is thrown away on every tier, and what follows is what follows from a crash of its process:
//! the wait before the next start, and after the fifth in a row, none.
//!
//! # WASI
//!
//! `[now]` and `[random]` also stand for the clocks and random bytes of WASI; its monotonic clock
//! counts from the first reading. Sleeping takes its time, and nothing else of WASI is scripted.
//!
//! # Changes
//!
//! [`Host::watch_mock`](crate::Host::watch_mock) takes over what the file of a mock holds whenever it changed. Calls, readings of
//! the clock and random bytes are then counted from the beginning; entries of the store that changed in `[kv]` are set or
//! removed, and all others stay. A function that the mock no longer gives is unavailable.
//!
//! Faults alone, `[[answer]]` and `[faults]`, can be switched on and off while a plugin runs, in front of the
//! mock that it was loaded with: [`Host::set_faults`](crate::Host::set_faults).
//!
//! This module deliberately answers nothing from a trace: [`Answers`](crate::Answers) do, in front of
//! it.

mod file;
mod services;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use glovebox_abi::ServiceError;
use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::names_function;
use glovebox_abi::units::show_duration;
use glovebox_files::{MAX_TEXT, read_to_string};

pub(crate) use services::{MockEffect, MockServices};

use glovebox_document::DocumentError;

use crate::services::SERVICES;

/// A script for host services.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mock {
    clock: Option<Clock>,
    seed: Option<u64>,
    kv: BTreeMap<String, Vec<u8>>,
    answers: Vec<Answer>,
    /// The seed of chance for answers.
    faults: u64,
    functions: Vec<FunctionAnswer>,
    /// The file that it was read from.
    file: Option<PathBuf>,
}

/// The answer to some calls of a function of the application.
#[derive(Debug, Clone, PartialEq)]
struct FunctionAnswer {
    name: String,
    /// For this argument; for any if absent.
    argument: Option<Value>,
    /// Which call, from 1; every one if absent.
    call: Option<u64>,
    /// The result; the application's own function answers if absent.
    answer: Option<Result<Value, ServiceError>>,
    delay: Duration,
}

impl FunctionAnswer {
    /// True if both are for the same calls.
    fn is_about_the_call_of(&self, other: &FunctionAnswer) -> bool {
        (&self.name, &self.argument, self.call) == (&other.name, &other.argument, other.call)
    }
}

/// A clock that only readings move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clock {
    /// The first reading, in nanoseconds since the Unix epoch.
    start: u64,
    step: Duration,
}

/// The answer to some calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Answer {
    /// Position in [`SERVICES`](crate::services::SERVICES).
    service: usize,
    /// Of this plugin; of every one if absent.
    plugin: Option<String>,
    /// One of so many, by chance; every one if absent.
    one_in: Option<u64>,
    /// Bytes, or names, of the answer that are given.
    short: Option<u64>,
    /// Nanoseconds by which the clock is set.
    shift: i64,
    stop: Option<StopFault>,
    /// Which call, from 1; every one if absent.
    call: Option<u64>,
    fail: Option<ServiceError>,
    delay: Option<Duration>,
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", SERVICES[self.service])?;
        let mut effects = Vec::new();
        effects.extend(self.delay.map(|delay| format!("takes {} longer", show_duration(delay))));
        effects.extend(self.stop.map(|stop| match stop {
            StopFault::Crash => "stops the plugin as a crash does".to_owned(),
            StopFault::Memory => "stops the plugin as at its limit of memory".to_owned(),
        }));
        effects.extend(self.fail.map(|error| match error {
            ServiceError::Denied => "is denied".to_owned(),
            error => format!("fails: {error}"),
        }));
        effects.extend(self.short.map(|size| format!("gives {size} bytes or names at most")));
        let by = show_duration(Duration::from_nanos(self.shift.unsigned_abs()));
        match self.shift {
            0 => {}
            1.. => effects.push(format!("sets the clock forward by {by}")),
            _ => effects.push(format!("sets the clock back by {by}")),
        }
        write!(formatter, " {}", effects.join(" and "))?;
        match (self.call, self.one_in) {
            (Some(call), None) => write!(formatter, ", in call {call}")?,
            (None, Some(one_in)) => write!(formatter, ", in one of {one_in} calls by chance")?,
            (Some(call), Some(one_in)) => {
                write!(formatter, ", in call {call}, of {one_in} times once by chance")?;
            }
            (None, None) => write!(formatter, ", in each call")?,
        }
        self.plugin.as_ref().map_or(Ok(()), |plugin| write!(formatter, ", of {plugin}"))
    }
}

/// How a plugin is stopped in the middle of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopFault {
    /// As if its process had crashed.
    Crash,
    /// As if its memory was used up.
    Memory,
}

/// Why a text is not a mock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MockError {
    /// The file cannot be read.
    #[error("cannot read the mock: {source}; check the path: {}", path.display())]
    Io {
        /// The error of the operating system.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// Something is wrong in a file.
    #[error("{problem}: {}", path.display())]
    In {
        /// The problem.
        problem: DocumentError,
        /// The file.
        path: PathBuf,
    },
    /// Something is wrong in a text.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Mock {
    /// Reads a mock.
    ///
    /// # Errors
    ///
    /// If it is not TOML, or has an unknown key or a value that makes no sense.
    pub fn parse(text: &str) -> Result<Mock, MockError> {
        Ok(file::read(text)?)
    }

    /// Reads a mock from a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, and as [`parse`](Self::parse), with the file's path.
    pub fn read(path: impl AsRef<Path>) -> Result<Mock, MockError> {
        let path = path.as_ref().to_owned();
        let text = match read_to_string(&path, MAX_TEXT) {
            Ok(text) => text,
            Err(source) => return Err(MockError::Io { source, path }),
        };
        match file::read(&text) {
            // The working folder may change.
            Ok(mock) => Ok(Mock { file: Some(std::path::absolute(&path).unwrap_or(path)), ..mock }),
            Err(problem) => Err(MockError::In { problem, path }),
        }
    }

    /// The file that it was read from, if it was [read](Self::read) from one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The services that do not work as ever, as events name them.
    pub fn services(&self) -> Vec<Cow<'static, str>> {
        let is_mocked = |(position, name): &(usize, &'static str)| match *name {
            "now" if self.clock.is_some() => true,
            "random" if self.seed.is_some() => true,
            name if name.starts_with("kv-") && !self.kv.is_empty() => true,
            _ => self.answers.iter().any(|answer| answer.service == *position),
        };
        let services = SERVICES.into_iter().enumerate().filter(is_mocked);
        let services = services.map(|(_, name)| Cow::Borrowed(name));
        let functions: BTreeSet<&String> = self.functions.iter().map(|one| &one.name).collect();
        let functions = functions.into_iter().map(|name| Cow::Owned(name.clone()));
        services.chain(functions).collect()
    }

    /// The names of the host services whose answers it can script.
    pub const SERVICES: &'static [&'static str] = &SERVICES;

    /// The effect of each answer, on whom and when, in words.
    pub fn faults(&self) -> Vec<String> {
        self.answers.iter().map(ToString::to_string).collect()
    }

    /// True if it has nothing but `[[answer]]` and `[faults]`, which can be switched on and off while a
    /// plugin runs.
    pub(crate) fn is_of_faults(&self) -> bool {
        let rest = Mock { answers: Vec::new(), faults: 0, file: None, ..self.clone() };
        rest == Mock::default()
    }

    /// For an event, of faults that are switched on while a plugin runs.
    pub(crate) fn faults_summary(&self) -> String {
        let is_by_chance = self.answers.iter().any(|answer| answer.one_in.is_some());
        let seed = if is_by_chance { format!(", seed {}", self.faults) } else { String::new() };
        format!("faults are switched on{seed}: {}", self.faults().join("; "))
    }

    /// True if it scripts the function of this name, or one of the interface of this name.
    pub(crate) fn gives(&self, name: &str) -> bool {
        self.functions.iter().any(|function| names_function(name, &function.name))
    }

    /// For an event.
    pub(crate) fn summary(&self) -> String {
        match self.services()[..] {
            [] => "a mock is in place that answers no host service".to_owned(),
            ref services => format!("answered by a mock: {}", services.join(", ")),
        }
    }
}
