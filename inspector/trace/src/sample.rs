//! One event of every sort, for tests.

use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::{LimitKind, Tier};
use glovebox_abi::{Frame, Header, Kind, Permission, ServiceError};
use glovebox_events::{
    AnsweredBy, Binding, CallId, Event, HostCall, LoadStage, NoteKind, Outcome, Phase, ReloadCause,
    Timing, What,
};

fn frames() -> [Frame; 3] {
    let exact = Header::build().text("id", "a").integer("n", -7).finish();
    let bytes =
        Header::build().value("raw", Value::Tag(4, Box::new(Value::Bytes(vec![1])))).finish();
    [
        Frame::new(Kind::DATA, exact, &b"hello"[..]),
        Frame::new(Kind(0x61), bytes, vec![0xFF, 0x00]),
        Frame::new(Kind::CONTROL, Header::empty(), Vec::new()),
    ]
}

fn host_call(result: Result<Value, ServiceError>) -> HostCall {
    HostCall {
        service: "kv-set".into(),
        permission: Permission::Kv,
        arguments: Value::Array(vec![Value::Text("key".into()), Value::Bytes(vec![1, 2])]),
        result,
        took: Duration::from_nanos(250),
        answered_by: AnsweredBy::Host,
    }
}

fn ended(call: CallId, outcome: Outcome) -> What {
    What::CallEnded {
        call,
        outcome,
        timing: Timing {
            queue: Duration::from_nanos(1),
            guest: Duration::from_nanos(2),
            host: Duration::from_nanos(3),
            boundary: Duration::from_nanos(4),
        },
        bytes_in: 5,
        bytes_out: 6,
        frames_out: 1,
        memory: Some(65_536),
    }
}

/// One event of every sort, of two plugins.
pub(crate) fn events() -> Vec<Event> {
    let [first, second, third] = frames();
    let (one, two) = (CallId(1), CallId(2));
    let all = [
        What::Phase { from: Phase::Found, to: Phase::Loaded, cause: "asked for".into() },
        What::Loaded {
            version: "1.3.0".into(),
            tier: Tier::Wasm,
            binding: Binding::FrameAbi,
            digest: "d1".into(),
            took: Duration::from_millis(2),
            cached: true,
        },
        What::FrameIn { call: one, frame: first },
        What::HostCall { call: Some(one), host_call: host_call(Ok(Value::Null)) },
        What::HostCall { call: None, host_call: host_call(Err(ServiceError::Denied)) },
        What::FrameOut { call: one, index: 3, emitted: true, frame: second },
        ended(one, Outcome::Completed),
        What::FrameIn { call: two, frame: third },
        ended(
            two,
            Outcome::LimitExceeded {
                limit: LimitKind::Memory,
                asked: 2,
                allowed: 1,
                made_up: false,
            },
        ),
        ended(two, Outcome::TimedOut { deadline: Duration::from_millis(20), made_up: false }),
        ended(two, Outcome::Failed { code: 2, message: "bad".into() }),
        ended(two, Outcome::Cancelled),
        What::LoadFailed { stage: LoadStage::ParseManifest, message: "no".into() },
        What::Reloaded {
            cause: ReloadCause::FileChanged,
            from: 1,
            version: "1.4.0".into(),
            digest: "d2".into(),
            state_version: Some(3),
            took: Duration::from_millis(5),
        },
        What::ReloadFailed {
            cause: ReloadCause::Requested,
            stage: LoadStage::Probe,
            message: "no".into(),
            took: Duration::ZERO,
        },
        What::FramesDropped { frames: 3, reason: "the queue of `echo` is full".into() },
        What::PolicyChanged { summary: "kv granted".into() },
        What::PolicyAsked { permission: Permission::Kv, parameter: "read `a`".into() },
        What::Unloaded,
        What::Note { kind: NoteKind::State, text: "the state cannot be saved".into() },
    ];
    let numbered = all.into_iter().enumerate();
    numbered
        .map(|(sequence, what)| Event {
            sequence: sequence as u64,
            at: 1_700_000_000_000_000_000 + sequence as u64,
            plugin: if sequence % 3 == 0 { "redact".into() } else { "echo".into() },
            instance: 4,
            generation: 2,
            what,
        })
        .collect()
}
