use super::*;
use crate::decode::document::{Format, Sort};
use crate::decode::encodings::Order;
use crate::decode::splice;

/// The redacted payload, and whether a path could not be followed in it.
pub(super) fn redacted(payload: &[u8], paths: &[&str], patterns: &[&str]) -> (Vec<u8>, bool) {
    let mut redaction = Redaction::default();
    paths.iter().for_each(|path| redaction.add_path(path).expect(path));
    patterns.iter().for_each(|pattern| redaction.add_pattern(pattern).expect(pattern));
    let mut frame = Frame::data(payload.to_vec());
    let done = redaction.frame(&mut frame);
    assert_eq!(done.changed, frame.payload != payload, "{payload:02x?}");
    (frame.payload.to_vec(), done.unsearched || redaction.patterns.were_blocked())
}

#[track_caller]
fn check(payload: &str, paths: &[&str], patterns: &[&str], expected: &str) {
    let (left, unsearched) = redacted(payload.as_bytes(), paths, patterns);
    assert_eq!(String::from_utf8_lossy(&left), expected);
    assert!(!unsearched, "{payload}");
}

pub(super) const MAIL: &str = r"[a-z]+@example\.org";

#[test]
fn what_is_not_taken_out_stays_byte_for_byte() {
    let rest = r#""id":123456789012345678901,"price":0.10,"n":-0,"dup":1,"dup":2,"f":1e2, "t" : "\u00e9\/\ud83d" }"#;
    let before = format!(r#"{{"z":1, "user":"ada@example.org",{rest}"#);
    let after = format!(r#"{{"z":1, "user":"redacted",{rest}"#);
    check(&before, &["payload.user"], &[], &after);
    check(&before, &[], &[MAIL], &after);
    check("\u{FEFF}{\"a\":1}\r\n", &["payload.a"], &[], "\u{FEFF}{\"a\":0}\r\n");
}

#[test]
fn paths_lead_to_every_value() {
    check(r#"{"a":1,"a":[2,{"b":3}]}"#, &["payload.a"], &[], r#"{"a":0,"a":[]}"#);
    check(
        r#"[{"a":"x"},{"a":true},{"a":{"b":1}}]"#,
        &["payload.*.a"],
        &[],
        r#"[{"a":"redacted"},{"a":null},{"a":{}}]"#,
    );
    check(r#"{"\u0061":1e999}"#, &["payload.a"], &[], r#"{"\u0061":0}"#);
    check(r#"{"a":"\ud83d","b":2}"#, &["payload.a"], &[], r#"{"a":"redacted","b":2}"#);
    check("{\"a\":1}\n{\"a\":2}\n", &["payload.a"], &[], "{\"a\":0}\n{\"a\":0}\n");
    check("hello", &["payload"], &[], "redacted");
    check(r#"{"a":1}"#, &["payload"], &[], "{}");
    check("hello", &["payload.a"], &[], "hello");
    // A value that a path takes out is not looked into again.
    check(r#"{"a":{"b":"ada@example.org"}}"#, &["payload.a"], &["ada"], r#"{"a":{}}"#);
    let deep = |bottom: &str| {
        format!("{{\"a\":\"x\",\"d\":{}{bottom}{}}}", "[".repeat(10_000), "]".repeat(10_000))
    };
    check(&deep("1").replace("\"x\"", "2"), &["payload.a"], &[], &deep("1").replace("\"x\"", "0"));
    check(&deep("\"ada@example.org\""), &[], &[MAIL], &deep("\"redacted\""));
}

#[test]
fn paths_lead_into_texts() {
    check(
        r#"{"a":"{\"mail\": \"b\\u0040c\", \"n\":[1,\"\\n\"]} ","z":"\/"}"#,
        &["payload.a.mail"],
        &[],
        r#"{"a":"{\"mail\": \"redacted\", \"n\":[1,\"\\n\"]} ","z":"\/"}"#,
    );
    check(
        r#"{"a":"{\"b\":\"{\\\"c\\\":7,\\\"d\\\":\\\"x\\\"}\"}"}"#,
        &["payload.a.b.c", "payload.*.*.d"],
        &[],
        r#"{"a":"{\"b\":\"{\\\"c\\\":0,\\\"d\\\":\\\"redacted\\\"}\"}"}"#,
    );
    // A pattern finds what is beside it, and nothing in what was taken out.
    check(
        r#"{"a":"{\"b\":\"bob@example.org\",\"c\":\"ada@example.org\"}"}"#,
        &["payload.a.b"],
        &[MAIL, "red"],
        r#"{"a":"{\"b\":\"redacted\",\"c\":\"redacted\"}"}"#,
    );
    check(r#"{"a":"x=1&y=2"}"#, &["payload.a.x"], &[], r#"{"a":"x=redacted&y=2"}"#);
    check(r#"{"a":"[1] is a text"}"#, &["payload.b.c"], &[], r#"{"a":"[1] is a text"}"#);
    // CBOR: texts and bytes, in which the lengths change.
    let text = |text: &str| splice::text(Format::Cbor, text.as_bytes());
    let map = |value: Vec<u8>| [vec![0xA1], text("a"), value].concat();
    let bytes = |content: &[u8]| splice::string(Sort::Bytes, content);
    for (value, expected) in [
        (text("{\"b\":\"bob\", \"c\":1}"), text("{\"b\":\"redacted\", \"c\":1}")),
        (
            bytes(&[vec![0xA1], text("b"), text("bob")].concat()),
            bytes(&[vec![0xA1], text("b"), text("redacted")].concat()),
        ),
    ] {
        let (left, unsearched) = redacted(&map(value), &["payload.a.b"], &["red"]);
        assert_eq!((left, unsearched), (map(expected), false));
    }
}

#[test]
fn paths_lead_over_any_number_of_keys() {
    let before = r#"{"m":1,"a":{"m":2,"x":[{"m":"b"},3]},"t":"{\"m\":4,\"n\":5}"}"#;
    let all = r#"{"m":0,"a":{"m":0,"x":[{"m":"redacted"},3]},"t":"{\"m\":0,\"n\":5}"}"#;
    check(before, &["payload.**.m"], &[], all);
    check(before, &["payload.**.**.m", "payload.**.m"], &[], all);
    let below = r#"{"m":1,"a":{"m":2,"x":[{"m":"redacted"},3]},"t":"{\"m\":4,\"n\":5}"}"#;
    check(before, &["payload.a.**.x.**.m"], &[], below);
    check(before, &["payload.a.x.**[1]"], &[], &before.replace(",3]", ",0]"));
    check(before, &["payload.a.**"], &[], r#"{"m":1,"a":{},"t":"{\"m\":4,\"n\":5}"}"#);
    check(before, &["payload.**"], &[], "{}");
    check("a text", &["payload.**"], &[], "redacted");
    check("m=b&d=m%3Dc", &["payload.**.m"], &[], "m=redacted&d=m%3Dredacted");
    check(
        "GET /?m=b HTTP/1.1\r\n\r\n",
        &["payload.**.m"],
        &[],
        "GET /?m=redacted HTTP/1.1\r\n\r\n",
    );
    check("hello = x", &["payload.**.m"], &[], "hello = x");
    assert!(redacted(b"a m = x", &["payload.**.m"], &[]).1);
    let parts = (0..60).map(|at| format!("k{at}=1;")).collect::<String>();
    check(&format!("{parts}m=2"), &["payload.**.m"], &[], &format!("{parts}m=redacted"));
    let deep = |bottom: &str| format!("{}{bottom}{}", "[".repeat(100_000), "]".repeat(100_000));
    check(&deep("{\"m\":1}"), &["payload.**.m"], &[], &deep("{\"m\":0}"));
    let nested = (0..5_000).fold(vec![0x01], |inside, _| {
        splice::string(Sort::Bytes, &[&[0x81], &inside[..]].concat())
    });
    assert!(redacted(&[&[0x81], &nested[..]].concat(), &["payload.**.m"], &[]).1);
}

#[test]
fn keys_may_have_dots() {
    check(r#"{"a.b":1,"a":{"b":2}}"#, &[r#"payload["a.b"]"#], &[], r#"{"a.b":0,"a":{"b":2}}"#);
    check(r#"{"a.b":1,"a":{"b":2}}"#, &["payload.a.b"], &[], r#"{"a.b":1,"a":{"b":0}}"#);
    check(r#"{"*":1,"b":2}"#, &[r#"payload["*"]"#], &[], r#"{"*":0,"b":2}"#);
    check(r#"[[1,2],[3,4]]"#, &["payload[1][0]"], &[], r#"[[1,2],[0,4]]"#);
}

#[test]
fn paths_lead_to_fields_of_forms() {
    check("mail=b%40c&x=1", &["payload.mail"], &[], "mail=redacted&x=1");
    check(
        "x=1&user%5Bmail%5D=b",
        &[r#"payload["user[mail]"]"#],
        &[],
        "x=1&user%5Bmail%5D=redacted",
    );
    check("a+b=1&a+b=2&c", &["payload[\"a b\"]"], &[], "a+b=redacted&a+b=redacted&c");
    check("a=1&b=2\r\n", &["payload.*"], &[], "a=redacted&b=redacted\r\n");
    check(
        "d=%7B%22u%22%3A%22ann+lee%22%2C%22n%22%3A1%7D&x=%zz",
        &["payload.d.u"],
        &[],
        "d=%7B%22u%22%3A%22redacted%22%2C%22n%22%3A1%7D&x=%zz",
    );
    check(
        "mail=b%40c&to=bob%40example.org",
        &["payload.mail"],
        &[MAIL, "red"],
        "mail=redacted&to=redacted",
    );
    check("  mail=b\n", &["payload.mail"], &[], "  mail=redacted\n");
    check("?mail=b", &["payload.mail"], &[], "?mail=redacted");
    check("https://a/?x=1;mail=b#c", &["payload.mail"], &[], "https://a/?x=1;mail=redacted");
    check("/a?x=1#mail=b?c=d&e", &["payload.mail"], &[], "/a?x=1#mail=redacted&e");
    check("a=1", &["payload"], &[], "redacted");
    let mut redaction = Redaction::default();
    redaction.add_path("payload.a").expect("a path");
    let header = Header::build().text(Header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let mut frame = Frame::new(glovebox_abi::Kind::DATA, header.finish(), &b"a=b went home"[..]);
    redaction.frame(&mut frame);
    assert_eq!(&frame.payload[..], b"a=redacted");
}

#[test]
fn bodies_of_http_are_searched() {
    let post = |kind: &str, length: usize, body: &str| {
        format!("POST / HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let json = |length, body: &str| post("application/json", length, body);
    check(
        &json(20, r#"{"user":"ann","x":1}"#),
        &["payload.user"],
        &[],
        &json(25, r#"{"user":"redacted","x":1}"#),
    );
    let form = |length, body: &str| post("application/x-www-form-urlencoded", length, body);
    check(&form(12, "user=ann lee"), &["payload.user"], &[], &form(13, "user=redacted"));
    // Patterns in head and body, with the length that the body has then.
    let with = |mail: &str, length| {
        format!("GET /{mail} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n to {mail}")
    };
    check(&with("bob@example.org", 19), &[], &[MAIL], &with("redacted", 12));
    let chunked = |chunks: &str| {
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{chunks}0\r\n\r\n")
    };
    let chunks = chunked("8\r\n{\"m\":\"bo\r\n15\r\nb@example.org\",\"n\":1}\r\n");
    let one = chunked("16\r\n{\"m\":\"redacted\",\"n\":1}\r\n");
    check(&chunks, &["payload.m"], &[], &one);
    check(&chunks, &[], &[MAIL], &one);
    check(&chunks, &["payload.m"], &[MAIL, "red"], &one);
    check(&chunks, &["payload.q"], &["nothing"], &chunks);
    check(&chunks, &["payload"], &[], "redacted");
    let get = |query: &str| format!("GET /x?{query} HTTP/1.1\r\nHost: a\r\n\r\n");
    check(&get("mail=b&x=1"), &["payload.mail"], &["red"], &get("mail=redacted&x=1"));
    let both =
        |query: &str, rest: &str| format!("POST /x?{query} HTTP/1.1\nContent-Length: {rest}");
    check(
        &both("mail=b", "12\n\n{\"mail\":\"b\"}"),
        &["payload.mail"],
        &[],
        &both("mail=redacted", "19\n\n{\"mail\":\"redacted\"}"),
    );
    for head in ["100 Continue\r\n\r\n", "304 Not Modified\r\nContent-Length: 20\r\n\r\n"] {
        let after = |body: &str| format!("HTTP/1.1 {head}{}", json(body.len(), body));
        check(&after("[{\"m\":1}]"), &["payload.0.m"], &[], &after("[{\"m\":0}]"));
    }
    let open = |body: &str| format!("HTTP/1.1 200 OK\r\n\r\n{body}");
    check(&open("{\"m\":1}"), &["payload.m"], &[], &open("{\"m\":0}"));
    // A missing chunk cannot be looked into.
    for (paths, patterns) in [(&["payload.m"][..], &[][..]), (&[], &[MAIL])] {
        let cut = &chunks[..chunks.len() - 9];
        assert!(redacted(cut.as_bytes(), paths, patterns).1);
    }
    let part = json(99, r#"{"user":"ann""#);
    assert_eq!(redacted(part.as_bytes(), &["payload.user"], &[]), (part.into_bytes(), true));
}

/// All that is there is taken out all the same.
#[test]
fn messages_that_go_on_elsewhere_are_told() {
    #[track_caller]
    fn check(payload: &str, expected: &str) {
        let (left, unsearched) = redacted(payload.as_bytes(), &["payload.mail"], &[]);
        assert_eq!((&*String::from_utf8_lossy(&left), unsearched), (expected, true));
        let other = redacted(payload.as_bytes(), &[], &["nothing"]).0;
        assert_eq!(other, payload.as_bytes());
    }
    let post = |length: usize, body: &str| {
        format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    check(&post(12, "mail="), &post(12, "mail="));
    check(&post(99, "mail=a&mail=sec"), &post(99, "mail=redacted&mail=redacted"));
    check(&post(99, ""), &post(99, ""));
    let chunked =
        |chunks: &str| format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    check(&chunked(""), &chunked(""));
    check(&chunked("6\r\nmail=s\r\n"), &chunked("d\r\nmail=redacted\r\n"));
    check(&chunked("9\r\nmail=s"), &chunked("10\r\nmail=redacted"));
    check(
        &chunked("2\r\nma\r\n4\r\nil=s\r\n0\r\nA: b\r\n"),
        &chunked("d\r\nmail=redacted\r\n0\r\nA: b\r\n"),
    );
    check(&chunked("6\r\nmail=s\r\nno number"), &chunked("d\r\nmail=redacted\r\nno number"));
    check("HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
    check("HTTP/1.1 200 OK\r\n\r\nmail=s", "HTTP/1.1 200 OK\r\n\r\nmail=redacted");
    check("GET /?mail=s HTTP/1.1", "GET /?mail=redacted HTTP/1.1");
    let form = "POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    check(form, form);
    check(&format!("{form}\r\n"), &format!("{form}\r\n"));
    check(&format!("{form}\r\nmail=a b"), &format!("{form}\r\nmail=redacted"));
}

#[test]
fn patterns_are_found_however_they_are_written() {
    check(
        r#"{"mail":"bob@example.org","n":"hi \ud83d"}"#,
        &[],
        &[MAIL],
        r#"{"mail":"redacted","n":"hi \ud83d"}"#,
    );
    check(r#"["\ud83d bob\u0040example.org \n"]"#, &[], &[MAIL], r#"["\ud83d redacted \n"]"#);
    check(r#"["\nbob@example.org"]"#, &[], &[MAIL], r#"["\nredacted"]"#);
    check(
        r#"{"bob@example.org":1,"\u0062ob@example.org":2}"#,
        &[],
        &[MAIL],
        r#"{"redacted":1,"redacted":2}"#,
    );
    check(r#"{"n":4111111111111111,"m":[4111]}"#, &[], &["4111.*"], r#"{"n":0,"m":[0]}"#);
    // JSON in a text of JSON.
    check(
        r#"{"t":"{\"m\":\"bob\\u0040example.org\"}"}"#,
        &[],
        &[MAIL],
        r#"{"t":"{\"m\":\"redacted\"}"}"#,
    );
    // Text that cannot be parsed, JSON that is followed by more, and text that is no JSON at
    // all.
    check(r#"{"m":"bob\u0040example.org","#, &[], &[MAIL], r#"{"m":"redacted","#);
    check(
        "{\"m\":\"bob@example.org\"}\n{\"m\":\"ada\\u0040example.org\"}",
        &[],
        &[MAIL],
        "{\"m\":\"redacted\"}\n{\"m\":\"redacted\"}",
    );
    check("to: bob@example.org, ada@example.org", &[], &[MAIL, "bob"], "to: redacted, redacted");
    check("nothing", &[], &["x*"], "nothing");
}

#[test]
fn patterns_are_found_in_other_encodings() {
    check("to=bob%40example.org&x=%zz", &[], &[MAIL], "to=redacted&x=%zz");
    check("%62ob%40example%2Eorg", &[], &[MAIL], "redacted");
    check("<a>bob&#64;example.org</a>&amp;", &[], &[MAIL], "<a>redacted</a>&amp;");
    check("bob&#x40;example&period;org", &[], &[MAIL], "redacted");
    check("bob&commat;example.org", &[], &[MAIL], "redacted");
    check(r#"{"m":"bob%40example.org \n"}"#, &[], &[MAIL], r#"{"m":"redacted \n"}"#);
    check(r#"{"m":"bob&#64;example.org"}"#, &[], &[MAIL], r#"{"m":"redacted"}"#);
    check(r#"{"m":"50%41 \n"}"#, &[], &["50%41"], r#"{"m":"redacted \n"}"#);
    // One inside the other, in any order.
    check("bob&amp;#64;example.org", &[], &[MAIL], "redacted");
    check("bob%26%2364%3Bexample.org", &[], &[MAIL], "redacted");
    check(
        "%7B%22m%22%3A%22bob%5Cu0040example.org%22%7D",
        &[],
        &[MAIL],
        "%7B%22m%22%3A%22redacted%22%7D",
    );
    check(r#"["bob\u002540example.org"]"#, &[], &[MAIL], r#"["redacted"]"#);
    check(&format!("bob%{}40example.org", "25".repeat(100)), &[], &[MAIL], "redacted");
    // UTF-16 behind escapes.
    let wide = |before: &str, after: &str| {
        let characters = "bob@example.org".chars();
        characters.map(|one| format!("{before}{one}{after}")).collect::<String>()
    };
    check(&wide("", "%00"), &[], &[MAIL], "redacted");
    check(&wide("%00", ""), &[], &[MAIL], "redacted");
    let text = |inside: &str| format!("[\"{inside}\"]");
    check(&text(&wide("", "\\u0000")), &[], &[MAIL], &text("redacted"));
    check(&text(&wide("\\u0000", "")), &[], &[MAIL], &text("redacted"));
}

#[test]
fn patterns_are_found_in_utf_16() {
    #[track_caller]
    fn check(payload: &[u8], patterns: &[&str], expected: &[u8]) {
        let (left, unsearched) = redacted(payload, &[], patterns);
        assert_eq!(left, expected, "{left:02x?}");
        // The bytes around a text may be anything.
        assert_eq!(unsearched, payload.first() == Some(&1));
    }
    for order in [Order::Little, Order::Big] {
        let text = |text: &str| order.encode(text);
        for (before, after) in [
            ("to bob@example.org, ada@example.org", "to redacted, redacted"),
            ("\u{FEFF}李: bob@example.org", "\u{FEFF}李: redacted"),
            ("{\"m\":\"bob\\u0040example.org\"}", "{\"m\":\"redacted\"}"),
            ("m=bob%40example.org", "m=redacted"),
        ] {
            check(&text(before), &[MAIL], &text(after));
            // Among other bytes, the first characters of a text can be read in two ways.
            if before.is_ascii() {
                let around = |text: &[u8]| [&[1, 0xFF, 0xFF][..], text, &[0xFF, 0xFF]].concat();
                check(&around(&text(before)), &[MAIL], &around(&text(after)));
            }
        }
        check(&text("\u{FEFF}Frau 李 ruft"), &["李"], &text("\u{FEFF}Frau redacted ruft"));
        let bytes = |text: &[u8]| [vec![0x81], splice::string(Sort::Bytes, text)].concat();
        let (before, after) = (bytes(&text("bob@example.org")), bytes(&text("redacted")));
        check(&before, &[MAIL], &after);
    }
    // A path cannot be followed there.
    let payload = Order::Little.encode("{\"user\":\"ann\"}");
    assert!(redacted(&payload, &["payload.user"], &[]).1);
}

#[test]
fn paths_lead_through_the_parts_of_a_form() {
    let part = |name: &str, head: &str, content: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{head}\r\n\r\n{content}\r\n")
    };
    let json = "\r\nContent-Type: application/json";
    let form = "\r\nContent-Type: application/x-www-form-urlencoded";
    let parts = |user: &str, order: &str, more: &str| {
        let order = part("order", json, order);
        format!("{}{order}{}--x--\r\n", part("user", "", user), part("more", form, more))
    };
    let before = parts("ann lee", "{\"id\": 1, \"mail\":\"ada@example.org\"}", "a=b c&m=d");
    let after = parts("redacted", "{\"id\": 0, \"mail\":\"redacted\"}", "a=b c&m=redacted");
    let paths = ["payload.user", "payload.order.id", "payload.*.m"];
    check(&before, &paths, &[MAIL], &after);
    // With what says its length, and as chunks.
    let post = |body: &str| {
        format!(
            "POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=\"x\"\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    check(&post(&before), &paths, &[MAIL], &post(&after));
    let chunked = |body: &str| {
        format!(
            "POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )
    };
    check(&chunked(&before), &paths, &[MAIL], &chunked(&after));
    // A file goes with its name, and the length in the head of a part is right again.
    let file = |name: &str, length: usize, content: &str| {
        let head = format!("; filename=\"{name}\"\r\nContent-Length: {length}");
        format!("{}--x--", part("photo", &head, content))
    };
    check(&file("ann.jpg", 3, "ann"), &["payload.photo"], &[], &file("redacted", 8, "redacted"));
    let id = |length, id: &str| file("a", length, &format!("{{\"id\":{id}}}"));
    check(&id(11, "123456"), &["payload.photo.id"], &[], &id(8, "0"));
    // Parts in a part, and those without names.
    let mixed = |content: &str| {
        let inner = format!("--y\r\nContent-Type: text/plain\r\n\r\n{content}\r\n--y--");
        let head = "\r\nContent-Type: multipart/mixed; boundary=y";
        format!("{}--x--", part("all", head, &inner))
    };
    check(&mixed("{\"id\":7}"), &["payload.all.0.id"], &[], &mixed("{\"id\":0}"));
    check(&mixed("ann"), &["payload.all.0"], &[], &mixed("redacted"));
    check(&before, &["payload.other"], &[], &before);
}

#[test]
fn lengths_of_cbor_stay_right() {
    #[track_caller]
    fn check(payload: &[u8], paths: &[&str], patterns: &[&str], expected: &[u8]) {
        let (left, unsearched) = redacted(payload, paths, patterns);
        assert_eq!(left, expected, "{left:02x?}");
        assert!(!unsearched);
    }
    let text = |text: &str| splice::text(Format::Cbor, text.as_bytes());
    let mail = || text("bob@example.org");
    let gone = || text("redacted");
    let around = |inside: Vec<u8>| {
        [vec![0xBF, 0x18, 0x01], inside, vec![0xF9, 0x7E, 0x01, 0xC1, 0x05, 0xFF]].concat()
    };
    check(&around(mail()), &[], &[MAIL], &around(gone()));
    check(&around(mail()), &["payload.1"], &[], &around(gone()));
    let parts = [vec![0x7F], text("bob@exa"), text("mple.org"), vec![0xFF]].concat();
    check(&around(parts), &[], &[MAIL], &around(gone()));
    // Twice under one key, and as a key.
    let twice = |one: Vec<u8>, key: Vec<u8>| {
        [vec![0xA3], text("m"), one.clone(), text("m"), one, key, vec![0xF7]].concat()
    };
    check(&twice(mail(), mail()), &[], &[MAIL], &twice(gone(), gone()));
    check(&twice(vec![0x07], text("k")), &["payload.m"], &[], &twice(vec![0x00], text("k")));
    // Strings of bytes: of any sort, and encoded CBOR.
    let bytes = |content: &[u8]| splice::string(Sort::Bytes, content);
    let list = |item: Vec<u8>| [vec![0x81], item].concat();
    check(&list(bytes(b"\xff bob@example.org")), &[], &[MAIL], &list(bytes(b"\xff redacted")));
    let inner = |item: Vec<u8>| list([vec![0xD8, 0x18], bytes(&item)].concat());
    check(&inner(mail()), &[], &[MAIL], &inner(gone()));
    check(&inner(list(mail())), &[], &[MAIL], &inner(list(gone())));
    // A bignum, as bytes, and floats.
    check(&list(vec![0xFA, 0x47, 0xC3, 0x50, 0]), &["payload.0"], &[], &list(vec![0xF9, 0, 0]));
    check(&list(vec![0x1A, 0, 1, 0xE2, 0x40]), &[], &["^123456$"], &list(vec![0x00]));
    // Several values behind each other, and what is no CBOR.
    check(
        &[list(mail()), list(mail())].concat(),
        &[],
        &[MAIL],
        &[list(gone()), list(gone())].concat(),
    );
    check(b"\xff bob@example.org", &[], &[MAIL], b"\xff redacted");
    let deep = |inside: Vec<u8>| [vec![0x81; 10_000], inside].concat();
    check(&deep(mail()), &[], &[MAIL], &deep(gone()));
}

#[test]
fn what_cannot_be_searched_is_told() {
    #[track_caller]
    fn check(payload: &[u8], path: &str, expected: bool) {
        assert_eq!(redacted(payload, &[path], &[]).1, expected, "{payload:02x?}");
    }
    check(b"{\"user\":\"ann\"", "payload.user", true);
    check(b"app: {\"user\":\"ann\"}", "payload.user", true);
    check(b"{\"user\":\"ann\",\"x\":\"\xff\"}", "payload.user", true);
    check(&[0xA1, 0x64, b'u'], "payload.user", true);
    check(b"{\"a\":\"{\\\"user\\\":\"}", "payload.a.user", true);
    check(b"{\"a\":\"{\\\"user\\\":\"}", "payload.a", false);
    check(b"{\"a\":\"{\\\"user\\\":\"}", "payload.b.user", false);
    check(b"a=%7B%22user", "payload.a.user", true);
    check(b"{\"user\":\"ann\"", "header.user", false);
    check(b"{\"user\":\"ann\"", "payload", false);
    check(b"{\"user\":\"ann\"}", "payload.user", false);
    check(b"{\"user\":\"ann\"} {}", "payload.user", false);
    check(b"plain text", "payload.user", false);
    check(b"", "payload.user", false);
    // Text that is not taken apart, and names the first step.
    check(b"a user=ann", "payload.user", true);
    check(b"us%65r=ann lee", "payload.user", true);
    check(b"<user>ann</user>", "payload.user", true);
    check(b"super-user of users", "payload.user", false);
    check(b"a b=c", "payload.*", true);
    check(b"{\"a\":\"a user=ann\"}", "payload.a.user", true);
    let user = "Content-Disposition: form-data; name=\"user\"";
    let parts =
        |head: &str, content: &str| format!("--x\r\n{user}{head}\r\n\r\n{content}\r\n--x--");
    check(parts("", "{\"id\":1}").as_bytes(), "payload.user.id", false);
    check(parts("", "hello").as_bytes(), "payload.user.id", false);
    check(parts("", "<id>1</id>").as_bytes(), "payload.user.id", true);
    check(parts("", "{\"id\":").as_bytes(), "payload.user.id", true);
    check(parts("", "{\"id\":").as_bytes(), "payload.other.id", false);
    let base64 = "\r\nContent-Transfer-Encoding: base64";
    check(parts(base64, "eyJpZCI6MX0=").as_bytes(), "payload.user.id", true);
    check(parts(base64, "eyJpZCI6MX0=").as_bytes(), "payload.user", false);
    let wide = "\r\nContent-Type: application/json; charset=UTF-16LE";
    check(parts(wide, "{\0}\0").as_bytes(), "payload.user.id", true);
    check(parts("\r\n name=id", "1").as_bytes(), "payload.id", true);
    check(parts("; name*=utf-8''id", "1").as_bytes(), "payload.id", true);
    // The end is elsewhere, or there is more around the parts.
    let whole = parts("", "ann");
    check(&whole.as_bytes()[..whole.len() - 5], "payload.mail", true);
    check(format!("{whole}\r\nmail: a").as_bytes(), "payload.mail", true);
    check(format!("{whole}\r\nbye").as_bytes(), "payload.mail", false);
    let get = b"GET /user HTTP/1.1\r\nUser: a\r\nCookie: x=1; user=ann\r\n\r\n";
    check(get, "payload.user", true);
    check(get, "payload.a", false);
}

#[test]
fn bytes_that_hide_something_are_told() {
    #[track_caller]
    fn check(payload: &[u8], expected: bool) {
        assert_eq!(redacted(payload, &[], &[MAIL]).1, expected, "{payload:02x?}");
        assert!(!redacted(payload, &[], &[]).1);
    }
    let zipped = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff\x4b\x4c\x49\x4d\x04\0";
    let http = |body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let string = |content: &[u8]| [vec![0x81], splice::string(Sort::Bytes, content)].concat();
    let base64 = |content: &[u8]| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(content).into_bytes()
    };
    check(zipped, true);
    check(&http(zipped), true);
    check(&string(zipped), true);
    check(&base64(zipped), true);
    // A number may stand anywhere in bytes that are no text.
    check(b"\x00\x01\x02\xff\x1b\x00\x0e\x9b\x08\xa5\x68\xf1\xc7", true);
    check(&http(b"\x08\x96\x01\xff"), true);
    check(b"\xa1\x61a\xff\x01\x02", true);
    for text in ["", "hello\r\n\t\0", "x^2 + y", "PK\u{3}\u{4}"] {
        check(text.as_bytes(), text.starts_with("PK"));
    }
    check(b"gr\xfc\xdfe", false);
    check(&Order::Little.encode("hello"), false);
    // A string of bytes in CBOR is a digest or a key.
    check(&string(b"\x01\x02\xff\xfe"), false);
    check(&string(b"hello"), false);
    let deep = (0..12).fold(b"{\"n\":1}".to_vec(), |inside, _| string(&inside));
    check(&deep, true);
}

#[test]
fn every_text_of_an_event_is_searched() {
    let mut left: Vec<&str> = Vec::new();
    for mut event in crate::sample::events() {
        // A word of each sample event, which must not be in it afterwards.
        let mut redaction = Redaction::default();
        redaction.add_pattern("(?i)[a-z]{2,}").expect("a pattern");
        let before = event.clone();
        redaction.event(&mut event);
        assert_eq!(event.sequence, before.sequence);
        if &*event.plugin != "redacted" {
            left.push("plugin");
        }
        match &event.what {
            What::HostCall { host_call, .. } => {
                assert!(host_call.service.contains("redacted"), "{host_call:?}");
            }
            What::LoadFailed { message, .. } | What::ReloadFailed { message, .. } => {
                assert!(message.is_empty() || message.contains("redacted"), "{message}");
            }
            _ => {}
        }
    }
    assert!(left.is_empty(), "{left:?}");
    let mut redaction = Redaction::default();
    redaction.add_pattern(MAIL).expect("a pattern");
    let record = PluginRecord {
        id: "a".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "00".to_owned(),
        binding: None,
        manifest: Some("authors = [\"bob\\u0040example.org\"]".to_owned()),
        instances: Vec::new(),
    };
    let expected = Some("authors = [\"redacted\"]".to_owned());
    assert_eq!(redaction.record(&record).manifest, expected);
}
