//! Properties of every filter: it reads as it is written down, and it skips no chunk in which it
//! would match.

use std::time::Duration;

use glovebox_abi::{Frame, Header, Kind};
use glovebox_events::{CallId, Direction};
use glovebox_trace::{Directions, Kinds, Statuses};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::expression::{Condition, Format, NameTest, NumberField, Place, Root, Word};
use super::path::{Path, Step};
use super::pattern::{MaskedByte, Pattern, Search};
use super::value::{Literal, Member, Order, ValueTest};
use super::*;

/// Texts with all that has a meaning in filters.
const TEXT: &str = r#"[a-c0-3 "\\(){}\[\]<>=!:~./,*ü#-]{0,6}"#;

/// A small number, so that ranges and frames meet.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0u64..40, 1 => any::<u64>()]
}

fn span() -> impl Strategy<Value = Numbers> {
    (number(), number())
        .prop_map(|(left, right)| Numbers { first: left.min(right), last: left.max(right) })
}

fn search() -> impl Strategy<Value = Search> {
    let byte = (any::<u8>(), select(vec![0xFF, 0xF0, 0x0F, 0]));
    let byte = byte.prop_map(|(value, mask)| MaskedByte { value: value & mask, mask });
    let regex = ("[a-c.*]{0,2}(\\\\/|[0-3])[a-c]?", any::<bool>());
    prop_oneof![
        TEXT.prop_map(Pattern::Contains),
        TEXT.prop_map(Pattern::Exact),
        vec(byte, 1..5).prop_map(Pattern::Bytes),
        regex.prop_map(|(source, any_case)| Pattern::Regex { source, any_case }),
    ]
    .prop_filter_map("not a regular expression", |pattern| Search::new(pattern).ok())
}

/// A search that `:` makes, and one that `~` makes.
fn two_searches() -> impl Strategy<Value = (bool, Search)> {
    search().prop_map(|search| (matches!(search.pattern(), Pattern::Contains(_)), search))
}

/// A value with or without quotes, as it may need them.
fn literal() -> impl Strategy<Value = Literal> {
    (TEXT, any::<bool>()).prop_map(|(text, quoted)| {
        let needed = Word(&text).to_string().starts_with('"');
        Literal::new(text, quoted || needed)
    })
}

fn member() -> impl Strategy<Value = Member> {
    let range = (literal(), literal(), 0..3).prop_map(|(left, right, open)| {
        let (first, last) =
            if left.order_to(&right).is_le() { (left, right) } else { (right, left) };
        Member::Range((open != 0).then_some(first), (open != 1).then_some(last))
    });
    prop_oneof![literal().prop_map(Member::One), range]
}

