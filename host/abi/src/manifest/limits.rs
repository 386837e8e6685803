//! `[limits]`: the figures that a plugin must never exceed.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::ManifestError;
use crate::units;

/// Hard limits: a call that breaks one is stopped and says which.
///
/// A call that breaks one in the middle, by memory or by what it asks of the host, ends the copy of
/// the plugin; a fresh one answers the next frame. Log and store refuse what is too much, and the
/// plugin goes on. An answer that is too much is not given, and the copy goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limits {
    /// Bytes of linear memory, up to 2 GiB.
    pub memory: u64,
    /// Elements of a table.
    pub table: u64,
    /// Handles of resources that a component may hold at once, its own and the host's.
    pub resources: u64,
    /// How long one call may take.
    pub call_deadline: Duration,
    /// Units of work per call, for runs that must repeat exactly; unlimited if absent.
    pub fuel: Option<u64>,
    /// Bytes of output frames per call.
    pub output_bytes: u64,
    /// Number of output frames per call, emitted ones included.
    pub output_frames: u64,
    /// Host calls per call: uses of services and of functions of the application, and calls of WASI.
    pub host_calls: u64,
    /// Bytes that one host call may carry from the plugin to the host.
    pub host_call_bytes: u64,
    /// Bytes that all host calls of one call together may carry from the plugin to the host.
    pub carried_bytes: u64,
    /// Bytes of log lines per call.
    pub log_bytes: u64,
    /// Bytes of the plugin's store: keys and values, and 128 for each entry.
    pub kv_bytes: u64,
    /// Bytes of one file that the plugin writes in a folder that it was granted.
    pub file_bytes: u64,
    /// Frames that may wait for the plugin, from 1 to 100,000.
    pub queue: u32,
    /// Bytes of the frames that may wait for the plugin, from 1. One frame may wait however large it is.
    pub queue_bytes: u64,
    /// Frames per second, on average; unlimited if absent.
    pub rate: Option<u32>,
    /// Frames that may come at once under a rate, from 1; as many as a second allows if the
    /// manifest does not say.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: 64 << 20,
            table: 10_000,
            resources: 10_000,
            call_deadline: Duration::from_secs(1),
            fuel: None,
            output_bytes: 8 << 20,
            output_frames: 4096,
            host_calls: 10_000,
            host_call_bytes: 8 << 20,
            carried_bytes: 256 << 20,
            log_bytes: 64 << 10,
            kv_bytes: 4 << 20,
            file_bytes: 64 << 20,
            queue: 1024,
            queue_bytes: 64 << 20,
            rate: None,
            burst: 1,
        }
    }
}

/// Limits that differ from others: what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LimitChanges {
    /// [`Limits::memory`].
    pub memory: Option<u64>,
    /// [`Limits::table`].
    pub table: Option<u64>,
    /// [`Limits::resources`].
    pub resources: Option<u64>,
    /// [`Limits::call_deadline`].
    pub call_deadline: Option<Duration>,
    /// [`Limits::fuel`].
    pub fuel: Option<u64>,
    /// [`Limits::output_bytes`].
    pub output_bytes: Option<u64>,
    /// [`Limits::output_frames`].
    pub output_frames: Option<u64>,
    /// [`Limits::host_calls`].
    pub host_calls: Option<u64>,
    /// [`Limits::host_call_bytes`].
    pub host_call_bytes: Option<u64>,
    /// [`Limits::carried_bytes`].
    pub carried_bytes: Option<u64>,
    /// [`Limits::log_bytes`].
    pub log_bytes: Option<u64>,
    /// [`Limits::kv_bytes`].
    pub kv_bytes: Option<u64>,
    /// [`Limits::file_bytes`].
    pub file_bytes: Option<u64>,
    /// [`Limits::queue`].
    pub queue: Option<u32>,
    /// [`Limits::queue_bytes`].
    pub queue_bytes: Option<u64>,
    /// [`Limits::rate`].
    pub rate: Option<u32>,
    /// [`Limits::burst`].
    pub burst: Option<u32>,
}

impl LimitChanges {
    /// The keys of `[limits]`, here and in manifests.
    pub const KEYS: &[&str] = super::keys::LIMITS;

    /// Reads the keys of a table as they stand in `[limits]` of a manifest; others are not looked
    /// at.
    ///
    /// # Errors
    ///
    /// If a value has the wrong type or is out of range.
    pub fn parse(table: &toml::Table) -> Result<LimitChanges, ManifestError> {
        let raw: Result<RawLimits, _> = table.clone().try_into();
        raw.map_err(|error| value("limits", error.message().to_owned()))?.changes()
    }

