//! The uses of services by a serving copy, and a shadow that is answered from them.

use std::borrow::Cow;

use glovebox_abi::ServiceError;
use glovebox_abi::cbor::Value;
use parking_lot::Mutex;

use super::{ANSWERABLE, Answered, Answers, Asked};

/// One use of a service in a call, and what came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Use {
    pub(crate) service: Cow<'static, str>,
    pub(crate) arguments: Value,
    pub(crate) result: Result<Value, ServiceError>,
}

/// Answers a shadow as the serving copy was answered in the same call. Functions of the application that
/// the serving copy did not call so are denied: to call them would have an effect.
pub(crate) struct SameAnswers {
    uses: Mutex<Vec<Use>>,
    /// True if the application answers the serving copy, the store and the configuration among it.
    of_all: bool,
}

impl SameAnswers {
    pub(crate) fn new(of_all: bool) -> SameAnswers {
        SameAnswers { uses: Mutex::default(), of_all }
    }

    /// The next call gets the answers of these uses.
    pub(crate) fn begin(&self, uses: Vec<Use>) {
        *self.uses.lock() = uses;
    }
}

impl Answers for SameAnswers {
    fn answer(&self, asked: &Asked<'_>) -> Answered {
        let is_function = !ANSWERABLE.contains(&asked.service);
        let is_of_the_world = is_function || matches!(asked.service, "now" | "random");
        // Its store is a copy, and its configuration is its own.
        if !is_of_the_world && !self.of_all {
            return Answered::ByHost;
        }
        let mut uses = self.uses.lock();
        let is_it = |one: &Use| one.service == asked.service && one.arguments == *asked.arguments;
        match uses.iter().position(is_it) {
            Some(at) => Answered::With(uses.remove(at).result),
            None if is_function => Answered::With(Err(ServiceError::Denied)),
            None => Answered::ByHost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_is_answered_as_the_serving_copy_was() {
        fn check(of_all: bool, service: &str, argument: i64, expected: &[Answered]) {
            let answers = SameAnswers::new(of_all);
            let result = |value: i128| Ok(Value::Integer(value));
            let one = |service: &'static str, argument: i128, value| Use {
                service: service.into(),
                arguments: Value::Integer(argument),
                result: result(value),
            };
            answers.begin(vec![
                one("now", 0, 1),
                one("kv-get", 0, 2),
                one("now", 0, 3),
                one("a:b/c#d", 7, 4),
            ]);
            let arguments = &Value::Integer(argument.into());
            let asked = Asked { plugin: "p", call: None, service, arguments };
            let found: Vec<_> = expected.iter().map(|_| answers.answer(&asked)).collect();
            assert_eq!(found, expected, "{service} {argument}");
        }
        let with = |value: i128| Answered::With(Ok(Value::Integer(value)));
        let by_host = || Answered::ByHost;
        let denied = || Answered::With(Err(ServiceError::Denied));
        check(false, "now", 0, &[with(1), with(3), by_host()]);
        check(false, "now", 1, &[by_host()]);
        check(false, "kv-get", 0, &[by_host()]);
        check(true, "kv-get", 0, &[with(2), by_host()]);
        check(false, "a:b/c#d", 7, &[with(4), denied()]);
        check(false, "a:b/c#d", 8, &[denied()]);
    }
}
