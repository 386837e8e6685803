//! Messages of any content survive the wire, and damaged ones are refused before they cost memory.

use std::io::Write;
use std::process::{Command, Stdio};

use bytes::Bytes;
use glovebox_abi::wire::{
    Bounds, Decoder, Encoder, Load, Message, PREFIX_LEN, PrintedTo, RemoteServices, Request,
    ServiceAnswer, ServiceCall, Side, WireError,
};
use glovebox_abi::{
    Failure, Frame, Header, Health, Kind, LogLevel, ProtocolVersion, ServiceError, Services, State,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Mostly short, and now and then so long that a decoder shares them.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![9 => vec(any::<u8>(), 0..200), 1 => vec(any::<u8>(), 4000..9000)]
}

fn frame() -> impl Strategy<Value = Frame> {
    (any::<u8>(), option::of(".{0,20}"), bytes()).prop_map(|(kind, id, payload)| {
        let header = id.map(|id| Header::build().text(Header::ID, id).finish());
        Frame::new(Kind(kind), header.unwrap_or_default(), payload)
    })
}

fn state() -> impl Strategy<Value = State> {
    (any::<u32>(), bytes()).prop_map(|(version, bytes)| State { version, bytes })
}

fn failure() -> impl Strategy<Value = Failure> {
    (any::<u32>(), ".{0,40}").prop_map(|(code, message)| Failure { code, message })
}

fn ask() -> impl Strategy<Value = ServiceCall> {
    let key = || ".{0,20}";
    prop_oneof![
        (0..5_u32, key()).prop_map(|(level, message)| {
            ServiceCall::Log { level: LogLevel::from_u32(level), message }
        }),
        Just(ServiceCall::Now),
        any::<u32>().prop_map(|length| ServiceCall::Random { length }),
        key().prop_map(|key| ServiceCall::Config { key }),
        key().prop_map(|key| ServiceCall::KvGet { key }),
        (key(), bytes()).prop_map(|(key, value)| ServiceCall::KvSet { key, value }),
        key().prop_map(|key| ServiceCall::KvDelete { key }),
        key().prop_map(|prefix| ServiceCall::KvList { prefix }),
        frame().prop_map(|frame| ServiceCall::Emit { frame }),
        (key(), -1e9..1e9).prop_map(|(name, value)| ServiceCall::Metric { name, value }),
        (key(), bytes()).prop_map(|(function, argument)| ServiceCall::Call { function, argument }),
    ]
}

fn answer() -> impl Strategy<Value = Result<ServiceAnswer, ServiceError>> {
    prop_oneof![
        Just(Ok(ServiceAnswer::Nothing)),
        any::<u64>().prop_map(|time| Ok(ServiceAnswer::Time(time))),
        bytes().prop_map(|bytes| Ok(ServiceAnswer::Random(bytes))),
        option::of(".{0,40}").prop_map(|text| Ok(ServiceAnswer::Text(text))),
        option::of(bytes()).prop_map(|value| Ok(ServiceAnswer::Value(value))),
        any::<bool>().prop_map(|existed| Ok(ServiceAnswer::Existed(existed))),
        vec(".{0,9}", 0..9).prop_map(|keys| Ok(ServiceAnswer::Keys(keys))),
        (1..5_u32).prop_map(|code| Err(ServiceError::from_code(code))),
    ]
}

fn from_host() -> impl Strategy<Value = Message> {
    let load = (".{0,9}", option::of(any::<u32>()), option::of(".{0,9}"), bytes(), ".{0,40}");
    prop_oneof![
        (any::<u32>(), any::<u32>(), ".{0,9}").prop_map(|(protocol, longest, name)| {
            Message::Hello { protocol: ProtocolVersion::from_u32(protocol), longest, name }
        }),
        any::<u64>().prop_map(|number| Message::Heartbeat { number }),
        ".{0,40}".prop_map(|reason| Message::Bye { reason }),
        (any::<u64>(), load, vec((".{0,9}", any::<u64>()), 0..9)).prop_map(
            |(call, (binding, descriptor, path, digest, config), limits)| {
                let digest = Bytes::from(digest);
                let load = Load { binding, descriptor, path, digest, config, limits };
                Message::Load { call, load }
            }
        ),
        (any::<u64>(), frame()).prop_map(|(call, frame)| Message::Process { call, frame }),
        any::<u64>().prop_map(|call| Message::SaveState { call }),
        (any::<u64>(), state()).prop_map(|(call, state)| Message::RestoreState { call, state }),
        any::<u64>().prop_map(|call| Message::Health { call }),
        any::<u64>().prop_map(|call| Message::Cleanup { call }),
        any::<u64>().prop_map(|call| Message::Cancel { call }),
        (any::<u64>(), answer()).prop_map(|(call, result)| Message::Answer { call, result }),
    ]
}

