//! Headers as text that a person edits: unchanged values stay exactly as they were.
//!
//! JSON says less than CBOR: it knows no tags, no strings of bytes, no keys but texts, and `1e16` may
//! be a float or an integer. [`header_text`] writes a header, and [`edited_header`] reads the text back
//! with the header at hand, so that only what a person typed is read by the rules of
//! [`from_json`](super::from_json).

use glovebox_abi::Header;
use glovebox_abi::cbor::Value;

use super::document::{Document, Item, Sort};
use super::value::{FromJsonError, from_json, key_text, text, to_json, to_value};

/// A header as a JSON object to be edited, an entry per line, in their order; empty for an empty one.
pub fn header_text(header: &Header) -> String {
    let entries = header.entries();
    if entries.is_empty() {
        return String::new();
    }
    let lines = entries.iter().map(|(key, value)| format!("  {}: {}", quoted(key), shown(value)));
    format!("{{\n{}\n}}", lines.collect::<Vec<_>>().join(",\n"))
}

/// The header that an edited text stands for; `before` is what [`header_text`] made of `header`.
///
/// # Errors
///
/// As [`header_from_json`](super::header_from_json).
pub fn edited_header(text: &str, before: &str, header: &Header) -> Result<Header, FromJsonError> {
    if text == before {
        return Ok(header.clone());
    }
    let (new, old) = (Document::json(text.as_bytes())?, Document::json(before.as_bytes()));
    let value = match old {
        Ok(old) => edited(new.root(), old.root(), &Value::Map(header.entries()))?,
        // The text of an empty header is no JSON.
        Err(_) => to_value(new.root())?,
    };
    match value {
        Value::Map(entries) => Ok(Header::from_entries(entries)),
        _ => Err(FromJsonError::NoObject),
    }
}

fn quoted(key: &Value) -> String {
    serde_json::Value::from(key_text(key)).to_string()
}

/// A value on one line, so that numbers are read as what they are.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(","))
        }
        Value::Map(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, value)| format!("{}:{}", quoted(key), shown(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Value::Tag(_, value) => shown(value),
        Value::Float(number) => {
            let text = to_json(value).to_string();
            match from_json(&text) {
                Ok(Value::Integer(_)) => format!("{number:.1}"),
                _ => text,
            }
        }
        other => to_json(other).to_string(),
    }
}

/// The value that `new` stands for, where `old` is the text of `value`.
fn edited(new: Item<'_>, old: Item<'_>, value: &Value) -> Result<Value, FromJsonError> {
    if new.raw() == old.raw() {
        return Ok(value.clone());
    }
    match (value, new.sort() == old.sort(), new.sort()) {
        (Value::Tag(tag, inner), true, _) => {
            Ok(Value::Tag(*tag, Box::new(edited(new, old, inner)?)))
        }
        (Value::Map(entries), _, Sort::Map) => edited_map(new, old, entries),
        (Value::Array(items), _, Sort::List) => edited_list(new, old, items),
        // An exponent does not make an integer of what was a float.
        (Value::Float(_), _, Sort::Number) => Ok(match to_value(new)? {
            Value::Integer(number) if new.word().contains(['e', 'E']) => {
                Value::Float(number as f64)
            }
            value => value,
        }),
        _ => to_value(new),
    }
}

fn edited_map(
    new: Item<'_>,
    old: Item<'_>,
    entries: &[(Value, Value)],
) -> Result<Value, FromJsonError> {
    let mut known: Vec<_> = old.entries().zip(entries).collect();
    let entries = new.entries().map(|(key, item)| {
        let found = known.iter().position(|((old, _), _)| old.raw() == key.raw());
        match found.map(|at| known.remove(at)) {
            Some(((_, old), (known, value))) => {
                let value = edited(item, old, value);
                Ok((known.clone(), value.map_err(|error| error.below(&key_text(known)))?))
            }
            None => {
                let key = text(key)?;
                let value = to_value(item).map_err(|error| error.below(&key))?;
                Ok((Value::Text(key), value))
            }
        }
    });
    Ok(Value::Map(entries.collect::<Result<_, FromJsonError>>()?))
}

