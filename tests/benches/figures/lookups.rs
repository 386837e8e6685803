//! Finding an instance by its id, with few and with many, beside the least that this takes: one entry
//! of 64 bytes, found by its place in a table, whose round is compared. Among many, both wait for memory.

use std::hint::black_box;

use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_host::{Host, InstanceId, LoadRequest};

use crate::figure::{Figures, pair};

struct Idle;

impl Plugin for Idle {
    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(Vec::new())
    }
}

/// An entry in the table of the baseline: a line of the cache.
#[repr(align(64))]
struct Entry {
    round: u32,
}

pub(crate) fn run(figures: &mut Figures) {
    for count in [10, 1_000, 100_000] {
        let name = format!("registry-lookup-{count}");
        if !figures.wants(&name) {
            continue;
        }
        let host = Host::builder().build().expect("a host starts on any machine");
        let load = |number| {
            let manifest = Manifest::bare(&format!("idle-{number}"));
            host.load(LoadRequest::core(manifest, || Box::new(Idle))).wait().expect("it loads")
        };
        let ids: Vec<InstanceId> = (0..count).map(load).collect();
        let table: Vec<Entry> = ids.iter().map(|_| Entry { round: 0 }).collect();
        // A stride that is prime to the count visits all, never in order.
        let stride = 7_919 % ids.len();
        let (mut here, mut there) = (0, 0);
        let (value, baseline) = pair(
            || {
                here = (here + stride) % ids.len();
                assert!(black_box(host.contains(ids[here])));
            },
            || {
                there = (there + stride) % ids.len();
                black_box(ids[there]);
                assert!(black_box(table.get(black_box(there))).is_some_and(|one| one.round == 0));
            },
        );
        figures.add(&name, value, "ns", ("table-of-64-byte-entries-ns", baseline), 1.3);
    }
}