fn from_plugin() -> impl Strategy<Value = Message> {
    prop_oneof![
        any::<u64>().prop_map(|number| Message::Heartbeat { number }),
        any::<u64>().prop_map(|call| Message::Ready { call }),
        (any::<u64>(), ".{0,9}", failure())
            .prop_map(|(call, stage, failure)| Message::LoadFailed { call, stage, failure }),
        (any::<u64>(), vec(frame(), 0..5))
            .prop_map(|(call, frames)| Message::Reply { call, frames }),
        (any::<u64>(), failure()).prop_map(|(call, failure)| Message::Failed { call, failure }),
        (any::<u64>(), option::of(state()))
            .prop_map(|(call, state)| Message::State { call, state }),
        any::<u64>().prop_map(|call| Message::Done { call }),
        (any::<u64>(), any::<u32>(), ".{0,40}").prop_map(|(call, code, message)| {
            Message::Condition { call, health: Health { code, message } }
        }),
        (any::<u64>(), ask()).prop_map(|(call, ask)| Message::Service { call, ask }),
        (any::<bool>(), bytes()).prop_map(|(is_output, bytes)| {
            let to = if is_output { PrintedTo::Output } else { PrintedTo::Error };
            Message::Output { to, bytes: bytes.into() }
        }),
    ]
}

fn encoded(messages: &[Message]) -> Vec<u8> {
    let mut encoder = Encoder::new(u32::MAX);
    let mut bytes = Vec::new();
    for message in messages {
        encoder.encode(message, &mut bytes).expect("any length is accepted");
    }
    bytes
}

/// All messages of these bytes, which come in pieces of this many.
fn decoded(from: Side, bytes: &[u8], piece: usize) -> Result<Vec<Message>, WireError> {
    let mut decoder = Decoder::new(from, Bounds::default());
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        while let Some(message) = decoder.next_message()? {
            messages.push(message);
        }
    }
    decoder.finish()?;
    Ok(messages)
}

proptest! {
    #[test]
    fn what_a_host_says_survives(messages in vec(from_host(), 0..9), piece in 1..300_usize) {
        let bytes = encoded(&messages);
        prop_assert_eq!(bytes.len() % 8, 0);
        prop_assert_eq!(decoded(Side::Host, &bytes, piece), Ok(messages));
    }

    #[test]
    fn what_a_plugin_says_survives(messages in vec(from_plugin(), 0..9), piece in 1..300_usize) {
        let bytes = encoded(&messages);
        prop_assert_eq!(decoded(Side::Plugin, &bytes, piece), Ok(messages));
    }

    #[test]
    fn one_changed_bit_is_refused_or_another_message(
        messages in vec(from_plugin(), 1..4),
        at: prop::sample::Index,
        bit in 0..8_u8,
    ) {
        let mut bytes = encoded(&messages);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        if let Ok(read) = decoded(Side::Plugin, &bytes, 64) {
            prop_assert_eq!(encoded(&read), bytes);
        }
    }
}

