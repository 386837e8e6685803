use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::{Header, Kind};
use glovebox_events::{CallId, Direction, Outcome};
use glovebox_trace::Statuses;

use super::*;

#[test]
fn numbers_without_digits_are_found() {
    #[track_caller]
    fn check(number: f64, filter: &str, expected: bool) {
        use glovebox_abi::cbor::Value;
        let header = vec![(Value::Text("a".into()), Value::Float(number))];
        let header = glovebox_abi::Header::from_entries(header);
        let frame = glovebox_abi::Frame::new(Kind::DATA, header, Vec::new());
        let parsed = Filter::parse(filter).expect(filter);
        assert_eq!(parsed.matches(&Subject::of_frame(&frame)), expected, "{number} {filter}");
        assert_eq!(Filter::parse(&parsed.to_string()), Ok(parsed), "{filter}");
    }
    let (nan, infinity) = (f64::NAN, f64::INFINITY);
    check(nan, "header.a=NaN", true);
    check(nan, "header.a=\"NaN\"", true);
    check(nan, "header.a in {1, NaN}", true);
    check(nan, "header.a>1", false);
    check(nan, "header.a=inf", false);
    check(infinity, "header.a=inf", true);
    check(infinity, "header.a=Infinity", true);
    check(infinity, "header.a=-inf", false);
    check(infinity, "header.a>1e300", true);
    check(infinity, "header.a=1e400", false);
    check(-infinity, "header.a=-Infinity", true);
    check(1.0, "header.a<inf", true);
    check(1.0, "header.a=NaN", false);
}

#[test]
fn filters_match() {
    let failed = Outcome::TimedOut { deadline: Duration::from_millis(20), made_up: false };
    let user = Value::Map(vec![(Value::Text("id".into()), Value::Integer(42))]);
    let header = vec![
        (Value::Text("id".into()), Value::Text("Q-1".into())),
        (Value::Text("user".into()), user),
        (Value::Text("bytes".into()), Value::Bytes(vec![0xDE, 0xAD])),
        (Value::Integer(7), Value::Tag(1, Box::new(Value::Text("tagged".into())))),
    ];
    let payload = r#"{"mail": "Ann@example.org", "tags": ["x", "urgent"], "n": 2.5, "in": "ärger a/b",
        "a key": {"x": true}, "big": 9007199254740993}"#;
    let frame = Frame::new(Kind::DATA, Header::from_entries(header), payload);
    let subject = Subject {
        plugin: "redact-mail",
        direction: Direction::In,
        call: CallId(7),
        instance: 3,
        generation: 2,
        version: "2.0.0",
        time: Duration::from_millis(1500),
        status: Statuses::of(Some(&failed), Statuses::NONE),
        latency: Some(Duration::from_millis(20)),
        ..Subject::of_frame(&frame)
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
    check("version=2.0.0", true);
    check("version=2.0", false);
    check("version:2.0", true);
    check("version!=2.0.0", false);
    check("version in {1.0.0, 2.0.0}", true);
    check("version ~ /^1/", false);
    check("instance=3 version=2.0.0", true);
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
    check("instance=3", true);
    check("instance=2", false);
    check("instance in {1, 3..4}", true);
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
    // Sets and ranges.
    check("plugin in {redact-mail, echo}", true);
    check("plugin in {redact, echo}", false);
    check("not plugin in {redact, echo}", true);
    check("kind in {control, data}", true);
    check("kind in 0x60..0xFF", false);
    check("dir in {out}", false);
    check("status in {ok, error}", true);
    check("latency in 20ms..21ms", true);
    check("latency in 19ms..20ms", true);
    check("latency in {1ms, 21ms..}", false);
    check("size in ..1k", true);
    check("time in 1s..2s", true);
    check("time in 1501ms..2s", false);
    check("time>1.5s", false);
    check("call in {1, 7}", true);
    check("header.user.id in 42..100", true);
    check("header.user.id in {1, 43..100}", false);
    check("header.user.id in 1..42", true);
    check("payload.tags[0] in {\"x\", y}", true);
    check("payload.n in 2.5..3", true);
    check("header.id in Q..R", true);
    // Patterns.
    check("plugin ~ /^redact/", true);
    check("plugin!~/^redact/", false);
    check("payload ~ /\"ann@/i", true);
    check("payload ~ /\"ann@/", false);
    check("payload ~ \"Ann@\"", true);
    check("payload ~ \"ann@\"", false);
    check("payload:ann@", true);
    check("header:ann@", false);
    check("header ~ /Q-[0-9]/", true);
    check("text ~ /Q-1|zzz/", true);
    check("payload ~ hex:\"41 6e 6e\"", true);
    check("payload ~ hex:\"41 ?? 6?\"", true);
    check("payload ~ hex:\"41 ?? 7?\"", false);
    check("payload.mail ~ /@example\\.org$/", true);
    check("payload.n ~ /^2\\.5$/", true);
    check("header.user.id ~ /^42$/", true);
    check("text:ÄRGER", true);
    check("payload ~ /a\\/b/", true);
    // Paths.
    check("json.tags[1]=urgent", true);
    check("json[\"tags\"][1]=urgent", true);
    check("json[\"a key\"].x=true", true);
    check("cbor.tags[1]=urgent", false);
    check("payload.tags:urgent", true);
    check("payload.tags=[\"x\",\"urgent\"]", true);
    check("payload[0]=x", false);
    check("payload.big=9007199254740993", true);
    check("payload.big=9007199254740992", false);
    check("payload.big>9k", true);
    check("header.bytes=hex:\"de ad\"", true);
    check("header.bytes=hex:dead", true);
    check("header.bytes:dea", true);
    check("header.bytes ~ hex:\"ad\"", true);
    check("header.7=tagged", true);
    check("header.user=\"{\\\"id\\\":42}\"", true);
    check("header.user.id==42", true);
    // Operators of other languages are texts in quotes and patterns.
    check("text:\"a||b\"", false);
    check("\"R&D\" or urgent", true);
    check("payload ~ /nothing|urgent/", true);
    check("payload ~ /(x|urgent)&?/i", true);
    check("payload ~ \"a|b\"", false);
    check("json[\"a|b\"]=1", false);
    check("json.tags in {\"a|b\", urgent}", false);
    check("json.tags=[\"x|y\",\"a&b\"]", false);
    check("json.tags=[\"a\\\"|b\"]", false);
    // Characters that are operators elsewhere are a part of words that are searched for.
    check("a~b", false);
    check("urgent in", true);
    check("~/home", false);
    check("tags [", true);
}

