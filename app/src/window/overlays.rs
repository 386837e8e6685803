//! Overlays above the window for a moment: palette, key sheet, path field.

mod doctor;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use egui::{Align, Frame, Label, Layout, Modal, ScrollArea, vec2};
use glovebox_abi::manifest::MIN_COMPILE_MEMORY;
use glovebox_abi::units::{parse_duration, parse_size, show_duration, show_size};
use glovebox_host::{CandidateRole, InstanceId};

use super::action::{Action, Change, Quit};
use super::commands::{Entry, Menu, Situation, TABLE};
use super::context::PanelCtx;
use super::dialogs::Purpose;
use super::palette::Palette;
use super::theme::{self, Tone};
use super::widgets::{bordered, named_field, section};
use crate::window::widgets::text::{Hint as _, plain};
use crate::workbench::{Command, Every, Reader, Source, ViewCtx};

/// At most one of them is open.
#[derive(Debug, Default)]
pub(super) enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// The palette.
    Palette(Palette),
    /// Every key.
    Keys,
    /// The report on this machine.
    Doctor,
    /// The report of a failure bundle of this name.
    Report { name: String, text: String },
    /// A path that is being typed.
    Path(PathField),
    /// The work that is unsaved if the window is closed now, and whether any of it is gone then.
    Quit(Vec<String>, bool),
    /// Whether something is meant that destroys, weakens or trusts.
    Confirm(Question, Box<Action>),
    /// How often snapshots are taken, as it is being typed; empty for never.
    Snapshots(String),
    /// How long the compiler may take, as it is being typed; empty for what suits each artifact.
    CompileDeadline(String),
    /// How much memory the compiler may take, as it is being typed; empty for what suits each artifact.
    CompileMemory(String),
    /// How long opening a plugin for the first time may take, as it is being typed; empty for what suits
    /// each.
    LoadDeadline(String),
}

/// A question to a person before something is done.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// The action in question.
    pub title: String,
    /// Its consequences.
    pub means: String,
}

/// A path that is being typed.
#[derive(Debug)]
pub(super) struct PathField {
    purpose: Purpose,
    text: String,
    /// The path that was entered last, if nothing is there.
    missing: Option<String>,
}

impl PathField {
    /// A field for a file to open or to save; `name` is offered for one to save.
    pub(super) fn new(purpose: Purpose, name: &str) -> PathField {
        let folder = std::env::current_dir().unwrap_or_default();
        let text = match purpose {
            Purpose::Plugin
            | Purpose::Compare(_)
            | Purpose::Try(..)
            | Purpose::Trace
            | Purpose::Baseline => String::new(),
            Purpose::Save(_)
            | Purpose::SaveLive
            | Purpose::SaveBaseline
            | Purpose::SavePolicy
            | Purpose::SaveBundle(_) => folder.join(name).display().to_string(),
        };
        PathField { purpose, text, missing: None }
    }
}

impl Overlay {
    /// The choice of snapshots, as it is set now.
    pub(super) fn snapshots(ctx: ViewCtx<'_>) -> Overlay {
        Overlay::Snapshots(ctx.snapshot_every().map_or_else(String::new, |every| every.to_string()))
    }

    /// The choice of the compiler's time, as it is set now.
    pub(super) fn compile_deadline(ctx: ViewCtx<'_>) -> Overlay {
        Overlay::CompileDeadline(ctx.compile_deadline().map_or_else(String::new, show_duration))
    }

    /// The choice of the compiler's memory, as it is set now.
    pub(super) fn compile_memory(ctx: ViewCtx<'_>) -> Overlay {
        Overlay::CompileMemory(ctx.compile_memory().map_or_else(String::new, show_size))
    }

    /// The choice of the time for loading, as it is set now.
    pub(super) fn load_deadline(ctx: ViewCtx<'_>) -> Overlay {
        Overlay::LoadDeadline(ctx.load_deadline().map_or_else(String::new, show_duration))
    }

    /// Takes in what is shown above the window.
    pub(super) fn take_in(&mut self, reader: Reader<'_>, source: Source) {
        if let Overlay::Palette(palette) = self {
            palette.take_in(reader, source);
        }
    }

