//! The selected frame: summary, header, payload, bytes, host calls; fields and bytes are linked.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use egui::{Align, ScrollArea, Ui};
use egui_material_icons::icons as icon;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_events::{HostCall, Timing};
use glovebox_inspector::decode::{self, Node, PayloadFormat};
use glovebox_inspector::store::{Call, Direction, Row, RowId, Store};
use glovebox_inspector::trace::CallWindow;
use glovebox_inspector::weight;

use super::frames::thousands;
use crate::panics::contain;
use crate::window::action::{Actions, Change};
use crate::window::commands::{Situation, Verb};
use crate::window::state::ViewState;
use crate::window::theme::{self, Tone};
use crate::window::widgets::hex::{self, Marks};
use crate::window::widgets::text::{self, Hint, paragraph, plain};
use crate::window::widgets::{
    badge, empty, fact, icon_text, row_look, section, separator, tree, without_end,
};
use crate::workbench::{RowRef, ViewCtx};

/// Frames up to this size are taken apart at once, larger ones in the background.
const AT_ONCE: usize = 128 << 10;

/// What the inspector remembers.
#[derive(Debug, Default)]
pub struct State {
    detail: Option<Detail>,
    tree: tree::State,
    hovered: Range<usize>,
    reveal: bool,
}

/// The selected frame, taken apart.
#[derive(Debug)]
struct Detail {
    of: RowRef,
    version: u64,
    row: Row,
    call: Option<CallFacts>,
    siblings: Vec<(RowId, Direction)>,
    /// False if other frames and host calls of the call are further away in the file.
    is_whole: bool,
    parts: Parts,
}

/// The details of a call beyond its frames.
#[derive(Debug)]
struct CallFacts {
    timing: Option<Timing>,
    memory: Option<u64>,
    denied: bool,
    host_calls: Vec<HostLine>,
    /// Host calls that are not among those.
    more: usize,
    /// Host calls that are no longer in memory.
    evicted: u64,
}

/// A host call as one line.
#[derive(Debug)]
struct HostLine {
    granted: bool,
    service: String,
    text: String,
    took: Duration,
}

/// Host calls that are shown of one call.
const HOST_CALLS: usize = 200;
/// Bytes of the arguments and of the result of a host call that are shown.
const HOST_VALUE: usize = 512;

impl CallFacts {
    fn of(call: &Call) -> CallFacts {
        let line = |call: &HostCall| {
            let brief = |value| decode::to_json(&weight::brief(value, HOST_VALUE)).to_string();
            let arguments = brief(&call.arguments);
            let result = match &call.result {
                Ok(value) => brief(value),
                Err(error) => text::line(&error.to_string()).into_owned(),
            };
            HostLine {
                granted: call.result.is_ok(),
                service: text::line(&call.service).into_owned(),
                text: format!("{arguments} → {result}"),
                took: call.took,
            }
        };
        let shown = call.host_calls.iter().take(HOST_CALLS);
        CallFacts {
            timing: call.timing,
            memory: call.memory,
            denied: call.denied,
            host_calls: shown.map(|(_, call)| line(call)).collect(),
            more: call.host_calls.len().saturating_sub(HOST_CALLS),
            evicted: call.evicted_host_calls,
        }
    }
}

#[derive(Debug)]
enum Parts {
    Coming(Receiver<Result<Decoded, String>>),
    Here(Arc<Decoded>),
    Failed(String),
}

#[derive(Debug)]
struct Decoded {
    bytes: Bytes,
    tree: Node,
    format: PayloadFormat,
    payload: Option<String>,
}

impl Parts {
    fn of(decoded: Result<Decoded, String>) -> Parts {
        decoded.map_or_else(Parts::Failed, |decoded| Parts::Here(Arc::new(decoded)))
    }
}

impl Decoded {
    fn of(frame: &glovebox_abi::Frame) -> Decoded {
        #[cfg(test)]
        crate::panics::hook::reach("Decoding");
        let format = decode::payload_format(frame);
        let payload = match format {
            PayloadFormat::Empty | PayloadFormat::Bytes => None,
            PayloadFormat::Text => Some(String::from_utf8_lossy(&frame.payload).into_owned()),
            PayloadFormat::Json | PayloadFormat::Cbor => decode::payload_text(frame, true),
        };
        Decoded { bytes: frame.to_bytes(), tree: decode::tree(frame), format, payload }
    }
}

