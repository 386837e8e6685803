//! Finding an instance by its id, with few and with many.

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
            },
        );
        figures.add(&name, value, "ns", ("array-index-ns", baseline), 10.0);
    }
}