#[test]
fn damage_is_named() {
    fn check(change: impl FnOnce(&mut Vec<u8>), expected: &str) {
        let frames = vec![Frame::data(&b"abc"[..])];
        let mut bytes = encoded(&[
            Message::Ready { call: 3 },
            Message::Reply { call: 4, frames },
            Message::Failed { call: 5, failure: Failure::invalid("no") },
        ]);
        change(&mut bytes);
        let shown = decoded(Side::Plugin, &bytes, 1000)
            .map_or_else(|error| error.to_string(), |messages| format!("{} good", messages.len()));
        assert!(shown.contains(expected), "{shown:?} does not say {expected:?}");
    }
    // Ready is 24 bytes long; the reply 16 + 8 + 4 + 15 + 5 of padding.
    check(|_| {}, "3 good");
    check(|bytes| bytes.truncate(0), "0 good");
    check(|bytes| bytes.truncate(10), "16 bytes needed, 10 found");
    check(|bytes| bytes.truncate(40), "48 bytes needed, 16 found");
    check(
        |bytes| bytes[..4].fill(0xFF),
        "message `ready` of 4294967295 bytes, accepted are 1048576",
    );
    check(|bytes| bytes[4] = 0xC0, "no message has the tag 0xc0");
    check(|bytes| bytes[4] = 0x42, "the plugin sent `process`");
    check(|bytes| bytes[5] = 1, "reserved byte 1");
    check(|bytes| bytes[6] = 9, "format version 9");
    check(|bytes| bytes[8] = 1, "message number 1 came, number 0 was next");
    check(|bytes| drop(bytes.drain(..24)), "message number 1 came, number 0 was next");
    check(|bytes| bytes.splice(24..24, bytes[..24].to_vec()).for_each(drop), "number 0 came");
    check(|bytes| bytes[0] = 7, "8 bytes needed, 7 found");
    check(|bytes| bytes[24] -= 1, "not zeros");
    check(|bytes| bytes[60] += 1, "frame is cut short");
    check(|bytes| bytes[24] += 1, "1 bytes follow");
    check(|bytes| bytes[71] = 1, "not zeros");
    check(|bytes| bytes[48] = 3, "list of 3 items, at most 1 are possible");
    check(|bytes| bytes[48..52].fill(0xFF), "list of 4294967295 items");
    check(|bytes| bytes[88 + 12] = 0xFF, "255 bytes needed, 2 found");
    check(|bytes| bytes[88 + 16] = 0xFF, "not UTF-8");
}

#[test]
fn a_stream_stays_broken() {
    let mut decoder = Decoder::new(Side::Plugin, Bounds::default());
    decoder.push(&[0xFF; 16]);
    let error = decoder.next_message().unwrap_err();
    decoder.push(&encoded(&[Message::Ready { call: 1 }]));
    assert_eq!(decoder.next_message(), Err(error.clone()));
    assert_eq!(decoder.finish(), Err(error));
}

/// The first bytes of a message, with a body that never comes, are refused if it may not be so long.
#[test]
fn each_kind_of_message_has_a_bound_of_its_own() {
    let bounds = Bounds { reply: 1000, service: 500, ..Bounds::of(8 << 20, 9) };
    let check = |tag: u8, asked: Option<Request>, longest: u32| {
        for (length, is_refused) in [(longest, false), (longest + 1, true)] {
            let mut decoder = Decoder::new(Side::Plugin, bounds);
            asked.into_iter().for_each(|asked| decoder.asks(asked));
            let mut prefix = [0; PREFIX_LEN];
            prefix[..4].copy_from_slice(&length.to_le_bytes());
            (prefix[4], prefix[6]) = (tag, 1);
            decoder.push(&prefix);
            let refused = match decoder.next_message() {
                Ok(None) => false,
                Err(WireError::TooLong { limit, .. }) => limit == u64::from(longest),
                other => panic!("{other:?}"),
            };
            assert_eq!(refused, is_refused, "{tag:#x} of {length} bytes after {asked:?}");
            assert_eq!(decoder.pending() > 0, !is_refused);
        }
    };
    const WORDS: u32 = Bounds::WORDS;
    check(0x83, Some(Request::Process), 1000);
    check(0x88, Some(Request::Process), 500);
    // A state comes when one is asked for.
    check(0x85, Some(Request::SaveState), 8 << 20);
    check(0x85, Some(Request::Process), WORDS);
    check(0x85, None, WORDS);
    for tag in [0x01, 0x02, 0x03, 0x81, 0x82, 0x84, 0x86, 0x87, 0x89] {
        check(tag, Some(Request::SaveState), WORDS);
    }
}

