//! The frame around the panels: title bar, toolbar, sides, tabs, status bar.

mod banner;
mod painter;
mod sides;
mod status;
mod tabs;
mod title_bar;
mod toolbar;

use std::collections::BTreeSet;

use egui::containers::panel::PanelState;
use egui::{CentralPanel, Frame, Margin, Panel as SidePanel, Stroke, Ui, Vec2, vec2};
use egui_tiles::{Tile, Tiles, Tree};

use super::commands::{Verb, entry};
use super::context::PanelCtx;
use super::filter_field;
use super::guard::Guard;
use super::ids::{PanelId, Place};
use super::panels::{Panels, welcome};
use super::session::{Layout, Session};
use super::theme::{self, BAR, Tone};
use super::widgets::{confined, section, separator};
use crate::workbench::{Level, ViewCtx};

use painter::Painter;
use sides::{Fits, why_not};
use status::Status;
use tabs::Behavior;

pub(super) use sides::Side;
pub(super) use status::Pulse;

/// The frame around the panels.
#[derive(Debug)]
pub(super) struct Shell {
    /// The open parts.
    pub layout: Layout,
    /// How the centre is split.
    pub centre: Tree<PanelId>,
    /// True if the first screen is shown though there is something to see.
    pub welcome: bool,
    /// The field for the filter.
    pub filter: filter_field::State,
    /// Titles of the panels that were painted.
    pub drawn: BTreeSet<&'static str>,
    /// Parts that panicked.
    pub guard: Guard,
    fitted: bool,
    /// The side that was opened last, which goes before others where there is little room.
    asked: Option<Side>,
    fits: Fits,
    /// True if the first screen is shown.
    is_first_screen: bool,
    /// The workbench reported a problem.
    has_problems: bool,
}

impl Shell {
    /// The shell of the last session.
    pub(super) fn new(session: &Session) -> Shell {
        let is_whole = |tree: &&Tree<PanelId>| {
            PanelId::in_centre().all(|id| tree.tiles.find_pane(&id).is_some())
        };
        let centre = session.centre.as_ref().filter(is_whole).cloned();
        Shell {
            layout: session.layout,
            centre: centre.unwrap_or_else(one_bar),
            welcome: false,
            filter: filter_field::State::default(),
            drawn: BTreeSet::new(),
            guard: Guard::default(),
            fitted: false,
            asked: None,
            fits: Fits::default(),
            is_first_screen: true,
            has_problems: false,
        }
    }

    /// Brings a panel to the front.
    pub(super) fn show_panel(&mut self, id: PanelId) {
        match id.line().place {
            Place::Centre => {
                self.centre.make_active(|_, tile| matches!(tile, Tile::Pane(pane) if *pane == id));
            }
            Place::Left => self.open(Side::Left),
            Place::Right => self.open(Side::Right),
            Place::Bottom if id == PanelId::Timeline => self.open(Side::Timeline),
            Place::Bottom => self.open(Side::Drawer),
        }
        self.welcome = false;
    }

    /// Opens a side, before others if there is no room for all of them.
    pub(super) fn open(&mut self, side: Side) {
        *side.open_mut(&mut self.layout) = true;
        self.asked = Some(side);
        self.welcome &= side == Side::Left;
    }

    /// Closes a side that is seen, and opens one that is not.
    pub(super) fn toggle(&mut self, side: Side) {
        match self.is_shown(side) {
            true => self.close(side),
            false => self.open(side),
        }
    }

    /// Closes a side.
    pub(super) fn close(&mut self, side: Side) {
        *side.open_mut(&mut self.layout) = false;
        self.asked = self.asked.filter(|asked| *asked != side);
    }

    fn is_shown(&self, side: Side) -> bool {
        side.is_open(&self.layout) && self.fits.most(side).is_some() && !self.is_empty(side)
    }

    /// True if there is nothing for a side to show. Problems are there before a first plugin is.
    fn is_empty(&self, side: Side) -> bool {
        let has_something = match side {
            Side::Left => true,
            Side::Drawer => self.has_problems,
            Side::Right | Side::Timeline => false,
        };
        self.is_first_screen && !has_something
    }

    /// Why the side that was asked for last is not seen, and what to do.
    fn why_not(&self) -> Option<String> {
        let side = self.asked.filter(|side| !self.is_shown(*side))?;
        let is_empty = self.is_empty(side);
        let verb = if is_empty { Verb::OpenPlugin } else { Verb::ZoomOut };
        let keys = entry(verb).shortcut().unwrap_or_default();
        Some(why_not(side, is_empty, &keys))
    }

