//! A baseline as text, and back.

use std::fmt;

use serde_json::Value as Json;

use super::stanza::{self, Stanza};
use super::{Baseline, BaselineError, CallText, FIRST_LINE, Rejected};

/// Calls with their number among those of their plugin.
pub(super) fn numbered(calls: &[CallText]) -> impl Iterator<Item = (u64, &CallText)> {
    let mut last: Option<(&str, u64)> = None;
    calls.iter().map(move |call| {
        let number = match last {
            Some((plugin, number)) if plugin == call.plugin => number + 1,
            _ => 1,
        };
        last = Some((&call.plugin, number));
        (number, call)
    })
}

pub(super) fn write(baseline: &Baseline, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(out, "{FIRST_LINE}")?;
    out.write_str(
        "# Made by `glovebox replay … --against THIS --accept`. Lines that start with # are \
         comments.\n",
    )?;
    if let Some(trace) = &baseline.trace {
        writeln!(out, "trace {trace}")?;
    }
    for pattern in &baseline.rules.ignore {
        writeln!(out, "ignore {}", pattern.as_str())?;
    }
    for tolerance in &baseline.rules.tolerances {
        writeln!(out, "tolerance {tolerance}")?;
    }
    for rejected in &baseline.rejected {
        writeln!(out, "rejected {} {}", rejected.group, rejected.title.replace('\n', " "))?;
    }
    for (number, call) in numbered(&baseline.calls) {
        for stanza in &call.stanzas {
            writeln!(out, "\n== {} {number}: {}", name(&call.plugin), stanza.head)?;
            for line in &stanza.body {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

/// A name as it stands in a head; as a JSON string if it could be misread.
fn name(plugin: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match !plugin.is_empty() && plugin.chars().all(is_plain) {
        true => plugin.to_owned(),
        false => Json::String(plugin.to_owned()).to_string(),
    }
}

fn wrong(line: usize, reason: impl Into<String>) -> BaselineError {
    BaselineError::Line { line, reason: reason.into() }
}

pub(super) fn parse(text: &str) -> Result<Baseline, BaselineError> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line)).peekable();
    if lines.next().map(|(_, line)| line.trim_end()) != Some(FIRST_LINE) {
        return Err(BaselineError::Format);
    }
    let mut head = Baseline::default();
    while let Some((number, line)) = lines.next_if(|(_, line)| !line.starts_with("== ")) {
        rule(line, &mut head).map_err(|reason| wrong(number, reason))?;
    }
    let mut calls: Vec<CallText> = Vec::new();
    // The call that is being read: its plugin, its number and the line of its first head.
    let mut current: Option<(String, u64)> = None;
    while let Some((line, head)) = lines.next() {
        let (plugin, number, head) = parse_head(head).map_err(|reason| wrong(line, reason))?;
        let mut stanza = Stanza { head, body: Vec::new(), line };
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.starts_with("== ")) {
            if !line.is_empty() && !line.starts_with('#') {
                stanza.body.push(line.to_owned());
            }
        }
        let key = (plugin, number);
        match calls.last_mut() {
            Some(call) if current.as_ref() == Some(&key) => call.stanzas.push(stanza),
            _ => {
                calls.push(CallText { plugin: key.0.clone(), stanzas: vec![stanza] });
                current = Some(key);
            }
        }
    }
    for call in &calls {
        stanza::to_call(0, &call.plugin, &call.stanzas, None)
            .map_err(|(line, reason)| wrong(line, reason))?;
    }
    let Baseline { trace, rules, rejected, .. } = head;
    Ok(Baseline {
        trace,
        ..Baseline::from_parts("baseline".to_owned(), rules, rejected, calls, &[])
    })
}

/// Takes a line that stands before all calls.
fn rule(line: &str, head: &mut Baseline) -> Result<(), String> {
    let Baseline { trace, rules, rejected, .. } = head;
    let line = line.trim_end();
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    match line.split_once(' ') {
        Some(("trace", text)) => *trace = Some(text.parse()?),
        Some(("ignore", path)) => {
            rules.ignore.push(path.parse().map_err(|error| format!("{error}"))?);
        }
        Some(("tolerance", text)) => {
            rules.tolerances.push(text.parse().map_err(|error| format!("{error}"))?);
        }
        Some(("rejected", rest)) => {
            let (group, title) = rest.split_once(' ').unwrap_or((rest, ""));
            rejected.push(Rejected { group: group.to_owned(), title: title.to_owned() });
        }
        _ => {
            let expected = "expected trace, ignore, tolerance, rejected, or `== PLUGIN NUMBER: …`";
            return Err(expected.to_owned());
        }
    }
    Ok(())
}

/// Takes `== redact 3: in data json` apart.
fn parse_head(line: &str) -> Result<(String, u64, String), String> {
    let expected = || "expected `== PLUGIN NUMBER: …`".to_owned();
    let rest = line.strip_prefix("== ").ok_or_else(expected)?;
    let (plugin, rest) = if rest.starts_with('"') {
        let mut names = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let plugin = names.next().ok_or_else(expected)?.map_err(|error| error.to_string())?;
        (plugin, rest[names.byte_offset()..].trim_start())
    } else {
        let (plugin, rest) = rest.split_once(' ').ok_or_else(expected)?;
        (plugin.to_owned(), rest)
    };
    let (number, head) = rest.split_once(": ").ok_or_else(expected)?;
    Ok((plugin, number.parse().map_err(|_| expected())?, head.trim_end().to_owned()))
}
