//! Text into an expression, by recursive descent. Conditions are read in [`condition`].

use super::condition::{self, Field};
use super::expression::{Condition, Expression, Place};
use super::path::{Path, Step};
use super::pattern::{MaskedByte, Pattern, Search};
use super::{FilterError, FilterProblem};

/// How deeply brackets and `not` may nest.
const MAX_DEPTH: usize = 64;
/// Bytes of a text.
const MAX_TEXT: usize = 64 << 10;
/// Conditions of a filter.
const MAX_CONDITIONS: usize = 1000;
/// Regular expressions of a filter; each may take a megabyte.
const MAX_REGEXES: usize = 64;

/// The scope of a filter's questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A frame and the call it belongs to.
    Call,
    /// A frame by itself.
    Frame,
}

pub(super) fn parse(text: &str, scope: Scope) -> Result<Expression, FilterError> {
    Parser::new(text, scope).parse()
}

/// The element that would be read at the end of a text, for completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// A field or a word; `start` is where its beginning stands.
    Condition { start: usize },
    /// A value of this field.
    Value { field: String, start: usize },
}

/// The error is not of interest: a text that is being typed is seldom good.
pub(super) fn expected_at_end(text: &str) -> Option<Expected> {
    let mut parser = Parser::new(text, Scope::Call);
    let _ = parser.parse();
    parser.expected
}

/// The operators, in the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    NotEqual,
    NotMatch,
    GreaterOrEqual,
    LessOrEqual,
    Equal,
    Contains,
    Greater,
    Less,
    Match,
    In,
}

impl Operator {
    const SYMBOLS: [(&'static str, Operator); 10] = [
        ("!=", Operator::NotEqual),
        ("!~", Operator::NotMatch),
        (">=", Operator::GreaterOrEqual),
        ("<=", Operator::LessOrEqual),
        ("==", Operator::Equal),
        (":", Operator::Contains),
        ("=", Operator::Equal),
        (">", Operator::Greater),
        ("<", Operator::Less),
        ("~", Operator::Match),
    ];

    pub(super) fn symbol(self) -> &'static str {
        let known = Self::SYMBOLS.iter().find(|(_, operator)| *operator == self);
        known.map_or("in", |(symbol, _)| if *symbol == "==" { "=" } else { symbol })
    }

    /// True for `!=` and `!~`, which the parser turns into a negation.
    pub(super) fn is_negated(self) -> bool {
        matches!(self, Operator::NotEqual | Operator::NotMatch)
    }
}

/// A value, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub at: usize,
    pub text: String,
    pub quoted: bool,
}

/// An element of a set, or a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    One(Word),
    /// An end that is missing is open.
    Range {
        at: usize,
        first: Option<Word>,
        last: Option<Word>,
    },
}

pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    pub(super) scope: Scope,
    conditions: usize,
    regexes: usize,
    expected: Option<Expected>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, scope: Scope) -> Parser<'a> {
        Parser { text, at: 0, scope, conditions: 0, regexes: 0, expected: None }
    }

    fn parse(&mut self) -> Result<Expression, FilterError> {
        let (found, limit) = (self.text.len(), MAX_TEXT);
        if found > limit {
            return Err(FilterError::new(limit, FilterProblem::TooLong { found, limit }));
        }
        let expression = self.any(0)?;
        match self.peek() {
            None => Ok(expression),
            Some(_) => Err(self.error_here(FilterProblem::NotOpened)),
        }
    }

    fn error_here(&self, problem: FilterProblem) -> FilterError {
        FilterError::new(self.at, problem)
    }

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

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn any(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.all(depth)?];
        while self.keyword("or") {
            self.expect_condition()?;
            parts.push(self.all(depth)?);
        }
        Ok(Expression::any(parts))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = Vec::new();
        loop {
            if self.keyword("and") {
                self.expect_condition()?;
            }
            match self.peek() {
                None => {
                    self.expect_here();
                    break;
                }
                Some(')') => break,
                Some(_) if matches!(self.word(), "or" | "OR") => {
                    if parts.is_empty() {
                        return Err(self.error_here(FilterProblem::NoCondition));
                    }
                    break;
                }
                Some(_) => parts.push(self.not(depth)?),
            }
        }
        Ok(Expression::all(parts))
    }

    /// Notes that a condition could begin at the end, unless something there was being typed.
    fn expect_here(&mut self) {
        self.expected.get_or_insert(Expected::Condition { start: self.at });
    }

    fn expect_condition(&mut self) -> Result<(), FilterError> {
        match self.peek() {
            Some(c) if c != ')' => Ok(()),
            found => {
                if found.is_none() {
                    self.expect_here();
                }
                Err(self.error_here(FilterProblem::NoCondition))
            }
        }
    }

    fn not(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let start = self.at;
        if depth >= MAX_DEPTH {
            return Err(self.error_here(FilterProblem::TooDeep { limit: MAX_DEPTH }));
        }
        if self.keyword("not") || self.take("!") {
            self.expect_condition()?;
            return Ok(Expression::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.any(depth + 1)?;
            if self.peek() != Some(')') {
                return Err(FilterError::new(start, FilterProblem::NotClosed));
            }
            self.at += 1;
            return Ok(inner);
        }
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            let problem = FilterProblem::TooMany { what: "conditions", limit: MAX_CONDITIONS };
            return Err(self.error_here(problem));
        }
        self.test()
    }

    /// One condition: a field with an operator, or a word to search for.
    fn test(&mut self) -> Result<Expression, FilterError> {
        let start = self.at;
        if self.peek() == Some('"') {
            let text = self.quoted()?;
            return self.text_test(text);
        }
        let word = self.field_word();
        refuse_symbols(word, start)?;
        let field = Field::read(word, start);
        self.at += word.len();
        if self.is_at_end() {
            self.expected = Some(Expected::Condition { start });
        }
        let after_field = self.at;
        self.peek();
        let operator_at = self.at;
        let Some(operator) = self.operator(field.is_known()) else {
            if word.is_empty() {
                return Err(FilterError::new(start, FilterProblem::NoCondition));
            }
            self.at = after_field;
            return self.text_test(word.to_owned());
        };
        if word.is_empty() {
            let operator = operator.symbol().to_owned();
            return Err(FilterError::new(start, FilterProblem::NoField { operator }));
        }
        let condition = condition::read(self, &field, operator, operator_at)?;
        let condition = Expression::Condition(condition);
        Ok(match operator.is_negated() {
            true => Expression::Not(Box::new(condition)),
            false => condition,
        })
    }

    fn text_test(&self, text: String) -> Result<Expression, FilterError> {
        let search = Search::new(Pattern::Contains(text));
        let search = search.map_err(|problem| self.error_here(problem))?;
        Ok(Expression::Condition(Condition::Search(Place::Anywhere, search)))
    }

    /// The field or word that stands next, not taken. Brackets of a path belong to it, with all
    /// that is quoted in them; `~` ends it where it is an operator.
    fn field_word(&self) -> &'a str {
        let word = self.word();
        let root = word.find(['.', '[', '~']).map_or(word, |end| &word[..end]);
        if condition::has_paths(root) {
            return self.path_word();
        }
        match word.find('~') {
            Some(end) if condition::is_field(&word[..end]) => &word[..end],
            Some(end) if end > 0 && starts_pattern(&self.rest()[end + 1..]) => &word[..end],
            _ => word,
        }
    }

    fn path_word(&self) -> &'a str {
        let rest = self.rest();
        let mut characters = rest.char_indices();
        let (mut in_brackets, mut in_quotes) = (false, false);
        while let Some((at, c)) = characters.next() {
            match c {
                '\\' if in_quotes => {
                    characters.next();
                }
                '"' if in_brackets => in_quotes = !in_quotes,
                _ if in_quotes => {}
                '[' => in_brackets = true,
                ']' => in_brackets = false,
                c if c.is_whitespace() || "()\":=!<>~".contains(c) => return &rest[..at],
                _ => {}
            }
        }
        rest
    }

    /// Takes an operator. `~` and `in` may be part of words that are searched for, so they are
    /// operators only where they can be meant as such.
    fn operator(&mut self, after_field: bool) -> Option<Operator> {
        for (symbol, operator) in Operator::SYMBOLS {
            let Some(rest) = self.rest().strip_prefix(symbol) else {
                continue;
            };
            let is_match = matches!(operator, Operator::Match | Operator::NotMatch);
            if !is_match || after_field || starts_pattern(rest) {
                self.at += symbol.len();
                return Some(operator);
            }
        }
        (after_field && self.keyword("in")).then_some(Operator::In)
    }

    /// A quoted text, bytes, or everything up to a space or a bracket.
    pub(super) fn value(&mut self, field: &str) -> Result<Word, FilterError> {
        self.peek();
        self.bound(field, |rest| rest.find(|c: char| c.is_whitespace() || c == ')'))
    }

    fn bound(
        &mut self,
        field: &str,
        end: impl Fn(&str) -> Option<usize>,
    ) -> Result<Word, FilterError> {
        let at = self.at;
        self.expected = Some(Expected::Value { field: field.to_owned(), start: at });
        let quoted = self.rest().starts_with('"');
        let text = if quoted {
            self.quoted()?
        } else if self.starts_bytes() {
            self.at += HEX.len();
            let digits_at = self.at;
            let bytes: Option<Vec<u8>> = hex_pattern(&self.quoted()?).and_then(|bytes| {
                let whole = bytes.iter().all(|byte| byte.mask == 0xFF);
                whole.then(|| bytes.iter().map(|byte| byte.value).collect())
            });
            let Some(bytes) = bytes else {
                return Err(FilterError::new(digits_at, FilterProblem::Hex));
            };
            format!("{HEX}{}", crate::decode::hex::encode(&bytes))
        } else {
            let rest = self.rest();
            let text = &rest[..end(rest).unwrap_or(rest.len())];
            self.at += text.len();
            if text.is_empty() {
                return Err(FilterError::new(at, FilterProblem::NoValue));
            }
            refuse_symbols(text, at)?;
            text.to_owned()
        };
        // A value that something follows is not what is being typed.
        if !self.is_at_end() {
            self.expected = None;
        }
        Ok(Word { at, text, quoted })
    }

    fn starts_bytes(&self) -> bool {
        self.rest().strip_prefix(HEX).is_some_and(|rest| rest.starts_with('"'))
    }

    /// A text in quotes, of which the first stands next.
    fn quoted(&mut self) -> Result<String, FilterError> {
        let (text, length) =
            unquote(self.rest()).ok_or_else(|| FilterError::new(self.at, FilterProblem::Quote))?;
        self.at += length;
        Ok(text)
    }

    /// A set in braces or a range.
    pub(super) fn elements(&mut self, field: &str) -> Result<Vec<Element>, FilterError> {
        self.peek();
        let start = self.at;
        if !self.take("{") {
            return match self.element(field) {
                Ok(range @ Element::Range { .. }) => Ok(vec![range]),
                Err(error) if error.problem != FilterProblem::NoValue => Err(error),
                Ok(Element::One(_)) | Err(_) => Err(FilterError::new(start, FilterProblem::NoSet)),
            };
        }
        let mut elements = Vec::new();
        loop {
            self.peek();
            elements.push(self.element(field)?);
            match self.peek() {
                Some(',') => self.at += 1,
                Some('}') => {
                    self.at += 1;
                    return Ok(elements);
                }
                _ => return Err(FilterError::new(start, FilterProblem::NotClosed)),
            }
        }
    }

    fn element(&mut self, field: &str) -> Result<Element, FilterError> {
        let ends = |c: char| c.is_whitespace() || "),}".contains(c);
        let end = |rest: &str| match (rest.find(ends), rest.find("..")) {
            (Some(left), Some(right)) => Some(left.min(right)),
            (left, right) => left.or(right),
        };
        let at = self.at;
        let first = match self.rest().starts_with("..") {
            true => None,
            false => Some(self.bound(field, end)?),
        };
        if !self.take("..") {
            return first.map(Element::One).ok_or_else(|| self.error_here(FilterProblem::NoValue));
        }
        let last = match self.rest().chars().next() {
            Some(c) if !ends(c) => Some(self.bound(field, end)?),
            _ => None,
        };
        if first.is_none() && last.is_none() {
            return Err(FilterError::new(at, FilterProblem::NoValue));
        }
        Ok(Element::Range { at, first, last })
    }

    /// The pattern after `~`, ready to search.
    pub(super) fn pattern(&mut self) -> Result<Search, FilterError> {
        self.peek();
        let start = self.at;
        let pattern = if self.rest().starts_with('"') {
            Pattern::Exact(self.quoted()?)
        } else if self.starts_bytes() {
            self.at += HEX.len();
            let at = self.at;
            let digits = self.quoted()?;
            let bytes = hex_pattern(&digits);
            Pattern::Bytes(bytes.ok_or_else(|| FilterError::new(at, FilterProblem::Hex))?)
        } else if self.take("/") {
            self.regex(start)?
        } else {
            return Err(FilterError::new(start, FilterProblem::NoPattern));
        };
        Search::new(pattern).map_err(|problem| FilterError::new(start, problem))
    }

    /// A regular expression, behind its first slash.
    fn regex(&mut self, start: usize) -> Result<Pattern, FilterError> {
        self.regexes += 1;
        if self.regexes > MAX_REGEXES {
            let what = "regular expressions";
            let problem = FilterProblem::TooMany { what, limit: MAX_REGEXES };
            return Err(FilterError::new(start, problem));
        }
        let rest = self.rest();
        let mut escaped = false;
        let is_end = |c: char| {
            let ends = c == '/' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        };
        let Some(end) = rest.find(is_end) else {
            return Err(FilterError::new(start, FilterProblem::Slash));
        };
        self.at += end + 1;
        let any_case = self.take("i");
        match self.rest().chars().next() {
            Some(flag) if flag.is_alphanumeric() => {
                let reason = format!("unknown flag `{flag}`; `i` is for any case");
                Err(self.error_here(FilterProblem::Regex { reason }))
            }
            _ => Ok(Pattern::Regex { source: rest[..end].to_owned(), any_case }),
        }
    }
}

