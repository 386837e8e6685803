use glovebox_abi::UnknownKind;
use glovebox_abi::nearest::{did_you_mean, nearest};
use glovebox_abi::units::UnitError;

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {position}{}", did_you_mean(.suggestion.as_deref()))]
pub struct FilterError {
    /// Where, in bytes from the start of the text; at most its length.
    pub position: usize,
    /// The problem.
    pub problem: FilterProblem,
    /// The field, word or text that may have been meant.
    pub suggestion: Option<String>,
}

/// A problem in the text of a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterProblem {
    /// A condition is missing: after `not`, around `or`, or before an operator.
    #[error("expected a condition")]
    NoCondition,
    /// An operator stands without a field.
    #[error("expected a field before `{operator}`")]
    NoField {
        /// The operator.
        operator: String,
    },
    /// A value is missing.
    #[error("expected a value")]
    NoValue,
    /// There is no such field.
    #[error("unknown field `{field}`")]
    UnknownField {
        /// The field in the text.
        field: String,
    },
    /// The field asks about a call, and there is only a frame.
    #[error("`{field}` is about a call, and there is only a frame; use {known}")]
    FieldOfCall {
        /// The field.
        field: String,
        /// The fields that a frame has.
        known: String,
    },
    /// The field stands for all of a header or payload, which can only be searched.
    #[error("write `{field}.<path>` for a value in it, or `{field} ~ …` to search all of it")]
    NoPath {
        /// The field.
        field: String,
    },
    /// A step of a path has no name.
    #[error("expected a name or number in the path")]
    EmptyStep,
    /// The field does not have this operator.
    #[error("`{field}` cannot be compared with `{operator}`, only with {known}")]
    Operator {
        /// The field.
        field: String,
        /// The operator.
        operator: String,
        /// The operators it has.
        known: &'static str,
    },
    /// The value is none of this field.
    #[error("`{value}` is not a {what}; write {known}")]
    Value {
        /// The value.
        value: String,
        /// The expected kind of value.
        what: &'static str,
        /// The values that would have been understood.
        known: &'static str,
    },
    /// The value is no size or duration.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The value is no kind.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    /// After `in` stands neither a set nor a range.
    #[error("expected a set such as `{{a, b}}` or a range such as `1..5` after `in`")]
    NoSet,
    /// The values of this field have no order.
    #[error("`{field}` has no ranges; write a set such as `{{a, b}}`")]
    NoRange {
        /// The field.
        field: String,
    },
    /// A range ends before it begins, so nothing is in it.
    #[error("the range ends before it begins")]
    Backwards,
    /// After `~` stands no pattern.
    #[error("expected a pattern: `/regex/`, `\"text\"` or `hex:\"de ad ?? ef\"`")]
    NoPattern,
    /// The regular expression is none, or too large.
    #[error("the regular expression cannot be used: {reason}")]
    Regex {
        /// The reason.
        reason: String,
    },
    /// The byte pattern is none.
    #[error("write pairs of hexadecimal digits, `?` for any digit")]
    Hex,
    /// A bracket was opened only.
    #[error("the bracket is not closed")]
    NotClosed,
    /// A bracket was closed only.
    #[error("the bracket was not opened")]
    NotOpened,
    /// A quote was opened only.
    #[error("the quote is not closed")]
    Quote,
    /// A regular expression was opened only.
    #[error("the regular expression is not closed with `/`")]
    Slash,
    /// An operator of another language, which would be searched for as a text.
    #[error(
        "`{found}` is no operator; write `{instead}`, or quote the text that `{found}` is part of"
    )]
    Symbol {
        /// The operator.
        found: &'static str,
        /// Its name here.
        instead: &'static str,
    },
    /// Brackets and `not` nest too deeply.
    #[error("nested too deeply; {limit} levels are allowed")]
    TooDeep {
        /// The most levels.
        limit: usize,
    },
    /// The text is too long.
    #[error("the filter has {found} bytes; {limit} are allowed")]
    TooLong {
        /// Bytes of the text.
        found: usize,
        /// The most bytes.
        limit: usize,
    },
    /// The filter has too many conditions.
    #[error("the filter has more than {limit} {what}; use a set, or several filters")]
    TooMany {
        /// The things that there are too many of.
        what: &'static str,
        /// The most.
        limit: usize,
    },
}

impl FilterError {
    pub(super) fn new(position: usize, problem: impl Into<FilterProblem>) -> FilterError {
        FilterError { position, problem: problem.into(), suggestion: None }
    }

    /// Names what in `names` is most like `word`, if anything is.
    pub(super) fn suggesting<'a>(
        self,
        word: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> FilterError {
        let names: Vec<&str> = names.into_iter().collect();
        // A name is short for a word that begins with it.
        let short =
            || names.iter().find(|name| name.len() >= 3 && word.starts_with(**name)).copied();
        let near = nearest(word, names.iter().copied()).or_else(short);
        FilterError { suggestion: near.map(str::to_owned), ..self }
    }

    /// The line of `text` in which the error stands, and below it a mark under the place.
    ///
    /// `text` is what was parsed. Beyond 100 characters only the part around the place is shown.
    ///
    /// ```
    /// use glovebox_inspector::filter::Filter;
    ///
    /// let error = Filter::parse("kind:data latncy>5ms").unwrap_err();
    /// assert_eq!(error.pointed_at("kind:data latncy>5ms"), "kind:data latncy>5ms\n          ^");
    /// ```
    pub fn pointed_at(&self, text: &str) -> String {
        const AROUND: usize = 50;
        let position = text.floor_char_boundary(self.position);
        let (before, after) = text.split_at(position);
        let before = before.rsplit('\n').next().unwrap_or(before);
        let after = after.split('\n').next().unwrap_or(after);
        let skipped = before.chars().count().saturating_sub(AROUND);
        let before: String = before.chars().skip(skipped).collect();
        let after: String = after.chars().take(AROUND).collect();
        let indent = " ".repeat(before.chars().count());
        format!("{before}{after}\n{indent}^")
    }
}
