//! The parts of a filter, and how they are written down again.
//!
//! There is one form, which is read, evaluated and printed: patterns in it are compiled already,
//! numbers are spans, and names are sets of bits.

use std::fmt;

use super::path::{Path, Quoted};
use super::pattern::{Pattern, Search};
use super::value::{Literal, Member, ValueTest};
use glovebox_events::Direction;
use glovebox_trace::{Directions, Kinds, Numbers, Statuses};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Condition(Condition),
}

/// One condition. `!=` and `!~` are negated ones and do not appear here.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    Plugin(NameTest),
    Version(NameTest),
    Kind(Kinds),
    Direction(Directions),
    /// One of these, `denied` and `injected` included.
    Status(Statuses),
    /// In one of the spans.
    Number(NumberField, Vec<Numbers>),
    Value(Root, Path, ValueTest),
    Search(Place, Search),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum NameTest {
    Among(Vec<String>),
    Search(Search),
}

/// A field that is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberField {
    /// In nanoseconds.
    Latency,
    /// In nanoseconds since the first event.
    Time,
    /// In bytes.
    Size,
    Call,
    Instance,
    Generation,
}

impl NumberField {
    pub(super) fn name(self) -> &'static str {
        match self {
            NumberField::Latency => "latency",
            NumberField::Time => "time",
            NumberField::Size => "size",
            NumberField::Call => "call",
            NumberField::Instance => "instance",
            NumberField::Generation => "gen",
        }
    }

    /// A number as the field reads it.
    fn show(self, number: u64) -> String {
        match self {
            NumberField::Latency | NumberField::Time => {
                let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
                let exact = units.into_iter().find(|(factor, _)| number.is_multiple_of(*factor));
                let (factor, unit) = exact.unwrap_or((1, "ns"));
                format!("{}{unit}", number / factor)
            }
            _ => number.to_string(),
        }
    }
}

/// The root of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Header,
    Payload(Format),
}

impl Root {
    pub(super) fn name(self) -> &'static str {
        match self {
            Root::Header => "header",
            Root::Payload(Format::Any) => "payload",
            Root::Payload(Format::Json) => "json",
            Root::Payload(Format::Cbor) => "cbor",
        }
    }
}

/// The format that a payload must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Any,
    Json,
    Cbor,
}

/// Where bytes are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Header,
    Payload,
}

impl Place {
    pub(super) fn name(self) -> &'static str {
        match self {
            Place::Anywhere => "text",
            Place::Header => "header",
            Place::Payload => "payload",
        }
    }
}

impl Expression {
    /// The expression that matches everything.
    pub(super) fn everything() -> Expression {
        Expression::All(Vec::new())
    }

    /// All must hold; one alone stands for itself.
    pub(super) fn all(mut parts: Vec<Expression>) -> Expression {
        if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) }
    }

    /// One must hold; one alone stands for itself.
    pub(super) fn any(mut parts: Vec<Expression>) -> Expression {
        if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) }
    }
}

impl fmt::Display for Expression {
    /// As a text that reads as the same expression.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separated = |formatter: &mut fmt::Formatter<'_>, parts: &[Expression], word| {
            for (position, part) in parts.iter().enumerate() {
                if position > 0 {
                    formatter.write_str(word)?;
                }
                let alone = match part {
                    Expression::All(parts) => parts.len() > 1 && word == " or ",
                    Expression::Any(_) => false,
                    Expression::Not(_) | Expression::Condition(_) => true,
                };
                if alone { write!(formatter, "{part}") } else { write!(formatter, "({part})") }?;
            }
            Ok(())
        };
        match self {
            Expression::All(parts) => separated(formatter, parts, " "),
            Expression::Any(parts) => separated(formatter, parts, " or "),
            Expression::Not(part) => match **part {
                Expression::Not(_) | Expression::Condition(_) => write!(formatter, "not {part}"),
                Expression::All(_) | Expression::Any(_) => write!(formatter, "not ({part})"),
            },
            Expression::Condition(condition) => condition.fmt(formatter),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Plugin(test) => name(formatter, "plugin", test),
            Condition::Version(test) => name(formatter, "version", test),
            Condition::Kind(kinds) => set(formatter, "kind", kind_runs(kinds).into_iter()),
            Condition::Direction(directions) => {
                let both = [Direction::In, Direction::Out].into_iter();
                let there = both.filter(|one| directions.overlaps(Directions::of(*one)));
                set(formatter, "dir", there.map(|one| one.name().to_owned()))
            }
            Condition::Status(statuses) => {
                set(formatter, "status", statuses.shown().map(str::to_owned))
            }
            Condition::Number(field, spans) => number(formatter, *field, spans),
            Condition::Value(root, path, test) => {
                write!(formatter, "{}{path}", root.name())?;
                match test {
                    ValueTest::Compare(order, literal) => {
                        write!(formatter, "{}{literal}", order.symbol())
                    }
                    ValueTest::Among(members) => {
                        let shown: Vec<_> = members.iter().map(Member::to_string).collect();
                        write!(formatter, " in {{{}}}", shown.join(", "))
                    }
                    ValueTest::Contains(search) | ValueTest::Pattern(search) => {
                        write!(formatter, "{}", Searched(search))
                    }
                }
            }
            Condition::Search(place, search) => {
                write!(formatter, "{}{}", place.name(), Searched(search))
            }
        }
    }
}