    /// Paints what is open; Esc and a click beside it close it.
    pub(super) fn show(&mut self, ui: &mut egui::Ui, ctx: PanelCtx<'_>) {
        let stays = match self {
            Overlay::None => true,
            Overlay::Palette(palette) => palette.show(ui, ctx),
            Overlay::Keys => keys(ui),
            Overlay::Doctor => doctor::show(ui, ctx),
            Overlay::Report { name, text } => report::show(ui, ctx, name, text),
            Overlay::Path(field) => path(ui, ctx, field),
            Overlay::Quit(unsaved, discards) => quit(ui, ctx, unsaved, *discards),
            Overlay::Confirm(question, action) => confirm(ui, ctx, question, action),
            Overlay::Snapshots(text) => match choose(ui, &SNAPSHOTS, text) {
                Chosen::Waits => true,
                Chosen::Nothing => false,
                Chosen::Value(every) => {
                    ctx.command(Command::SetSnapshots(every));
                    false
                }
            },
            Overlay::CompileDeadline(text) => match choose(ui, &COMPILE_DEADLINE, text) {
                Chosen::Waits => true,
                Chosen::Nothing => false,
                Chosen::Value(deadline) => {
                    ctx.command(Command::SetCompileDeadline(deadline));
                    false
                }
            },
            Overlay::CompileMemory(text) => match choose(ui, &COMPILE_MEMORY, text) {
                Chosen::Waits => true,
                Chosen::Nothing => false,
                Chosen::Value(memory) => {
                    ctx.command(Command::SetCompileMemory(memory));
                    false
                }
            },
            Overlay::LoadDeadline(text) => match choose(ui, &LOAD_DEADLINE, text) {
                Chosen::Waits => true,
                Chosen::Nothing => false,
                Chosen::Value(deadline) => {
                    ctx.command(Command::SetLoadDeadline(deadline));
                    false
                }
            },
        };
        if !stays {
            *self = Overlay::None;
        }
    }

    /// True if nothing is open.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Overlay::None)
    }
}

/// Room between a title of the sheet and the keys of the menu before, in lines.
const TITLE: usize = 2;

fn keys(ui: &mut egui::Ui) -> bool {
    let modal = Modal::new(egui::Id::unique("keys")).show(ui, |ui| {
        let tokens = theme::of(ui);
        let room = ui.ctx().content_rect();
        Frame::new().inner_margin(12.0).show(ui, |ui| {
            ui.set_width((room.width() - 96.0).min(960.0));
            ui.label(plain("Keys").font(theme::strong(16.0)).color(tokens.text_strong));
            let hint = "Keys without Ctrl or Alt act while nothing is typed";
            ui.label(plain(hint).color(tokens.text_weak));
            ui.add_space(8.0);
            let area = ScrollArea::vertical().max_height(room.height() - 192.0);
            area.min_scrolled_height(room.height() - 192.0).show(ui, |ui| {
                ui.spacing_mut().item_spacing = vec2(24.0, 0.0);
                ui.columns(COLUMNS, |columns| {
                    for (menu, name, column) in in_columns() {
                        let ui = &mut columns[column];
                        section(ui, name, |_| {});
                        with_keys(menu).for_each(|entry| key_line(ui, entry));
                        ui.add_space(12.0);
                    }
                });
            });
        });
    });
    !modal.should_close()
}

const COLUMNS: usize = 3;

fn with_keys(menu: Menu) -> impl Iterator<Item = &'static Entry> {
    TABLE.iter().filter(move |entry| entry.menu == menu && !entry.keys.is_empty())
}

/// The menus in their order, in columns of about the same length.
fn in_columns() -> impl Iterator<Item = (Menu, &'static str, usize)> {
    let lines = |menu| with_keys(menu).count() + TITLE;
    let all: usize = Menu::ALL.iter().map(|(menu, _)| lines(*menu)).sum();
    Menu::ALL.into_iter().scan(0, move |above, (menu, name)| {
        let middle = *above + lines(menu) / 2;
        *above += lines(menu);
        Some((menu, name, middle * COLUMNS / all))
    })
}

fn key_line(ui: &mut egui::Ui, entry: &Entry) {
    let tokens = theme::of(ui);
    let size = vec2(ui.available_width(), 20.0);
    ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
        ui.set_min_size(size);
        let keys: Vec<_> = entry.keys.iter().map(super::commands::show_keys).collect();
        let keys = plain(keys.join("  ")).font(theme::mono(11.0));
        ui.label(keys.color(tokens.text_weak));
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            let name = plain(entry.name.trim_end_matches('…')).color(tokens.text);
            ui.add(Label::new(name).truncate());
        });
    });
}

