//! A program that speaks over its standard input and output: it gives frames back.

use std::io::{Read, Write};

use glovebox_abi::wire::{Bounds, Decoder, Encoder, Message, Side};

/// The first argument of this program when it is that one.
pub(crate) const ARGUMENT: &str = "--program";

pub(crate) fn run_if_requested() {
    if std::env::args().nth(1).is_none_or(|first| first != ARGUMENT) {
        return;
    }
    let mut decoder = Decoder::new(Side::Host, Bounds::default());
    let mut encoder = Encoder::new(u32::MAX);
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = Vec::new();
    loop {
        while let Some(message) = decoder.next_message().unwrap() {
            bytes.clear();
            encoder.encode(&answer(message), &mut bytes).unwrap();
            std::io::stdout().write_all(&bytes).unwrap();
            std::io::stdout().flush().unwrap();
        }
        match std::io::stdin().read(&mut buffer).unwrap() {
            0 => std::process::exit(0),
            length => decoder.push(&buffer[..length]),
        }
    }
}

fn answer(message: Message) -> Message {
    match message {
        Message::Hello { protocol, .. } => {
            Message::Hello { protocol, longest: Bounds::default().body, name: "program".to_owned() }
        }
        Message::Load { call, .. } => Message::Ready { call },
        Message::Process { call, frame } => Message::Reply { call, frames: vec![frame] },
        Message::Cleanup { call } => Message::Done { call },
        _ => std::process::exit(0),
    }
}
