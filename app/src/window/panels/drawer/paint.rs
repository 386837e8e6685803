//! Paints the tabs of the drawer and the list of the one in front.

use egui::{Align, ScrollArea, Ui, pos2, vec2};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;
use glovebox_inspector::findings::{RULES, Severity};
use glovebox_inspector::store::StoreLimits;

use super::model::{Counts, Denied, Line, Sign, State};
use crate::window::action::Change;
use crate::window::commands::Verb;
use crate::window::context::PanelCtx;
use crate::window::ids::DrawerTab;
use crate::window::panels::allow::{allow_button, can_allow};
use crate::window::panels::reloads;
use crate::window::theme::{self, Tone};
use crate::window::widgets::figures::{since_when, thousands};
use crate::window::widgets::text::{self, Hint, plain};
use crate::window::widgets::{
    chip, icon_font, name_in, put_over, row, sentence_in, text_in, width_of,
};
use crate::workbench::{Command, RowRef, Source};

/// Height of a line, in points.
const LINE: f32 = 20.0;

/// Paints the drawer.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    ui.horizontal(|ui| {
        ui.set_height(24.0);
        ui.spacing_mut().item_spacing.x = 2.0;
        tabs(ui, ctx, state);
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            source_of_lists(ui, ctx, state.origin);
            match state.tab {
                DrawerTab::Problems => severities(ui, ctx),
                DrawerTab::Log | DrawerTab::Denied | DrawerTab::Reloads => {}
            }
        });
    });
    match state.tab {
        DrawerTab::Log => {
            let empty = nothing(ctx, "No plugin wrote anything with the service log");
            lines(ui, ctx, state, "log", &empty);
        }
        DrawerTab::Problems => {
            let left_out = ctx.digest.failures_left_out;
            if left_out > 0 {
                let text = format!(
                    "{} earlier calls that failed are left out; the filter status:error shows all",
                    thousands(left_out)
                );
                ui.label(plain(text).color(theme::of(ui).text_weak));
            }
            let empty = match ctx.findings(ctx.source()) {
                Some(_) => nothing(ctx, "Nothing went wrong"),
                None => {
                    format!(
                        "{} was not looked over by the rules yet",
                        ctx.source_name(ctx.source())
                    )
                }
            };
            lines(ui, ctx, state, "problems", &empty);
        }
        DrawerTab::Denied => {
            let empty = nothing(ctx, "Nothing was denied");
            lines(ui, ctx, state, "denied", &empty);
        }
        DrawerTab::Reloads => history(ui, ctx, state),
    }
}

/// The count of a tab; a list that is full holds the latest entries only.
fn count_in(count: usize, most: usize) -> String {
    match count {
        0 => String::new(),
        count if count < most => format!(" {}", thousands(count as u64)),
        count => format!(" {}+", thousands(count as u64)),
    }
}

fn tabs(ui: &mut Ui, ctx: PanelCtx<'_>, state: &State) {
    let tokens = theme::of(ui);
    let Counts { log, problems, denied } = state.counts;
    let count = |count: usize| count_in(count, StoreLimits::default().list);
    for (tab, name) in [
        (DrawerTab::Log, format!("Log{}", count(log))),
        (DrawerTab::Problems, format!("Problems{}", count_in(problems, usize::MAX))),
        (DrawerTab::Denied, format!("Denied{}", count(denied))),
        (DrawerTab::Reloads, "Reload history".to_owned()),
    ] {
        let chosen = state.tab == tab;
        let color = if chosen { tokens.text_strong } else { tokens.text_weak };
        let text = plain(&name).font(theme::medium(11.5)).color(color);
        let button = egui::Button::new(text).selected(false).frame_when_inactive(false);
        let response = ui.add(button);
        if chosen {
            let rect = response.rect;
            ui.painter().hline(
                rect.shrink2(vec2(8.0, 0.0)).x_range(),
                rect.bottom(),
                egui::Stroke::new(2.0, tokens.accent),
            );
        }
        response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Tab, true, chosen, &name));
        if response.clicked() {
            ctx.change(Change::Drawer(tab));
        }
    }
}

/// Says whose lists these are, and what was denied elsewhere meanwhile.
fn source_of_lists(ui: &mut Ui, ctx: PanelCtx<'_>, origin: Option<u64>) {
    let source = ctx.source();
    let text = plain(format!("of {}", ctx.source_name(source)));
    let hint = format!(
        "Times are {}, as in the list of frames; what the workbench says goes by the clock",
        since_when(origin)
    );
    ui.label(text.color(theme::of(ui).text_weak)).hint(hint);
    let denied = if source == Source::Live { 0 } else { ctx.denied_live() };
    if denied > 0 {
        let text = format!("{} denied live", thousands(denied as u64));
        if chip(ui, true, &text, Tone::Warn)
            .hint("Show them in place of those of the trace")
            .clicked()
        {
            ctx.change(Change::Source(Source::Live));
            ctx.change(Change::Drawer(DrawerTab::Denied));
        }
    }
}

