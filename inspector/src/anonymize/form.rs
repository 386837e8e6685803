//! Fields of forms: `application/x-www-form-urlencoded`, as browsers write them.

use std::ops::Range;

/// One field, by its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

/// The most parts behind `?`, `#` or `;` in one field.
const MAX_PARTS: usize = 64;

/// The fields, if this is a form: one that was encoded as it must be, or anything that is said to be
/// one. A form may stand behind `?` or `#` of an address. Where a field may be read as several,
/// because there is `?`, `#` or `;` in it, those are fields too.
pub(super) fn fields(text: &[u8], is_said: bool) -> Option<Vec<Field>> {
    let is_encoded =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"*-._~+%&=[]!'(),:;@/$?#".contains(byte);
    let end = text.trim_ascii_end().len();
    let start = end - text[..end].trim_ascii_start().len();
    let is_form = is_said || text[start..end].iter().all(is_encoded);
    if !is_form || !text.contains(&b'=') {
        return None;
    }
    let (mut fields, mut at) = (Vec::new(), start);
    for field in text[start..end].split(|byte| *byte == b'&') {
        let next = at + field.len();
        let mut parts = 0;
        for part in field.split(|byte| b"?#;".contains(byte)) {
            let equals = part.iter().position(|byte| *byte == b'=');
            if equals.is_some() || parts == 0 {
                let key = at..at + equals.unwrap_or(part.len());
                let value = (key.end + usize::from(equals.is_some())).min(next)..next;
                fields.push(Field { key, value });
            }
            parts += 1;
            at += part.len() + 1;
        }
        if parts > MAX_PARTS {
            return None;
        }
        at = next + 1;
    }
    Some(fields)
}

/// As it stands in a form.
pub(super) fn encode(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    for byte in content {
        match byte {
            b' ' => out.push(b'+'),
            byte if byte.is_ascii_alphanumeric() || b"*-._".contains(byte) => out.push(*byte),
            byte => out.extend(format!("%{byte:02X}").into_bytes()),
        }
    }
    out
}
