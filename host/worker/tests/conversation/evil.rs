//! A worker that breaks the rules. It knows the layout of the shared memory by itself: a page of
//! positions, then both rings.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};

use glovebox_abi::wire::{Encoder, Message, ServiceCall};
use glovebox_abi::{Frame, ProtocolVersion};

/// If this process was started as a worker with such a name, does what the name says, for ever.
pub(crate) fn run_if_requested() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, first, numbers, name, ..] = &arguments[..] else { return };
    if first != "--glovebox-worker" || !name.starts_with("evil ") {
        return;
    }
    let numbers: Vec<i32> = numbers.split(',').map(|number| number.parse().unwrap()).collect();
    // SAFETY: the host left these two open for this process, and nobody else has taken them.
    let (mut control, memory) =
        unsafe { (UnixStream::from_raw_fd(numbers[0]), File::from_raw_fd(numbers[1])) };
    let mut length = [0; 4];
    control.read_exact(&mut length).unwrap();
    control.read_exact(&mut vec![0; u32::from_le_bytes(length) as usize]).unwrap();
    let mut evil = Evil::map(&memory);
    evil.act(&name["evil ".len()..], &mut control);
    loop {
        std::thread::park();
    }
}

struct Evil {
    words: &'static [AtomicU64],
    ring: usize,
    tail: usize,
    encoder: Encoder,
}

