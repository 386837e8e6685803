//! The look of the window: colour tokens from `assets/theme/`, fonts, spacing on a 4 px grid.
//!
//! [`install`] once, then [`of`] inside a panel. Panels name tokens and [`Tone`]s, never colours.

mod fonts;
mod tokens;

use std::sync::LazyLock;

use egui::style::{HandleShape, NumericColorSpace, ScrollStyle, WidgetVisuals};
use egui::{
    Color32, CornerRadius, FontFamily, FontId, Margin, Shadow, Stroke, Style, TextStyle, Visuals,
    vec2,
};
use serde::{Deserialize, Serialize};

pub use tokens::{Tokens, Tone};

/// The unit of all spacing, in points.
pub const GRID: f32 = 4.0;
/// Height of a row in tables and trees, in points.
pub const ROW: f32 = 20.0;
/// Height of bars: title bar, toolbar, tab bar, in points.
pub const BAR: f32 = 32.0;

static DARK: LazyLock<Tokens> =
    LazyLock::new(|| Tokens::embedded(include_str!("../../../../assets/theme/dark.toml")));
static LIGHT: LazyLock<Tokens> =
    LazyLock::new(|| Tokens::embedded(include_str!("../../../../assets/theme/light.toml")));

/// Which colours the window has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Theme {
    /// Light text on dark surfaces.
    #[default]
    Dark,
    /// Dark text on light surfaces.
    Light,
}

impl Theme {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Theme {
        match self {
            Theme::Dark => Theme::Light,
            Theme::Light => Theme::Dark,
        }
    }

    /// The colours of this theme.
    pub fn tokens(self) -> &'static Tokens {
        match self {
            Theme::Dark => &DARK,
            Theme::Light => &LIGHT,
        }
    }
}

impl std::str::FromStr for Theme {
    type Err = String;

    fn from_str(text: &str) -> Result<Theme, String> {
        match text {
            "dark" => Ok(Theme::Dark),
            "light" => Ok(Theme::Light),
            _ => Err(format!("`{text}` is not a theme; write dark or light")),
        }
    }
}

/// The tokens of the theme that `ui` is painted in.
pub fn of(ui: &egui::Ui) -> &'static Tokens {
    if ui.visuals().dark_mode { &DARK } else { &LIGHT }
}

/// Gives `ctx` fonts, styles and a theme.
pub fn install(ctx: &egui::Context, theme: Theme) {
    fonts::install(ctx);
    for theme in [Theme::Dark, Theme::Light] {
        let side = match theme {
            Theme::Dark => egui::Theme::Dark,
            Theme::Light => egui::Theme::Light,
        };
        ctx.set_style_of(side, style(theme));
    }
    choose(ctx, theme);
}

/// Switches between the installed themes.
pub fn choose(ctx: &egui::Context, theme: Theme) {
    ctx.set_theme(match theme {
        Theme::Dark => egui::ThemePreference::Dark,
        Theme::Light => egui::ThemePreference::Light,
    });
}

/// The font of titles and of what matters in a row.
pub fn strong(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(fonts::STRONG.into()))
}

/// The font of tabs and buttons that name a place.
pub fn medium(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(fonts::MEDIUM.into()))
}

/// The font of bytes and code.
pub fn mono(size: f32) -> FontId {
    FontId::new(size, FontFamily::Monospace)
}

fn style(theme: Theme) -> Style {
    let mut style = match theme {
        Theme::Dark => egui::Theme::Dark,
        Theme::Light => egui::Theme::Light,
    }
    .default_style();
    style.visuals = visuals(theme);
    style.text_styles = [
        (TextStyle::Small, FontId::new(11.0, FontFamily::Proportional)),
        (TextStyle::Body, FontId::new(12.5, FontFamily::Proportional)),
        (TextStyle::Button, FontId::new(12.5, FontFamily::Proportional)),
        (TextStyle::Heading, strong(16.0)),
        (TextStyle::Monospace, mono(12.0)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(8.0, 4.0);
    spacing.button_padding = vec2(8.0, 3.0);
    spacing.interact_size = vec2(32.0, 24.0);
    spacing.window_margin = Margin::same(12);
    spacing.menu_margin = Margin::same(4);
    spacing.indent = 16.0;
    spacing.icon_width = 14.0;
    spacing.icon_width_inner = 8.0;
    spacing.icon_spacing = 6.0;
    spacing.combo_width = 96.0;
    spacing.tooltip_width = 360.0;
    spacing.scroll = ScrollStyle::thin();
    style.animation_time = 0.08;
    style.interaction.tooltip_delay = 0.4;
    style.interaction.selectable_labels = false;
    style
}

fn visuals(theme: Theme) -> Visuals {
    let tokens = theme.tokens();
    let mut visuals = match theme {
        Theme::Dark => Visuals::dark(),
        Theme::Light => Visuals::light(),
    };
    let radius = CornerRadius::same(4);
    let widget = |fill: Color32, border: Color32, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, border),
        corner_radius: radius,
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    let none = Color32::TRANSPARENT;
    let widgets = &mut visuals.widgets;
    widgets.noninteractive = widget(tokens.panel, tokens.separator, tokens.text);
    widgets.inactive = widget(tokens.control, none, tokens.text);
    widgets.hovered = widget(tokens.control_hover, none, tokens.text_strong);
    widgets.active = widget(tokens.control_pressed, none, tokens.text_strong);
    widgets.open = widget(tokens.control_hover, none, tokens.text_strong);
    visuals.override_text_color = None;
    visuals.weak_text_color = Some(tokens.text_weak);
    visuals.selection.bg_fill = tokens.row_selected;
    visuals.selection.stroke = Stroke::new(1.0, tokens.text_strong);
    visuals.hyperlink_color = tokens.accent;
    visuals.faint_bg_color = tokens.row_stripe;
    visuals.extreme_bg_color = tokens.field;
    visuals.text_edit_bg_color = Some(tokens.field);
    visuals.code_bg_color = tokens.field;
    visuals.warn_fg_color = tokens.warn;
    visuals.error_fg_color = tokens.bad;
    visuals.window_fill = tokens.raised;
    visuals.window_stroke = Stroke::new(1.0, tokens.control_border);
    visuals.window_corner_radius = CornerRadius::same(8);
    visuals.menu_corner_radius = CornerRadius::same(6);
    visuals.panel_fill = tokens.panel;
    let shadow = Shadow { offset: [0, 8], blur: 24, spread: 0, color: tokens.shadow };
    visuals.window_shadow = shadow;
    visuals.popup_shadow = shadow;
    visuals.indent_has_left_vline = false;
    visuals.striped = false;
    visuals.slider_trailing_fill = true;
    visuals.handle_shape = HandleShape::Circle;
    visuals.numeric_color_space = NumericColorSpace::GammaByte;
    visuals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_read_on_its_surface() {
        fn check(what: &str, text: Color32, surface: Color32, at_least: f32) {
            let ratio = tokens::contrast(text, surface);
            assert!(ratio >= at_least, "{what}: contrast {ratio:.1}, needs {at_least}");
        }
        for theme in [Theme::Dark, Theme::Light] {
            let t = theme.tokens();
            for surface in [t.window, t.panel, t.raised, t.field] {
                check("text", t.text, surface, 7.0);
                check("focus", t.accent, surface, 3.0);
                check("weak text", t.text_weak, surface, 4.5);
                check("good", t.good, surface, 4.5);
                check("warn", t.warn, surface, 4.5);
                check("bad", t.bad, surface, 4.5);
                check("info", t.info, surface, 4.5);
            }
            check("selected row", t.text_strong, t.row_selected, 7.0);
        }
    }
}
