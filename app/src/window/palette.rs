//! Finds commands, plugins, traces and frames by name.

use egui::{Align, Key, Modal, Rect, ScrollArea, vec2};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;
use glovebox_abi::units::parse_duration;
use glovebox_inspector::store::RowId;
use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use super::action::{Action, Change};
use super::commands::{Entry, Menu, Situation, TABLE};
use super::context::PanelCtx;
use super::look::standing;
use super::theme;
use super::widgets::{icon_font, named_field, row, text_in};
use crate::window::widgets::text::{line, plain};
use crate::workbench::{Reader, RowRef, Source, ViewCtx};

/// The open palette.
#[derive(Debug, Default)]
pub(super) struct Palette {
    text: String,
    places: bool,
    /// The item that arrows led to; before, it is the first one.
    moved: Option<usize>,
    is_painted: bool,
    /// Frames that the text names, and in what way.
    rows: Vec<(RowId, &'static str)>,
}

/// Something that can be found.
#[derive(Debug, Clone)]
struct Item {
    name: String,
    detail: String,
    keys: String,
    picture: MaterialIcon,
    action: Action,
    /// True if it destroys, weakens or trusts.
    risky: bool,
    /// The menu it is in.
    menu: &'static str,
    /// False if it cannot be done now.
    enabled: bool,
}

/// Height of an item with the gap below it, in points.
const ITEM: f32 = 29.0;
/// The most height of all items.
const HEIGHT: f32 = 360.0;
/// Items that are listed.
const LISTED: usize = 100;

impl Palette {
    /// A palette of commands, or of places to go to.
    pub(super) fn new(places: bool) -> Palette {
        Palette { places, ..Palette::default() }
    }

    /// Looks for frames that the text names.
    pub(super) fn take_in(&mut self, reader: Reader<'_>, source: Source) {
        self.rows.clear();
        if !self.places {
            return;
        }
        let text = self.text.trim();
        let row = text.trim_start_matches('#').parse().ok().map(RowId);
        let time = parse_duration(text.trim_start_matches('+')).ok();
        reader.rows(source, |rows| {
            let there = row.filter(|row| rows.index_of(*row).is_some());
            self.rows.extend(there.map(|row| (row, "frame")));
            let then = time.and_then(|time| rows.row_at(time));
            self.rows.extend(then.map(|row| (row, "time since the start")));
        });
    }