/// Paints the inspector.
pub fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    refresh(ctx, state);
    let inspector = &mut state.panels.inspector;
    let Some(detail) = &mut inspector.detail else {
        let selected = state.selection.row;
        if let Some(pages) = selected.and_then(|row| ctx.pages(row.source)) {
            let text = pages.trouble().unwrap_or_else(|| "Reading the frame…".to_owned());
            ui.label(plain(text).color(theme::of(ui).text_weak));
            return;
        }
        let hint = "Select a frame in the list to take it apart";
        return empty(
            ui,
            icon::ICON_DATA_OBJECT,
            "No frame selected",
            hint,
            None,
            &Situation::default(),
            out,
        );
    };
    if let Parts::Coming(receiver) = &detail.parts {
        match receiver.try_recv() {
            Ok(decoded) => detail.parts = Parts::of(decoded),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                detail.parts = Parts::Failed("its thread ended early".to_owned());
            }
        }
    }
    head(ui, detail, !ctx.plugins().is_empty(), out);
    let parts = match &detail.parts {
        Parts::Here(decoded) => Some(Arc::clone(decoded)),
        Parts::Coming(_) => {
            ui.horizontal(|ui| {
                ui.spinner();
                ui.label(format!("Taking {} apart…", show_size(detail.row.size())));
            });
            None
        }
        Parts::Failed(why) => {
            let text = format!("This frame cannot be taken apart: {why}");
            ui.label(plain(text).color(theme::of(ui).bad));
            None
        }
    };
    ScrollArea::vertical().id_salt("inspector").auto_shrink([false, false]).show(ui, |ui| {
        summary(ui, detail);
        if let Some(parts) = parts {
            separator(ui);
            fields(
                ui,
                &parts,
                &mut inspector.tree,
                &mut inspector.hovered,
                &mut inspector.reveal,
                out,
            );
        }
        separator(ui);
        host_calls(ui, detail);
        if !detail.is_whole {
            let text = "Other parts of this call are further away in the file, or not there";
            ui.label(plain(text).color(theme::of(ui).warn));
        }
        ui.add_space(8.0);
    });
}

fn refresh(ctx: ViewCtx<'_>, state: &mut ViewState) {
    let inspector = &mut state.panels.inspector;
    let Some(of) = state.selection.row else {
        inspector.detail = None;
        return;
    };
    let known = inspector.detail.as_ref().filter(|detail| detail.of == of);
    let known_version = known.map(|detail| detail.version);
    let read = match ctx.pages(of.source) {
        None => ctx.read(of.source, |store| {
            let version = store.version();
            let is_new = known_version != Some(version);
            is_new.then(|| Found::of(store, of.row, version, true)).flatten()
        }),
        Some(pages) => {
            // What is read by the summary is read again by the index.
            let version = u64::from(pages.index().is_some());
            if known_version == Some(version) {
                return;
            }
            let of_window =
                |read: &CallWindow| Found::of(&read.window.store, of.row, version, read.is_whole);
            pages.read(of.row, of_window)
        }
    };
    let is_same = known.is_some();
    let Some(Found { version, row, call, siblings, is_whole }) = read.flatten() else {
        // Another row is shown only once it is there; nothing is shown in its place meanwhile.
        inspector.detail = inspector.detail.take().filter(|_| is_same);
        return;
    };
    let parts = match inspector.detail.take().filter(|_| is_same) {
        Some(detail) => detail.parts,
        None => {
            inspector.tree.selected = 0..0;
            inspector.hovered = 0..0;
            take_apart(&row)
        }
    };
    inspector.detail = Some(Detail { of, version, row, call, siblings, is_whole, parts });
}

/// What a store has of a row.
struct Found {
    version: u64,
    row: Row,
    call: Option<CallFacts>,
    siblings: Vec<(RowId, Direction)>,
    is_whole: bool,
}

impl Found {
    fn of(store: &Store, id: RowId, version: u64, is_whole: bool) -> Option<Found> {
        let row = store.row_by_id(id)?.clone();
        let call = store.call(row.call);
        let rows = call.iter().flat_map(|call| &call.rows);
        let siblings = rows.filter_map(|id| Some((*id, store.row_by_id(*id)?.direction))).collect();
        let call = call.map(CallFacts::of);
        Some(Found { version, row, call, siblings, is_whole })
    }
}

fn take_apart(row: &Row) -> Parts {
    if row.frame.encoded_len() <= AT_ONCE {
        return Parts::of(contain(|| Decoded::of(&row.frame)));
    }
    let (sender, receiver) = sync_channel(1);
    let frame = row.frame.clone();
    let thread = std::thread::Builder::new().name("glovebox decode".to_owned());
    // Nobody listens any more if another frame was selected meanwhile.
    match thread.spawn(move || drop(sender.send(contain(|| Decoded::of(&frame))))) {
        Ok(_) => Parts::Coming(receiver),
        Err(error) => Parts::Failed(format!("cannot start a thread: {error}")),
    }
}

