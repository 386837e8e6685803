//! Faults of host services that a person switches on for a plugin, and off again.

use std::fmt;
use std::sync::Arc;

use glovebox_host::{InstanceId, Mock};

use super::{Level, Workbench};

/// The faults of one plugin, as a person put them together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// They are in effect.
    pub is_on: bool,
    /// Chance comes from it.
    pub seed: u64,
    /// In the order in which they are tried: the first that meets a call counts.
    pub all: Vec<Fault>,
}

/// One service that goes wrong on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One of [`Mock::SERVICES`].
    pub service: &'static str,
    /// The failure.
    pub effect: Effect,
    /// The value for it, as it was typed; empty if it needs none.
    pub value: String,
    /// The calls that it meets.
    pub calls: Calls,
}

/// The failure of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is denied.
    Deny,
    /// It comes late.
    Delay,
    /// The service is not there.
    Unavailable,
    /// A limit is reached.
    Limit,
    /// Only its beginning is given.
    Short,
    /// The clock goes forward.
    Forward,
    /// The clock goes back.
    Back,
    /// The plugin ends, as by a crash.
    Crash,
    /// The plugin ends, as at its limit of memory.
    Memory,
}

/// The calls that a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Each.
    Each,
    /// The one of this number, from 1.
    Number(u64),
    /// One of so many, by chance.
    OneIn(u64),
}

impl Effect {
    /// All of them.
    pub const ALL: [Effect; 9] = [
        Effect::Deny,
        Effect::Delay,
        Effect::Unavailable,
        Effect::Limit,
        Effect::Short,
        Effect::Forward,
        Effect::Back,
        Effect::Crash,
        Effect::Memory,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Effect::Deny => "is denied",
            Effect::Delay => "takes longer",
            Effect::Unavailable => "fails: unavailable",
            Effect::Limit => "fails: limit exceeded",
            Effect::Short => "gives less",
            Effect::Forward => "sets the clock forward",
            Effect::Back => "sets the clock back",
            Effect::Crash => "stops the plugin: crash",
            Effect::Memory => "stops the plugin: memory",
        }
    }

    /// The value to be typed for it, with an example, if it needs one.
    pub fn asks(self) -> Option<(&'static str, &'static str)> {
        match self {
            Effect::Delay => Some(("How much", "5 ms")),
            Effect::Short => Some(("Bytes or names", "3")),
            Effect::Forward | Effect::Back => Some(("By how much", "60 s")),
            Effect::Deny | Effect::Unavailable | Effect::Limit | Effect::Crash | Effect::Memory => {
                None
            }
        }
    }

    /// True if only the clock can do that.
    pub fn is_of_the_clock(self) -> bool {
        matches!(self, Effect::Forward | Effect::Back)
    }

    /// Its line in a mock.
    fn line(self, value: &str) -> String {
        let text = || toml::Value::from(value);
        match self {
            Effect::Deny => "fail = \"denied\"".to_owned(),
            Effect::Unavailable => "fail = \"unavailable\"".to_owned(),
            Effect::Limit => "fail = \"limit\"".to_owned(),
            Effect::Delay => format!("delay = {}", text()),
            Effect::Short => match value.trim().parse::<u64>() {
                Ok(number) => format!("short = {number}"),
                Err(_) => format!("short = {}", text()),
            },
            Effect::Forward => format!("forward = {}", text()),
            Effect::Back => format!("back = {}", text()),
            Effect::Crash => "stop = \"crash\"".to_owned(),
            Effect::Memory => "stop = \"memory\"".to_owned(),
        }
    }
}

impl Faults {
    /// The mock that has them, as `--mock` would read it.
    ///
    /// # Errors
    ///
    /// If a value makes no sense, in words.
    pub fn mock(&self) -> Result<Mock, String> {
        Mock::parse(&self.to_string()).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[faults]\nseed = {}\n", self.seed)?;
        for fault in &self.all {
            let Fault { service, effect, value, calls } = fault;
            let line = effect.line(value);
            write!(formatter, "\n[[answer]]\nservice = \"{service}\"\n{line}\n")?;
            match calls {
                Calls::Each => {}
                Calls::Number(number) => writeln!(formatter, "call = {number}")?,
                Calls::OneIn(number) => writeln!(formatter, "one-in = {number}")?,
            }
        }
        Ok(())
    }
}

impl Workbench {
    /// Switches faults of a plugin on or off, or changes them.
    pub(super) fn set_faults(&mut self, instance: InstanceId, faults: Faults) {
        let is_on = faults.is_on && !faults.all.is_empty();
        let faults = Faults { is_on, ..faults };
        let set = faults.mock().and_then(|mock| {
            let mock = is_on.then(|| Arc::new(mock));
            self.host.set_faults(instance, mock).map_err(|error| error.to_string())
        });
        match set {
            Ok(()) => drop(self.outcome.faults.insert(instance, faults)),
            Err(error) => self.notices.add(Level::Error, format!("No fault was changed: {error}")),
        }
        self.look_at_plugins();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_what_a_mock_reads() {
        fn check(
            service: &'static str,
            effect: Effect,
            value: &str,
            calls: Calls,
            expected: Result<&str, &str>,
        ) {
            let fault = Fault { service, effect, value: value.to_owned(), calls };
            let faults = Faults { is_on: true, seed: 7, all: vec![fault] };
            match (faults.mock(), expected) {
                (Ok(mock), Ok(expected)) => assert_eq!(mock.faults(), [expected]),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        }
        use Calls::{Each, Number, OneIn};
        check("kv-get", Effect::Deny, "", Each, Ok("`kv-get` is denied, in each call"));
        check("log", Effect::Delay, "5 ms", Number(3), Ok("`log` takes 5 ms longer, in call 3"));
        check(
            "log",
            Effect::Crash,
            "",
            Number(2),
            Ok("`log` stops the plugin as a crash does, in call 2"),
        );
        let short = "`kv-get` gives 3 bytes or names at most, in one of 10 calls by chance";
        check("kv-get", Effect::Short, " 3 ", OneIn(10), Ok(short));
        check(
            "now",
            Effect::Back,
            "60 s",
            Each,
            Ok("`now` sets the clock back by 60 s, in each call"),
        );
        check("log", Effect::Back, "60 s", Each, Err("only the service `now` has a clock"));
        check("log", Effect::Delay, "a\" while", Each, Err("delay"));
        check("kv-get", Effect::Short, "three", Each, Err("short"));
        check("kv-get", Effect::Deny, "", Number(0), Err("call"));
        for effect in Effect::ALL {
            let value = effect.asks().map_or("", |(_, example)| example);
            let fault = Fault { service: "now", effect, value: value.to_owned(), calls: Each };
            let faults = Faults { is_on: true, seed: 0, all: vec![fault] };
            assert!(faults.mock().is_ok(), "{effect:?}");
        }
    }
}