#[test]
fn text_in_the_stream_is_named() {
    fn check(bytes: &[u8], expected: Option<&str>) {
        let mut decoder = Decoder::new(Side::Plugin, Bounds::default());
        decoder.push(bytes);
        let found = match decoder.next_message() {
            Ok(None) => decoder.stray_text(),
            Ok(Some(_)) => None,
            Err(error) => Some(error),
        };
        let text = found.and_then(|error| match error {
            WireError::Text { text } => Some(text),
            _ => None,
        });
        assert_eq!(text.as_deref(), expected, "{bytes:?}");
    }
    check(b"", None);
    check(b"hello, world, and more\nmore", Some("hello, world, and more"));
    check("grüße, und noch mehr".as_bytes(), Some("grüße, und noch mehr"));
    check(b"hi\n", Some("hi"));
    check(b"hi", None);
    check(&[b"hi\r\n", &encoded(&[Message::Ready { call: 1 }])[..]].concat(), Some("hi"));
    check(&[0xFF; 16], None);
    check(&encoded(&[Message::Ready { call: 1 }]), None);
    check(&encoded(&[Message::Ready { call: 1 }])[..9], None);
    // The low bytes of a length may be a line: what came of such a message is no text.
    let output = |length: usize| {
        encoded(&[Message::Output { to: PrintedTo::Output, bytes: vec![0; length].into() }])
    };
    let around = u32::from_le_bytes(*output(0).first_chunk().unwrap());
    let message = output((0x000A_4241 - around) as usize);
    assert!(message.starts_with(b"AB\n\0"));
    for held in [4, 5, 6, 15, 16, 64, message.len() - 1, message.len()] {
        check(&message[..held], None);
    }
    // The sixth byte of a message is 0.
    check(b"AB\n\0\x89\x01", Some("AB"));
}

#[test]
fn what_the_receiver_would_not_accept_is_not_sent() {
    fn check(longest: u32, message: &Message, expected: &str) {
        let mut encoder = Encoder::new(longest);
        let mut bytes = vec![1, 2, 3];
        let error = encoder.encode(message, &mut bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        assert_eq!(bytes, [1, 2, 3]);
        // The number was not used up.
        encoder.encode(&Message::Heartbeat { number: 1 }, &mut bytes).unwrap();
        assert_eq!(bytes[3 + 8..3 + PREFIX_LEN], [0; 8]);
    }
    let frame = |length: usize| Frame::data(vec![0; length]);
    check(100, &Message::Process { call: 0, frame: frame(100) }, "120 bytes, accepted are 100");
    let frames = vec![frame(1), frame(glovebox_abi::MAX_FRAME_LEN)];
    check(u32::MAX, &Message::Reply { call: 0, frames }, "accepted are 67108864");
}

/// Answers everything with what it was asked, and remembers.
#[derive(Default)]
struct Remembers {
    store: Vec<(String, Vec<u8>)>,
    said: Vec<String>,
}

impl Services for Remembers {
    fn log(&mut self, level: LogLevel, message: &str) -> Result<(), ServiceError> {
        self.said.push(format!("{level:?} {message}"));
        Ok(())
    }
    fn now(&mut self) -> Result<u64, ServiceError> {
        Ok(42)
    }
    fn random(&mut self, buffer: &mut [u8]) -> Result<(), ServiceError> {
        if buffer.len() > 64 << 10 {
            self.said.push(format!("{} random bytes", buffer.len()));
            return Err(ServiceError::Invalid);
        }
        buffer.fill(7);
        Ok(())
    }
    fn config(&mut self, key: &str) -> Result<Option<String>, ServiceError> {
        Ok((key != "absent").then(|| format!("\"{key}\"")))
    }
    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        Ok(self.store.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone()))
    }
    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), ServiceError> {
        self.store.push((key.to_owned(), value.to_vec()));
        Ok(())
    }
    fn kv_delete(&mut self, key: &str) -> Result<bool, ServiceError> {
        let before = self.store.len();
        self.store.retain(|(known, _)| known != key);
        Ok(self.store.len() < before)
    }
    fn kv_list(&mut self, prefix: &str) -> Result<Vec<String>, ServiceError> {
        let keys = self.store.iter().map(|(key, _)| key.clone());
        Ok(keys.filter(|key| key.starts_with(prefix)).collect())
    }
    fn emit(&mut self, frame: &Frame) -> Result<(), ServiceError> {
        self.said.push(format!("emits {} bytes", frame.size()));
        Ok(())
    }
    fn metric(&mut self, name: &str, value: f64) -> Result<(), ServiceError> {
        if name == "denied" {
            return Err(ServiceError::Denied);
        }
        self.said.push(format!("{name} = {value}"));
        Ok(())
    }
}

