//! JSON to CBOR and back: headers and host calls as people write and read them.

use std::collections::BTreeMap;

use super::document::{Document, Item, Malformed, Sort};
use super::exact::Json;
use super::hex;
use super::number::Decimal;
use super::print::{Style, print};
use glovebox_abi::Header;
use glovebox_abi::cbor::{MAX_DEPTH, Value};

/// Characters shown of a number that does not fit.
const SHOWN: usize = 40;

/// JSON that cannot be made CBOR without a loss.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FromJsonError {
    /// It is no JSON.
    #[error("no JSON: {0}")]
    Malformed(#[from] Malformed),
    /// It is JSON, but no object.
    #[error("expected an object, e.g. {{\"id\": \"a\"}}")]
    NoObject,
    /// A number is outside of the whole numbers that CBOR holds, or would be rounded.
    #[error("the number {number}{} {}; write it as a text", at(.path), reason(*.is_whole))]
    Number {
        /// The number, cut to 40 characters.
        number: String,
        /// True if it is written as a whole number.
        is_whole: bool,
        /// Where it stands in the value, as `/key/0`; empty if it is the value.
        path: String,
    },
    /// A text is no Unicode.
    #[error("the text {text} has half of a surrogate pair; write the whole character")]
    Text {
        /// The text as it was written, cut to 40 characters.
        text: String,
    },
    /// It nests too deeply.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at `{path}`") }
}

fn reason(is_whole: bool) -> &'static str {
    match is_whole {
        true => "does not fit: whole numbers go from -18446744073709551616 to 18446744073709551615",
        false => "does not fit into 64 bits and would be rounded",
    }
}

impl FromJsonError {
    /// The same, of a value that stands at this key or place in another.
    pub(super) fn below(mut self, place: &str) -> FromJsonError {
        if let FromJsonError::Number { path, .. } = &mut self {
            let place = place.replace('~', "~0").replace('/', "~1");
            path.insert_str(0, &format!("/{}", cut(&place)));
        }
        self
    }
}

/// A CBOR value as JSON: byte strings become `hex:…` texts, keys become texts, tags are dropped,
/// and numbers that JSON or [`from_json`] does not have become texts.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Plain(serde_json::Value::Null),
        Value::Bool(value) => (*value).into(),
        Value::Integer(number) if is_of_cbor(*number) => Json::integer(*number),
        Value::Integer(number) => number.to_string().into(),
        Value::Float(number) => match serde_json::Number::from_f64(*number) {
            Some(number) => number.into(),
            None => number.to_string().into(),
        },
        Value::Text(text) => text.as_str().into(),
        Value::Bytes(bytes) => format!("{}{}", hex::PREFIX, hex::encode(bytes)).into(),
        Value::Array(items) => Json::List(items.iter().map(to_json).collect()),
        Value::Map(entries) => {
            let mut object = BTreeMap::new();
            for (key, value) in entries {
                // Of a key that is there twice, the first counts, as in `Header::get`.
                object.entry(key_text(key)).or_insert_with(|| to_json(value));
            }
            Json::Map(object)
        }
        Value::Tag(tag, value) => match large_integer(*tag, value) {
            Some(number) => number.to_string().into(),
            None => to_json(value),
        },
        Value::Simple(number) => format!("simple({number})").into(),
    }
}

/// True of the whole numbers that CBOR has without a tag.
fn is_of_cbor(number: i128) -> bool {
    (-(1i128 << 64)..1 << 64).contains(&number)
}

/// A tagged integer beyond 64 bits (RFC 8949, section 3.4.3), if 128 bits hold it.
fn large_integer(tag: u64, value: &Value) -> Option<i128> {
    let Value::Bytes(bytes) = value else { return None };
    if !(2..=3).contains(&tag) || bytes.len() > size_of::<i128>() {
        return None;
    }
    let joined = bytes.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    let number = i128::try_from(joined).ok()?;
    Some(if tag == 2 { number } else { -1 - number })
}

/// True if two values say the same, whatever the order of keys: JSON objects here sort theirs.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    let (one, other) = (one.to_bytes(), other.to_bytes());
    let text = |bytes: &[u8]| {
        let document = Document::cbor(bytes).ok()?;
        Some(print(document.root(), Style::EXACT))
    };
    one == other || text(&one) == text(&other)
}