    /// These changes, and where they have none, the others.
    #[must_use]
    pub fn or(&self, others: &LimitChanges) -> LimitChanges {
        LimitChanges {
            memory: self.memory.or(others.memory),
            table: self.table.or(others.table),
            resources: self.resources.or(others.resources),
            call_deadline: self.call_deadline.or(others.call_deadline),
            fuel: self.fuel.or(others.fuel),
            output_bytes: self.output_bytes.or(others.output_bytes),
            output_frames: self.output_frames.or(others.output_frames),
            host_calls: self.host_calls.or(others.host_calls),
            host_call_bytes: self.host_call_bytes.or(others.host_call_bytes),
            carried_bytes: self.carried_bytes.or(others.carried_bytes),
            log_bytes: self.log_bytes.or(others.log_bytes),
            kv_bytes: self.kv_bytes.or(others.kv_bytes),
            file_bytes: self.file_bytes.or(others.file_bytes),
            queue: self.queue.or(others.queue),
            queue_bytes: self.queue_bytes.or(others.queue_bytes),
            rate: self.rate.or(others.rate),
            burst: self.burst.or(others.burst),
        }
    }

    /// The lower of both where both have a value.
    #[must_use]
    pub fn least(&self, others: &LimitChanges) -> LimitChanges {
        fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            match (one, other) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            }
        }
        LimitChanges {
            memory: least(self.memory, others.memory),
            table: least(self.table, others.table),
            resources: least(self.resources, others.resources),
            call_deadline: least(self.call_deadline, others.call_deadline),
            fuel: least(self.fuel, others.fuel),
            output_bytes: least(self.output_bytes, others.output_bytes),
            output_frames: least(self.output_frames, others.output_frames),
            host_calls: least(self.host_calls, others.host_calls),
            host_call_bytes: least(self.host_call_bytes, others.host_call_bytes),
            carried_bytes: least(self.carried_bytes, others.carried_bytes),
            log_bytes: least(self.log_bytes, others.log_bytes),
            kv_bytes: least(self.kv_bytes, others.kv_bytes),
            file_bytes: least(self.file_bytes, others.file_bytes),
            queue: least(self.queue, others.queue),
            queue_bytes: least(self.queue_bytes, others.queue_bytes),
            rate: least(self.rate, others.rate),
            burst: least(self.burst, others.burst),
        }
    }

    /// The value of one limit in the unit of its kind, if there is one.
    pub fn value(&self, limit: LimitKind) -> Option<u64> {
        match limit {
            LimitKind::CallDeadline => self.call_deadline.map(nanoseconds),
            LimitKind::Memory => self.memory,
            LimitKind::Table => self.table,
            LimitKind::Resources => self.resources,
            LimitKind::Fuel => self.fuel,
            LimitKind::OutputBytes => self.output_bytes,
            LimitKind::OutputFrames => self.output_frames,
            LimitKind::HostCalls => self.host_calls,
            LimitKind::HostCallBytes => self.host_call_bytes,
            LimitKind::CarriedBytes => self.carried_bytes,
            LimitKind::LogBytes => self.log_bytes,
            LimitKind::KvBytes => self.kv_bytes,
            LimitKind::FileBytes => self.file_bytes,
            LimitKind::Queue => self.queue.map(u64::from),
            LimitKind::QueueBytes => self.queue_bytes,
            LimitKind::Rate => self.rate.map(u64::from),
        }
    }

    /// Refuses values that make no sense: a deadline of no time, a queue of no frames.
    ///
    /// # Errors
    ///
    /// The first one, with the values that do.
    pub fn check(&self) -> Result<(), LimitError> {
        let wrong = |limit, found: u64, allowed| Err(LimitError { limit, found, allowed });
        if self.call_deadline.is_some_and(|deadline| deadline.is_zero()) {
            return wrong(LimitKind::CallDeadline, 0, "more than 0 s");
        }
        for limit in [LimitKind::Memory, LimitKind::Fuel, LimitKind::QueueBytes, LimitKind::Rate] {
            if self.value(limit) == Some(0) {
                return wrong(limit, 0, "1 or more");
            }
        }
        if let Some(memory) = self.memory.filter(|memory| *memory > MAX_MEMORY) {
            return wrong(LimitKind::Memory, memory, "at most 2 GiB");
        }
        if let Some(queue) = self.queue.filter(|queue| !(1..=MAX_QUEUE).contains(queue)) {
            return wrong(LimitKind::Queue, queue.into(), "1 to 100000");
        }
        if self.burst == Some(0) {
            return wrong(LimitKind::Rate, 0, "1 or more, as a burst too");
        }
        Ok(())
    }

    /// These limits, none of them higher than here.
    pub fn lower(&self, limits: &Limits) -> Limits {
        fn least<T: Ord>(limit: T, ceiling: Option<T>) -> T {
            match ceiling {
                Some(ceiling) => limit.min(ceiling),
                None => limit,
            }
        }
        fn least_of<T: Ord>(limit: Option<T>, ceiling: Option<T>) -> Option<T> {
            match limit {
                Some(limit) => Some(least(limit, ceiling)),
                None => ceiling,
            }
        }
        Limits {
            memory: least(limits.memory, self.memory),
            table: least(limits.table, self.table),
            resources: least(limits.resources, self.resources),
            call_deadline: least(limits.call_deadline, self.call_deadline),
            fuel: least_of(limits.fuel, self.fuel),
            output_bytes: least(limits.output_bytes, self.output_bytes),
            output_frames: least(limits.output_frames, self.output_frames),
            host_calls: least(limits.host_calls, self.host_calls),
            host_call_bytes: least(limits.host_call_bytes, self.host_call_bytes),
            carried_bytes: least(limits.carried_bytes, self.carried_bytes),
            log_bytes: least(limits.log_bytes, self.log_bytes),
            kv_bytes: least(limits.kv_bytes, self.kv_bytes),
            file_bytes: least(limits.file_bytes, self.file_bytes),
            queue: least(limits.queue, self.queue),
            queue_bytes: least(limits.queue_bytes, self.queue_bytes),
            rate: least_of(limits.rate, self.rate),
            burst: match limits.rate {
                Some(_) => least(limits.burst, self.burst),
                // A burst is only known with the rate that it belongs to.
                None => self.burst.or(self.rate).unwrap_or(limits.burst),
            },
        }
    }

    /// These limits, with the changes.
    pub fn over(&self, limits: &Limits) -> Limits {
        Limits {
            memory: self.memory.unwrap_or(limits.memory),
            table: self.table.unwrap_or(limits.table),
            resources: self.resources.unwrap_or(limits.resources),
            call_deadline: self.call_deadline.unwrap_or(limits.call_deadline),
            fuel: self.fuel.or(limits.fuel),
            output_bytes: self.output_bytes.unwrap_or(limits.output_bytes),
            output_frames: self.output_frames.unwrap_or(limits.output_frames),
            host_calls: self.host_calls.unwrap_or(limits.host_calls),
            host_call_bytes: self.host_call_bytes.unwrap_or(limits.host_call_bytes),
            carried_bytes: self.carried_bytes.unwrap_or(limits.carried_bytes),
            log_bytes: self.log_bytes.unwrap_or(limits.log_bytes),
            kv_bytes: self.kv_bytes.unwrap_or(limits.kv_bytes),
            file_bytes: self.file_bytes.unwrap_or(limits.file_bytes),
            queue: self.queue.unwrap_or(limits.queue),
            queue_bytes: self.queue_bytes.unwrap_or(limits.queue_bytes),
            rate: self.rate.or(limits.rate),
            burst: self.burst.unwrap_or(limits.burst),
        }
    }
}