/// True if it was not painted the last time.
fn is_new(ui: &egui::Ui, widget: &egui::Response) -> bool {
    let now = ui.ctx().cumulative_pass_nr();
    let before = ui.data_mut(|data| {
        std::mem::replace(data.get_temp_mut_or(widget.id.with("painted"), 0_u64), now)
    });
    before + 1 < now
}

/// True if Enter was pressed in a field. It has the focus when it appears, and keeps it on Enter;
/// Tab goes on to the buttons.
fn is_entered(ui: &egui::Ui, field: &egui::Response) -> bool {
    let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
    if is_new(ui, field) || entered {
        field.request_focus();
    }
    entered
}

/// The title of a dialog about another build, with the plugin that it is for; and what is sent to whom.
fn told(
    purpose: Purpose,
    of: impl Fn(InstanceId) -> String,
    now: &Situation,
) -> (Option<String>, Option<String>) {
    match purpose {
        Purpose::Compare(first) => {
            let sends = now.compares.as_deref();
            let sends = sends.map(|aim| format!("Sends {}\n{}", aim.whole, aim.inputs));
            (Some(format!("Compare {} with another build", of(first))), sends)
        }
        Purpose::Try(instance, role) => {
            let (role, sends) = match role {
                CandidateRole::Canary { one_in, .. } => {
                    ("canary", format!("It answers one frame of {one_in} in place of it"))
                }
                _ => ("shadow", "It makes all its calls again, without an effect".to_owned()),
            };
            let title = format!("Try another build of {} as {role}", of(instance));
            (Some(title), Some(sends))
        }
        _ => (None, None),
    }
}

fn path(ui: &mut egui::Ui, ctx: PanelCtx<'_>, field: &mut PathField) -> bool {
    let of = |instance| ctx.names_of(&[instance]);
    let (told, sends) = told(field.purpose, of, ctx.now);
    let (title, hint, verb) = match field.purpose {
        Purpose::Plugin | Purpose::Trace | Purpose::Baseline => (
            "Open by path",
            "A plugin (artifact, plugin.toml or its folder), a trace or a capture",
            "Open",
        ),
        Purpose::Compare(_) => (
            "Compare with another build",
            "A build of the same plugin: artifact, plugin.toml or its folder",
            "Compare",
        ),
        Purpose::Try(..) => (
            "Try another build",
            "A build of the same plugin: artifact, plugin.toml or its folder",
            "Try",
        ),
        Purpose::Save(_) => {
            ("Save trace", "A new .mcap file; you are asked before one is replaced", "Save")
        }
        Purpose::SaveLive => {
            ("Save live frames", "A new .mcap file; you are asked before one is replaced", "Save")
        }
        Purpose::SaveBundle(_) => (
            "Save failure bundle",
            "A new .mcap file; you are asked before one is replaced",
            "Save",
        ),
        Purpose::SavePolicy => {
            ("Save policy", "A new .toml file; you are asked before one is replaced", "Save")
        }
        Purpose::SaveBaseline => {
            ("Save as baseline", "A new .txt file; you are asked before one is replaced", "Save")
        }
    };
    let mut taken = false;
    let modal = Modal::new(egui::Id::unique("path")).show(ui, |ui| {
        let tokens = theme::of(ui);
        Frame::new().inner_margin(12.0).show(ui, |ui| {
            ui.set_width((ui.ctx().content_rect().width() - 96.0).min(520.0));
            let title = told.as_deref().unwrap_or(title);
            ui.label(plain(title).font(theme::strong(15.0)).color(tokens.text_strong));
            ui.label(plain(hint).color(tokens.text_weak));
            if let Some(sends) = &sends {
                ui.label(plain(sends.as_str()).color(tokens.text_weak));
            }
            ui.add_space(4.0);
            let edit = egui::TextEdit::singleline(&mut field.text)
                .desired_width(f32::INFINITY)
                .hint_text("/path/to/plugin.wasm");
            let response = named_field(bordered(ui, |ui| ui.add(edit)), "Path");
            let enter = is_entered(ui, &response);
            if let Some(path) = &field.missing {
                ui.label(plain(format!("There is no {path}")).color(tokens.bad));
            }
            ui.add_space(8.0);
            ui.horizontal(|ui| {
                let ready = !field.text.trim().is_empty();
                let clicked = ui.add_enabled(ready, egui::Button::new(verb)).clicked();
                taken = ready && (clicked || enter);
                if ui.button("Cancel").clicked() {
                    ui.close();
                }
            });
        });
    });
    if taken {
        let path = PathBuf::from(field.text.trim());
        let is_to_open = matches!(
            field.purpose,
            Purpose::Plugin
                | Purpose::Compare(_)
                | Purpose::Try(..)
                | Purpose::Trace
                | Purpose::Baseline
        );
        // A file that is there and cannot be read gets an error that says why.
        let is_missing = is_to_open && path.try_exists().is_ok_and(|exists| !exists);
        field.missing = is_missing.then(|| path.display().to_string());
        taken = !is_missing;
        if taken {
            ctx.change(Change::File(field.purpose, path));
        }
    }
    !taken && !modal.should_close()
}

