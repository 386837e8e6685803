//! Reads the budget in `#[budget]` from the texts of its tokens; the grammar is so small that no
//! parser of Rust is needed, whose build would take longer than that of a plugin.

use crate::units::{UnitError, parse_duration, parse_share, parse_size};

/// An error in an attribute, and the position of its token.
#[derive(Debug)]
pub(super) struct Error {
    pub(super) at: usize,
    pub(super) message: String,
}

/// The lines of `[budget]` that `key = value, …` stands for. Ranges are checked when the plugin is
/// loaded, together with what `plugin.toml` says.
pub(super) fn read(tokens: &[String]) -> Result<String, Error> {
    let mut lines = Vec::<(&str, String)>::new();
    let mut at = 0;
    while at < tokens.len() {
        let wrong = |message: String| Error { at, message };
        let entry = tokens[at..].split(|token| token == ",").next().unwrap_or_default();
        let [key, equals, value] = entry else {
            return Err(wrong("expected `key = value`, such as `p99 = \"500us\"`".to_owned()));
        };
        if equals != "=" {
            return Err(wrong(format!("expected `=` after `{key}`")));
        }
        if lines.iter().any(|(known, _)| known == key) {
            return Err(wrong(format!("`{key}` stands here twice")));
        }
        let value = read_value(key, value).map_err(|error| wrong(format!("`{key}`: {error}")))?;
        lines.push((key, value));
        // Behind the comma, which may be missing after the last entry.
        at += entry.len() + 1;
    }
    if lines.is_empty() {
        let message = "a budget of nothing; write for example `p99 = \"500us\"`".to_owned();
        return Err(Error { at, message });
    }
    let lines = lines.into_iter();
    Ok(lines.map(|(key, value)| format!("{} = {value}\n", key.replace('_', "-"))).collect())
}

/// A literal in the source.
enum Literal<'a> {
    Text(&'a str),
    /// Digits alone, as TOML reads them too.
    Whole(String),
    Fraction(String),
}

impl Literal<'_> {
    fn of(token: &str) -> Result<Literal<'_>, &'static str> {
        let text = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        if let Some(text) = text.filter(|text| !text.contains('\\')) {
            return Ok(Literal::Text(text));
        }
        let number = token.replace('_', "");
        if number.parse::<u64>().is_ok() {
            Ok(Literal::Whole(number))
        } else if number.parse::<f64>().is_ok_and(f64::is_finite) {
            Ok(Literal::Fraction(number))
        } else {
            Err("write a text or a number, plainly")
        }
    }
}

/// The value of a key as TOML writes it; a text is repeated only if it has the unit of the key.
fn read_value(key: &str, token: &str) -> Result<String, String> {
    let quoted = |text: &str| format!("\"{text}\"");
    let wrong = |error: UnitError| error.to_string();
    match (key, Literal::of(token)?) {
        ("p50" | "p99" | "load_time", Literal::Text(text)) => {
            parse_duration(text).map(|_| quoted(text)).map_err(wrong)
        }
        ("p50" | "p99" | "load_time", _) => Err("write a duration such as \"500us\"".to_owned()),
        ("memory", Literal::Text(text)) => parse_size(text).map(|_| quoted(text)).map_err(wrong),
        ("cpu", Literal::Text(text)) => parse_share(text).map(|_| quoted(text)).map_err(wrong),
        ("memory" | "cpu", Literal::Whole(number)) | ("cpu", Literal::Fraction(number)) => {
            Ok(number)
        }
        ("memory", _) => Err("write a size such as \"8 MiB\"".to_owned()),
        _ => Err("no such budget; write p50, p99, memory, cpu or load_time".to_owned()),
    }
}

/// Rust for a static in the section that the host reads.
pub(super) fn section(lines: &str) -> String {
    let (bytes, length) = (lines.as_bytes(), lines.len());
    format!(
        r#"const _: () = {{
            #[used]
            #[cfg_attr(target_family = "wasm", unsafe(link_section = "glovebox:budget"))]
            #[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__gbudget"))]
            #[cfg_attr(
                not(any(target_family = "wasm", target_os = "macos")),
                unsafe(link_section = ".gbudget")
            )]
            // An exported symbol is what keeps the linker from dropping a section of a library.
            #[cfg_attr(
                not(target_family = "wasm"),
                unsafe(export_name = "glovebox_budget_0_1")
            )]
            static BUDGET: [u8; {length}] = {bytes:?};
        }};"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_become_lines_of_the_manifest() {
        fn check(attribute: &str, expected: Result<&str, &str>) {
            let tokens: proc_macro2::TokenStream = attribute.parse().unwrap();
            let texts: Vec<_> = tokens.into_iter().map(|tree| tree.to_string()).collect();
            match (read(&texts), expected) {
                (Ok(lines), Ok(expected)) => assert_eq!(lines, expected, "{attribute}"),
                (Err(Error { message, .. }), Err(expected)) => {
                    assert!(message.contains(expected), "{message:?} does not say {expected:?}");
                }
                (found, _) => panic!("{attribute}: {found:?} is not {expected:?}"),
            }
        }
        check(r#"p99 = "500us""#, Ok("p99 = \"500us\"\n"));
        check(
            r#"p99 = "500us", memory = 4096, cpu = 0.25, load_time = "2 s","#,
            Ok("p99 = \"500us\"\nmemory = 4096\ncpu = 0.25\nload-time = \"2 s\"\n"),
        );
        check("memory = 4_096, p50 = \"3 µs\"", Ok("memory = 4096\np50 = \"3 µs\"\n"));
        check("", Err("a budget of nothing"));
        check(r#"p99 = "500""#, Err("is not a duration; write for example"));
        check(r#"p99 = 500"#, Err("`p99`: write a duration such as"));
        check(r#"p90 = "1 ms""#, Err("`p90`: no such budget; write p50, p99, memory, cpu or"));
        check(r#"memory = "1 ms""#, Err("`memory`: `1 ms` is not a size"));
        check(r#"memory = 1.5"#, Err("`memory`: write a size such as"));
        check(r#"cpu = "20%""#, Ok("cpu = \"20%\"\n"));
        check(r#"cpu = "much""#, Err("`cpu`: `much` is not a share"));
        check(r#"p99 = "1 ms", p99 = "2 ms""#, Err("`p99` stands here twice"));
        check("p99 = fast", Err("write a text or a number"));
        check("cpu = -0.2", Err("expected `key = value`"));
        check("memory = 4096u64", Err("write a text or a number"));
        check(r#"p99 = "1\u{20}ms""#, Err("write a text or a number"));
        check("p99", Err("expected"));
        check(r#"p99: "1 ms""#, Err("expected `=` after `p99`"));
        check(r#", p99 = "1 ms""#, Err("expected"));
        check("(p99 = 1)", Err("expected"));
    }
}
