//! Finds commands, plugins, traces and frames by name.

use egui::{Align, Key, Modal, RichText, ScrollArea, vec2};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use super::action::{Action, Actions, Change};
use super::commands::{Situation, TABLE};
use super::theme;
use super::widgets::{icon_font, named_field, row, text_in};
use crate::workbench::{RowRef, Source, ViewCtx};

/// The open palette.
#[derive(Debug)]
pub(super) struct Palette {
    text: String,
    places: bool,
    chosen: usize,
}

/// Something that can be found.
#[derive(Debug, Clone)]
struct Item {
    name: String,
    detail: String,
    keys: String,
    picture: MaterialIcon,
    action: Action,
}

impl Palette {
    /// A palette of commands, or of places to go to.
    pub(super) fn new(places: bool) -> Palette {
        Palette { text: String::new(), places, chosen: 0 }
    }

    /// Paints it; false if it is to be closed.
    pub(super) fn show(
        &mut self,
        ui: &mut egui::Ui,
        ctx: ViewCtx<'_>,
        source: Source,
        now: &Situation,
        out: &mut Actions,
    ) -> bool {
        let items = match self.places {
            true => places(ctx, source, &self.text),
            false => commands(now),
        };
        let found = rank(&items, &self.text);
        self.chosen = self.chosen.min(found.len().saturating_sub(1));
        let (down, up, enter) = ui.input_mut(|input| {
            let none = egui::Modifiers::NONE;
            (
                input.consume_key(none, Key::ArrowDown),
                input.consume_key(none, Key::ArrowUp),
                input.consume_key(none, Key::Enter),
            )
        });
        if down {
            self.chosen = (self.chosen + 1).min(found.len().saturating_sub(1));
        }
        if up {
            self.chosen = self.chosen.saturating_sub(1);
        }
        let mut picked = enter.then(|| found.get(self.chosen)).flatten().copied();
        let area = Modal::default_area(egui::Id::unique("palette"))
            .anchor(egui::Align2::CENTER_TOP, vec2(0.0, 40.0));
        let modal = Modal::new(egui::Id::unique("palette")).area(area).show(ui, |ui| {
            ui.set_width(ui.ctx().content_rect().width().min(560.0) - 32.0);
            let hint = match self.places {
                true => "Go to a plugin, a trace or a frame number…",
                false => "Run a command…",
            };
            let field = egui::TextEdit::singleline(&mut self.text)
                .hint_text(hint)
                .desired_width(f32::INFINITY)
                .margin(8.0);
            let response = named_field(ui.add(field), "Search or run a command");
            response.request_focus();
            if response.changed() {
                self.chosen = 0;
            }
            ui.add_space(4.0);
            ui.spacing_mut().item_spacing.y = 1.0;
            ScrollArea::vertical().max_height(360.0).auto_shrink([false, true]).show(ui, |ui| {
                for (position, index) in found.iter().enumerate().take(100) {
                    if line(ui, &items[*index], position == self.chosen, down || up) {
                        picked = Some(*index);
                    }
                }
                if found.is_empty() {
                    ui.label(RichText::new("Nothing has this name").color(theme::of(ui).text_weak));
                }
            });
        });
        if let Some(item) = picked.and_then(|index| items.get(index)) {
            match item.action.clone() {
                Action::Run(verb) => out.run(verb),
                Action::Do(command) => out.command(command),
                Action::View(change) => out.view(change),
            }
            return false;
        }
        !modal.should_close()
    }
}

