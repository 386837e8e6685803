//! The one filter language: for the list, search, export, replay and the command line.
//!
//! ```text
//! plugin:redact kind:data status:error latency>5ms size>1k header.user.id=42 text:"abc" (a or b) not c
//! ```
//!
//! Conditions that stand side by side must all hold; `or`, `and`, `not` and brackets do what they
//! say, and `and` binds tighter than `or`. A word without a field is searched for like `text:`.
//!
//! | field | values | operators |
//! |---|---|---|
//! | `plugin` | part of an id; all of it with `=` and in sets | `: = != ~ !~ in` |
//! | `kind` | `data`, `control`, `0x61`, … | `: = != in` |
//! | `dir` | `in`, `out` | `: = != in` |
//! | `status` | `pending`, `ok`, `error`, `denied` (by the policy), `injected` (by a fault or a mock), or an outcome such as `timed-out` | `: = != in` |
//! | `latency` | a duration with its unit: `5ms` | `: = != > >= < <= in` |
//! | `size` | bytes of the encoded frame: `1k`, `64 KiB` in quotes | the same |
//! | `time` | since the first event, a duration with its unit: `1.5s` | the same |
//! | `call`, `instance`, `gen` | a number | the same |
//! | `version` | part of the version that the plugin has; all of it with `=` and in sets | `: = != ~ !~ in` |
//! | `header.<path>` | part of the value; all of it with `=` | all |
//! | `payload.<path>` | the same, in JSON or CBOR | all |
//! | `json.<path>`, `cbor.<path>` | the same, if the payload is of this format | all |
//! | `header`, `payload` | anywhere in their bytes | `: ~ !~` |
//! | `text` | part of header or payload, case does not matter | `: = != ~ !~` |
//!
//! # Grammar
//!
//! ```text
//! filter     = [ any ]
//! any        = all { "or" all }
//! all        = one { [ "and" ] one }
//! one        = ( "not" | "!" ) one | "(" [ any ] ")" | condition
//! condition  = field ( ":" | "=" | "!=" | ">" | ">=" | "<" | "<=" ) value
//!            | field ( "~" | "!~" ) pattern
//!            | field "in" ( range | "{" element { "," element } "}" )
//!            | word | quoted
//! element    = value | range
//! range      = value ".." value | value ".." | ".." value        (no space around "..")
//! field      = name { "." name | "[" number "]" | "[" quoted "]" }
//! value      = quoted | word | bytes                             (bytes without "?")
//! pattern    = "/" regex "/" [ "i" ] | quoted | bytes
//! bytes      = 'hex:"' { digit digit } '"'                       (a digit may be "?": any)
//! word       = { character }                     (no space, bracket, operator, "|" or "&")
//! quoted     = '"' { character | '\"' | '\\' } '"'
//! ```
//!
//! **Paths** go into maps by key and into lists by number, from 0: `json.items[0].price`, which is
//! also `json.items.0.price`. A key with spaces, dots or operators is quoted:
//! `header["user id"]`. A value that is not there fulfils nothing, so `!=` holds for it.
//!
//! **Ranges** include both ends: `size in 100..2k`. An end may be left out: `time in 10s..`. Sets
//! hold values and ranges: `header.code in {200, 300..399}`.
//!
//! **Units**: durations have `ns`, `us`, `ms`, `s` or `min`; sizes may have `k`, `M`, `G` (powers of
//! 1000) or `KiB`, `MiB`, `GiB`. Numbers in a header or payload are written with or without a unit
//! of sizes.
//!
//! **Values** in a header or payload are compared as what they are there: numbers with numbers, by
//! value; texts by their bytes; `true`, `null`, lists and maps as their JSON. A string of bytes is
//! written `hex:"de ad"`. With `> >= < <=` and in ranges, only a number stands before or after a
//! number: `json.price>10` finds no text, no `null` and no list. A text stands before or after a
//! text: `json.day>="2024-01-01"`; a number in quotes is compared with texts, too.
//!
//! **Patterns**: `payload ~ /re/` is a regular expression in the syntax of the crate
//! [`regex`](https://docs.rs/regex/1/regex/#syntax) over the raw bytes, case matters unless `i`
//! follows; a slash in it is written `\/`. `payload ~ "text"` looks for exactly this text, and
//! `payload ~ hex:"de ad ?? ef"` for bytes.
//!
//! ```
//! use glovebox_inspector::filter::Filter;
//!
//! assert!(Filter::parse("latency>5ms or size>=1k").is_ok());
//! let error = Filter::parse("latncy>5ms").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "unknown field `latncy` at byte 0; did you mean `latency`?"
//! );
//! ```
//!
//! Read [`Filter`] first, then [`Subject`], which is what it looks at, and [`ChunkSummary`], by
//! which a search skips what cannot match. The language deliberately has no arithmetic, and it
//! compares a frame with nothing but what is written: not with other frames.

