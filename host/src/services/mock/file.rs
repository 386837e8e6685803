//! The text of a mock.

use std::time::Duration;

use glovebox_abi::ServiceError;
use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::{is_function_name, not_a_function};
use toml::de::DeValue;
use toml::value::{Datetime, Offset};

use super::{Answer, Clock, FunctionAnswer, Mock, StopFault};
use crate::services::SERVICES;
use glovebox_abi::nearest::{did_you_mean, nearest};
use glovebox_document::{DocumentError, Section};

/// The errors that a call can fail with, by the name in the file.
const FAILURES: [(&str, ServiceError); 3] = [
    ("denied", ServiceError::Denied),
    ("unavailable", ServiceError::Unavailable),
    ("limit", ServiceError::LimitExceeded),
];

/// The keys of `[[answer]]`.
const ANSWER: [&str; 10] =
    ["service", "plugin", "call", "one-in", "fail", "delay", "short", "forward", "back", "stop"];

/// The ways to stop a plugin, by the name in the file.
const STOPS: [(&str, StopFault); 2] = [("crash", StopFault::Crash), ("memory", StopFault::Memory)];

pub(super) fn read(text: &str) -> Result<Mock, DocumentError> {
    let table = glovebox_document::parse(text)?;
    let top = Section::top(text, &table);
    top.only(&["now", "random", "kv", "faults", "answer", "function"])?;
    let mut mock = Mock::default();
    if let Some(section) = top.section("now")? {
        mock.clock = Some(clock(&section)?);
    }
    if let Some(section) = top.section("random")? {
        section.only(&["seed"])?;
        let seed = section.number("seed", 0)?;
        mock.seed = Some(seed.ok_or_else(|| section.missing("seed", "write any whole number"))?);
    }
    if let Some(section) = top.section("kv")? {
        for key in section.keys() {
            mock.kv.insert(key.to_owned(), value(&section, key)?);
        }
    }
    if let Some(section) = top.section("faults")? {
        section.only(&["seed"])?;
        mock.faults = section.number("seed", 0)?.unwrap_or_default();
    }
    for section in top.sections("answer")? {
        mock.answers.push(answer(&section)?);
    }
    for section in top.sections("function")? {
        let one = function(&section)?;
        if mock.functions.iter().any(|other| one.is_about_the_call_of(other)) {
            let reason = "an entry before it has the same name, `argument` and `call`, and the \
                          first counts; remove one of both";
            return Err(section.wrong("name", reason));
        }
        mock.functions.push(one);
    }
    Ok(mock)
}

fn clock(section: &Section<'_>) -> Result<Clock, DocumentError> {
    section.only(&["fixed", "step"])?;
    let start = match section.value("fixed") {
        None => {
            return Err(section.missing("fixed", "write a time such as 2026-01-01T00:00:00Z"));
        }
        Some(DeValue::Datetime(time)) => unix_nanoseconds(time).ok_or_else(|| {
            let reason = format!(
                "{time} is not between 1970 and 2553 with an offset; write a time such as 2026-01-01T00:00:00Z"
            );
            section.wrong("fixed", reason)
        })?,
        Some(DeValue::Integer(_)) => section.number("fixed", 0)?.unwrap_or_default(),
        Some(other) => {
            let wanted = "a time with an offset, or nanoseconds since the Unix epoch";
            return Err(section.mistyped("fixed", other, wanted));
        }
    };
    Ok(Clock { start, step: section.duration("step")?.unwrap_or(Duration::ZERO) })
}

