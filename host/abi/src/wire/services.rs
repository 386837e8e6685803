use super::WireError;
use super::body::{Fields, Put};
use crate::{Frame, LogLevel, ServiceError, Services};

/// A question to the host: one method of [`Services`] with its arguments.
///
/// In a message it is a byte, the number of the service, and its arguments:
///
/// | number | service | arguments |
/// |---|---|---|
/// | 1 | log | `u8` level from 0, trace, to 4, error; `text` |
/// | 2 | now | |
/// | 3 | random | `u32` number of bytes |
/// | 4 | config | `text` key |
/// | 5 | kv-get | `text` key |
/// | 6 | kv-set | `text` key, `bytes` value |
/// | 7 | kv-delete | `text` key |
/// | 8 | kv-list | `text` prefix |
/// | 9 | emit | frame |
/// | 10 | metric | `text` name, `f64` value |
/// | 11 | call | `text` function, `bytes` argument |
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceCall {
    /// [`Services::log`].
    Log {
        /// How important the line is.
        level: LogLevel,
        /// The line.
        message: String,
    },
    /// [`Services::now`].
    Now,
    /// [`Services::random`].
    Random {
        /// Bytes that are wanted.
        length: u32,
    },
    /// [`Services::config`].
    Config {
        /// The key; empty for all.
        key: String,
    },
    /// [`Services::kv_get`].
    KvGet {
        /// The key.
        key: String,
    },
    /// [`Services::kv_set`].
    KvSet {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// [`Services::kv_delete`].
    KvDelete {
        /// The key.
        key: String,
    },
    /// [`Services::kv_list`].
    KvList {
        /// How the keys begin.
        prefix: String,
    },
    /// [`Services::emit`].
    Emit {
        /// The frame.
        frame: Frame,
    },
    /// [`Services::metric`].
    Metric {
        /// The name.
        name: String,
        /// The measurement.
        value: f64,
    },
    /// [`Services::call`].
    Call {
        /// The name of the function.
        function: String,
        /// Its argument.
        argument: Vec<u8>,
    },
}

/// The answer of a service.
///
/// In a message it is a byte, the number of the variant, and its value:
///
/// | number | variant | value |
/// |---|---|---|
/// | 0 | nothing | |
/// | 1 | time | `u64` nanoseconds since the Unix epoch |
/// | 2 | random | `bytes` |
/// | 3 | text | `text`? |
/// | 4 | value | `bytes`? |
/// | 5 | existed | `u8` 0 or 1 |
/// | 6 | keys | `[text]` |
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceAnswer {
    /// Of log, kv-set, emit and metric.
    Nothing,
    /// Of now.
    Time(u64),
    /// Of random.
    Random(Vec<u8>),
    /// Of config.
    Text(Option<String>),
    /// Of kv-get, and of call, where it is always there.
    Value(Option<Vec<u8>>),
    /// Of kv-delete.
    Existed(bool),
    /// Of kv-list.
    Keys(Vec<String>),
}

/// The most random bytes that a service is asked for. Those that it may give are far fewer.
const MAX_RANDOM: u32 = 1 << 20;

impl ServiceCall {
    /// Asks services, on the side of the host.
    ///
    /// # Errors
    ///
    /// Those of the service. [`ServiceError::Invalid`] for more random bytes than a call may ask
    /// for, without allocating them.
    pub fn serve(&self, services: &mut dyn Services) -> Result<ServiceAnswer, ServiceError> {
        Ok(match self {
            ServiceCall::Log { level, message } => {
                services.log(*level, message)?;
                ServiceAnswer::Nothing
            }
            ServiceCall::Now => ServiceAnswer::Time(services.now()?),
            ServiceCall::Random { length } => {
                // A megabyte is as invalid as four billion bytes, and cheaper to ask about: the
                // service refuses it, and records that.
                let mut bytes = vec![0; (*length).min(MAX_RANDOM) as usize];
                services.random(&mut bytes)?;
                ServiceAnswer::Random(bytes)
            }
            ServiceCall::Config { key } => ServiceAnswer::Text(services.config(key)?),
            ServiceCall::KvGet { key } => ServiceAnswer::Value(services.kv_get(key)?),
            ServiceCall::KvSet { key, value } => {
                services.kv_set(key, value)?;
                ServiceAnswer::Nothing
            }
            ServiceCall::KvDelete { key } => ServiceAnswer::Existed(services.kv_delete(key)?),
            ServiceCall::KvList { prefix } => ServiceAnswer::Keys(services.kv_list(prefix)?),
            ServiceCall::Emit { frame } => {
                services.emit(frame)?;
                ServiceAnswer::Nothing
            }
            ServiceCall::Metric { name, value } => {
                services.metric(name, *value)?;
                ServiceAnswer::Nothing
            }
            ServiceCall::Call { function, argument } => {
                ServiceAnswer::Value(Some(services.call(function, argument)?))
            }
        })
    }

    pub(super) fn put(&self, put: &mut Put<'_>) {
        match self {
            ServiceCall::Log { level, message } => put.u8(1).u8(*level as u8).text(message),
            ServiceCall::Now => put.u8(2),
            ServiceCall::Random { length } => put.u8(3).u32(*length),
            ServiceCall::Config { key } => put.u8(4).text(key),
            ServiceCall::KvGet { key } => put.u8(5).text(key),
            ServiceCall::KvSet { key, value } => put.u8(6).text(key).bytes(value),
            ServiceCall::KvDelete { key } => put.u8(7).text(key),
            ServiceCall::KvList { prefix } => put.u8(8).text(prefix),
            ServiceCall::Emit { frame } => put.u8(9).frame(frame),
            ServiceCall::Metric { name, value } => put.u8(10).text(name).u64(value.to_bits()),
            ServiceCall::Call { function, argument } => put.u8(11).text(function).bytes(argument),
        };
    }

    pub(super) fn take(fields: &mut Fields<'_>) -> Result<ServiceCall, WireError> {
        Ok(match fields.u8()? {
            1 => {
                let number = fields.u8()?;
                let level = LogLevel::from_u32(number.into());
                if level as u8 != number {
                    return Err(WireError::Value { field: "level", found: number.into() });
                }
                ServiceCall::Log { level, message: fields.text()? }
            }
            2 => ServiceCall::Now,
            3 => ServiceCall::Random { length: fields.u32()? },
            4 => ServiceCall::Config { key: fields.text()? },
            5 => ServiceCall::KvGet { key: fields.text()? },
            6 => ServiceCall::KvSet { key: fields.text()?, value: fields.vector()? },
            7 => ServiceCall::KvDelete { key: fields.text()? },
            8 => ServiceCall::KvList { prefix: fields.text()? },
            9 => ServiceCall::Emit { frame: fields.frame()? },
            10 => ServiceCall::Metric { name: fields.text()?, value: fields.f64()? },
            11 => ServiceCall::Call { function: fields.text()?, argument: fields.vector()? },
            found => return Err(WireError::Value { field: "service", found: found.into() }),
        })
    }
}

impl ServiceAnswer {
    pub(super) fn put(&self, put: &mut Put<'_>) {
        match self {
            ServiceAnswer::Nothing => put.u8(0),
            ServiceAnswer::Time(time) => put.u8(1).u64(*time),
            ServiceAnswer::Random(bytes) => put.u8(2).bytes(bytes),
            ServiceAnswer::Text(text) => put.u8(3).optional(text.as_deref(), |put, text| {
                put.text(text);
            }),
            ServiceAnswer::Value(value) => put.u8(4).optional(value.as_deref(), |put, value| {
                put.bytes(value);
            }),
            ServiceAnswer::Existed(existed) => put.u8(5).u8(u8::from(*existed)),
            ServiceAnswer::Keys(keys) => put.u8(6).list(keys, |put, key| {
                put.text(key);
            }),
        };
    }

    pub(super) fn take(fields: &mut Fields<'_>) -> Result<ServiceAnswer, WireError> {
        Ok(match fields.u8()? {
            0 => ServiceAnswer::Nothing,
            1 => ServiceAnswer::Time(fields.u64()?),
            2 => ServiceAnswer::Random(fields.vector()?),
            3 => ServiceAnswer::Text(fields.optional("text", Fields::text)?),
            4 => ServiceAnswer::Value(fields.optional("value", Fields::vector)?),
            5 => ServiceAnswer::Existed(fields.flag("existed")?),
            6 => ServiceAnswer::Keys(fields.list(4, Fields::text)?),
            found => return Err(WireError::Value { field: "answer", found: found.into() }),
        })
    }
}

/// The services of a host in another process, on the side of the plugin.
///
/// An answer that does not fit the question is [`ServiceError::Unavailable`].
#[derive(Debug)]
pub struct RemoteServices<A>(A);

impl<A: FnMut(ServiceCall) -> Result<ServiceAnswer, ServiceError>> RemoteServices<A> {
    /// Services that carry each question through `ask`.
    pub fn new(ask: A) -> RemoteServices<A> {
        RemoteServices(ask)
    }

    fn nothing(&mut self, question: ServiceCall) -> Result<(), ServiceError> {
        match (self.0)(question)? {
            ServiceAnswer::Nothing => Ok(()),
            _ => Err(ServiceError::Unavailable),
        }
    }
}

impl<A: FnMut(ServiceCall) -> Result<ServiceAnswer, ServiceError>> Services for RemoteServices<A> {
    fn log(&mut self, level: LogLevel, message: &str) -> Result<(), ServiceError> {
        self.nothing(ServiceCall::Log { level, message: message.to_owned() })
    }

    fn now(&mut self) -> Result<u64, ServiceError> {
        match (self.0)(ServiceCall::Now)? {
            ServiceAnswer::Time(time) => Ok(time),
            _ => Err(ServiceError::Unavailable),
        }
    }

    fn random(&mut self, buffer: &mut [u8]) -> Result<(), ServiceError> {
        let length = u32::try_from(buffer.len()).map_err(|_| ServiceError::Invalid)?;
        match (self.0)(ServiceCall::Random { length })? {
            ServiceAnswer::Random(bytes) if bytes.len() == buffer.len() => {
                buffer.copy_from_slice(&bytes);
                Ok(())
            }
            _ => Err(ServiceError::Unavailable),
        }
    }

    fn config(&mut self, key: &str) -> Result<Option<String>, ServiceError> {
        match (self.0)(ServiceCall::Config { key: key.to_owned() })? {
            ServiceAnswer::Text(text) => Ok(text),
            _ => Err(ServiceError::Unavailable),
        }
    }

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        match (self.0)(ServiceCall::KvGet { key: key.to_owned() })? {
            ServiceAnswer::Value(value) => Ok(value),
            _ => Err(ServiceError::Unavailable),
        }
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), ServiceError> {
        self.nothing(ServiceCall::KvSet { key: key.to_owned(), value: value.to_vec() })
    }

    fn kv_delete(&mut self, key: &str) -> Result<bool, ServiceError> {
        match (self.0)(ServiceCall::KvDelete { key: key.to_owned() })? {
            ServiceAnswer::Existed(existed) => Ok(existed),
            _ => Err(ServiceError::Unavailable),
        }
    }

    fn kv_list(&mut self, prefix: &str) -> Result<Vec<String>, ServiceError> {
        match (self.0)(ServiceCall::KvList { prefix: prefix.to_owned() })? {
            ServiceAnswer::Keys(keys) => Ok(keys),
            _ => Err(ServiceError::Unavailable),
        }
    }

    fn emit(&mut self, frame: &Frame) -> Result<(), ServiceError> {
        self.nothing(ServiceCall::Emit { frame: frame.clone() })
    }

    fn metric(&mut self, name: &str, value: f64) -> Result<(), ServiceError> {
        self.nothing(ServiceCall::Metric { name: name.to_owned(), value })
    }

    fn call(&mut self, function: &str, argument: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let (function, argument) = (function.to_owned(), argument.to_vec());
        match (self.0)(ServiceCall::Call { function, argument })? {
            ServiceAnswer::Value(Some(value)) => Ok(value),
            _ => Err(ServiceError::Unavailable),
        }
    }
}
