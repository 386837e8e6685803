use super::super::path::Step;
use super::super::value::{Leaf, Number, ValueTest};
use crate::decode::Document;
use crate::decode::cbor::{self, Head};
use crate::decode::document::Sort;
use crate::decode::print::{Notation, Style, key_text, print};

/// True if there is a value at `path` that fulfils `test`; what is malformed fulfils nothing. Of keys
/// that stand there twice, any may lead there. Texts that are passed over may be no UTF-8.
pub(super) fn holds(mut bytes: &[u8], path: &[Step], test: &ValueTest) -> bool {
    let mut each = |value: &[u8]| leaf_holds(value, test).unwrap_or(false);
    follow(&mut bytes, path, &mut each).unwrap_or(false)
}

/// Takes a value, and hands on each value in it that the path leads to, until one is enough; gives
/// whether one was. `None` if the bytes are malformed.
///
/// A length that is claimed costs nothing: every entry takes at least a byte of the input.
pub(super) fn follow<'a>(
    rest: &mut &'a [u8],
    path: &[Step],
    each: &mut impl FnMut(&'a [u8]) -> bool,
) -> Option<bool> {
    let Some((step, below)) = path.split_first() else {
        return Some(each(take(rest)?));
    };
    let head = untagged(rest)?;
    let mut left = (!head.is_open()).then_some(head.argument);
    match head.sort() {
        Sort::Map => {
            *rest = rest.get(head.length..)?;
            while has_next(rest, &mut left)? {
                if !takes_key(rest, step)? {
                    take(rest)?;
                } else if follow(rest, below, each)? {
                    return Some(true);
                }
            }
        }
        Sort::List => {
            *rest = rest.get(head.length..)?;
            let mut at = 0;
            while has_next(rest, &mut left)? {
                if Some(at) != step.index() {
                    take(rest)?;
                } else if follow(rest, below, each)? {
                    return Some(true);
                }
                at += 1;
            }
        }
        _ => drop(take(rest)?),
    }
    Some(false)
}

/// Takes the tags before a value; gives how it starts.
#[inline]
fn untagged(rest: &mut &[u8]) -> Option<Head> {
    loop {
        let head = cbor::head(rest)?;
        if head.sort() != Sort::Tag {
            return Some(head);
        }
        *rest = rest.get(head.length..)?;
    }
}

/// Counts an entry or item, or takes the break behind the last.
#[inline]
fn has_next(rest: &mut &[u8], left: &mut Option<u64>) -> Option<bool> {
    match left {
        Some(0) => Some(false),
        Some(left) => {
            *left -= 1;
            Some(true)
        }
        None => match rest.split_first()? {
            (&cbor::BREAK, behind) => {
                *rest = behind;
                Some(false)
            }
            _ => Some(true),
        },
    }
}

/// Takes a value; gives its bytes.
#[inline]
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (value, behind) = rest.split_at_checked(cbor::end(rest)?)?;
    *rest = behind;
    Some(value)
}

/// Takes a key and compares it. Most keys are short texts, whose first byte says how long they are.
#[inline]
fn takes_key(rest: &mut &[u8], step: &Step) -> Option<bool> {
    let (first, behind) = rest.split_first()?;
    if !(0x60..=0x77).contains(first) {
        return is_key(take(rest)?, step);
    }
    let (key, behind) = behind.split_at_checked(usize::from(first & 0x1F))?;
    *rest = behind;
    Some(key == step.name.as_bytes())
}

fn is_key(key: &[u8], step: &Step) -> Option<bool> {
    let head = cbor::head(key)?;
    if head.sort() == Sort::Text && !head.is_open() {
        return Some(key.get(head.length..)? == step.name.as_bytes());
    }
    let number = head.integer().and_then(|number| i64::try_from(number).ok());
    match number {
        Some(number) => Some(step.number == Some(number)),
        None => Some(key_text(Document::cbor(key).ok()?.root()) == step.name),
    }
}

fn leaf_holds(mut value: &[u8], test: &ValueTest) -> Option<bool> {
    let mut head = cbor::head(value)?;
    while head.sort() == Sort::Tag {
        if let Some(number) = cbor::integer_in_tag(value) {
            return Some(test.holds(Leaf::Number(Number::Written(&number))));
        }
        value = value.get(head.length..)?;
        head = cbor::head(value)?;
    }
    let content = value.get(head.length..)?;
    let leaf = match head.sort() {
        Sort::Number => Leaf::Number(match head.float() {
            Some(float) => Number::Float(float),
            None => Number::Integer(head.integer()?),
        }),
        Sort::Text if !head.is_open() => Leaf::Text(std::str::from_utf8(content).ok()?),
        Sort::Bytes if !head.is_open() => Leaf::Bytes(content),
        Sort::Word => {
            return Some(match &*cbor::word(value) {
                word @ ("true" | "false" | "null") => test.holds(Leaf::Json(word)),
                "undefined" => test.holds(Leaf::Json("null")),
                word => test.holds(Leaf::Text(word)),
            });
        }
        // Rare ones may cost an allocation.
        _ => {
            let document = Document::cbor(value).ok()?;
            let item = document.root();
            return Some(match item.sort() {
                Sort::Bytes => test.holds(Leaf::Bytes(&item.content())),
                Sort::Text => test.holds(Leaf::Text(&String::from_utf8_lossy(&item.content()))),
                _ => {
                    let style = Style { notation: Notation::Json, sorted: true, pretty: false };
                    test.holds(Leaf::Json(&print(item, style)))
                }
            });
        }
    };
    Some(test.holds(leaf))
}

#[cfg(test)]
mod tests {
    use glovebox_abi::cbor::Value;
    use minicbor::decode::Decoder;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A value ends where the library says that it does, and where it is one by itself.
        #[test]
        fn nothing_is_passed_over_differently(head: u8, rest in prop::collection::vec(any::<u8>(), 0..40)) {
            let bytes = [&[head][..], &rest].concat();
            let mut library = Decoder::new(&bytes);
            let end = library.skip().ok().map(|()| library.position());
            let end = end.filter(|end| Document::cbor(&bytes[..*end]).is_ok());
            let mut behind = &bytes[..];
            let taken = take(&mut behind);
            if let Some(end) = end {
                prop_assert_eq!(taken, Some(&bytes[..end]));
            }
            if let Some(taken) = taken {
                prop_assert_eq!([taken, behind].concat(), bytes);
            }
        }

        /// A key is compared by what it says, whatever its length.
        #[test]
        fn keys_are_compared_by_what_they_say(key in ".{0,30}", other in ".{0,30}") {
            let bytes = Value::Text(key.clone()).to_bytes();
            for wanted in [&key, &other] {
                let mut rest = &bytes[..];
                let step = Step::new(wanted.as_str());
                prop_assert_eq!(takes_key(&mut rest, &step), Some(*wanted == key));
                prop_assert!(rest.is_empty());
                prop_assert_eq!(is_key(&bytes, &step), Some(*wanted == key));
            }
        }
    }
}
