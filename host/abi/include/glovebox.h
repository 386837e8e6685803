/*
 * The native binding of a Glovebox plugin, protocol version 0.1, for C99 and C++11.
 *
 * A plugin is a shared library that exports one function, glovebox_plugin_0_1, which returns a
 * table of functions. Read struct glovebox_plugin first (what a plugin does), then
 * struct glovebox_output (where its answers go) and struct glovebox_host (what it may ask for).
 * sample-plugins/hello-c is a whole plugin.
 *
 * Rules:
 * - Nothing that one side allocated is freed by the other. Bytes are lent for the length of a call:
 *   copy what is kept. What is given to a callback is copied by it.
 * - An instance is called by one thread at a time, not always the same one.
 * - No exception may leave a function of the plugin, and none may longjmp over the host.
 * - The table that the exported function returns stays valid for ever, and none of its functions is
 *   NULL.
 *
 * The same layout in Rust, which this file follows, is the module `native` of glovebox-abi.
 */
#ifndef GLOVEBOX_H
#define GLOVEBOX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The protocol version: major << 16 | minor. */
#define GLOVEBOX_ABI_VERSION UINT32_C(0x00000001)

/* Kinds of frames; 0x60 to 0xFF are the users' own. */
#define GLOVEBOX_KIND_HANDSHAKE 0x51
#define GLOVEBOX_KIND_DATA 0x52
#define GLOVEBOX_KIND_CONTROL 0x53
#define GLOVEBOX_KIND_ERROR 0x54

/* Codes of failures; a plugin's own begin at 1000. */
#define GLOVEBOX_FAILURE_GENERIC 1
#define GLOVEBOX_FAILURE_INVALID 2
#define GLOVEBOX_FAILURE_UNSUPPORTED 3
#define GLOVEBOX_FAILURE_SERVICE 4
/* The plugin cannot go on: the host throws the instance away. */
#define GLOVEBOX_FAILURE_PANIC 5
#define GLOVEBOX_FAILURE_FIRST_OWN 1000

/* What host services return; later codes mean unavailable. */
#define GLOVEBOX_OK 0
#define GLOVEBOX_DENIED 1
#define GLOVEBOX_INVALID_ARGUMENT 2
#define GLOVEBOX_LIMIT_EXCEEDED 3
#define GLOVEBOX_UNAVAILABLE 4

/* Levels of log lines. */
#define GLOVEBOX_LOG_TRACE 0
#define GLOVEBOX_LOG_DEBUG 1
#define GLOVEBOX_LOG_INFO 2
#define GLOVEBOX_LOG_WARN 3
#define GLOVEBOX_LOG_ERROR 4

/* Bytes lent for the length of a call; pointer may be anything when length is 0. Texts are UTF-8
 * and not terminated. */
struct glovebox_slice {
    const uint8_t *pointer;
    size_t length;
};

/* Where a plugin puts its results during one call; pass `context` to each function. */
struct glovebox_output {
    void *context;
    /* Adds an output frame. The header is one CBOR map, or nothing for an empty one. */
    void (*frame)(void *context, uint8_t kind, struct glovebox_slice header,
                  struct glovebox_slice payload);
    /* Sets the saved state and the version of its layout. */
    void (*state)(void *context, uint32_t version, struct glovebox_slice state);
    /* Says why the call fails, or what is wrong. */
    void (*message)(void *context, uint32_t code, struct glovebox_slice message);
};

/* Takes bytes that the host lends for the length of the callback. */
struct glovebox_receiver {
    void *context;
    void (*receive)(void *context, struct glovebox_slice bytes);
};

/* What a plugin may ask of its host; lives as long as the instance. Pass `context` to each
 * function. Each returns GLOVEBOX_OK, or why it was not done: each needs the permission of its
 * name (all kv_ functions: kv). */
