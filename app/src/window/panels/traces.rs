//! The live session, the open traces (one may be pinned as baseline), and the baseline file.

use egui::{Align, ScrollArea, Ui, pos2, vec2};
use egui_material_icons::icons as icon;
use glovebox_inspector::diff::DiffOptions;

use crate::window::action::Change;
use crate::window::commands::Verb;
use crate::window::context::{Panel, PanelCtx};
use crate::window::ids::PanelId;
use crate::window::theme;
use crate::window::widgets::figures::thousands;
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{icon_button, icon_font, row, section, text_in};
use crate::workbench::{Accepted, Command, Origin, Source, Trace};

/// The list of traces remembers nothing.
#[derive(Debug, Default)]
pub(crate) struct State;

impl Panel for State {
    fn show(&mut self, ui: &mut Ui, ctx: PanelCtx<'_>) {
        show(ui, ctx);
    }
}

fn show(ui: &mut Ui, ctx: PanelCtx<'_>) {
    section(ui, "Traces", |ui| {
        if icon_button(ui, icon::ICON_ADD, "Open trace (Ctrl+Shift+O)", true).clicked() {
            ctx.run(Verb::OpenTrace);
        }
        ui.label(plain(ctx.traces().len().to_string()).color(theme::of(ui).text_weak));
    });
    ui.spacing_mut().item_spacing.y = 2.0;
    ScrollArea::vertical().id_salt("traces").auto_shrink([false, false]).show(ui, |ui| {
        live(ui, ctx, ctx.source() == Source::Live);
        if let Some(accepted) = ctx.accepted() {
            baseline_file(ui, ctx, accepted);
        }
        for trace in ctx.traces() {
            let chosen = ctx.source() == Source::Trace(trace.id);
            line(ui, ctx, trace, chosen);
        }
    });
}

fn live(ui: &mut Ui, ctx: PanelCtx<'_>, chosen: bool) {
    let tokens = theme::of(ui);
    let frames = ctx.live().frames as u64;
    let (rect, response) = row(ui, 24.0, chosen, "Live frames");
    let color = if ctx.recording().is_some() { tokens.bad } else { tokens.accent };
    ui.painter().circle_filled(pos2(rect.left() + 12.0, rect.center().y), 4.0, color);
    words(ui, rect, "Live", frames, chosen);
    if response.clicked() {
        ctx.change(Change::Source(Source::Live));
    }
}

fn line(ui: &mut Ui, ctx: PanelCtx<'_>, trace: &Trace, chosen: bool) {
    let tokens = theme::of(ui);
    let pinned = ctx.baseline().is_some_and(|baseline| baseline.id == trace.id);
    let name = match pinned {
        true => format!("{}, pinned as baseline", trace.title()),
        false => trace.title().into_owned(),
    };
    let (rect, response) = row(ui, 24.0, chosen, &name);
    let picture = match (&trace.origin, pinned) {
        (_, true) => icon::ICON_PUSH_PIN,
        (Origin::Replay(_), false) => icon::ICON_REPLAY,
        (Origin::File(_) | Origin::Imported(..), false) => icon::ICON_DESCRIPTION,
    };
    let mut picture_rect = rect;
    picture_rect.set_left(rect.left() + 5.0);
    picture_rect.set_width(16.0);
    let color = if pinned { tokens.accent } else { tokens.text_weak };
    text_in(ui, picture_rect, Align::Min, picture.codepoint, icon_font(14.0), color);
    words(ui, rect, &trace.title(), trace.rows().len() as u64, chosen);
    if response.clicked() {
        ctx.change(Change::Source(Source::Trace(trace.id)));
    }
    let tooltip = match &trace.origin {
        Origin::File(path) | Origin::Imported(path, _) => path.display().to_string(),
        Origin::Replay(_) => format!("{}: save it to keep it", trace.title()),
    };
    response.hint(tooltip).context_menu(|ui| {
        // It is shown then, so that it is what is replayed.
        let chosen = ctx.chosen_plugin().filter(|_| !ctx.now.into_all);
        let into = chosen.map_or_else(|| "all plugins".to_owned(), |one| ctx.name_of(one));
        let into = format!("Replay into {into}");
        let is_possible = ctx.now.plugin && !ctx.now.replay;
        if ui.add_enabled(is_possible, egui::Button::new(plain(into))).clicked() {
            ctx.change(Change::Source(Source::Trace(trace.id)));
            ctx.run(Verb::Replay);
        }
        let pin = if pinned { "Unpin" } else { "Pin as baseline" };
        if ui.button(pin).clicked() {
            ctx.command(Command::Pin((!pinned).then_some(trace.id)));
        }
        if let Some(baseline) = ctx.baseline().filter(|baseline| baseline.id != trace.id)
            && ui.button(plain(format!("Compare with {}", baseline.name))).clicked()
        {
            ctx.command(Command::Diff {
                before: baseline.id,
                after: trace.id,
                options: DiffOptions::default(),
            });
            ctx.change(Change::Show(PanelId::Diff));
        }
        if let Some(accepted) = ctx.accepted()
            && ui.button(plain(format!("Compare with {}", accepted.name()))).clicked()
        {
            ctx.command(Command::CompareWithBaseline(trace.id));
            ctx.change(Change::Show(PanelId::Diff));
        }
        ui.separator();
        if ui.button("Save…").clicked() {
            ctx.change(Change::Source(Source::Trace(trace.id)));
            ctx.run(Verb::SaveTrace);
        }
        if ui.button("Close").clicked() {
            ctx.command(Command::CloseTrace(trace.id));
        }
    });
}

/// The file that replays are compared with.
fn baseline_file(ui: &mut Ui, ctx: PanelCtx<'_>, accepted: &Accepted) {
    let tokens = theme::of(ui);
    let name = accepted.name();
    let (rect, response) = row(ui, 24.0, false, &format!("{name}, baseline of replays"));
    let mut picture = rect;
    picture.set_left(rect.left() + 5.0);
    picture.set_width(16.0);
    let codepoint = icon::ICON_FACT_CHECK.codepoint;
    text_in(ui, picture, Align::Min, codepoint, icon_font(14.0), tokens.accent);
    words(ui, rect, &name, accepted.calls() as u64, false);
    if response.clicked() {
        ctx.change(Change::Show(PanelId::Diff));
    }
    let tooltip = format!("Every replay is compared with {}", accepted.path.display());
    response.hint(tooltip).context_menu(|ui| {
        if ui.button("Close baseline").clicked() {
            ctx.run(Verb::CloseBaseline);
        }
    });
}

fn words(ui: &Ui, rect: egui::Rect, name: &str, frames: u64, chosen: bool) {
    let tokens = theme::of(ui);
    let body = egui::TextStyle::Body.resolve(ui.style());
    let mut inner = rect.shrink2(vec2(8.0, 0.0));
    let count = text_in(ui, inner, Align::Max, &thousands(frames), body.clone(), tokens.text_weak);
    inner.set_left(rect.left() + 24.0);
    inner.set_right(inner.right() - count - 8.0);
    let color = if chosen { tokens.text_strong } else { tokens.text };
    text_in(ui, inner, Align::Min, name, body, color);
}
