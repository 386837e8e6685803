use std::fmt;

use arc_swap::ArcSwap;
use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Permission, ServiceError};
use glovebox_events::CallId;

use crate::policy::{Grants, Parameter};

/// Answers host services in place of the host: those of a run that was recorded, for example.
///
/// Given to a [`LoadRequest`](crate::LoadRequest::answers). It stands where mocks stand, *behind*
/// the permissions and the limits, those of the store included, and in front of a mock: the mock
/// may answer uses that it leaves to the host. Its answers are counted and recorded like any
/// answer. It is asked on the thread of the call, which waits for it.
///
/// It is asked about `now`, `random`, `config`, `kv-…`, `http-request` and functions of the application. Data that
/// a plugin sends with `log`, `metric` and `emit` goes to the host as ever, for nothing comes back
/// from there; the host alone answers WASI.
pub trait Answers: Send + Sync {
    /// Answers one use of a service.
    ///
    /// A value that is not what the service gives, or not as many bytes as were asked for, reaches
    /// the plugin as [`ServiceError::Unavailable`]; a panic does so as well.
    fn answer(&self, asked: &Asked<'_>) -> Answered;

    /// A call of this plugin is about to begin, with this frame, on this thread.
    fn begin(&self, _plugin: &str, _frame: &Frame) {}

    /// The call that began on this thread is over.
    fn end(&self) {}
}

/// One use of a service.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Asked<'a> {
    /// Id of the plugin that asks.
    pub plugin: &'a str,
    /// The call in which the plugin asks; `None` outside `process`.
    pub call: Option<CallId>,
    /// Name of the service, or of the function of the application, as in events.
    pub service: &'a str,
    /// The arguments, as in events.
    pub arguments: &'a Value,
}

/// The answer to one use of a service.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Answered {
    /// This comes back, as in events. A write of the plugin to its store is done there too, if the
    /// answer says that it was, so that uses left to the host find it.
    With(Result<Value, ServiceError>),
    /// The host does what it is asked.
    ByHost,
}

/// The services about which [`Answers`] are asked, beside the functions of the application.
pub(crate) const ANSWERABLE: [&str; 8] =
    ["config", "now", "random", "kv-get", "kv-set", "kv-delete", "kv-list", HTTP_REQUEST];

/// The service by which plugins of other hosts make requests.
pub(super) const HTTP_REQUEST: &str = "http-request";

/// A result of a service, as events hold it.
pub(crate) trait Given: Sized {
    fn to_value(&self) -> Value;
    /// `None` if the value is nothing that the service gives.
    fn from_value(value: Value) -> Option<Self>;
    /// Leaves out the parts that are not granted, in answers of every source.
    fn keep_granted(&mut self, _grants: &ArcSwap<Grants>) {}
    /// Leaves so many bytes, or names, and no more.
    fn shorten(&mut self, _length: usize) {}
}

impl Given for () {
    fn to_value(&self) -> Value {
        Value::Null
    }

    fn from_value(value: Value) -> Option<()> {
        (value == Value::Null).then_some(())
    }
}

impl Given for bool {
    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }

    fn from_value(value: Value) -> Option<bool> {
        match value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }
}

impl Given for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }

    fn from_value(value: Value) -> Option<Value> {
        Some(value)
    }
}

impl Given for u64 {
    fn to_value(&self) -> Value {
        Value::Integer((*self).into())
    }

    fn from_value(value: Value) -> Option<u64> {
        match value {
            Value::Integer(value) => value.try_into().ok(),
            _ => None,
        }
    }
}

impl Given for Vec<u8> {
    fn to_value(&self) -> Value {
        Value::Bytes(self.clone())
    }

    fn from_value(value: Value) -> Option<Vec<u8>> {
        match value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn shorten(&mut self, length: usize) {
        self.truncate(length);
    }
}

impl Given for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn from_value(value: Value) -> Option<String> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn shorten(&mut self, length: usize) {
        self.truncate(self.floor_char_boundary(length));
    }
}

impl<T: Given> Given for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }

    fn from_value(value: Value) -> Option<Option<T>> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }

    fn shorten(&mut self, length: usize) {
        if let Some(value) = self {
            value.shorten(length);
        }
    }
}

impl Given for Vec<String> {
    fn to_value(&self) -> Value {
        Value::Array(self.iter().map(String::to_value).collect())
    }

    fn from_value(value: Value) -> Option<Vec<String>> {
        match value {
            Value::Array(values) => values.into_iter().map(String::from_value).collect(),
            _ => None,
        }
    }

    fn shorten(&mut self, length: usize) {
        self.truncate(length);
    }

    /// They are keys: a prefix may be granted of which some keys are not.
    fn keep_granted(&mut self, grants: &ArcSwap<Grants>) {
        let grants = grants.load();
        self.retain(|key| grants.admits(Permission::Kv, &Parameter::key(key, false)));
    }
}

impl fmt::Debug for dyn Answers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Answers")
    }
}
