/*
 * Answers each frame with "hello, " and its payload: a program in C that speaks the framed protocol.
 *
 * Build it with
 *
 *     mkdir -p target && cc -O2 -static -o target/hello-framed hello.c
 *
 * in this folder. It needs nothing of Glovebox, and could be written in any language: it reads messages
 * from standard input and writes messages to standard output. All numbers are little-endian. A message is
 *
 *     offset  0  length n of the body (4 bytes)
 *     offset  4  tag: which message it is (1 byte), 0 (1 byte), format version 1 (2 bytes)
 *     offset  8  number of the message in its direction: 0, 1, 2 ... (8 bytes)
 *     offset 16  the body (n bytes), then zeros up to a multiple of 8
 *
 * A body is a row of fields. A text or bytes are a length (4 bytes) and so many bytes. The body of every
 * message about a call begins with the number of the call (8 bytes), which the answer repeats.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HELLO = 0x01, HEARTBEAT = 0x02, BYE = 0x03,
    LOAD = 0x41, PROCESS = 0x42, SAVE_STATE = 0x43, RESTORE_STATE = 0x44,
    HEALTH = 0x45, CLEANUP = 0x46, CANCEL = 0x47, ANSWER = 0x48,
    READY = 0x81, REPLY = 0x83, FAILED = 0x84, STATE = 0x85,
    DONE = 0x86, CONDITION = 0x87, SERVICE = 0x88,
};
enum { PROTOCOL = 0x1 /* 0.1 */, LONGEST = 64 << 20, LOG = 1, INFO = 2, INVALID = 2, UNSUPPORTED = 3 };

/* A message: the one that came, or the one that is put together. */
struct message {
    uint8_t tag;
    uint32_t length;
    uint8_t *body;
};

static uint64_t sent;    /* Messages that this side sent. */
static uint64_t greeted; /* The state: how many frames were greeted. */

static uint64_t number(const uint8_t *bytes, int size) {
    uint64_t value = 0;
    for (int i = 0; i < size; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static void put(struct message *message, const void *bytes, size_t length) {
    uint8_t *longer = realloc(message->body, message->length + length + 1);
    if (longer == NULL) abort(); /* The host tells what became of this process, and starts another. */
    message->body = longer;
    if (length > 0) memcpy(longer + message->length, bytes, length);
    message->length += (uint32_t)length;
}

static void put_number(struct message *message, uint64_t value, int size) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    put(message, bytes, (size_t)size);
}

static void put_text(struct message *message, const char *text) {
    put_number(message, strlen(text), 4);
    put(message, text, strlen(text));
}

/* Begins a message about a call. */
static struct message begin(uint8_t tag, const struct message *about) {
    struct message message = {tag, 0, NULL};
    put(&message, about->body, 8);
    return message;
}

static void send_message(struct message message) {
    static const uint8_t zeros[8];
    uint8_t head[16] = {0};
    for (int i = 0; i < 4; i++) head[i] = (uint8_t)(message.length >> (8 * i));
    head[4] = message.tag;
    head[6] = 1;
    for (int i = 0; i < 8; i++) head[8 + i] = (uint8_t)(sent >> (8 * i));
    sent += 1;
    fwrite(head, 1, sizeof head, stdout);
    fwrite(message.body, 1, message.length, stdout);
    fwrite(zeros, 1, -message.length % 8, stdout);
    fflush(stdout);
    free(message.body);
}

/* Reads so many bytes; the host has ended if there are fewer. */
static void take(void *bytes, size_t length) {
    if (fread(bytes, 1, length, stdin) < length) exit(0);
}

/* The next message of the host. Its body is at least 8 bytes long, some of which may be zeros. */
static struct message next_message(void) {
    uint8_t head[16];
    take(head, sizeof head);
    struct message message = {head[4], (uint32_t)number(head, 4), NULL};
    message.body = calloc(1, (size_t)message.length + 16);
    if (message.body == NULL) abort();
    take(message.body, message.length + -message.length % 8);
    return message;
}

/* A line in the log. Services can be asked during a call, and each is answered before the next. */
static void write_log(const struct message *call, const char *line) {
    struct message message = begin(SERVICE, call);
    put_number(&message, LOG, 1);
    put_number(&message, INFO, 1);
    put_text(&message, line);
    send_message(message);
    /* It begins with 0, or with the code of an error: the log may be denied. */
    free(next_message().body);
}

static void fail(const struct message *call, uint32_t code, const char *why) {
    struct message message = begin(FAILED, call);
    put_number(&message, code, 4);
    put_text(&message, why);
    send_message(message);
}

/* A frame is its kind, a byte 0, a version, the lengths of header and payload, and both of them. */
static void process(const struct message *call) {
    static const char greeting[] = "hello, ";
    const uint8_t *frame = call->body + 8;
    uint32_t header = (uint32_t)number(frame + 4, 4), payload = (uint32_t)number(frame + 8, 4);
    struct message reply = begin(REPLY, call);
    put_number(&reply, 1, 4); /* One frame. */
    put(&reply, frame, 8);    /* The header goes back as it came, with the id of the question. */
    put_number(&reply, payload + strlen(greeting), 4);
    put(&reply, frame + 12, header);
    put(&reply, greeting, strlen(greeting));
    put(&reply, frame + 12 + header, payload);
    send_message(reply);
    greeted += 1;
}

/* The state is a version and bytes; it survives a reload, and a move to another machine. */
static void save_state(const struct message *call) {
    struct message state = begin(STATE, call);
    put_number(&state, 1, 1); /* There is one. */
    put_number(&state, 1, 4); /* Its version. */
    put_number(&state, 8, 4);
    put_number(&state, greeted, 8);
    send_message(state);
}

static void restore_state(const struct message *call) {
    if (number(call->body + 8, 4) != 1 || number(call->body + 12, 4) != 8) {
        fail(call, UNSUPPORTED, "a state of 8 bytes, version 1, is known");
        return;
    }
    greeted = number(call->body + 16, 8);
    send_message(begin(DONE, call));
}

int main(void) {
    for (;;) {
        struct message call = next_message(), answer;
        switch (call.tag) {
        case HELLO:
            answer = (struct message){HELLO, 0, NULL};
            put_number(&answer, PROTOCOL, 4);
            put_number(&answer, LONGEST, 4);
            put_text(&answer, "hello-framed");
            send_message(answer);
            break;
        case HEARTBEAT: /* The host wants its number back. */
            send_message(begin(HEARTBEAT, &call));
            break;
        case LOAD: /* With the configuration, of which this plugin has none. */
            write_log(&call, "hello over pipes");
            send_message(begin(READY, &call));
            break;
        case PROCESS:
            process(&call);
            break;
        case SAVE_STATE:
            save_state(&call);
            break;
        case RESTORE_STATE:
            restore_state(&call);
            break;
        case HEALTH: /* Always well. */
            answer = begin(CONDITION, &call);
            put_number(&answer, 0, 4);
            put_text(&answer, "");
            send_message(answer);
            break;
        case CLEANUP:
            send_message(begin(DONE, &call));
            break;
        case BYE:
            return 0;
        case CANCEL: /* A call is over before this plugin could hear that it is cancelled. */
            break;
        default:
            fail(&call, INVALID, "no such call is known");
        }
        free(call.body);
    }
}
