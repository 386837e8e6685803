//! The status bar: the chosen plugin, the recording, the live frames, and running work.

use egui::{Ui, vec2};
use egui_material_icons::icons as icon;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_inspector::store::StoreLimits;
use glovebox_trace::RecorderStatus;

use crate::window::action::Change;
use crate::window::commands::{Verb, entry};
use crate::window::context::PanelCtx;
use crate::window::ids::DrawerTab;
use crate::window::look::standing;
use crate::window::theme;
use crate::window::widgets::figures::thousands;
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{icon_button, label};
use crate::workbench::{Command, LiveCounts, Source};

/// How fast the window is painted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pulse {
    /// Nothing happens.
    Idle,
    /// Painted so many times a second.
    Fps(usize),
}

/// The data that the status bar shows besides the workbench.
#[derive(Debug, Clone, Copy)]
pub(super) struct Status<'a> {
    pub(super) pulse: Pulse,
    /// Frames that are listed, and frames in all.
    pub(super) frames: (usize, usize),
    /// Why the side that was asked for is not seen.
    pub(super) why_not: Option<&'a str>,
}

/// Paints the status bar.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, status: Status<'_>) {
    ui.style_mut().override_text_style = Some(egui::TextStyle::Small);
    ui.spacing_mut().interact_size.y = 18.0;
    ui.spacing_mut().button_padding.y = 0.0;
    ui.spacing_mut().item_spacing.x = 10.0;
    // Running work is told in full, and the rest as far as there is room.
    let sides = egui::Sides::new().height(ui.available_height()).shrink_left().truncate();
    sides.show(
        ui,
        |ui| match status.why_not {
            Some(why_not) => {
                ui.label(plain(why_not).color(theme::of(ui).warn));
            }
            None => plugins(ui, ctx),
        },
        |ui| work(ui, ctx, status),
    );
}

/// Less room is not worth the start of a text.
const ROOM: f32 = 48.0;

fn plugins(ui: &mut Ui, ctx: PanelCtx<'_>) {
    let tokens = theme::of(ui);
    let weak = |text: String| plain(text).color(tokens.text_weak);
    match ctx.chosen_plugin() {
        Some(plugin) => {
            let (dot, _) = ui.allocate_exact_size(vec2(8.0, 8.0), egui::Sense::hover());
            let standing = standing(ctx.view, plugin);
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
        Some(status) => recording(ui, status),
        None => {
            ui.label(weak("not recording".to_owned()));
        }
    }
    let LiveCounts { bytes, missing, denied, .. } = ctx.live();
    if denied > 0 {
        let text = format!("{} denied", thousands(denied as u64));
        let button = egui::Button::new(plain(&text).color(tokens.warn)).frame(false);
        let response = label(ui.add(button), format!("{text} live so far"));
        if response.hint("Show the host calls that were denied in what happens now").clicked() {
            ctx.change(Change::Source(Source::Live));
            ctx.change(Change::Drawer(DrawerTab::Denied));
        }
    }
    let most = StoreLimits::default().bytes;
    let (bytes, most) = (show_size(bytes as u64), show_size(most as u64));
    ui.label(weak(format!("{bytes} of {most} in memory")));
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

/// Work under way that is told in full.
const SHOWN_JOBS: usize = 2;

/// From the right to the left.
fn work(ui: &mut Ui, ctx: PanelCtx<'_>, status: Status<'_>) {
    let tokens = theme::of(ui);
    let weak = |text: String| plain(text).color(tokens.text_weak);
    let keys = ui.add(egui::Button::new(plain("? keys").color(tokens.text_weak)).frame(false));
    if label(keys, "Keys").clicked() {
        ctx.run(Verb::Keys);
    }
    ui.label(weak(match status.pulse {
        Pulse::Idle => "idle".to_owned(),
        Pulse::Fps(count) => format!("{count} fps"),
    }));
    let (listed, total) = status.frames;
    let count = |frames: usize| thousands(frames as u64);
    ui.label(weak(match listed == total {
        true if total == 1 => "1 frame".to_owned(),
        true => format!("{} frames", count(total)),
        false => format!("{} of {} frames", count(listed), count(total)),
    }));
    let more = ctx.jobs().len().saturating_sub(SHOWN_JOBS);
    if more > 0 {
        let rest = || ctx.jobs().iter().skip(SHOWN_JOBS).filter(|job| !job.cancelled);
        let titles: Vec<_> = rest().map(|job| job.title.as_str()).collect();
        let button = ui.small_button(plain(format!("+{more}")));
        let hint = format!("Stop these, too:\n{}", titles.join("\n"));
        if label(button, format!("Stop {more} more")).hint(hint).clicked() {
            rest().for_each(|job| ctx.command(Command::Cancel(job.id)));
        }
    }
    for job in ctx.jobs().iter().take(SHOWN_JOBS) {
        if icon_button(ui, icon::ICON_CANCEL, &format!("Stop: {}", job.title), !job.cancelled)
            .clicked()
        {
            ctx.command(Command::Cancel(job.id));
        }
        if let Some((done, total)) = job.progress {
            let part = done as f32 / total.max(1) as f32;
            ui.add(egui::ProgressBar::new(part).desired_width(96.0).desired_height(6.0));
        } else {
            ui.add(egui::Spinner::new().size(12.0));
        }
        let said = if job.doing.is_empty() { &job.title } else { &job.doing };
        let said = match job.held_at() {
            Some(held) => format!("{held}: {said}"),
            None => said.clone(),
        };
        ui.label(plain(said).small().color(tokens.text));
    }
}

/// How much is recorded, what is missing, and how full the recorder's memory is once the disk is
/// the slower side.
fn recording(ui: &mut Ui, recording: &RecorderStatus) {
    let tokens = theme::of(ui);
    let RecorderStatus { pressure, dropped, .. } = recording;
    let mut text = format!("recording {}", show_size(recording.bytes));
    if recording.segments > 1 {
        text.push_str(&format!(" in {} files", recording.segments));
    }
    if recording.snapshots > 0 {
        text.push_str(&format!(", {} snapshots", thousands(recording.snapshots)));
    }
    let keys = entry(Verb::ToggleRecording).shortcut().unwrap_or_default();
    ui.label(plain(text).color(tokens.bad)).hint(format!("{keys} stops the recording"));
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
