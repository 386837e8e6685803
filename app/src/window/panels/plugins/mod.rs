//! The loaded plugins: phase, generation, p99.

mod model;
mod paint;

use egui::Ui;

use crate::window::context::{Panel, PanelCtx};

pub(crate) use model::State;

impl Panel for State {
    fn show(&mut self, ui: &mut Ui, ctx: PanelCtx<'_>) {
        paint::show(ui, ctx, self);
    }
}