/// A plugin and a host that talk through bytes: each question and each answer goes over the wire.
#[test]
fn services_are_the_same_from_afar() {
    let mut host = Remembers::default();
    let mut encoders = (Encoder::new(u32::MAX), Encoder::new(u32::MAX));
    let mut decoders = (
        Decoder::new(Side::Plugin, Bounds::default()),
        Decoder::new(Side::Host, Bounds::default()),
    );
    let mut remote = RemoteServices::new(|ask| {
        let mut bytes = Vec::new();
        encoders.0.encode(&Message::Service { call: 9, ask }, &mut bytes).unwrap();
        decoders.0.push(&bytes);
        let Some(Message::Service { call, ask }) = decoders.0.next_message().unwrap() else {
            panic!("no question came");
        };
        bytes.clear();
        let result = ask.serve(&mut host);
        encoders.1.encode(&Message::Answer { call, result }, &mut bytes).unwrap();
        decoders.1.push(&bytes);
        match decoders.1.next_message().unwrap() {
            Some(Message::Answer { call: 9, result }) => result,
            other => panic!("{other:?} is no answer"),
        }
    });
    assert_eq!(remote.log(LogLevel::Warn, "hm"), Ok(()));
    assert_eq!(remote.now(), Ok(42));
    let mut buffer = [0; 5];
    assert_eq!((remote.random(&mut buffer), buffer), (Ok(()), [7; 5]));
    assert_eq!(remote.random(&mut vec![0; 1 << 21]), Err(ServiceError::Invalid));
    assert_eq!(remote.config("a"), Ok(Some("\"a\"".to_owned())));
    assert_eq!(remote.config("absent"), Ok(None));
    assert_eq!(remote.kv_get("k"), Ok(None));
    assert_eq!(remote.kv_set("k", b"v"), Ok(()));
    assert_eq!(remote.kv_get("k"), Ok(Some(b"v".to_vec())));
    assert_eq!(remote.kv_list(""), Ok(vec!["k".to_owned()]));
    assert_eq!(remote.kv_delete("k"), Ok(true));
    assert_eq!(remote.kv_delete("k"), Ok(false));
    assert_eq!(remote.emit(&Frame::data(&b"abc"[..])), Ok(()));
    assert_eq!(remote.metric("m", 1.5), Ok(()));
    assert_eq!(remote.metric("denied", 1.5), Err(ServiceError::Denied));
    let said = ["Warn hm", "1048576 random bytes", "emits 3 bytes", "m = 1.5"];
    assert_eq!(host.said, said);
}

/// The plugin in Python that the documentation shows, talked to.
#[test]
fn the_plugin_of_the_documentation_answers() {
    let source = include_str!("../src/wire/mod.rs");
    let start = source.find("//! import struct").unwrap();
    let end = start + source[start..].find("//! ```").unwrap();
    let lines = source[start..end].lines();
    let program: String = lines.map(|line| format!("{}\n", &line[4..])).collect();
    assert!(program.lines().count() <= 24, "it should stay short");

    let hello = Message::Hello { protocol: ProtocolVersion::CURRENT, longest: 9, name: "h".into() };
    let config = "{}".to_owned();
    let load = Load {
        binding: String::new(),
        descriptor: None,
        path: None,
        digest: Bytes::new(),
        config,
        limits: vec![("memory".to_owned(), 1)],
    };
    let header = Header::build().text(Header::ID, "a").finish();
    let frame = |payload: &'static [u8]| Frame::new(Kind(0x61), header.clone(), payload);
    let state = State { version: 1, bytes: vec![1] };
    let said = [
        hello,
        Message::Load { call: 0, load },
        Message::Process { call: 1, frame: frame(b"hello") },
        Message::Heartbeat { number: 7 },
        Message::Cancel { call: 1 },
        Message::Health { call: 2 },
        Message::RestoreState { call: 3, state },
        Message::Cleanup { call: 4 },
        Message::Bye { reason: "done".to_owned() },
    ];
    let child = Command::new("python3")
        .args(["-c", &program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: there is no python3 here");
        return;
    };
    child.stdin.take().unwrap().write_all(&encoded(&said)).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let expected = [
        Message::Hello {
            protocol: ProtocolVersion::CURRENT,
            longest: 1 << 20,
            name: "shout".to_owned(),
        },
        Message::Ready { call: 0 },
        Message::Reply { call: 1, frames: vec![frame(b"HELLO")] },
        Message::Heartbeat { number: 7 },
        Message::Condition { call: 2, health: Health::good() },
        Message::Failed { call: 3, failure: Failure::new(Failure::UNSUPPORTED, "") },
        Message::Done { call: 4 },
    ];
    assert_eq!(decoded(Side::Plugin, &output.stdout, 1000), Ok(expected.to_vec()));
}
