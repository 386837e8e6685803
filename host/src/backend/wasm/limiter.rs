use glovebox_abi::manifest::LimitKind;
use glovebox_events::Outcome;
use wasmtime::ResourceLimiter;

use crate::services::CopyServices;

/// Bytes that an element of a table takes: the engine keeps a pointer for each.
const TABLE_ELEMENT: u64 = size_of::<usize>() as u64;

/// More instances, tables or memories than any plugin needs, counted per store.
const MAX_PARTS: usize = 64;

/// Growing beyond a limit ends the call with the limit's name: a plugin that is told `-1` instead
/// usually aborts with a message that hides the cause.
impl ResourceLimiter for CopyServices {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.take_memory(desired.saturating_sub(current) as u64)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let (asked, allowed) = (desired as u64, self.rights.limits.load().table);
        if asked > allowed {
            return Err(self.too_much(LimitKind::Table, asked, allowed));
        }
        self.take_memory((desired.saturating_sub(current) as u64).saturating_mul(TABLE_ELEMENT))
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

impl CopyServices {
    /// Counts bytes that the plugin cannot give back, whatever it keeps in them.
    pub(super) fn take_memory(&mut self, bytes: u64) -> wasmtime::Result<bool> {
        let asked = self.memory.saturating_add(bytes);
        let allowed = self.rights.limits.load().memory;
        if asked > allowed {
            return Err(self.too_much(LimitKind::Memory, asked, allowed));
        }
        self.memory = asked;
        Ok(true)
    }

    /// Bytes that it may still take.
    pub(super) fn memory_left(&self) -> u64 {
        self.rights.limits.load().memory.saturating_sub(self.memory)
    }

    fn too_much(&mut self, limit: LimitKind, asked: u64, allowed: u64) -> wasmtime::Error {
        self.shared.counters.hit_limit(limit);
        let outcome = Outcome::LimitExceeded { limit, asked, allowed, made_up: false };
        let error = wasmtime::Error::msg(outcome.to_string());
        self.broken = Some(outcome);
        error
    }
}
