//! The facts about a failure.

use std::fmt::Write as _;

use glovebox_abi::text::inert;
use glovebox_events::Binding;
use serde::{Deserialize, Serialize};

/// The facts about one failure of a plugin. A bundle keeps them as JSON, and as text for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct FailureReport {
    /// Version of Glovebox.
    pub glovebox: String,
    /// The system that it ran on.
    pub system: String,
    /// When, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// The plugin.
    pub plugin: FailedPlugin,
    /// How it failed.
    pub cause: String,
    /// True if a mock or an injected fault ended it, and the plugin did nothing wrong.
    pub made_up: bool,
    /// The call during which it failed.
    pub call: Option<u64>,
    /// The frame of that call.
    pub frame: Option<FailedFrame>,
    /// The process that ended, if it had one of its own.
    pub process: Option<FailedProcess>,
    /// The functions that were at work, the innermost first, as far as they are known.
    pub backtrace: Vec<StackFrame>,
    /// Its permissions in effect.
    pub permissions: Vec<GivenPermission>,
    /// Its limits in effect.
    pub limits: Vec<GivenLimit>,
    /// The sandbox of its process.
    pub sandbox: Option<Sandboxed>,
    /// Its failures in a row.
    pub supervision: Option<Supervised>,
    /// True if payloads are not in the file.
    pub redacted: bool,
    /// True if words are not in the file.
    pub wordless: bool,
    /// Events in the file.
    pub events: u64,
    /// Events of the instance before them.
    pub left_out: u64,
}

/// The plugin that failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct FailedPlugin {
    pub id: String,
    pub version: String,
    pub digest: String,
    pub binding: Option<Binding>,
    pub tier: String,
    pub isolation: String,
    /// The name of the artifact's file, without its folder.
    pub artifact: Option<String>,
    pub instance: u64,
    pub generation: u32,
}

/// The frame during which a plugin failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct FailedFrame {
    /// Its kind.
    pub kind: String,
    /// Bytes of its header.
    pub header_bytes: u64,
    /// Bytes of its payload.
    pub payload_bytes: u64,
    /// Hexadecimal BLAKE3 digest of the whole frame.
    pub digest: String,
    /// The name of the file in the quarantine that holds it, if one does.
    pub kept: Option<String>,
}

impl FailedFrame {
    /// The facts about a frame.
    pub fn of(frame: &glovebox_abi::Frame) -> FailedFrame {
        FailedFrame {
            kind: frame.kind.to_string(),
            header_bytes: frame.header.as_bytes().len() as u64,
            payload_bytes: frame.payload.len() as u64,
            digest: super::redact::digest(&frame.to_bytes()),
            kept: None,
        }
    }
}

/// The process of a plugin that ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct FailedProcess {
    /// Its number.
    pub process: u32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The address that it could not use, by its own word.
    pub fault_address: Option<u64>,
}

/// A function that was at work.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct StackFrame {
    /// The file that it is in.
    pub module: String,
    /// Its name, if it is known.
    pub function: Option<String>,
    /// Where in the module, in bytes.
    pub offset: Option<u64>,
    /// The file and the line of its source, if they are known.
    pub place: Option<String>,
}

/// A permission in effect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct GivenPermission {
    pub permission: String,
    pub asked: bool,
    pub granted: bool,
    pub rule: String,
    pub within: String,
    pub uses: u64,
    pub denials: u64,
}

/// A limit in effect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct GivenLimit {
    pub limit: String,
    pub value: String,
    pub from: String,
    pub hits: u64,
}

/// The sandbox of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Sandboxed {
    /// The layers that hold.
    pub enforced: Vec<String>,
    /// Those that do not.
    pub missing: Vec<MissingLayer>,
}

/// A layer of a sandbox that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct MissingLayer {
    pub layer: String,
    pub reason: String,
    pub remedy: String,
}

/// Failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Supervised {
    /// How many.
    pub failures: u32,
    /// How many stop it.
    pub breaker: u32,
    /// True if it was stopped.
    pub stopped: bool,
}