/// Refuses the operators of other languages outside quotes: as texts they would match nothing, and
/// nobody would know why.
fn refuse_symbols(text: &str, at: usize) -> Result<(), FilterError> {
    const SYMBOLS: [(&str, &str); 4] = [("||", "or"), ("&&", "and"), ("|", "or"), ("&", "and")];
    let mut is_quoted = false;
    let mut characters = text.char_indices();
    while let Some((position, c)) = characters.next() {
        match c {
            '\\' if is_quoted => drop(characters.next()),
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            _ => {
                let mut symbols = SYMBOLS.into_iter();
                let found = symbols.find(|(symbol, _)| text[position..].starts_with(symbol));
                if let Some((found, instead)) = found {
                    let problem = FilterProblem::Symbol { found, instead };
                    return Err(FilterError::new(at + position, problem));
                }
            }
        }
    }
    Ok(())
}

/// Stands before bytes in quotes.
const HEX: &str = "hex:";

fn starts_pattern(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with(['/', '"']) || text.strip_prefix(HEX).is_some_and(|rest| rest.starts_with('"'))
}

/// The text in the quotes at the start, and how many bytes it takes with them. A `\` stands for
/// the next character if that is a quote or `\`, and for itself otherwise.
fn unquote(text: &str) -> Option<(String, usize)> {
    let mut found = String::new();
    let mut rest = text.strip_prefix('"')?.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            '"' => return Some((found, at + 2)),
            '\\' if rest.as_str().starts_with(['"', '\\']) => {
                found.extend(rest.next().map(|(_, escaped)| escaped));
            }
            c => found.push(c),
        }
    }
    None
}

