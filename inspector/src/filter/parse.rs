//! Text into a condition, by recursive descent.

use std::time::Duration;

use glovebox_abi::units;
use glovebox_abi::{Kind, UnknownKind};
use glovebox_events::Outcome;

use super::{Expression, FilterError, Operator, Test, WantedStatus};
use crate::store::Direction;

/// How deeply brackets and `not` may nest.
const MAX_DEPTH: usize = 64;

const FIELDS: [&str; 11] = [
    "plugin", "kind", "dir", "status", "latency", "size", "call", "gen", "text", "header",
    "payload",
];

/// The fields that tell something about a frame by itself.
const FRAME_FIELDS: [&str; 5] = ["kind", "size", "text", "header", "payload"];

/// What a filter may ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A frame and the call it belongs to.
    Call,
    /// A frame by itself.
    Frame,
}

pub(super) fn parse(text: &str, scope: Scope) -> Result<Expression, FilterError> {
    let mut parser = Parser { text, at: 0, scope };
    let expression = parser.any(0)?;
    match parser.peek() {
        None => Ok(expression),
        Some(_) => Err(error(parser.at, "the bracket was not opened")),
    }
}

fn error(position: usize, message: impl Into<String>) -> FilterError {
    FilterError { position, message: message.into(), suggestion: None }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    scope: Scope,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest().trim_start();
        self.at = self.text.len() - rest.len();
        rest.chars().next()
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// Takes a word if it stands there alone, in lower or upper case.
    fn keyword(&mut self, keyword: &str) -> bool {
        self.peek();
        let word = self.word();
        let found = word == keyword || word == keyword.to_uppercase();
        if found {
            self.at += word.len();
        }
        found
    }

    /// The word that stands next, not taken.
    fn word(&self) -> &'a str {
        let ends = |c: char| c.is_whitespace() || "()\":=!<>".contains(c);
        let rest = self.rest();
        &rest[..rest.find(ends).unwrap_or(rest.len())]
    }

    fn any(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.all(depth)?];
        while self.keyword("or") {
            self.expect_condition()?;
            parts.push(self.all(depth)?);
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Expression::Any(parts),
        })
    }

    fn all(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = Vec::new();
        loop {
            if self.keyword("and") {
                self.expect_condition()?;
            }
            match self.peek() {
                None | Some(')') => break,
                Some(_) if matches!(self.word(), "or" | "OR") => break,
                Some(_) => parts.push(self.not(depth)?),
            }
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Expression::All(parts),
        })
    }

    fn expect_condition(&mut self) -> Result<(), FilterError> {
        match self.peek() {
            None | Some(')') => Err(error(self.at, "expected a condition")),
            Some(_) => Ok(()),
        }
    }

    fn not(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let start = self.at;
        if depth >= MAX_DEPTH {
            return Err(error(start, "nested too deeply"));
        }
        if self.keyword("not") || self.take("!") {
            self.expect_condition()?;
            return Ok(Expression::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.any(depth + 1)?;
            if self.peek() != Some(')') {
                return Err(error(start, "the bracket is not closed"));
            }
            self.at += 1;
            return Ok(inner);
        }
        self.test()
    }

    fn test(&mut self) -> Result<Expression, FilterError> {
        let start = self.at;
        if self.peek() == Some('"') {
            return Ok(text_test(&self.value()?));
        }
        let field = self.word();
        self.at += field.len();
        let after_field = self.at;
        let symbol_at = {
            self.peek();
            self.at
        };
        let symbol =
            ["!=", ">=", "<=", ":", "=", ">", "<"].into_iter().find(|symbol| self.take(symbol));
        let Some(symbol) = symbol else {
            if field.is_empty() {
                return Err(error(start, "expected a condition"));
            }
            self.at = after_field;
            return Ok(text_test(field));
        };
        if field.is_empty() {
            return Err(error(start, format!("expected a field before `{symbol}`")));
        }
        self.peek();
        let value_at = self.at;
        let condition =
            Condition { start, field, symbol, symbol_at, value_at, value: self.value()? };
        if self.scope == Scope::Frame {
            condition.check_frame_field()?;
        }
        let test = Expression::Test(condition.test()?);
        Ok(if symbol == "!=" { Expression::Not(Box::new(test)) } else { test })
    }

    /// A quoted text, or everything up to a space or a bracket.
    fn value(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        if self.take("\"") {
            let Some(end) = self.rest().find('"') else {
                return Err(error(start, "the quote is not closed"));
            };
            let value = &self.rest()[..end];
            self.at += end + 1;
            return Ok(value.to_owned());
        }
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || c == ')');
        let value = &rest[..end.unwrap_or(rest.len())];
        if value.is_empty() {
            return Err(error(start, "expected a value"));
        }
        self.at += value.len();
        Ok(value.to_owned())
    }
}

fn text_test(text: &str) -> Expression {
    Expression::Test(Test::Text(text.to_lowercase()))
}

