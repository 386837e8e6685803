//! Paths that are taken out, as they are written: `payload.items.*.name`, `payload["a.b"][0]`.

use super::RedactionError;
use crate::decode::document::{Item, Sort};

/// How often `**` may stand in a path: more would only make following it slow.
const MAX_DEEP: usize = 4;

/// The names of the roots.
const ROOTS: [&str; 4] = ["header", "payload", "arguments", "result"];

/// The root of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Header,
    Payload,
    Arguments,
    Result,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Any key or position.
    Any,
    /// Any number of keys and positions, or none.
    Deep,
    /// This key, or this position.
    Key(String),
}

impl Step {
    pub(super) fn is_key(&self, key: Item<'_>) -> bool {
        match (self, key.sort()) {
            (Step::Any | Step::Deep, _) => true,
            (Step::Key(name), Sort::Text) => *key.content() == *name.as_bytes(),
            (Step::Key(name), Sort::Number) => key.word() == name.as_str(),
            _ => false,
        }
    }

    pub(super) fn is_named(&self, key: &[u8]) -> bool {
        match self {
            Step::Any | Step::Deep => true,
            Step::Key(name) => name.as_bytes() == key,
        }
    }

    pub(super) fn is_position(&self, at: usize) -> bool {
        match self {
            Step::Any | Step::Deep => true,
            Step::Key(name) => *name == at.to_string(),
        }
    }
}

/// Reads a path.
pub(super) fn read(path: &str) -> Result<(Root, Vec<Step>), RedactionError> {
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let root = match &path[..end] {
        "header" => Root::Header,
        "payload" => Root::Payload,
        "arguments" => Root::Arguments,
        "result" => Root::Result,
        _ if let Some(points) = of_pointer(path) => {
            return Err(RedactionError::Pointer { path: path.to_owned(), points });
        }
        _ => return Err(RedactionError::UnknownRoot { path: path.to_owned() }),
    };
    let (mut at, mut steps) = (end, Vec::new());
    while at < path.len() {
        let (step, length) = step(&path[at..]).map_err(|(ahead, reason)| {
            let character = path[..at + ahead].chars().count() + 1;
            RedactionError::Path { path: path.to_owned(), character, reason }
        })?;
        if step == Step::Deep
            && steps.iter().filter(|step| **step == Step::Deep).count() == MAX_DEEP
        {
            let character = path[..at].chars().count() + 1;
            let reason = "a fifth `**` is one too many";
            return Err(RedactionError::Path { path: path.to_owned(), character, reason });
        }
        steps.push(step);
        at += length;
    }
    Ok((root, steps))
}

/// A path that is written as a JSON Pointer, in points.
fn of_pointer(path: &str) -> Option<String> {
    let mut keys = path.strip_prefix('/')?.split('/');
    let root = keys.next().filter(|root| ROOTS.contains(root))?;
    let steps = keys.map(|key| {
        let key = key.replace("~1", "/").replace("~0", "~");
        match !key.is_empty() && !key.contains(['.', '[']) {
            true => format!(".{key}"),
            false => format!("[\"{}\"]", key.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    });
    Some(steps.fold(root.to_owned(), |points, step| points + &step))
}

/// The step at the front and its length; where it is wrong otherwise, and why.
fn step(text: &str) -> Result<(Step, usize), (usize, &'static str)> {
    let step = |name: &str| match name {
        "*" => Step::Any,
        "**" => Step::Deep,
        name => Step::Key(name.to_owned()),
    };
    if let Some(rest) = text.strip_prefix('.') {
        let length = rest.find(['.', '[']).unwrap_or(rest.len());
        return match length {
            0 => Err((1, "a key is missing; an empty one is written [\"\"]")),
            length => Ok((step(&rest[..length]), 1 + length)),
        };
    }
    let Some(inside) = text.strip_prefix('[') else {
        return Err((0, "a step begins with `.` or `[`"));
    };
    if let Some(quoted) = inside.strip_prefix('"') {
        let mut key = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' if quoted[at + 1..].starts_with(']') => return Ok((Step::Key(key), at + 4)),
                '"' => return Err((at + 3, "a `]` is missing behind the key")),
                '\\' => key.extend(characters.next().map(|(_, escaped)| escaped)),
                other => key.push(other),
            }
        }
        return Err((text.len(), "the key has no end; close it with `\"]`"));
    }
    let Some(length) = inside.find(']') else {
        return Err((text.len(), "a `]` is missing"));
    };
    let name = &inside[..length];
    let is_position = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    match is_position || matches!(name, "*" | "**") {
        true => Ok((step(name), length + 2)),
        false => Err((1, "neither a position, nor `*`, nor a key in quotes, such as [\"a.b\"]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_errors_point_to_the_place() {
        /// The steps, keys in quotes; or what is wrong.
        #[track_caller]
        fn check(path: &str, expected: &str) {
            let found = match read(path) {
                Ok((root, steps)) => {
                    let shown = steps.iter().map(|step| match step {
                        Step::Any => " *".to_owned(),
                        Step::Deep => " **".to_owned(),
                        Step::Key(key) => format!(" {key:?}"),
                    });
                    format!("{root:?}{}", shown.collect::<String>())
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected);
        }
        check("payload", "Payload");
        check("payload.items.0.name", "Payload \"items\" \"0\" \"name\"");
        check("header.*.id", "Header * \"id\"");
        check("arguments[1][\"a.b\"].c", "Arguments \"1\" \"a.b\" \"c\"");
        check(r#"result["\"*\\"][*]["*"][""]"#, r#"Result "\"*\\" * "*" """#);
        check("payload.**.id[**]", "Payload ** \"id\" **");
        check(
            "payload.**.**.a.**.**.**",
            "`payload.**.**.a.**.**.**` is no path at character 22: a fifth `**` is one too many",
        );
        check("payload.ü.x", "Payload \"ü\" \"x\"");
        let roots = "a path must start with header, payload, arguments or result";
        check("body.x", &format!("{roots}; `body.x` does not"));
        check("", &format!("{roots}; `` does not"));
        check("/body/x", &format!("{roots}; `/body/x` does not"));
        let pointer = |path: &str, points: &str| {
            check(
                path,
                &format!("keys of a path stand behind points: write `{points}`, not `{path}`"),
            );
            assert!(read(points).is_ok(), "{points}");
        };
        pointer("/header", "header");
        pointer("/header/src", "header.src");
        pointer("/payload/items/*/0", "payload.items.*.0");
        pointer(r#"/payload/a."\/~1~01//""#, r#"payload["a.\"\\"]./~1[""].""#);
        let missing = "a key is missing; an empty one is written [\"\"]";
        check("payload.", &format!("`payload.` is no path at character 9: {missing}"));
        check("payload.ü..x", &format!("`payload.ü..x` is no path at character 11: {missing}"));
        check("payload[0", "`payload[0` is no path at character 10: a `]` is missing");
        check(
            "payload.user[mail]",
            "`payload.user[mail]` is no path at character 14: neither a position, nor `*`, nor a key \
             in quotes, such as [\"a.b\"]",
        );
        check(
            "payload[\"a\"x]",
            "`payload[\"a\"x]` is no path at character 12: a `]` is missing behind the key",
        );
        check(
            "payload[\"a",
            "`payload[\"a` is no path at character 11: the key has no end; close it with `\"]`",
        );
        check(
            "payload[0]x",
            "`payload[0]x` is no path at character 11: a step begins with `.` or `[`",
        );
    }
}
