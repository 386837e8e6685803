//! The frame around the panels: title bar, toolbar, sides, tabs, status bar.

use std::collections::BTreeSet;

use egui::{
    Align, CentralPanel, Frame, Layout as Direction, Margin, Panel as Side, Stroke, Ui, vec2,
};
use egui_material_icons::icons as icon;
use egui_tiles::{Tile, Tiles, Tree};
use glovebox_abi::text::cut;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_host::PolicyMode;
use glovebox_inspector::store::Store;
use glovebox_inspector::trace::RecorderStatus;

use super::action::{Actions, Change};
use super::commands::{Menu, Situation, TABLE, Verb};
use super::filter_field;
use super::guard::Guard;
use super::panels::frames::thousands;
use super::panels::{DrawerTab, PANELS, PanelId, Place};
use super::session::{Layout, Session};
use super::state::ViewState;
use super::tabs::Behavior;
use super::theme::{self, BAR, Tone};
use super::widgets::{chip, icon_button, icon_text, label, standing, verb_button};
use crate::window::widgets::text::{Hint, plain};
use crate::workbench::{Command, Source, ViewCtx};

/// The frame around the panels.
#[derive(Debug)]
pub(super) struct Shell {
    /// What is open.
    pub layout: Layout,
    /// How the centre is split.
    pub centre: Tree<PanelId>,
    /// True if the first screen is shown though there is something to see.
    pub welcome: bool,
    /// Titles of the panels that were painted.
    pub drawn: BTreeSet<&'static str>,
    /// Parts that panicked.
    pub guard: Guard,
    fitted: bool,
}

/// What the shell shows besides panels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    /// What commands depend on.
    pub now: &'a Situation,
    /// How fast the window is painted.
    pub pulse: Pulse,
    /// Files that were opened, the last one first.
    pub recent: &'a [std::path::PathBuf],
}

/// How fast the window is painted, for the status bar.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pulse {
    /// Nothing happens.
    Idle,
    /// Painted so many times a second.
    Fps(usize),
}

/// The least sizes of what lies around the centre, in points.
const DRAWER: f32 = 64.0;
const TIMELINE: f32 = 56.0;
const LEFT: f32 = 140.0;
const RIGHT: f32 = 180.0;
/// The least size of the centre: some rows of the list with what says what they are.
const CENTRE: egui::Vec2 = vec2(260.0, 190.0);

/// What of the layout there is room for, and how large it may be, in points. What there is no room
/// for comes back when there is.
#[derive(Debug, Clone, Copy)]
struct Fits {
    drawer: Option<f32>,
    timeline: Option<f32>,
    left: Option<f32>,
    right: Option<f32>,
}

impl Fits {
    fn of(room: egui::Vec2, layout: &Layout) -> Fits {
        let rest = room - CENTRE;
        let (timeline, drawer) = share(
            rest.y,
            (layout.timeline, TIMELINE, layout.timeline_size, room.y * 0.4),
            (layout.drawer, DRAWER, layout.drawer_size, room.y * 0.5),
        );
        let (left, right) = share(
            rest.x,
            (layout.left, LEFT, layout.left_size, room.x * 0.35),
            (layout.right, RIGHT, layout.right_size, room.x * 0.5),
        );
        Fits { drawer, timeline, left, right }
    }
}

/// Whether it is open, its least size, its size of the frame before, and the most it may have.
type Wish = (bool, f32, Option<f32>, f32);

/// The most that each of two may have; the first one goes before the second.
fn share(rest: f32, first: Wish, second: Wish) -> (Option<f32>, Option<f32>) {
    let (first_open, first_least, size, first_most) = first;
    let (second_open, second_least, _, second_most) = second;
    let first_fits = rest >= first_least;
    let first_takes = if first_open && first_fits { first_least } else { 0.0 };
    let second_fits = rest - first_takes >= second_least;
    let second_takes = if second_open && second_fits { second_least } else { 0.0 };
    let most = (rest - second_takes).min(first_most).max(first_least);
    let first_takes = if first_takes > 0.0 { size.unwrap_or(most).min(most) } else { 0.0 };
    let second_most = (rest - first_takes).min(second_most).max(second_least);
    (first_fits.then_some(most), second_fits.then_some(second_most))
}

