//! The one filter language: for the list, search, export, replay and the command line.
//!
//! ```text
//! plugin:redact kind:data status:error latency>5ms size>1k header.user.id=42 text:"abc" (a or b) not c
//! ```
//!
//! Conditions that stand side by side must all hold; `or`, `and`, `not` and brackets do what they
//! say. A word without a field is searched for like `text:`.
//!
//! | field | values | operators |
//! |---|---|---|
//! | `plugin` | part of an id; all of it with `=` | `: = !=` |
//! | `kind` | `data`, `control`, `0x61`, … | `: = !=` |
//! | `dir` | `in`, `out` | `: = !=` |
//! | `status` | `pending`, `ok`, `error`, `denied`, or an outcome such as `timed-out` | `: = !=` |
//! | `latency` | a duration with its unit: `5ms` | all |
//! | `size` | bytes of the encoded frame: `1k`, `64 KiB` in quotes | all |
//! | `call`, `gen` | a number | all |
//! | `header.<path>` | part of the value; all of it with `=` | all |
//! | `payload.<path>` | the same, in JSON or CBOR; items of a list by number | all |
//! | `text` | part of header or payload, case does not matter | `: !=` |
//!
//! All operators are `: = != > >= < <=`. Values with spaces or brackets are quoted.
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
//! The language deliberately has no regular expressions and no arithmetic yet.

mod matching;
mod parse;

use std::time::Duration;

use glovebox_abi::{Frame, Kind};
use glovebox_events::{CallId, Outcome};

use crate::store::Direction;
use parse::Scope;

/// What a filter looks at: one frame and the call it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Id of the plugin.
    pub plugin: &'a str,
    /// Which way the frame went.
    pub direction: Direction,
    /// The call.
    pub call: CallId,
    /// Generation of the plugin, from 1.
    pub generation: u32,
    /// How the call ended, if it did.
    pub outcome: Option<&'a Outcome>,
    /// True if the plugin was denied anything during the call.
    pub denied: bool,
    /// Latency of the call, once it is over.
    pub latency: Option<Duration>,
    /// The frame.
    pub frame: &'a Frame,
}

/// A condition on frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Expression);

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {position}{}", did_you_mean(.suggestion.as_deref()))]
pub struct FilterError {
    /// Where, in bytes from the start of the text.
    pub position: usize,
    /// What is wrong.
    pub message: String,
    /// What may have been meant.
    pub suggestion: Option<String>,
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |suggestion| format!("; did you mean `{suggestion}`?"))
}

impl Filter {
    /// Reads a filter; an empty text matches everything.
    ///
    /// # Errors
    ///
    /// If the text is not a filter; the error says where and, if it can, what was meant.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        parse::parse(text, Scope::Call).map(Filter)
    }

    /// True if the frame fulfils the condition.
    ///
    /// Header and payload are decoded only if the filter asks for a path in them.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        matching::matches(&self.0, subject)
    }

    /// True if the filter matches everything.
    pub fn is_empty(&self) -> bool {
        self.0 == Expression::All(Vec::new())
    }
}

impl Default for Filter {
    /// The filter that matches everything.
    fn default() -> Self {
        Filter(Expression::All(Vec::new()))
    }
}

/// A condition on frames by themselves, without a call: for frames that are on their way.
///
/// Of the language it has the fields `kind`, `size`, `header.<path>`, `payload.<path>` and `text`;
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
        // What only calls have is never asked for, so it does not matter what stands here.
        let subject = Subject {
            plugin: "",
            direction: Direction::In,
            call: CallId(0),
            generation: 0,
            outcome: None,
            denied: false,
            latency: None,
            frame,
        };
        matching::matches(&self.0, &subject)
    }
}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Filter::parse(text)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Test(Test),
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Plugin(Operator, String),
    Kind(Kind),
    Direction(Direction),
    Status(WantedStatus),
    Latency(Operator, Duration),
    Size(Operator, u64),
    Call(Operator, u64),
    Generation(Operator, u64),
    Header(Vec<String>, Operator, String),
    Payload(Vec<String>, Operator, String),
    /// In lower case.
    Text(String),
}

#[derive(Debug, Clone, PartialEq)]
enum WantedStatus {
    Pending,
    Error,
    Denied,
    Outcome(&'static str),
}

/// `!=` is a negated `=` and does not appear here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Contains,
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_abi::Header;
    use glovebox_abi::cbor::Value;