fn value_test() -> impl Strategy<Value = ValueTest> {
    use Order::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    let order = select(vec![Equal, Greater, GreaterOrEqual, Less, LessOrEqual]);
    prop_oneof![
        (order, literal()).prop_map(|(order, literal)| ValueTest::Compare(order, literal)),
        vec(member(), 1..3).prop_map(ValueTest::Among),
        two_searches().prop_map(|(contains, search)| match contains {
            true => ValueTest::Contains(search),
            false => ValueTest::Pattern(search),
        }),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    select(vec![Kind::HANDSHAKE, Kind::DATA, Kind::CONTROL, Kind(0x60), Kind(0x61), Kind(0xFF)])
}

fn plugin() -> impl Strategy<Value = String> {
    select(vec!["a", "ab", "b-c", "ABC"]).prop_map(str::to_owned)
}

fn statuses() -> impl Strategy<Value = Statuses> {
    let name = select(Statuses::names().collect::<Vec<_>>());
    vec(name, 1..4).prop_map(|names| {
        let known = names.into_iter().filter_map(Statuses::named);
        known.fold(Statuses::NONE, Statuses::with)
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    use NumberField::{Call, Generation, Instance, Latency, Size, Time};
    let kinds = vec(kind(), 1..4).prop_map(|kinds| {
        let mut set = Kinds::default();
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    });
    let directions = select(vec![
        Directions::of(Direction::In),
        Directions::of(Direction::Out),
        Directions::ALL,
    ]);
    let spans = prop_oneof![4 => vec(span(), 1..3), 1 => Just(vec![Numbers::NONE])];
    let numbers = (select(vec![Latency, Time, Size, Call, Instance, Generation]), spans);
    let roots = [Format::Any, Format::Json, Format::Cbor].map(Root::Payload);
    let roots = select([&[Root::Header][..], &roots].concat());
    let path = vec(TEXT.prop_map(Step::new), 1..4).prop_map(Path);
    let place = select(vec![Place::Anywhere, Place::Header, Place::Payload]);
    prop_oneof![
        vec(prop_oneof![plugin(), TEXT], 1..3)
            .prop_map(|names| Condition::Plugin(NameTest::Among(names))),
        search().prop_map(|search| Condition::Plugin(NameTest::Search(search))),
        search().prop_map(|search| Condition::Version(NameTest::Search(search))),
        kinds.prop_map(Condition::Kind),
        directions.prop_map(Condition::Direction),
        statuses().prop_map(Condition::Status),
        numbers.prop_map(|(field, spans)| Condition::Number(field, spans)),
        (roots, path, value_test())
            .prop_map(|(root, path, test)| Condition::Value(root, path, test)),
        (place, search()).prop_map(|(place, search)| Condition::Search(place, search)),
    ]
}

fn expression() -> impl Strategy<Value = Expression> {
    condition().prop_map(Expression::Condition).prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Expression::all),
            vec(inner.clone(), 1..4).prop_map(Expression::any),
            inner.prop_map(|part| Expression::Not(Box::new(part))),
        ]
    })
}

/// The parts that a frame is made of.
type Parts = ((String, Kind, bool, u64), (u64, usize, Option<u64>), (u64, bool));

fn frame_parts() -> impl Strategy<Value = Parts> {
    let outcome = 0..=8u64;
    (
        (plugin(), kind(), any::<bool>(), number()),
        (number(), 0usize..30, proptest::option::of(number())),
        (outcome, any::<bool>()),
    )
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(
        text in r#"(plugin|json|in|hex|and|or|not|[a-z:=!<>()" .µ0-9{},~/\[\]?\\]){0,30}"#,
    ) {
        match Filter::parse(&text) {
            Ok(filter) => prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter)),
            Err(error) => {
                prop_assert!(error.position <= text.len());
                error.pointed_at(&text);
            }
        }
    }

    #[test]
    fn filters_read_as_they_are_written(expression in expression()) {
        let filter = Filter(expression);
        let text = filter.to_string();
        prop_assert_eq!(Filter::parse(&text), Ok(filter), "{}", text);
    }

    #[test]
    fn no_chunk_with_a_match_is_skipped(
        expression in expression(),
        frames in vec(frame_parts(), 1..5),
    ) {
        let filter = Filter(expression);
        let mut summary = ChunkSummary::default();
        let mut matching = false;
        for ((plugin, kind, is_in, call), (time, size, latency), (outcome, denied)) in &frames {
            let frame = Frame::new(*kind, Header::empty(), vec![b'a'; *size]);
            let ended = usize::try_from(*outcome).ok().and_then(|at| glovebox_events::Outcome::NAMES.get(at));
            let status = ended.and_then(|name| Statuses::named(name)).unwrap_or(Statuses::PENDING);
            let subject = Subject {
                plugin,
                direction: if *is_in { Direction::In } else { Direction::Out },
                call: CallId(*call),
                time: Duration::from_nanos(*time),
                status: if *denied { status.with(Statuses::DENIED) } else { status },
                latency: latency.map(Duration::from_nanos),
                ..Subject::of_frame(&frame)
            };
            summary.add(&subject);
            matching |= filter.matches(&subject);
        }
        prop_assert!(!matching || filter.may_match(&summary), "{}", filter);
        summary.forget_ends();
        prop_assert!(!matching || filter.may_match(&summary), "{} with ends forgotten", filter);
    }
}