fn line(ui: &mut egui::Ui, item: &Item, chosen: bool, moved: bool) -> bool {
    let tokens = theme::of(ui);
    let (rect, response) = row(ui, 28.0, chosen, &item.name);
    if chosen && moved {
        response.scroll_to_me(None);
    }
    let mut inner = rect.shrink2(vec2(8.0, 0.0));
    let mut picture = inner;
    picture.set_width(20.0);
    text_in(ui, picture, Align::Min, item.picture.codepoint, icon_font(16.0), tokens.text_weak);
    let body = egui::TextStyle::Body.resolve(ui.style());
    text_in(ui, inner, Align::Max, &item.keys, body.clone(), tokens.text_weak);
    inner.set_left(inner.left() + 28.0);
    let color = if chosen { tokens.text_strong } else { tokens.text };
    let name = ui.painter().layout_no_wrap(item.name.clone(), body.clone(), color);
    let mut detail = inner;
    detail.set_left(inner.left() + name.size().x + 12.0);
    detail.set_right(inner.right() - 96.0);
    text_in(ui, inner, Align::Min, &item.name, body.clone(), color);
    text_in(ui, detail, Align::Min, &item.detail, body, tokens.text_weak);
    response.clicked()
}

fn commands(now: &Situation) -> Vec<Item> {
    let able = TABLE.iter().filter(|entry| (entry.enabled)(now));
    able.map(|entry| Item {
        name: entry.name.to_owned(),
        detail: entry.tooltip.to_owned(),
        keys: entry.shortcut().unwrap_or_default(),
        picture: entry.icon,
        action: Action::Run(entry.verb),
    })
    .collect()
}

fn places(ctx: ViewCtx<'_>, source: Source, text: &str) -> Vec<Item> {
    let plugin = |plugin: &glovebox_host::PluginStatus| Item {
        name: plugin.manifest.plugin.id.clone(),
        detail: format!("plugin, {}", plugin.phase),
        keys: String::new(),
        picture: icon::ICON_EXTENSION,
        action: Action::View(Change::SelectPlugin(plugin.instance)),
    };
    let trace = |trace: &crate::workbench::Trace| Item {
        name: trace.name.clone(),
        detail: format!("trace, {} frames", trace.rows().len()),
        keys: String::new(),
        picture: icon::ICON_DESCRIPTION,
        action: Action::View(Change::Source(Source::Trace(trace.id))),
    };
    let mut items: Vec<_> = ctx.plugins().iter().map(plugin).collect();
    items.extend(ctx.traces().iter().map(trace));
    let number = text.trim().trim_start_matches('#').parse().ok();
    let row = number.map(glovebox_inspector::store::RowId);
    let there =
        row.filter(|row| ctx.rows(source, |rows| rows.index_of(*row).is_some()) == Some(true));
    let time = glovebox_abi::units::parse_duration(text.trim().trim_start_matches('+')).ok();
    let then = time.and_then(|time| ctx.rows(source, |rows| rows.row_at(time)).flatten());
    let to_row = |row, detail: &str| Item {
        name: text.trim().to_owned(),
        detail: detail.to_owned(),
        keys: String::new(),
        picture: icon::ICON_TABLE_ROWS,
        action: Action::View(Change::Select(RowRef { source, row })),
    };
    items.extend(there.map(|row| to_row(row, "frame")));
    items.extend(then.map(|row| to_row(row, "time since the start")));
    items
}

/// Positions of the items that match, the best first; all in their order for an empty text.
fn rank(items: &[Item], text: &str) -> Vec<usize> {
    if text.trim().is_empty() {
        return (0..items.len()).collect();
    }
    let pattern = Pattern::parse(text, CaseMatching::Smart, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buffer = Vec::new();
    let mut scored: Vec<_> = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| {
            let name = Utf32Str::new(&item.name, &mut buffer);
            let by_name = pattern.score(name, &mut matcher).map(|score| score * 2);
            let detail = Utf32Str::new(&item.detail, &mut buffer);
            let score = by_name.or_else(|| pattern.score(detail, &mut matcher))?;
            Some((index, score))
        })
        .collect();
    scored.sort_by_key(|(index, score)| (std::cmp::Reverse(*score), *index));
    scored.into_iter().map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_by_parts_of_their_names() {
        fn check(text: &str, expected: &str) {
            let now =
                Situation { plugin: true, baseline: true, trace: true, ..Situation::default() };
            let items = commands(&now);
            let best = rank(&items, text)[0];
            assert_eq!(items[best].name, expected);
        }
        check("recold", "Reload cold");
        check("opentr", "Open trace…");
        check("metr", "Metrics");
        check("zoom out", "Zoom out");
    }
}
