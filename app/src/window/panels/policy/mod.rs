//! The permissions, limits and denials of the chosen plugin.

mod faults;
mod model;
mod paint;
mod sandbox;

use egui::Ui;

use crate::window::context::{Panel, PanelCtx};
use crate::window::shown::Shown;
use crate::workbench::Reader;

pub(crate) use model::State;

impl Panel for State {
    fn take_in(&mut self, reader: Reader<'_>, shown: &Shown) {
        State::take_in(self, reader, shown);
    }

    fn show(&mut self, ui: &mut Ui, ctx: PanelCtx<'_>) {
        paint::show(ui, ctx, self);
    }
}