impl Limits {
    /// The value of one limit in the unit of its kind; `None` is unlimited.
    pub fn value(&self, limit: LimitKind) -> Option<u64> {
        match limit {
            LimitKind::CallDeadline => Some(nanoseconds(self.call_deadline)),
            LimitKind::Memory => Some(self.memory),
            LimitKind::Table => Some(self.table),
            LimitKind::Resources => Some(self.resources),
            LimitKind::Fuel => self.fuel,
            LimitKind::OutputBytes => Some(self.output_bytes),
            LimitKind::OutputFrames => Some(self.output_frames),
            LimitKind::HostCalls => Some(self.host_calls),
            LimitKind::HostCallBytes => Some(self.host_call_bytes),
            LimitKind::CarriedBytes => Some(self.carried_bytes),
            LimitKind::LogBytes => Some(self.log_bytes),
            LimitKind::KvBytes => Some(self.kv_bytes),
            LimitKind::FileBytes => Some(self.file_bytes),
            LimitKind::Queue => Some(self.queue.into()),
            LimitKind::QueueBytes => Some(self.queue_bytes),
            LimitKind::Rate => self.rate.map(u64::from),
        }
    }

    /// Refuses values that make no sense, as [`LimitChanges::check`] does.
    ///
    /// # Errors
    ///
    /// The first one, with the values that do.
    pub fn check(&self) -> Result<(), LimitError> {
        LimitChanges {
            memory: Some(self.memory),
            call_deadline: Some(self.call_deadline),
            fuel: self.fuel,
            queue: Some(self.queue),
            queue_bytes: Some(self.queue_bytes),
            rate: self.rate,
            burst: Some(self.burst),
            ..LimitChanges::default()
        }
        .check()
    }
}