fn name(formatter: &mut fmt::Formatter<'_>, field: &str, test: &NameTest) -> fmt::Result {
    match test {
        NameTest::Among(names) => {
            set(formatter, field, names.iter().map(|name| Word(name).to_string()))
        }
        NameTest::Search(search) => write!(formatter, "{field}{}", Searched(search)),
    }
}

fn set(
    formatter: &mut fmt::Formatter<'_>,
    field: &str,
    shown: impl Iterator<Item = String>,
) -> fmt::Result {
    let shown: Vec<_> = shown.collect();
    match shown.as_slice() {
        [only] if !only.contains("..") || only.starts_with('"') => {
            write!(formatter, "{field}={only}")
        }
        [range] => write!(formatter, "{field} in {range}"),
        several => write!(formatter, "{field} in {{{}}}", several.join(", ")),
    }
}

/// Kinds that follow each other as ranges.
fn kind_runs(kinds: &Kinds) -> Vec<String> {
    let mut runs: Vec<(glovebox_abi::Kind, glovebox_abi::Kind)> = Vec::new();
    for kind in kinds.iter() {
        match runs.last_mut() {
            Some((_, last)) if last.0.checked_add(1) == Some(kind.0) => *last = kind,
            _ => runs.push((kind, kind)),
        }
    }
    let show = |(first, last): (glovebox_abi::Kind, glovebox_abi::Kind)| {
        if first == last { first.to_string() } else { format!("{first}..{last}") }
    };
    runs.into_iter().map(show).collect()
}

fn number(
    formatter: &mut fmt::Formatter<'_>,
    field: NumberField,
    spans: &[Numbers],
) -> fmt::Result {
    let name = field.name();
    let show = |number| field.show(number);
    let member = |span: &Numbers| match (span.first, span.last) {
        (first, last) if first == last => show(first),
        (first, u64::MAX) => format!("{}..", show(first)),
        (0, last) => format!("..{}", show(last)),
        (first, last) => format!("{}..{}", show(first), show(last)),
    };
    match spans {
        [span] if span.is_empty() => write!(formatter, "{name}<{}", show(0)),
        [span] if span.first == span.last => write!(formatter, "{name}={}", show(span.first)),
        [span] if span.last == u64::MAX => write!(formatter, "{name}>={}", show(span.first)),
        [span] if span.first == 0 => write!(formatter, "{name}<={}", show(span.last)),
        [span] => write!(formatter, "{name} in {}", member(span)),
        spans => {
            let shown: Vec<_> = spans.iter().map(member).collect();
            write!(formatter, "{name} in {{{}}}", shown.join(", "))
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.needs_quotes() {
            true => Quoted(&self.text).fmt(formatter),
            false => Word(&self.text).fmt(formatter),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Member::One(literal) => literal.fmt(formatter),
            Member::Range(first, last) => {
                let show = |end: &Option<Literal>| {
                    end.as_ref().map_or_else(String::new, Literal::to_string)
                };
                write!(formatter, "{}..{}", show(first), show(last))
            }
        }
    }
}

/// A value: in quotes where it would be read as something else without.
pub(super) struct Word<'a>(pub &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_alphanumeric() || "-_./@+*$#".contains(c);
        // A dot at an end could become one of the two of a range.
        let is_range = self.0.contains("..") || self.0.starts_with('.') || self.0.ends_with('.');
        if !self.0.is_empty() && self.0.chars().all(plain) && !is_range {
            formatter.write_str(self.0)
        } else {
            Quoted(self.0).fmt(formatter)
        }
    }
}

/// Operator and pattern.
struct Searched<'a>(&'a Search);

impl fmt::Display for Searched<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.pattern() {
            Pattern::Contains(text) => write!(formatter, ":{}", Word(text)),
            Pattern::Exact(text) => write!(formatter, " ~ {}", Quoted(text)),
            Pattern::Regex { source, any_case } => {
                write!(formatter, " ~ /{source}/{}", if *any_case { "i" } else { "" })
            }
            Pattern::Bytes(bytes) => {
                formatter.write_str(" ~ hex:\"")?;
                for (position, byte) in bytes.iter().enumerate() {
                    if position > 0 {
                        formatter.write_str(" ")?;
                    }
                    let digits = format!("{:02x}", byte.value);
                    let [high, low] = [byte.mask >> 4, byte.mask & 0xF].map(|mask| mask != 0);
                    write!(formatter, "{}", if high { &digits[..1] } else { "?" })?;
                    write!(formatter, "{}", if low { &digits[1..] } else { "?" })?;
                }
                formatter.write_str("\"")
            }
        }
    }
}