impl Shell {
    /// The shell of the last session.
    pub(super) fn new(session: &Session) -> Shell {
        let is_whole =
            |tree: &&Tree<PanelId>| centre_panels().all(|id| tree.tiles.find_pane(&id).is_some());
        let centre = session.centre.as_ref().filter(is_whole).cloned();
        Shell {
            layout: session.layout,
            centre: centre.unwrap_or_else(tabs),
            welcome: false,
            drawn: BTreeSet::new(),
            guard: Guard::default(),
            fitted: false,
        }
    }

    /// Brings a panel to the front.
    pub(super) fn show_panel(&mut self, id: PanelId) {
        match id.panel().place {
            Place::Centre => {
                self.centre.make_active(|_, tile| matches!(tile, Tile::Pane(pane) if *pane == id));
            }
            Place::Left => self.layout.left = true,
            Place::Right => self.layout.right = true,
            Place::Bottom if id == PanelId::Timeline => self.layout.timeline = true,
            Place::Bottom => self.layout.drawer = true,
        }
        self.welcome = false;
    }

    /// Frames and diff side by side.
    pub(super) fn compare(&mut self) {
        let mut tiles = Tiles::default();
        let left = tiles.insert_pane(PanelId::Frames);
        let rest: Vec<_> = centre_panels()
            .filter(|id| *id != PanelId::Frames)
            .map(|id| tiles.insert_pane(id))
            .collect();
        let right = tiles.insert_tab_tile(rest);
        let left = tiles.insert_tab_tile(vec![left]);
        let root = tiles.insert_horizontal_tile(vec![left, right]);
        self.centre = Tree::new(egui::Id::unique("centre"), root, tiles);
        self.show_panel(PanelId::Diff);
    }

    /// All tabs in one place.
    pub(super) fn debug(&mut self) {
        self.centre = tabs();
        self.layout = Layout::default();
        self.fitted = false;
    }

