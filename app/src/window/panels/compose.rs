//! Writes a frame by hand and sends it; the text stays as it was typed.

use bytes::Bytes;
use egui::{Align, ScrollArea, TextEdit, Ui};
use egui_material_icons::icons as icon;
use glovebox_abi::cbor::Value;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_abi::{Frame, Header, Kind};
use glovebox_host::InstanceId;
use glovebox_inspector::decode::{self, hex};

use super::drawer::clock_of;
use crate::window::action::{Actions, Change};
use crate::window::commands::{Situation, Verb};
use crate::window::state::ViewState;
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::{Hint, paragraph, plain};
use crate::window::widgets::{
    badge, bordered, empty, icon_text, named_field, outcome_look, row, section, separator, text_in,
};
use crate::workbench::{Command, SendRequest, Sent, ViewCtx};

/// Frames of an answer that are shown.
const SHOWN: usize = 20;

/// What is composed.
#[derive(Debug)]
pub struct State {
    /// A name or number of a kind.
    pub kind: String,
    /// JSON.
    pub header: String,
    /// Text, `hex:…` or `@file`.
    pub payload: String,
    /// A payload that is too large to be edited; it is sent as it is, in place of the text.
    large: Option<Bytes>,
    /// The same of a header.
    large_header: Option<Header>,
    /// The header of a frame that was put into the fields, behind the text that stands for it: JSON
    /// cannot hold all that CBOR can, so that the text may say less.
    filled: Option<(String, Header)>,
    target: Option<InstanceId>,
    times: usize,
    shown: Option<usize>,
}

impl Default for State {
    fn default() -> Self {
        State {
            kind: "data".to_owned(),
            header: "{\"content-type\": \"application/json\"}".to_owned(),
            payload: "{\"hello\": \"world\"}".to_owned(),
            large: None,
            large_header: None,
            filled: None,
            target: None,
            times: 100,
            shown: None,
        }
    }
}

impl State {
    /// Puts a frame into the fields.
    pub fn fill(&mut self, frame: &Frame, target: Option<InstanceId>) {
        self.kind = frame.kind.to_string();
        let is_large = frame.header.as_bytes().len() > LARGE;
        self.large_header = is_large.then(|| frame.header.clone());
        if !is_large {
            self.header = header_text(&frame.header);
            self.filled = Some((self.header.clone(), frame.header.clone()));
        }
        self.target = target.or(self.target);
        self.large = (frame.payload.len() > LARGE).then(|| frame.payload.clone());
        if self.large.is_some() {
            return;
        }
        self.payload = match std::str::from_utf8(&frame.payload) {
            Ok(text) if !text.starts_with(['@']) && !text.starts_with(hex::PREFIX) => {
                text.to_owned()
            }
            _ => {
                format!("{}{}", hex::PREFIX, hex::encode(&frame.payload))
            }
        };
    }

    /// Sends to the selected plugin again, whatever was chosen before.
    pub fn follow_selection(&mut self) {
        self.target = None;
    }

    /// The frame that the fields describe, without reading a file.
    fn draft(&self) -> Result<Draft, String> {
        let kind: Kind = self.kind.trim().parse().map_err(|error| format!("Kind: {error}"))?;
        let header = match (&self.large_header, &self.filled) {
            (Some(header), _) => header.clone(),
            (None, Some((text, header))) if *text == self.header => header.clone(),
            _ => header(&self.header).map_err(|error| format!("Header: {error}"))?,
        };
        let payload = match &self.large {
            Some(bytes) => Payload::Bytes(bytes.clone()),
            None => payload(&self.payload).map_err(|error| format!("Payload: {error}"))?,
        };
        Ok(Draft { kind, header, payload })
    }

