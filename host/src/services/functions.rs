//! Functions that the application gives to its plugins.
//!
//! They stand where our own services stand: behind the permissions and the limits, and behind
//! [`Answers`](super::Answers) and mocks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::{LimitKind, names_function};
use glovebox_abi::{Permission, ServiceError};
use glovebox_events::{AnsweredBy, CallId, Outcome, weight};

use super::CopyServices;
use super::answers::Given;
use super::arguments::Argument;
use crate::guard::caught;
use crate::id::InstanceId;
use crate::policy::Parameter;

/// The plugin that calls a function of the application.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Caller<'a> {
    /// Its id.
    pub plugin: &'a str,
    /// Which instance.
    pub instance: InstanceId,
    /// The call in which it asks; `None` outside `process`.
    pub call: Option<CallId>,
    /// The name under which it asks.
    pub function: &'a str,
    /// How long the whole call may take. The plugin is not run on after that, but code of the
    /// application cannot be stopped: a function that may take long looks at the time itself.
    pub deadline: Duration,
}

/// Why a function of the application gives nothing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FunctionError {
    /// The plugin is told so, as by any other service.
    Service(ServiceError),
    /// A component whose function has an error of its own gets this as the error; all other plugins
    /// are told that the argument is [invalid](ServiceError::Invalid).
    Answer(Value),
}

impl From<ServiceError> for FunctionError {
    fn from(error: ServiceError) -> FunctionError {
        FunctionError::Service(error)
    }
}

impl From<&str> for FunctionError {
    fn from(text: &str) -> FunctionError {
        FunctionError::Answer(Value::Text(text.to_owned()))
    }
}

impl From<String> for FunctionError {
    fn from(text: String) -> FunctionError {
        FunctionError::Answer(Value::Text(text))
    }
}

