//! Writes a frame by hand and sends it; the text stays as it was typed.

mod layout;
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