    /// Paints everything but overlays.
    pub(super) fn show(
        &mut self,
        ui: &mut Ui,
        ctx: ViewCtx<'_>,
        state: &mut ViewState,
        moment: &Moment<'_>,
        out: &mut Actions,
    ) {
        self.fit(ui);
        self.drawn.clear();
        let mut guard = std::mem::take(&mut self.guard);
        let tokens = theme::of(ui);
        let bar = |vertical| {
            Frame::new().fill(tokens.window).inner_margin(Margin::symmetric(8, vertical))
        };
        Side::top("title bar").frame(bar(2)).exact_size(BAR + 4.0).resizable(false).show(
            ui,
            |ui| {
                guard.show("Title bar", ui, |ui| self.title_bar(ui, moment.now, out));
            },
        );
        let toolbar = if state.query.error.is_some() { BAR + 24.0 } else { BAR + 2.0 };
        Side::top("toolbar").frame(bar(2)).exact_size(toolbar).resizable(false).show(ui, |ui| {
            guard.show("Toolbar", ui, |ui| tools(ui, ctx, state, moment.now, out));
        });
        Side::bottom("status bar").frame(bar(1)).exact_size(24.0).resizable(false).show(ui, |ui| {
            guard.show("Status bar", ui, |ui| status(ui, ctx, state, moment.pulse, out));
        });
        let room = ui.available_size();
        let fits = Fits::of(room, &self.layout);
        let welcome = self.welcome || (ctx.is_empty() && !ctx.is_busy());
        let side = |fill| {
            Frame::new().fill(fill).inner_margin(Margin::symmetric(8, 4)).stroke(Stroke::NONE)
        };
        let mut layout = self.layout;
        let mut drawn = std::mem::take(&mut self.drawn);
        let mut paint = |ui: &mut Ui, id: PanelId, state: &mut ViewState, out: &mut Actions| {
            let panel = id.panel();
            drawn.insert(panel.title);
            ui.push_id(panel.title, |ui| {
                guard.show(panel.title, ui, |ui| (panel.show)(ui, ctx, state, out));
            });
        };
        if let (false, Some(most)) = (welcome, fits.drawer) {
            Side::bottom("drawer")
                .frame(side(tokens.window))
                .resizable(true)
                .default_size(layout.drawer_size.unwrap_or((room.y * 0.16).clamp(84.0, 200.0)))
                .size_range(DRAWER..=most)
                .show_collapsible(ui, &mut layout.drawer, |ui| {
                    ui.take_available_space();
                    paint(ui, PanelId::Drawer, state, out);
                });
        }
        if let (false, Some(most)) = (welcome, fits.timeline) {
            Side::bottom("timeline")
                .frame(side(tokens.window))
                .resizable(true)
                .default_size(layout.timeline_size.unwrap_or((room.y * 0.13).clamp(84.0, 160.0)))
                .size_range(TIMELINE..=most)
                .show_collapsible(ui, &mut layout.timeline, |ui| {
                    ui.take_available_space();
                    paint(ui, PanelId::Timeline, state, out);
                });
        }
        let frame = side(tokens.window);
        if let Some(most) = fits.left {
            Side::left("left")
                .frame(frame)
                .resizable(true)
                .default_size(layout.left_size.unwrap_or((room.x * 0.16).clamp(150.0, 260.0)))
                .size_range(LEFT..=most)
                .show_collapsible(ui, &mut layout.left, |ui| {
                    let half = ui.available_height() * 0.58;
                    ui.allocate_ui_with_layout(
                        vec2(ui.available_width(), half),
                        Direction::top_down(Align::Min),
                        |ui| {
                            ui.set_min_height(half);
                            paint(ui, PanelId::Plugins, state, out);
                        },
                    );
                    super::widgets::separator(ui);
                    paint(ui, PanelId::Traces, state, out);
                });
        }
        if let (false, Some(most)) = (welcome, fits.right) {
            Side::right("right")
                .frame(frame)
                .resizable(true)
                .default_size(layout.right_size.unwrap_or((room.x * 0.28).clamp(200.0, 420.0)))
                .size_range(RIGHT..=most)
                .show_collapsible(ui, &mut layout.right, |ui| {
                    super::widgets::section(ui, "Inspector", |_| {});
                    paint(ui, PanelId::Inspector, state, out);
                });
        }
        CentralPanel::no_frame().frame(Frame::new().fill(tokens.panel)).show(ui, |ui| {
            if welcome {
                drawn.insert("Welcome");
                return guard.show("Welcome", ui, |ui| {
                    super::panels::welcome::show(ui, moment.recent, out);
                });
            }
            let mut behavior = Behavior::new(ctx, state, out, &mut drawn, &mut guard);
            self.centre.ui(&mut behavior, ui);
        });
        self.drawn = drawn;
        self.guard = guard;
        for (name, size, vertical) in [
            ("left", &mut layout.left_size, false),
            ("right", &mut layout.right_size, false),
            ("timeline", &mut layout.timeline_size, true),
            ("drawer", &mut layout.drawer_size, true),
        ] {
            if let Some(panel) =
                egui::containers::panel::PanelState::load(ui, ui.scope_id().with(name))
            {
                *size = Some(if vertical { panel.size().y } else { panel.size().x });
            }
        }
        self.layout = layout;
    }

    /// On a small window the lower panels start closed.
    fn fit(&mut self, ui: &Ui) {
        if std::mem::replace(&mut self.fitted, true) {
            return;
        }
        let room = ui.available_size();
        self.layout.drawer &= room.y > 620.0;
        self.layout.timeline &= room.y > 500.0;
        self.layout.right &= room.x > 560.0;
        self.layout.left &= room.x > 420.0;
    }