fn head(ui: &mut Ui, detail: &Detail, has_plugin: bool, out: &mut Actions) {
    let tokens = theme::of(ui);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        let weak = |text: String| plain(text).color(tokens.text_weak);
        ui.label(weak(detail.row.plugin.to_string()));
        ui.label(weak("›".into()));
        ui.label(weak(format!("call {}", detail.row.call.0)));
        ui.label(weak("›".into()));
        for (position, (id, direction)) in detail.siblings.iter().enumerate() {
            let name = match direction {
                Direction::In => "in".to_owned(),
                Direction::Out if position <= 1 => "out".to_owned(),
                Direction::Out => format!("out {position}"),
            };
            if position > 5 {
                ui.label(weak(format!("{} more", detail.siblings.len() - position)));
                break;
            }
            if ui.selectable_label(*id == detail.of.row, name).clicked() {
                out.view(Change::Select(RowRef { source: detail.of.source, row: *id }));
            }
        }
    });
    ui.horizontal(|ui| {
        for (verb, name) in
            [(Verb::ReplayRow, "Resend"), (Verb::EditRow, "Edit…"), (Verb::ResendAndDiff, "Diff")]
        {
            let line = crate::window::commands::entry(verb);
            // The composer is there without a plugin, too.
            let enabled = has_plugin || verb == Verb::EditRow;
            let button = ui.add_enabled(enabled, egui::Button::new(name)).hint(line.hint());
            let button = button.hint_when_disabled("No plugin is loaded that could answer");
            if button.clicked() {
                out.run(verb);
            }
        }
    });
    separator(ui);
}

fn summary(ui: &mut Ui, detail: &Detail) {
    let tokens = theme::of(ui);
    let row = &detail.row;
    section(ui, "Summary", |_| {});
    let (tone, picture) = row_look(&row.status, detail.of.source);
    let calls = detail.call.as_ref().map_or(0, |call| call.host_calls.len() + call.more);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        ui.label(icon_text(picture, 16.0).color(tokens.tone(tone)));
        let alone = detail.siblings.len() == 1 && calls == 0;
        let text = match row.status.outcome() {
            Some(outcome) => outcome.to_string(),
            None if !detail.is_whole => "no end here".to_owned(),
            None => without_end(detail.of.source, alone).to_owned(),
        };
        ui.add(egui::Label::new(plain(text).color(tokens.text_strong)).wrap());
    });
    let direction = match row.direction {
        Direction::In => "to the plugin",
        Direction::Out if row.emitted => "from the plugin, emitted",
        Direction::Out => "from the plugin",
    };
    fact(ui, "Frame", format!("#{}, {}", row.id.0, direction));
    fact(ui, "Kind", row.kind().to_string());
    let exact = format!("{} B", thousands(row.size()));
    let size = match row.size() < 1024 {
        true => exact,
        false => format!("{} ({exact})", show_size(row.size())),
    };
    fact(ui, "Size", size);
    fact(ui, "Time", format!("+{:.6} s", row.since_start.as_secs_f64()));
    fact(ui, "Generation", row.generation.to_string());
    if let Some(timing) = detail.call.as_ref().and_then(|call| call.timing) {
        fact(ui, "Latency", show_duration(timing.latency()));
        let part = show_duration;
        let (guest, host) = (part(timing.guest), part(timing.host));
        // Only the frame ABI can tell the guest's time from carrying the frames.
        let split = match timing.boundary.is_zero() {
            true => format!("guest with boundary {guest}, host {host}"),
            false => format!("guest {guest}, host {host}, boundary {}", part(timing.boundary)),
        };
        fact(ui, "of which", split);
        if !timing.queue.is_zero() {
            fact(ui, "Queue", show_duration(timing.queue));
        }
    }
    if let Some(memory) = detail.call.as_ref().and_then(|call| call.memory) {
        fact(ui, "Memory", show_size(memory));
    }
    let denied = detail.call.as_ref().is_some_and(|call| call.denied);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        let (rect, _) = ui.allocate_exact_size(egui::vec2(92.0, 20.0), egui::Sense::hover());
        let body = egui::TextStyle::Body.resolve(ui.style());
        crate::window::widgets::text_in(ui, rect, Align::Min, "Policy", body, tokens.text_weak);
        match (denied, calls) {
            (true, _) => badge(ui, "a host call was denied", Tone::Warn),
            (false, 0) => badge(ui, "nothing was asked for", Tone::Neutral),
            (false, _) => badge(ui, "every host call was granted", Tone::Good),
        };
    });
}