impl Evil {
    fn map(memory: &File) -> Evil {
        use std::os::fd::AsRawFd;
        let length = memory.metadata().unwrap().len() as usize;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the mapping is as long as the file, is never taken away, and holds atomics.
        let words = unsafe {
            let any = std::ptr::null_mut();
            let start =
                libc::mmap(any, length, protection, libc::MAP_SHARED, memory.as_raw_fd(), 0);
            assert_ne!(start, libc::MAP_FAILED);
            std::slice::from_raw_parts(start.cast::<AtomicU64>(), length / 8)
        };
        let ring = (words.len() - 512) / 2;
        Evil { words, ring, tail: 0, encoder: Encoder::new(u32::MAX) }
    }

    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut whole = [0; 8];
            whole[..word.len()].copy_from_slice(word);
            // As fast as the host takes it.
            while self.tail as u64 - self.words[48].load(Ordering::Acquire) >= self.ring as u64 {
                std::thread::yield_now();
            }
            let place = 512 + self.ring + self.tail % self.ring;
            self.words[place].store(u64::from_ne_bytes(whole), Ordering::Relaxed);
            self.tail += 1;
        }
        self.words[32].store(self.tail as u64, Ordering::Release);
    }

    fn say(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        self.encoder.encode(message, &mut bytes).unwrap();
        self.write(&bytes);
    }

    /// Waits until the host has written so many words.
    fn hear(&self, words: u64) {
        while self.words[0].load(Ordering::Acquire) < words {
            std::thread::yield_now();
        }
    }

    fn flood(&mut self, length: usize) {
        let bytes = vec![b'f'; length].into();
        let message = Message::Output { to: glovebox_abi::wire::PrintedTo::Output, bytes };
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            while bytes.len() < 1 << 16 {
                self.encoder.encode(&message, &mut bytes).unwrap();
            }
            self.write(&bytes);
        }
    }

    fn act(&mut self, how: &str, control: &mut UnixStream) {
        if how == "first-words" {
            control.write_all(&[0xFF; 64]).unwrap();
            return;
        }
        if how == "no-first-words" {
            return;
        }
        let entered = br#"{"In":{"layers":[]}}"#;
        control.write_all(&(entered.len() as u32).to_le_bytes()).unwrap();
        control.write_all(entered).unwrap();
        if how == "control-closed" {
            control.shutdown(std::net::Shutdown::Both).unwrap();
        }
        if how == "control-garbage" {
            control.write_all(&[0xAB; 64]).unwrap();
        }
        if how == "control-huge" {
            control.write_all(&[0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 1, 0]).unwrap();
            control.write_all(&[0; 8]).unwrap();
        }
        if how == "control-unasked" {
            let mut bytes = Vec::new();
            Encoder::new(100).encode(&Message::Heartbeat { number: 77 }, &mut bytes).unwrap();
            control.write_all(&bytes).unwrap();
        }
        self.hear(1);
        let protocol = ProtocolVersion::CURRENT;
        let hello = Message::Hello { protocol, longest: 1 << 20, name: "evil".to_owned() };
        match how {
            "random" => {
                let mut state = 88_172_645_463_325_252_u64;
                let mut bytes = Vec::new();
                for _ in 0..4096 {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    bytes.extend(state.to_le_bytes());
                }
                return self.write(&bytes);
            }
            "wrong-version" => {
                let protocol = ProtocolVersion { major: 9, minor: 9 };
                return self.say(&Message::Hello { protocol, longest: 1, name: String::new() });
            }
            "not-hello" => return self.say(&Message::Ready { call: 0 }),
            "silent" => return,
            _ => self.say(&hello),
        }
        // The load, which makes the host's stream longer than its hello.
        self.hear(8);
        let heard = self.words[0].load(Ordering::Acquire);
        let reply = |call| Message::Reply { call, frames: vec![Frame::data(&b"x"[..])] };
        match how {
            "huge-length" => {
                let mut bytes = vec![0xFF, 0xFF, 0xFF, 0xFF, 0x81, 0, 1, 0];
                bytes.extend(1_u64.to_le_bytes());
                self.write(&bytes);
            }
            "above-bound" => {
                let mut bytes = (70_u32 << 20).to_le_bytes().to_vec();
                bytes.extend([0x83, 0, 1, 0]);
                bytes.extend(1_u64.to_le_bytes());
                self.write(&bytes);
            }
            "out-of-order" => {
                let mut encoder = Encoder::new(u32::MAX);
                let mut bytes = Vec::new();
                for _ in 0..8 {
                    bytes.clear();
                    encoder.encode(&Message::Ready { call: 0 }, &mut bytes).unwrap();
                }
                self.write(&bytes);
            }
            "unknown-call" => self.say(&reply(99)),
            "wrong-answer" => self.say(&reply(0)),
            "duplicate-reply" => {
                self.say(&Message::Ready { call: 0 });
                self.say(&Message::Ready { call: 0 });
            }
            "hello-again" => self.say(&hello),
            "of-the-host" => self.say(&Message::Health { call: 0 }),
            "head-too-far" => {
                self.words[16].store(u64::MAX / 2, Ordering::Release);
                self.say(&Message::Ready { call: 0 });
            }
            "tail-too-far" => self.words[32].store(u64::MAX / 2, Ordering::Release),
            "tail-back" => {
                self.say(&Message::Output {
                    to: glovebox_abi::wire::PrintedTo::Output,
                    bytes: b"hello".to_vec().into(),
                });
                // Until the host has taken it.
                while self.words[48].load(Ordering::Acquire) < self.tail as u64 {
                    std::thread::yield_now();
                }
                self.words[32].store(1, Ordering::Release);
            }
            "ask-twice" => {
                let ask = Message::Service { call: 0, ask: ServiceCall::Now };
                self.say(&ask);
                self.say(&ask);
                self.say(&Message::Ready { call: 7 });
            }
            "flood" => self.flood(1 << 16),
            "flood-after-done" | "exit-after-done" => {
                self.say(&Message::Ready { call: 0 });
                self.hear(heard + 1);
                self.say(&Message::Done { call: 1 });
                if how == "exit-after-done" {
                    std::process::exit(7);
                }
                // So short, and so many at once, that one is always whole.
                self.flood(1)
            }
            "drip" => {
                // A word each time the host has taken the one before, of a message that never ends.
                let mut bytes = (60_u32 << 20).to_le_bytes().to_vec();
                bytes.extend([0x83, 0, 1, 0]);
                bytes.extend(1_u64.to_le_bytes());
                self.write(&bytes);
                loop {
                    while self.words[48].load(Ordering::Acquire) < self.tail as u64 {
                        std::thread::yield_now();
                    }
                    self.write(&[0; 8]);
                }
            }
            "never-reads" => self.say(&Message::Ready { call: 0 }),
            other => panic!("no rule to break is called {other}"),
        }
    }
}