impl FailureReport {
    /// The report for people. All of it is inert: nothing in it moves a cursor.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<12} {}", inert(value));
        };
        let FailedPlugin { id, version, digest, tier, isolation, artifact, .. } = &self.plugin;
        line("cause", &self.cause);
        if self.made_up {
            line("made up", "a mock or an injected fault ended it, and not the plugin");
        }
        let place = [version, tier, isolation].map(String::as_str);
        let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
        line("plugin", &format!("{id} {}", place.join(", ")));
        line("generation", &self.plugin.generation.to_string());
        line("digest", digest);
        if let Some(artifact) = artifact {
            line("artifact", artifact);
        }
        if let Some(call) = self.call {
            line("call", &format!("#{call}"));
        }
        if let Some(FailedFrame { kind, header_bytes, payload_bytes, digest, kept }) = &self.frame {
            let kept = kept.as_ref().map_or_else(String::new, |name| format!(", kept as {name}"));
            let sizes = format!("{header_bytes} bytes of header, {payload_bytes} of payload");
            line("frame", &format!("{kind}, {sizes}, blake3 {digest}{kept}"));
        }
        if let Some(FailedProcess { process, signal, fault_address }) = &self.process {
            let signal = signal.map_or_else(String::new, |signal| format!(", signal {signal}"));
            let address =
                fault_address.map_or_else(String::new, |at| format!(", at address {at:#x}"));
            line("process", &format!("{process}{signal}{address}"));
        }
        for (place, frame) in self.backtrace.iter().enumerate() {
            line(if place == 0 { "backtrace" } else { "" }, &frame.in_words());
        }
        let granted = self.permissions.iter().filter(|it| it.granted && it.asked);
        let granted: Vec<String> = granted
            .map(|it| match it.within.is_empty() {
                true => it.permission.clone(),
                false => format!("{} within {}", it.permission, it.within),
            })
            .collect();
        let granted = if granted.is_empty() { "nothing".to_owned() } else { granted.join("; ") };
        // A trace alone does not tell.
        if !self.permissions.is_empty() {
            line("granted", &granted);
        }
        let denied = self.permissions.iter().filter(|it| it.denials > 0);
        let denied: Vec<String> =
            denied.map(|it| format!("{} {} times", it.permission, it.denials)).collect();
        if !denied.is_empty() {
            line("denied", &denied.join("; "));
        }
        let hit = self.limits.iter().filter(|limit| limit.hits > 0);
        for limit in hit {
            line("limit", &format!("{} of {}, hit {} times", limit.limit, limit.value, limit.hits));
        }
        if let Some(Sandboxed { enforced, missing }) = &self.sandbox {
            line("sandbox", &format!("{} layers hold: {}", enforced.len(), enforced.join(", ")));
            for missing in missing {
                line(
                    "missing",
                    &format!("{}: {}; {}", missing.layer, missing.reason, missing.remedy),
                );
            }
        }
        if let Some(Supervised { failures, breaker, stopped }) = self.supervision {
            let stopped = if stopped { ", and it was stopped" } else { "" };
            line("failures", &format!("{failures} of {breaker} in a row{stopped}"));
        }
        let system =
            if self.system.is_empty() { String::new() } else { format!(" on {}", self.system) };
        line("glovebox", &format!("{}{system}", self.glovebox));
        let before = match self.left_out {
            0 => String::new(),
            count => format!(", and {count} before them that are not in this file"),
        };
        line("events", &format!("{}{before}", self.events));
        let whole = [
            (!self.redacted, "payloads, headers, arguments and results of host calls"),
            (
                !self.wordless,
                "words of failures, log lines, printed text, the manifest, folders of the machine",
            ),
        ];
        let list = |is_whole: bool| {
            let parts = whole.iter().filter(|(whole, _)| *whole == is_whole);
            parts.map(|(_, part)| *part).collect::<Vec<_>>().join(", ")
        };
        let (kept, gone) = (list(true), list(false));
        if !gone.is_empty() {
            line("redacted", &format!("only lengths and digests: {gone}"));
        }
        let kept = if kept.is_empty() { String::new() } else { format!("{kept}, ") };
        let always = "names of the plugin, its file, functions, services, permissions and limits; \
                      numbers, codes and times";
        line("in full", &format!("{kept}{always}"));
        text
    }
}

impl StackFrame {
    /// One line for people.
    pub fn in_words(&self) -> String {
        let mut text = self.function.clone().unwrap_or_else(|| "?".to_owned());
        if !self.module.is_empty() {
            text.push_str(&format!(" in {}", self.module));
        }
        if let Some(offset) = self.offset {
            text.push_str(&format!("+{offset:#x}"));
        }
        if let Some(place) = &self.place {
            text.push_str(&format!(" at {place}"));
        }
        text
    }
}
