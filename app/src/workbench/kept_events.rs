//! The events of a run, kept in memory while it happens, to be compared.

use glovebox_events::{Event, weight};

/// The most memory that the events of a run may take that is compared, in bytes.
pub(crate) const KEPT_LIMIT: usize = 2 << 30;

/// Events up to a limit. Those beyond are counted: to compare a part would show differences that are
/// none.
#[derive(Debug)]
pub(crate) struct KeptEvents {
    /// The events, in order.
    pub(crate) events: Vec<Event>,
    /// Events beyond the limit.
    pub(crate) lost: u64,
    bytes: usize,
    limit: usize,
}

impl KeptEvents {
    /// None yet, and of so many bytes at most.
    pub(crate) fn up_to(limit: usize) -> KeptEvents {
        KeptEvents { events: Vec::new(), lost: 0, bytes: 0, limit }
    }

    /// Keeps a copy of an event, if there is room; says whether there was.
    pub(crate) fn keep(&mut self, event: &Event) -> bool {
        let size = weight::event(event);
        let has_room = self.bytes + size <= self.limit;
        if has_room {
            self.bytes += size;
            self.events.push(event.clone());
        } else {
            self.lost += 1;
        }
        has_room
    }

    /// Everything that was kept since the last time.
    pub(crate) fn take(&mut self) -> KeptEvents {
        std::mem::replace(self, KeptEvents::up_to(self.limit))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use glovebox_abi::Permission;
    use glovebox_abi::cbor::Value;
    use glovebox_events::{AnsweredBy, HostCall, What};

    use super::*;

    #[test]
    fn everything_that_is_kept_counts() {
        const LIMIT: usize = 64 << 20;
        fn check(bytes: usize, expected_kept: usize) {
            let host_call = HostCall {
                service: "kv-set".into(),
                permission: Permission::Kv,
                arguments: Value::Bytes(vec![0; bytes]),
                result: Ok(Value::Null),
                took: Duration::ZERO,
                answered_by: AnsweredBy::Host,
            };
            let event = Event {
                sequence: 0,
                at: 0,
                plugin: "a".into(),
                instance: 0,
                generation: 1,
                what: What::HostCall { call: None, host_call },
            };
            let mut kept = KeptEvents::up_to(LIMIT);
            for _ in 0..20 {
                kept.keep(&event);
            }
            let found = (kept.events.len(), kept.lost);
            assert_eq!(found, (expected_kept, 20 - expected_kept as u64));
            assert!(kept.bytes <= LIMIT);
            kept.take();
            assert_eq!((kept.events.len(), kept.lost, kept.bytes), (0, 0, 0));
        }
        check(1000, 20);
        check(8 << 20, 7);
        check(LIMIT, 0);
    }
}