/// Nanoseconds since the Unix epoch, if they fit.
fn unix_nanoseconds(time: &Datetime) -> Option<u64> {
    let (date, clock) = (time.date?, time.time?);
    let offset = match time.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_epoch(date.year.into(), date.month.into(), date.day.into());
    let minutes = i64::from(clock.hour) * 60 + i64::from(clock.minute) - offset;
    let seconds = days * 86_400 + minutes * 60 + i64::from(clock.second.unwrap_or(0));
    let nanoseconds = u64::from(clock.nanosecond.unwrap_or(0));
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// Days from 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap
/// day is the last (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn value(section: &Section<'_>, key: &str) -> Result<Vec<u8>, DocumentError> {
    let Some(DeValue::Table(_)) = section.value(key) else {
        return Ok(section.text(key)?.unwrap_or_default().into_bytes());
    };
    let Some(bytes) = section.section(key)? else {
        return Ok(Vec::new());
    };
    bytes.only(&["hex"])?;
    let text = bytes.text("hex")?.ok_or_else(|| bytes.missing("hex", "write `hex = \"00ff\"`"))?;
    hex(&text).ok_or_else(|| bytes.wrong("hex", no_hex(&text)))
}

fn function(section: &Section<'_>) -> Result<FunctionAnswer, DocumentError> {
    section.only(&["name", "argument", "call", "gives", "fail", "delay"])?;
    let Some(name) = section.text("name")?.filter(|name| !name.is_empty()) else {
        let remedy = "write the name of the function, e.g. \"acme:shop/prices@1.0.0#lookup\"";
        return Err(section.missing("name", remedy));
    };
    if !is_function_name(&name) {
        return Err(section.wrong("name", not_a_function(&name)));
    }
    let value = |key| section.value(key).map(|value| any(section, key, value)).transpose();
    let (argument, gives, fail) = (value("argument")?, value("gives")?, failure(section)?);
    if gives.is_some() && fail.is_some() {
        return Err(section.wrong("fail", "a call gives something or fails; write one of both"));
    }
    let delay = section.duration("delay")?;
    let answer = gives.map(Ok).or(fail.map(Err));
    if answer.is_none() && delay.is_none() {
        return Err(section.missing("gives", "write what it gives, `fail`, or `delay`"));
    }
    let (call, delay) = (section.number("call", 1)?, delay.unwrap_or_default());
    Ok(FunctionAnswer { name, argument, call, answer, delay })
}

/// A value of TOML as functions give it: a table with `hex` alone is bytes.
fn any(section: &Section<'_>, key: &str, value: &DeValue<'_>) -> Result<Value, DocumentError> {
    Ok(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Integer(number) => {
            let number = i128::from_str_radix(number.as_str(), number.radix());
            Value::Integer(number.map_err(|error| section.wrong(key, error.to_string()))?)
        }
        DeValue::Float(number) => {
            let number = number.as_str().parse::<f64>();
            Value::Float(number.map_err(|error| section.wrong(key, error.to_string()))?)
        }
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| any(section, key, item.get_ref()));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => match table.get("hex").map(|value| value.get_ref()) {
            Some(DeValue::String(text)) if table.len() == 1 => match hex(text) {
                Some(bytes) => Value::Bytes(bytes),
                None => return Err(section.wrong(key, no_hex(text))),
            },
            _ => {
                let entries = table.iter().map(|(name, value)| {
                    let name = Value::Text(name.get_ref().to_string());
                    Ok((name, any(section, key, value.get_ref())?))
                });
                Value::Map(entries.collect::<Result<_, _>>()?)
            }
        },
    })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8));
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| pair[0] << 4 | pair[pair.len() - 1]);
    digits.len().is_multiple_of(2).then(|| pairs.collect())
}

fn no_hex(text: &str) -> String {
    format!("`{text}` is not pairs of hexadecimal digits")
}

/// The error that `fail` names.
fn failure(section: &Section<'_>) -> Result<Option<ServiceError>, DocumentError> {
    let Some(name) = section.text("fail")? else { return Ok(None) };
    match FAILURES.iter().find(|(known, _)| *known == name) {
        Some((_, error)) => Ok(Some(*error)),
        None => {
            let names = FAILURES.map(|(name, _)| name);
            let meant = did_you_mean(nearest(&name, names));
            let reason = format!("`{name}` is none of {}{meant}", names.join(", "));
            Err(section.wrong("fail", reason))
        }
    }
}

