//! The composed frame: its fields as they were typed, and the frame that they stand for.

use bytes::Bytes;
use glovebox_abi::{Frame, Header, Kind};
use glovebox_events::CallId;
use glovebox_host::InstanceId;
use glovebox_inspector::decode::{self, hex};

use crate::workbench::{SendRequest, Sent, ViewCtx};

/// Headers and payloads of more bytes are not edited as text.
pub(super) const LARGE: usize = 64 << 10;

/// The fields of the composed frame.
#[derive(Debug)]
pub(crate) struct State {
    /// A name or number of a kind.
    pub kind: String,
    /// JSON.
    pub header: String,
    /// Text, `hex:…` or `@file`.
    pub payload: String,
    /// A payload that is too large to be edited; it is sent as it is, in place of the text.
    pub(super) large: Option<Bytes>,
    /// The same of a header.
    pub(super) large_header: Option<Header>,
    /// The header of a frame that was put into the fields, behind the text that stands for it: what of
    /// the text is not edited stays what it was.
    filled: Option<(String, Header)>,
    pub(super) target: Option<InstanceId>,
    /// How often it is sent by the second button.
    pub(super) times: usize,
    /// The answer that was chosen in the history, by its call; else the last of the target is shown.
    pub(super) chosen: Option<CallId>,
    /// True if the answer is in front where there is no room for both.
    pub(super) answer_in_front: bool,
    /// The last answer when it was painted last.
    last: Option<CallId>,
    /// The target when it was painted last.
    last_target: Option<InstanceId>,
    /// True until the field of the payload has the focus that was asked for.
    pub(super) focus_payload: bool,
}

impl Default for State {
    fn default() -> Self {
        State {
            kind: "data".to_owned(),
            header: "{\"content-type\": \"application/json\"}".to_owned(),
            payload: "{\"hello\": \"world\"}".to_owned(),
            large: None,
            large_header: None,
            filled: None,
            target: None,
            times: 100,
            chosen: None,
            answer_in_front: false,
            last: None,
            last_target: None,
            focus_payload: false,
        }
    }
}

impl State {
    /// Brings a new answer to the front, and lets go of a chosen one if the frame goes elsewhere now.
    pub(super) fn note(&mut self, last: Option<CallId>, target: Option<InstanceId>) {
        if std::mem::replace(&mut self.last_target, target) != target {
            self.chosen = None;
        }
        if std::mem::replace(&mut self.last, last) != last && last.is_some() {
            (self.chosen, self.answer_in_front) = (None, true);
        }
    }

    /// The answer beside the request: the one that was chosen in the history, else the last that the
    /// target gave. That of another plugin is no answer to what is composed.
    pub(super) fn answer<'a>(
        &self,
        sent: impl DoubleEndedIterator<Item = &'a Sent> + Clone,
        target: Option<InstanceId>,
    ) -> Option<&'a Sent> {
        let mut all = sent.clone();
        let chosen = self.chosen.and_then(|call| all.find(|one| one.call == call));
        chosen.or_else(|| sent.rev().find(|one| Some(one.instance) == target))
    }

    /// True if an answer is not that to the request as it would be sent now.
    pub(super) fn is_other_request(&self, sent: &Sent) -> bool {
        match self.draft() {
            Ok(Draft { kind, header, payload: Payload::Bytes(payload) }) => {
                Frame::new(kind, header, payload) != sent.frame
            }
            // A file may hold anything by now.
            Ok(Draft { kind, header, payload: Payload::File(_) }) => {
                (kind, &header) != (sent.frame.kind, &sent.frame.header)
            }
            Err(_) => true,
        }
    }

    /// Puts the cursor into the payload as soon as that is painted.
    pub(crate) fn edit_payload(&mut self) {
        (self.focus_payload, self.answer_in_front) = (true, false);
    }

    /// Puts a frame into the fields.
    pub(crate) fn fill(&mut self, frame: &Frame, target: Option<InstanceId>) {
        self.answer_in_front = false;
        self.kind = frame.kind.to_string();
        let is_large = frame.header.as_bytes().len() > LARGE;
        self.large_header = is_large.then(|| frame.header.clone());
        if !is_large {
            self.header = decode::header_text(&frame.header);
            self.filled = Some((self.header.clone(), frame.header.clone()));
        }
        self.target = target;
        self.large = (frame.payload.len() > LARGE).then(|| frame.payload.clone());
        if self.large.is_some() {
            return;
        }
        self.payload = match std::str::from_utf8(&frame.payload) {
            Ok(text) if !text.starts_with(['@']) && !text.starts_with(hex::PREFIX) => {
                text.to_owned()
            }
            _ => {
                format!("{}{}", hex::PREFIX, hex::encode(&frame.payload))
            }
        };
    }

    /// Sends to the selected plugin again, whatever was chosen before.
    pub(crate) fn follow_selection(&mut self) {
        self.target = None;
    }

    /// The frame that the fields describe, without reading a file.
    pub(super) fn draft(&self) -> Result<Draft, String> {
        let kind: Kind = self.kind.trim().parse().map_err(|error| format!("Kind: {error}"))?;
        let header = match (&self.large_header, &self.filled) {
            (Some(header), _) => header.clone(),
            (None, Some((before, filled))) => header(&self.header, before, filled)?,
            (None, None) => header(&self.header, "", &Header::empty())?,
        };
        let payload = match &self.large {
            Some(bytes) => Payload::Bytes(bytes.clone()),
            None => payload(&self.payload).map_err(|error| format!("Payload: {error}"))?,
        };
        Ok(Draft { kind, header, payload })
    }

    /// Where it goes.
    pub(super) fn target(
        &self,
        view: ViewCtx<'_>,
        chosen: Option<InstanceId>,
    ) -> Option<InstanceId> {
        self.target.filter(|id| view.plugin(*id).is_some()).or(chosen)
    }

    /// The request to send, if the frame can be sent.
    pub(crate) fn request(
        &self,
        view: ViewCtx<'_>,
        chosen: Option<InstanceId>,
        times: usize,
    ) -> Result<SendRequest, String> {
        let target = self.target(view, chosen).ok_or("Load a plugin to send to")?;
        let draft = self.draft()?;
        let (payload, payload_file) = match draft.payload {
            Payload::Bytes(bytes) => (bytes, None),
            Payload::File(path) => (Bytes::new(), Some(path.into())),
        };
        let frame = Frame::new(draft.kind, draft.header, payload);
        Ok(SendRequest { target, frame, payload_file, times })
    }

    /// True if the fields make sense.
    pub(crate) fn can_send(&self) -> bool {
        self.draft().is_ok()
    }
}

