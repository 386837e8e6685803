//! A call allocates nothing but what the plugin answers.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_host::{Host, InstanceId, LoadRequest};
use glovebox_tests::{native_sample, patient, sample};

/// The system's allocator, counting what each thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator as it is; the counter is a plain number
// without a destructor, so that it can be reached at any time.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps to the contract of this same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract of this same function.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps to the contract of this same function.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Answers with nothing.
struct Silent;

impl Plugin for Silent {
    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(Vec::new())
    }
}

#[test]
fn a_call_allocates_only_its_answer() {
    let host = Host::builder().build().unwrap();
    let check = |name: &str, id: InstanceId, expected: u64| {
        let frame = Frame::data(vec![7; 64]);
        // The first calls fill what is kept: buffers, and caches of the allocator.
        (0..3).for_each(|_| assert!(host.call(id, &frame).outcome.is_completed()));
        let before = ALLOCATIONS.get();
        (0..100).for_each(|_| drop(host.call(id, &frame)));
        let after = ALLOCATIONS.get();
        assert_eq!(after - before, expected * 100, "{name}");
    };
    let load = |request: LoadRequest| host.load(request.limits(patient())).wait().unwrap();
    check("core", load(LoadRequest::core(Manifest::bare("silent"), || Box::new(Silent))), 0);
    // The payload of the one frame.
    check("frame ABI", load(LoadRequest::path(sample("echo.frame-abi.wasm"))), 1);
    // The same; what the library allocates itself does not go through this program's allocator.
    let native = LoadRequest::path(native_sample("echo")).trust_native();
    check("native", load(native), 1);
}
