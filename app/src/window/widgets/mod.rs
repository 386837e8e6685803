//! The pieces that panels are made of: titles, badges, rows, trees, bytes, small charts.

pub(super) mod allow;
pub(super) mod chart;
pub(super) mod hex;
pub(super) mod steps;
pub(super) mod text;
pub(super) mod tree;

use egui::{
    Align, Color32, FontFamily, FontId, Layout, Rect, Response, RichText, Role, Sense, Stroke, Ui,
    WidgetInfo, pos2, vec2,
};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;
use glovebox_abi::Permission;
use glovebox_events::{Outcome, Phase};
use glovebox_host::{PluginStats, PluginStatus, RefusedGeneration};
use glovebox_inspector::store::Status;

use super::action::Actions;
use super::commands::{Situation, Verb, entry};
use super::theme::{self, GRID, Tone};
use crate::workbench::Source;
use text::{Hint, line, plain};

/// An icon as text.
pub(super) fn icon_text(icon: MaterialIcon, size: f32) -> RichText {
    plain(icon.codepoint).font(icon_font(size))
}

/// The font of icons.
pub(super) fn icon_font(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(egui_material_icons::FONT_FAMILY.into()))
}

/// Says what a response is, for screen readers and tests.
pub(super) fn label(response: Response, text: impl Into<String>) -> Response {
    let text = text.into();
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, line(&text)));
    response
}

/// A title in small capitals with room for controls on the right.
pub(super) fn section(ui: &mut Ui, title: &str, right: impl FnOnce(&mut Ui)) {
    let tokens = theme::of(ui);
    let size = vec2(ui.available_width(), 24.0);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.set_min_size(size);
        let text = plain(line(title).to_uppercase())
            .font(theme::strong(10.5))
            .extra_letter_spacing(0.6)
            .color(tokens.text_strong);
        let response = ui.label(text);
        response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, line(title)));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = GRID;
            right(ui);
        });
    });
}

/// A quiet button with only an icon; its name is the tooltip.
pub(super) fn icon_button(ui: &mut Ui, icon: MaterialIcon, name: &str, enabled: bool) -> Response {
    let tokens = theme::of(ui);
    let text = icon_text(icon, 16.0).color(if enabled { tokens.text } else { tokens.text_faint });
    // Where everything is low, so is it.
    let side = ui.spacing().interact_size.y.min(24.0);
    let button = egui::Button::new(text).min_size(vec2(side, side)).frame_when_inactive(false);
    let response = ui.add_enabled(enabled, button);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, line(name)));
    response.hint(name)
}

/// A button for a command: its icon, its name, its keys in the tooltip.
pub(super) fn verb_button(ui: &mut Ui, verb: Verb, now: &Situation, out: &mut Actions) -> Response {
    let line = entry(verb);
    let enabled = (line.enabled)(now);
    let tokens = theme::of(ui);
    let name = line.name.trim_end_matches('…');
    let color = if enabled { tokens.text } else { tokens.text_faint };
    let mut job = egui::text::LayoutJob::default();
    let format = |font, color| egui::TextFormat {
        font_id: font,
        color,
        valign: Align::Center,
        ..Default::default()
    };
    job.append(line.icon.codepoint, 0.0, format(icon_font(15.0), color));
    let body = egui::TextStyle::Button.resolve(ui.style());
    job.append(name, 5.0, format(body, color));
    let button = egui::Button::new(job).frame_when_inactive(false);
    let response = ui.add_enabled(enabled, button);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, name));
    let tooltip = line.hint();
    let response = response.hint(&tooltip).hint_when_disabled(&tooltip);
    if response.clicked() {
        out.run(verb);
    }
    response
}

/// A word on a tinted ground.
pub(super) fn badge(ui: &mut Ui, text: &str, tone: Tone) -> Response {
    let tokens = theme::of(ui);
    let color = match tone {
        Tone::Neutral => tokens.text,
        tone => tokens.tone(tone),
    };
    let text = line(text);
    let galley = ui.painter().layout_no_wrap(text.to_string(), theme::medium(11.0), color);
    let size = galley.size() + vec2(12.0, 4.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    ui.painter().rect_filled(rect, 4.0, tokens.tone_subtle(tone));
    ui.painter().galley(rect.min + vec2(6.0, 2.0), galley, color);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &*text));
    response
}

/// A chip that can be switched on and off, with a count.
pub(super) fn chip(ui: &mut Ui, on: bool, text: &str, tone: Tone) -> Response {
    let tokens = theme::of(ui);
    let color = if on { tokens.tone(tone) } else { tokens.text_weak };
    let fill = if on { tokens.tone_subtle(tone) } else { Color32::TRANSPARENT };
    let stroke = Stroke::new(1.0, if on { fill } else { tokens.control_border });
    let button = egui::Button::new(plain(text).font(theme::medium(11.5)).color(color))
        .fill(fill)
        .stroke(stroke)
        .corner_radius(10.0);
    let response = ui.add(button);
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, on, line(text)));
    response
}

