//! One folder or file per panel; [`Panels`] assembles them.
//!
//! Each has a model, which is pure or reads frames between two painted frames, a layout where there is
//! one, and paints what the model holds. Panels know nothing of each other, nor of this table.

mod allow;
mod compose;
mod diff;
mod drawer;
mod frames;
mod generations;
mod injected;
mod inspector;
mod metrics;
mod plugins;
mod policy;
mod preview;
mod reloads;
mod timeline;
mod traces;
pub(super) mod welcome;

use super::context::Panel;
use super::ids::PanelId;

pub(super) use diff::Review;
pub(super) use frames::Place;

/// All panels, with what each remembers.
#[derive(Debug, Default)]
pub(super) struct Panels {
    plugins: plugins::State,
    traces: traces::State,
    pub(super) frames: frames::State,
    pub(super) inspector: inspector::State,
    pub(crate) metrics: metrics::State,
    pub(super) compose: compose::State,
    pub(super) diff: diff::State,
    pub(super) policy: policy::State,
    generations: generations::State,
    pub(super) drawer: drawer::State,
    timeline: timeline::State,
}

impl Panels {
    /// One of them.
    pub(super) fn get(&mut self, id: PanelId) -> &mut dyn Panel {
        match id {
            PanelId::Plugins => &mut self.plugins,
            PanelId::Traces => &mut self.traces,
            PanelId::Frames => &mut self.frames,
            PanelId::Diff => &mut self.diff,
            PanelId::Metrics => &mut self.metrics,
            PanelId::Compose => &mut self.compose,
            PanelId::Policy => &mut self.policy,
            PanelId::Reload => &mut self.generations,
            PanelId::Inspector => &mut self.inspector,
            PanelId::Timeline => &mut self.timeline,
            PanelId::Drawer => &mut self.drawer,
        }
    }
}