/// A key as a text.
pub(crate) fn key_text(key: &Value) -> String {
    match to_json(key) {
        Json::Plain(serde_json::Value::String(text)) => text,
        other => other.to_string(),
    }
}

/// JSON as a CBOR value, keys in their order; `hex:…` texts become byte strings. A number with
/// an exponent (`1e2`, `1.5e3`) is an integer if it is a whole one of at most 64 bits; any other with an
/// exponent or a point (`100.0`) is a float.
///
/// # Errors
///
/// If it is no JSON, or something in it cannot be held exactly.
pub fn from_json(text: &str) -> Result<Value, FromJsonError> {
    to_value(Document::json(text.as_bytes())?.root())
}

/// A JSON object as a header, keys in their order; `hex:…` texts become byte strings.
///
/// # Errors
///
/// As [`from_json`], and if it is no object.
pub fn header_from_json(text: &str) -> Result<Header, FromJsonError> {
    match from_json(text)? {
        Value::Map(entries) => Ok(Header::from_entries(entries)),
        _ => Err(FromJsonError::NoObject),
    }
}

/// An item of JSON as a CBOR value.
pub(crate) fn to_value(item: Item<'_>) -> Result<Value, FromJsonError> {
    value_at(item, Texts::MayBeBytes, 1)
}

/// The same, but every text stays one.
pub(crate) fn to_value_of_texts(item: Item<'_>) -> Result<Value, FromJsonError> {
    value_at(item, Texts::AreTexts, 1)
}

/// The meaning of a text such as `hex:00`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Texts {
    MayBeBytes,
    AreTexts,
}

/// The bytes of a text such as `hex:00`.
pub(crate) fn bytes_of_text(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix(hex::PREFIX)?).ok()
}

fn value_at(item: Item<'_>, texts: Texts, depth: usize) -> Result<Value, FromJsonError> {
    if depth > MAX_DEPTH {
        return Err(FromJsonError::TooDeep);
    }
    let inner = |item| value_at(item, texts, depth + 1);
    Ok(match item.sort() {
        Sort::Map => {
            let entries = item.entries().map(|(key, value)| {
                let key = text(key)?;
                let value = inner(value).map_err(|error| error.below(&key))?;
                Ok((Value::Text(key), value))
            });
            Value::Map(entries.collect::<Result<_, FromJsonError>>()?)
        }
        Sort::List => {
            let items = item.children().enumerate();
            let items =
                items.map(|(at, item)| inner(item).map_err(|error| error.below(&at.to_string())));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Sort::Text => {
            let text = text(item)?;
            match bytes_of_text(&text) {
                Some(bytes) if texts == Texts::MayBeBytes => Value::Bytes(bytes),
                _ => Value::Text(text),
            }
        }
        Sort::Number => number(&item.word())?,
        _ => match &*item.word() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::Null,
        },
    })
}

pub(super) fn text(item: Item<'_>) -> Result<String, FromJsonError> {
    String::from_utf8(item.content().into_owned())
        .map_err(|_| FromJsonError::Text { text: cut(&String::from_utf8_lossy(item.raw())) })
}