    fn title_bar(&mut self, ui: &mut Ui, now: &Situation, out: &mut Actions) {
        let tokens = theme::of(ui);
        let whole = ui.max_rect();
        egui::MenuBar::new().ui(ui, |ui| {
            ui.set_min_height(whole.height());
            for (menu, name) in Menu::ALL {
                ui.menu_button(name, |ui| {
                    ui.set_min_width(220.0);
                    for entry in TABLE.iter().filter(|entry| entry.menu == menu) {
                        if entry.starts_group {
                            ui.separator();
                        }
                        let enabled = (entry.enabled)(now);
                        let mut name = plain(entry.name);
                        if entry.asks.is_some() && enabled {
                            name = name.color(tokens.warn);
                        }
                        let button = egui::Button::new(name)
                            .shortcut_text(entry.shortcut().unwrap_or_default());
                        if ui.add_enabled(enabled, button).hint(entry.tooltip).clicked() {
                            out.run(entry.verb);
                        }
                    }
                });
            }
            let menus_end = ui.cursor().left();
            ui.with_layout(Direction::right_to_left(Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                for (verb, picture, on) in [
                    (Verb::ToggleRight, icon::ICON_DOCK_TO_LEFT, self.layout.right),
                    (Verb::ToggleDrawer, icon::ICON_DOCK_TO_BOTTOM, self.layout.drawer),
                    (Verb::ToggleLeft, icon::ICON_DOCK_TO_RIGHT, self.layout.left),
                ] {
                    let line = super::commands::entry(verb);
                    let response = icon_button(ui, picture, &line.hint(), true);
                    if on {
                        let line = Stroke::new(1.5, tokens.accent);
                        ui.painter().hline(
                            response.rect.shrink(6.0).x_range(),
                            response.rect.bottom() - 2.0,
                            line,
                        );
                    }
                    if response.clicked() {
                        out.run(verb);
                    }
                }
                if icon_button(ui, icon::ICON_CONTRAST, "Switch between dark and light", true)
                    .clicked()
                {
                    out.run(Verb::SwitchTheme);
                }
                let buttons_start = ui.cursor().right();
                let width = (buttons_start - menus_end - 32.0).clamp(80.0, 420.0);
                let left = (whole.center().x - width / 2.0)
                    .clamp(menus_end + 16.0, (buttons_start - width - 16.0).max(menus_end + 16.0));
                let rect = egui::Rect::from_min_size(
                    egui::pos2(left, whole.center().y - 12.0),
                    vec2(width, 24.0),
                );
                search(ui, rect, out);
            });
        });
    }
}

/// The field in the title bar: it opens the palette.
fn search(ui: &mut Ui, rect: egui::Rect, out: &mut Actions) {
    let tokens = theme::of(ui);
    let response = ui.interact(rect, ui.scope_id().with("search"), egui::Sense::click());
    let response = label(response, "Search or run a command");
    let border = if response.hovered() { tokens.accent } else { tokens.control_border };
    ui.painter().rect(rect, 6.0, tokens.field, Stroke::new(1.0, border), egui::StrokeKind::Inside);
    let inner = rect.shrink2(vec2(8.0, 0.0));
    super::widgets::text_in(
        ui,
        inner,
        Align::Min,
        icon::ICON_SEARCH.codepoint,
        super::widgets::icon_font(15.0),
        tokens.text_weak,
    );
    let mut words = inner;
    words.set_left(inner.left() + 22.0);
    let body = egui::TextStyle::Body.resolve(ui.style());
    super::widgets::text_in(ui, words, Align::Max, "Ctrl+K", body.clone(), tokens.text_faint);
    words.set_right(inner.right() - 48.0);
    super::widgets::text_in(
        ui,
        words,
        Align::Min,
        "Search or run a command…",
        body,
        tokens.text_weak,
    );
    if response.on_hover_cursor(egui::CursorIcon::Text).clicked() {
        out.run(Verb::Palette);
    }
}

