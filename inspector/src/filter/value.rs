//! Tests of values in headers and payloads.

use std::cmp::Ordering;
use std::io::Write;

use glovebox_abi::units;
use glovebox_trace::index::HeaderValue;

use super::pattern::Search;
use crate::decode::hex;
use crate::decode::number::Decimal;

/// A value that a path led to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Leaf<'a> {
    Number(Number<'a>),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Anything else, as JSON: `true`, `null`, `[1,2]`.
    Json(&'a str),
}

/// A number, exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number<'a> {
    Integer(i128),
    /// Stands for the shortest decimal number that means it.
    Float(f64),
    /// As JSON has it, of any length.
    Written(&'a str),
}

impl Number<'_> {
    /// `None` if one of them is no number after all.
    fn compare(self, other: Number<'_>) -> Option<Ordering> {
        // To look for it is the only thing to do with what is no number; it stands before and after none.
        if let (Number::Float(left), Number::Float(right)) = (self, other)
            && left.is_nan()
            && right.is_nan()
        {
            return Some(Ordering::Equal);
        }
        if let (Some(left), Some(right)) = (self.as_integer(), other.as_integer()) {
            return Some(left.cmp(&right));
        }
        // Texts that round to different floats stand to each other as the floats do. Those that
        // round to the same one can still be different.
        let floats = self.nearest().partial_cmp(&other.nearest())?;
        if floats.is_ne() {
            return Some(floats);
        }
        self.with_digits(|left| {
            other.with_digits(|right| match (Decimal::parse(left), Decimal::parse(right)) {
                (Some(left), Some(right)) => left.compare(right),
                // Both are infinite, or one only rounds to that.
                (None, None) => floats,
                (Some(_), None) => 0.0_f64.total_cmp(&other.nearest()),
                (None, Some(_)) => self.nearest().total_cmp(&0.0),
            })
        })
        .into()
    }

    fn as_integer(self) -> Option<i128> {
        match self {
            Number::Integer(number) => Some(number),
            Number::Float(_) => None,
            Number::Written(text) => text.parse().ok(),
        }
    }

    fn nearest(self) -> f64 {
        match self {
            Number::Integer(number) => number as f64,
            Number::Float(number) => number,
            Number::Written(text) => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// Hands on the digits, as JSON has them.
    fn with_digits<T>(self, look: impl FnOnce(&[u8]) -> T) -> T {
        let number = match self {
            Number::Integer(number) => number,
            Number::Written(text) => return look(text.as_bytes()),
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
    number: Option<Meaning>,
    bytes: Option<Vec<u8>>,
    /// It has an order among texts too: it is no number, or stands in quotes.
    orders_texts: bool,
}

/// The number that a text means.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meaning {
    Integer(i128),
    /// The one that is written there.
    Itself,
    /// Those that no digits write.
    NotANumber,
    Infinity,
    MinusInfinity,
}

impl Literal {
    pub(super) fn new(text: impl Into<String>, quoted: bool) -> Literal {
        let text = text.into();
        let number = read_number(&text);
        Literal {
            orders_texts: quoted || !matches!(number, Some(Meaning::Integer(_) | Meaning::Itself)),
            number,
            bytes: text.strip_prefix(hex::PREFIX).and_then(|digits| hex::decode(digits).ok()),
            text,
        }
    }

    fn number(&self) -> Option<Number<'_>> {
        Some(match self.number? {
            Meaning::Integer(number) => Number::Integer(number),
            Meaning::Itself => Number::Written(&self.text),
            Meaning::NotANumber => Number::Float(f64::NAN),
            Meaning::Infinity => Number::Float(f64::INFINITY),
            Meaning::MinusInfinity => Number::Float(f64::NEG_INFINITY),
        })
    }

    /// True if it means something else without its quotes.
    pub(super) fn needs_quotes(&self) -> bool {
        self.orders_texts && matches!(self.number, Some(Meaning::Integer(_) | Meaning::Itself))
    }

    /// True if a value stands to this one in the order. Only numbers stand before or after a number,
    /// and only texts before or after a text.
    fn is_met(&self, order: Order, leaf: Leaf<'_>) -> bool {
        let has_order = match leaf {
            Leaf::Number(_) | Leaf::Bytes(_) => true,
            Leaf::Text(_) => self.orders_texts,
            Leaf::Json(_) => false,
        };
        (order == Order::Equal || has_order)
            && self.order_of(leaf).is_some_and(|found| order.accepts(found))
    }

    /// How a value stands to this one; `None` if they cannot be compared.
    fn order_of(&self, leaf: Leaf<'_>) -> Option<Ordering> {
        match leaf {
            Leaf::Number(number) => number.compare(self.number()?),
            Leaf::Text(text) | Leaf::Json(text) => Some(text.cmp(&self.text)),
            Leaf::Bytes(bytes) => Some(bytes.cmp(self.bytes.as_ref()?)),
        }
    }

    /// How this stands to another that ends a range with it.
    pub(super) fn order_to(&self, other: &Literal) -> Ordering {
        match (self.number(), other.number()) {
            (Some(left), Some(right)) => left.compare(right).unwrap_or(Ordering::Equal),
            _ => self.text.cmp(&other.text),
        }
    }
}

/// Digits, perhaps with a fraction, an exponent, or a unit of sizes; or the numbers of CBOR that no digits
/// write, by the names that they are shown and exported with.
fn read_number(text: &str) -> Option<Meaning> {
    match text {
        "NaN" => return Some(Meaning::NotANumber),
        "inf" | "Infinity" => return Some(Meaning::Infinity),
        "-inf" | "-Infinity" => return Some(Meaning::MinusInfinity),
        _ => {}
    }
    let first = text.strip_prefix('-').unwrap_or(text).bytes().next()?;
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    let integer = text.parse().ok().map(Meaning::Integer);
    let decimal = || Decimal::parse(text.as_bytes()).map(|_| Meaning::Itself);
    let size = || units::parse_size(text).ok().map(|size| Meaning::Integer(size.into()));
    integer.or_else(decimal).or_else(size)
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

/// The test that a value must pass.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ValueTest {
    Compare(Order, Literal),
    Among(Vec<Member>),
    /// Bytes are searched in their text form.
    Contains(Search),
    /// Bytes are searched as they are.
    Pattern(Search),
}

/// A member of a set.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Member {
    One(Literal),
    /// Both ends belong to it; one that is missing is open.
    Range(Option<Literal>, Option<Literal>),
}

impl ValueTest {
    /// The texts and integers of which one must stand where this holds; `None` if anything else may.
    pub(super) fn wanted(&self) -> Option<Vec<HeaderValue<'_>>> {
        let literals: Vec<&Literal> = match self {
            ValueTest::Compare(Order::Equal, literal) => vec![literal],
            ValueTest::Among(members) => members.iter().map(Member::one).collect::<Option<_>>()?,
            _ => return None,
        };
        let mut wanted = Vec::new();
        for literal in literals {
            match literal.number {
                // `1e3` is 1000, and maps are compared as their JSON.
                Some(
                    Meaning::Itself
                    | Meaning::NotANumber
                    | Meaning::Infinity
                    | Meaning::MinusInfinity,
                ) => return None,
                None if literal.text.starts_with('{') => return None,
                Some(Meaning::Integer(number)) => wanted.push(HeaderValue::Integer(number)),
                None => {}
            }
            wanted.push(HeaderValue::Text(&literal.text));
        }
        Some(wanted)
    }

    pub(super) fn holds(&self, leaf: Leaf<'_>) -> bool {
        match self {
            ValueTest::Compare(order, wanted) => wanted.is_met(*order, leaf),
            ValueTest::Among(members) => members.iter().any(|member| member.holds(leaf)),
            ValueTest::Contains(search) => match leaf {
                Leaf::Bytes(bytes) => {
                    search.found_in(format!("{}{}", hex::PREFIX, hex::encode(bytes)).as_bytes())
                }
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
    /// The value, if it is only one.
    fn one(&self) -> Option<&Literal> {
        match self {
            Member::One(literal) => Some(literal),
            Member::Range(..) => None,
        }
    }

    fn holds(&self, leaf: Leaf<'_>) -> bool {
        match self {
            Member::One(wanted) => wanted.is_met(Order::Equal, leaf),
            Member::Range(first, last) => {
                first.as_ref().is_none_or(|first| first.is_met(Order::GreaterOrEqual, leaf))
                    && last.as_ref().is_none_or(|last| last.is_met(Order::LessOrEqual, leaf))
            }
        }
    }
}
