//! Values of headers and payloads, and what they are compared with.

use std::cmp::Ordering;
use std::io::Write;

use glovebox_abi::units;

use super::pattern::Search;
use crate::decode::{from_hex, hex};

/// A value that a path led to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Leaf<'a> {
    Number(Number),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Anything else, as JSON: `true`, `null`, `[1,2]`.
    Json(&'a str),
}

/// An integer that fits, or the nearest number with a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn to_f64(self) -> f64 {
        match self {
            Number::Integer(number) => number as f64,
            Number::Float(number) => number,
        }
    }

    fn compare(self, other: Number) -> Option<Ordering> {
        match (self, other) {
            (Number::Integer(left), Number::Integer(right)) => Some(left.cmp(&right)),
            _ => self.to_f64().partial_cmp(&other.to_f64()),
        }
    }

    /// Hands on the digits, as JSON has them.
    fn with_digits<T>(self, look: impl FnOnce(&[u8]) -> T) -> T {
        let number = match self {
            Number::Integer(number) => number,
            Number::Float(number) => {
                let shown = serde_json::Number::from_f64(number)
                    .map_or_else(|| number.to_string(), |number| number.to_string());
                return look(shown.as_bytes());
            }
        };
        let mut digits = [0; 40];
        let mut rest = &mut digits[..];
        // The longest 128-bit integer has 40 characters, so it fits.
        let _ = write!(rest, "{number}");
        let unused = rest.len();
        look(&digits[..digits.len() - unused])
    }
}

/// A value as it stands in a filter: it may mean a text, a number or bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Literal {
    pub text: String,
    number: Option<Number>,
    bytes: Option<Vec<u8>>,
}

impl Literal {
    pub(super) fn new(text: impl Into<String>) -> Literal {
        let text = text.into();
        Literal {
            number: read_number(&text),
            bytes: text.strip_prefix("hex:").and_then(from_hex),
            text,
        }
    }

    /// How a value stands to this one; `None` if they cannot be compared.
    fn order_of(&self, leaf: Leaf<'_>) -> Option<Ordering> {
        match leaf {
            Leaf::Number(number) => number.compare(self.number?),
            Leaf::Text(text) | Leaf::Json(text) => Some(text.cmp(&self.text)),
            Leaf::Bytes(bytes) => Some(bytes.cmp(self.bytes.as_ref()?)),
        }
    }

    /// How this stands to another that ends a range with it.
    pub(super) fn order_to(&self, other: &Literal) -> Ordering {
        match (self.number, other.number) {
            (Some(left), Some(right)) => left.compare(right).unwrap_or(Ordering::Equal),
            _ => self.text.cmp(&other.text),
        }
    }
}

/// Digits, perhaps with a fraction, an exponent, or a unit of sizes.
fn read_number(text: &str) -> Option<Number> {
    let first = text.strip_prefix('-').unwrap_or(text).bytes().next()?;
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    let integer = text.parse().ok().map(Number::Integer);
    let float = || text.parse().ok().map(Number::Float);
    let size = || units::parse_size(text).ok().map(|size| Number::Integer(size.into()));
    integer.or_else(float).or_else(size)
}

/// How a value is to stand to a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Order {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Order::Equal => "=",
            Order::Greater => ">",
            Order::GreaterOrEqual => ">=",
            Order::Less => "<",
            Order::LessOrEqual => "<=",
        }
    }

    fn accepts(self, order: Ordering) -> bool {
        match self {
            Order::Equal => order.is_eq(),
            Order::Greater => order.is_gt(),
            Order::GreaterOrEqual => order.is_ge(),
            Order::Less => order.is_lt(),
            Order::LessOrEqual => order.is_le(),
        }
    }
}

/// What a value is to fulfil.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ValueTest {
    Compare(Order, Literal),
    Among(Vec<Member>),
    /// Bytes are searched in their text form.
    Contains(Search),
    /// Bytes are searched as they are.
    Pattern(Search),
}

/// What stands in a set.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Member {
    One(Literal),
    /// Both ends belong to it; one that is missing is open.
    Range(Option<Literal>, Option<Literal>),
}

impl ValueTest {
    pub(super) fn holds(&self, leaf: Leaf<'_>) -> bool {
        match self {
            ValueTest::Compare(order, wanted) => {
                wanted.order_of(leaf).is_some_and(|found| order.accepts(found))
            }
            ValueTest::Among(members) => members.iter().any(|member| member.holds(leaf)),
            ValueTest::Contains(search) => match leaf {
                Leaf::Bytes(bytes) => search.found_in(format!("hex:{}", hex(bytes)).as_bytes()),
                leaf => found_in(search, leaf),
            },
            ValueTest::Pattern(search) => found_in(search, leaf),
        }
    }
}

fn found_in(search: &Search, leaf: Leaf<'_>) -> bool {
    match leaf {
        Leaf::Text(text) | Leaf::Json(text) => search.found_in(text.as_bytes()),
        Leaf::Bytes(bytes) => search.found_in(bytes),
        Leaf::Number(number) => number.with_digits(|digits| search.found_in(digits)),
    }
}

impl Member {
    fn holds(&self, leaf: Leaf<'_>) -> bool {
        let is = |order: Order, end: &Literal| {
            end.order_of(leaf).is_some_and(|found| order.accepts(found))
        };
        match self {
            Member::One(wanted) => is(Order::Equal, wanted),
            Member::Range(first, last) => {
                first.as_ref().is_none_or(|first| is(Order::GreaterOrEqual, first))
                    && last.as_ref().is_none_or(|last| is(Order::LessOrEqual, last))
            }
        }
    }
}