fn tools(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, now: &Situation, out: &mut Actions) {
    let tokens = theme::of(ui);
    ui.horizontal(|ui| {
        ui.set_height(28.0);
        ui.spacing_mut().item_spacing.x = 2.0;
        let recording = ctx.recording().is_some();
        let record = verb_button(ui, Verb::ToggleRecording, now, out);
        if let Some(reason) = ctx.cannot_record() {
            ui.colored_label(tokens.bad, "cannot record").hint(cut(reason, 300));
        }
        if recording {
            ui.painter().circle_filled(
                record.rect.left_center() + vec2(15.5, 0.0),
                6.0,
                tokens.bad,
            );
        }
        for verb in [Verb::Replay, Verb::Step, Verb::Stop] {
            verb_button(ui, verb, now, out);
        }
        divider(ui);
        if let Some(plugin) = state.selection.plugin(ctx).and_then(|id| ctx.plugin(id)) {
            let name = if plugin.watching { "Reload: auto" } else { "Reload: off" };
            let response = chip(ui, plugin.watching, name, Tone::Accent);
            if response
                .hint(format!("Reload {} whenever its artifact changes", plugin.manifest.plugin.id))
                .clicked()
            {
                out.command(Command::Watch(plugin.instance, !plugin.watching));
            }
            ui.add_space(4.0);
        }
        let mode = ctx.policy_mode();
        let name = format!("Policy: {mode}");
        let weak = mode == PolicyMode::AsDeclared;
        let tone = if weak { Tone::Warn } else { Tone::Accent };
        if chip(ui, mode != PolicyMode::Consent, &name, tone)
            .hint("Strict grants only log, metric and config unless allowed one by one")
            .clicked()
        {
            out.run(Verb::ToggleStrict);
        }
        if let Some(every) = ctx.snapshot_every() {
            ui.add_space(4.0);
            let line = super::commands::entry(Verb::Snapshots);
            let response = chip(ui, true, &format!("Snapshots: {every}"), Tone::Accent);
            if response.hint(line.tooltip).clicked() {
                out.run(Verb::Snapshots);
            }
        }
        divider(ui);
        filter_field::show(ui, ctx, state, out);
    });
    if let Some(error) = &state.query.error {
        let text = match error.suggestion {
            Some(_) => format!("{error} The list keeps the last good filter"),
            None => format!("{error}. The list keeps the last good filter"),
        };
        ui.horizontal(|ui| {
            ui.label(icon_text(icon::ICON_ERROR, 13.0).color(tokens.bad));
            ui.label(plain(text).color(tokens.bad));
        });
    }
}

fn divider(ui: &mut Ui) {
    let tokens = theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(13.0, 20.0), egui::Sense::hover());
    ui.painter().vline(rect.center().x, rect.y_range(), Stroke::new(1.0, tokens.separator));
}

fn status(ui: &mut Ui, ctx: ViewCtx<'_>, state: &ViewState, pulse: Pulse, out: &mut Actions) {
    ui.style_mut().override_text_style = Some(egui::TextStyle::Small);
    ui.spacing_mut().interact_size.y = 18.0;
    ui.spacing_mut().button_padding.y = 0.0;
    ui.spacing_mut().item_spacing.x = 10.0;
    let mut asked = Actions::default();
    // What goes on is told in full, and the rest as far as there is room.
    let sides = egui::Sides::new().height(ui.available_height()).shrink_left().truncate();
    sides.show(
        ui,
        |ui| status_of_plugins(ui, ctx, state, &mut asked),
        |ui| status_of_work(ui, ctx, state, pulse, out),
    );
    out.append(asked);
}

/// Less room is not worth the start of a text.
const ROOM: f32 = 48.0;

fn status_of_plugins(ui: &mut Ui, ctx: ViewCtx<'_>, state: &ViewState, out: &mut Actions) {
    let tokens = theme::of(ui);
    let weak = |text: String| plain(text).color(tokens.text_weak);
    match state.selection.plugin(ctx).and_then(|id| ctx.plugin(id)) {
        Some(plugin) => {
            let (dot, _) = ui.allocate_exact_size(vec2(8.0, 8.0), egui::Sense::hover());
            let standing = standing(plugin);
            let color = tokens.tone(standing.tone);
            ui.painter().circle_filled(dot.center(), 3.5, color);
            let text = plain(format!("{}: {}", ctx.name_of(plugin), standing.text));
            let color = if standing.picture.is_some() { color } else { tokens.text_weak };
            let label = ui.label(text.color(color));
            if let Some(reason) = &standing.reason {
                label.hint(reason);
            }
        }
        None => {
            ui.label(weak("no plugin".to_owned()));
        }
    }
    match ctx.recording() {
        Some(recording) => recording_status(ui, recording),
        None => {
            ui.label(weak("not recording".to_owned()));
        }
    }
    let live = |store: &Store| (store.bytes(), store.missing(), store.denials().len());
    let (bytes, missing, denied) = ctx.read(Source::Live, live).unwrap_or_default();
    if denied > 0 {
        let text = format!("{} denied", thousands(denied as u64));
        let button = egui::Button::new(plain(&text).color(tokens.warn)).frame(false);
        let response = label(ui.add(button), format!("{text} live so far"));
        if response.hint("Show the host calls that were denied in what happens now").clicked() {
            out.view(Change::Source(Source::Live));
            out.view(Change::Drawer(DrawerTab::Denied));
        }
    }
    ui.label(weak(format!("{} of 64 MiB in memory", show_size(bytes as u64))));
    if missing > 0 {
        ui.label(plain(format!("{} missing", thousands(missing))).color(tokens.warn));
    }
    if ui.available_width() > ROOM {
        ui.label(weak(format!("policy {}", ctx.policy_mode().name())));
    }
    if ctx.trusts_native() {
        let label = ui.label(plain("native trusted").color(tokens.warn));
        label.hint("Libraries opened now run in this process: Plugin → Trust native plugins");
    }
}