    /// Paints it; false if it is to be closed.
    pub(super) fn show(&mut self, ui: &mut egui::Ui, ctx: PanelCtx<'_>) -> bool {
        let items = match self.places {
            true => places(ctx.view, ctx.source(), &self.text, &self.rows),
            false => commands(ctx.now),
        };
        let found = rank(&items, &self.text);
        let (down, up, enter) = ui.input_mut(|input| {
            let none = egui::Modifiers::NONE;
            (
                input.count_and_consume_key(none, Key::ArrowDown),
                input.count_and_consume_key(none, Key::ArrowUp),
                input.consume_key(none, Key::Enter),
            )
        });
        let last = found.len().min(LISTED).saturating_sub(1);
        let mut chosen = self.moved.or(first(&items, &found, &self.text)).map(|at| at.min(last));
        for _ in 0..down {
            chosen = Some(chosen.map_or(0, |at| (at + 1).min(last)));
        }
        chosen = chosen.map(|at| at.saturating_sub(up));
        let moves = down + up > 0;
        if moves {
            self.moved = chosen;
        }
        let at_chosen = chosen.and_then(|at| found.get(at)).copied();
        let mut picked = at_chosen.filter(|index| enter && items[*index].enabled);
        let area = Modal::default_area(egui::Id::unique("palette"))
            .anchor(egui::Align2::CENTER_TOP, vec2(0.0, 40.0));
        let modal = Modal::new(egui::Id::unique("palette")).area(area).show(ui, |ui| {
            let room = ui.ctx().content_rect();
            ui.set_width(room.width().min(560.0) - 32.0);
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
            let is_new = response.changed() || !self.is_painted;
            self.is_painted = true;
            if response.changed() {
                self.moved = None;
                // The matches of the new text are found before the next frame.
                ui.ctx().request_repaint();
            }
            ui.add_space(4.0);
            ui.spacing_mut().item_spacing.y = 1.0;
            // As high as the items, whatever the size was before.
            let height = (found.len().clamp(1, LISTED) as f32 * ITEM).min(HEIGHT);
            let height = height.min(room.height() - 128.0);
            let mut area = ScrollArea::vertical()
                .max_height(height)
                .min_scrolled_height(height)
                .auto_shrink([false, false]);
            if is_new {
                area = area.vertical_scroll_offset(0.0);
            }
            area.show(ui, |ui| {
                for (position, index) in found.iter().enumerate().take(LISTED) {
                    let is_chosen = chosen == Some(position);
                    let is_clicked = item_line(ui, &items[*index], is_chosen, moves);
                    if is_clicked && items[*index].enabled {
                        picked = Some(*index);
                    }
                }
                if found.is_empty() {
                    ui.label(plain("Nothing has this name").color(theme::of(ui).text_weak));
                }
            });
        });
        if let Some(item) = picked.and_then(|index| items.get(index)) {
            ctx.asked.add(item.action.clone());
            return false;
        }
        !modal.should_close()
    }
}

fn item_line(ui: &mut egui::Ui, item: &Item, chosen: bool, moved: bool) -> bool {
    let tokens = theme::of(ui);
    let (rect, response) = row(ui, 28.0, chosen, &item.name);
    if chosen && moved {
        response.scroll_to_me(None);
    }
    let mut inner = rect.shrink2(vec2(8.0, 0.0));
    let mut picture = inner;
    picture.set_width(20.0);
    let tone = if item.risky { tokens.warn } else { tokens.text_weak };
    text_in(ui, picture, Align::Min, item.picture.codepoint, icon_font(16.0), tone);
    let body = egui::TextStyle::Body.resolve(ui.style());
    let keys = text_in(ui, inner, Align::Max, &item.keys, body.clone(), tokens.text_weak);
    inner.set_left(inner.left() + 28.0);
    let color = match (item.enabled, chosen) {
        (false, _) => tokens.text_faint,
        (true, true) => tokens.text_strong,
        (true, false) => tokens.text,
    };
    let name = ui.painter().layout_no_wrap(line(&item.name).into_owned(), body.clone(), color);
    let (name, detail) = places_of(inner, name.size().x, keys);
    text_in(ui, name, Align::Min, &item.name, body.clone(), color);
    if let Some(detail) = detail {
        text_in(ui, detail, Align::Min, &item.detail, body, tokens.text_weak);
    }
    response.clicked()
}

/// The places of name and detail before the keys of an item, by the widths of name and keys: none is
/// painted over another. The name goes first; without room for it there is no detail.
fn places_of(line: Rect, name: f32, keys: f32) -> (Rect, Option<Rect>) {
    const GAP: f32 = 12.0;
    /// The room that keys have, so that details end at one line.
    const KEYS: f32 = 96.0;
    let right = line.right() - if keys > 0.0 { keys + GAP } else { 0.0 };
    let from = line.left() + name + GAP;
    let to = right.min(line.right() - KEYS);
    let detail = (from < to).then(|| line.with_min_x(from).with_max_x(to));
    (line.with_max_x(right), detail)
}

fn commands(now: &Situation) -> Vec<Item> {
    let item = |entry: &Entry| {
        let (name, tooltip) = entry.now(now);
        let why_not = entry.why_not(now);
        let enabled = why_not.is_none();
        let detail = match why_not {
            Some(_) => format!("not now: needs {}", entry.needs.unwrap_or_default()),
            None => tooltip.replace('\n', ". "),
        };
        Item { enabled, name: name.into_owned(), detail, ..command(entry) }
    };
    TABLE.iter().map(item).collect()
}

fn command(entry: &Entry) -> Item {
    Item {
        name: entry.name.to_owned(),
        detail: entry.tooltip.to_owned(),
        keys: entry.shortcut().unwrap_or_default(),
        picture: entry.icon,
        action: Action::Run(entry.verb),
        risky: entry.asks.is_some(),
        menu: Menu::ALL.iter().find(|(menu, _)| *menu == entry.menu).map_or("", |(_, name)| name),
        enabled: true,
    }
}

fn places(
    ctx: ViewCtx<'_>,
    source: Source,
    text: &str,
    rows: &[(RowId, &'static str)],
) -> Vec<Item> {
    let plugin = |plugin: &glovebox_host::PluginStatus| Item {
        name: ctx.name_of(plugin),
        detail: format!("plugin, {}", standing(ctx, plugin).text),
        keys: String::new(),
        picture: icon::ICON_EXTENSION,
        action: Action::View(Change::SelectPlugin(plugin.instance)),
        risky: false,
        menu: "",
        enabled: true,
    };
    let trace = |trace: &crate::workbench::Trace| Item {
        name: trace.name.clone(),
        detail: format!("trace, {} frames", trace.rows().len()),
        keys: String::new(),
        picture: icon::ICON_DESCRIPTION,
        action: Action::View(Change::Source(Source::Trace(trace.id))),
        risky: false,
        menu: "",
        enabled: true,
    };
    let live = ctx.live().frames;
    let live = Item {
        name: "Live frames".to_owned(),
        detail: format!("what happens now, {live} frames"),
        keys: String::new(),
        picture: icon::ICON_SENSORS,
        action: Action::View(Change::Source(Source::Live)),
        risky: false,
        menu: "",
        enabled: true,
    };
    let mut items = vec![live];
    items.extend(ctx.plugins().iter().map(plugin));
    items.extend(ctx.traces().iter().map(trace));
    let to_row = |row, detail: &str| Item {
        name: text.trim().to_owned(),
        detail: detail.to_owned(),
        keys: String::new(),
        picture: icon::ICON_TABLE_ROWS,
        action: Action::View(Change::Select(RowRef { source, row })),
        risky: false,
        menu: "",
        enabled: true,
    };
    items.extend(rows.iter().map(|(row, detail)| to_row(*row, detail)));
    items
}

/// The item that Enter picks before arrows are used. One that destroys, weakens or trusts is picked
/// by its first word alone, because a person who wrote something else did not mean it.
fn first(items: &[Item], found: &[usize], text: &str) -> Option<usize> {
    let item = items.get(*found.first()?)?;
    (item.enabled && (!item.risky || is_named(item, text))).then_some(0)
}

/// True if a text has the start of the first word of a name.
fn is_named(item: &Item, text: &str) -> bool {
    let name = item.name.to_lowercase();
    let verb = name.split(' ').next().unwrap_or_default();
    let text = text.to_lowercase();
    text.split_whitespace().any(|word| word.len() >= 3 && verb.starts_with(word))
}

/// Positions of the items that match, the best first; all in their order for an empty text.
fn rank(items: &[Item], text: &str) -> Vec<usize> {
    // Longer than any name.
    let text: String = text.trim().chars().take(200).collect();
    // Names end with the one character, and people type three.
    let text = text.replace("...", "…");
    if text.is_empty() {
        let (enabled, disabled): (Vec<_>, Vec<_>) =
            (0..items.len()).partition(|at| items[*at].enabled);
        return [enabled, disabled].concat();
    }
    let mut matching = Matching::new(&text);
    let mut found: Vec<_> = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| {
            let (how, score) = matching.of(item)?;
            let is_unwanted = item.risky && !is_named(item, &text);
            // Of names that match as well, the one with the least besides.
            Some((
                is_unwanted,
                !item.enabled,
                how,
                std::cmp::Reverse(score),
                item.name.len(),
                index,
            ))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(.., index)| index).collect()
}

/// How an item matches, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    /// Every word that was typed begins a word of the name.
    Words,
    /// Every word that was typed is a part of the name.
    Parts,
    /// The typed text is made of starts of words of the name, in their order.
    Starts,
    /// Every word that was typed is a word of the description, or the menu.
    Description,
}

/// A text that names are compared with.
struct Matching {
    words: Vec<String>,
    pattern: Pattern,
    matcher: Matcher,
}

impl Matching {
    fn new(text: &str) -> Matching {
        let (case, normal) = (CaseMatching::Ignore, Normalization::Smart);
        Matching {
            words: words(text).collect(),
            pattern: Pattern::new(text, case, normal, AtomKind::Fuzzy),
            matcher: Matcher::new(Config::DEFAULT),
        }
    }

    fn of(&mut self, item: &Item) -> Option<(How, u32)> {
        let (mut buffer, mut at) = (Vec::new(), Vec::new());
        let name = Utf32Str::new(&item.name, &mut buffer);
        let score = self.pattern.indices(name, &mut self.matcher, &mut at);
        let lower = item.name.to_lowercase();
        let all = |is: &dyn Fn(&str) -> bool| {
            !self.words.is_empty() && self.words.iter().all(|word| is(word))
        };
        if let Some(score) = score {
            if all(&|word| words(&lower).any(|own| own.starts_with(word))) {
                return Some((How::Words, score));
            }
            if all(&|word| lower.contains(word)) {
                return Some((How::Parts, score));
            }
            at.sort_unstable();
            at.dedup();
            // Letters scattered over a name are no match.
            let is_start = |at: u32| at == 0 || !name.get(at - 1).is_alphanumeric();
            let follows = |position: usize| position > 0 && at[position - 1] + 1 == at[position];
            if (0..at.len()).all(|position| follows(position) || is_start(at[position])) {
                return Some((How::Starts, score));
            }
        }
        let described =
            all(&|word| words(&item.detail).chain(words(item.menu)).any(|own| own == word));
        described.then_some((How::Description, 0))
    }
}

/// The words of a text in small letters.
fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::commands::Verb;

    /// Everything that can be done at all.
    fn all() -> Vec<Item> {
        TABLE.iter().map(command).collect()
    }

    #[test]
    fn commands_are_found_by_parts_of_their_names() {
        fn check(text: &str, expected: &str) {
            let items = all();
            let best = rank(&items, text)[0];
            assert_eq!(items[best].name, expected, "{text}");
        }
        check("recold", "Reload cold");
        check("opentr", "Open trace…");
        check("metr", "Metrics");
        check("zoom out", "Zoom out");
        check("show live", "Show live frames");
        check("live", "Show live frames");
        check("reload", "Reload");
        check("unload", "Unload");
        check("trust nat", "Trust native plugins");
        check("compare...", "Compare…");
        check("open trace...", "Open trace…");
    }

    #[test]
    fn nothing_of_an_item_is_painted_over_another() {
        let line = Rect::from_min_size(egui::Pos2::ZERO, vec2(500.0, 28.0));
        let check = |name: f32, keys: f32, room: f32, detail: Option<(f32, f32)>| {
            let (own, found) = places_of(line, name, keys);
            assert_eq!((own.left(), own.right()), (0.0, room), "{name} {keys}");
            assert_eq!(found.map(|one| (one.left(), one.right())), detail, "{name} {keys}");
        };
        check(100.0, 0.0, 500.0, Some((112.0, 404.0)));
        check(100.0, 40.0, 448.0, Some((112.0, 404.0)));
        check(100.0, 120.0, 368.0, Some((112.0, 368.0)));
        check(480.0, 120.0, 368.0, None);
    }

    #[test]
    fn what_cannot_be_done_now_and_menus_are_found() {
        fn check(text: &str, expected: &str, enabled: bool) {
            let items = commands(&Situation::default());
            let found = rank(&items, text);
            let best = &items[found[0]];
            assert_eq!((&*best.name, best.enabled), (expected, enabled), "{text}");
            assert_eq!(best.detail.starts_with("not now: "), !enabled, "{text}");
            assert_eq!(first(&items, &found, text).is_some(), enabled, "{text}");
        }
        check("stop", "Stop", false);
        check("roll back", "Roll back", false);
        check("help", "Keys", true);
        check("", "Open plugin…", true);
        let items = commands(&Situation::default());
        let help: Vec<_> = rank(&items, "help").into_iter().map(|at| &*items[at].name).collect();
        assert_eq!(help, ["Keys", "Doctor", "Welcome"]);
    }

    #[test]
    fn scattered_letters_and_parts_of_descriptions_are_no_match() {
        fn check(text: &str, never: &str) {
            let items = all();
            let names = rank(&items, text).into_iter().map(|at| items[at].name.clone());
            let names: Vec<_> = names.collect();
            assert!(!names.iter().any(|name| name == never), "{text}: {names:?}");
        }
        check("show live", "Trust native plugins");
        check("slow", "Next frame");
        check("ear", "Quit");
        check("wri", "Record");
        let items = all();
        // A whole word of the description is one, after all names.
        let found = rank(&items, "libraries");
        assert_eq!(
            found.iter().map(|at| &*items[*at].name).collect::<Vec<_>>(),
            ["Trust native plugins"]
        );
    }

    #[test]
    fn what_destroys_weakens_or_trusts_is_never_picked_for_other_words() {
        let items = all();
        let risky: Vec<_> = items.iter().filter(|item| item.risky).collect();
        let verbs = [Verb::ToggleTrust, Verb::ClearLive, Verb::ToggleStrict, Verb::Unload];
        for verb in verbs {
            let is_it = |item: &Item| matches!(item.action, Action::Run(known) if known == verb);
            assert!(items.iter().filter(|item| item.risky).any(is_it), "{verb:?} asks nothing");
        }
        for item in risky {
            let verb = words(&item.name).next().unwrap();
            let texts: Vec<_> = words(&item.name).skip(1).chain(words(&item.detail)).collect();
            let pairs = texts.windows(2).map(|pair| pair.join(" "));
            for text in texts.iter().cloned().chain(pairs).filter(|text| !text.contains(&verb)) {
                let found = rank(&items, &text);
                let picked = first(&items, &found, &text).and_then(|at| found.get(at));
                if let Some(picked) = picked.map(|at| &items[*at]) {
                    let is_meant = !picked.risky || is_named(picked, &text);
                    assert!(is_meant, "{text} picks {}", picked.name);
                    assert_ne!(picked.name, item.name, "{text}");
                }
            }
            assert_eq!(first(&items, &rank(&items, &verb), &verb), Some(0), "{verb} can be picked");
        }
    }
}
