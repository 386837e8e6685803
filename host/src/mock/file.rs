//! The text of a mock.

use std::time::Duration;

use glovebox_abi::ServiceError;
use toml::de::DeValue;
use toml::value::{Datetime, Offset};

use super::{Answer, Clock, Mock, SERVICES};
use crate::document::{self, DocumentError, Section, did_you_mean, nearest};

/// What a call can fail with, by the name in the file.
const FAILURES: [(&str, ServiceError); 3] = [
    ("denied", ServiceError::Denied),
    ("unavailable", ServiceError::Unavailable),
    ("limit", ServiceError::LimitExceeded),
];

pub(super) fn read(text: &str) -> Result<Mock, DocumentError> {
    let table = document::parse(text)?;
    let top = Section::top(text, &table);
    top.only(&["now", "random", "kv", "answer"])?;
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
    for section in top.sections("answer")? {
        mock.answers.push(answer(&section)?);
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
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => {
            Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        _ => Err(bytes.wrong("hex", format!("`{text}` is not pairs of hexadecimal digits"))),
    }
}

fn answer(section: &Section<'_>) -> Result<Answer, DocumentError> {
    section.only(&["service", "call", "fail", "delay"])?;
    let known = SERVICES.join(", ");
    let Some(service) = section.text("service")? else {
        return Err(section.missing("service", "write the name of a host service, e.g. \"kv-get\""));
    };
    let position = SERVICES.iter().position(|name| *name == service).ok_or_else(|| {
        let meant = did_you_mean(nearest(&service, SERVICES));
        section.wrong("service", format!("`{service}` is no host service ({known}){meant}"))
    })?;
    let fail = match section.text("fail")? {
        None => None,
        Some(name) => {
            let found = FAILURES.iter().find(|(known, _)| *known == name);
            let (_, error) = found.ok_or_else(|| {
                let names = FAILURES.map(|(name, _)| name);
                let meant = did_you_mean(nearest(&name, names));
                section.wrong("fail", format!("`{name}` is none of {}{meant}", names.join(", ")))
            })?;
            Some(*error)
        }
    };
    let delay = section.duration("delay")?;
    if fail.is_none() && delay.is_none() {
        return Err(section.missing("fail", "write what goes wrong: `fail`, `delay`, or both"));
    }
    Ok(Answer { service: position, call: section.number("call", 1)?, fail, delay })
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
        check("[[answer]]\nservice = 'log'\nfail = 'limit'\ncall = 0", "0 is out of range");
    }
}
