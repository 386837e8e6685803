//! The native table: how a shared library is a plugin.
//!
//! The library exports one function, [`SYMBOL`], that returns a [`PluginTable`] which stays valid
//! for ever. The same layout in C is `include/glovebox.h`. Nothing that one side allocated is
//! freed by the other: bytes are lent for the length of a call, and outputs are handed to the
//! [`Output`] callbacks, which copy them.
//!
//! An instance is called by one thread at a time, not always the same one. A panic or C++
//! exception must not leave the library: the SDK's export macro catches panics inside.
//!
//! This module only describes memory; reading through the pointers is the business of
//! `glovebox-host` and `glovebox-sdk`, which is why it needs no `unsafe` itself.

use core::ffi::c_void;

/// Prefix of the exported symbol, followed by the protocol version as `major_minor`.
pub const SYMBOL_PREFIX: &str = "glovebox_plugin_";
/// The symbol of this version: a function of type [`Entry`].
pub const SYMBOL: &str = "glovebox_plugin_0_1";
/// Section that holds the text of `plugin.toml` in ELF and PE files, read before the library is
/// opened.
pub const MANIFEST_SECTION: &str = ".glovebox";
/// The same in Mach-O files.
pub const MANIFEST_SECTION_MACOS: &str = "__DATA,__glovebox";
/// Section that holds what the SDK's attribute `#[budget]` says in ELF and PE files: lines as they
/// stand under `[budget]` in `plugin.toml`. PE keeps no more than these eight characters.
pub const BUDGET_SECTION: &str = ".gbudget";
/// The same in Mach-O files.
pub const BUDGET_SECTION_MACOS: &str = "__DATA,__gbudget";

/// The exported function.
pub type Entry = unsafe extern "C" fn() -> *const PluginTable;

/// Bytes lent for the length of a call; `pointer` may be anything when `length` is 0.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Slice {
    /// First byte.
    pub pointer: *const u8,
    /// Number of bytes.
    pub length: usize,
}

impl Slice {
    /// Lends `bytes`.
    pub fn new(bytes: &[u8]) -> Slice {
        Slice { pointer: bytes.as_ptr(), length: bytes.len() }
    }
}

/// The plugin's side. None of its functions is null. Functions return 0, or a non-zero code after they
/// called [`Output::message`].
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct PluginTable {
    /// [`ProtocolVersion::to_u32`](crate::ProtocolVersion::to_u32).
    pub abi_version: u32,
    /// `sizeof` of this table, so that a later version can add to its end.
    pub struct_size: u32,
    /// Makes an instance from a configuration (JSON text); null on failure.
    pub create: unsafe extern "C" fn(
        host: *const HostTable,
        config: Slice,
        out: *const Output,
    ) -> *mut c_void,
    /// Answers a frame.
    pub process: unsafe extern "C" fn(
        instance: *mut c_void,
        kind: u8,
        header: Slice,
        payload: Slice,
        out: *const Output,
    ) -> u32,
    /// Says how it is; non-zero is a problem.
    pub health: unsafe extern "C" fn(instance: *mut c_void, out: *const Output) -> u32,
    /// Gives its state to [`Output::state`], or calls nothing if it has none.
    pub save_state: unsafe extern "C" fn(instance: *mut c_void, out: *const Output) -> u32,
    /// Goes on from a state.
    pub restore_state: unsafe extern "C" fn(
        instance: *mut c_void,
        version: u32,
        state: Slice,
        out: *const Output,
    ) -> u32,
    /// Ends the instance and frees it.
    pub destroy: unsafe extern "C" fn(instance: *mut c_void),
}

/// Where a plugin puts its results during one call.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Output {
    /// Handed back to each function.
    pub context: *mut c_void,
    /// Adds an output frame.
    pub frame: unsafe extern "C" fn(context: *mut c_void, kind: u8, header: Slice, payload: Slice),
    /// Sets the saved state.
    pub state: unsafe extern "C" fn(context: *mut c_void, version: u32, state: Slice),
    /// Says why the call fails or what is wrong, in UTF-8.
    pub message: unsafe extern "C" fn(context: *mut c_void, code: u32, message: Slice),
}

/// The host's side: lives as long as the instance. Functions return 0, or the code of a
/// [`ServiceError`](crate::ServiceError).
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct HostTable {
    /// [`ProtocolVersion::to_u32`](crate::ProtocolVersion::to_u32).
    pub abi_version: u32,
    /// `sizeof` of this table: a later version adds to its end.
    pub struct_size: u32,
    /// Handed back to each function.
    pub context: *mut c_void,
    /// Writes a line to the log.
    pub log: unsafe extern "C" fn(context: *mut c_void, level: u32, message: Slice) -> u32,
    /// Nanoseconds since the Unix epoch.
    pub now: unsafe extern "C" fn(context: *mut c_void, nanoseconds: *mut u64) -> u32,
    /// Fills a buffer with random bytes.
    pub random: unsafe extern "C" fn(context: *mut c_void, buffer: *mut u8, length: usize) -> u32,
    /// Hands a value of the configuration to `receive`, or calls nothing if it is absent.
    pub config: unsafe extern "C" fn(context: *mut c_void, key: Slice, receiver: Receiver) -> u32,
    /// Hands the value under a key to `receive`, or calls nothing if it is absent.
    pub kv_get: unsafe extern "C" fn(context: *mut c_void, key: Slice, receiver: Receiver) -> u32,
    /// Puts a value under a key.
    pub kv_set: unsafe extern "C" fn(context: *mut c_void, key: Slice, value: Slice) -> u32,
    /// Removes a key; `existed` becomes 1 if it was there, else 0.
    pub kv_delete: unsafe extern "C" fn(context: *mut c_void, key: Slice, existed: *mut u32) -> u32,
    /// Hands each key with the prefix to `receive`, sorted.
    pub kv_list:
        unsafe extern "C" fn(context: *mut c_void, prefix: Slice, receiver: Receiver) -> u32,
    /// Sends a frame to other plugins.
    pub emit:
        unsafe extern "C" fn(context: *mut c_void, kind: u8, header: Slice, payload: Slice) -> u32,
    /// Publishes a measurement.
    pub metric: unsafe extern "C" fn(context: *mut c_void, name: Slice, value: f64) -> u32,
    /// Calls a function of the application, and hands what it gives to `receive`. Hosts that were
    /// built before it was there have a shorter table, which [`struct_size`](Self::struct_size) says:
    /// a plugin looks there first.
    pub call: unsafe extern "C" fn(
        context: *mut c_void,
        function: Slice,
        argument: Slice,
        receiver: Receiver,
    ) -> u32,
}

/// Takes bytes that the host lends for the length of the callback.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Receiver {
    /// Handed back to the function.
    pub context: *mut c_void,
    /// Copies the bytes.
    pub receive: unsafe extern "C" fn(context: *mut c_void, bytes: Slice),
}