    /// What to send where, if it can be sent.
    pub fn request(
        &self,
        ctx: ViewCtx<'_>,
        chosen: Option<InstanceId>,
        times: usize,
    ) -> Result<SendRequest, String> {
        let target = self.target.filter(|id| ctx.plugin(*id).is_some()).or(chosen);
        let target = target.ok_or("Load a plugin to send to")?;
        let draft = self.draft()?;
        let (payload, payload_file) = match draft.payload {
            Payload::Bytes(bytes) => (bytes, None),
            Payload::File(path) => (Bytes::new(), Some(path.into())),
        };
        let frame = Frame::new(draft.kind, draft.header, payload);
        Ok(SendRequest { target, frame, payload_file, times })
    }

    /// True if the fields make sense.
    pub fn can_send(&self) -> bool {
        self.draft().is_ok()
    }
}

struct Draft {
    kind: Kind,
    header: Header,
    payload: Payload,
}

#[derive(Debug, PartialEq, Eq)]
enum Payload {
    Bytes(Bytes),
    File(String),
}

/// Reads a JSON object as a header; keys keep their order.
fn header(text: &str) -> Result<Header, String> {
    if text.trim().is_empty() {
        return Ok(Header::empty());
    }
    decode::header_from_json(text).map_err(|error| error.to_string())
}

/// The entries of a header as a JSON object, one per line, in their order.
fn header_text(header: &Header) -> String {
    let entries = header.entries();
    if entries.is_empty() {
        return String::new();
    }
    let line = |(key, value): &(Value, Value)| {
        let key = match key {
            Value::Text(text) => text.clone(),
            other => decode::to_json(other).to_string(),
        };
        format!("  {}: {}", serde_json::Value::from(key), decode::to_json(value))
    };
    format!("{{\n{}\n}}", entries.iter().map(line).collect::<Vec<_>>().join(",\n"))
}

/// Reads `hex:…`, `@file` or plain text.
fn payload(text: &str) -> Result<Payload, String> {
    if let Some(path) = text.strip_prefix('@') {
        let path = path.trim();
        return match path {
            "" => Err("write the path of a file after @".to_owned()),
            path => Ok(Payload::File(path.to_owned())),
        };
    }
    let Some(digits) = text.strip_prefix(hex::PREFIX) else {
        return Ok(Payload::Bytes(Bytes::from(text.to_owned())));
    };
    let bytes = hex::decode_spaced(digits).map_err(|error| error.to_string())?;
    Ok(Payload::Bytes(bytes.into()))
}

/// Paints the composer.
pub fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    let chosen = state.selection.plugin(ctx);
    if chosen.is_none() {
        let hint = "A frame needs somebody who answers";
        return empty(
            ui,
            icon::ICON_EDIT,
            "No plugin loaded",
            hint,
            Some(Verb::OpenPlugin),
            &Situation::default(),
            out,
        );
    }
    let width = ui.available_width();
    let compose = &mut state.panels.compose;
    // Where there is little room, the history makes room for the form.
    if width > 480.0 {
        egui::Panel::left("compose history")
            .default_size((width * 0.24).clamp(120.0, 200.0))
            .resizable(true)
            .frame(egui::Frame::new().inner_margin(8.0))
            .show(ui, |ui| history(ui, ctx, compose));
    }
    egui::Panel::right("compose answer")
        .default_size(width * 0.36)
        .resizable(true)
        .frame(egui::Frame::new().inner_margin(8.0))
        .show(ui, |ui| answer(ui, ctx, compose, out));
    egui::CentralPanel::no_frame().show(ui, |ui| {
        ScrollArea::vertical().id_salt("form").auto_shrink([false, false]).show(ui, |ui| {
            let frame = egui::Frame::new().inner_margin(8.0);
            frame.show(ui, |ui| form(ui, ctx, compose, chosen, out));
        });
    });
}

