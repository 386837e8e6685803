use egui::Color32;
use serde::Deserialize;

/// The meaning of a colour. It never stands alone: an icon or a word says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Nothing in particular.
    Neutral,
    /// Chosen, running, ours.
    Accent,
    /// It went well.
    Good,
    /// Look at it.
    Warn,
    /// It went wrong.
    Bad,
    /// Worth knowing.
    Info,
}

/// The colours of one theme, by what they are for.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub window: Color32,
    pub panel: Color32,
    pub raised: Color32,
    pub field: Color32,
    pub separator: Color32,
    pub row_hover: Color32,
    pub row_stripe: Color32,
    pub row_selected: Color32,
    pub control: Color32,
    pub control_hover: Color32,
    pub control_pressed: Color32,
    pub control_border: Color32,
    pub text: Color32,
    pub text_strong: Color32,
    pub text_weak: Color32,
    pub text_faint: Color32,
    pub on_accent: Color32,
    pub accent: Color32,
    pub accent_hover: Color32,
    pub accent_subtle: Color32,
    pub good: Color32,
    pub warn: Color32,
    pub bad: Color32,
    pub info: Color32,
    pub good_subtle: Color32,
    pub warn_subtle: Color32,
    pub bad_subtle: Color32,
    pub info_subtle: Color32,
    pub grid: Color32,
    pub shadow: Color32,
    lanes: Vec<Color32>,
}

impl Tokens {
    /// Reads a theme file that is part of the program.
    ///
    /// # Panics
    ///
    /// If the file is damaged, which a test rules out.
    pub(super) fn embedded(text: &str) -> Tokens {
        let file: File = toml::from_str(text).expect("the embedded themes are read by a test");
        Tokens {
            window: file.surface.window.0,
            panel: file.surface.panel.0,
            raised: file.surface.raised.0,
            field: file.surface.field.0,
            separator: file.surface.separator.0,
            row_hover: file.surface.row_hover.0,
            row_stripe: file.surface.row_stripe.0,
            row_selected: file.surface.row_selected.0,
            control: file.control.rest.0,
            control_hover: file.control.hover.0,
            control_pressed: file.control.pressed.0,
            control_border: file.control.border.0,
            text: file.text.normal.0,
            text_strong: file.text.strong.0,
            text_weak: file.text.weak.0,
            text_faint: file.text.faint.0,
            on_accent: file.text.on_accent.0,
            accent: file.accent.main.0,
            accent_hover: file.accent.hover.0,
            accent_subtle: file.accent.subtle.0,
            good: file.tone.good.0,
            warn: file.tone.warn.0,
            bad: file.tone.bad.0,
            info: file.tone.info.0,
            good_subtle: file.tone.good_subtle.0,
            warn_subtle: file.tone.warn_subtle.0,
            bad_subtle: file.tone.bad_subtle.0,
            info_subtle: file.tone.info_subtle.0,
            grid: file.chart.grid.0,
            shadow: Color32::from_black_alpha(70),
            lanes: file.chart.lanes.iter().map(|colour| colour.0).collect(),
        }
    }

    /// The colour of a tone, for text, icons and lines.
    pub fn tone(&self, tone: Tone) -> Color32 {
        match tone {
            Tone::Neutral => self.text_weak,
            Tone::Accent => self.accent,
            Tone::Good => self.good,
            Tone::Warn => self.warn,
            Tone::Bad => self.bad,
            Tone::Info => self.info,
        }
    }

    /// The background of a tone.
    pub fn tone_subtle(&self, tone: Tone) -> Color32 {
        match tone {
            Tone::Neutral => self.control,
            Tone::Accent => self.accent_subtle,
            Tone::Good => self.good_subtle,
            Tone::Warn => self.warn_subtle,
            Tone::Bad => self.bad_subtle,
            Tone::Info => self.info_subtle,
        }
    }

    /// The colour of the `index`-th plugin in charts and lanes.
    pub fn lane(&self, index: usize) -> Color32 {
        self.lanes.get(index % self.lanes.len().max(1)).copied().unwrap_or(self.accent)
    }
}

/// Contrast of two colours as WCAG 2 defines it, from 1 to 21.
#[cfg(test)]
pub(super) fn contrast(a: Color32, b: Color32) -> f32 {
    let luminance = |colour: Color32| {
        let linear = egui::Rgba::from(colour);
        0.2126 * linear.r() + 0.7152 * linear.g() + 0.0722 * linear.b()
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    surface: Surface,
    control: Control,
    text: Text,
    accent: Accent,
    tone: Tones,
    chart: Chart,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Surface {
    window: Hex,
    panel: Hex,
    raised: Hex,
    field: Hex,
    separator: Hex,
    row_hover: Hex,
    row_stripe: Hex,
    row_selected: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Control {
    rest: Hex,
    hover: Hex,
    pressed: Hex,
    border: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Text {
    normal: Hex,
    strong: Hex,
    weak: Hex,
    faint: Hex,
    on_accent: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accent {
    main: Hex,
    hover: Hex,
    subtle: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Tones {
    good: Hex,
    warn: Hex,
    bad: Hex,
    info: Hex,
    good_subtle: Hex,
    warn_subtle: Hex,
    bad_subtle: Hex,
    info_subtle: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chart {
    grid: Hex,
    lanes: Vec<Hex>,
}

/// A colour as `#rrggbb`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hex(Color32);

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Hex, String> {
        Color32::from_hex(&text)
            .map(Hex)
            .map_err(|_| format!("`{text}` is not a colour; write #rrggbb"))
    }
}
