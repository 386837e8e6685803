use glovebox_abi::Permission;
use glovebox_abi::units::show_size;
use wasmtime::component::HasData;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::Witness;

/// Bytes that one request gives.
const MAX_RANDOM_LEN: u64 = 1 << 20;

/// The value of every byte without the permission: hash maps of the standard library need numbers,
/// but not random ones.
const NOT_RANDOM: u8 = 1;

/// Random numbers for a plugin.
pub(super) struct Random<'a>(pub(super) &'a Witness);

/// Says that [`Random`] is taken from a store.
pub(super) struct HasRandom;

impl HasData for HasRandom {
    type Data<'a> = Random<'a>;
}

impl Random<'_> {
    /// # Errors
    ///
    /// Which end the call, if more is asked for than a request gives: before any of it is allocated.
    pub(super) fn secure(&self, length: u64) -> wasmtime::Result<Vec<u8>> {
        let permitted = self.0.admit_often("wasi:random get-random-bytes", Permission::Random);
        self.bytes(length, permitted)
    }

    fn insecure(&self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(length, self.0.grants().has(Permission::Random))
    }

    fn bytes(&self, length: u64, permitted: bool) -> wasmtime::Result<Vec<u8>> {
        if length > MAX_RANDOM_LEN {
            let limit = show_size(MAX_RANDOM_LEN);
            let asked = show_size(length);
            let text = format!("asked for {asked} of random bytes at once, limit {limit}");
            return Err(wasmtime::Error::msg(text));
        }
        let mut bytes = vec![NOT_RANDOM; length as usize];
        if permitted {
            self.0
                .fill(&mut bytes)
                .map_err(|error| wasmtime::Error::msg(format!("no random bytes here: {error}")))?;
        }
        Ok(bytes)
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl random::Host for Random<'_> {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.secure(length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.secure(8).map(|bytes| number(&bytes))
    }
}

impl insecure::Host for Random<'_> {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.insecure(length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.insecure(8).map(|bytes| number(&bytes))
    }
}

impl insecure_seed::Host for Random<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let bytes = self.insecure(16)?;
        Ok((number(&bytes), number(&bytes[8..])))
    }
}
