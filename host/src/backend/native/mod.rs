//! The native table in this process: trusted code, for speed and existing libraries.
//!
//! [`NativeCode`] is a library that is open, [`NativePlugin`] a copy of it for any services: those of
//! this host, or those of a host that has this process as its worker.

mod library;
mod plugin;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{Frame, Health, ServiceError, State};

use super::Backend;
use crate::frames::Frames;
use crate::services::CopyServices;
use crate::stop::Stop;

pub(crate) use library::NativeCode;
pub(crate) use plugin::{NativePlugin, TableServices};

/// A copy in this process.
pub(crate) struct NativeBackend(NativePlugin<CopyServices>);

impl NativeBackend {
    pub(crate) fn new(code: Arc<NativeCode>, context: CopyServices) -> NativeBackend {
        NativeBackend(NativePlugin::new(code, context))
    }
}

impl Backend for NativeBackend {
    fn context(&mut self) -> &mut CopyServices {
        self.0.services()
    }

    fn initialize(&mut self, config: &str) -> Result<(), Stop> {
        self.0.initialize(config)
    }

    #[inline]
    fn process(&mut self, frame: &Frame, out: &mut Frames) -> Result<(), Stop> {
        self.0.process(frame, out)
    }

    fn health(&mut self) -> Result<Health, Stop> {
        self.0.health()
    }

    fn save_state(&mut self) -> Result<Option<State>, Stop> {
        self.0.save_state()
    }

    fn restore_state(&mut self, state: &State) -> Result<(), Stop> {
        self.0.restore_state(state)
    }

    fn cleanup(&mut self) {
        self.0.cleanup();
    }

    fn memory(&mut self) -> Option<u64> {
        None
    }
}

impl TableServices for CopyServices {
    fn random_bytes(&mut self, length: usize) -> Result<Vec<u8>, ServiceError> {
        CopyServices::random_bytes(self, length)
    }

    fn emit_read<E>(&mut self, bytes: usize, frame: Result<Frame, E>) -> Result<(), ServiceError> {
        CopyServices::emit_read(self, bytes, frame)
    }

    #[inline]
    fn allowed_output(&self) -> (u64, u64) {
        let hot = &self.rights.hot;
        (hot.output_bytes.load(Ordering::Relaxed), hot.output_frames.load(Ordering::Relaxed))
    }

    fn hit_limit(&self, limit: LimitKind) {
        self.shared.counters.hit_limit(limit);
    }
}
