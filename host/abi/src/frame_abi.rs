//! The frame ABI: how a *core* WebAssembly module is a plugin.
//!
//! It is for plugins that want the lowest cost per call, and for languages without component
//! tools; it can be written by hand in WAT (`sample-plugins/hello-wat`). All numbers are
//! little-endian; pointers and lengths are `i32` offsets into the module's exported memory, which
//! stays below 2 GiB, so that they are never negative.
//!
//! # Exports
//!
//! | export | type | meaning |
//! |---|---|---|
//! | `memory` | memory | the module's only memory, 32-bit |
//! | `glovebox_abi_0_1` | `() -> ()` | marker: the protocol version, read before instantiation; never called |
//! | `glovebox_buffer` | `(size: i32) -> i32` | a buffer of at least `size` bytes; see below |
//! | `glovebox_process` | `(len: i32) -> i64` | answers the frame in the buffer; outputs are encoded frames |
//! | `glovebox_initialize` | `(len: i32) -> i64` | optional: the configuration (JSON text) is in the buffer |
//! | `glovebox_health` | `() -> i64` | optional: no output is good; a failure record says what is wrong |
//! | `glovebox_save_state` | `() -> i64` | optional: the output is a `u32` version, then the state; no output is no state |
//! | `glovebox_restore_state` | `(len: i32) -> i64` | optional: version and state are in the buffer, as saved |
//! | `glovebox_cleanup` | `() -> ()` | optional: the last call |
//! | `_initialize` | `() -> ()` | optional: called once after instantiation, before everything else |
//!
//! # Buffer ownership
//!
//! The *input buffer* belongs to the module. The host asks for it with `glovebox_buffer(size)` and
//! may keep using the returned pointer for inputs of up to `size` bytes until it asks for a larger
//! one; each answer replaces the one before. The host writes `len` bytes into it and calls an
//! export with that `len`. The module may overwrite the buffer during the call. `0` means that no
//! such buffer can be had, and fails the call.
//!
//! Outputs belong to the module too, stay valid until the next call into it, and may lie anywhere
//! in its memory, the input buffer included. The host copies them out before it calls again.
//!
//! # Return codes
//!
//! The `i64` is `pointer << 32 | length`. Zero length is no output. For `glovebox_process` the
//! output is any number of encoded [frames](crate::Frame), one after the other. If the sign bit is
//! set the call failed, and pointer (without that bit) and length name a *failure record*: a `u32`
//! code as in [`Failure`](crate::Failure), then the message in UTF-8. [`Output`] packs and unpacks.
//!
//! # Imports
//!
//! Module `glovebox`; a module that imports anything else is refused at the stage *link*. `ptr, len`
//! pairs are UTF-8 text or bytes. A negative result is `-code` of a
//! [`ServiceError`](crate::ServiceError).
//!
//! | import | type | result |
//! |---|---|---|
//! | `log` | `(level: i32, ptr: i32, len: i32) -> i32` | 0 |
//! | `now` | `() -> i64` | nanoseconds since the Unix epoch |
//! | `random` | `(ptr: i32, len: i32) -> i32` | 0; the bytes are filled |
//! | `config` | `(key_ptr, key_len, out_ptr, out_len: i32) -> i32` | length of the value; 0 if absent |
//! | `kv_get` | `(key_ptr, key_len, out_ptr, out_len: i32) -> i64` | length of the value + 1; 0 if absent |
//! | `kv_set` | `(key_ptr, key_len, ptr, len: i32) -> i32` | 0 |
//! | `kv_delete` | `(key_ptr, key_len: i32) -> i32` | 1 if it was there, else 0 |
//! | `kv_list` | `(prefix_ptr, prefix_len, out_ptr, out_len: i32) -> i64` | length of the list: each key is a `u32` length and its text |
//! | `emit` | `(ptr: i32, len: i32) -> i32` | 0; the bytes are one encoded frame |
//! | `metric` | `(name_ptr: i32, name_len: i32, value: f64) -> i32` | 0 |
//! | `call` | `(function_ptr, function_len, ptr, len: i32) -> i64` | length of what the function of the application gave |
//! | `call_result` | `(ptr: i32) -> i32` | 0; what the last `call` gave is written there, once |
//!
//! Results that are larger than `out_len` are not written at all: the module calls again with a
//! buffer of the returned length. A function of the application is never called twice for that: `call`
//! gives the length alone, and the host keeps the result until `call_result` takes it, or the next
//! `call` replaces it.
//!
//! # Limits
//!
//! A frame is at most [`MAX_FRAME_LEN`](crate::MAX_FRAME_LEN) bytes. A plugin's own limits (output
//! bytes and frames, memory, deadline) are enforced by the host on every call. After a trap, or a
//! limit that is broken in the middle of a call, the instance is thrown away. Arguments of imports
//! that are longer than the plugin's host-call bytes end the call before they are looked at.

/// Name of the import module.
pub const IMPORT_MODULE: &str = "glovebox";
/// Prefix of the marker export, followed by the version as `major_minor`.
pub const MARKER_PREFIX: &str = "glovebox_abi_";
/// The marker export of this version.
pub const MARKER: &str = "glovebox_abi_0_1";
/// Export that hands out the input buffer.
pub const BUFFER: &str = "glovebox_buffer";
/// Export that answers a frame.
pub const PROCESS: &str = "glovebox_process";
/// Export that gets ready.
pub const INITIALIZE: &str = "glovebox_initialize";
/// Export that says how the plugin is.
pub const HEALTH: &str = "glovebox_health";
/// Export that gives the state away.
pub const SAVE_STATE: &str = "glovebox_save_state";
/// Export that goes on from a state.
pub const RESTORE_STATE: &str = "glovebox_restore_state";
/// Export that ends the plugin.
pub const CLEANUP: &str = "glovebox_cleanup";
/// Custom section that holds the text of `plugin.toml`, in modules and components alike.
pub const MANIFEST_SECTION: &str = "glovebox:manifest";
/// Custom section that holds what the SDK's attribute `#[budget]` says, in modules and components
/// alike: lines as they stand under `[budget]` in `plugin.toml`.
pub const BUDGET_SECTION: &str = "glovebox:budget";

/// The `i64` that exports return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// True if the output is a failure record.
    pub failed: bool,
    /// Offset of the first byte.
    pub pointer: u32,
    /// Number of bytes.
    pub length: u32,
}

impl Output {
    const FAILED: u64 = 1 << 63;

    /// Reads a returned number.
    pub fn unpack(packed: i64) -> Output {
        let bits = packed as u64;
        Output {
            failed: bits & Self::FAILED != 0,
            pointer: ((bits & !Self::FAILED) >> 32) as u32,
            length: bits as u32,
        }
    }

    /// The number to return; the top bit of `pointer` is dropped.
    pub fn pack(self) -> i64 {
        let bits = ((u64::from(self.pointer) << 32) & !Self::FAILED) | u64::from(self.length);
        (if self.failed { bits | Self::FAILED } else { bits }) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_survive_packing() {
        fn check(failed: bool, pointer: u32, length: u32) {
            let output = Output { failed, pointer, length };
            assert_eq!(Output::unpack(output.pack()), output);
        }
        check(false, 0, 0);
        check(true, 0, 0);
        check(false, 0x7FFF_FFFF, u32::MAX);
        check(true, 65536, 12);
    }
}