fn form(
    ui: &mut Ui,
    ctx: ViewCtx<'_>,
    state: &mut State,
    chosen: Option<InstanceId>,
    out: &mut Actions,
) {
    let tokens = theme::of(ui);
    section(ui, "Request", |_| {});
    let target = state.target.filter(|id| ctx.plugin(*id).is_some()).or(chosen);
    let weak = |text: &str| plain(text).color(tokens.text_weak);
    ui.horizontal_wrapped(|ui| {
        ui.label(weak("To"));
        let name = |id: InstanceId| {
            ctx.plugin(id).map_or_else(|| "gone".to_owned(), |plugin| ctx.name_of(plugin))
        };
        let mut picked = target;
        let response = egui::ComboBox::from_id_salt("target")
            .selected_text(plain(picked.map_or_else(|| "no plugin".to_owned(), name)))
            .show_ui(ui, |ui| {
                for plugin in ctx.plugins() {
                    ui.selectable_value(
                        &mut picked,
                        Some(plugin.instance),
                        plain(ctx.name_of(plugin)),
                    );
                }
            })
            .response;
        named_field(response, "Target plugin");
        if picked != target {
            state.target = picked;
        }
        if ui.available_size_before_wrap().x < 140.0 {
            ui.end_row();
        }
        ui.label(weak("Kind"));
        let field = TextEdit::singleline(&mut state.kind).hint_text("name or number");
        let field = field.desired_width(88.0);
        named_field(bordered(ui, |ui| ui.add(field)), "Kind");
    });
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        for (kind, name) in Kind::NAMED {
            if ui.selectable_label(state.kind == name, name).clicked() {
                state.kind = kind.to_string();
            }
        }
    });
    let bottom = 64.0;
    ui.label(weak("Header, JSON"));
    let header_height = ((ui.available_height() - bottom) * 0.28).max(48.0);
    match state.large_header.as_ref().map(|header| header.as_bytes().len()) {
        None => editor(ui, "Header", &mut state.header, header_height),
        Some(size) => {
            if too_large(ui, "header", size) {
                state.large_header = None;
            }
        }
    }
    ui.label(weak("Payload: text, hex:… or @file"));
    let payload_height = (ui.available_height() - bottom).max(64.0);
    match state.large.as_ref().map(Bytes::len) {
        None => editor(ui, "Payload", &mut state.payload, payload_height),
        Some(size) => {
            if too_large(ui, "payload", size) {
                state.large = None;
            }
        }
    }
    let draft = state.draft();
    ui.horizontal_wrapped(|ui| {
        let ready = draft.is_ok() && target.is_some();
        let send = egui::Button::new(plain("Send").color(tokens.on_accent)).fill(tokens.accent);
        if ui.add_enabled(ready, send).hint("Ctrl+Enter").clicked() {
            out.run(Verb::Send);
        }
        let response =
            ui.add(egui::DragValue::new(&mut state.times).range(2..=1_000_000).speed(10.0));
        named_field(response, "How often");
        if ui.add_enabled(ready, egui::Button::new(format!("Send {} times", state.times))).clicked()
        {
            match state.request(ctx, chosen, state.times) {
                Ok(request) => out.command(Command::Send(request)),
                Err(error) => out.command(Command::Notify(crate::workbench::Level::Error, error)),
            }
        }
    });
    if let Err(error) = draft {
        ui.label(plain(error).color(tokens.bad));
    }
}

/// Says that a part of the frame is sent as it is; true if it is to be written anew.
fn too_large(ui: &mut Ui, part: &str, size: usize) -> bool {
    let size = show_size(size as u64);
    ui.label(plain(format!("{size} of the chosen frame, too large to be edited here")));
    ui.button(format!("Write another {part}")).clicked()
}

fn editor(ui: &mut Ui, name: &str, text: &mut String, height: f32) {
    ScrollArea::vertical().id_salt(name).max_height(height).min_scrolled_height(height).show(
        ui,
        |ui| {
            let edit = TextEdit::multiline(text)
                .code_editor()
                .font(theme::mono(12.0))
                .desired_width(f32::INFINITY);
            let response =
                bordered(ui, |ui| ui.add_sized([ui.available_width(), height - 8.0], edit));
            named_field(response, name);
        },
    );
}