mod alone;
mod complete;
mod condition;
mod error;
mod expression;
mod matching;
mod parse;
mod path;
mod pattern;
mod seek;
mod subject;
mod summary;
mod value;

use std::fmt;
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_trace::Numbers;

pub use complete::{Completion, SeenValues};
pub use error::{FilterError, FilterProblem};
use expression::{Condition, Expression, NumberField};
use parse::Scope;
pub use subject::Subject;
use subject::nanoseconds;
pub use summary::ChunkSummary;

/// A condition on frames, ready to be tried on any number of them.
///
/// Threads that search at the same time should each have a clone: what regular expressions need
/// for their work is not shared then.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Expression);

impl Filter {
    /// Reads a filter; an empty text matches everything.
    ///
    /// # Errors
    ///
    /// If the text is not a filter; the error says where and, if it can, what was meant. A filter
    /// has at most 64 KiB, 1000 conditions, 64 regular expressions and 64 levels of brackets.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        parse::parse(text, Scope::Call).map(Filter)
    }

    /// True if the frame fulfils the condition.
    ///
    /// Nothing is allocated once a regular expression has been used, but for lists, maps, fractions
    /// and bytes that are compared as texts. Of a header only the way to the wanted value is
    /// decoded; a payload is read to its end, because it must be JSON or CBOR as a whole.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        matching::matches(&self.0, subject)
    }

    /// The same, but only of frames from `first` to `last` since the first event, both included.
    ///
    /// ```
    /// use std::time::Duration;
    /// use glovebox_inspector::filter::Filter;
    ///
    /// let filter = Filter::parse("kind=data or size>1k")?;
    /// let filter = filter.at_times(Duration::from_secs(2), Duration::from_secs(3));
    /// assert_eq!(filter.to_string(), "time in 2s..3s (kind=data or size>=1001)");
    /// # Ok::<(), glovebox_inspector::filter::FilterError>(())
    /// ```
    #[must_use]
    pub fn at_times(self, first: Duration, last: Duration) -> Filter {
        let span = Numbers { first: nanoseconds(first), last: nanoseconds(last) };
        let mut parts =
            vec![Expression::Condition(Condition::Number(NumberField::Time, vec![span]))];
        match self.0 {
            Expression::All(others) => parts.extend(others),
            other => parts.push(other),
        }
        Filter(Expression::all(parts))
    }

    /// True if the filter matches everything because it has no conditions.
    pub fn is_empty(&self) -> bool {
        self.0 == Expression::everything()
    }
}

impl Default for Filter {
    /// The filter that matches everything.
    fn default() -> Self {
        Filter(Expression::everything())
    }
}

impl fmt::Display for Filter {
    /// As a text that reads as an equal filter; comparisons of numbers become `>=`, `<=`, `=` or
    /// ranges.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A condition on frames by themselves, without a call: for frames that are on their way.
///
/// Of the language it has the fields `kind`, `size`, `text`, `header`, `payload`, `json` and `cbor`;
/// the others are errors, because they could never hold.
///
/// ```
/// use glovebox_abi::Frame;
/// use glovebox_inspector::filter::FrameFilter;
///
/// let filter = FrameFilter::parse("kind:data payload.n>2")?;
/// assert!(filter.matches(&Frame::data(r#"{"n": 3}"#)));
/// let error = FrameFilter::parse("size>1k latency>5ms").unwrap_err();
/// assert_eq!(error.position, 8);
/// # Ok::<(), glovebox_inspector::filter::FilterError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FrameFilter(Expression);

impl FrameFilter {
    /// Reads a filter; an empty text matches everything.
    ///
    /// # Errors
    ///
    /// If the text is not a filter, or asks for something that a frame alone does not have.
    pub fn parse(text: &str) -> Result<FrameFilter, FilterError> {
        parse::parse(text, Scope::Frame).map(FrameFilter)
    }

    /// True if the frame fulfils the condition.
    pub fn matches(&self, frame: &Frame) -> bool {
        matching::matches(&self.0, &Subject::of_frame(frame))
    }
}

/// A value as it is written in a filter: in quotes where it needs them.
///
/// ```
/// use glovebox_inspector::filter::{path_step, quote};
///
/// let field = format!("header{}{}", path_step("user"), path_step("first name"));
/// assert_eq!(format!("{field}={}", quote("Ann B")), r#"header.user["first name"]="Ann B""#);
/// ```
pub fn quote(value: &str) -> String {
    expression::Word(value).to_string()
}

/// A step of a path as it is written in a filter, behind a field or another step: `.user`, `[0]`.
pub fn path_step(name: &str) -> String {
    path::Step::new(name).to_string()
}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Filter::parse(text)
    }
}

#[cfg(test)]
mod proptests;
#[cfg(test)]
mod tests;