fn answer(section: &Section<'_>) -> Result<Answer, DocumentError> {
    section.only(&ANSWER)?;
    let known = SERVICES.join(", ");
    let Some(service) = section.text("service")? else {
        return Err(section.missing("service", "write the name of a host service, e.g. \"kv-get\""));
    };
    let position = SERVICES.iter().position(|name| *name == service).ok_or_else(|| {
        let meant = did_you_mean(nearest(&service, SERVICES));
        section.wrong("service", format!("`{service}` is no host service ({known}){meant}"))
    })?;
    let fail = failure(section)?;
    let delay = section.duration("delay")?;
    let (plugin, short) = (section.text("plugin")?, section.number("short", 0)?);
    let (shift, stop) = (shift(section, &service)?, stop(section)?);
    let does_nothing = fail.is_none() && delay.is_none() && short.is_none();
    if does_nothing && shift == 0 && stop.is_none() {
        let what = "write what goes wrong: `fail`, `delay`, `short`, `forward`, `back` or `stop`";
        return Err(section.missing("fail", what));
    }
    let (call, one_in) = (section.number("call", 1)?, section.number("one-in", 1)?);
    Ok(Answer { service: position, plugin, call, one_in, fail, delay, short, shift, stop })
}

/// Nanoseconds by which the clock is set.
fn shift(section: &Section<'_>, service: &str) -> Result<i64, DocumentError> {
    let mut shift = 0;
    for (key, sign) in [("forward", 1), ("back", -1)] {
        let Some(time) = section.duration(key)? else { continue };
        if service != "now" {
            return Err(section.wrong(key, "only the service `now` has a clock"));
        }
        let nanoseconds = i64::try_from(time.as_nanos());
        shift += sign * nanoseconds.map_err(|_| section.wrong(key, "that is out of range"))?;
    }
    Ok(shift)
}