#[test]
fn calls_that_run_have_no_latency() {
    let frame = Frame::data(&b""[..]);
    let subject = Subject {
        plugin: "echo",
        direction: Direction::In,
        call: CallId(1),
        generation: 1,
        status: Statuses::of(None, Statuses::DENIED),
        ..Subject::of_frame(&frame)
    };
    let check = |text: &str, expected: bool| {
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(filter.matches(&subject), expected, "{text}");
    };
    check("status:pending", true);
    check("status:denied", true);
    check("status:injected", false);
    // Nobody knows its version.
    check("version:1", false);
    check("version!=1.0.0", true);
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
    check("generation:1", 0, "did you mean `gen`?");
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
    check("plugin~x", 7, "expected a pattern");
    check("payload ~ x", 10, "expected a pattern");
    check("paylod ~ /x/", 0, "did you mean `payload`?");
    check("paylod~/x/", 0, "did you mean `payload`?");
    check("payload ~ /x", 10, "not closed with `/`");
    check("payload ~ /x(/", 10, "unclosed group");
    check("payload ~ /\\w{1000}{100}/", 10, "size limit");
    check("payload ~ /x/q", 13, "unknown flag `q`");
    check("payload ~ hex:\"d\"", 14, "pairs of hexadecimal digits");
    check("payload ~ hex:\"\"", 14, "pairs of hexadecimal digits");
    check("header.x=hex:\"??\"", 13, "pairs of hexadecimal digits");
    check("json ~ /x/", 0, "json.<path>");
    check("json..x=1", 4, "expected a name or number in the path");
    check("a json.x[y]=1", 8, "expected a name or number in the path");
    check("json.x[0]ünd=1", 9, "expected a name or number in the path");
    check("plugin in redact", 10, "a set such as `{a, b}`");
    check("plugin in {}", 11, "expected a value");
    check("plugin in {a", 10, "bracket is not closed");
    check("plugin in {a b}", 10, "bracket is not closed");
    check("plugin in {a..b}", 11, "has no ranges");
    check("size in", 7, "a set such as `{a, b}`");
    check("size in {1, lots}", 12, "is not a size");
    check("size in 2k..1k", 8, "ends before it begins");
    check("kind in control..data", 8, "ends before it begins");
    check("json.n in {3..2}", 11, "ends before it begins");
    check("size in ..", 8, "a set such as `{a, b}`");
    check("time>3", 5, "is not a duration");
    check("latency ~ /x/", 8, "cannot be compared with `~`");
    check("text in {a}", 5, "cannot be compared with `in`");
    check("json.A=1 || json.A=3", 9, "`||` is no operator; write `or`");
    check("json.A=1||json.A=3", 8, "`||` is no operator; write `or`");
    check("json.A=1 && json.B=3", 9, "`&&` is no operator; write `and`");
    check("kind:data&&size>1k", 9, "`&&` is no operator; write `and`");
    check("plugin:x | plugin:y", 9, "`|` is no operator; write `or`");
    check("plugin:x|plugin:y", 8, "`|` is no operator; write `or`");
    check("plugin:x & plugin:y", 9, "`&` is no operator; write `and`");
    check("(a)||(b)", 3, "`||` is no operator; write `or`");
    check("(a)&(b)", 3, "`&` is no operator; write `and`");
    check("a||b", 1, "`||` is no operator; write `or`");
    check("a &&", 2, "`&&` is no operator; write `and`");
    check("|| a", 0, "`||` is no operator; write `or`");
    check("not a|b", 5, "`|` is no operator; write `or`");
    check("payload ~ /a/|| b", 13, "`||` is no operator; write `or`");
    check("text:\"a\"|b", 8, "`|` is no operator; write `or`");
    check("json.a|json.b=1", 6, "`|` is no operator; write `or`");
    check("json[\"a|b\"]|c=1", 11, "`|` is no operator; write `or`");
    check("plugin in {a|b}", 12, "`|` is no operator; write `or`");
    check("size in 1..2&3", 12, "`&` is no operator; write `and`");
    check("json.x=[\"a\"]&b", 12, "`&` is no operator; write `and`");
    check("or a", 0, "expected a condition");
    check("a or or b", 5, "expected a condition");
    check(&"x ".repeat(2000), 2000, "more than 1000 conditions");
    check(&"text~/x/ ".repeat(100), 64 * 9 + 5, "more than 64 regular expressions");
    check(&"x".repeat(70_000), 65_536, "70000 bytes; 65536 are allowed");
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

#[test]
fn payloads_are_what_they_are_elsewhere() {
    fn check(filter: &str, content_type: &str, payload: &[u8], expected: bool) {
        let header = Header::build().text(Header::CONTENT_TYPE, content_type).finish();
        let frame = Frame::new(Kind::DATA, header, payload.to_vec());
        let matches = FrameFilter::parse(filter).expect(filter).matches(&frame);
        assert_eq!(matches, expected, "{filter} in {payload:02x?}");
    }
    let map = [0xA1, 0x61, b'n', 0x03];
    let tagged = [&[0xD9, 0xD9, 0xF7][..], &map].concat();
    check("payload.n=3", "", &map, true);
    check("cbor.n=3", "", &map, true);
    check("json.n=3", "", &map, false);
    check("payload.n=3", "", &tagged, true);
    check("json.n=3", "", &tagged, false);
    let dated = [&[0xC1][..], &map].concat();
    check("payload.n=3", "", &dated, false);
    check("cbor.n=3", "", &dated, true);
    check("payload.n=3", "application/cbor", &dated, true);
    check("cbor.n=3", "", &tagged, true);
    check("payload.n=3", "", &[&map[..], &[0]].concat(), false);
    check("payload.n=3", "", b" {\"n\": 3} ", true);
    check("payload.n=3", "", b"{\"n\": 3} x", false);
    check("payload.n=3", "", b"{\"n\": 3", false);
    check("payload.n=4", "", b"{\"n\": 3, \"n\": 4}", true);
    check("payload.n=3", "", b"{\"\\u006e\": 3}", true);
    check("payload.0=7", "", &[0x9F, 0x07, 0xFF], true);
    check("payload.1=7", "", &[0x9F, 0x07, 0xFF], false);
    check("payload[1].k=v", "", &[0x82, 0x01, 0xBF, 0x61, b'k', 0x61, b'v', 0xFF], true);
    check("payload.0=ab", "", &[0x81, 0x7F, 0x61, b'a', 0x61, b'b', 0xFF], true);
    check("payload[0]=1.5", "", &[0x81, 0xF9, 0x3E, 0x00], true);
    check("payload[0]=true", "", &[0x81, 0xF5], true);
    check("payload[0]=null", "", &[0x81, 0xF6], true);
    check("payload[0]:[1", "", &[0x81, 0x82, 0x01, 0x02], true);
    // Integers in tags, in any form.
    let card = |number: &[u8]| [&[0x81, 0xC2][..], number].concat();
    let short = [0x47, 0x0E, 0x9B, 0x08, 0xA5, 0x68, 0xF1, 0xC7];
    check("payload[0]=4111111111111111", "", &card(&short), true);
    check("payload[0]=4111111111111112", "", &card(&short), false);
    check("payload[0]>4111111111111110", "", &card(&short), true);
    check("payload[0]~/^4{1}1+$/", "", &card(&short), true);
    check("payload[0]=258", "", &card(&[0x5F, 0x42, 0, 1, 0x41, 2, 0xFF]), true);
    check("payload[0]=0", "", &card(&[0x40]), true);
    check("payload[0]=-259", "", &[0x81, 0xC1, 0xC3, 0x42, 1, 2], true);
    check(
        "payload[0]=340282366920938463463374607431768211456",
        "",
        &card(&{
            let mut large = [0; 18];
            (large[0], large[1]) = (0x51, 1);
            large
        }),
        true,
    );
    // Lengths that are claimed only.
    check("payload[9]=1", "", &[0x9B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], false);
    check("payload[0]=1", "", &[0x81; 100_000], false);
    check("payload[0]=1", "", "[".repeat(100_000).as_bytes(), false);
}

#[test]
fn errors_point_at_their_place() {
    fn check(text: &str, expected: &str) {
        let error = Filter::parse(text).expect_err(text);
        assert_eq!(error.pointed_at(text), expected);
    }
    check("kind:data latncy>5ms", "kind:data latncy>5ms\n          ^");
    check("text:ü status:eror", "text:ü status:eror\n              ^");
    check("a\nstatus:eror b\nc", "status:eror b\n       ^");
    let long = format!("{} plugin:", "x".repeat(200));
    check(&long, &format!("{} plugin:\n{}^", "x".repeat(42), " ".repeat(50)));
}

#[test]
fn filters_are_written_down_again() {
    fn check(text: &str, expected: &str) {
        let shown = Filter::parse(text).expect(text).to_string();
        assert_eq!(shown, expected);
        assert_eq!(Filter::parse(&shown), Filter::parse(text));
    }
    check("", "");
    check("(a or b) and not c", "(text:a or text:b) not text:c");
    check("a b or c", "text:a text:b or text:c");
    check("latency>=5ms size<1k", "latency>=5ms size<=999");
    check("size<0", "size<0");
    check("status:error", "status=error");
    check("status in {pending, completed}", "status in {completed, pending}");
    check("kind in {data, control, 0x61}", "kind in {data..control, 0x61}");
    check("text:\"a|b\" json.x=\"a&b\"", "text:\"a|b\" json.x=\"a&b\"");
    check("json.items[0][\"a b\"]:x", "json.items[0][\"a b\"]:x");
    check("payload~hex:\"dead??e?\"", "payload ~ hex:\"de ad ?? e?\"");
    check("header.x in {\"a..b\", a..b}", "header.x in {\"a..b\", a..b}");
    check("header.x in \"a.\"..", "header.x in {\"a.\"..}");
    check("plugin!~/a\\/b/i", "not plugin ~ /a\\/b/i");
    check("text:\"a\\\"b\\\\c\\d\"", "text:\"a\\\"b\\\\c\\\\d\"");
}

#[test]
fn chunks_without_a_match_are_skipped() {
    fn check(filter: &str, expected: bool) {
        let frame = Frame::data("0123456789");
        let mut summary = ChunkSummary::default();
        for (plugin, milliseconds) in [("echo", 1), ("redact", 5)] {
            summary.add(&Subject {
                plugin,
                direction: Direction::In,
                call: CallId(milliseconds),
                time: Duration::from_secs(milliseconds),
                status: Statuses::COMPLETED,
                latency: Some(Duration::from_millis(milliseconds)),
                ..Subject::of_frame(&frame)
            });
        }
        let filter = Filter::parse(filter).expect(filter);
        assert_eq!(filter.may_match(&summary), expected, "{filter}");
        assert!(!filter.may_match(&ChunkSummary::default()), "{filter}");
        summary.forget_ends();
        assert!(filter.may_match(&summary) || !expected, "{filter}");
    }
    check("latency>5ms", false);
    check("latency>4ms", true);
    check("latency in 6ms..7ms", false);
    check("time in 6s..", false);
    check("time in 2s..3s", true);
    check("size>22", false);
    check("size>21", true);
    check("plugin:stats", false);
    check("plugin in {stats, echo}", true);
    check("not plugin in {redact, echo}", false);
    check("kind!=data", false);
    check("kind:data", true);
    check("dir:out", false);
    check("not dir:in", false);
    check("status:error", false);
    check("status:denied", false);
    check("status!=ok", false);
    check("status:ok not status:denied", true);
    check("call>5", false);
    check("call:1 header.x=1", true);
    check("call>5 header.x=1", false);
    check("call>5 or header.x=1", true);
    check("not (call>=1 or header.x=1)", false);
}

#[test]
fn summaries_can_be_kept() {
    let frame = Frame::data("x");
    let mut summary = ChunkSummary::default();
    summary.add(&Subject { plugin: "echo", ..Subject::of_frame(&frame) });
    let json = serde_json::to_string(&summary).expect("it is data");
    assert_eq!(serde_json::from_str::<ChunkSummary>(&json).expect(&json), summary);
    for number in 0..1000 {
        let plugin = format!("plugin-{number}");
        summary.add(&Subject { plugin: &plugin, ..Subject::of_frame(&frame) });
    }
    assert_eq!(summary.plugins, None);
    assert!(Filter::parse("plugin=plugin-7").expect("it is good").may_match(&summary));
}

#[test]
fn values_are_compared_exactly() {
    fn check(filter: &str, payload: &[u8], expected: bool) {
        let frame = Frame::data(payload.to_vec());
        let matches = FrameFilter::parse(filter).expect(filter).matches(&frame);
        assert_eq!(matches, expected, "{filter} in {}", String::from_utf8_lossy(payload));
    }
    let id = br#"{"id":123456789012345678901}"#;
    check("json.id=123456789012345678901", id, true);
    check("json.id=123456789012345678902", id, false);
    check("json.id>123456789012345678900", id, true);
    check("json.id<123456789012345678902", id, true);
    check("json.id ~ /901$/", id, true);
    let long = format!("{{\"n\":{}.5}}", "9".repeat(60));
    check(&format!("json.n={}.50", "9".repeat(60)), long.as_bytes(), true);
    check(&format!("json.n={}", "9".repeat(60)), long.as_bytes(), false);
    check(&format!("json.n in {{{}..}}", "9".repeat(60)), long.as_bytes(), true);
    check("json.n=100", b"{\"n\":1e2}", true);
    check("json.n=0.1", b"{\"n\":0.10}", true);
    check("json.n=0.1", b"{\"n\":0.10000000000000000001}", false);
    check("json.n>0.1", b"{\"n\":0.10000000000000000001}", true);
    check("json.n=0", b"{\"n\":-0}", true);
    // Only what can stand before or after a value does.
    for other in ["null", "true", "\"n/a\"", "\"50\"", "\"\"", "[50]", "{\"a\":50}"] {
        let payload = format!("{{\"n\":{other}}}");
        for filter in ["json.n>10", "json.n<10", "json.n>=0", "json.n<=99", "json.n in 1..99"] {
            check(filter, payload.as_bytes(), false);
        }
    }
    check("json.n>10", b"{\"n\":50}", true);
    check("json.n>10", b"{\"n\":5}", false);
    check("json.n>\"10\"", b"{\"n\":\"50\"}", true);
    check("json.n>\"10\"", b"{\"n\":50}", true);
    check("json.n>\"10\"", b"{\"n\":null}", false);
    check("json.n in \"10\"..\"60\"", b"{\"n\":\"50\"}", true);
    check("json.n>b", b"{\"n\":\"c\"}", true);
    check("json.n>b", b"{\"n\":true}", false);
    check("json.n=null", b"{\"n\":null}", true);
    check("json.n=50", b"{\"n\":\"50\"}", true);
    check("json.n>1e399", b"{\"n\":1e400}", true);
    check("json.n=1e400", b"{\"n\":1e400}", true);
    check("json.n=1e401", b"{\"n\":1e400}", false);
    // CBOR: 2^53 + 1 beside the float 2^53, and the shortest text of a float.
    let integer = [0xA1, 0x61, b'n', 0x1B, 0, 0x20, 0, 0, 0, 0, 0, 1];
    check("cbor.n=9007199254740993", &integer, true);
    check("cbor.n=9007199254740992.0", &integer, false);
    let float = [&[0xA1, 0x61, b'n', 0xFB][..], &0.1f64.to_be_bytes()].concat();
    check("cbor.n=0.10", &float, true);
    check("cbor.n=0.1000000000000000055", &float, false);
    check("cbor.n<0.1000000000000000055", &float, true);
    check("cbor.n>0", &[0xA1, 0x61, b'n', 0xF9, 0x7C, 0], true);
    check("cbor.n>0", &[0xA1, 0x61, b'n', 0xF9, 0x7E, 0], false);
}

#[test]
fn every_key_of_a_name_is_tried() {
    fn check(filter: &str, payload: &[u8], expected: bool) {
        let frame = Frame::data(payload.to_vec());
        let matches = FrameFilter::parse(filter).expect(filter).matches(&frame);
        assert_eq!(matches, expected, "{filter} in {}", String::from_utf8_lossy(payload));
    }
    let twice = br#"{"a":1,"a":2,"b":{"c":3},"b":{"c":[4,5]}}"#;
    for (filter, expected) in [
        ("json.a=1", true),
        ("json.a=2", true),
        ("json.b.c=3", true),
        ("json.b.c[1]=5", true),
        ("json.a=3", false),
    ] {
        check(filter, twice, expected);
    }
    let cbor = [0xA2, 0x61, b'a', 0x01, 0x61, b'a', 0xA2, 0x01, 0x02, 0x01, 0x03];
    for (filter, expected) in
        [("cbor.a=1", true), ("cbor.a[1]=2", true), ("cbor.a[1]=3", true), ("cbor.a[1]=4", false)]
    {
        check(filter, &cbor, expected);
    }
    // Of open length, with a key in chunks and one that is a list.
    let open = [0xBF, 0x7F, 0x61, b'a', 0xFF, 0xBF, 0x61, b'b', 0x9F, 0x01, 0xFF, 0xFF];
    let behind =
        [0x81, 0x02, 0x9F, 0x80, 0xFF, 0x61, b'a', 0xD8, 0x2A, 0xA1, 0x61, b'b', 0x02, 0xFF];
    let open = [&open[..], &behind].concat();
    for (filter, expected) in [
        ("cbor.a.b[0]=1", true),
        ("cbor.a.b=2", true),
        ("cbor[\"[2]\"]=\"[[]]\"", true),
        ("cbor.a=1", false),
    ] {
        check(filter, &open, expected);
    }
    // Half of a surrogate pair before, in the key, and in the value.
    check("json.a=1", br#"{"\ud83d":"\udc00","a":1}"#, true);
    check("json.a:x", br#"{"a":"\ud83dx"}"#, true);
    check("json.a=\"\"", br#"{"a":"\ud83d"}"#, false);
    // As deep as it gets.
    let deep = format!("{{\"d\":{}1{},\"a\":1}}", "[".repeat(10_000), "]".repeat(10_000));
    check("json.a=1", deep.as_bytes(), true);
    check("json.d[0][0][0]:1", deep.as_bytes(), true);
    check("json.a=1", &deep.as_bytes()[..deep.len() - 1], false);
    check("json.a=1", "\u{FEFF}{\"a\":1}\r\n".as_bytes(), true);
}
