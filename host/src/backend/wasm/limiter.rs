use glovebox_abi::manifest::LimitKind;
use glovebox_events::Outcome;
use wasmtime::ResourceLimiter;

use crate::context::Context;

/// More instances, tables or memories than any plugin needs, counted per store.
const MAX_PARTS: usize = 64;

/// Growing beyond a limit ends the call with the limit's name: a plugin that is told `-1` instead
/// usually aborts with a message that hides the cause.
impl ResourceLimiter for Context {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let asked = self.memory + desired.saturating_sub(current) as u64;
        let allowed = self.rights.limits.load().memory;
        if asked > allowed {
            return Err(self.too_much(LimitKind::Memory, asked, allowed));
        }
        self.memory = asked;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let (asked, allowed) = (desired as u64, self.rights.limits.load().table);
        if asked > allowed {
            return Err(self.too_much(LimitKind::Table, asked, allowed));
        }
        Ok(true)
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

impl Context {
    fn too_much(&mut self, limit: LimitKind, asked: u64, allowed: u64) -> wasmtime::Error {
        self.shared.counters.hit_limit(limit);
        let outcome = Outcome::LimitExceeded { limit, asked, allowed };
        let error = wasmtime::Error::msg(outcome.to_string());
        self.broken = Some(outcome);
        error
    }
}