fn number(text: &str) -> Result<Value, FromJsonError> {
    let is_whole = !text.contains(['.', 'e', 'E']) && text != "-0";
    let wrong = || FromJsonError::Number { number: cut(text), is_whole, path: String::new() };
    if is_whole {
        let number: i128 = text.parse().map_err(|_| wrong())?;
        return if is_of_cbor(number) { Ok(Value::Integer(number)) } else { Err(wrong()) };
    }
    let decimal = Decimal::parse(text.as_bytes()).ok_or_else(wrong)?;
    // An exponent is a way to write an integer as well; a point alone says that it is none.
    if text.contains(['e', 'E'])
        && let Some(number) = decimal.integer()
    {
        return Ok(Value::Integer(number));
    }
    let float: f64 = text.parse().map_err(|_| wrong())?;
    if decimal.is_float(float) { Ok(Value::Float(float)) } else { Err(wrong()) }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_equal_keys_counts() {
        let entry = |text: &str| (Value::Text("target".to_owned()), Value::Text(text.to_owned()));
        let header = Header::from_entries(vec![entry("a"), entry("b")]);
        let shown = to_json(&Value::decode(header.as_bytes()).unwrap()).get("target").unwrap();
        assert_eq!(shown, header.get_text(Header::TARGET).unwrap().into());
    }

    #[test]
    fn whole_numbers_are_numbers_and_read_back() {
        #[track_caller]
        fn check(number: i128, is_number: bool) {
            let value = Value::Array(vec![Value::Integer(number)]);
            let json = to_json(&value);
            let quote = if is_number { "" } else { "\"" };
            assert_eq!(json.to_string(), format!("[{quote}{number}{quote}]"));
            assert_eq!(format!("{json:#}"), format!("[\n  {quote}{number}{quote}\n]"));
            let again = from_json(&json.to_string()).unwrap();
            assert_eq!(again == value, is_number, "{again:?}");
            let key = Value::Map(vec![(Value::Integer(number), Value::Null)]);
            assert_eq!(to_json(&key).to_string(), format!("{{\"{number}\":null}}"));
        }
        check(0, true);
        check(i64::MIN.into(), true);
        check(i128::from(i64::MIN) - 1, true);
        check(-(1 << 64), true);
        check(u64::MAX.into(), true);
        check(-(1 << 64) - 1, false);
        check(1 << 64, false);
    }

    #[test]
    fn json_becomes_cbor_exactly_or_not_at_all() {
        fn check(text: &str, expected: Result<Value, &str>) {
            match (from_json(text), expected) {
                (Ok(found), Ok(expected)) => {
                    // Floats are compared with their sign.
                    assert_eq!(found.to_bytes(), expected.to_bytes(), "{text}");
                }
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{text}: {error}");
                }
                (found, expected) => panic!("{text}: {found:?} is not {expected:?}"),
            }
        }
        use Value::{Array, Bytes, Float, Integer, Map, Text};
        check("18446744073709551615", Ok(Integer(u64::MAX.into())));
        check("1e2", Ok(Integer(100)));
        check("-1.50E+3", Ok(Integer(-1500)));
        check("1200e-2", Ok(Integer(12)));
        check("1.8446744073709551615e19", Ok(Integer(u64::MAX.into())));
        check("0e5", Ok(Integer(0)));
        check("-0e5", Ok(Float(-0.0)));
        check("1e20", Ok(Float(1e20)));
        check("1e300", Ok(Float(1e300)));
        check("25e-1", Ok(Float(2.5)));
        check("1.0", Ok(Float(1.0)));
        check("123456789012345678901e0", Err("does not fit"));
        check("9007199254740993", Ok(Integer(9_007_199_254_740_993)));
        check("-18446744073709551616", Ok(Integer(-(1 << 64))));
        check("18446744073709551616", Err("18446744073709551616 does not fit"));
        check(
            "{\"a\": [123456789012345678901]}",
            Err("123456789012345678901 at `/a/0` does not fit"),
        );
        check("0.1000000000000000000001", Err("would be rounded"));
        check("1e400", Err("1e400 does not fit"));
        check(&"9".repeat(500), Err("… (500 characters) does not fit"));
        check("-0", Ok(Float(-0.0)));
        check("0.10", Ok(Float(0.1)));
        check(r#""\ud83d""#, Err("half of a surrogate pair"));
        check(r#""\ud83d\ude00""#, Ok(Text("😀".into())));
        check(
            r#"["hex:0aFF", "hex:0"]"#,
            Ok(Array(vec![Bytes(vec![10, 255]), Text("hex:0".into())])),
        );
        let twice = vec![(Text("z".into()), Integer(1)), (Text("a".into()), Integer(2))];
        check(r#"{"z": 1, "a": 2}"#, Ok(Map(twice)));
        check(&format!("{}{}", "[".repeat(64), "]".repeat(64)), Ok(nested(64)));
        check(
            &format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)),
            Err("nested deeper than 64"),
        );
        check("{", Err("no JSON: malformed at byte 1"));
    }

    fn nested(depth: usize) -> Value {
        (1..depth).fold(Value::Array(Vec::new()), |inner, _| Value::Array(vec![inner]))
    }

    #[test]
    fn a_header_is_an_object() {
        assert_eq!(header_from_json("[]"), Err(FromJsonError::NoObject));
        let header = Header::build().text("z", "1").text("a", "2").finish();
        assert_eq!(header_from_json(r#"{"z": "1", "a": "2"}"#), Ok(header));
    }
}
