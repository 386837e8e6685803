//! Does a frame fulfil a condition?

use serde_json::Value as Json;

use super::{Expression, Operator, Subject, Test, WantedStatus};
use crate::decode;

pub(super) fn matches(expression: &Expression, subject: &Subject<'_>) -> bool {
    match expression {
        Expression::All(parts) => parts.iter().all(|part| matches(part, subject)),
        Expression::Any(parts) => parts.iter().any(|part| matches(part, subject)),
        Expression::Not(part) => !matches(part, subject),
        Expression::Test(test) => test.holds(subject),
    }
}

impl Test {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Test::Plugin(operator, wanted) => compare_text(subject.plugin, *operator, wanted),
            Test::Kind(kind) => subject.frame.kind == *kind,
            Test::Direction(direction) => subject.direction == *direction,
            Test::Status(wanted) => match wanted {
                WantedStatus::Pending => subject.outcome.is_none(),
                WantedStatus::Error => subject.outcome.is_some_and(|found| !found.is_completed()),
                WantedStatus::Denied => subject.denied,
                WantedStatus::Outcome(name) => {
                    subject.outcome.is_some_and(|found| found.name() == *name)
                }
            },
            Test::Latency(operator, wanted) => {
                subject.latency.is_some_and(|found| compare(&found, *operator, wanted))
            }
            Test::Size(operator, wanted) => {
                compare(&(subject.frame.encoded_len() as u64), *operator, wanted)
            }
            Test::Call(operator, wanted) => compare(&subject.call.0, *operator, wanted),
            Test::Generation(operator, wanted) => {
                compare(&u64::from(subject.generation), *operator, wanted)
            }
            Test::Header(path, operator, wanted) => {
                // The cheap test first: most frames have no header at all.
                !subject.frame.header.as_bytes().is_empty()
                    && compare_path(&decode::header_json(subject.frame), path, *operator, wanted)
            }
            Test::Payload(path, operator, wanted) => decode::payload_json(subject.frame)
                .is_some_and(|json| compare_path(&json, path, *operator, wanted)),
            Test::Text(wanted) => {
                contains(subject.frame.header.as_bytes(), wanted.as_bytes())
                    || contains(&subject.frame.payload, wanted.as_bytes())
            }
        }
    }
}

fn compare<T: PartialOrd>(found: &T, operator: Operator, wanted: &T) -> bool {
    match operator {
        Operator::Contains | Operator::Equal => found == wanted,
        Operator::Greater => found > wanted,
        Operator::GreaterOrEqual => found >= wanted,
        Operator::Less => found < wanted,
        Operator::LessOrEqual => found <= wanted,
    }
}

fn compare_text(found: &str, operator: Operator, wanted: &str) -> bool {
    match operator {
        Operator::Contains => contains(found.as_bytes(), wanted.to_lowercase().as_bytes()),
        _ => compare(&found, operator, &wanted),
    }
}

fn compare_path(json: &Json, path: &[String], operator: Operator, wanted: &str) -> bool {
    let Some(found) = path.iter().try_fold(json, |json, key| step(json, key)) else {
        return false;
    };
    match found {
        Json::String(text) => compare_text(text, operator, wanted),
        Json::Number(number) if operator != Operator::Contains => {
            match (number.as_f64(), wanted.parse()) {
                (Some(found), Ok(wanted)) => compare::<f64>(&found, operator, &wanted),
                _ => false,
            }
        }
        other => compare_text(&other.to_string(), operator, wanted),
    }
}

fn step<'a>(json: &'a Json, key: &str) -> Option<&'a Json> {
    match json {
        Json::Object(entries) => entries.get(key),
        Json::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    }
}

/// True if `wanted`, in lower case, stands somewhere in `bytes`, in any case of ASCII letters.
fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else {
        return true;
    };
    let upper = first.to_ascii_uppercase();
    let last_start = bytes.len().saturating_sub(rest.len());
    bytes[..last_start].iter().enumerate().any(|(at, byte)| {
        (byte == first || *byte == upper)
            && bytes[at + 1..at + wanted.len()].eq_ignore_ascii_case(rest)
    })
}
