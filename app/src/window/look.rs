//! The look of plugins, calls and outcomes: tones, pictures, few words.

use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;
use glovebox_abi::Permission;
use glovebox_abi::manifest::{Isolation, Tier};
use glovebox_events::{Outcome, Phase};
use glovebox_host::worker::LayerState;
use glovebox_host::{PluginStatus, RefusedGeneration};
use glovebox_inspector::store::Status;

use super::theme::Tone;
use crate::workbench::{Source, ViewCtx};

/// What is measured as the latency of a call, everywhere.
pub(crate) const LATENCY: &str = "Latency is the time in the plugin and in host services, frames carried \
    in and out. The time in the queue, and that of recording and painting, is no part of it";

/// How a phase is shown.
pub(crate) fn phase_tone(phase: Phase) -> Tone {
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
pub(crate) struct Standing {
    pub tone: Tone,
    /// The picture of what is wrong, if anything is.
    pub picture: Option<MaterialIcon>,
    /// In few words.
    pub text: String,
    /// The problem, in full.
    pub reason: Option<String>,
}

/// Where machine code runs, in few words; nothing of other plugins, which run in a sandbox in this
/// process.
pub(crate) fn place(plugin: &PluginStatus) -> Option<String> {
    let there = match plugin.tier {
        Tier::Native => "worker",
        Tier::Container => "container",
        Tier::Core | Tier::Wasm | Tier::Remote => return None,
    };
    let Some(sandbox) = &plugin.sandbox else {
        // One that sleeps has no process yet.
        return Some(match plugin.isolation {
            Isolation::InProcess => "in this process".to_owned(),
            _ => there.to_owned(),
        });
    };
    let held = sandbox.layers.iter().filter(|it| it.state == LayerState::Enforced).count();
    Some(match sandbox.missing().count() {
        0 => there.to_owned(),
        missing => format!("{there} {held}/{}", held + missing),
    })
}

/// The layers that are missing of the sandbox of a plugin, in a sentence; nothing if none is.
pub(crate) fn missing_layers(plugin: &PluginStatus) -> Option<String> {
    let sandbox = plugin.sandbox.as_ref()?;
    let missing: Vec<&str> = sandbox.missing().map(|(layer, _)| layer.name()).collect();
    match missing[..] {
        [] => None,
        [one] => Some(format!("the layer {one} of its sandbox is missing")),
        _ => Some(format!("layers of its sandbox are missing: {}", missing.join(", "))),
    }
}

/// Every so manieth call that fails is worth a warning.
const FAILING: u64 = 10;

/// How a plugin stands: its phase, the share of calls that failed in the generation that runs now, and
/// whether a newer generation was refused or waits.
pub(crate) fn standing(view: ViewCtx<'_>, plugin: &PluginStatus) -> Standing {
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
    let figures = view.figures_now(plugin);
    let (calls, errors) = figures.map_or((0, 0), |figures| (figures.calls, figures.errors()));
    if errors > 0 {
        standing.text = format!("{phase} · {errors} of {calls} failed");
    }
    // One that serves is not well because of that.
    if errors * FAILING >= calls && errors > 0 && standing.picture.is_none() {
        (standing.tone, standing.picture) = (Tone::Warn, Some(icon::ICON_WARNING));
        standing.reason =
            Some(format!("{errors} of {calls} calls of generation {generation} did not complete"));
    }
    if plugin.fault.is_some() {
        (standing.tone, standing.picture) = (Tone::Bad, Some(icon::ICON_ERROR));
    } else if let Some(refused) = &plugin.refused {
        let RefusedGeneration { stage, message, .. } = refused;
        let (tone, picture, text, reason) = match refused.waits() {
            false => (Tone::Bad, icon::ICON_ERROR, "reload refused", "The last reload was refused"),
            true => (
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

/// The words for a call without an end; `alone` if it has nothing but its input.
pub(crate) fn without_end(source: Source, alone: bool) -> &'static str {
    match (source, alone) {
        (Source::Live, _) => "running",
        (Source::Trace(_), true) => "input only",
        (Source::Trace(_), false) => "not over when the trace ended",
    }
}

/// How the call of a row is shown: nothing runs in a trace, so that a call without an end waits for
/// nothing there.
pub(crate) fn row_look(status: &Status, source: Source) -> (Tone, MaterialIcon) {
    match (status.outcome(), source) {
        (None, Source::Trace(_)) => (Tone::Neutral, icon::ICON_INPUT),
        (outcome, _) => outcome_look(outcome),
    }
}

/// How an outcome is shown: its tone and its picture.
pub(crate) fn outcome_look(outcome: Option<&Outcome>) -> (Tone, MaterialIcon) {
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
