/*
 * Answers each frame with "hello, " and its payload: a native plugin in C.
 *
 * Build it with `glovebox build sample-plugins/hello-c`, which runs
 *
 *     cc -shared -fPIC -O2 -I host/abi/include -o hello-c.so hello.c
 *
 * in this folder. The plugin's side of the contract is the table at the end of this file.
 */
#include <glovebox.h>

#include <stdlib.h>
#include <string.h>

GLOVEBOX_MANIFEST_FILE("plugin.toml")

/* What one running copy remembers. Each has its own: a plugin has no globals that change. */
struct instance {
    const struct glovebox_host *host;
    uint64_t greeted;
};

/* Lends a text for the length of a call. */
static struct glovebox_slice text(const char *characters) {
    struct glovebox_slice slice = {(const uint8_t *)characters, strlen(characters)};
    return slice;
}

/* Says why a call fails. */
static uint32_t fail(const struct glovebox_output *out, uint32_t code, const char *why) {
    out->message(out->context, code, text(why));
    return code;
}

static void *create(const struct glovebox_host *host, struct glovebox_slice config,
                    const struct glovebox_output *out) {
    (void)config; /* Nothing can be configured. */
    struct instance *instance = calloc(1, sizeof *instance);
    if (instance == NULL) {
        fail(out, GLOVEBOX_FAILURE_GENERIC, "out of memory");
        return NULL;
    }
    instance->host = host;
    /* A service may be denied; greeting works without a log. */
    (void)host->log(host->context, GLOVEBOX_LOG_INFO, text("hello from C"));
    return instance;
}

static uint32_t process(void *self, uint8_t kind, struct glovebox_slice header,
                        struct glovebox_slice payload, const struct glovebox_output *out) {
    static const char greeting[] = "hello, ";
    const size_t greeting_length = sizeof greeting - 1;
    struct instance *instance = self;
    (void)kind; /* plugin.toml accepts data frames only. */

    if (payload.length > SIZE_MAX - greeting_length) {
        return fail(out, GLOVEBOX_FAILURE_INVALID, "the payload is too long to greet");
    }
    uint8_t *answer = malloc(greeting_length + payload.length);
    if (answer == NULL) {
        return fail(out, GLOVEBOX_FAILURE_GENERIC, "out of memory");
    }
    memcpy(answer, greeting, greeting_length);
    if (payload.length > 0) {
        memcpy(answer + greeting_length, payload.pointer, payload.length);
    }
    struct glovebox_slice lent = {answer, greeting_length + payload.length};
    /* The header goes back as it came, so that the answer carries the id of the question. */
    out->frame(out->context, GLOVEBOX_KIND_DATA, header, lent);
    free(answer); /* The host has copied it. */
    instance->greeted += 1;
    return 0;
}

static uint32_t health(void *self, const struct glovebox_output *out) {
    (void)self;
    (void)out;
    return 0; /* Always well. */
}

/* The state is the number of greetings, little-endian, so that it survives a move to another
 * machine. */
static uint32_t save_state(void *self, const struct glovebox_output *out) {
    const struct instance *instance = self;
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(instance->greeted >> (8 * i));
    }
    struct glovebox_slice state = {bytes, sizeof bytes};
    out->state(out->context, 1, state);
    return 0;
}

static uint32_t restore_state(void *self, uint32_t version, struct glovebox_slice state,
                              const struct glovebox_output *out) {
    struct instance *instance = self;
    if (version != 1 || state.length != 8) {
        return fail(out, GLOVEBOX_FAILURE_UNSUPPORTED, "a state of 8 bytes, version 1, is known");
    }
    instance->greeted = 0;
    for (int i = 0; i < 8; i++) {
        instance->greeted |= (uint64_t)state.pointer[i] << (8 * i);
    }
    return 0;
}

static void destroy(void *self) { free(self); }

GLOVEBOX_EXPORT const struct glovebox_plugin *glovebox_plugin_0_1(void) {
    static const struct glovebox_plugin table = {
        GLOVEBOX_ABI_VERSION, sizeof(struct glovebox_plugin),
        create,               process,
        health,               save_state,
        restore_state,        destroy,
    };
    return &table;
}
