use glovebox_sdk::testing::Harness;
use glovebox_sdk::{Header, Permission};

use super::*;

fn redact(config: &str, payload: &str) -> String {
    let mut harness = Harness::new(Redact::default()).config(config);
    harness.answer(payload).unwrap().concat()
}

#[test]
fn text_is_redacted() {
    fn check(payload: &str, expected: &str) {
        assert_eq!(redact(r##"{"replacement": "#"}"##, payload), expected);
    }
    check("", "");
    check("nothing here @ all, 10.0.0.1 at 12:30", "nothing here @ all, 10.0.0.1 at 12:30");
    check("mail ada.lovelace+x@example.org.", "mail #.");
    check("<ada@example.org>, ö@example.org", "<#>, ö@example.org");
    check("not mail: a@b, @user, a@b.c", "not mail: a@b, @user, a@b.c");
    check("4111 1111 1111 1111", "#");
    check("card 5500-0000-0000-0004, 4111111111111111", "card #, #");
    check("4111 1111 1111 1112", "4111 1111 1111 1112");
    check("411111111111", "411111111111");
    check("at 1700000000005", "at 1700000000005");
    check(
        "GET / HTTP/1.1\r\nAuthorization: Bearer abcdefgh.12\r\nHost: x",
        "GET / HTTP/1.1\r\nAuthorization: Bearer #\r\nHost: x",
    );
    check("Authorization: Basic dTpw\r\n", "Authorization: Basic #\r\n");
    check("GET /?token=abc&x=1", "GET /?token=#&x=1");
    check("api_key=abc; X-Api-Key: def", "api_key=#; X-Api-Key: #");
    check("jwt eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl end", "jwt # end");
    check("tokens_used: 12", "tokens_used: 12");
    check(r#"<14>app: {"password": "a b", "n": 1}"#, r##"<14>app: {"password": "#", "n": 1}"##);
}

#[test]
fn json_is_redacted_by_structure() {
    fn check(payload: &str, expected: &str) {
        assert_eq!(redact("{}", payload), expected);
    }
    check("12.50", "12.50");
    check(r#"{ "z": "ada@example.org", "a":1.0 }"#, r#"{ "z": "[redacted]", "a":1.0 }"#);
    check(r#"[["ada@example.org", "x"],2]"#, r#"[["[redacted]", "x"],2]"#);
    check(r#"{"card": 4111111111111111}"#, r#"{"card": "[redacted]"}"#);
    check(r#"{"Access-Token" : {"v": [1]}, "b": 1}"#, r#"{"Access-Token" : "[redacted]", "b": 1}"#);
    check(r#"{"ada@example.org": "token"}"#, r#"{"ada@example.org": "token"}"#);
    check(r#""ada\u0040example.org \"x\"""#, r#""[redacted] \"x\"""#);
}

#[test]
fn settings_are_obeyed() {
    fn check(config: &str, expected: &str) {
        let payload = "ada@example.org 4111111111111111 token=x";
        assert_eq!(redact(config, payload), expected);
    }
    check(r#"{"emails": false}"#, "ada@example.org [redacted] token=[redacted]");
    check(r#"{"cards": false}"#, "[redacted] 4111111111111111 token=[redacted]");
    check(r#"{"tokens": false, "replacement": ""}"#, "  token=x");
    check(r#"{"text": false}"#, "ada@example.org 4111111111111111 token=x");
    let wrong = Harness::new(Redact::default()).config(r#"{"mails": true}"#).initialize();
    assert!(wrong.unwrap_err().message.contains("unknown field `mails`"));
}

#[test]
fn finds_are_counted_and_headers_kept() {
    let mut harness = Harness::new(Redact::default());
    let header = Header::build().text(Header::ID, "7").finish();
    let frame = Frame::new(Kind::DATA, header, "a@b.org c@d.org token=x");
    let answers = harness.process(&frame).unwrap();
    assert_eq!(answers[0].header, frame.header);
    let metrics = [("redacted-emails".to_owned(), 2.0), ("redacted-tokens".to_owned(), 1.0)];
    assert_eq!(harness.host.metrics, metrics);
    assert!(harness.host.logs[0].1.contains("2 e-mail addresses, 0 card numbers, 1 tokens"));

    harness.host.deny(Permission::Log);
    harness.host.deny(Permission::Metric);
    assert_eq!(harness.answer("a@b.org").unwrap(), ["[redacted]"]);

    let control = Frame::new(Kind::CONTROL, Header::empty(), "a@b.org");
    assert_eq!(harness.process(&control), Ok(vec![control]));
}

#[test]
fn nothing_hides_behind_escapes() {
    #[track_caller]
    fn check(payload: &str, expected: &str) {
        assert_eq!(redact("{}", payload), expected);
    }
    // Half of a surrogate pair, beside a mail, in its text, and in a key.
    check(r#"{"mail":"bob@example.org","n":"\ud83d"}"#, r#"{"mail":"[redacted]","n":"\ud83d"}"#);
    check(r#"["\ud83d bob\u0040example.org \u00e9"]"#, r#"["\ud83d [redacted] \u00e9"]"#);
    check(r#"{"\ud83dpass\u0077ord":"x"}"#, r#"{"\ud83dpass\u0077ord":"[redacted]"}"#);
    check(r#"["\nbob@example.org"]"#, r#"["\n[redacted]"]"#);
    check(r#"{"t":"{\"m\":\"bob\\u0040example.org\"}"}"#, r#"{"t":"{\"m\":\"[redacted]\"}"}"#);
    check(r#"{"n":1e999,"m":"a@b.org","x":0.10}"#, r#"{"n":1e999,"m":"[redacted]","x":0.10}"#);
    // Several values, and what is no JSON after all.
    check(
        "{\"password\":[1,2]}\n{\"m\":\"a\\u0040b.org\"}",
        "{\"password\":\"[redacted]\"}\n{\"m\":\"[redacted]\"}",
    );
    check(r#"{"m":"bob\u0040example.org","#, r#"{"m":"[redacted]","#);
    check("\u{FEFF}{\"m\":\"bob\\u0040example.org\"}", "\u{FEFF}{\"m\":\"[redacted]\"}");
    check(r#"{"password":{"v":["a","b"]},"n":"#, r#"{"password":[redacted]"#);
    check("[INFO] bob@example.org", "[INFO] [redacted]");
    let deep = |bottom: &str| format!("{}{bottom}{}", "[".repeat(5000), "]".repeat(5000));
    check(&deep("\"a@b.org\""), &deep("\"[redacted]\""));
    // The replacement is escaped where it must be.
    assert_eq!(redact(r##"{"replacement": "\"#"}"##, r#"["a@b.org"]"#), r##"["\"#"]"##);
}

#[test]
fn what_is_not_searched_is_not_passed_on() {
    let without_text = || Harness::new(Redact::default()).config(r#"{"text": false}"#);
    for payload in [r#"{"m":"a@b.org","#, r#"[["a@b.org"]"#, "{\"m\":\"a@b.org\"} x", " {"] {
        let failure = without_text().answer(payload).expect_err(payload);
        assert!(failure.message.contains("it is not passed on"), "{failure:?}");
    }
    for payload in ["a@b.org", "[INFO] a@b.org", "", "{\"a\":1}\n{\"a\":2}"] {
        assert_eq!(without_text().answer(payload).unwrap(), [payload]);
    }
}
