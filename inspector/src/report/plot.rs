//! A plot of two distributions as SVG.

use std::time::Duration;

use glovebox_abi::units::show_duration;
use maud::{Markup, html};

/// Size of the plot in user units; the page scales it.
const SIZE: (f64, f64) = (640.0, 180.0);
/// Room for the numbers below and on the left.
const ROOM: (f64, f64) = (44.0, 22.0);
/// Points of a line: more would not be seen.
const POINTS: usize = 200;

/// Which part of the calls took no longer than what: one line per run, time on a logarithmic axis.
/// Latencies are sorted, in nanoseconds.
pub(super) fn latencies(label: &str, before: &[u64], after: &[u64]) -> Markup {
    let ends = [before.first(), after.first(), before.last(), after.last()];
    let ends: Vec<f64> = ends.into_iter().flatten().map(|nanos| scale(*nanos)).collect();
    let low = ends.iter().copied().fold(f64::INFINITY, f64::min).floor();
    let high = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil().max(low + 1.0);
    let x = |nanos: u64| ROOM.0 + (scale(nanos) - low) / (high - low) * (SIZE.0 - ROOM.0 - 8.0);
    let y = |part: f64| 8.0 + (1.0 - part) * (SIZE.1 - ROOM.1 - 8.0);
    let line = |sorted: &[u64]| {
        let points = (0..=POINTS).filter_map(|step| {
            let at = step * sorted.len().saturating_sub(1) / POINTS;
            let part = (at + 1) as f64 / sorted.len() as f64;
            Some(format!("{:.1},{:.1}", x(*sorted.get(at)?), y(part)))
        });
        points.collect::<Vec<_>>().join(" ")
    };
    // Powers of ten of nanoseconds, and parts of all calls.
    let decades = (low as i32..=high as i32).map(|power| 10_u64.saturating_pow(power as u32));
    let parts = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99")];
    html! {
        svg viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } role="img" aria-label=(label) {
            title { (label) }
            @for nanos in decades {
                line .grid x1=(x(nanos)) x2=(x(nanos)) y1="8" y2=(y(0.0)) {}
                text x=(x(nanos)) y=(SIZE.1 - 6.0) text-anchor="middle" {
                    (show_duration(Duration::from_nanos(nanos)))
                }
            }
            @for (part, name) in parts {
                line .grid x1=(ROOM.0) x2=(SIZE.0 - 8.0) y1=(y(part)) y2=(y(part)) {}
                @if part < 0.95 {
                    text x=(ROOM.0 - 6.0) y=(y(part) + 4.0) text-anchor="end" { (name) }
                }
            }
            polyline .before points=(line(before)) {}
            polyline .after points=(line(after)) {}
        }
    }
}

/// The place of a time on the axis.
fn scale(nanos: u64) -> f64 {
    (nanos.max(1) as f64).log10()
}