/// A name and a value in two columns.
pub(super) fn fact(ui: &mut Ui, name: &str, value: impl Into<String>) -> Response {
    let tokens = theme::of(ui);
    let value = line(&value.into()).into_owned();
    let size = vec2(ui.available_width(), 18.0);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        let (rect, _) = ui.allocate_exact_size(vec2(92.0, 18.0), Sense::hover());
        ui.painter().text(
            rect.left_center(),
            egui::Align2::LEFT_CENTER,
            name,
            egui::TextStyle::Body.resolve(ui.style()),
            tokens.text_weak,
        );
        let response = ui.add(egui::Label::new(plain(&value).color(tokens.text)).truncate());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{name}: {value}")));
        response
    })
    .inner
}

/// What an empty panel shows: what belongs here, and what brings it here.
pub(super) fn empty(
    ui: &mut Ui,
    picture: MaterialIcon,
    title: &str,
    hint: &str,
    verb: Option<Verb>,
    now: &Situation,
    out: &mut Actions,
) {
    let tokens = theme::of(ui);
    let height = 112.0;
    ui.add_space(((ui.available_height() - height) / 2.4).max(8.0));
    ui.vertical_centered(|ui| {
        ui.label(icon_text(picture, 28.0).color(tokens.text_faint));
        ui.add_space(4.0);
        ui.label(plain(title).font(theme::medium(13.0)).color(tokens.text));
        ui.label(plain(hint).color(tokens.text_weak));
        if let Some(verb) = verb {
            let line = entry(verb);
            ui.add_space(8.0);
            let button =
                egui::Button::new(line.name).shortcut_text(line.shortcut().unwrap_or_default());
            if ui.add_enabled((line.enabled)(now), button).clicked() {
                out.run(verb);
            }
        }
    });
}

/// A field to search in, with its picture.
pub(super) fn search_field(ui: &mut Ui, text: &mut String, hint: &str, name: &str) -> Response {
    let tokens = theme::of(ui);
    let width = ui.available_width();
    let response = bordered(ui, |ui| {
        ui.add(
            egui::TextEdit::singleline(text)
                .hint_text(hint)
                .desired_width(width)
                .margin(egui::Margin { left: 24, right: 4, top: 3, bottom: 3 }),
        )
    });
    ui.painter().text(
        response.rect.left_center() + vec2(6.0, 0.0),
        egui::Align2::LEFT_CENTER,
        icon::ICON_SEARCH.codepoint,
        icon_font(14.0),
        tokens.text_weak,
    );
    named_field(response, name)
}

/// Text fields inside have a border, so that they are seen before they are used.
pub(super) fn bordered<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    let border = Stroke::new(1.0, theme::of(ui).control_border);
    ui.scope(|ui| {
        ui.visuals_mut().widgets.inactive.bg_stroke = border;
        ui.visuals_mut().widgets.hovered.bg_stroke = border;
        ui.visuals_mut().selection.stroke = Stroke::new(1.0, theme::of(ui).accent);
        add(ui)
    })
    .inner
}

/// Gives a text field its name.
pub(super) fn named_field(response: Response, name: &str) -> Response {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_label(name));
    response
}

/// A line across the panel.
pub(super) fn separator(ui: &mut Ui) {
    let tokens = theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 9.0), Sense::hover());
    let clip = ui.clip_rect();
    ui.painter().hline(clip.x_range(), rect.center().y, Stroke::new(1.0, tokens.separator));
}

/// A row as wide as the panel that can be clicked; paints its ground.
pub(super) fn row(ui: &mut Ui, height: f32, selected: bool, name: &str) -> (Rect, Response) {
    let width = ui.available_width();
    let (rect, response) = ui.allocate_exact_size(vec2(width, height), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::ListItem, true, selected, line(name)));
    paint_row(ui, rect, selected, response.hovered());
    (rect, response)
}

/// The ground of a row.
pub(super) fn paint_row(ui: &Ui, rect: Rect, selected: bool, hovered: bool) {
    let tokens = theme::of(ui);
    let fill = if selected {
        tokens.row_selected
    } else if hovered {
        tokens.row_hover
    } else {
        return;
    };
    ui.painter().rect_filled(rect, 4.0, fill);
}

/// One line of text in a rect, cut at its end; gives its width.
pub(super) fn text_in(
    ui: &Ui,
    rect: Rect,
    align: Align,
    text: &str,
    font: FontId,
    color: Color32,
) -> f32 {
    let mut job = egui::text::LayoutJob::single_section(
        line(text).into_owned(),
        egui::TextFormat::simple(font, color),
    );
    job.wrap = egui::text::TextWrapping::truncate_at_width(rect.width().max(1.0));
    let galley = ui.painter().layout_job(job);
    let width = galley.size().x;
    let x = match align {
        Align::Min => rect.left(),
        Align::Center => rect.center().x - width / 2.0,
        Align::Max => rect.right() - width,
    };
    let y = rect.center().y - galley.size().y / 2.0;
    ui.painter().galley(pos2(x, y), galley, color);
    width
}

