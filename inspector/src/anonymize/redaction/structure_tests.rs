//! Patterns in what is JSON, CBOR, TOML, a form or HTTP: all of it stays valid.

use glovebox_abi::cbor::Value;

use super::tests::{MAIL, redacted};
use super::*;
use crate::decode::document::Sort;
use crate::decode::splice;

const CARD: &str = r"\d{16}";
/// 4111111111111111 as an integer, and as one in a tag.
const NUMBER: &str = "1b000e9b08a568f1c7";
const IN_TAG: &str = "c2470e9b08a568f1c7";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).expect(text)
}

#[test]
fn patterns_are_found_in_any_cbor() {
    /// Both in hexadecimal.
    #[track_caller]
    fn check(payload: &str, patterns: &[&str], expected: &str) {
        let (left, unsearched) = redacted(&bytes(payload), &[], patterns);
        assert_eq!(hex::encode(left), expected, "{payload}");
        assert!(!unsearched);
    }
    let text = |text: &str| hex::encode(splice::string(Sort::Text, text.as_bytes()));
    let string = |inside: &str| hex::encode(splice::string(Sort::Bytes, &bytes(inside)));
    let mail = text("ada@example.org");
    let gone = text("redacted");
    let card = |number: &str| format!("a16463617264{number}");
    let number = card(NUMBER);
    // Behind tags: self-described, COSE, and any other.
    for tag in ["d9d9f7", "d9d9f7d9d9f7", "d9d9f7c1", "d2", "d818"] {
        check(&format!("{tag}{number}"), &[CARD], &format!("{tag}{}", card("00")));
    }
    check(&format!("d9d9f7a1646d61696c{mail}"), &[MAIL], &format!("d9d9f7a1646d61696c{gone}"));
    let signed = |inside: &str| format!("d28443a10126a0{}40", string(inside));
    check(&signed(&number), &[CARD], &signed(&card("00")));
    check(&signed(&format!("a101{mail}")), &[MAIL], &signed(&format!("a101{gone}")));
    // Encoded CBOR, in one piece and in chunks, and what is in chunks by itself.
    check(&format!("d818{}", string(&number)), &[CARD], &format!("d818{}", string(&card("00"))));
    let (first, second) = number.split_at(14);
    let chunks = format!("d8185f{}{}ff", string(first), string(second));
    check(&chunks, &[CARD], &format!("d818{}", string(&card("00"))));
    let chunks = format!("d8187f{}{}ff", text("ada@exam"), text("ple.org"));
    check(&chunks, &[MAIL], &format!("d818{gone}"));
    // Sequences, which may begin with anything.
    check(&format!("01{number}"), &[CARD], &format!("01{}", card("00")));
    check(&format!("{number}{number}"), &[CARD], &format!("{0}{0}", card("00")));
    check(&format!("f6{NUMBER}"), &[CARD], "f600");
    check(NUMBER, &[CARD], "00");
    check(IN_TAG, &[CARD], "00");
    check(
        &format!("01d9d9f7{number}{mail}"),
        &[CARD, MAIL],
        &format!("01d9d9f7{}{gone}", card("00")),
    );
    // Integers in tags, in any form.
    check(&card(IN_TAG), &["4111111111111111"], &card("00"));
    check(&card("c25f430e9b084 4a568f1c7ff".replace(' ', "").as_str()), &[CARD], &card("00"));
    check(
        &card("c24a000000000e9b08a568f1"),
        &["^62728029553$|^62727926001$|62728"],
        &card("c24a000000000e9b08a568f1"),
    );
    check(&card("c3470e9b08a568f1c7"), &["^-4111111111111112$"], &card("00"));
    check(&card("c1c2470e9b08a568f1c7"), &[CARD], &card("c100"));
    check(&format!("81c2{}", string(&"ff".repeat(40))), &[r"\d{97}"], "8100");
    check(&card("c2480000000000000001"), &[CARD], &card("c2480000000000000001"));
    // Cut off: what is there is found, and the string at the end has as much missing as before.
    check(
        &format!("a3{}{NUMBER}646d61", text("card")),
        &[CARD],
        &format!("a3{}00646d61", text("card")),
    );
    check(&format!("a9{}{NUMBER}", text("card")), &[CARD], &format!("a9{}00", text("card")));
    check(&format!("9f{number}"), &[CARD], &format!("9f{}", card("00")));
    let cut = |length: &str, text: &str| format!("a1646d61696c78{length}{}", hex::encode(text));
    check(&cut("20", "to ada@example.org"), &[MAIL], &cut("19", "to redacted"));
    check(&cut("20", "to bob"), &[MAIL], &cut("20", "to bob"));
    let open = |parts: &str, length: &str, cut: &str| {
        format!("a1646d61696c7f{parts}{length}{}", hex::encode(cut))
    };
    check(
        &open(&mail, "78 19".replace(' ', "").as_str(), "ada@example.org"),
        &[MAIL],
        &open(&gone, "72", "redacted"),
    );
    // Something that is no CBOR stands behind.
    check(
        &format!("{number}ff{}", hex::encode("ada@example.org")),
        &[CARD, MAIL],
        &format!("{}ff{}", card("00"), hex::encode("redacted")),
    );
    // A cut string of bytes in a tag 24.
    check(&format!("d8185818{number}"), &[CARD], &format!("d81850{}", card("00")));
    // Texts that look like a tag or a string of it.
    for other in ["Äda@example.org", "cabc: ada@example.org", "\u{484}ada@example.org"] {
        let (left, _) = redacted(other.as_bytes(), &[], &[r"ada@example\.org|da@example\.org"]);
        let left = String::from_utf8(left).expect(other);
        assert!(left.contains("redacted") && !left.contains("example"), "{left}");
    }
    // Bytes of which some could be CBOR keep none of a text that is in them.
    for before in ["c4", "d8", "01", "850102", "ff", "00ff"] {
        let all = format!("{before}{}", hex::encode("mail: ada@example.org."));
        let (left, _) = redacted(&bytes(&all), &[], &[MAIL]);
        assert!(!String::from_utf8_lossy(&left).contains("ada@"), "{before}: {left:02x?}");
    }
}

