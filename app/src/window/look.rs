//! The look of plugins, calls and outcomes: tones, pictures, few words.

use std::time::Duration;

use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;
use glovebox_abi::Permission;
use glovebox_abi::manifest::{Isolation, Tier};
use glovebox_abi::units::show_duration;
use glovebox_events::{Outcome, Phase};
use glovebox_host::worker::LayerState;
use glovebox_host::{PluginStatus, RefusedGeneration, Supervision};
use glovebox_inspector::store::Status;

use super::theme::Tone;
use crate::workbench::words::count;
use crate::workbench::{Source, ViewCtx};

/// The meaning of the latency of a call, everywhere.
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

/// The permissions that are granted to a plugin and have no effect where it runs, if there are any.
pub(crate) fn without_effect(plugin: &PluginStatus) -> Option<String> {
    let mut without = plugin.permissions.iter().filter(|it| it.no_effect.is_some());
    let first = without.next()?;
    Some(format!("{} is granted and has no effect: {}", first.permission, first.no_effect?))
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
        // Its end is cut off where there is little room.
        standing.text = format!("{errors} of {calls} failed · {phase}");
    }
    // One that serves is not well because of that.
    if errors * FAILING >= calls && errors > 0 && standing.picture.is_none() {
        (standing.tone, standing.picture) = (Tone::Warn, Some(icon::ICON_WARNING));
        standing.reason =
            Some(format!("{errors} of {calls} calls of generation {generation} did not complete"));
    }
    let Supervision { failures, next_attempt, is_stopped, .. } = plugin.supervision;
    // Of what was made up, that is said also after the faults are switched off.
    let is_made_up = plugin.failures.last().is_some_and(|last| last.evidence.is_made_up);
    let supervised = supervised((failures, is_made_up), next_attempt, is_stopped);
    if let Some((tone, picture, text)) = supervised {
        (standing.tone, standing.picture) = (tone, Some(picture));
        let fault = plugin.fault.as_ref().map_or_else(String::new, |fault| format!(": {fault}"));
        let way_out = if is_stopped { "; restart it to try again" } else { "" };
        standing.reason = Some(format!("{text}{fault}{way_out}"));
        standing.text = text;
    } else if plugin.fault.is_some() {
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
    if !plugin.faults.is_empty() {
        let faults = format!("faults are switched on: {}", plugin.faults.join("; "));
        standing.text = format!("faults on · {}", standing.text);
        standing.reason = Some(match standing.reason {
            Some(reason) => format!("{reason}\n{faults}"),
            None => faults,
        });
        if standing.picture.is_none() {
            (standing.tone, standing.picture) = (Tone::Warn, Some(icon::ICON_BOLT));
        }
    }
    standing
}

/// The standing of a plugin that does not run for its failures in a row: a fresh copy is waited for, or it
/// was stopped.
fn supervised(
    (failures, is_made_up): (u32, bool),
    next_attempt: Option<Duration>,
    is_stopped: bool,
) -> Option<(Tone, MaterialIcon, String)> {
    let made_up = if is_made_up { ", made up" } else { "" };
    let failures = format!("{}{made_up}", count(failures, "failure"));
    match (is_stopped, next_attempt) {
        (true, _) => Some((Tone::Bad, icon::ICON_ERROR, format!("stopped: {failures}"))),
        (false, Some(time)) => {
            let text = format!("{failures}, tries again in {}", show_duration(time));
            Some((Tone::Warn, icon::ICON_HOURGLASS_TOP, text))
        }
        (false, None) => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_does_not_run_says_for_how_long() {
        #[track_caller]
        fn told(failures: (u32, bool), next: Option<u64>, stopped: bool, expected: Option<&str>) {
            let found = supervised(failures, next.map(Duration::from_millis), stopped);
            assert_eq!(found.map(|(_, _, text)| text).as_deref(), expected);
        }
        let check = |failures: u32, next, stopped, expected| {
            told((failures, false), next, stopped, expected);
        };
        check(0, None, false, None);
        check(1, None, false, None);
        check(1, Some(100), false, Some("1 failure, tries again in 100 ms"));
        check(3, Some(4000), false, Some("3 failures, tries again in 4 s"));
        check(5, None, true, Some("stopped: 5 failures"));
        told((5, true), None, true, Some("stopped: 5 failures, made up"));
    }
}
