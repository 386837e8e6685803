//! The evidence that an event keeps of a text or of bytes that are too long for it.
//!
//! Three things stand in place of them: the first bytes, how many there are in all, and their
//! digest, which tells an owner of the whole that it is the same.
//!
//! ```
//! use glovebox_abi::cbor::Value;
//! use glovebox_events::evidence::{self, KEPT};
//!
//! let asked = vec![7; 8_000_000];
//! let kept = evidence::of_bytes(&asked);
//! assert!(evidence::is_of(&kept, &Value::Bytes(asked)));
//! assert_eq!(evidence::of_bytes(&[7; KEPT]), Value::Bytes(vec![7; KEPT]));
//! ```

use glovebox_abi::cbor::Value;

/// The longest text or bytes that are kept whole.
pub const KEPT: usize = 256;

/// Under these keys: the first bytes, the length of the whole in bytes, its BLAKE3 digest in
/// hexadecimal digits.
const KEYS: [&str; 3] = ["cut", "bytes", "blake3"];

/// A text, or what is kept of it.
pub fn of_text(text: &str) -> Value {
    match text.len() {
        0..=KEPT => Value::Text(text.to_owned()),
        _ => {
            let head = &text[..text.floor_char_boundary(KEPT)];
            cut(Value::Text(head.to_owned()), text.as_bytes())
        }
    }
}

/// Bytes, or what is kept of them.
pub fn of_bytes(bytes: &[u8]) -> Value {
    match bytes.len() {
        0..=KEPT => Value::Bytes(bytes.to_vec()),
        _ => cut(Value::Bytes(bytes[..KEPT].to_vec()), bytes),
    }
}

fn cut(head: Value, whole: &[u8]) -> Value {
    let digest = blake3::hash(whole).to_hex();
    let values =
        [head, Value::Integer(whole.len() as i128), Value::Text(digest.as_str().to_owned())];
    let keys = KEYS.map(|key| Value::Text(key.to_owned()));
    Value::Map(keys.into_iter().zip(values).collect())
}

/// True if `kept` is `whole`, or what is kept of it, also inside of lists.
pub fn is_of(kept: &Value, whole: &Value) -> bool {
    match (kept, whole) {
        (Value::Array(kept), Value::Array(whole)) => {
            kept.len() == whole.len()
                && kept.iter().zip(whole).all(|(kept, whole)| is_of(kept, whole))
        }
        // The length first: a digest of many bytes takes its time.
        (Value::Map(_), Value::Text(text)) => {
            length(kept) == Some(text.len()) && *kept == of_text(text)
        }
        (Value::Map(_), Value::Bytes(bytes)) => {
            length(kept) == Some(bytes.len()) && *kept == of_bytes(bytes)
        }
        _ => kept == whole,
    }
}

/// How long the whole is of which this was kept.
fn length(kept: &Value) -> Option<usize> {
    let Value::Map(entries) = kept else { return None };
    match entries.as_slice() {
        [_, (Value::Text(key), Value::Integer(length)), _] if key == KEYS[1] => {
            usize::try_from(*length).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_tells_the_whole_from_everything_else() {
        fn check(kept: &Value, whole: &Value, expected: bool) {
            assert_eq!(is_of(kept, whole), expected, "{kept:?} of {whole:?}");
        }
        let text = |text: &str| Value::Text(text.to_owned());
        let long = "ä".repeat(KEPT);
        let other = long.replacen('ä', "ö", 1);
        let late = format!("{}ö", &long[..long.len() - 2]);
        check(&text("a"), &text("a"), true);
        check(&text("a"), &text("b"), false);
        check(&of_text(&long), &text(&long), true);
        check(&of_text(&long), &text(&other), false);
        check(&of_text(&long), &text(&late), false);
        check(&of_text(&long), &text(&long[2..]), false);
        // A text and the same bytes are two things.
        check(&of_text(&long), &Value::Bytes(long.clone().into_bytes()), false);
        check(&of_bytes(&[1; KEPT + 1]), &Value::Bytes(vec![1; KEPT + 1]), true);
        check(&of_bytes(&[1; KEPT + 1]), &Value::Bytes(vec![1; KEPT + 2]), false);
        let list = |head: Value| Value::Array(vec![text("key"), head]);
        check(&list(of_bytes(&[1; 999])), &list(Value::Bytes(vec![1; 999])), true);
        check(&list(of_bytes(&[1; 999])), &list(Value::Bytes(vec![2; 999])), false);
        check(&list(of_bytes(&[1; 999])), &Value::Bytes(vec![1; 999]), false);
        check(&Value::Map(Vec::new()), &text(""), false);
        // Evidence of evidence stays itself.
        check(&of_text(&long), &of_text(&long), true);
    }

    #[test]
    fn what_is_kept_is_small_and_says_how_much_there_was() {
        let kept = of_bytes(&vec![0; 8_000_000]);
        assert_eq!(length(&kept), Some(8_000_000));
        assert!(kept.to_bytes().len() < KEPT + 128);
    }
}