fn history(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut State) {
    let tokens = theme::of(ui);
    section(ui, "History", |ui| {
        ui.label(plain(ctx.sent().len().to_string()).color(tokens.text_weak));
    });
    if ctx.sent().is_empty() {
        ui.label(plain("What was sent is listed here").color(tokens.text_weak));
    }
    ui.spacing_mut().item_spacing.y = 2.0;
    let sent = ctx.sent();
    ScrollArea::vertical().id_salt("sent").auto_shrink([false, false]).show_rows(
        ui,
        38.0,
        sent.len(),
        |ui, range| {
            for position in range {
                let index = sent.len() - 1 - position;
                let one = &sent[index];
                let chosen = state.shown.unwrap_or(sent.len() - 1) == index;
                let (rect, response) =
                    row(ui, 38.0, chosen, &format!("{} to {}", one.frame.kind, one.plugin));
                let (tone, _) = outcome_look(Some(&one.outcome));
                let inner = rect.shrink2(egui::vec2(8.0, 3.0));
                let (top, bottom) = inner.split_top_bottom_at_fraction(0.5);
                let body = egui::TextStyle::Body.resolve(ui.style());
                text_in(
                    ui,
                    top,
                    Align::Min,
                    &format!("{} → {}", one.frame.kind, one.plugin),
                    body.clone(),
                    tokens.text,
                );
                let times = if one.times > 1 { format!("{}× ", one.times) } else { String::new() };
                text_in(
                    ui,
                    bottom,
                    Align::Min,
                    &format!("{times}{}", one.outcome.name()),
                    body.clone(),
                    tokens.tone(tone),
                );
                text_in(ui, bottom, Align::Max, &clock_of(one.at), body, tokens.text_weak);
                if response.clicked() {
                    state.shown = Some(index);
                }
                response.context_menu(|ui| {
                    if ui.button("Put into the form").clicked() {
                        state.fill(&one.frame, Some(one.instance));
                    }
                });
            }
        },
    );
}

fn answer(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut State, out: &mut Actions) {
    let tokens = theme::of(ui);
    section(ui, "Answer", |_| {});
    let sent = ctx.sent();
    let Some(one) = state.shown.and_then(|index| sent.get(index)).or(sent.back()) else {
        ui.label(plain("Send something to see the answer (Ctrl+Enter)").color(tokens.text_weak));
        return;
    };
    result(ui, one);
    separator(ui);
    ScrollArea::vertical().id_salt("answer").auto_shrink([false, false]).show(ui, |ui| {
        if one.frames.len() > SHOWN {
            let text = format!("The first {SHOWN} of {}", frames(one.frames.len()));
            ui.label(plain(text).color(tokens.text_weak));
        }
        for (index, frame) in one.frames.iter().take(SHOWN).enumerate() {
            ui.horizontal(|ui| {
                badge(ui, &frame.kind.to_string(), Tone::Neutral);
                ui.label(plain(show_size(frame.encoded_len() as u64)).color(tokens.text_weak));
                if ui.small_button("Copy").clicked() {
                    out.view(Change::Copy(shown(frame)));
                }
                if ui.small_button("Edit").clicked() {
                    out.view(Change::Compose(frame.clone(), None));
                }
            });
            ui.push_id(index, |ui| {
                let text = paragraph(preview(frame)).font(theme::mono(11.5));
                ui.add(egui::Label::new(text).wrap().selectable(true));
            });
            ui.add_space(8.0);
        }
        if one.frames.is_empty() {
            ui.label(plain("The plugin gave no frame").color(tokens.text_weak));
        }
    });
}

fn result(ui: &mut Ui, one: &Sent) {
    let tokens = theme::of(ui);
    let (tone, picture) = outcome_look(Some(&one.outcome));
    ui.horizontal_wrapped(|ui| {
        ui.label(icon_text(picture, 15.0).color(tokens.tone(tone)));
        ui.label(plain(one.outcome.to_string()).color(tokens.text_strong));
    });
    let text = match one.times {
        1 => format!("{} in {}", frames(one.frames.len()), show_duration(one.took)),
        times => format!(
            "{} of {times} completed in {}; the last gave {}",
            one.completed,
            show_duration(one.took),
            frames(one.frames.len())
        ),
    };
    ui.label(plain(text).color(tokens.text_weak));
}