fn fields(
    ui: &mut Ui,
    parts: &Decoded,
    state: &mut tree::State,
    hovered: &mut Range<usize>,
    reveal: &mut bool,
    out: &mut Actions,
) {
    let tokens = theme::of(ui);
    section(ui, "Fields", |_| {});
    let from_tree = ui.scope(|ui| tree::show(ui, &parts.tree, state, hovered)).inner;
    if let Some(range) = &from_tree.clicked {
        state.selected = range.clone();
        *reveal = true;
    }
    if let Some(filter) = from_tree.filter {
        out.view(Change::Filter(filter));
    }
    if let Some(value) = from_tree.copy {
        out.view(Change::Copy(value));
    }
    separator(ui);
    let name = match parts.format {
        PayloadFormat::Empty => "empty",
        PayloadFormat::Json => "JSON",
        PayloadFormat::Cbor => "CBOR",
        PayloadFormat::Text => "text",
        PayloadFormat::Bytes => "bytes",
    };
    section(ui, "Payload", |ui| {
        badge(ui, name, Tone::Neutral);
        if let Some(payload) = &parts.payload
            && ui.small_button("Copy").clicked()
        {
            out.view(Change::Copy(payload.clone()));
        }
    });
    if let Some(payload) = &parts.payload {
        let end = payload.char_indices().nth(4000).map_or(payload.len(), |(end, _)| end);
        egui::Frame::new().fill(tokens.field).corner_radius(4.0).inner_margin(8.0).show(ui, |ui| {
            ui.set_width(ui.available_width());
            let text = paragraph(&payload[..end]).font(theme::mono(11.5)).color(tokens.text);
            ui.add(egui::Label::new(text).wrap().selectable(true));
            if end < payload.len() {
                ui.label(format!("{} more characters; copy shows all", payload.len() - end));
            }
        });
    } else {
        let text = match parts.format {
            PayloadFormat::Empty => "This frame has no payload",
            _ => "No text in this payload; its bytes are below",
        };
        ui.label(plain(text).color(tokens.text_weak));
    }
    separator(ui);
    section(ui, "Bytes", |ui| {
        let text = show_size(parts.bytes.len() as u64);
        ui.label(plain(text).color(tokens.text_weak));
    });
    let marks = Marks {
        selected: state.selected.clone(),
        hovered: from_tree.hovered.clone().unwrap_or_else(|| hovered.clone()),
        reveal: std::mem::take(reveal),
    };
    let from_hex = ui.scope(|ui| hex::show(ui, &parts.bytes, &marks, 240.0)).inner;
    let field = |byte| tree::field_at(&parts.tree, byte).map(|node| node.range.clone());
    *hovered = from_hex.hovered.and_then(field).unwrap_or_default();
    if let Some(range) = from_hex.clicked.and_then(field) {
        state.selected = range;
    }
}

fn host_calls(ui: &mut Ui, detail: &Detail) {
    let tokens = theme::of(ui);
    let calls = detail.call.as_ref().map_or(&[][..], |call| &call.host_calls);
    let more = detail.call.as_ref().map_or(0, |call| call.more);
    section(ui, "Host calls", |ui| {
        ui.label(plain((calls.len() + more).to_string()).color(tokens.text_weak));
    });
    let evicted = detail.call.as_ref().map_or(0, |call| call.evicted);
    if evicted > 0 {
        let text = format!("{} earlier ones had to make room", thousands(evicted));
        ui.label(plain(text).color(tokens.text_weak));
    }
    if calls.is_empty() && evicted == 0 {
        ui.label(plain("The plugin asked the host for nothing").color(tokens.text_weak));
    }
    for call in calls {
        let (tone, picture) = match call.granted {
            true => (Tone::Good, icon::ICON_CHECK_CIRCLE),
            false => (Tone::Warn, icon::ICON_BLOCK),
        };
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            ui.label(icon_text(picture, 13.0).color(tokens.tone(tone)));
            ui.label(plain(&call.service).color(tokens.text));
            ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
                ui.label(plain(show_duration(call.took)).color(tokens.text_weak));
                ui.with_layout(egui::Layout::left_to_right(Align::Center), |ui| {
                    let text = plain(&call.text).font(theme::mono(11.0)).color(tokens.text_weak);
                    ui.add(egui::Label::new(text).truncate());
                });
            });
        });
    }
    if more > 0 {
        ui.label(format!("{more} more"));
    }
}