/// From the right to the left.
fn status_of_work(
    ui: &mut Ui,
    ctx: ViewCtx<'_>,
    state: &ViewState,
    pulse: Pulse,
    out: &mut Actions,
) {
    let tokens = theme::of(ui);
    let weak = |text: String| plain(text).color(tokens.text_weak);
    let keys = ui.add(egui::Button::new(plain("? keys").color(tokens.text_weak)).frame(false));
    if label(keys, "Keys").clicked() {
        out.run(Verb::Keys);
    }
    ui.label(weak(match pulse {
        Pulse::Idle => "idle".to_owned(),
        Pulse::Fps(count) => format!("{count} fps"),
    }));
    let list = &state.panels.frames.list;
    ui.label(weak(match list.len() == list.total() {
        true if list.total() == 1 => "1 frame".to_owned(),
        true => format!("{} frames", thousands(list.total() as u64)),
        false => {
            format!("{} of {} frames", thousands(list.len() as u64), thousands(list.total() as u64))
        }
    }));
    for job in ctx.jobs().into_iter().take(2) {
        if icon_button(ui, icon::ICON_CANCEL, &format!("Stop: {}", job.title), !job.cancelled)
            .clicked()
        {
            out.command(Command::Cancel(job.id));
        }
        if let Some((done, total)) = job.progress {
            let part = done as f32 / total.max(1) as f32;
            ui.add(egui::ProgressBar::new(part).desired_width(96.0).desired_height(6.0));
        } else {
            ui.add(egui::Spinner::new().size(12.0));
        }
        let said = if job.doing.is_empty() { job.title } else { job.doing };
        ui.label(plain(said).small().color(tokens.text));
    }
}

/// How much is recorded, what is missing, and how full the recorder's memory is once the disk is
/// the slower side.
fn recording_status(ui: &mut Ui, recording: &RecorderStatus) {
    let tokens = theme::of(ui);
    let RecorderStatus { pressure, dropped, .. } = recording;
    let mut text = format!("recording {}", show_size(recording.bytes));
    if recording.segments > 1 {
        text.push_str(&format!(" in {} files", recording.segments));
    }
    if recording.snapshots > 0 {
        text.push_str(&format!(", {} snapshots", thousands(recording.snapshots)));
    }
    ui.label(plain(text).color(tokens.bad));
    let color = if *dropped > 0 { tokens.bad } else { tokens.text_weak };
    ui.label(plain(format!("{} dropped", thousands(*dropped))).color(color));
    if pressure.held > 0 || pressure.bytes * 2 > pressure.limit {
        let (bytes, limit) = (show_size(pressure.bytes), show_size(pressure.limit));
        let waits = plain(format!("{bytes} of {limit} wait for the disk"));
        ui.label(waits.color(tokens.warn)).hint(format!(
            "At most {} waited. Plugins were held {} times, {} in all",
            show_size(pressure.peak),
            thousands(pressure.held),
            show_duration(pressure.held_for)
        ));
    }
    if let Some(lag) = recording.lag() {
        let behind = plain("slow disk").color(tokens.warn);
        ui.label(behind).hint(format!("Syncs are late: {lag}"));
    }
    if let Some(trouble) = &recording.trouble {
        let waiting = format!("not writing: {} events in memory", thousands(pressure.waiting));
        ui.label(plain(waiting).color(tokens.bad)).hint(trouble);
    }
}

fn centre_panels() -> impl Iterator<Item = PanelId> {
    PANELS.iter().filter(|panel| panel.place == Place::Centre).map(|panel| panel.id)
}

fn tabs() -> Tree<PanelId> {
    Tree::new_tabs(egui::Id::unique("centre"), centre_panels().collect())
}