/// Why a list is empty: nothing is said of what was not looked at.
fn nothing(ctx: PanelCtx<'_>, what: &str) -> String {
    let source = ctx.source();
    let name = ctx.source_name(source);
    match (source, ctx.is_looked_over(source)) {
        (Source::Live, _) => format!("{what} live so far"),
        (Source::Trace(_), true) => format!("{what} in {name}"),
        (Source::Trace(_), false) => {
            format!("Not known before the whole of {name} was looked over")
        }
    }
}

/// The lines that are seen, newest last.
fn lines(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State, name: &str, empty: &str) {
    if state.lines.len() == 0 {
        ui.label(plain(empty).color(theme::of(ui).text_weak));
        return;
    }
    ui.spacing_mut().item_spacing.y = 0.0;
    let (mut clicked, mut is_focused) = (None, false);
    let area = ScrollArea::vertical()
        .id_salt(name)
        .auto_shrink([false, false])
        // A kind that is opened stays where it was clicked.
        .stick_to_bottom(state.open.is_empty())
        .show_rows(ui, LINE, state.lines.len(), |ui, range| {
            for position in range.clone() {
                match state.lines.get(position) {
                    Some(one) => {
                        let painted = line(ui, ctx, one, state.allow_newest);
                        is_focused |= painted.is_focused;
                        if painted.is_clicked {
                            clicked = one.group.clone();
                        }
                    }
                    None => {
                        ui.add_space(LINE);
                    }
                }
            }
            range
        });
    if let Some(kind) = &clicked
        && !state.open.remove(kind)
    {
        state.open.insert(kind.clone());
    }
    state.allow_newest &= !is_focused;
    if state.lines.see(area.inner) || clicked.is_some() {
        ui.ctx().request_repaint();
    }
}

fn picture_of(sign: Sign) -> (Tone, MaterialIcon) {
    match sign {
        Sign::Detail => (Tone::Neutral, icon::ICON_BUG_REPORT),
        Sign::Info => (Tone::Info, icon::ICON_INFO),
        Sign::Warning => (Tone::Warn, icon::ICON_WARNING),
        Sign::Error => (Tone::Bad, icon::ICON_ERROR),
        Sign::Denied => (Tone::Warn, icon::ICON_BLOCK),
        Sign::Ended(look) => look,
    }
}

/// The result of painting a line.
struct Painted {
    is_clicked: bool,
    /// Its button that allows something got the focus.
    is_focused: bool,
}

/// With `focus`, its button that allows something gets the focus: of several, the last one.
fn line(ui: &mut Ui, ctx: PanelCtx<'_>, line: &Line, focus: bool) -> Painted {
    let tokens = theme::of(ui);
    let (rect, response) = row(ui, LINE, false, &format!("{} {}", line.plugin, line.text));
    let body = egui::TextStyle::Body.resolve(ui.style());
    let mut left = rect.left() + 4.0;
    let mut cell = |width: f32| {
        let cell = egui::Rect::from_min_size(pos2(left, rect.top()), vec2(width, rect.height()));
        left += width + 8.0;
        cell
    };
    let (tone, picture) = picture_of(line.sign);
    // A long time moves the rest of its line.
    let at = cell(width_of(ui, &line.at.text, body.clone()).ceil().max(84.0));
    let (sign, plugin) = (cell(14.0), cell(96.0));
    left += if line.is_member { 16.0 } else { 0.0 };
    text_in(ui, at, Align::Min, &line.at.text, body.clone(), tokens.text_weak);
    text_in(ui, sign, Align::Min, picture.codepoint, icon_font(13.0), tokens.tone(tone));
    name_in(ui, plugin, &line.plugin, body.clone(), tokens.text_weak);
    let is_key =
        |input: &mut egui::InputState| input.consume_key(egui::Modifiers::NONE, egui::Key::A);
    let focus = focus || (line.allow.is_some() && response.has_focus() && ui.input_mut(is_key));
    let (rest, is_focused) = allow(ui, ctx, line, rect.with_min_x(left), focus);
    let rest = bundle(ui, ctx, line, rest);
    let in_one_line = text::lines(&line.text).replace('\n', " ");
    sentence_in(ui, rest, &in_one_line, body, tokens.text);
    let go_to = |row| ctx.change(Change::Select(RowRef { source: ctx.source(), row }));
    let is_clicked = response.clicked();
    if let (true, Some(row), None) = (is_clicked, line.row, &line.group) {
        go_to(row);
    }
    let hint = match line.at.clock.as_str() {
        "" => line.text.clone(),
        clock => format!("{}\n{clock}", line.text),
    };
    response.hint(hint).context_menu(|ui| {
        for row in &line.rows {
            if ui.button(format!("Go to frame {}", row.0)).clicked() {
                go_to(*row);
            }
        }
        if ui.button("Copy").clicked() {
            ctx.change(Change::Copy(line.text.clone()));
        }
    });
    Painted { is_clicked, is_focused }
}

