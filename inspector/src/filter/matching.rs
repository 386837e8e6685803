//! Does a frame fulfil a condition?

use super::expression::{Condition, Expression, NameTest, NumberField, Place, Root};
use super::{Subject, seek};
use glovebox_trace::Directions;

pub(super) fn matches(expression: &Expression, subject: &Subject<'_>) -> bool {
    match expression {
        Expression::All(parts) => parts.iter().all(|part| matches(part, subject)),
        Expression::Any(parts) => parts.iter().any(|part| matches(part, subject)),
        Expression::Not(part) => !matches(part, subject),
        Expression::Condition(condition) => condition.holds(subject),
    }
}

impl Condition {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Condition::Plugin(test) => test.holds(subject.plugin),
            // A version that nobody knows is none of those that are named.
            Condition::Version(test) => !subject.version.is_empty() && test.holds(subject.version),
            Condition::Kind(kinds) => kinds.contains(subject.kind),
            Condition::Direction(directions) => {
                directions.overlaps(Directions::of(subject.direction))
            }
            Condition::Status(statuses) => statuses.overlaps(subject.status),
            Condition::Number(field, spans) => field
                .of(subject)
                .is_some_and(|number| spans.iter().any(|span| span.contains(number))),
            Condition::Value(Root::Header, path, test) => {
                seek::header_holds(subject.header, path, test)
            }
            Condition::Value(Root::Payload(format), path, test) => {
                seek::payload_holds(subject.header, subject.payload, *format, path, test)
            }
            Condition::Search(place, search) => match place {
                Place::Anywhere => {
                    search.found_in(subject.header) || search.found_in(subject.payload)
                }
                Place::Header => search.found_in(subject.header),
                Place::Payload => search.found_in(subject.payload),
            },
        }
    }
}

impl NameTest {
    pub(super) fn holds(&self, found: &str) -> bool {
        match self {
            NameTest::Among(names) => names.iter().any(|name| name == found),
            NameTest::Search(search) => search.found_in(found.as_bytes()),
        }
    }
}

impl NumberField {
    fn of(self, subject: &Subject<'_>) -> Option<u64> {
        match self {
            NumberField::Latency => subject.latency.map(super::nanoseconds),
            NumberField::Time => Some(super::nanoseconds(subject.time)),
            NumberField::Size => Some(subject.size()),
            NumberField::Call => Some(subject.call.0),
            NumberField::Instance => Some(subject.instance),
            NumberField::Generation => Some(subject.generation.into()),
        }
    }
}
