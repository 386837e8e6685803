//! The frame ABI binding: the plugin behind one buffer and a handful of exports, as specified in
//! `glovebox_abi::frame_abi`.

use std::sync::{Mutex, MutexGuard};

use glovebox_abi::frame_abi::Output;
use glovebox_abi::{Failure, Frame, LogLevel, Plugin, ServiceError, Services, State};

use bytes::Bytes;

/// The one instance in a module, with its two buffers.
#[derive(Debug)]
pub struct Module<P>(Mutex<Inside<P>>);

#[derive(Debug)]
struct Inside<P> {
    /// Made by the first call.
    plugin: Option<P>,
    /// The host writes here between calls; its length is what the host was promised.
    input: Vec<u8>,
    /// The host reads here between calls.
    output: Vec<u8>,
}

impl<P> Module<P> {
    /// A module whose plugin is made by the first call.
    #[expect(clippy::new_without_default, reason = "statics need a const function")]
    pub const fn new() -> Module<P> {
        Module(Mutex::new(Inside { plugin: None, input: Vec::new(), output: Vec::new() }))
    }

    fn inside(&self) -> MutexGuard<'_, Inside<P>> {
        self.0.try_lock().expect("the host never calls in while a call runs")
    }

    /// A buffer of at least `size` bytes, or 0.
    pub fn buffer(&self, size: i32) -> i32 {
        let Ok(size) = usize::try_from(size) else {
            return 0;
        };
        let input = &mut self.inside().input;
        // One byte more than nothing, so that an empty buffer has an address too.
        let missing = size.max(1).saturating_sub(input.len());
        if input.try_reserve_exact(missing).is_err() {
            return 0;
        }
        input.resize(input.len() + missing, 0);
        // Memory stays below 2 GiB, so the address is never negative.
        input.as_mut_ptr() as usize as i32
    }
}

impl<P: Plugin + Default> Module<P> {
    /// `glovebox_initialize`.
    pub fn initialize(&self, len: i32) -> i64 {
        self.run(len, |plugin, input, _| {
            let config = str::from_utf8(input)
                .map_err(|_| Failure::invalid("the configuration is not UTF-8"))?;
            plugin.initialize(&mut Imports, config)
        })
    }

    /// `glovebox_process`.
    pub fn process(&self, len: i32) -> i64 {
        self.run(len, |plugin, input, output| {
            // A copy, because the plugin may keep the frame and the host keeps the buffer.
            let frame = Frame::decode(&Bytes::copy_from_slice(input))
                .map_err(|error| Failure::invalid(error.to_string()))?;
            for answer in plugin.process(&mut Imports, &frame)? {
                answer.encode_into(output);
            }
            Ok(())
        })
    }

    /// `glovebox_health`.
    pub fn health(&self) -> i64 {
        self.run(0, |plugin, _, _| {
            let health = plugin.health();
            if health.is_good() { Ok(()) } else { Err(Failure::new(health.code, health.message)) }
        })
    }

    /// `glovebox_save_state`.
    pub fn save_state(&self) -> i64 {
        self.run(0, |plugin, _, output| {
            if let Some(state) = plugin.save_state()? {
                output.extend(state.version.to_le_bytes());
                output.extend(state.bytes);
            }
            Ok(())
        })
    }

    /// `glovebox_restore_state`.
    pub fn restore_state(&self, len: i32) -> i64 {
        self.run(len, |plugin, input, _| {
            let (version, bytes) = input
                .split_first_chunk()
                .ok_or_else(|| Failure::invalid("a saved state has at least 4 bytes"))?;
            plugin.restore_state(State {
                version: u32::from_le_bytes(*version),
                bytes: bytes.to_vec(),
            })
        })
    }

    /// `glovebox_cleanup`.
    pub fn cleanup(&self) {
        if let Some(plugin) = &mut self.inside().plugin {
            plugin.cleanup();
        }
    }

    /// Runs one call: the first `len` bytes of the input, and a cleared output that becomes the
    /// failure record if the call fails.
    fn run(
        &self,
        len: i32,
        call: impl FnOnce(&mut P, &[u8], &mut Vec<u8>) -> Result<(), Failure>,
    ) -> i64 {
        let inside = &mut *self.inside();
        let plugin = inside.plugin.get_or_insert_with(|| {
            super::report_panics(|message| {
                let _ = Imports.log(LogLevel::Error, message);
            });
            P::default()
        });
        inside.output.clear();
        let input = usize::try_from(len).ok().and_then(|len| inside.input.get(..len));
        let result = match input {
            Some(input) => call(plugin, input, &mut inside.output),
            None => Err(Failure::invalid(format!(
                "the host wrote {len} bytes into a buffer of {}",
                inside.input.len()
            ))),
        };
        if let Err(failure) = &result {
            inside.output.clear();
            inside.output.extend(failure.code.to_le_bytes());
            inside.output.extend(failure.message.as_bytes());
        }
        let output = Output {
            failed: result.is_err(),
            pointer: inside.output.as_ptr() as usize as u32,
            length: inside.output.len() as u32,
        };
        output.pack()
    }
}