/// Items at both ends that did not change are the same; those between are, by their order.
fn edited_list(new: Item<'_>, old: Item<'_>, items: &[Value]) -> Result<Value, FromJsonError> {
    let (new, old): (Vec<_>, Vec<_>) = (new.children().collect(), old.children().collect());
    let is_same = |(new, old): &(&Item<'_>, &Item<'_>)| new.raw() == old.raw();
    let first = new.iter().zip(&old).take_while(is_same).count();
    let behind = new[first..].iter().rev().zip(old[first..].iter().rev());
    let last = behind.take_while(is_same).count();
    let value = |(at, item): (usize, &Item<'_>)| {
        let known = match at + last < new.len() {
            true => Some(at).filter(|at| at + last < old.len()),
            false => (at + old.len()).checked_sub(new.len()),
        };
        let value = match known.and_then(|at| Some((old.get(at)?, items.get(at)?))) {
            Some((old, value)) => edited(*item, *old, value),
            None => to_value(*item),
        };
        value.map_err(|error| error.below(&at.to_string()))
    };
    Ok(Value::Array(new.iter().enumerate().map(value).collect::<Result<_, FromJsonError>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Value::{Array, Bytes, Float, Integer, Map, Tag, Text};

    fn header() -> Header {
        let nested = Map(vec![(Text("z".into()), Float(1e16)), (Integer(7), Bytes(vec![1]))]);
        Header::from_entries(vec![
            (Text("n".into()), Integer(1)),
            (Text("f".into()), Float(1e16)),
            (Text("t".into()), Text("hex:00".into())),
            (Integer(3), Tag(1, Box::new(Float(f64::INFINITY)))),
            (Text("m".into()), nested),
            (Text("l".into()), Array(vec![Float(2e16), Text("x".into()), Float(1e19)])),
        ])
    }

    #[test]
    fn what_was_not_edited_stays_what_it_was() {
        fn check(from: &str, to: &str, change: impl FnOnce(&mut Vec<(Value, Value)>)) {
            let header = header();
            let before = header_text(&header);
            assert!(before.contains(from), "{from} in {before}");
            let found = edited_header(&before.replacen(from, to, 1), &before, &header).unwrap();
            let mut expected = header.entries();
            change(&mut expected);
            let expected = Header::from_entries(expected);
            assert_eq!(found.as_bytes(), expected.as_bytes(), "{from} to {to} in {before}");
        }
        check("\"n\": 1", "\"n\": 1", |_| {});
        check("\"n\": 1", "\"n\": 2", |entries| entries[0].1 = Integer(2));
        check("  \"n\": 1,\n", "", |entries| drop(entries.remove(0)));
        check("\"n\"", "\"o\"", |entries| entries[0].0 = Text("o".into()));
        check("\"z\":1", "\"z\":2", |entries| {
            let nested = vec![(Text("z".into()), Float(2e16)), (Integer(7), Bytes(vec![1]))];
            entries[4].1 = Map(nested);
        });
        check("10000000000000000.0", "3e16", |entries| entries[1].1 = Float(3e16));
        check("10000000000000000.0", "3", |entries| entries[1].1 = Integer(3));
        check("hex:00", "hex:01", |entries| entries[2].1 = Bytes(vec![1]));
        check("\"inf\"", "\"x\"", |entries| entries[3].1 = Tag(1, Box::new(Text("x".into()))));
        let list = |items: &[Value]| Array(items.to_vec());
        check("[", "[4,", |entries| {
            entries[5].1 = list(&[Integer(4), Float(2e16), Text("x".into()), Float(1e19)]);
        });
        check("\"x\",", "", |entries| entries[5].1 = list(&[Float(2e16), Float(1e19)]));
        check("\"x\"", "\"y\",5", |entries| {
            let items = [Float(2e16), Text("y".into()), Integer(5), Float(1e19)];
            entries[5].1 = list(&items);
        });
    }

    #[test]
    fn texts_that_are_no_header_are_refused() {
        fn check(text: &str, expected: Result<Header, &str>) {
            let found = edited_header(text, "", &Header::empty());
            match expected {
                Ok(header) => assert_eq!(found, Ok(header), "{text}"),
                Err(part) => assert!(found.unwrap_err().to_string().contains(part), "{text}"),
            }
        }
        check("", Ok(Header::empty()));
        check("{\"n\": 1}", Ok(Header::build().integer("n", 1).finish()));
        check("[]", Err("expected an object"));
        check("{", Err("no JSON"));
        check("{\"n\": 123456789012345678901}", Err("does not fit"));
    }
}
