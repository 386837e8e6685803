//! The state of the timeline, besides the digest.

use glovebox_inspector::store::Reload;

use crate::window::shown::Shown;
use crate::workbench::Reader;

/// The state of the timeline.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The time that is being dragged, from its start.
    pub(super) drag: Option<(u64, u64)>,
    reloads: Vec<ReloadMark>,
}

/// A reload in a lane.
#[derive(Debug)]
pub(super) struct ReloadMark {
    pub(super) lane: usize,
    /// Nanoseconds since the Unix epoch.
    pub(super) at: u64,
    /// False if the new generation was refused.
    pub(super) accepted: bool,
    /// The generation that runs after it.
    pub(super) generation: u32,
}

impl State {
    pub(super) fn take_in(&mut self, reader: Reader<'_>, shown: &Shown) {
        let digest = shown.overview.digest();
        let mark = |reload: &Reload| {
            let lane = digest.lane(&reload.plugin, reload.instance)?;
            let (accepted, generation) = (reload.result.is_ok(), reload.generation);
            Some(ReloadMark { lane, at: reload.at, accepted, generation })
        };
        let source = shown.selection.source;
        let marks = reader.read(source, |store| store.reloads().iter().filter_map(mark).collect());
        self.reloads = marks.unwrap_or_default();
    }

    pub(super) fn reloads(&self) -> &[ReloadMark] {
        &self.reloads
    }
}