/// The button that allows what was denied, if it still can; gives the place that is left, and whether
/// the button got the focus.
fn allow(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    line: &Line,
    place: egui::Rect,
    focus: bool,
) -> (egui::Rect, bool) {
    let allow = line.allow.and_then(|Denied { instance, permission, number }| {
        let plugin = ctx.plugin(instance)?;
        can_allow(plugin, permission).then_some((plugin, permission, number))
    });
    let Some((plugin, permission, number)) = allow else {
        return (place, false);
    };
    let (rest, button) = place.split_left_right_at_x(place.right() - 76.0);
    let place =
        egui::UiBuilder::new().max_rect(button).layout(egui::Layout::left_to_right(Align::Center));
    let response = allow_button(&mut ui.new_child(place), ctx, number, plugin, permission);
    if let Some(response) = response.as_ref().filter(|_| focus) {
        response.request_focus();
    }
    (rest, focus && response.is_some())
}

/// The button that writes a bundle about a failure, if its plugin is still there; gives the place that is
/// left.
fn bundle(ui: &mut Ui, ctx: PanelCtx<'_>, line: &Line, place: egui::Rect) -> egui::Rect {
    let Some(plugin) = line.failed.and_then(|instance| ctx.plugin(instance)) else {
        return place;
    };
    let (rest, button) = place.split_left_right_at_x(place.right() - 76.0);
    let text = plain("Bundle…").font(theme::medium(11.5));
    let response = put_over(ui, button, egui::Button::new(text).small());
    let name = format!("Save failure bundle of {}", ctx.name_of(plugin));
    let shown = text::line(&name).into_owned();
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &shown));
    if response.hint(name).clicked() {
        ctx.change(Change::SelectPlugin(plugin.instance));
        ctx.run(Verb::SaveBundle);
    }
    rest
}

/// How severe the findings of each rule are, to be changed.
fn severities(ui: &mut Ui, ctx: PanelCtx<'_>) {
    let known = ctx.severities();
    let name = |severity: Option<Severity>| severity.map_or("off", Severity::name);
    ui.menu_button("Severities", |ui| {
        for rule in RULES {
            let title = format!("{}: {}", rule.id(), name(known.of(*rule)));
            ui.menu_button(title, |ui| {
                let choices = Severity::ALL.map(Some).into_iter().chain([None]);
                let usual = (None, format!("as the rule says: {}", rule.severity()));
                let choices = choices.map(|severity| (Some(severity), name(severity).to_owned()));
                for (setting, title) in [usual].into_iter().chain(choices) {
                    let is_set = known.setting(*rule) == setting;
                    if ui.selectable_label(is_set, title).clicked() {
                        let mut severities = known.clone();
                        severities.put(*rule, setting);
                        ctx.command(Command::SetSeverities(severities));
                    }
                }
            })
            .response
            .hint(rule.describe());
        }
    });
}

fn history(ui: &mut Ui, ctx: PanelCtx<'_>, state: &State) {
    if state.reloads.is_empty() {
        let text = nothing(ctx, "No plugin was reloaded");
        ui.label(plain(text).color(theme::of(ui).text_weak));
        return;
    }
    ScrollArea::both().id_salt("reload history").auto_shrink([false, false]).show(ui, |ui| {
        let reloads = state.reloads.iter().map(|(name, reload)| (Some(name.as_str()), reload));
        reloads::grid(ui, "reload history", state.origin, reloads);
        for plugin in ctx.plugins() {
            for left in &plugin.remains.left_behind {
                let text = format!("Left behind by {}: {left}", ctx.name_of(plugin));
                ui.label(plain(text).color(theme::of(ui).tone(Tone::Warn)));
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_may_have_had_more() {
        for (count, expected) in [(0, ""), (4, " 4"), (9, " 9"), (10, " 10+")] {
            assert_eq!(count_in(count, 10), expected);
        }
    }
}
