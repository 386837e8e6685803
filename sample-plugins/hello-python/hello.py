"""Answers each frame with "hello, " and its payload: a plugin in Python, without any library.

Glovebox starts this file in a sandbox and talks to it over standard input and output, in the framed
protocol. All numbers are little-endian. A message is

    offset  0  length n of the body (4 bytes)
    offset  4  tag: which message it is (1 byte), 0 (1 byte), format version 1 (2 bytes)
    offset  8  number of the message in its direction: 0, 1, 2 ... (8 bytes)
    offset 16  the body (n bytes), then zeros up to a multiple of 8

A body is a row of fields. A text or bytes are a length (4 bytes) and so many bytes. The body of every
message about a call begins with the number of the call (8 bytes), which the answer repeats.

Standard output is for messages alone: `print(..., file=sys.stderr)` goes to the log.
"""

import struct
import sys

# Messages of both sides.
HELLO, HEARTBEAT, BYE = 0x01, 0x02, 0x03
# Calls of the host.
LOAD, PROCESS, SAVE_STATE, RESTORE_STATE, HEALTH, CLEANUP, CANCEL, ANSWER = range(0x41, 0x49)
# Answers of the plugin, and its question to the host.
READY, LOAD_FAILED, REPLY, FAILED, STATE, DONE, CONDITION, SERVICE = range(0x81, 0x89)

PROTOCOL = 0x1  # Version 0.1 of the contract: the major number stands in the upper half.
LONGEST = 64 << 20  # The longest body that this plugin accepts.
LOG, INFO = 1, 2  # A service of the host, and how important a line is.
INVALID, UNSUPPORTED = 2, 3  # Codes of failures.

sent = 0  # Messages that this side sent.
greeted = 0  # The state: how many frames were greeted.


def field(some_bytes):
    return struct.pack("<I", len(some_bytes)) + some_bytes


def send(tag, body):
    global sent
    head = struct.pack("<IBBHQ", len(body), tag, 0, 1, sent)
    sent += 1
    sys.stdout.buffer.write(head + body + bytes(-len(body) % 8))
    sys.stdout.buffer.flush()


def read(length):
    """So many bytes; the host has ended if there are fewer."""
    some_bytes = sys.stdin.buffer.read(length)
    if len(some_bytes) < length:
        sys.exit()
    return some_bytes


def receive():
    """The next message of the host: its tag, the call that it is about, and the rest of its body."""
    length, tag, _, _, _ = struct.unpack("<IBBHQ", read(16))
    body = read(length + -length % 8)[:length]
    return tag, body[:8], body[8:]


def log(call, text):
    """A line in the log. Services can be asked during a call, and each is answered before the next."""
    send(SERVICE, call + struct.pack("<BB", LOG, INFO) + field(text.encode()))
    # The answer begins with 0, or with the code of an error: the log may be denied.
    assert receive()[0] == ANSWER


def process(call, frame):
    """A frame is its kind, a byte 0, a version, the lengths of header and payload, and both of them."""
    global greeted
    start, header_length, payload_length = struct.unpack("<III", frame[:12])
    header = frame[12 : 12 + header_length]
    payload = b"hello, " + frame[12 + header_length :]
    # The header goes back as it came, so that the answer carries the id of the question.
    answer = struct.pack("<III", start, header_length, len(payload)) + header + payload
    send(REPLY, call + struct.pack("<I", 1) + answer)  # One frame.
    greeted += 1


def restore_state(call, state):
    """The state is a version and bytes; it survives a reload, and a move to another machine."""
    global greeted
    version, length = struct.unpack("<II", state[:8])
    if (version, length) != (1, 8):
        why = b"a state of 8 bytes, version 1, is known"
        return send(FAILED, call + struct.pack("<I", UNSUPPORTED) + field(why))
    (greeted,) = struct.unpack("<Q", state[8:16])
    send(DONE, call)


while True:
    tag, call, rest = receive()
    if tag == HELLO:
        send(HELLO, struct.pack("<II", PROTOCOL, LONGEST) + field(b"hello-python"))
    elif tag == HEARTBEAT:
        send(HEARTBEAT, call)  # The number that the host wants to have back.
    elif tag == LOAD:  # With the configuration, of which this plugin has none.
        log(call, "hello from Python")
        send(READY, call)
    elif tag == PROCESS:
        process(call, rest)
    elif tag == SAVE_STATE:
        send(STATE, call + struct.pack("<BI", 1, 1) + field(struct.pack("<Q", greeted)))
    elif tag == RESTORE_STATE:
        restore_state(call, rest)
    elif tag == HEALTH:
        send(CONDITION, call + struct.pack("<I", 0) + field(b""))  # Always well.
    elif tag == CLEANUP:
        send(DONE, call)
    elif tag == BYE:
        break
    elif tag != CANCEL:  # A call is over before this plugin could hear that it is cancelled.
        send(FAILED, call + struct.pack("<I", INVALID) + field(b"no such call is known"))