mod imports {
    #[link(wasm_import_module = "glovebox")]
    unsafe extern "C" {
        pub(super) fn log(level: i32, pointer: *const u8, length: usize) -> i32;
        pub(super) fn now() -> i64;
        pub(super) fn random(pointer: *mut u8, length: usize) -> i32;
        pub(super) fn config(
            key: *const u8,
            key_length: usize,
            out: *mut u8,
            out_length: usize,
        ) -> i32;
        pub(super) fn kv_get(
            key: *const u8,
            key_length: usize,
            out: *mut u8,
            out_length: usize,
        ) -> i64;
        pub(super) fn kv_set(
            key: *const u8,
            key_length: usize,
            value: *const u8,
            value_length: usize,
        ) -> i32;
        pub(super) fn kv_delete(key: *const u8, key_length: usize) -> i32;
        pub(super) fn kv_list(
            prefix: *const u8,
            prefix_length: usize,
            out: *mut u8,
            out_length: usize,
        ) -> i64;
        pub(super) fn emit(pointer: *const u8, length: usize) -> i32;
        pub(super) fn metric(name: *const u8, name_length: usize, value: f64) -> i32;
        pub(super) fn call(
            function: *const u8,
            function_length: usize,
            argument: *const u8,
            argument_length: usize,
        ) -> i64;
        pub(super) fn call_result(out: *mut u8) -> i32;
    }
}

/// The host, reached through the module's imports.
#[derive(Debug)]
struct Imports;

/// Splits an answer into its number and its error.
fn checked(answer: impl Into<i64>) -> Result<u64, ServiceError> {
    let answer = answer.into();
    u64::try_from(answer)
        .map_err(|_| ServiceError::from_code(u32::try_from(-answer).unwrap_or(u32::MAX)))
}

/// Calls until the answer fits. `length` makes a length of the host's number; `None` is no answer.
fn sized(
    mut call: impl FnMut(&mut [u8]) -> Result<u64, ServiceError>,
    length: impl Fn(u64) -> Option<u64>,
) -> Result<Option<Vec<u8>>, ServiceError> {
    let mut out = vec![0; 512];
    loop {
        let Some(needed) = length(call(&mut out)?) else {
            return Ok(None);
        };
        let needed = usize::try_from(needed).map_err(|_| ServiceError::Unavailable)?;
        if needed <= out.len() {
            out.truncate(needed);
            return Ok(Some(out));
        }
        out.resize(needed, 0);
    }
}

// SAFETY, for every call below: pointer and length name a slice that is borrowed for the whole
// call, shared where the host reads and exclusive where it writes at most `length` bytes.
impl Services for Imports {
    fn log(&mut self, level: LogLevel, message: &str) -> Result<(), ServiceError> {
        // SAFETY: see above.
        let answer = unsafe { imports::log(level as i32, message.as_ptr(), message.len()) };
        checked(answer).map(drop)
    }

    fn now(&mut self) -> Result<u64, ServiceError> {
        // SAFETY: no pointers.
        checked(unsafe { imports::now() })
    }

    fn random(&mut self, buffer: &mut [u8]) -> Result<(), ServiceError> {
        // SAFETY: see above.
        checked(unsafe { imports::random(buffer.as_mut_ptr(), buffer.len()) }).map(drop)
    }

    fn config(&mut self, key: &str) -> Result<Option<String>, ServiceError> {
        let value = sized(
            |out| {
                // SAFETY: see above.
                checked(unsafe {
                    imports::config(key.as_ptr(), key.len(), out.as_mut_ptr(), out.len())
                })
            },
            |answer| (answer > 0).then_some(answer),
        )?;
        value
            .map(|bytes| String::from_utf8(bytes).map_err(|_| ServiceError::Unavailable))
            .transpose()
    }

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        sized(
            |out| {
                // SAFETY: see above.
                checked(unsafe {
                    imports::kv_get(key.as_ptr(), key.len(), out.as_mut_ptr(), out.len())
                })
            },
            |answer| answer.checked_sub(1),
        )
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), ServiceError> {
        // SAFETY: see above.
        checked(unsafe { imports::kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len()) })
            .map(drop)
    }

    fn kv_delete(&mut self, key: &str) -> Result<bool, ServiceError> {
        // SAFETY: see above.
        checked(unsafe { imports::kv_delete(key.as_ptr(), key.len()) }).map(|answer| answer == 1)
    }

    fn kv_list(&mut self, prefix: &str) -> Result<Vec<String>, ServiceError> {
        let list = sized(
            |out| {
                // SAFETY: see above.
                checked(unsafe {
                    imports::kv_list(prefix.as_ptr(), prefix.len(), out.as_mut_ptr(), out.len())
                })
            },
            Some,
        )?;
        read_list(&list.unwrap_or_default()).ok_or(ServiceError::Unavailable)
    }

    fn emit(&mut self, frame: &Frame) -> Result<(), ServiceError> {
        let bytes = frame.to_bytes();
        // SAFETY: see above.
        checked(unsafe { imports::emit(bytes.as_ptr(), bytes.len()) }).map(drop)
    }

    fn metric(&mut self, name: &str, value: f64) -> Result<(), ServiceError> {
        // SAFETY: see above.
        checked(unsafe { imports::metric(name.as_ptr(), name.len(), value) }).map(drop)
    }

    fn call(&mut self, function: &str, argument: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let (name, name_length) = (function.as_ptr(), function.len());
        // SAFETY: see above.
        let length = checked(unsafe {
            imports::call(name, name_length, argument.as_ptr(), argument.len())
        })?;
        let length = usize::try_from(length).map_err(|_| ServiceError::Unavailable)?;
        let mut given = vec![0; length];
        // SAFETY: the host writes as many bytes as it said, which is what the buffer has.
        checked(unsafe { imports::call_result(given.as_mut_ptr()) })?;
        Ok(given)
    }
}

/// Reads texts that each follow their `u32` length.
fn read_list(mut list: &[u8]) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    while !list.is_empty() {
        let (length, rest) = list.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        keys.push(str::from_utf8(key).ok()?.to_owned());
        list = rest;
    }
    Some(keys)
}