    #[test]
    fn filters_match() {
        let failed = Outcome::TimedOut { deadline: Duration::from_millis(20) };
        let user = Value::Map(vec![(Value::Text("id".into()), Value::Integer(42))]);
        let header = Header::build().text("id", "Q-1").value("user", user).finish();
        let payload = &br#"{"mail": "Ann@example.org", "tags": ["x", "urgent"], "n": 2.5}"#[..];
        let frame = Frame::new(Kind::DATA, header, payload);
        let subject = Subject {
            plugin: "redact-mail",
            direction: Direction::In,
            call: CallId(7),
            generation: 2,
            outcome: Some(&failed),
            denied: false,
            latency: Some(Duration::from_millis(20)),
            frame: &frame,
        };
        let check = |text: &str, expected: bool| {
            let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(filter.matches(&subject), expected, "{text}");
        };
        check("", true);
        check("plugin:redact", true);
        check("plugin=redact", false);
        check("plugin=redact-mail", true);
        check("plugin!=redact-mail", false);
        check("kind:data", true);
        check("kind:0x61", false);
        check("kind!=control", true);
        check("dir:in", true);
        check("dir:out", false);
        check("status:error", true);
        check("status:timed-out", true);
        check("status:ok", false);
        check("status:pending", false);
        check("status:denied", false);
        check("latency>5ms", true);
        check("latency > 20ms", false);
        check("latency>=20ms", true);
        check("latency<1s", true);
        check("size>50", true);
        check("size>1k", false);
        check("call:7", true);
        check("call=#7", true);
        check("call>7", false);
        check("gen<=2", true);
        check("header.user.id=42", true);
        check("header.user.id>41", true);
        check("header.user.id!=42", false);
        check("header.id:q-", true);
        check("header.missing=1", false);
        check("header.missing!=1", true);
        check("payload.mail:example.org", true);
        check("payload.tags.1=urgent", true);
        check("payload.n<2.6", true);
        check("payload.n<10", true);
        check("text:\"ann@\"", true);
        check("ANN", true);
        check("bob", false);
        check("(bob or ann) not eve", true);
        check("bob or ann kind:control", false);
        check("not (bob or eve) and kind:data", true);
        check("not not ann", true);
        check("!bob", true);
    }

    #[test]
    fn calls_that_run_have_no_latency() {
        let frame = Frame::data(&b""[..]);
        let subject = Subject {
            plugin: "echo",
            direction: Direction::In,
            call: CallId(1),
            generation: 1,
            outcome: None,
            denied: true,
            latency: None,
            frame: &frame,
        };
        let check = |text: &str, expected: bool| {
            let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(filter.matches(&subject), expected, "{text}");
        };
        check("status:pending", true);
        check("status:denied", true);
        check("status:error", false);
        check("latency<1min", false);
        check("latency>0ns", false);
    }

    #[test]
    fn bad_filters_are_explained() {
        fn check(text: &str, position: usize, expected: &str) {
            let error = Filter::parse(text).expect_err(text);
            assert_eq!(error.position, position, "{text}: {error}");
            let shown = error.to_string();
            assert!(shown.contains(expected), "{shown:?} does not say {expected:?}");
        }
        check("latncy>5ms", 0, "did you mean `latency`?");
        check("a plugn:x", 2, "did you mean `plugin`?");
        check("status:eror", 7, "did you mean `error`?");
        check("kind:dta", 5, "did you mean `data`?");
        check("dir:up", 4, "in or out");
        check("latency>5", 8, "is not a duration");
        check("size>lots", 5, "is not a size");
        check("call=x", 5, "not a number");
        check("kind>data", 4, "cannot be compared with `>`");
        check("text:\"abc", 5, "quote is not closed");
        check("(a or b", 0, "bracket is not closed");
        check("a )", 2, "bracket was not opened");
        check("a or", 4, "expected a condition");
        check("plugin:", 7, "expected a value");
        check("header=3", 0, "header.<path>");
        check("not", 3, "expected a condition");
        check(&"(".repeat(1000), 64, "nested too deeply");
        check(&"not ".repeat(1000), 256, "nested too deeply");
    }

    #[test]
    fn frames_alone_have_no_calls() {
        fn check(text: &str, expected: Result<bool, (usize, &str)>) {
            let frame = Frame::data(&br#"{"n": 3}"#[..]);
            let found = FrameFilter::parse(text).map(|filter| filter.matches(&frame));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(error), Err((position, message))) => {
                    assert_eq!(error.position, position, "{text}: {error}");
                    let shown = error.to_string();
                    assert!(shown.contains(message), "{shown:?} does not say {message:?}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        check("", Ok(true));
        check("kind:data size<1k payload.n=3 text:n", Ok(true));
        check("not kind:data or header.id=1", Ok(false));
        check("kind:data latency>5ms", Err((10, "`latency` is about a call")));
        check("not (plugin:x)", Err((5, "use kind, size, text, header, payload")));
        check("status:error", Err((0, "`status` is about a call")));
        check("plugn:x", Err((0, "did you mean `plugin`?")));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"[a-z:=!<>()" .µ0-9]{0,30}"#) {
            if let Err(error) = Filter::parse(&text) {
                proptest::prop_assert!(error.position <= text.len());
            }
        }
    }
}