/// How a phase is shown.
pub(super) fn phase_tone(phase: Phase) -> Tone {
    match phase {
        Phase::Ready => Tone::Good,
        Phase::Busy => Tone::Accent,
        Phase::Found | Phase::Loaded | Phase::Initializing => Tone::Info,
        Phase::Draining | Phase::Restarting => Tone::Warn,
        Phase::Stopped => Tone::Neutral,
        Phase::Faulted | Phase::Quarantined => Tone::Bad,
    }
}

/// How a plugin stands, so that what is wrong is seen without pointing at it.
pub(super) struct Standing {
    pub tone: Tone,
    /// The picture of what is wrong, if anything is.
    pub picture: Option<MaterialIcon>,
    /// In few words.
    pub text: String,
    /// What is wrong, in full.
    pub reason: Option<String>,
}

/// Every so manieth call that fails is worth a warning.
const FAILING: u64 = 10;

/// How a plugin stands: its phase, what share of its calls failed, and whether a newer generation was refused or waits.
pub(super) fn standing(plugin: &PluginStatus) -> Standing {
    let (phase, generation) = (plugin.phase, plugin.generation);
    let tone = phase_tone(phase);
    let mut standing = Standing {
        tone,
        picture: match tone {
            Tone::Bad => Some(icon::ICON_ERROR),
            Tone::Warn => Some(icon::ICON_WARNING),
            Tone::Neutral | Tone::Accent | Tone::Good | Tone::Info => None,
        },
        text: format!("{phase} · gen {generation}"),
        reason: plugin.fault.clone(),
    };
    let PluginStats { processed, errors, .. } = plugin.stats;
    if errors > 0 {
        standing.text = format!("{phase} · {errors} of {processed} failed");
    }
    // One that serves is not well because of that.
    if errors * FAILING >= processed && errors > 0 && standing.picture.is_none() {
        (standing.tone, standing.picture) = (Tone::Warn, Some(icon::ICON_WARNING));
        standing.reason = Some(format!(
            "{errors} of {processed} calls so far did not complete, all generations together"
        ));
    }
    if plugin.fault.is_some() {
        (standing.tone, standing.picture) = (Tone::Bad, Some(icon::ICON_ERROR));
    } else if let Some(refused) = &plugin.refused {
        let RefusedGeneration { stage, message, waits_for, .. } = refused;
        let (tone, picture, text, reason) = match waits_for.is_empty() {
            true => (Tone::Bad, icon::ICON_ERROR, "reload refused", "The last reload was refused"),
            false => (
                Tone::Warn,
                icon::ICON_WARNING,
                "update waits for consent",
                "A newer generation waits for consent",
            ),
        };
        (standing.tone, standing.picture) = (tone, Some(picture));
        standing.text = format!("{text} · gen {generation} runs on");
        standing.reason = Some(format!("{reason}: {stage}: {message}"));
    } else if standing.picture.is_none() && plugin.asking().next().is_some() {
        let asks: Vec<&str> = plugin.asking().map(Permission::name).collect();
        let asks = format!("asks for {}", asks.join(", "));
        (standing.tone, standing.picture) = (Tone::Warn, Some(icon::ICON_SHIELD));
        standing.text = format!("{asks} · gen {generation}");
        standing.reason = Some(format!("{asks}: allow or deny it in the panel Policy"));
    }
    standing
}

/// What is said of a call without an end; `alone` if it has nothing but its input.
pub(super) fn without_end(source: Source, alone: bool) -> &'static str {
    match (source, alone) {
        (Source::Live, _) => "running",
        (Source::Trace(_), true) => "input only",
        (Source::Trace(_), false) => "not over when the trace ended",
    }
}

/// How the call of a row is shown: nothing runs in a trace, so that a call without an end waits for
/// nothing there.
pub(super) fn row_look(status: &Status, source: Source) -> (Tone, MaterialIcon) {
    match (status.outcome(), source) {
        (None, Source::Trace(_)) => (Tone::Neutral, icon::ICON_INPUT),
        (outcome, _) => outcome_look(outcome),
    }
}

/// How an outcome is shown: its tone and its picture.
pub(super) fn outcome_look(outcome: Option<&Outcome>) -> (Tone, MaterialIcon) {
    match outcome {
        None => (Tone::Info, icon::ICON_PENDING),
        Some(Outcome::Completed) => (Tone::Good, icon::ICON_CHECK_CIRCLE),
        Some(Outcome::Cancelled) => (Tone::Neutral, icon::ICON_CANCEL),
        Some(Outcome::Refused { .. }) => (Tone::Warn, icon::ICON_BLOCK),
        Some(Outcome::Failed { .. }) => (Tone::Warn, icon::ICON_WARNING),
        Some(
            Outcome::Trapped { .. }
            | Outcome::TimedOut { .. }
            | Outcome::LimitExceeded { .. }
            | Outcome::Crashed { .. },
        ) => (Tone::Bad, icon::ICON_ERROR),
    }
}