/// Pairs of hexadecimal digits, with `?` for any.
pub(super) fn hex_pattern(text: &str) -> Option<Vec<MaskedByte>> {
    let digits = text.chars().filter(|c| !c.is_whitespace()).map(|c| match c {
        '?' => Some(MaskedByte { value: 0, mask: 0 }),
        c => c.to_digit(16).map(|digit| MaskedByte { value: digit as u8, mask: 0xF }),
    });
    let digits: Vec<MaskedByte> = digits.collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |[high, low]: &[MaskedByte; 2]| MaskedByte {
        value: high.value << 4 | low.value,
        mask: high.mask << 4 | low.mask,
    };
    (rest.is_empty() && !pairs.is_empty()).then(|| pairs.iter().map(byte).collect())
}

/// The steps of a path, behind the root; or how many bytes in there is no step.
pub(super) fn read_path(text: &str) -> Result<Path, usize> {
    let mut steps = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        rest = &rest[first.len_utf8()..];
        if first == '[' {
            let (name, length) = match rest.starts_with('"') {
                true => unquote(rest).ok_or(at)?,
                false => {
                    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    (rest[..digits].to_owned(), digits)
                }
            };
            rest = rest[length..].strip_prefix(']').filter(|_| length > 0).ok_or(at)?;
            steps.push(Step::new(name));
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if first != '.' || end == 0 {
                return Err(at);
            }
            steps.push(Step::new(&rest[..end]));
            rest = &rest[end..];
        }
    }
    Ok(Path(steps))
}