pub(super) struct Draft {
    kind: Kind,
    header: Header,
    payload: Payload,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Bytes(Bytes),
    File(String),
}

/// Reads a JSON object as a header, where `before` was the text of `filled`.
fn header(text: &str, before: &str, filled: &Header) -> Result<Header, String> {
    if text.trim().is_empty() {
        return Ok(Header::empty());
    }
    let header = decode::edited_header(text, before, filled);
    header.map_err(|error| format!("Header: {error}"))
}

/// Reads `hex:…`, `@file` or plain text.
fn payload(text: &str) -> Result<Payload, String> {
    if let Some(path) = text.strip_prefix('@') {
        let path = path.trim();
        return match path {
            "" => Err("write the path of a file after @".to_owned()),
            path => Ok(Payload::File(path.to_owned())),
        };
    }
    let Some(digits) = text.strip_prefix(hex::PREFIX) else {
        return Ok(Payload::Bytes(Bytes::from(text.to_owned())));
    };
    let bytes = hex::decode_spaced(digits).map_err(|error| error.to_string())?;
    Ok(Payload::Bytes(bytes.into()))
}

#[cfg(test)]
mod tests {
    use glovebox_abi::cbor::Value;

    use super::*;

    #[test]
    fn payloads_read() {
        let bytes = |bytes: &[u8]| Ok(Payload::Bytes(Bytes::copy_from_slice(bytes)));
        assert_eq!(payload("hello"), bytes(b"hello"));
        assert_eq!(payload("hex:00 ff"), bytes(&[0, 0xff]));
        assert_eq!(payload("@/tmp/x"), Ok(Payload::File("/tmp/x".into())));
        assert!(payload("hex:0").is_err());
        assert!(payload("hex:zz").is_err());
        assert!(payload("@").is_err());
    }