/// A function of the application.
pub(crate) type Function =
    Arc<dyn Fn(&Caller<'_>, &Value) -> Result<Value, FunctionError> + Send + Sync>;

/// The functions of an application, by name.
#[derive(Clone, Default)]
pub(crate) struct Functions(BTreeMap<String, Function>);

impl Functions {
    /// False if there was a function of this name, in whose place it is now.
    pub(crate) fn add(&mut self, name: String, function: Function) -> bool {
        self.0.insert(name, function).is_none()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// True if there is a function of this name, or one of the interface of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names().any(|known| names_function(name, known))
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

/// A value that a function gave, or an error of its own.
///
/// In events, and in answers and mocks that go by them, such an error is a map with the one entry
/// `err`; a value that looks like one stands in another map, as the entry `ok`.
pub(crate) struct FunctionResult(pub(crate) Result<Value, Value>);

impl Given for FunctionResult {
    fn to_value(&self) -> Value {
        let entry = |key: &str, value: &Value| {
            Value::Map(vec![(Value::Text(key.to_owned()), value.clone())])
        };
        match &self.0 {
            Ok(value) if looks_like_an_error(value) => entry("ok", value),
            Ok(value) => value.clone(),
            Err(error) => entry("err", error),
        }
    }

    fn from_value(value: Value) -> Option<FunctionResult> {
        let is_marked = looks_like_an_error(&value);
        Some(FunctionResult(match value {
            Value::Map(mut entries) if is_marked => {
                let is_error = key_of(&entries) == Some("err");
                // One that looks like an error has one entry.
                let value = entries.pop().map_or(Value::Null, |(_, value)| value);
                if is_error { Err(value) } else { Ok(value) }
            }
            value => Ok(value),
        }))
    }
}

/// True of a value that stands for an error, or, under any number of `ok`, for a value that would.
fn looks_like_an_error(mut value: &Value) -> bool {
    while let Value::Map(entries) = value {
        match key_of(entries) {
            Some("err") => return true,
            Some("ok") => value = &entries[0].1,
            _ => return false,
        }
    }
    false
}

/// The key of the only entry.
pub(crate) fn key_of(entries: &[(Value, Value)]) -> Option<&str> {
    match entries {
        [(Value::Text(key), _)] => Some(key),
        _ => None,
    }
}

impl CopyServices {
    /// Calls a function of the application. The arguments carry so many bytes.
    pub(crate) fn call_function(
        &mut self,
        name: &str,
        arguments: &Value,
        carried: usize,
    ) -> Result<Value, FunctionError> {
        self.carried = carried;
        let parameter = Parameter::function(name);
        let given = [Argument::Value(arguments)];
        let served = self.serve(name, Permission::Functions, parameter, &given, |context| {
            let mock = context.shared.mock.load_full();
            if let Some(effect) = mock.and_then(|mock| mock.function(name, arguments)) {
                context.answered_by = AnsweredBy::Mock;
                context.delay(effect.delay)?;
                if let Some(answer) = effect.answer {
                    let given = FunctionResult::from_value(answer?);
                    return given.ok_or(ServiceError::Unavailable);
                }
            }
            context.run_function(name, arguments)
        });
        served?.0.map_err(FunctionError::Answer)
    }

    fn run_function(
        &mut self,
        name: &str,
        arguments: &Value,
    ) -> Result<FunctionResult, ServiceError> {
        let Some(function) = self.shared.functions.0.get(name).cloned() else {
            return Err(ServiceError::Unavailable);
        };
        let shared = self.shared.clone();
        let deadline = Duration::from_millis(self.deadline());
        let caller = Caller {
            plugin: &shared.plugin,
            instance: shared.instance,
            call: self.call,
            function: name,
            deadline,
        };
        let started = Instant::now();
        let result = caught(|| function(&caller, arguments));
        // Time that the application took counts for every tier, even if the tier can stop nothing.
        self.delayed = self.delayed.saturating_add(started.elapsed());
        if self.delayed > deadline {
            shared.counters.hit_limit(LimitKind::CallDeadline);
            self.broken = Some(Outcome::TimedOut { deadline, made_up: false });
            return Err(ServiceError::Unavailable);
        }
        match result {
            Ok(Ok(value)) => Ok(FunctionResult(Ok(value))),
            Ok(Err(FunctionError::Service(error))) => Err(error),
            Ok(Err(FunctionError::Answer(error))) => Ok(FunctionResult(Err(error))),
            Err(reason) => {
                let plugin = &*shared.plugin;
                tracing::error!(plugin, name, reason, "a function of the application panicked");
                Err(ServiceError::Unavailable)
            }
        }
    }
}

/// The bytes of what a function gave, for plugins that get bytes: bytes, those of a text, a number or a
/// truth in writing, none of null. An error of the function's own means that the argument is
/// [invalid](ServiceError::Invalid).
pub(crate) fn bytes_of(given: Result<Value, FunctionError>) -> Result<Vec<u8>, NoBytes> {
    match given {
        Ok(Value::Bytes(bytes)) => Ok(bytes),
        Ok(Value::Text(text)) => Ok(text.into_bytes()),
        Ok(Value::Null) => Ok(Vec::new()),
        Ok(Value::Bool(truth)) => Ok(truth.to_string().into_bytes()),
        Ok(Value::Integer(number)) => Ok(number.to_string().into_bytes()),
        Ok(Value::Float(number)) => Ok(number.to_string().into_bytes()),
        Ok(Value::Map(_)) => Err(NoBytes::Kind("a map")),
        Ok(Value::Array(_)) => Err(NoBytes::Kind("a list")),
        Ok(Value::Tag(..) | Value::Simple(_)) => Err(NoBytes::Kind("a value of CBOR's own")),
        Err(FunctionError::Service(error)) => Err(NoBytes::Service(error)),
        Err(FunctionError::Answer(_)) => Err(NoBytes::Service(ServiceError::Invalid)),
    }
}

/// Why the result of a function is nothing for a caller that takes bytes.
pub(crate) enum NoBytes {
    /// The function failed.
    Service(ServiceError),
    /// There are no bytes for a value of this kind.
    Kind(&'static str),
}

impl From<NoBytes> for ServiceError {
    fn from(error: NoBytes) -> ServiceError {
        match error {
            NoBytes::Service(error) => error,
            NoBytes::Kind(_) => ServiceError::Unavailable,
        }
    }
}

/// About how many bytes arguments carry.
pub(crate) fn carried_by(name: &str, arguments: &Value) -> usize {
    name.len().saturating_add(weight::value(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_of_bytes_get_plain_values_as_texts() {
        fn check(given: Value, expected: Result<&str, &str>) {
            let found = bytes_of(Ok(given.clone()));
            let found = found.map(|bytes| String::from_utf8(bytes).unwrap());
            let found = found.map_err(|error| match error {
                NoBytes::Service(_) => "an error",
                NoBytes::Kind(kind) => kind,
            });
            assert_eq!(found, expected.map(str::to_owned), "{given:?}");
        }
        check(Value::Bytes(vec![b'a']), Ok("a"));
        check(Value::Text("a".to_owned()), Ok("a"));
        check(Value::Integer(-3), Ok("-3"));
        check(Value::Float(0.5), Ok("0.5"));
        check(Value::Bool(true), Ok("true"));
        check(Value::Null, Ok(""));
        check(Value::Array(Vec::new()), Err("a list"));
        check(Value::Map(Vec::new()), Err("a map"));
        let error = bytes_of(Err(FunctionError::Answer(Value::Null)));
        assert!(matches!(error, Err(NoBytes::Service(ServiceError::Invalid))));
    }
}
