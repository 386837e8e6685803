//! A diff as text, for terminals and pull requests.

use std::fmt::{self, Write};

use glovebox_abi::text::inert;
use glovebox_events::CallId;

use super::{Change, Class, Counts, Diff, Group, Row};

/// Groups that are written out; more are counted.
const SHOWN_GROUPS: usize = 20;
/// Changes that are written out of the example of a group; more are counted.
const SHOWN_CHANGES: usize = 20;
/// Lines that are written out of one side of a change.
const SHOWN_LINES: usize = 12;

/// All but the sentence with counts.
pub(super) fn render(diff: &Diff) -> String {
    let mut out = String::new();
    for group in diff.groups.iter().take(SHOWN_GROUPS) {
        // Writing to a string cannot fail.
        let _ = write_group(&mut out, diff, group);
    }
    let hidden = diff.groups.get(SHOWN_GROUPS..).unwrap_or_default();
    if !hidden.is_empty() {
        let calls: usize = hidden.iter().map(|group| group.calls).sum();
        let _ = writeln!(out, "and {} more groups of {calls} calls\n", hidden.len());
    }
    for shift in &diff.latency {
        let _ = writeln!(out, "latency of {}", shift.sentence());
    }
    for run in [&diff.before, &diff.after] {
        if run.left_out > 0 {
            let _ = writeln!(
                out,
                "{}: {} events could not be compared: of calls that began before it or were over \
                 already, or too large",
                inert(&run.name),
                run.left_out
            );
        }
    }
    out
}

fn write_group(out: &mut String, diff: &Diff, group: &Group) -> fmt::Result {
    writeln!(out, "{}  {}: {}", group.id, group.class.name(), group.title())?;
    let Some(row) = diff.row(group.first) else {
        return Ok(());
    };
    writeln!(out, "  {}{}", if group.calls > 1 { "e.g. " } else { "" }, calls(&row))?;
    for change in row.changes.iter().take(SHOWN_CHANGES) {
        write_change(out, change)?;
    }
    let hidden = row.changes.len().saturating_sub(SHOWN_CHANGES) + row.more_changes;
    if hidden > 0 {
        writeln!(out, "  and {hidden} more places")?;
    }
    out.push('\n');
    Ok(())
}

/// Which calls a row is about.
fn calls(row: &Row) -> String {
    match (row.call_before, row.call_after) {
        (Some(before), Some(after)) => format!("call {before} → {after}"),
        (before, after) => format!("call {}", before.or(after).unwrap_or(CallId(0))),
    }
}

fn write_change(out: &mut String, change: &Change) -> fmt::Result {
    match change.output {
        Some(output) => write!(out, "  output {output} {}", inert(&change.path))?,
        None => write!(out, "  {}", inert(&change.path))?,
    }
    match &change.moved_from {
        Some(from) => writeln!(out, " moved from {}", inert(from))?,
        None => out.push('\n'),
    }
    let before = change.before.as_ref().filter(|_| change.moved_from.is_none());
    let sign = if change.moved_from.is_some() { "=" } else { "+" };
    for (sign, text) in [("-", before), (sign, change.after.as_ref())] {
        let lines = text.map_or(0, |text| text.split('\n').count());
        for line in text.iter().flat_map(|text| text.split('\n')).take(SHOWN_LINES) {
            writeln!(out, "    {sign} {line}")?;
        }
        if lines > SHOWN_LINES {
            writeln!(out, "    {sign} … and {} more lines", lines - SHOWN_LINES)?;
        }
    }
    Ok(())
}

pub(super) fn summary(diff: &Diff) -> String {
    let mut text = counts(&diff.counts);
    if !diff.groups.is_empty() {
        let groups = diff.groups.len();
        let groups = if groups == 1 { "1 group".to_owned() } else { format!("{groups} groups") };
        text.push_str(&format!("; {groups}"));
    }
    match diff.slower_plugins() {
        0 => {}
        1 => text.push_str("; 1 plugin slower as a whole"),
        plugins => text.push_str(&format!("; {plugins} plugins slower as a whole")),
    }
    text
}

fn counts(counts: &Counts) -> String {
    let different = counts.different();
    let all = counts.compared();
    let spelling = match counts.spelling {
        0 => String::new(),
        calls => format!("; {calls} with the same values in other bytes"),
    };
    let compared = if all == 1 { "1 call".to_owned() } else { format!("{all} calls") };
    if different == 0 {
        return format!("{compared} compared, no differences{spelling}");
    }
    let phrase = |class| match class {
        Class::Outcome => "with another outcome",
        Class::Order => "in another order",
        Class::HostCalls => "with other host calls",
        class => class.name(),
    };
    let classes = Class::ALL.into_iter().filter(|class| class.is_different());
    let parts: Vec<String> = classes
        .filter(|class| counts.of(*class) > 0)
        .map(|class| format!("{} {}", counts.of(class), phrase(class)))
        .collect();
    format!("{compared} compared, {different} different: {}{spelling}", parts.join(", "))
}
