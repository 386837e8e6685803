//! The part of a filter that asks of frames alone, so that most frames of a trace can be passed
//! over before anybody finds out how their calls went.

use glovebox_abi::Kind;

use super::expression::{Condition, Expression, NumberField};
use super::{Filter, FrameFilter, Subject, matching};

impl Filter {
    /// The condition on frames alone that every frame fulfils that can match; `None` if that rules
    /// nothing out.
    pub(crate) fn of_frames_alone(&self) -> Option<FrameFilter> {
        let known = known(&self.0, true)?;
        Some(FrameFilter(known))
    }

    /// True if it asks the same of frames alone, and nothing else.
    pub(crate) fn is_same(&self, alone: &FrameFilter) -> bool {
        self.0 == alone.0
    }
}

impl FrameFilter {
    /// As [`matches`](FrameFilter::matches), for a frame that is not decoded.
    pub(crate) fn matches_parts(&self, kind: Kind, header: &[u8], payload: &[u8]) -> bool {
        matching::matches(&self.0, &Subject { kind, header, payload, ..Subject::nothing() })
    }
}

/// Weakens an expression to its conditions about frames alone. If `wanted`, the result holds
/// wherever the expression holds; otherwise the expression holds wherever the result holds. `None`
/// rules nothing out, or nothing in.
fn known(expression: &Expression, wanted: bool) -> Option<Expression> {
    match expression {
        Expression::All(parts) if wanted => some_of(parts, wanted, Expression::All),
        Expression::Any(parts) if !wanted => some_of(parts, wanted, Expression::Any),
        Expression::All(parts) => all_of(parts, wanted, Expression::All),
        Expression::Any(parts) => all_of(parts, wanted, Expression::Any),
        Expression::Not(part) => known(part, !wanted).map(|part| Expression::Not(Box::new(part))),
        Expression::Condition(condition) => {
            let is_known = match condition {
                Condition::Kind(_) | Condition::Value(..) | Condition::Search(..) => true,
                Condition::Number(field, _) => *field == NumberField::Size,
                Condition::Plugin(_)
                | Condition::Version(_)
                | Condition::Direction(_)
                | Condition::Status(_) => false,
            };
            is_known.then(|| expression.clone())
        }
    }
}

/// The parts that are known; the others do not matter.
fn some_of(
    parts: &[Expression],
    wanted: bool,
    join: fn(Vec<Expression>) -> Expression,
) -> Option<Expression> {
    let mut parts: Vec<_> = parts.iter().filter_map(|part| known(part, wanted)).collect();
    if parts.len() > 1 { Some(join(parts)) } else { parts.pop() }
}

/// All parts, if all are known.
fn all_of(
    parts: &[Expression],
    wanted: bool,
    join: fn(Vec<Expression>) -> Expression,
) -> Option<Expression> {
    let parts: Option<Vec<_>> = parts.iter().map(|part| known(part, wanted)).collect();
    parts.map(join)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_of_calls_is_left_out() {
        fn check(text: &str, expected: Option<&str>) {
            let filter = Filter::parse(text).expect(text);
            let expected = expected.map(|text| Filter::parse(text).expect(text).to_string());
            let found = filter.of_frames_alone().map(|FrameFilter(left)| left.to_string());
            assert_eq!(found, expected, "{text}");
        }
        check("header.a=1", Some("header.a=1"));
        check("latency>5ms and header.a=1", Some("header.a=1"));
        check("latency>5ms", None);
        check("latency>5ms or header.a=1", None);
        check("(latency>5ms or header.a=1) kind:data", Some("kind:data"));
        check("not (latency>5ms or header.a=1)", Some("not (header.a=1)"));
        check("not (latency>5ms and header.a=1)", None);
        check("not (size>1k and header.a=1)", Some("not (size>1k and header.a=1)"));
        check("plugin:x dir:in status:error call=1 instance=1 gen=1 version=1.0.0", None);
    }
}
