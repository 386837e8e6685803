use glovebox_abi::Kind;
use glovebox_abi::cbor::Value;

use super::document::Format;
use super::print::{Notation, Style, print};
use super::*;

fn frame(payload: &[u8]) -> Frame {
    let header = Header::build()
        .text("id", "a")
        .value("user", Value::Map(vec![(Value::Text("n".into()), Value::Integer(42))]))
        .finish();
    Frame::new(Kind::DATA, header, payload.to_vec())
}

#[test]
fn payloads_are_recognized() {
    fn check(payload: &[u8], expected: PayloadFormat) {
        assert_eq!(payload_format(&Frame::data(payload.to_vec())), expected, "{payload:02x?}");
    }
    check(b"", PayloadFormat::Empty);
    check(b" {\"a\": 1}", PayloadFormat::Json);
    check(b"{\"a\": 1", PayloadFormat::Text);
    check(b"hello\n", PayloadFormat::Text);
    check(b"42", PayloadFormat::Text);
    check(&[0xA1, 0x61, b'a', 0x01], PayloadFormat::Cbor);
    check(&[0xA1, 0x61, b'a'], PayloadFormat::Bytes);
    check(&[0, 1, 2], PayloadFormat::Bytes);
}

#[test]
fn nodes_point_at_their_bytes() {
    fn check(payload: &[u8], labels: &[&str], value: &str, bytes: &[u8]) {
        let frame = frame(payload);
        let tree = tree(&frame);
        let node = tree.find(labels).unwrap_or_else(|| panic!("{labels:?} in {tree:#?}"));
        assert_eq!(node.value, value);
        assert_eq!(&frame.to_bytes()[node.range.clone()], bytes, "{labels:?}");
    }
    let json = br#"{"a": [1, -2.5e3, {"b\n": "x\u00e9"}], "c": null, "d": {}}"#;
    check(json, &["prefix", "kind"], "data (0x52)", &[0x52]);
    check(json, &["header", "id"], "a", &[0x61, b'a']);
    check(json, &["header", "user", "n"], "42", &[0x18, 42]);
    check(json, &["payload", "a", "1"], "-2.5e3", b"-2.5e3");
    check(json, &["payload", "a", "2", "b\n"], "xé", br#""x\u00e9""#);
    check(json, &["payload", "c"], "null", b"null");
    check(json, &["payload", "d"], "0 entries", b"{}");
    check(&[0x82, 0x01, 0x42, 7, 8], &["payload", "1"], "hex:0708", &[0x42, 7, 8]);
    check(&[0x9F, 0x61, b'z', 0xFF], &["payload", "0"], "z", &[0x61, b'z']);
    check(b"just text", &["payload"], "just text", b"just text");
    check(&[0, 1], &["payload"], "2 bytes", &[0, 1]);
}

#[test]
fn bytes_lead_to_their_node() {
    let frame = frame(b"[10]");
    let tree = tree(&frame);
    let at = frame.encoded_len() - 3;
    assert_eq!(tree.at(at).map(|node| node.value.as_str()), Some("10"));
    assert_eq!(tree.at(frame.encoded_len()), None);
}

proptest::proptest! {
    #[test]
    fn any_payload_has_a_tree(payload: Vec<u8>) {
        let frame = Frame::data(payload);
        let tree = tree(&frame);
        proptest::prop_assert_eq!(tree.range, 0..frame.encoded_len());
    }

    #[test]
    fn anything_that_looks_like_json_has_a_tree(payload in r#"[\[\]{}",:0-9a-z\\]{0,40}"#) {
        tree(&Frame::data(payload.into_bytes()));
    }
}

/// The text of a document and its format, or where it is malformed.
fn shown(bytes: &[u8], format: Format) -> Result<String, usize> {
    let document = match format {
        Format::Json => Document::json(bytes),
        Format::Cbor => Document::cbor(bytes),
    };
    let document = document.map_err(|error| error.at)?;
    assert_eq!(document.root().raw(), {
        let text = bytes.strip_prefix(json::BYTE_ORDER_MARK).unwrap_or(bytes);
        if format == Format::Json { text.trim_ascii() } else { text }
    });
    Ok(print(document.root(), Style { sorted: false, ..Style::EXACT }))
}

#[test]
fn json_is_read_as_it_is_written() {
    #[track_caller]
    fn check(text: &str, expected: Result<&str, usize>) {
        let found = shown(text.as_bytes(), Format::Json);
        assert_eq!(found.as_deref().map_err(|at| *at), expected, "{text}");
        // The library agrees, but for what it does not take.
        let theirs =
            serde_json::from_str::<serde::de::IgnoredAny>(text.trim_start_matches('\u{FEFF}'));
        assert_eq!(theirs.is_ok(), expected.is_ok(), "{text}: {theirs:?}");
    }
    check(
        r#"{"b":[1,-0,0.10,1E2,1e400],"a":123456789012345678901}"#,
        Ok(r#"{"b":[1,-0,0.10,1E2,1e400],"a":123456789012345678901}"#),
    );
    check(" { \"a\" : [ ] ,\r\n\t\"a\":{ } } ", Ok(r#"{"a":[],"a":{}}"#));
    check(
        r#""\ud83d \ud83d\ude00 \udc00\ud83d \u00e9\/\u0000""#,
        Ok(r#""\ud83d 😀 \udc00\ud83d é/\u0000""#),
    );
    check("\u{FEFF}[null,true,false]", Ok("[null,true,false]"));
    check("18446744073709551615", Ok("18446744073709551615"));
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    assert_eq!(shown(deep.as_bytes(), Format::Json), Ok(deep.clone()));
    let maps = "{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000);
    assert_eq!(shown(maps.as_bytes(), Format::Json), Ok(maps.clone()));
    for (text, at) in [
        ("", 0),
        ("[1,]", 3),
        ("{,}", 1),
        ("{\"a\"}", 4),
        ("{\"a\":}", 5),
        ("[1}", 2),
        ("{\"a\":1]", 6),
        ("[1 2]", 3),
        ("01", 1),
        ("1.", 2),
        ("-", 1),
        (".5", 0),
        ("1e", 2),
        ("NaN", 0),
        ("Infinity", 0),
        ("nul", 0),
        ("\"\\x\"", 1),
        ("\"\\u00g0\"", 1),
        ("\"\n\"", 1),
        ("\"", 1),
        ("[", 1),
        ("1 1", 2),
        ("{1:2}", 1),
    ] {
        check(text, Err(at));
    }
    assert_eq!(shown(b"\"\xff\"", Format::Json), Err(1));
}

#[test]
fn cbor_is_read_as_it_is_written() {
    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&str, usize>) {
        let found = shown(bytes, Format::Cbor);
        assert_eq!(found.as_deref().map_err(|at| *at), expected, "{bytes:02x?}");
    }
    // RFC 8949, appendix A, and what is not the shortest form.
    check(&[0x18, 0x01], Ok("1"));
    check(&[0x1B, 255, 255, 255, 255, 255, 255, 255, 255], Ok("18446744073709551615"));
    check(&[0x3B, 255, 255, 255, 255, 255, 255, 255, 255], Ok("-18446744073709551616"));
    check(&[0xC2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0], Ok("18446744073709551616"));
    check(&[0xC3, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0], Ok("-18446744073709551617"));
    let largest = [&[0xC2, 0x50, 127][..], &[255; 15]].concat();
    check(&largest, Ok("170141183460469231731687303715884105727"));
    // In another form, and too large.
    check(&[0xC2, 0x49, 0, 0, 0, 0, 0, 0, 0, 0, 1], Ok("2(h'000000000000000001')"));
    check(&[0xC2, 0x41, 5], Ok("2(h'05')"));
    let larger = [&[0xC2, 0x50, 128][..], &[0; 15]].concat();
    check(&larger, Ok("2(h'80000000000000000000000000000000')"));
    check(&[0xC2, 0x49, 1, 0], Err(1));
    check(&[0xF9, 0x3C, 0x00], Ok("1.0"));
    check(&[0xF9, 0x00, 0x01], Ok("5.960464477539063e-8"));
    check(&[0xF9, 0x80, 0x00], Ok("-0.0"));
    check(&[0xFA, 0x7F, 0x80, 0, 0], Ok("Infinity"));
    check(&[0xF9, 0xFC, 0x00], Ok("-Infinity"));
    check(&[0xF9, 0x7E, 0x00], Ok("NaN"));
    check(&[0xFB, 0x7F, 0xF8, 0, 0, 0, 0, 0, 1], Ok("NaN(0x7ff8000000000001)"));
    check(&[0x84, 0xF4, 0xF6, 0xF7, 0xF0], Ok("[false,null,undefined,simple(16)]"));
    check(&[0xBF, 0x01, 0x9F, 0xFF, 0x01, 0xA0, 0xFF], Ok("{1:[],1:{}}"));
    check(&[0xA1, 0x82, 0x01, 0x02, 0x61, b'x'], Ok(r#"{[1,2]:"x"}"#));
    check(&[0x5F, 0x41, 1, 0x40, 0x42, 2, 3, 0xFF], Ok("h'010203'"));
    check(&[0x7F, 0x61, b'a', 0x62, 0xC3, 0xBC, 0xFF], Ok("\"aü\""));
    check(&[], Err(0));
    check(&[0xA0, 0x00], Err(1));
    check(&[0xA1, 0x01], Err(0));
    check(&[0xBF, 0x01, 0xFF], Err(2));
    check(&[0xFF], Err(0));
    check(&[0x9F], Err(1));
    check(&[0x61, 0xFF], Err(0));
    check(&[0x1C], Err(0));
    check(&[0xF8, 0x01], Err(0));
    check(&[0x5F, 0x61, b'a', 0xFF], Err(0));
    check(&[0x9B, 255, 255, 255, 255, 255, 255, 255, 255], Err(0));
    let deep = [vec![0x81; 10_000], vec![0x80]].concat();
    assert_eq!(shown(&deep, Format::Cbor), Ok("[".repeat(10_001) + &"]".repeat(10_001)));
    let keys = [vec![0xA1; 10_000], vec![0x00; 10_001]].concat();
    assert!(shown(&keys, Format::Cbor).is_ok());
}

#[test]
fn a_payload_is_what_all_of_it_is() {
    fn check(payload: &[u8], expected: PayloadFormat) {
        assert_eq!(payload_format(&Frame::data(payload.to_vec())), expected, "{payload:02x?}");
    }
    check(br#"{"n":"\ud83d"}"#, PayloadFormat::Json);
    check("\u{FEFF}\r\n[1]\r\n".as_bytes(), PayloadFormat::Json);
    check(b"{\"a\":1}\n{\"a\":2}\n", PayloadFormat::Text);
    check(b"{\"a\":\"\xff\"}", PayloadFormat::Bytes);
    check(&[vec![b'['; 5000], vec![b']'; 5000]].concat(), PayloadFormat::Json);
    check(&[vec![0x81; 5000], vec![0x80]].concat(), PayloadFormat::Cbor);
    check(&[0x81, 0x00, 0x00], PayloadFormat::Bytes);
}

#[test]
fn escapes_lead_back_to_their_source() {
    #[track_caller]
    fn check(text: &str, decoded: &str, source: &str) {
        let found = json::unescape(text.as_bytes()).expect(text);
        let mut parts = found.bytes.windows(decoded.len());
        let start = parts.position(|part| part == decoded.as_bytes()).expect(decoded);
        assert_eq!(&text[found.source(start..start + decoded.len())], source);
    }
    check(r"bob\u0040example.org", "bob@example.org", r"bob\u0040example.org");
    check(r"a\ud83d\ude00b", "😀", r"\ud83d\ude00");
    check(r"\n\x\/y", r"\x/", r"\x\/");
    check(r"\ud83dx\", r"x\", r"x\");
}

proptest::proptest! {
    #[test]
    fn documents_agree_with_the_libraries(bytes: Vec<u8>, text in r#"[\[\]{}",:0-9eE.+\-utn\\ ]{0,24}"#) {
        let json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        proptest::prop_assert_eq!(Document::json(text.as_bytes()).is_ok(), json, "{}", text);
        if let Ok(value) = Value::decode(&bytes) && !bytes.is_empty() {
            let document = Document::cbor(&bytes);
            proptest::prop_assert!(document.is_ok(), "{:?}", value);
        }
        if let Ok(document) = Document::cbor(&bytes) {
            proptest::prop_assert_eq!(document.root().span(), 0..bytes.len());
            print(document.root(), Style::EXACT);
        }
    }

    #[test]
    fn values_are_shown_as_they_are(text in "\\PC{0,20}", number in -1i128 << 64..1 << 64, float: f64) {
        let value = Value::Array(vec![Value::Text(text), Value::Integer(number), Value::Float(float)]);
        let bytes = value.to_bytes();
        let document = Document::cbor(&bytes).expect("it was just encoded");
        let style = Style { notation: Notation::Json, sorted: true, pretty: false };
        proptest::prop_assert_eq!(print(document.root(), style), to_json(&value).to_string());
        let style = Style { pretty: true, ..style };
        proptest::prop_assert_eq!(print(document.root(), style), format!("{:#}", to_json(&value)));
    }
}