/// Nanoseconds, which hold five centuries.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The value of a limit that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitError {
    /// Which limit.
    pub limit: LimitKind,
    /// The value, in the unit of its kind.
    pub found: u64,
    /// The values that do make sense, for people.
    pub allowed: &'static str,
}

impl fmt::Display for LimitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LimitError { limit, found, allowed } = self;
        write!(formatter, "the limit `{limit}` cannot be {}; write {allowed}", limit.show(*found))
    }
}

impl std::error::Error for LimitError {}

/// Names of the limits, as errors, events and the policy panel show them.
///
/// Traces hold the place of a kind in this list, so that new ones stand at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// [`Limits::memory`], in bytes.
    Memory,
    /// [`Limits::table`], in elements.
    Table,
    /// [`Limits::resources`], a number.
    Resources,
    /// [`Limits::fuel`], in units of work.
    Fuel,
    /// [`Limits::output_bytes`], in bytes.
    OutputBytes,
    /// [`Limits::output_frames`], a number.
    OutputFrames,
    /// [`Limits::host_calls`], a number.
    HostCalls,
    /// [`Limits::host_call_bytes`], in bytes.
    HostCallBytes,
    /// [`Limits::carried_bytes`], in bytes.
    CarriedBytes,
    /// [`Limits::log_bytes`], in bytes.
    LogBytes,
    /// [`Limits::kv_bytes`], in bytes.
    KvBytes,
    /// [`Limits::queue`], a number.
    Queue,
    /// [`Limits::rate`], frames per second.
    Rate,
    /// [`Limits::call_deadline`], in nanoseconds.
    CallDeadline,
    /// [`Limits::file_bytes`], in bytes.
    FileBytes,
    /// [`Limits::queue_bytes`], in bytes.
    QueueBytes,
}

impl LimitKind {
    /// All of them, in the order of the manifest's documentation.
    pub const ALL: [LimitKind; 16] = [
        LimitKind::CallDeadline,
        LimitKind::Memory,
        LimitKind::Table,
        LimitKind::Resources,
        LimitKind::Fuel,
        LimitKind::OutputBytes,
        LimitKind::OutputFrames,
        LimitKind::HostCalls,
        LimitKind::HostCallBytes,
        LimitKind::CarriedBytes,
        LimitKind::LogBytes,
        LimitKind::KvBytes,
        LimitKind::FileBytes,
        LimitKind::Queue,
        LimitKind::QueueBytes,
        LimitKind::Rate,
    ];

    /// The key in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            LimitKind::Memory => "memory",
            LimitKind::Table => "table",
            LimitKind::Resources => "resources",
            LimitKind::Fuel => "fuel",
            LimitKind::OutputBytes => "output-bytes",
            LimitKind::OutputFrames => "output-frames",
            LimitKind::HostCalls => "host-calls",
            LimitKind::HostCallBytes => "host-call-bytes",
            LimitKind::CarriedBytes => "carried-bytes",
            LimitKind::LogBytes => "log-bytes",
            LimitKind::KvBytes => "kv-bytes",
            LimitKind::FileBytes => "file-bytes",
            LimitKind::Queue => "queue",
            LimitKind::QueueBytes => "queue-bytes",
            LimitKind::Rate => "rate",
            LimitKind::CallDeadline => "call-deadline",
        }
    }

    /// The limit of this name.
    pub fn named(name: &str) -> Option<LimitKind> {
        LimitKind::ALL.into_iter().find(|limit| limit.name() == name)
    }

    /// True if the numbers are bytes.
    pub fn is_bytes(self) -> bool {
        use LimitKind::{
            CarriedBytes, FileBytes, HostCallBytes, KvBytes, LogBytes, Memory, OutputBytes,
            QueueBytes,
        };
        matches!(self, Memory | OutputBytes | HostCallBytes | CarriedBytes)
            || matches!(self, LogBytes | KvBytes | FileBytes | QueueBytes)
    }

    /// A number of this limit, with its unit.
    pub fn show(self, number: u64) -> String {
        match self {
            LimitKind::CallDeadline => units::show_duration(Duration::from_nanos(number)),
            _ if self.is_bytes() => units::show_size(number),
            _ => number.to_string(),
        }
    }

    /// The same of a limit that there may not be: `unlimited` without one.
    pub fn show_limit(self, limit: Option<u64>) -> String {
        limit.map_or_else(|| "unlimited".to_owned(), |number| self.show(number))
    }
}

