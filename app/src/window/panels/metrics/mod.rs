//! Figures per instance of the shown run, charts of the chosen one, and comparisons.

mod charts;
mod compared;
mod model;
mod paint;
mod process;

use egui::Ui;

use crate::window::context::{Panel, PanelCtx};

pub(crate) use model::State;

impl Panel for State {
    fn show(&mut self, ui: &mut Ui, ctx: PanelCtx<'_>) {
        paint::show(ui, ctx, self);
    }
}