/// The unsaved things, and the three ways on.
fn quit(ui: &mut egui::Ui, ctx: PanelCtx<'_>, unsaved: &[String], discards: bool) -> bool {
    let mut how = None;
    let modal = Modal::new(egui::Id::unique("quit")).show(ui, |ui| {
        let tokens = theme::of(ui);
        Frame::new().inner_margin(12.0).show(ui, |ui| {
            ui.set_width((ui.ctx().content_rect().width() - 96.0).min(460.0));
            let title = plain("Quit with something unsaved?").font(theme::strong(15.0));
            ui.label(title.color(tokens.text_strong));
            for line in unsaved {
                ui.add(Label::new(plain(format!("• {line}")).color(tokens.text)).wrap());
            }
            ui.add_space(12.0);
            ui.horizontal(|ui| {
                // Without anything to be lost, quitting finishes what runs.
                let first = ui.button(if discards { "Save…" } else { "Quit" });
                if is_new(ui, &first) {
                    first.request_focus();
                }
                if first.clicked() {
                    how = Some(Quit::Saving);
                }
                let discard = plain("Quit").color(tokens.tone(Tone::Bad));
                let hint = "All of that is lost";
                if discards && ui.button(discard).hint(hint).clicked() {
                    how = Some(Quit::Now);
                }
                if ui.button("Cancel").clicked() {
                    ui.close();
                }
            });
        });
    });
    if let Some(how) = how {
        ctx.change(Change::Quit(how));
    }
    how.is_none() && !modal.should_close()
}

/// The answer that changes nothing has the focus: Enter alone never agrees.
fn confirm(ui: &mut egui::Ui, ctx: PanelCtx<'_>, question: &Question, action: &Action) -> bool {
    let mut agreed = false;
    let modal = Modal::new(egui::Id::unique("confirm")).show(ui, |ui| {
        let tokens = theme::of(ui);
        Frame::new().inner_margin(12.0).show(ui, |ui| {
            ui.set_width((ui.ctx().content_rect().width() - 96.0).min(420.0));
            let title = plain(format!("{}?", question.title)).font(theme::strong(15.0));
            ui.label(title.color(tokens.text_strong));
            ui.add(Label::new(plain(&question.means).color(tokens.text)).wrap());
            ui.add_space(12.0);
            ui.horizontal(|ui| {
                let cancel = ui.button("Cancel");
                if is_new(ui, &cancel) {
                    cancel.request_focus();
                }
                let agree = plain(&question.title).color(tokens.tone(Tone::Bad));
                agreed = ui.button(agree).clicked();
                if cancel.clicked() {
                    ui.close();
                }
            });
        });
    });
    if agreed {
        ctx.agreed(action.clone());
    }
    !agreed && !modal.should_close()
}

/// A value that is offered or typed; none if nothing is typed.
struct Choice<T> {
    title: &'static str,
    about: &'static str,
    /// Names and what they stand for; anything else can be typed.
    offered: [(&'static str, &'static str); 4],
    field: &'static str,
    hint: &'static str,
    read: fn(&str) -> Result<T, String>,
}

/// The outcome of a [`Choice`].
enum Chosen<T> {
    Waits,
    Nothing,
    Value(Option<T>),
}