impl fmt::Display for LimitKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A size as a number of bytes or a text with a unit.
pub(super) enum Size {
    Bytes(u64),
    Text(String),
}

/// By hand, because an error of serde's own would name this type.
impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        struct OfSize;

        impl Visitor<'_> for OfSize {
            type Value = Size;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number of bytes, or a text such as \"64 MiB\"")
            }

            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size::Bytes(bytes))
            }

            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
                let negative = |_| E::invalid_value(Unexpected::Signed(bytes), &self);
                u64::try_from(bytes).map(Size::Bytes).map_err(negative)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                Ok(Size::Text(text.to_owned()))
            }
        }

        from.deserialize_any(OfSize)
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct RawLimits {
    memory: Option<Size>,
    table: Option<u64>,
    resources: Option<u64>,
    call_deadline: Option<String>,
    fuel: Option<u64>,
    output_bytes: Option<Size>,
    output_frames: Option<u64>,
    host_calls: Option<u64>,
    host_call_bytes: Option<Size>,
    carried_bytes: Option<Size>,
    log_bytes: Option<Size>,
    kv_bytes: Option<Size>,
    file_bytes: Option<Size>,
    queue: Option<u32>,
    queue_bytes: Option<Size>,
    rate: Option<u32>,
    burst: Option<u32>,
}

const MAX_MEMORY: u64 = 2 << 30;
const MAX_QUEUE: u32 = 100_000;

impl RawLimits {
    pub(super) fn read(self) -> Result<Limits, ManifestError> {
        Ok(self.changes()?.over(&Limits::default()))
    }

    fn changes(self) -> Result<LimitChanges, ManifestError> {
        let changes = LimitChanges {
            memory: size("limits.memory", self.memory)?,
            table: self.table,
            resources: self.resources,
            call_deadline: duration("limits.call-deadline", self.call_deadline)?,
            fuel: self.fuel,
            output_bytes: size("limits.output-bytes", self.output_bytes)?,
            output_frames: self.output_frames,
            host_calls: self.host_calls,
            host_call_bytes: size("limits.host-call-bytes", self.host_call_bytes)?,
            carried_bytes: size("limits.carried-bytes", self.carried_bytes)?,
            log_bytes: size("limits.log-bytes", self.log_bytes)?,
            kv_bytes: size("limits.kv-bytes", self.kv_bytes)?,
            file_bytes: size("limits.file-bytes", self.file_bytes)?,
            queue: self.queue,
            queue_bytes: size("limits.queue-bytes", self.queue_bytes)?,
            rate: self.rate,
            burst: self.burst.or(self.rate),
        };
        if self.burst.is_some() && self.rate.is_none() {
            return Err(value("limits.burst", "needs `rate`".to_owned()));
        }
        changes.check().map_err(|error| {
            let LimitError { limit, found, allowed } = error;
            value(
                &format!("limits.{limit}"),
                format!("{} is out of range; write {allowed}", limit.show(found)),
            )
        })?;
        Ok(changes)
    }
}

pub(super) fn size(key: &str, size: Option<Size>) -> Result<Option<u64>, ManifestError> {
    match size {
        None => Ok(None),
        Some(Size::Bytes(bytes)) => Ok(Some(bytes)),
        Some(Size::Text(text)) => {
            units::parse_size(&text).map(Some).map_err(|error| value(key, error.to_string()))
        }
    }
}

pub(super) fn duration(key: &str, text: Option<String>) -> Result<Option<Duration>, ManifestError> {
    text.map(|text| units::parse_duration(&text).map_err(|error| value(key, error.to_string())))
        .transpose()
}

pub(super) fn value(key: &str, reason: String) -> ManifestError {
    ManifestError::Value { key: key.to_owned(), reason }
}
