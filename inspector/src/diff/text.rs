//! A diff as text, for terminals and pull requests.

use std::fmt::{self, Write};

use super::{Class, Counts, Diff, Entry};

pub(super) fn render(diff: &Diff) -> String {
    let mut out = String::new();
    for entry in &diff.entries {
        if entry.class != Class::Same {
            // Writing to a string cannot fail.
            let _ = write_entry(&mut out, entry);
        }
    }
    out.push_str(&summary(&diff.counts));
    out.push('\n');
    out
}

fn write_entry(out: &mut String, entry: &Entry) -> fmt::Result {
    let class = entry.class.name();
    match (entry.call_before, entry.call_after) {
        (Some(before), Some(after)) => {
            writeln!(out, "{class}: {} call {before} → {after}", entry.plugin)?;
        }
        (before, after) => {
            let call = before.or(after).unwrap_or(glovebox_events::CallId(0));
            writeln!(out, "{class}: {} call {call}", entry.plugin)?;
        }
    }
    for change in &entry.changes {
        match change.output {
            Some(output) => writeln!(out, "  output {output} {}", change.path)?,
            None => writeln!(out, "  {}", change.path)?,
        }
        for (sign, text) in [("-", &change.before), ("+", &change.after)] {
            for line in text.iter().flat_map(|text| text.split('\n')) {
                writeln!(out, "    {sign} {line}")?;
            }
        }
    }
    out.push('\n');
    Ok(())
}

pub(super) fn summary(counts: &Counts) -> String {
    let different = counts.different();
    let all = different + counts.same;
    if different == 0 {
        return format!("{all} calls compared, no differences");
    }
    let classes = [
        (counts.changed, "changed"),
        (counts.outcome, "with another outcome"),
        (counts.order, "in another order"),
        (counts.slower, "slower"),
        (counts.missing, "missing"),
        (counts.extra, "extra"),
    ];
    let parts: Vec<String> = classes
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, class)| format!("{count} {class}"))
        .collect();
    format!("{all} calls compared, {different} different: {}", parts.join(", "))
}
