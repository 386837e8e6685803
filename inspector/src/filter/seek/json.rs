use super::super::path::Step;
use super::super::value::{Leaf, Number, ValueTest};
use crate::decode::Document;
use crate::decode::document::Malformed;
use crate::decode::json::{Scanner, Token, unescape};
use crate::decode::print::{Notation, Style, print};

/// True if the bytes are JSON with a value at `path` that fulfils `test`.
///
/// All of it is read, because bytes of which only the beginning is JSON are no JSON. Of keys that
/// stand there twice, any may lead there.
pub(super) fn holds(bytes: &[u8], path: &[Step], test: &ValueTest) -> bool {
    let mut scanner = Scanner::new(bytes);
    let found = seek(&mut scanner, path, test).unwrap_or(false);
    found && scanner.is_over()
}

/// Reads the next value, and follows the rest of a path into it.
fn seek(scanner: &mut Scanner<'_>, path: &[Step], test: &ValueTest) -> Result<bool, Malformed> {
    let Some(token) = scanner.next()? else {
        return Ok(false);
    };
    let Some((step, rest)) = path.split_first() else {
        return leaf(scanner, token, test);
    };
    let mut found = false;
    match token {
        Token::Map => {
            while let Some(Token::Key) = scanner.next()? {
                if is_key(scanner.inside(), &step.name) {
                    found |= seek(scanner, rest, test)?;
                } else {
                    skip(scanner)?;
                }
            }
        }
        Token::List => {
            let mut at = 0;
            while !scanner.ends()? {
                if Some(at) == step.index() {
                    found |= seek(scanner, rest, test)?;
                } else {
                    skip(scanner)?;
                }
                at += 1;
            }
        }
        _ => {}
    }
    Ok(found)
}

fn skip(scanner: &mut Scanner<'_>) -> Result<(), Malformed> {
    match scanner.next()? {
        Some(Token::Map | Token::List) => scanner.skip_inside(),
        _ => Ok(()),
    }
}

fn is_key(inside: &[u8], name: &str) -> bool {
    match unescape(inside) {
        None => inside == name.as_bytes(),
        Some(key) => key.bytes == name.as_bytes(),
    }
}

fn leaf(scanner: &mut Scanner<'_>, token: Token, test: &ValueTest) -> Result<bool, Malformed> {
    let start = scanner.span().start;
    Ok(match token {
        Token::Map | Token::List => {
            scanner.skip_inside()?;
            let whole = scanner.since(start);
            let style = Style { notation: Notation::Json, sorted: true, pretty: false };
            let text = print(Document::json(whole)?.root(), style);
            test.holds(Leaf::Json(&text))
        }
        Token::Text => match unescape(scanner.inside()) {
            None => text_holds(scanner.inside(), test),
            Some(text) => text_holds(&text.bytes, test),
        },
        Token::Number => {
            let written = std::str::from_utf8(scanner.raw()).unwrap_or_default();
            test.holds(Leaf::Number(Number::Written(written)))
        }
        _ => test.holds(Leaf::Json(std::str::from_utf8(scanner.raw()).unwrap_or_default())),
    })
}

/// An unpaired surrogate stops no search, but matches nothing.
fn text_holds(text: &[u8], test: &ValueTest) -> bool {
    test.holds(Leaf::Text(&String::from_utf8_lossy(text)))
}
