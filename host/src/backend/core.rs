//! The core tier: plugins that are part of the application.

use std::sync::Arc;

use glovebox_abi::{Frame, Health, Plugin, State};

use super::{Backend, own_code};
use crate::frames::Frames;
use crate::services::CopyServices;
use crate::stop::Stop;

/// The code of a trap that stands for a panic of a plugin of this tier, as in the native one.
pub(super) const PANIC: &str = "plugin-panic";

pub(crate) type Factory = Arc<dyn Fn() -> Box<dyn Plugin> + Send + Sync>;

pub(crate) struct CoreBackend {
    plugin: Box<dyn Plugin>,
    context: CopyServices,
}

impl CoreBackend {
    pub(crate) fn new(factory: &Factory, context: CopyServices) -> CoreBackend {
        CoreBackend { plugin: factory(), context }
    }
}

impl Backend for CoreBackend {
    fn context(&mut self) -> &mut CopyServices {
        &mut self.context
    }

    fn initialize(&mut self, config: &str) -> Result<(), Stop> {
        Ok(self.plugin.initialize(&mut self.context, config)?)
    }

    #[inline]
    fn process(&mut self, frame: &Frame, out: &mut Frames) -> Result<(), Stop> {
        let frames = self.plugin.process(&mut self.context, frame)?;
        // Checked where they lie: to move a vector right after it was written takes a while.
        self.context.check_output(&frames)?;
        *out = frames.into();
        Ok(())
    }

    fn health(&mut self) -> Result<Health, Stop> {
        let health = self.plugin.health();
        if health.is_good() {
            return Ok(health);
        }
        Ok(Health::bad(own_code(health.code), health.message))
    }

    fn save_state(&mut self) -> Result<Option<State>, Stop> {
        Ok(self.plugin.save_state()?)
    }

    fn restore_state(&mut self, state: &State) -> Result<(), Stop> {
        Ok(self.plugin.restore_state(state.clone())?)
    }

    fn cleanup(&mut self) {
        self.plugin.cleanup();
    }

    fn memory(&mut self) -> Option<u64> {
        None
    }

    fn panic_code(&self) -> &'static str {
        PANIC
    }
}