const SNAPSHOTS: Choice<Every> = Choice {
    title: "Snapshots of states",
    about: "Recordings that start from now on keep the states of plugins, so that a replay can start \
            in the middle of them",
    offered: [
        ("never", ""),
        ("100 inputs", "100 inputs"),
        ("1000 inputs", "1000 inputs"),
        ("5 s", "5 s"),
    ],
    field: "How often",
    hint: "never; or a number of inputs, or a time",
    read: |text| text.parse().map_err(|error| format!("Please {error}")),
};

const COMPILE_DEADLINE: Choice<Duration> = Choice {
    title: "Time for compiling",
    about: "The compiler gets so long for each plugin that is loaded from now on; a longer \
            compile is given up",
    offered: [("by size", ""), ("1 min", "1 min"), ("5 min", "5 min"), ("30 min", "30 min")],
    field: "How long",
    hint: "by manifest or size; or a time",
    read: |text| parse_duration(text).map_err(|error| error.to_string()),
};

const COMPILE_MEMORY: Choice<u64> = Choice {
    title: "Memory for compiling",
    about: "The compiler gets so much memory for each plugin that is loaded from now on; a compile that \
            needs more is given up",
    offered: [("by size", ""), ("1 GiB", "1 GiB"), ("4 GiB", "4 GiB"), ("16 GiB", "16 GiB")],
    field: "How much",
    hint: "by manifest or size; or a size",
    read: |text| match parse_size(text) {
        Ok(bytes) if bytes < MIN_COMPILE_MEMORY => {
            Err(format!("it needs {} at least", show_size(MIN_COMPILE_MEMORY)))
        }
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(error.to_string()),
    },
};

const LOAD_DEADLINE: Choice<Duration> = Choice {
    title: "Time for loading",
    about: "Each native plugin that is loaded from now on gets so long to be opened for the first time, in a \
            process of its own; one that takes longer is refused",
    offered: [("by manifest", ""), ("5 s", "5 s"), ("20 s", "20 s"), ("1 min", "1 min")],
    field: "How long",
    hint: "by manifest, or 5 s; or a time",
    read: |text| match parse_duration(text) {
        Ok(deadline) if deadline.is_zero() => Err("it needs more than 0 s".to_owned()),
        Ok(deadline) => Ok(deadline),
        Err(error) => Err(error.to_string()),
    },
};

fn choose<T>(ui: &mut egui::Ui, choice: &Choice<T>, text: &mut String) -> Chosen<T> {
    let mut chosen = Chosen::Waits;
    let modal = Modal::new(egui::Id::unique(choice.title)).show(ui, |ui| {
        let tokens = theme::of(ui);
        Frame::new().inner_margin(12.0).show(ui, |ui| {
            ui.set_width((ui.ctx().content_rect().width() - 96.0).min(460.0));
            let title = plain(choice.title).font(theme::strong(15.0));
            ui.label(title.color(tokens.text_strong));
            ui.label(plain(choice.about).color(tokens.text_weak));
            ui.add_space(8.0);
            ui.horizontal(|ui| {
                for (name, value) in choice.offered {
                    if ui.selectable_label(text == value, name).clicked() {
                        *text = value.to_owned();
                    }
                }
            });
            ui.add_space(4.0);
            let field = egui::TextEdit::singleline(text)
                .desired_width(f32::INFINITY)
                .hint_text(choice.hint);
            let response = named_field(bordered(ui, |ui| ui.add(field)), choice.field);
            let enter = is_entered(ui, &response);
            let value = match text.trim() {
                "" => Ok(None),
                text => (choice.read)(text).map(Some),
            };
            if let Err(error) = &value {
                ui.label(plain(error).color(tokens.tone(Tone::Bad)));
            }
            ui.add_space(8.0);
            ui.horizontal(|ui| {
                let set = ui.add_enabled(value.is_ok(), egui::Button::new("Set")).clicked();
                if let (true, Ok(value)) = (set || enter, value) {
                    chosen = Chosen::Value(value);
                }
                if ui.button("Cancel").clicked() {
                    ui.close();
                }
            });
        });
    });
    match chosen {
        Chosen::Waits if modal.should_close() => Chosen::Nothing,
        chosen => chosen,
    }
}
