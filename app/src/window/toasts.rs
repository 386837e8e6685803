//! Notices that appear in the corner for a while; all of them stay in the drawer's lists or the
//! traces.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use egui::{Align2, Area, Frame, Margin, Order, Stroke, vec2};
use egui_material_icons::icons as icon;

use super::theme::{self, Tone};
use super::widgets::{icon_text, label};
use glovebox_abi::text::cut;

use crate::window::widgets::text::{line, plain};
use crate::workbench::{Level, Notice};

/// Notices that are shown at once.
const SHOWN: usize = 4;
/// Bytes of a notice that are shown.
const LENGTH: usize = 180;

/// The toasts: notices that pass by.
#[derive(Debug, Default)]
pub(crate) struct Toasts {
    shown: VecDeque<Toast>,
    next: u64,
}

#[derive(Debug)]
struct Toast {
    number: u64,
    level: Level,
    text: String,
    until: Instant,
}

impl Toasts {
    /// Takes in notices that are new.
    pub(crate) fn take_in(&mut self, notices: &VecDeque<Notice>, quiet: bool) {
        for notice in notices.iter().filter(|notice| notice.number >= self.next) {
            let seconds = match notice.level {
                Level::Info | Level::Success => 3,
                Level::Warning => 6,
                Level::Error => 10,
            };
            let text = line(&cut(&notice.text, LENGTH)).into_owned();
            if !quiet {
                self.shown.push_back(Toast {
                    number: notice.number,
                    level: notice.level,
                    text,
                    until: Instant::now() + Duration::from_secs(seconds),
                });
            }
        }
        self.next = notices.back().map_or(0, |notice| notice.number + 1);
        while self.shown.len() > SHOWN {
            self.shown.pop_front();
        }
    }

    /// Shows none of them any longer.
    pub(crate) fn clear(&mut self) {
        self.shown.clear();
    }

    /// Paints them; wakes the window when the next one is to go.
    pub(crate) fn show(&mut self, ui: &egui::Ui) {
        let now = Instant::now();
        self.shown.retain(|toast| toast.until > now);
        let Some(next) = self.shown.iter().map(|toast| toast.until).min() else {
            return;
        };
        ui.ctx().request_repaint_after(next - now);
        let tokens = theme::of(ui);
        let mut closed = None;
        Area::new(egui::Id::unique("toasts"))
            .anchor(Align2::RIGHT_BOTTOM, vec2(-12.0, -36.0))
            .order(Order::Foreground)
            .show(ui.ctx(), |ui| {
                for toast in &self.shown {
                    let (tone, picture) = match toast.level {
                        Level::Info => (Tone::Info, icon::ICON_INFO),
                        Level::Success => (Tone::Good, icon::ICON_CHECK_CIRCLE),
                        Level::Warning => (Tone::Warn, icon::ICON_WARNING),
                        Level::Error => (Tone::Bad, icon::ICON_ERROR),
                    };
                    let response = Frame::new()
                        .fill(tokens.raised)
                        .stroke(Stroke::new(1.0, tokens.control_border))
                        .corner_radius(6.0)
                        .inner_margin(Margin::symmetric(12, 8))
                        .show(ui, |ui| {
                            ui.set_width(380.0);
                            ui.horizontal_top(|ui| {
                                ui.label(icon_text(picture, 16.0).color(tokens.tone(tone)));
                                let text = plain(&toast.text).color(tokens.text);
                                ui.add(egui::Label::new(text).wrap());
                            });
                        })
                        .response;
                    let id = egui::Id::unique(("toast", toast.number));
                    let response = ui.interact(response.rect, id, egui::Sense::click());
                    if label(response, format!("Dismiss: {}", toast.text)).clicked() {
                        closed = Some(toast.number);
                    }
                }
            });
        self.shown.retain(|toast| Some(toast.number) != closed);
    }
}