    /// Frames and diff side by side.
    pub(super) fn compare(&mut self) {
        let mut tiles = Tiles::default();
        let left = tiles.insert_pane(PanelId::Frames);
        let rest: Vec<_> = PanelId::in_centre()
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
        self.centre = one_bar();
        self.layout = Layout::default();
        self.fitted = false;
        self.asked = None;
    }

    /// Finds out whether there is anything to show but the first screen; true if a first problem came
    /// up there.
    pub(super) fn take_in(&mut self, view: ViewCtx<'_>) -> bool {
        self.is_first_screen = self.welcome || (view.is_empty() && !view.is_busy());
        let is_problem = |level| matches!(level, Level::Error | Level::Warning);
        let had_problems = self.has_problems;
        self.has_problems = view.notices().iter().any(|notice| is_problem(notice.level));
        self.is_first_screen && self.has_problems && !had_problems
    }

    /// Panels that are going to be painted, as far as that is known.
    pub(super) fn seen(&self) -> Vec<PanelId> {
        let Layout { left, right, timeline, drawer, .. } = self.layout;
        let mut seen = Vec::new();
        if left {
            seen.extend([PanelId::Plugins, PanelId::Traces]);
        }
        if self.is_first_screen {
            seen.extend((drawer && self.has_problems).then_some(PanelId::Drawer));
            return seen;
        }
        seen.extend(right.then_some(PanelId::Inspector));
        seen.extend(timeline.then_some(PanelId::Timeline));
        seen.extend(drawer.then_some(PanelId::Drawer));
        seen.extend(self.in_front());
        seen
    }

    /// The panels of the centre that are in front.
    fn in_front(&self) -> impl Iterator<Item = PanelId> {
        let panes = self.centre.active_tiles().into_iter();
        panes.filter_map(|tile| self.centre.tiles.get_pane(&tile).copied())
    }

    /// Paints everything but overlays.
    pub(super) fn show(
        &mut self,
        ui: &mut Ui,
        ctx: PanelCtx<'_>,
        panels: &mut Panels,
        around: &Around<'_>,
    ) {
        self.fit(ui);
        self.bars(ui, ctx, panels, around);
        let room = ui.available_size();
        self.fits = Fits::of(room, &self.layout, self.asked, self.in_front());
        let mut drawn = BTreeSet::new();
        let mut guard = std::mem::take(&mut self.guard);
        let mut painter = Painter {
            ctx,
            panels,
            guard: &mut guard,
            drawn: &mut drawn,
            taken_in: around.taken_in,
        };
        self.sides(ui, &mut painter, room);
        let centre = Frame::new().fill(theme::of(ui).panel);
        CentralPanel::no_frame().frame(centre).show(ui, |ui| {
            if self.is_first_screen {
                painter.drawn.insert("Welcome");
                let paint = |ui: &mut Ui| welcome::show(ui, ctx, around.recent);
                return painter.guard.show("Welcome", ui, paint);
            }
            self.centre.ui(&mut Behavior::new(&mut painter), ui);
        });
        (self.drawn, self.guard) = (drawn, guard);
        self.remember_sizes(ui);
    }

    /// The bars above and below everything else.
    fn bars(&mut self, ui: &mut Ui, ctx: PanelCtx<'_>, panels: &Panels, around: &Around<'_>) {
        let fill = theme::of(ui).window;
        let bar = |vertical| Frame::new().fill(fill).inner_margin(Margin::symmetric(8, vertical));
        let top =
            |name, height| SidePanel::top(name).frame(bar(2)).exact_size(height).resizable(false);
        let mut guard = std::mem::take(&mut self.guard);
        top("title bar", BAR + 4.0).show(ui, |ui| {
            let paint = |ui: &mut Ui| title_bar::show(ui, ctx, |side| self.is_shown(side));
            guard.show("Title bar", ui, paint);
        });
        let height = if ctx.query.error.is_some() { BAR + 24.0 } else { BAR + 2.0 };
        top("toolbar", height).show(ui, |ui| {
            guard.show("Toolbar", ui, |ui| toolbar::show(ui, ctx, &mut self.filter));
        });
        if let Some((plugin, taken)) = banner::stuck(ctx.view) {
            let fill = theme::of(ui).tone_subtle(Tone::Warn);
            let frame = Frame::new().fill(fill).inner_margin(Margin::symmetric(8, 2));
            let panel = SidePanel::top("banner").frame(frame).exact_size(BAR + 4.0);
            panel.resizable(false).show(ui, |ui| {
                guard.show("Banner", ui, |ui| banner::show(ui, ctx, plugin, taken));
            });
        }
        let bottom = SidePanel::bottom("status bar").frame(bar(1)).exact_size(24.0);
        bottom.resizable(false).show(ui, |ui| {
            let why_not = self.why_not();
            let list = &panels.frames.list;
            let status = Status {
                pulse: around.pulse,
                frames: (list.len(), list.total()),
                why_not: why_not.as_deref(),
            };
            guard.show("Status bar", ui, |ui| status::show(ui, ctx, status));
        });
        self.guard = guard;
    }