#[test]
fn numbers_in_headers_and_host_calls_are_found() {
    for number in [NUMBER, IN_TAG] {
        let mut redaction = Redaction::default();
        redaction.add_pattern("4111111111111111").expect("a pattern");
        let map = bytes(&format!("a16463617264{number}"));
        let header = Header::from_cbor(map.clone().into()).expect("a header");
        let mut frame = Frame::new(glovebox_abi::Kind::DATA, header, Vec::new());
        assert!(redaction.frame(&mut frame).changed);
        assert_eq!(hex::encode(frame.header.as_bytes()), "a1646361726400");
        let mut value = Value::decode(&map).expect("a value");
        assert!(redaction.value(Root::Arguments, &mut value).changed);
        assert_eq!(hex::encode(value.to_bytes()), "a1646361726400");
    }
}

#[track_caller]
fn check(payload: &str, patterns: &[&str], expected: &str) {
    let (left, _) = redacted(payload.as_bytes(), &[], patterns);
    assert_eq!(String::from_utf8_lossy(&left), expected);
}

#[test]
fn patterns_reach_over_keys_and_values() {
    let pair = r#""password":"[^"]*""#;
    let words = r"password\W+\w+";
    let gone = r#"{"id":7,"redacted":"redacted"}"#;
    check(r#"{"id":7,"password":"hunter2"}"#, &[pair], gone);
    check(r#"{"id":7,"password":"hunter2"}"#, &[words], gone);
    check(r#"{"id":7,"p\u0061ssword":"hunter\u0032"}"#, &[pair], gone);
    check(
        r#"{ "id" : 7, "password" : "hunter2" }"#,
        &[words],
        r#"{ "id" : 7, "redacted" : "redacted" }"#,
    );
    check(r#"{"password":"hunter2 and more"}"#, &[words], r#"{"redacted":"redacted and more"}"#);
    check(r#"{"pin":1234,"n":5}"#, &[r#""pin":\d+"#], r#"{"redacted":0,"n":5}"#);
    check(r#"{"is_ill":true}"#, &[r#""is_ill":true"#], r#"{"redacted":null}"#);
    check(
        r#"{"n":"ada","m":"lee","o":1}"#,
        &[r#""n":"\w+","m":"\w+""#],
        r#"{"redacted":"redacted","redacted-2":"redacted","o":1}"#,
    );
    check(r#"[["pin",1234],["n",5]]"#, &[r#""pin",\d+"#], r#"[["redacted",0],["n",5]]"#);
    // A match that ends in its text ends there, but for a key.
    check(r#"{"a":"secret x","b":"keep"}"#, &["secret.*"], r#"{"a":"redacted","b":"keep"}"#);
    check(r#"{"a":"my secret x","b":"keep"}"#, &[".*secret.*"], r#"{"a":"redacted","b":"keep"}"#);
    check(
        r#"{"password":"hunter2","b":"keep"}"#,
        &["password.*"],
        r#"{"redacted":"redacted","b":"keep"}"#,
    );
    check(
        r#"{"a":"password list","password":"x","b":1}"#,
        &["password.*"],
        r#"{"a":"redacted","redacted":"redacted","b":1}"#,
    );
    check(r#"{"password":1}"#, &["password"], r#"{"redacted":1}"#);
    check(r#"{"a":{"b":1}}"#, &["[{}:]"], r#"{"a":{"b":1}}"#);
    // In a text of JSON, in a body of HTTP, in a form, in JSON that is cut off and in CBOR.
    check(
        r#"{"t":"{\"id\":7,\"password\":\"hunter2\"}"}"#,
        &[pair],
        r#"{"t":"{\"id\":7,\"redacted\":\"redacted\"}"}"#,
    );
    let post = |length: usize, body: &str| {
        format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    check(&post(22, r#"{"password":"hunter2"}"#), &[pair], &post(23, r#"{"redacted":"redacted"}"#));
    check("id=7&password=hunter2&x=1", &[words], "id=7&redacted=redacted&x=1");
    check(r#"{"password":"hunter2","x":"#, &[pair], r#"{"redacted":"redacted","x":"#);
    check(
        r#"{"x":undefined,"password":"hunter2"}"#,
        &[pair],
        r#"{"x":undefined,"redacted":"redacted"}"#,
    );
    check("the password: hunter2!", &[words], "the redacted!");
    let map = |key: &str, value: &str| {
        let text = |text: &str| splice::string(Sort::Text, text.as_bytes());
        [vec![0xA2], text("n"), vec![7], text(key), text(value)].concat()
    };
    for pattern in [pair, words] {
        let (left, _) = redacted(&map("password", "hunter2"), &[], &[pattern]);
        assert_eq!(left, map("redacted", "redacted"));
    }
    let (left, _) = redacted(&map("user", "ada"), &[], &[r"user\w*"]);
    assert_eq!(left, map("redacted", "ada"));
}

#[test]
fn matches_are_counted_once() {
    #[track_caller]
    fn check(payload: &str, pattern: &str, expected: u64) {
        let mut redaction = Redaction::default();
        redaction.add_pattern(pattern).expect(pattern);
        redaction.frame(&mut Frame::data(payload.to_owned()));
        assert_eq!(redaction.report()[0].times, expected, "{payload}");
    }
    check(r#"{"a":"x x","b":["x",1]}"#, "x", 3);
    check(r#"{"password":"hunter2"}"#, r#""password":"[^"]*""#, 1);
    check(r#"{"password":"hunter2"}"#, "password.*", 1);
    check(r#"{"t":"{\"a\":\"x\"}"}"#, "x", 1);
    check(r#"{"a":1}"#, "[{}]", 0);
    check("a=x&b=x", "x", 2);
}

#[test]
fn keys_stay_distinct() {
    let both = "[ab]@x";
    check(r#"{"a@x":1,"b@x":2}"#, &[both], r#"{"redacted":1,"redacted-2":2}"#);
    check(
        r#"{"a@x":1,"redacted":2,"b@x":3}"#,
        &[both],
        r#"{"redacted-2":1,"redacted":2,"redacted-3":3}"#,
    );
    check(
        r#"{"redacted-2":0,"a@x":1,"b@x":2}"#,
        &[both],
        r#"{"redacted-2":0,"redacted":1,"redacted-3":2}"#,
    );
    // The same key twice stays that, and each map counts by itself.
    check(
        r#"{"a@x":1,"\u0061@x":2,"b@x":3}"#,
        &[both],
        r#"{"redacted":1,"redacted":2,"redacted-2":3}"#,
    );
    check(
        r#"[{"a@x":{"a@x":1}},{"b@x":2}]"#,
        &[both],
        r#"[{"redacted":{"redacted":1}},{"redacted":2}]"#,
    );
    check(
        r#"{"t":"{\"a@x\":1,\"b@x\":2}"}"#,
        &[both],
        r#"{"t":"{\"redacted\":1,\"redacted-2\":2}"}"#,
    );
    check(r#"{"to a@x!":1,"to b@x!":2}"#, &[both], r#"{"to redacted!":1,"to redacted!-2":2}"#);
    check(r#"{"a@x":1,"b@x":"#, &[both], r#"{"redacted":1,"redacted-2":"#);
    check("a%40x=1&b%40x=2&a%40x=3", &[both], "redacted=1&redacted-2=2&redacted=3");
    let left =
        |payload: &str, pattern: &str| hex::encode(redacted(&bytes(payload), &[], &[pattern]).0);
    assert_eq!(
        left("a3194e2101194e22021903e703", r"\d{5}"),
        "a30001010 21903e703".replace(' ', "")
    );
    assert_eq!(left("a3194e210100021903e703", r"\d{5}"), "a301010002 1903e703".replace(' ', ""));
    assert_eq!(
        left("a243614078014362407802", both),
        format!("a248{}014a{}02", hex::encode("redacted"), hex::encode("redacted-2"))
    );
    let many = (0..3_000).map(|at| format!("\"{at}@x\":1")).collect::<Vec<_>>().join(",");
    let (many, _) = redacted(format!("{{{many}}}").as_bytes(), &[], &[r"\d+@x"]);
    let many: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&many).expect("it is JSON");
    assert_eq!(many.len(), 3_000);
}

#[test]
fn numbers_leave_numbers() {
    let card = |number: &str| format!(r#"{{"card":{number}, "n":[true,{number}]}}"#);
    let inner = |number: &str| card(number).replace('"', "\\\"");
    let full = "4111111111111111";
    check(&card(full), &[CARD], &card("0"));
    let outer = |inside: &str| format!(r#"{{"m":"{inside}"}}"#);
    check(&outer(&inner(full)), &[CARD], &outer(&inner("0")));
    let twice =
        |number: &str| outer(&outer(&inner(number)).replace('\\', "\\\\").replace('"', "\\\""));
    check(&twice(full), &[CARD], &twice("0"));
    assert!(serde_json::from_str::<serde_json::Value>(&outer(&inner("0"))).is_ok());
    check(&card(full)[..31], &[CARD], r#"{"card":0, "n":["#);
    check(
        &format!("{}\n{}", card(full), card(full)),
        &[CARD],
        &format!("{}\n{}", card("0"), card("0")),
    );
    check(&format!("d=%7B%22card%22%3A{full}%7D"), &[CARD], "d=%7B%22card%22%3A0%7D");
    check(&format!("card={full}"), &[CARD], "card=redacted");
    check(&format!("{{\"m\":\"card {full}\"}}"), &[CARD], "{\"m\":\"card redacted\"}");
    check(&format!("paid with {full}"), &[CARD], "paid with redacted");
    check(&format!("[INFO] paid with {full}"), &[CARD], "[INFO] paid with redacted");
    check(&format!("[{full}, 1.5e3, {full}"), &[CARD], "[0, 1.5e3, 0");
    check(&format!("{{\"a\":NaN,\"card\":{full}}}"), &[CARD], "{\"a\":NaN,\"card\":0}");
    let http = |number: &str| {
        let body = card(number);
        format!("POST /?card={number} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    check(&http(full), &[CARD], &http("0").replace("card=0", "card=redacted"));
    let part = |number: &str| {
        format!(
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{}\r\n--x--",
            card(number)
        )
    };
    check(&part(full), &[CARD], &part("0"));
    let cbor = |text: &str| [vec![0x81], splice::string(Sort::Text, text.as_bytes())].concat();
    let (left, _) = redacted(&cbor(&card(full)), &[], &[CARD]);
    assert_eq!(left, cbor(&card("0")));
    let wrapped = |body: Vec<u8>| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), &body].concat()
    };
    let (left, _) = redacted(&wrapped(bytes(&format!("d9d9f781{NUMBER}"))), &[], &[CARD]);
    assert_eq!(left, wrapped(bytes("d9d9f78100")));
}

#[test]
fn framing_of_http_stays_valid() {
    let chunked = |trailer: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{trailer}\r\n"
        )
    };
    check(&chunked("T: ada@example.org\r\n"), &[MAIL], &chunked("T: redacted\r\n"));
    check(&chunked(""), &[r"\b[05]\b"], &chunked(""));
    let two = |mail: &str| {
        let one = format!(
            "POST /{mail} HTTP/1.1\r\nX: {mail}\r\nContent-Length: {}\r\n\r\n{mail}",
            mail.len()
        );
        format!("{one}{one}")
    };
    check(&two("ada@example.org"), &[MAIL], &two("redacted"));
    let length = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n55555";
    check(length, &["5+"], &length.replace("55555", "redacted").replace(": 5", ": 8"));
}

#[test]
fn manifests_are_searched_as_toml() {
    #[track_caller]
    fn check(manifest: &str, patterns: &[&str], expected: &str) {
        let mut redaction = Redaction::default();
        patterns.iter().for_each(|pattern| redaction.add_pattern(pattern).expect(pattern));
        let manifest = Some(manifest.to_owned());
        let (id, version, digest) = ("a".to_owned(), "1.0.0".to_owned(), "00".to_owned());
        let record =
            PluginRecord { id, version, digest, binding: None, manifest, instances: Vec::new() };
        let left = redaction.record(&record).manifest.expect("it has one");
        assert_eq!(left, expected);
    }
    for mail in [
        "ada@example.org",
        "ada\\u0040example.org",
        "ada\\U00000040example.org",
        "\\U00000061da@example.org",
        "\\x61da\\x40example.org",
    ] {
        check(&format!("authors = [\"{mail}\"]"), &[MAIL], "authors = [\"redacted\"]");
    }
    check(
        "a = \"\"\"\nby ada@exam\\\n   ple.org, too\"\"\"",
        &[MAIL],
        "a = \"\"\"\nby redacted, too\"\"\"",
    );
    check(
        "a = 'ada\\U00000040example.org ada@example.org'",
        &[MAIL],
        "a = 'ada\\U00000040example.org redacted'",
    );
    check("a = '''\nada@example.org'''\n", &[MAIL], "a = '''\nredacted'''\n");
    check(
        "a = 12345 # 12345\nb = 1.5\nc = [true, 12345]",
        &[r"1\S{2,}\b|true"],
        "a = 0 # redacted\nb = 0\nc = [false, 0]",
    );
    check(
        "[\"a@x\"]\nm = 1\n[\"b@x\"]\nm = 2\n",
        &["[ab]@x"],
        "[\"redacted\"]\nm = 1\n[\"redacted-2\"]\nm = 2\n",
    );
    check(
        "a1 = 1\na2 = {a1 = 2, a2 = 3}",
        &[r"a\d"],
        "redacted = 1\nredacted-2 = {redacted = 2, redacted-2 = 3}",
    );
    check("token = \"hunter2\"\nb = 1", &[r#"token\W+\w+"#], "redacted = \"redacted\"\nb = 1");
    check("a = 1 # to ada@example.org", &[MAIL], "a = 1 # to redacted");
    check("token = \"hunter2", &["hunter2"], "token = \"redacted");
}

#[test]
fn patterns_are_found_in_base64() {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    let mail = "to ada@example.org?>~\u{ff}";
    let gone = "to redacted?>~\u{ff}";
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
        for more in ["", "?", "??"] {
            let text = |text: &str| engine.encode(format!("{more}{text}"));
            let (before, mut after) = (text(mail), text(gone));
            if !before.contains('=') && before.len().is_multiple_of(4) {
                // It does not tell whether it would be padded.
                let length = after.trim_end_matches('=').len();
                after.truncate(length);
                let padding = if before.contains(['-', '_']) { 0 } else { (4 - length % 4) % 4 };
                after.push_str(&"=".repeat(padding));
            }
            assert!(before.contains(['+', '/', '-', '_']), "{before}");
            check(&before, &[MAIL], &after);
            check(&format!("{{\"m\":\"{before}\"}}"), &[MAIL], &format!("{{\"m\":\"{after}\"}}"));
            check(&format!("by {before}, or."), &[MAIL], &format!("by {after}, or."));
            check(
                &format!("data:text/plain;base64,{before}"),
                &[MAIL],
                &format!("data:text/plain;base64,{after}"),
            );
            check(&before, &["nothing"], &before);
        }
    }
    let text = |text: &str| STANDARD.encode(text);
    // The content stays valid, and may be base64 again.
    let json = |number: &str| format!("{{\"card\":{number},\"n\":1}}");
    check(&text(&json("4111111111111111")), &[CARD], &text(&json("0")));
    check(&text(&text(&json("4111111111111111"))), &[CARD], &text(&text(&json("0"))));
    let (card, zero) = (bytes(&format!("a16463617264{NUMBER}")), bytes("a1646361726400"));
    check(&STANDARD.encode(&card), &[CARD], &STANDARD.encode(&zero));
    let token = |inside: &str| {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("Bearer {}.{}.c2lnbmF0dXJl", part("{\"alg\":\"none\"}"), part(inside))
    };
    let claims = |mail: &str| format!("{{\"sub\":7,\"mail\":\"{mail}\"}}");
    let head =
        |mail: &str| format!("GET / HTTP/1.1\r\nAuthorization: {}\r\n\r\n", token(&claims(mail)));
    check(&head("ada@example.org"), &[MAIL], &head("redacted"));
    check(
        &format!("token={}", text(mail).replace('=', "%3D").replace('+', "%2B")),
        &[MAIL],
        &format!(
            "token={}",
            text(gone).replace('=', "%3D").replace('+', "%2B").replace('/', "%2F")
        ),
    );
    // In lines, as mail has it, and in UTF-16.
    let lines = |text: &str, end: &str| {
        let text = STANDARD.encode(text);
        let lines =
            text.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned());
        lines.collect::<Vec<_>>().join(end)
    };
    let long = |mail: &str| format!("{0} {mail} {0}", "one two three ".repeat(12));
    for end in ["\r\n", "\n"] {
        check(&lines(&long("ada@example.org"), end), &[MAIL], &lines(&long("redacted"), end));
        let part = |mail: &str| {
            format!(
                "--x\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--x--",
                lines(&long(mail), end)
            )
        };
        check(&part("ada@example.org"), &[MAIL], &part("redacted"));
    }
    // In lines of any length, however short.
    for width in [8, 12, 16, 20, 32, 48, 100] {
        let lines = |text: &str| {
            let text = STANDARD.encode(text);
            let lines = text.as_bytes().chunks(width);
            let lines = lines.map(|line| String::from_utf8_lossy(line).into_owned());
            lines.collect::<Vec<_>>().join("\n")
        };
        let long = |mail: &str| format!("some text of 21 bytes {mail} and more text");
        check(&lines(&long("ada@example.org")), &[MAIL], &lines(&long("redacted")));
    }
    // Values in lines of their own stay in them.
    let values = |inside: &str| {
        ["first, or 15 by", inside, "others, or same"].map(|one| STANDARD.encode(one)).join("\n")
    };
    check(&values("ada@example.org"), &[MAIL], &values("redacted"));
    let wide = |text: &str| STANDARD.encode(crate::decode::encodings::Order::Little.encode(text));
    check(&wide("to ada@example.org"), &[MAIL], &wide("to redacted"));
    // Bytes with a text among them, where nothing else is meant.
    let image = |mail: &str| {
        [&[0x89, 0x50, 0xFF, 0, 1][..], &[0xFE; 60], mail.as_bytes(), &[0xFE; 9]].concat()
    };
    let data = |mail: &str| {
        format!("{{\"p\":\"data:image/png;base64,{}\"}}", STANDARD.encode(image(mail)))
    };
    check(&data("ada@example.org"), &[MAIL], &data("redacted"));
    // A match in it as it is written takes all of it, and words are no base64.
    check(&format!("by {}!", text(mail)), &["^by .{4}", MAIL], "redacted!");
    for other in [
        "password",
        "a1b2c3d4e5f6a7b8a1b2c3d4e5f6a7b8",
        "path/to/some/file-name_x",
        "abcdefghijklmnop",
    ] {
        check(other, &["@", "\u{fffd}", "[\\x00-\\x1f]"], other);
    }
    check("x-YWRhQGV4YW1wbGUub3Jn", &[MAIL], "x-cmVkYWN0ZWQ=");
}
