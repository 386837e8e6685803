//! The arguments that a plugin gives to a service, lent for as long as the service works.

use glovebox_abi::cbor::Value;
use glovebox_events::{evidence, weight};

/// One argument of a service.
///
/// Lent, so that nothing is copied for an event that keeps little of it, or for nobody.
#[derive(Clone, Copy)]
pub(super) enum Argument<'a> {
    Integer(i128),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Value(&'a Value),
}

impl Argument<'_> {
    fn whole(&self) -> Value {
        match self {
            Argument::Integer(number) => Value::Integer(*number),
            Argument::Float(number) => Value::Float(*number),
            Argument::Text(text) => Value::Text((*text).to_owned()),
            Argument::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Argument::Value(value) => (*value).clone(),
        }
    }

    fn kept(&self) -> Value {
        match self {
            Argument::Text(text) => evidence::of_text(text),
            Argument::Bytes(bytes) => evidence::of_bytes(bytes),
            Argument::Value(Value::Bytes(bytes)) => evidence::of_bytes(bytes),
            Argument::Value(Value::Text(text)) => evidence::of_text(text),
            Argument::Value(value) => weight::brief(value, evidence::KEPT),
            number => number.whole(),
        }
    }
}

/// All arguments, as events hold them: nothing, one value, or a list.
pub(super) fn whole(arguments: &[Argument<'_>]) -> Value {
    together(arguments.iter().map(Argument::whole))
}

/// The same of a host call that failed: what is long is cut.
pub(super) fn kept(arguments: &[Argument<'_>]) -> Value {
    together(arguments.iter().map(Argument::kept))
}

fn together(mut values: impl ExactSizeIterator<Item = Value>) -> Value {
    match (values.len(), values.next()) {
        (1, Some(value)) => value,
        (_, None) => Value::Null,
        (_, Some(first)) => Value::Array([first].into_iter().chain(values).collect()),
    }
}
