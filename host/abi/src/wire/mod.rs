//! The conversation between a host and a plugin in another process: a worker, a container, or any
//! program that reads standard input and writes standard output.
//!
//! Read [`Message`] first (what is said), then [`Encoder`] and [`Decoder`] (how it becomes bytes
//! and is believed again), then [`OpenCall`] (which answer a host waits for).
//! [`ServiceCall::serve`] answers for the host, [`RemoteServices`] asks for the plugin.
//!
//! # The format
//!
//! Two streams of messages, one each way. Numbers are little-endian. A message is
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 4 | length `n` of the body in bytes |
//! | 4 | 1 | tag: which message it is |
//! | 5 | 1 | reserved, 0 |
//! | 6 | 2 | version of this format, 1 |
//! | 8 | 8 | number of the message in its stream: 0, 1, 2 … |
//! | 16 | n | body: the fields below, one after the other |
//! | 16 + n | 0 to 7 | zeros, up to a multiple of 8 |
//!
//! `text` and `bytes` are a `u32` length and so many bytes, `text` in UTF-8. `[x]` is a `u32` count
//! and so many `x`; `x?` is a byte 0, or a byte 1 and an `x`. A `frame` is an encoded
//! [`Frame`](crate::Frame), which tells its own length. `call` is a `u64` that the host chose.
//!
//! | tag | message | from | body | answered by |
//! |---|---|---|---|---|
//! | 0x01 | hello | both, first | `u32` [`ProtocolVersion`](crate::ProtocolVersion), `u32` longest body accepted, `text` name | |
//! | 0x02 | heartbeat | both | `u64` any number | heartbeat with the same number |
//! | 0x03 | bye | both, last | `text` why | |
//! | 0x41 | load | host | call, `text` binding, `u32`? descriptor, `text`? path, `bytes` digest, `text` configuration (JSON), `[text, u64]` limits | ready, load-failed |
//! | 0x42 | process | host | call, frame | reply, failed |
//! | 0x43 | save-state | host | call | state, failed |
//! | 0x44 | restore-state | host | call, `u32` version, `bytes` | done, failed |
//! | 0x45 | health | host | call | condition |
//! | 0x46 | cleanup | host | call | done |
//! | 0x47 | cancel | host | call | the answer to that call, soon |
//! | 0x48 | answer | host | call, `u32` 0 or code of a [`ServiceError`](crate::ServiceError), after 0 the value: see [`ServiceAnswer`] | |
//! | 0x81 | ready | plugin | call | |
//! | 0x82 | load-failed | plugin | call, `text` stage, `u32` code, `text` message | |
//! | 0x83 | reply | plugin | call, `[frame]` | |
//! | 0x84 | failed | plugin | call, `u32` code, `text` message | |
//! | 0x85 | state | plugin | call, (`u32` version, `bytes`)? | |
//! | 0x86 | done | plugin | call | |
//! | 0x87 | condition | plugin | call, `u32` 0 or code, `text` message | |
//! | 0x88 | service | plugin | call, the question: see [`ServiceCall`] | answer |
//! | 0x89 | output | plugin | `u8` 1 or 2, `bytes` that were printed there | |
//!
//! The host says hello, then the plugin. The host makes one call at a time, and the plugin answers it once.
//! A plugin asks for services during a call only, names that call, and waits for each answer
//! before it asks again. A heartbeat that comes during a call may be answered after it. Either
//! side ends when the stream of the other does. A message that breaks these rules ends the
//! conversation.
//!
//! A plugin that shouts, in Python:
//!
//! ```text
//! import struct, sys
//! sent = 0
//! def send(tag, body):
//!     global sent
//!     head = struct.pack("<IBBHQ", len(body), tag, 0, 1, sent); sent += 1
//!     sys.stdout.buffer.write(head + body + bytes(-len(body) % 8)); sys.stdout.buffer.flush()
//! def read(n): return sys.stdin.buffer.read(n) if n else b""
//! while head := read(16):
//!     n, tag, _, _, _ = struct.unpack("<IBBHQ", head)
//!     body = read(n + -n % 8)[:n]; call = body[:8]
//!     if tag == 0x01: send(0x01, struct.pack("<III", 0x1, 1 << 20, 5) + b"shout")
//!     elif tag == 0x02: send(0x02, body)
//!     elif tag == 0x03: break
//!     elif tag == 0x41: send(0x81, call)
//!     elif tag == 0x42:
//!         h, p = struct.unpack("<II", body[12:20])
//!         start = body[8:20 + h]; payload = body[20 + h:20 + h + p]
//!         send(0x83, call + struct.pack("<I", 1) + start + payload.upper())
//!     elif tag == 0x45: send(0x87, call + bytes(8))
//!     elif tag == 0x46: send(0x86, call)
//!     elif tag != 0x47: send(0x84, call + struct.pack("<II", 3, 0))
//! ```
//!
//! # Trust
//!
//! Nothing is believed. A [`Decoder`] is given bytes of a stranger: it holds no more of them than
//! one message, which is no longer than [`Bounds`] allow, and checks every length, count, tag,
//! number and text before it uses it. Accepted bytes encode to the same bytes again.
//!
//! This module deliberately moves no bytes: that is `glovebox-worker`, over shared memory, and
//! whoever runs a container, over its standard input and output.
//!
//! ```
//! use glovebox_abi::Frame;
//! use glovebox_abi::wire::{Bounds, Decoder, Encoder, Message, Side};
//!
//! let question = Message::Process { call: 7, frame: Frame::data(&b"hello"[..]) };
//! let mut bytes = Vec::new();
//! Encoder::new(u32::MAX).encode(&question, &mut bytes)?;
//!
//! let mut decoder = Decoder::new(Side::Host, Bounds::default());
//! decoder.push(&bytes);
//! assert_eq!(decoder.next_message()?, Some(question));
//! assert_eq!(decoder.next_message()?, None);
//! # Ok::<(), glovebox_abi::wire::WireError>(())
//! ```

mod body;
mod error;
mod message;
mod open_call;
mod services;
mod stream;

pub use error::WireError;
pub use message::{Load, Message, PrintedTo, Side};
pub use open_call::{OpenCall, Request};
pub use services::{RemoteServices, ServiceAnswer, ServiceCall};
pub use stream::{Bounds, Decoder, Encoder, FORMAT_VERSION, PREFIX_LEN};
