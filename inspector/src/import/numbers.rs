//! Numbers of calls: those of a file may count calls of each plugin, instance or generation by themselves, or
//! begin anew; in a trace, each call has a number of its own.

use std::collections::HashMap;
use std::sync::Arc;

use glovebox_events::{CallId, CallKey, Event, What};
use roaring::RoaringTreemap;

/// Gives calls new numbers that have one that another call has, or whose number begins a second time.
#[derive(Default)]
pub(super) struct CallNumbers {
    owners: HashMap<(Arc<str>, u64, u32), Owned>,
    /// Numbers in the trace.
    used: RoaringTreemap,
    /// No smaller number is free.
    next: u64,
    /// Calls that have new numbers, until they end.
    moved: HashMap<CallKey, CallId>,
    renumbered: u64,
}

/// The calls of one generation of an instance, by their numbers in the file.
#[derive(Default)]
struct Owned {
    /// Those that have the same number in the trace.
    kept: RoaringTreemap,
    /// Those that began.
    started: RoaringTreemap,
}

impl CallNumbers {
    /// How many calls have new numbers.
    pub(super) fn renumbered(&self) -> u64 {
        self.renumbered
    }

    /// Makes the number of the event's call one that no other call of the trace has.
    pub(super) fn tell_apart(&mut self, event: &mut Event) {
        let Some(key) = event.call_key() else { return };
        let number = key.call.0;
        let (begins, ends) = match event.what {
            What::FrameIn { .. } => (true, false),
            What::CallEnded { .. } => (false, true),
            _ => (false, false),
        };
        let owner = (key.plugin.clone(), key.instance, key.generation);
        let owned = self.owners.entry(owner).or_default();
        let is_another = begins && !owned.started.insert(number);
        let moved = self.moved.get(&key).copied().filter(|_| !is_another);
        let call = if let Some(moved) = moved {
            moved
        } else if !is_another && owned.kept.contains(number) {
            key.call
        } else if !is_another && self.used.insert(number) {
            owned.kept.insert(number);
            key.call
        } else {
            let call = self.free();
            self.moved.insert(key.clone(), call);
            self.renumbered += 1;
            call
        };
        if ends {
            self.moved.remove(&key);
        }
        if let Some(number) = event.what.call_mut() {
            *number = call;
        }
    }

    /// The smallest number that no call has.
    fn free(&mut self) -> CallId {
        loop {
            self.next += 1;
            if self.used.insert(self.next) {
                return CallId(self.next);
            }
        }
    }
}