/// Field, operator and value, as they stand in the text.
struct Condition<'a> {
    start: usize,
    field: &'a str,
    symbol: &'static str,
    symbol_at: usize,
    value_at: usize,
    value: String,
}

impl Condition<'_> {
    /// Refuses a field that only calls have; unknown ones are left to `test`.
    fn check_frame_field(&self) -> Result<(), FilterError> {
        let field = self.field;
        if FIELDS.contains(&field) && !FRAME_FIELDS.contains(&field) {
            let known = FRAME_FIELDS.join(", ");
            let message =
                format!("`{field}` is about a call, and there is only a frame; use {known}");
            return Err(error(self.start, message));
        }
        Ok(())
    }

    fn test(self) -> Result<Test, FilterError> {
        let value = &self.value;
        if let Some((field, path)) = self.field.split_once('.') {
            let path = path.split('.').map(str::to_owned).collect();
            match field {
                "header" => return Ok(Test::Header(path, self.operator(), self.value)),
                "payload" => return Ok(Test::Payload(path, self.operator(), self.value)),
                _ => {}
            }
        }
        Ok(match self.field {
            "plugin" => Test::Plugin(self.equality()?, self.value),
            "kind" => {
                self.equality()?;
                Test::Kind(self.kind()?)
            }
            "dir" => {
                self.equality()?;
                match value.as_str() {
                    "in" => Test::Direction(Direction::In),
                    "out" => Test::Direction(Direction::Out),
                    _ => return Err(self.bad_value("is no direction; write in or out")),
                }
            }
            "status" => {
                self.equality()?;
                Test::Status(self.status()?)
            }
            "latency" => Test::Latency(self.operator(), self.duration()?),
            "size" => {
                let size = units::parse_size(value);
                let size = size.map_err(|reason| error(self.value_at, reason.to_string()))?;
                Test::Size(self.operator(), size)
            }
            "call" => Test::Call(self.operator(), self.number()?),
            "gen" => Test::Generation(self.operator(), self.number()?),
            "text" => {
                self.equality()?;
                Test::Text(value.to_lowercase())
            }
            "header" | "payload" => {
                let field = self.field;
                return Err(error(self.start, format!("write `{field}.<path>`")));
            }
            unknown => {
                let message = format!("unknown field `{unknown}`");
                let root = unknown.split('.').next().unwrap_or(unknown);
                return Err(FilterError {
                    suggestion: nearest(root, FIELDS),
                    ..error(self.start, message)
                });
            }
        })
    }

    /// `!=` reads as `=`; the caller negates it.
    fn operator(&self) -> Operator {
        match self.symbol {
            ":" => Operator::Contains,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            _ => Operator::Equal,
        }
    }

    fn equality(&self) -> Result<Operator, FilterError> {
        match self.operator() {
            operator @ (Operator::Contains | Operator::Equal) => Ok(operator),
            _ => {
                let (field, symbol) = (self.field, self.symbol);
                let message =
                    format!("`{field}` cannot be compared with `{symbol}`, only with : = !=");
                Err(error(self.symbol_at, message))
            }
        }
    }

    fn bad_value(&self, reason: &str) -> FilterError {
        error(self.value_at, format!("`{}` {reason}", self.value))
    }

    fn kind(&self) -> Result<Kind, FilterError> {
        self.value.parse().map_err(|unknown: UnknownKind| {
            let names = Kind::NAMED.iter().map(|(_, name)| *name);
            FilterError {
                suggestion: nearest(&self.value, names),
                ..error(self.value_at, unknown.to_string())
            }
        })
    }

    fn status(&self) -> Result<WantedStatus, FilterError> {
        let known = Outcome::NAMES.iter().find(|name| **name == self.value);
        Ok(match (self.value.as_str(), known) {
            ("pending", _) => WantedStatus::Pending,
            ("error", _) => WantedStatus::Error,
            ("denied", _) => WantedStatus::Denied,
            ("ok", _) => WantedStatus::Outcome("completed"),
            (_, Some(name)) => WantedStatus::Outcome(name),
            _ => {
                let names = ["pending", "error", "denied", "ok"].into_iter();
                return Err(FilterError {
                    suggestion: nearest(&self.value, names.chain(Outcome::NAMES)),
                    ..self.bad_value("is no status")
                });
            }
        })
    }

    fn duration(&self) -> Result<Duration, FilterError> {
        units::parse_duration(&self.value)
            .map_err(|reason| error(self.value_at, reason.to_string()))
    }

    fn number(&self) -> Result<u64, FilterError> {
        let digits = self.value.strip_prefix('#').unwrap_or(&self.value);
        digits.parse().map_err(|_| self.bad_value("is not a number"))
    }
}

/// The name most like `word`, if any is.
fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let scored = names.into_iter().map(|name| (strsim::damerau_levenshtein(word, name), name));
    let (distance, name) = scored.min()?;
    (distance <= name.len() / 2).then(|| name.to_owned())
}