struct glovebox_host {
    uint32_t abi_version;
    /* sizeof of this table in the host, which may be larger than here. */
    uint32_t struct_size;
    void *context;
    /* Writes a line to the log. */
    uint32_t (*log)(void *context, uint32_t level, struct glovebox_slice message);
    /* Nanoseconds since the Unix epoch. */
    uint32_t (*now)(void *context, uint64_t *nanoseconds);
    /* Fills a buffer of at most 64 KiB with random bytes. */
    uint32_t (*random)(void *context, uint8_t *buffer, size_t length);
    /* Hands a value of the configuration, JSON text, to the receiver, or calls nothing if it is
     * absent; the empty key gives all of it. */
    uint32_t (*config)(void *context, struct glovebox_slice key,
                       struct glovebox_receiver receiver);
    /* Hands the value under a key to the receiver, or calls nothing if it is absent. */
    uint32_t (*kv_get)(void *context, struct glovebox_slice key,
                       struct glovebox_receiver receiver);
    /* Puts a value under a key. */
    uint32_t (*kv_set)(void *context, struct glovebox_slice key, struct glovebox_slice value);
    /* Removes a key; `existed` becomes 1 if it was there, else 0. */
    uint32_t (*kv_delete)(void *context, struct glovebox_slice key, uint32_t *existed);
    /* Hands each key with the prefix to the receiver, sorted. */
    uint32_t (*kv_list)(void *context, struct glovebox_slice prefix,
                        struct glovebox_receiver receiver);
    /* Sends a frame to other plugins. */
    uint32_t (*emit)(void *context, uint8_t kind, struct glovebox_slice header,
                     struct glovebox_slice payload);
    /* Publishes a measurement; names are kebab-case. */
    uint32_t (*metric)(void *context, struct glovebox_slice name, double value);
    /* Calls a function of the application, and hands what it gives to receive. Older hosts have a
       shorter table: call it only if struct_size reaches beyond it, see GLOVEBOX_HOST_HAS_CALL. */
    uint32_t (*call)(void *context, struct glovebox_slice function, struct glovebox_slice argument,
                     struct glovebox_receiver receiver);
};

/* True if the table of this host has call. */
#define GLOVEBOX_HOST_HAS_CALL(host) ((host)->struct_size >= sizeof(struct glovebox_host))

/* What a plugin does. Functions return 0, or a non-zero code after they called out->message. */
struct glovebox_plugin {
    /* GLOVEBOX_ABI_VERSION. */
    uint32_t abi_version;
    /* sizeof(struct glovebox_plugin). */
    uint32_t struct_size;
    /* Makes an instance from a configuration (JSON text); NULL on failure. */
    void *(*create)(const struct glovebox_host *host, struct glovebox_slice config,
                    const struct glovebox_output *out);
    /* Answers a frame with any number of frames. */
    uint32_t (*process)(void *instance, uint8_t kind, struct glovebox_slice header,
                        struct glovebox_slice payload, const struct glovebox_output *out);
    /* Says how it is; non-zero is a problem. */
    uint32_t (*health)(void *instance, const struct glovebox_output *out);
    /* Gives its state to out->state, or calls nothing if it has none. */
    uint32_t (*save_state)(void *instance, const struct glovebox_output *out);
    /* Goes on from a state, maybe of an older version. */
    uint32_t (*restore_state)(void *instance, uint32_t version, struct glovebox_slice state,
                              const struct glovebox_output *out);
    /* Ends the instance and frees it. */
    void (*destroy)(void *instance);
};

#if defined(_WIN32)
#define GLOVEBOX_EXPORT __declspec(dllexport)
#else
#define GLOVEBOX_EXPORT __attribute__((visibility("default")))
#endif

/* The exported function: every plugin defines it. */
GLOVEBOX_EXPORT const struct glovebox_plugin *glovebox_plugin_0_1(void);

/* Puts the text of plugin.toml into the library, where a host reads it without running anything.
 * Use one of the two once, at file scope, without a semicolon (GCC and Clang):
 *
 *   GLOVEBOX_MANIFEST_FILE("plugin.toml")   the file, relative to where the compiler runs
 *   GLOVEBOX_MANIFEST("[plugin]\n...")      the text itself
 */
#if defined(__APPLE__)
#define GLOVEBOX_MANIFEST_SECTION "__DATA,__glovebox"
#define GLOVEBOX_MANIFEST_FILE(path) \
    __asm__(".section __DATA,__glovebox\n.incbin \"" path "\"\n.text\n");
#else
#define GLOVEBOX_MANIFEST_SECTION ".glovebox"
#define GLOVEBOX_MANIFEST_FILE(path) \
    __asm__(".pushsection .glovebox,\"a\"\n.incbin \"" path "\"\n.popsection\n");
#endif

/* The terminating NUL comes along; hosts take the text up to it. */
#define GLOVEBOX_MANIFEST(text)                                                \
    __attribute__((used, section(GLOVEBOX_MANIFEST_SECTION))) static const char \
        glovebox_manifest[] = text;

#ifdef __cplusplus
}
#endif

#endif