fn frames(count: usize) -> String {
    match count {
        1 => "1 frame".to_owned(),
        count => format!("{count} frames"),
    }
}

/// Payloads beyond this many bytes are not read to be shown, and not edited as text.
const LARGE: usize = 64 << 10;

/// As much of a payload as is shown; made anew whenever it is painted.
pub(super) fn preview(frame: &Frame) -> String {
    if frame.payload.len() <= LARGE {
        return shown(frame);
    }
    let start = String::from_utf8_lossy(&frame.payload[..LARGE / 8]);
    let size = show_size(frame.payload.len() as u64);
    format!("{start}\n\nThis is the start of {size}; Copy takes all of it")
}

/// A payload for people: JSON if it is some, text if it is some, digits otherwise.
fn shown(frame: &Frame) -> String {
    if let Some(text) = decode::payload_text(frame, true) {
        return text;
    }
    match std::str::from_utf8(&frame.payload) {
        Ok(text) => text.to_owned(),
        Err(_) => frame.payload.iter().take(2048).map(|byte| format!("{byte:02x} ")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_read() {
        let bytes = |bytes: &[u8]| Ok(Payload::Bytes(Bytes::copy_from_slice(bytes)));
        assert_eq!(payload("hello"), bytes(b"hello"));
        assert_eq!(payload("hex:00 ff"), bytes(&[0, 0xff]));
        assert_eq!(payload("@/tmp/x"), Ok(Payload::File("/tmp/x".into())));
        assert!(payload("hex:0").is_err());
        assert!(payload("hex:zz").is_err());
        assert!(payload("@").is_err());
    }

    #[test]
    fn frames_survive_the_form() {
        fn check(frame: Frame) {
            let mut state = State::default();
            state.fill(&frame, None);
            let draft = state.draft().unwrap();
            let Payload::Bytes(payload) = draft.payload else {
                panic!("a file was never named");
            };
            assert_eq!(Frame::new(draft.kind, draft.header, payload), frame);
        }
        check(Frame::data("text"));
        check(Frame::data(vec![0, 1, 255]));
        check(Frame::data("@not-a-file"));
        let header = Header::build().text("z", "a").integer("n", 7).text("b", "c").finish();
        check(Frame::new(Kind::CONTROL, header, "{}"));
        // These are not texts of the form.
        check(Frame::data("x".repeat(LARGE + 1)));
        let header = Header::build().text("z", "y".repeat(LARGE)).finish();
        check(Frame::new(Kind::CONTROL, header, "{}"));
        // What JSON cannot hold.
        let tag = Value::Tag(1, Box::new(Value::Float(f64::INFINITY)));
        let entries =
            vec![(Value::Integer(1), tag), (Value::Text("t".into()), Value::Text("hex:00".into()))];
        check(Frame::new(Kind::DATA, Header::from_entries(entries), r#"{"n":-0,"n":1e400}"#));
    }

    #[test]
    fn a_large_payload_is_not_typed() {
        let mut state = State::default();
        state.fill(&Frame::data("x".repeat(8 << 20)), None);
        assert!(state.payload.len() < 100 && state.header.len() < 100);
        state.fill(&Frame::data("small"), None);
        assert_eq!(state.payload, "small");
        assert!(preview(&Frame::data("x".repeat(8 << 20))).len() < LARGE);
    }

    #[test]
    fn bad_headers_say_so() {
        assert!(header("[]").is_err());
        assert!(header("{").is_err());
        // Nothing is rounded.
        assert!(header(r#"{"id": 123456789012345678901}"#).is_err());
        assert!(header(r#"{"n": 1e400}"#).is_err());
        let exact = Header::build().value("n", Value::Integer(u64::MAX.into())).finish();
        assert_eq!(header(r#"{"n": 18446744073709551615}"#), Ok(exact));
        assert_eq!(header("  "), Ok(Header::empty()));
    }
}
