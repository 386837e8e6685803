//! A diff as one HTML page: no script, nothing to load, everything that comes from frames escaped.

use std::collections::BTreeMap;

use glovebox_abi::text::inert_lines;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::plot;
use crate::diff::{Change, Class, Diff, Group, Row};

/// Rows shown of a group; more are counted.
const SHOWN_ROWS: usize = 10;
/// Groups shown with rows; more are listed by title, and beyond ten times as many counted.
const SHOWN_GROUPS: usize = 50;
/// Changes shown of a row; more are counted.
const SHOWN_CHANGES: usize = 20;

const STYLE: &str = include_str!("style.css");

/// Makes the page.
pub fn of_diff(diff: &Diff) -> String {
    let title = format!("{} and {}", diff.before.name, diff.after.name);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Nothing in the page may load or run anything, whatever stood in a frame.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Differences" }
                p { span .before { (diff.before.name) } " → " span .after { (diff.after.name) } }
                p .summary { (diff.summary()) }
                (classes(diff))
                (rules(diff))
                (left_out(diff))
                (latency(diff))
                (groups(diff))
                footer { "Made by Glovebox " (env!("CARGO_PKG_VERSION")) "." }
            }
        }
    };
    // Markup is escaped by now; this is about what would change the order of what is read.
    inert_lines(&page.into_string()).to_string()
}

fn classes(diff: &Diff) -> Markup {
    html! {
        ul .classes {
            @for class in Class::ALL {
                @if diff.counts.of(class) > 0 {
                    li .{ "class-" (class.name()) } { b { (diff.counts.of(class)) } " " (class.name()) }
                }
            }
        }
    }
}

fn rules(diff: &Diff) -> Markup {
    let options = &diff.options;
    html! {
        @if !options.ignore.is_empty() || !options.tolerances.is_empty() {
            h2 { "Rules" }
            ul {
                @for pattern in &options.ignore { li { "ignored: " code { (pattern.as_str()) } } }
                @for tolerance in &options.tolerances { li { "tolerance: " code { (tolerance) } } }
            }
        }
    }
}

fn left_out(diff: &Diff) -> Markup {
    html! {
        @for run in [&diff.before, &diff.after] {
            @if run.left_out > 0 {
                p .warning {
                    (run.name) ": " (run.left_out)
                    " events could not be compared: of calls that began before it or were over already, or too large"
                }
            }
        }
    }
}

fn latency(diff: &Diff) -> Markup {
    let mut samples: BTreeMap<&str, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
    for entry in &diff.entries {
        let (Some(before), Some(after)) = (entry.before, entry.after) else {
            continue;
        };
        let nanos = |run: &crate::diff::Run, at: u32| {
            run.latency(at as usize).map(|latency| latency.as_nanos() as u64)
        };
        if let (Some(plugin), Some(old), Some(new)) =
            (diff.plugin(entry), nanos(&diff.before, before), nanos(&diff.after, after))
        {
            let (olds, news) = samples.entry(plugin).or_default();
            olds.push(old);
            news.push(new);
        }
    }
    html! {
        @if !diff.latency.is_empty() {
            h2 { "Latency" }
            p .legend { span .before { "first run" } " " span .after { "second run" }
                " — the part of all calls that took no longer" }
        }
        @for shift in &diff.latency {
            p { (shift.sentence()) }
            @if let Some((before, after)) = samples.get_mut(shift.plugin.as_str()) {
                @let _ = (before.sort_unstable(), after.sort_unstable());
                (plot::latencies(&format!("Latency of {}", shift.plugin), before, after))
            }
        }
    }
}

fn groups(diff: &Diff) -> Markup {
    let listed = diff.groups.iter().enumerate().skip(SHOWN_GROUPS).take(9 * SHOWN_GROUPS);
    let hidden = diff.groups.get(10 * SHOWN_GROUPS..).unwrap_or_default();
    html! {
        h2 { "Groups" }
        @if diff.groups.is_empty() { p { "Nothing is different." } }
        @for (number, group) in diff.groups.iter().enumerate().take(SHOWN_GROUPS) {
            details open[number == 0] {
                summary { (head(group)) }
                (rows(diff, number as u32, group))
            }
        }
        @for (_, group) in listed { p { (head(group)) } }
        @if !hidden.is_empty() {
            p .more { "and " (hidden.len()) " more groups of "
                (hidden.iter().map(|group| group.calls).sum::<usize>()) " calls" }
        }
    }
}

fn head(group: &Group) -> Markup {
    html! {
        span .chip.{ "class-" (group.class.name()) } { (group.class.name()) }
        " " (group.title()) " " code .id { (group.id) }
    }
}

fn rows(diff: &Diff, number: u32, group: &Group) -> Markup {
    html! {
        @for row in diff.members(number).take(SHOWN_ROWS).filter_map(|at| diff.row(at)) {
            (one_row(&row))
        }
        @if group.calls > SHOWN_ROWS {
            p .more { "and " (group.calls - SHOWN_ROWS) " more calls" }
        }
    }
}

fn one_row(row: &Row) -> Markup {
    let call = |call: Option<glovebox_events::CallId>| {
        call.map_or_else(|| "—".to_owned(), |call| call.to_string())
    };
    let hidden = row.changes.len().saturating_sub(SHOWN_CHANGES) + row.more_changes;
    html! {
        h3 { "call " (call(row.call_before)) " → " (call(row.call_after)) " of " (row.plugin) }
        @if !row.changes.is_empty() {
            table {
                thead { tr { th { "where" } th { "first run" } th { "second run" } } }
                tbody {
                    @for change in row.changes.iter().take(SHOWN_CHANGES) { (one_change(change)) }
                }
            }
        }
        @if hidden > 0 { p .more { "and " (hidden) " more places" } }
    }
}

fn one_change(change: &Change) -> Markup {
    let side = |text: &Option<String>| {
        html! {
            @match text {
                Some(text) => pre { (text) },
                None => span .nothing { "nothing" },
            }
        }
    };
    html! {
        tr {
            td {
                @if let Some(output) = change.output { "output " (output) " " }
                code { (change.path) }
                @if let Some(from) = &change.moved_from { br; "moved from " code { (from) } }
            }
            td .before { (side(&change.before)) }
            td .after { (side(&change.after)) }
        }
    }
}

#[cfg(test)]
mod tests;
