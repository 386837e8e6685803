//! About how many bytes of memory things keep alive.

use glovebox_abi::cbor::Value;
use glovebox_events::{Event, HostCall, What};

pub(crate) fn event(event: &Event) -> usize {
    let inside = match &event.what {
        What::FrameIn { frame, .. } | What::FrameOut { frame, .. } => frame.encoded_len(),
        What::HostCall { host_call: call, .. } => host_call(call) - size_of::<HostCall>(),
        What::Phase { cause: text, .. }
        | What::LoadFailed { message: text, .. }
        | What::ReloadFailed { message: text, .. }
        | What::PolicyChanged { summary: text }
        | What::PolicyAsked { parameter: text, .. } => text.len(),
        What::Loaded { version, digest, .. } | What::Reloaded { version, digest, .. } => {
            version.len() + digest.len()
        }
        What::CallEnded { .. } | What::Unloaded => 0,
    };
    size_of::<Event>() + inside
}

pub(crate) fn host_call(host_call: &HostCall) -> usize {
    let result = host_call.result.as_ref().map_or(0, value);
    size_of::<HostCall>() + value(&host_call.arguments) + result
}

fn value(of: &Value) -> usize {
    let inside = match of {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(items) => items.iter().map(value).sum(),
        Value::Map(entries) => entries.iter().map(|(key, entry)| value(key) + value(entry)).sum(),
        Value::Tag(_, inner) => value(inner),
        _ => 0,
    };
    size_of::<Value>() + inside
}
