//! The differences between two runs: groups of calls that differ in the same places, and what a
//! person decides about them.

mod choice;
mod details;
mod list;
mod model;
mod paint;

use egui::Ui;

use crate::window::context::{Panel, PanelCtx};
use crate::window::shown::Shown;
use crate::workbench::Reader;

pub(crate) use model::{Review, State};

impl Panel for State {
    fn take_in(&mut self, reader: Reader<'_>, _: &Shown) {
        if let Some((number, diff)) = reader.diff() {
            self.review.look_at(number, diff, || reader.rejected_before());
        }
        self.choice.take_in(&reader);
    }

    fn show(&mut self, ui: &mut Ui, ctx: PanelCtx<'_>) {
        paint::show(ui, ctx, self);
    }
}