    #[test]
    fn frames_survive_the_form() {
        fn check(frame: Frame) {
            let mut state = State::default();
            state.fill(&frame, None);
            let draft = state.draft().unwrap();
            let Payload::Bytes(payload) = draft.payload else {
                panic!("a file was never named");
            };
            assert_eq!(Frame::new(draft.kind, draft.header, payload), frame);
        }
        check(Frame::data("text"));
        check(Frame::data(vec![0, 1, 255]));
        check(Frame::data("@not-a-file"));
        let header = Header::build().text("z", "a").integer("n", 7).text("b", "c").finish();
        check(Frame::new(Kind::CONTROL, header, "{}"));
        // These are not texts of the form.
        check(Frame::data("x".repeat(LARGE + 1)));
        let header = Header::build().text("z", "y".repeat(LARGE)).finish();
        check(Frame::new(Kind::CONTROL, header, "{}"));
        // JSON cannot hold these.
        let tag = Value::Tag(1, Box::new(Value::Float(f64::INFINITY)));
        let entries =
            vec![(Value::Integer(1), tag), (Value::Text("t".into()), Value::Text("hex:00".into()))];
        check(Frame::new(Kind::DATA, Header::from_entries(entries), r#"{"n":-0,"n":1e400}"#));
    }

    #[test]
    fn a_new_answer_comes_to_the_front() {
        let mut state = State { chosen: Some(CallId(7)), ..State::default() };
        state.note(Some(CallId(8)), None);
        assert!(state.answer_in_front && state.chosen.is_none());
        state.fill(&Frame::data("again"), None);
        state.note(Some(CallId(8)), None);
        assert!(!state.answer_in_front, "there is no new one");
    }

    #[test]
    fn an_answer_belongs_to_the_target() {
        let sent = |call, instance| Sent {
            at: std::time::SystemTime::UNIX_EPOCH,
            plugin: "p".to_owned(),
            instance: InstanceId::from_u64(instance),
            generation: Some(1),
            frame: Frame::data("x"),
            wanted: 1,
            times: 1,
            completed: 1,
            call: CallId(call),
            latency: None,
            outcome: glovebox_events::Outcome::Completed,
            beside: glovebox_trace::Statuses::NONE,
            frames: Vec::new(),
            took: std::time::Duration::ZERO,
        };
        let all = [sent(1, 1), sent(2, 2), sent(3, 1)];
        let check = |chosen: Option<u64>, target: Option<u64>, expected: Option<u64>| {
            let state = State { chosen: chosen.map(CallId), ..State::default() };
            let found = state.answer(all.iter(), target.map(InstanceId::from_u64));
            assert_eq!(found.map(|one| one.call.0), expected, "{chosen:?} {target:?}");
        };
        check(None, Some(1), Some(3));
        check(None, Some(2), Some(2));
        check(None, Some(3), None);
        check(None, None, None);
        check(Some(1), Some(2), Some(1));
        check(Some(9), Some(2), Some(2));
    }

    #[test]
    fn an_edit_makes_it_another_request() {
        fn check(edit: impl FnOnce(&mut State), expected: bool) {
            let mut state = State::default();
            let header = Header::build().text("a", "b").finish();
            let frame = Frame::new(Kind::DATA, header, "text");
            state.fill(&frame, None);
            edit(&mut state);
            let sent = Sent {
                at: std::time::SystemTime::UNIX_EPOCH,
                plugin: "p".to_owned(),
                instance: InstanceId::from_u64(1),
                generation: None,
                frame,
                wanted: 1,
                times: 1,
                completed: 0,
                call: CallId(1),
                latency: None,
                outcome: glovebox_events::Outcome::Completed,
                beside: glovebox_trace::Statuses::NONE,
                frames: Vec::new(),
                took: std::time::Duration::ZERO,
            };
            assert_eq!(state.is_other_request(&sent), expected);
        }
        check(|_| {}, false);
        check(|state| state.payload.push('!'), true);
        check(|state| state.kind = "control".to_owned(), true);
        check(|state| state.header = "{".to_owned(), true);
        check(|state| state.payload = "@file".to_owned(), false);
    }

    #[test]
    fn an_edit_changes_nothing_else() {
        let entries = |number| {
            let float = (Value::Text("f".into()), Value::Float(1e16));
            Header::from_entries(vec![(Value::Text("n".into()), Value::Integer(number)), float])
        };
        let mut state = State::default();
        state.fill(&Frame::new(Kind::DATA, entries(1), "{}"), None);
        state.header = state.header.replace("\"n\": 1", "\"n\": 2");
        assert_eq!(state.draft().unwrap().header.as_bytes(), entries(2).as_bytes());
    }

    #[test]
    fn a_large_payload_is_not_typed() {
        let mut state = State::default();
        state.fill(&Frame::data("x".repeat(8 << 20)), None);
        assert!(state.payload.len() < 100 && state.header.len() < 100);
        state.fill(&Frame::data("small"), None);
        assert_eq!(state.payload, "small");
    }

    #[test]
    fn bad_headers_say_so() {
        let header = |text: &str| header(text, "", &Header::empty());
        assert!(header("[]").is_err());
        assert!(header("{").is_err());
        // Nothing is rounded.
        assert!(header(r#"{"id": 123456789012345678901}"#).is_err());
        assert!(header(r#"{"n": 1e400}"#).is_err());
        let exact = Header::build().value("n", Value::Integer(u64::MAX.into())).finish();
        assert_eq!(header(r#"{"n": 18446744073709551615}"#), Ok(exact));
        assert_eq!(header("  "), Ok(Header::empty()));
    }
}
