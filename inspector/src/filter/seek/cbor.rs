use minicbor::data::Type;
use minicbor::decode::Decoder;

use super::super::path::Step;
use super::super::value::{Leaf, Number, ValueTest};
use crate::decode::Document;
use crate::decode::document::Sort;
use crate::decode::print::{Notation, Style, key_text, print};

/// True if there is a value at `path` that fulfils `test`; what is malformed fulfils nothing. Of keys
/// that stand there twice, any may lead there. Texts that are passed over may be no UTF-8.
pub(super) fn holds(bytes: &[u8], path: &[Step], test: &ValueTest) -> bool {
    let mut found = false;
    follow(&mut Decoder::new(bytes), path, &mut |decoder| {
        found = leaf_holds(decoder, test).unwrap_or(false);
        found
    });
    found
}

/// Hands on a decoder at every value that the path leads to, until `each` says that it is enough.
/// `None` once it is, or the bytes are malformed.
///
/// A length that is claimed costs nothing: every entry takes at least a byte of the input.
pub(super) fn follow<'a>(
    decoder: &mut Decoder<'a>,
    path: &[Step],
    each: &mut dyn FnMut(&mut Decoder<'a>) -> bool,
) -> Option<()> {
    let Some((step, rest)) = path.split_first() else {
        return (!each(&mut decoder.clone())).then_some(());
    };
    match untagged(decoder)? {
        Type::Map | Type::MapIndef => {
            let length = decoder.map().ok()?;
            let mut seen = 0;
            while has_next(decoder, length, seen)? {
                if is_key(decoder, step)? {
                    follow(&mut decoder.clone(), rest, each)?;
                }
                skip(decoder)?;
                seen += 1;
            }
        }
        Type::Array | Type::ArrayIndef => {
            let Some(wanted) = step.index() else {
                return Some(());
            };
            let length = decoder.array().ok()?;
            let mut seen = 0;
            while has_next(decoder, length, seen)? {
                if seen == wanted {
                    return follow(decoder, rest, each);
                }
                skip(decoder)?;
                seen += 1;
            }
        }
        _ => {}
    }
    Some(())
}

/// The type of the next value; tags before it are taken.
fn untagged(decoder: &mut Decoder<'_>) -> Option<Type> {
    loop {
        match decoder.datatype().ok()? {
            Type::Tag => decoder.tag().ok()?,
            other => return Some(other),
        };
    }
}

fn has_next(decoder: &Decoder<'_>, length: Option<u64>, seen: u64) -> Option<bool> {
    Some(match length {
        Some(length) => seen < length,
        None => decoder.datatype().ok()? != Type::Break,
    })
}

/// Takes a value without looking at it. Short texts, bytes and integers are most of what there is,
/// and need not be decoded for that.
fn skip(decoder: &mut Decoder<'_>) -> Option<()> {
    let after = match short(decoder) {
        Some(Short::Text(bytes) | Short::Bytes(bytes)) => 1 + bytes.len(),
        Some(Short::Integer) => 1,
        None => return decoder.skip().ok(),
    };
    decoder.set_position(decoder.position() + after);
    Some(())
}

/// A value whose first byte says how long it is.
enum Short<'a> {
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    Integer,
}

fn short<'a>(decoder: &Decoder<'a>) -> Option<Short<'a>> {
    let (first, rest) = decoder.input().get(decoder.position()..)?.split_first()?;
    // Three bits of type, and five that are the length up to 23.
    let length = usize::from(first & 0x1F);
    match first {
        0x00..=0x17 | 0x20..=0x37 => Some(Short::Integer),
        0x40..=0x57 => rest.get(..length).map(Short::Bytes),
        0x60..=0x77 => rest.get(..length).map(Short::Text),
        _ => None,
    }
}

/// Takes a key and compares it.
fn is_key(decoder: &mut Decoder<'_>, step: &Step) -> Option<bool> {
    if let Some(Short::Text(text)) = short(decoder) {
        decoder.set_position(decoder.position() + 1 + text.len());
        return Some(text == step.name.as_bytes());
    }
    Some(match decoder.datatype().ok()? {
        Type::String => decoder.str().ok()? == step.name,
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64 => {
            let key = i128::from(decoder.int().ok()?);
            step.number.is_some_and(|number| key == i128::from(number))
        }
        _ => key_text(Document::cbor(raw(decoder)?).ok()?.root()) == step.name,
    })
}

fn leaf_holds(decoder: &mut Decoder<'_>, test: &ValueTest) -> Option<bool> {
    let leaf = match untagged(decoder)? {
        Type::String => Leaf::Text(decoder.str().ok()?),
        Type::Bytes => Leaf::Bytes(decoder.bytes().ok()?),
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64
        | Type::Int => Leaf::Number(Number::Integer(decoder.int().ok()?.into())),
        Type::F16 => float(decoder.f16().ok()?.into()),
        Type::F32 => float(decoder.f32().ok()?.into()),
        Type::F64 => float(decoder.f64().ok()?),
        Type::Bool => Leaf::Json(if decoder.bool().ok()? { "true" } else { "false" }),
        Type::Null | Type::Undefined => Leaf::Json("null"),
        // Rare ones may cost an allocation.
        _ => {
            let document = Document::cbor(raw(decoder)?).ok()?;
            let item = document.root();
            return Some(match item.sort() {
                Sort::Bytes => test.holds(Leaf::Bytes(&item.content())),
                Sort::Text => test.holds(Leaf::Text(&String::from_utf8_lossy(&item.content()))),
                Sort::Word => test.holds(Leaf::Text(&item.word())),
                _ => {
                    let style = Style { notation: Notation::Json, sorted: true, pretty: false };
                    test.holds(Leaf::Json(&print(item, style)))
                }
            });
        }
    };
    Some(test.holds(leaf))
}

fn float(number: f64) -> Leaf<'static> {
    Leaf::Number(Number::Float(number))
}

/// Takes the next value; gives its bytes.
fn raw<'a>(decoder: &mut Decoder<'a>) -> Option<&'a [u8]> {
    let start = decoder.position();
    decoder.skip().ok()?;
    decoder.input().get(start..decoder.position())
}

#[cfg(test)]
mod tests {
    use glovebox_abi::cbor::Value;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The quick way over a value ends where the decoder ends.
        #[test]
        fn nothing_is_passed_over_differently(head: u8, rest in prop::collection::vec(any::<u8>(), 0..40)) {
            let bytes = [&[head][..], &rest].concat();
            let (mut ours, mut theirs) = (Decoder::new(&bytes), Decoder::new(&bytes));
            let passed = skip(&mut ours).is_some();
            if theirs.skip().is_ok() {
                prop_assert!(passed);
                prop_assert_eq!(ours.position(), theirs.position());
            }
            prop_assert!(ours.position() <= bytes.len());
        }

        /// So does the quick way over a key, whatever its length.
        #[test]
        fn keys_are_compared_by_what_they_say(key in ".{0,30}", other in ".{0,30}") {
            let bytes = Value::Text(key.clone()).to_bytes();
            for wanted in [&key, &other] {
                let mut decoder = Decoder::new(&bytes);
                prop_assert_eq!(is_key(&mut decoder, &Step::new(wanted.as_str())), Some(*wanted == key));
                prop_assert_eq!(decoder.position(), bytes.len());
            }
        }
    }
}
