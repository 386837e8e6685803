//! The tabs of the centre, and their panels.

use egui::{Color32, Stroke, Ui, Visuals, WidgetText, vec2};
use egui_tiles::{SimplificationOptions, TabState, TileId, Tiles, UiResponse};

use super::painter::Painter;
use crate::window::ids::PanelId;
use crate::window::theme::{self, BAR};
use crate::window::widgets::text::plain;

/// Frames after which the bar of tabs knows its size.
const SETTLED: u32 = 8;

/// Where the place of a tab is kept from one frame to the next.
fn tab_rect(tab: TileId) -> egui::Id {
    egui::Id::unique(("place of tab", tab))
}

/// The tabs while they are painted.
pub(super) struct Behavior<'a, 'b, 'c> {
    painter: &'c mut Painter<'a, 'b>,
    /// The tabs that are in front.
    front: Vec<TileId>,
    /// Where the bar is that is being painted.
    bar: egui::Rect,
}

impl<'a, 'b, 'c> Behavior<'a, 'b, 'c> {
    pub(super) fn new(painter: &'c mut Painter<'a, 'b>) -> Behavior<'a, 'b, 'c> {
        Behavior { painter, front: Vec::new(), bar: egui::Rect::NOTHING }
    }
}

impl egui_tiles::Behavior<PanelId> for Behavior<'_, '_, '_> {
    fn pane_ui(&mut self, ui: &mut Ui, _: TileId, pane: &mut PanelId) -> UiResponse {
        self.painter.panel(ui, *pane);
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &PanelId) -> WidgetText {
        plain(pane.title()).font(theme::medium(12.5)).into()
    }

    fn tab_hover_cursor_icon(&self) -> egui::CursorIcon {
        egui::CursorIcon::Default
    }

    fn tab_bar_height(&self, _: &egui::Style) -> f32 {
        BAR
    }

    fn tab_title_spacing(&self, _: &Visuals) -> f32 {
        12.0
    }

    fn tab_bar_color(&self, visuals: &Visuals) -> Color32 {
        theme_of(visuals).window
    }

    fn tab_outline_stroke(
        &self,
        _: &Visuals,
        _: &Tiles<PanelId>,
        _: TileId,
        _: &TabState,
    ) -> Stroke {
        Stroke::NONE
    }

    fn tab_bar_hline_stroke(&self, visuals: &Visuals) -> Stroke {
        Stroke::new(1.0, theme_of(visuals).separator)
    }

    fn tab_text_color(
        &self,
        visuals: &Visuals,
        _: &Tiles<PanelId>,
        _: TileId,
        state: &TabState,
    ) -> Color32 {
        let tokens = theme_of(visuals);
        if state.active { tokens.text_strong } else { tokens.text_weak }
    }

    fn on_tab_button(
        &mut self,
        _: &mut Tiles<PanelId>,
        id: TileId,
        response: egui::Response,
    ) -> egui::Response {
        let tokens = theme_of(&response.ctx.global_style().visuals);
        response.ctx.data_mut(|data| data.insert_temp(tab_rect(id), response.rect));
        // While they are painted, tabs have no parent to ask.
        let active = self.front.contains(&id);
        if active {
            let painter = response.ctx.layer_painter(response.layer_id);
            let painter = painter.with_clip_rect(self.bar);
            let rect = response.rect;
            painter.hline(
                rect.shrink2(vec2(8.0, 0.0)).x_range(),
                rect.bottom() - 1.0,
                Stroke::new(2.0, tokens.accent),
            );
        }
        response
    }

    /// Brings the tab in front into view when it comes there and when the bar changes its size. The
    /// bar can be scrolled afterwards.
    fn top_bar_right_ui(
        &mut self,
        _: &Tiles<PanelId>,
        ui: &mut Ui,
        bar: TileId,
        tabs: &egui_tiles::Tabs,
        offset: &mut f32,
    ) {
        let Some(active) = tabs.active else {
            return;
        };
        self.front.push(active);
        self.bar = ui.max_rect();
        let frames = ui.data_mut(|data| {
            let name = egui::Id::unique(("tab in front", bar));
            let now = (active, self.bar.width());
            let (shown, frames) = data.get_temp_mut_or(name, (now, 0_u32));
            *frames = if *shown == now { frames.saturating_add(1) } else { 0 };
            *shown = now;
            *frames
        });
        // The sizes are those of the frame before.
        if frames < SETTLED {
            ui.ctx().request_repaint();
            if let Some(tab) = ui.data(|data| data.get_temp::<egui::Rect>(tab_rect(active))) {
                let seen = self.bar.shrink2(vec2(BAR, 0.0));
                let (left, right) = (seen.left() - tab.left(), tab.right() - seen.right());
                *offset += right.max(0.0) - left.max(0.0).min((*offset).max(0.0));
            }
        }
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions { all_panes_must_have_tabs: true, ..SimplificationOptions::default() }
    }
}

fn theme_of(visuals: &Visuals) -> &'static theme::Tokens {
    match visuals.dark_mode {
        true => theme::Theme::Dark.tokens(),
        false => theme::Theme::Light.tokens(),
    }
}
