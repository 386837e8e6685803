//! Paints panels, each in its guard.

use std::collections::BTreeSet;

use egui::Ui;

use crate::window::context::PanelCtx;
use crate::window::guard::Guard;
use crate::window::ids::PanelId;
use crate::window::panels::Panels;

/// The means to paint panels.
pub(super) struct Painter<'a, 'b> {
    pub(super) ctx: PanelCtx<'a>,
    pub(super) panels: &'b mut Panels,
    pub(super) guard: &'b mut Guard,
    /// Titles of the panels that are painted.
    pub(super) drawn: &'b mut BTreeSet<&'static str>,
    /// Panels that were told what to show.
    pub(super) taken_in: &'b [PanelId],
}

impl Painter<'_, '_> {
    /// Paints a panel.
    pub(super) fn panel(&mut self, ui: &mut Ui, id: PanelId) {
        let title = id.title();
        self.drawn.insert(title);
        if !self.taken_in.contains(&id) {
            // It was brought to the front while this frame is painted; it is there in the next one.
            return ui.ctx().request_repaint();
        }
        let (panel, ctx) = (self.panels.get(id), self.ctx);
        ui.push_id(title, |ui| self.guard.show(title, ui, |ui| panel.show(ui, ctx)));
    }
}