fn stop(section: &Section<'_>) -> Result<Option<StopFault>, DocumentError> {
    let Some(name) = section.text("stop")? else { return Ok(None) };
    match STOPS.iter().find(|(known, _)| *known == name) {
        Some((_, stop)) => Ok(Some(*stop)),
        None => {
            let names = STOPS.map(|(name, _)| name).join(", ");
            Err(section.wrong("stop", format!("`{name}` is none of {names}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mocks_are_read() {
        let text = "[now]\nfixed = 1970-01-02T01:00:00.5+01:00\nstep = '1ms'\n[random]\nseed = 7\n\
            [kv]\n\"a/b\" = 'text'\nraw = { hex = '00fF' }\n[[answer]]\nservice = 'kv-get'\n\
            call = 2\nfail = 'limit'\n[[answer]]\nservice = 'emit'\ndelay = '2ms'";
        let mock = read(text).unwrap();
        let start = 86_400_500_000_000;
        assert_eq!(mock.clock, Some(Clock { start, step: Duration::from_millis(1) }));
        assert_eq!(mock.seed, Some(7));
        assert_eq!(mock.kv["a/b"], b"text");
        assert_eq!(mock.kv["raw"], [0, 255]);
        let services = ["now", "random", "kv-get", "kv-set", "kv-delete", "kv-list", "emit"];
        assert_eq!(mock.services(), services);
        assert_eq!(read("").unwrap(), Mock::default());
    }

    #[test]
    fn the_documentation_has_what_is_read() {
        let readme = include_str!("../../../README.md");
        let (_, about) = readme.split_once("in the file of `--mock`").expect("it is there");
        let (about, _) = about.split_once("### ").expect("a section follows");
        // The example has each key.
        let (_, example) = about.split_once("```toml\n").expect("there is an example");
        let (example, _) = example.split_once("```").expect("it ends");
        let mock = read(example).unwrap();
        assert_ne!(mock.faults, 0);
        let has = |key: &str| example.lines().any(|line| line.starts_with(&format!("{key} = ")));
        // One line of the table has the two directions of the clock.
        let is_said =
            |text: &str| about.lines().any(|line| line.starts_with('|') && line.contains(text));
        for key in ANSWER {
            assert!(has(key), "the example lacks `{key}`");
            assert!(is_said(&format!("`{key}`")), "the table lacks `{key}`");
        }
        let values = FAILURES.map(|(name, _)| name).into_iter().chain(STOPS.map(|(name, _)| name));
        for value in values {
            assert!(is_said(&format!("`\"{value}\"`")), "the table lacks `{value}`");
        }
        for service in SERVICES {
            assert!(is_said(&format!("`{service}`")), "the table lacks `{service}`");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        fn check(time: &str, seconds: Option<u64>) {
            let time: Datetime = time.parse().unwrap();
            assert_eq!(unix_nanoseconds(&time), seconds.map(|s| s * 1_000_000_000), "{time}");
        }
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T23:59:59Z", Some(951_868_799));
        check("2026-03-01T00:00:00-02:00", Some(1_772_330_400));
        check("2100-03-01T00:00:00Z", Some(4_107_542_400));
        check("1969-12-31T23:59:59Z", None);
        check("2026-01-01T00:00:00", None);
        check("2026-01-01", None);
        check("2600-01-01T00:00:00Z", None);
    }

    #[test]
    fn bad_mocks_say_what_is_wrong() {
        fn check(text: &str, expected: &str) {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        check("[nwo]", "unknown key `nwo` in the top level on line 1; did you mean `now`?");
        check("[now]", "[now] on line 1 lacks `fixed`");
        check("[now]\nfixed = 'noon'", "expected a time with an offset, or nanoseconds");
        check("[now]\nfixed = 2026-01-01", "line 2: `now.fixed`: 2026-01-01 is not between");
        check("[now]\nfixed = 1\nstep = 5", "line 3: `now.step`: expected a text");
        check("[random]", "lacks `seed`; write any whole number");
        check("[random]\nseed = -1", "line 2: `random.seed`: -1 is out of range");
        check("[kv]\na = 1", "line 2: `kv.a`: expected a text, found an integer");
        check("[kv]\na = { hex = '0' }", "`0` is not pairs of hexadecimal digits");
        check("[[answer]]\nfail = 'denied'", "[answer] on line 1 lacks `service`");
        check("[[answer]]\nservice = 'kv-gte'\nfail = 'denied'", "did you mean `kv-get`?");
        check(
            "[[answer]]\nservice = 'log'\nfail = 'denid'",
            "line 3: `answer.fail`: `denid` is none of denied, unavailable, limit; did you mean `denied`?",
        );
        check("[[answer]]\nservice = 'log'", "lacks `fail`; write what goes wrong");
        check(
            "[[answer]]\ncrash = 1",
            "unknown key `crash` in [answer] on line 2; there are service, plugin, call, one-in, fail, \
             delay, short, forward, back, stop",
        );
        let log = |key: &str| format!("[[answer]]\nservice = 'log'\n{key}");
        check(&log("stop = 'now'"), "line 3: `answer.stop`: `now` is none of crash, memory");
        check(&log("back = '60 s'"), "line 3: `answer.back`: only the service `now` has a clock");
        check(&log("one-in = 0\nshort = 1"), "`answer.one-in`: 0 is out of range");
        check("[faults]\nsede = 1", "did you mean `seed`?");
        check("[[function]]\ngives = 1", "[function] on line 1 lacks `name`; write the name of");
        check(
            "[[function]]\nname = 'a#b'\ngives = 1\n[[function]]\nname = 'a#b'\ngives = 2",
            "line 5: `function.name`: an entry before it has the same name",
        );
        check("[[function]]\nname = 'a#b#c'\ngives = 1", "`function.name`: `a#b#c` has 2 `#`");
        check("[[function]]\nname = 'a#b'", "lacks `gives`; write what it gives");
        check(
            "[[function]]\nname = 'a#b'\ngives = 1\nfail = 'denied'",
            "line 4: `function.fail`: a call gives something or fails",
        );
        check("[[function]]\nname = 'a#b'\ngives = { hex = '0' }", "`0` is not pairs of");
        check("[[answer]]\nservice = 'log'\nfail = 'limit'\ncall = 0", "0 is out of range");
    }
}
