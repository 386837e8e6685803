//! Copies whose code may need more stack than a thread of the application has: they bring their own.

use std::io;

use corosensei::on_stack;
use corosensei::stack::DefaultStack;
use glovebox_abi::{Frame, Health, State};
use glovebox_events::{CallId, Outcome};

use super::Backend;
use crate::frames::Frames;
use crate::services::CopyServices;
use crate::stop::Stop;

/// The stack that services of the host, and what the application does for them, have behind that of the
/// plugin, in bytes.
const FOR_SERVICES: usize = 512 << 10;

/// A copy that runs on a stack of its own, whichever thread calls it.
pub(super) struct Roomy {
    backend: Box<dyn Backend>,
    /// The system gives it memory where it was written to.
    stack: DefaultStack,
}

impl Roomy {
    /// A copy that `make` makes, of a plugin that may fill so many bytes of stack.
    pub(super) fn new(
        bytes: usize,
        make: impl FnOnce() -> Result<Box<dyn Backend>, Outcome>,
    ) -> Result<Roomy, Outcome> {
        let no_stack = |error: io::Error| Outcome::Refused {
            reason: format!("no memory for the stack of its code: {error}"),
        };
        let mut stack = DefaultStack::new(bytes + FOR_SERVICES).map_err(no_stack)?;
        let backend = on_stack(&mut stack, make)?;
        Ok(Roomy { backend, stack })
    }

    fn run<T>(&mut self, work: impl FnOnce(&mut dyn Backend) -> T) -> T {
        on_stack(&mut self.stack, || work(&mut *self.backend))
    }
}

impl Backend for Roomy {
    fn context(&mut self) -> &mut CopyServices {
        self.backend.context()
    }

    fn initialize(&mut self, config: &str) -> Result<(), Stop> {
        self.run(|backend| backend.initialize(config))
    }

    fn process(&mut self, frame: &Frame, out: &mut Frames) -> Result<(), Stop> {
        self.run(|backend| backend.process(frame, out))
    }

    fn health(&mut self) -> Result<Health, Stop> {
        self.run(|backend| backend.health())
    }

    fn save_state(&mut self) -> Result<Option<State>, Stop> {
        self.run(|backend| backend.save_state())
    }

    fn restore_state(&mut self, state: &State) -> Result<(), Stop> {
        self.run(|backend| backend.restore_state(state))
    }

    fn call(
        &mut self,
        call: CallId,
        frame: &Frame,
        out: &mut Frames,
        emitted: &mut Vec<Frame>,
    ) -> Result<(), Stop> {
        self.run(|backend| backend.call(call, frame, out, emitted))
    }

    fn is_outdated(&self) -> bool {
        self.backend.is_outdated()
    }

    fn cleanup(&mut self) {
        self.run(|backend| backend.cleanup());
    }

    fn memory(&mut self) -> Option<u64> {
        self.backend.memory()
    }

    fn panic_code(&self) -> &'static str {
        self.backend.panic_code()
    }
}

#[cfg(test)]
mod tests {
    use glovebox_abi::Frame;
    use glovebox_abi::manifest::Compiler;

    use crate::{Host, LoadRequest};

    /// Calls itself as often as the first four bytes of the payload say.
    const RECURSION: &str = "(module (memory (export \"memory\") 4) (func (export \"glovebox_abi_0_1\")) \
        (func (export \"glovebox_buffer\") (param i32) (result i32) i32.const 65536) \
        (func $r (param $n i32) (param i64 i64 i64) (result i64) \
          (if (i32.eqz (local.get $n)) (then (return (local.get 1)))) \
          (i64.add (local.get 3) (call $r (i32.sub (local.get $n) (i32.const 1)) \
            (i64.add (local.get 1) (i64.const 1)) (local.get 2) (local.get 3)))) \
        (func (export \"glovebox_process\") (param i32) (result i64) \
          (drop (call $r (i32.load (i32.add (i32.const 65548) (i32.load (i32.const 65540)))) \
            (i64.const 1) (i64.const 2) (i64.const 3))) \
          (i64.const 0)))";

    /// Whether so deep a recursion completes, on a thread with as little stack as code for speed needs.
    fn completes(change: fn(LoadRequest) -> LoadRequest, depth: u32) -> bool {
        let work = move || {
            let host = Host::builder().build().unwrap();
            let module = wat::parse_str(RECURSION).unwrap();
            let load = host.load(change(LoadRequest::bytes("recursion.wasm", module)));
            let id = load.wait().unwrap_or_else(|error| panic!("{error}"));
            let reply = host.call(id, &Frame::data(depth.to_le_bytes().to_vec()));
            let outcome = reply.outcome.to_string();
            assert!(
                reply.outcome.is_completed() || outcome.contains("stack-overflow"),
                "{outcome}"
            );
            reply.outcome.is_completed()
        };
        std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap().join().unwrap()
    }

    #[test]
    fn each_engine_has_room_for_what_the_fast_one_completes() {
        assert!(completes(|request| request, 8_000));
        assert!(completes(|request| request.deterministic(1), 8_000));
        assert!(completes(|request| request.compiler(Compiler::Quick), 8_000));
        assert!(completes(|request| request.compiler(Compiler::Quick).deterministic(1), 8_000));
        // It ends all the same.
        assert!(!completes(|request| request.compiler(Compiler::Quick), 1 << 20));
    }
}
