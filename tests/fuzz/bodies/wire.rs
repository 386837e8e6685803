//! Any bytes are a conversation or an error, in whatever pieces they come; what is taken encodes to the
//! same bytes again, and no more is held than was given. The first byte says who speaks.

use glovebox_abi::wire::{Bounds, Decoder, Encoder, Message, OpenCall, Request, Side, WireError};

/// So little that a claim of more shows.
const BOUNDS: Bounds = Bounds::of(64 << 10, 1000);

pub(crate) fn run(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let from = if first & 1 == 0 { Side::Host } else { Side::Plugin };
    let (whole, error) = read(from, bytes, bytes.len().max(1));
    // Compared as text: not-a-number equals nothing.
    let shown = format!("{whole:?} {error:?}");
    for piece in [1, 7, 16] {
        let (messages, error) = read(from, bytes, piece);
        assert_eq!(format!("{messages:?} {error:?}"), shown, "in pieces of {piece}");
    }
    let mut encoder = Encoder::new(BOUNDS.body);
    let mut encoded = Vec::new();
    for message in &whole {
        encoder.encode(message, &mut encoded).unwrap();
    }
    assert_eq!(encoded, bytes[..encoded.len()]);
    if from == Side::Plugin {
        calls(&whole);
    }
}

fn read(from: Side, bytes: &[u8], piece: usize) -> (Vec<Message>, Option<WireError>) {
    let mut decoder = Decoder::new(from, BOUNDS);
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!((decoder.held(), decoder.finish()), (0, Err(error.clone())));
                    return (messages, Some(error));
                }
            }
        }
        assert!(decoder.held() <= bytes.len());
    }
    assert_eq!(decoder.finish().is_ok(), decoder.held() == 0);
    (messages, None)
}

/// A message closes no call but the one that it names.
fn calls(messages: &[Message]) {
    let mut call = OpenCall::new();
    let requests = [Request::Load, Request::Process, Request::SaveState, Request::Health];
    let mut requests = requests.into_iter();
    for message in messages {
        if call.number().is_none() {
            let Some(request) = requests.next() else { return };
            call.open(request);
        }
        let open = call.number();
        let Ok(()) = call.check(message) else { return };
        call.answered();
        assert!(call.number() == open || message.call() == open);
    }
}