    /// Paints the sides that are open and have room.
    fn sides(&mut self, ui: &mut Ui, painter: &mut Painter<'_, '_>, room: Vec2) {
        let layout = self.layout;
        let drawer = SidePanel::bottom("drawer").default_size(Side::Drawer.size(&layout, room));
        self.side(ui, Side::Drawer, drawer, |ui| {
            ui.take_available_space();
            painter.panel(ui, PanelId::Drawer);
        });
        let timeline =
            SidePanel::bottom("timeline").default_size(Side::Timeline.size(&layout, room));
        self.side(ui, Side::Timeline, timeline, |ui| {
            ui.take_available_space();
            painter.panel(ui, PanelId::Timeline);
        });
        let left = SidePanel::left("left").default_size(Side::Left.size(&layout, room));
        self.side(ui, Side::Left, left, |ui| {
            let half = vec2(ui.available_width(), ui.available_height() * 0.58);
            let direction = egui::Layout::top_down(egui::Align::Min);
            ui.allocate_ui_with_layout(half, direction, |ui| {
                ui.set_min_height(half.y);
                painter.panel(ui, PanelId::Plugins);
            });
            separator(ui);
            painter.panel(ui, PanelId::Traces);
        });
        let right = SidePanel::right("right").default_size(Side::Right.size(&layout, room));
        self.side(ui, Side::Right, right, |ui| {
            section(ui, "Inspector", |_| {});
            painter.panel(ui, PanelId::Inspector);
        });
    }

    fn side(&mut self, ui: &mut Ui, side: Side, panel: SidePanel, paint: impl FnOnce(&mut Ui)) {
        let Some(most) = self.fits.most(side) else {
            return;
        };
        if self.is_empty(side) {
            return;
        }
        // A size that little room took comes back with the room.
        let id = ui.scope_id().with(side.panel());
        if let (Some(given), Some(panel)) = (side.given(&self.layout), PanelState::load(ui, id)) {
            let mut outer_rect = panel.outer_rect;
            match side.is_vertical() {
                true => outer_rect.set_height(given.min(most)),
                false => outer_rect.set_width(given.min(most)),
            }
            ui.data_mut(|data| data.insert_persisted(id, PanelState { outer_rect }));
        }
        let frame = Frame::new().fill(theme::of(ui).window).stroke(Stroke::NONE);
        panel
            .frame(frame.inner_margin(Margin::symmetric(8, 4)))
            .resizable(true)
            .size_range(side.least()..=most)
            .show_collapsible(ui, side.open_mut(&mut self.layout), |ui| confined(ui, paint));
    }

    fn remember_sizes(&mut self, ui: &Ui) {
        for side in [Side::Left, Side::Right, Side::Timeline, Side::Drawer] {
            let id = ui.scope_id().with(side.panel());
            let panel = PanelState::load(ui, id).map(|panel| panel.size());
            let shown = self.fits.most(side).filter(|_| self.is_shown(side));
            if let (Some(size), Some(most)) = (panel, shown) {
                let size = if side.is_vertical() { size.y } else { size.x };
                side.remember(size, most, &mut self.layout);
            }
        }
    }

    /// On a small window the lower panels start closed.
    fn fit(&mut self, ui: &Ui) {
        if std::mem::replace(&mut self.fitted, true) {
            return;
        }
        let room = ui.available_size();
        self.layout.drawer &= room.y > 560.0;
        self.layout.timeline &= room.y > 500.0;
        self.layout.right &= room.x > 560.0;
        self.layout.left &= room.x > 420.0;
    }
}

/// All tabs of the centre in one bar.
fn one_bar() -> Tree<PanelId> {
    Tree::new_tabs(egui::Id::unique("centre"), PanelId::in_centre().collect())
}

/// The data that the shell shows besides panels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    /// How fast the window is painted.
    pub pulse: Pulse,
    /// Files that were opened, the last one first.
    pub recent: &'a [std::path::PathBuf],
    /// Panels that were told what to show.
    pub taken_in: &'a [PanelId],
}
