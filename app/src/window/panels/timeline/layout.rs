//! The positions of times and lanes.

use egui::{Pos2, Rect};

use crate::workbench::{Overview, Span};

/// Height of a lane, in points.
pub(super) const LANE: f32 = 18.0;
/// Room for names before the lanes.
pub(super) const NAMES: f32 = 112.0;
/// Height of the axis above the lanes.
pub(super) const AXIS: f32 = 18.0;
/// The least time that the lanes show, in nanoseconds.
const LEAST: u64 = 1000;
/// How far from a span the pointer may be.
const NEAR: f32 = 6.0;

/// From time to place and back.
pub(super) struct Scale {
    pub(super) chart: Rect,
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Scale {
    pub(super) fn x(&self, at: u64) -> f32 {
        let whole = (self.last - self.first) as f64;
        let part = (at.saturating_sub(self.first)) as f64 / whole;
        self.chart.left() + self.chart.width() * part.min(1.0) as f32
    }

    pub(super) fn time(&self, x: f32) -> u64 {
        let part = ((x - self.chart.left()) / self.chart.width()).clamp(0.0, 1.0);
        // The product may be rounded up, beyond the last of all times.
        let after = ((self.last - self.first) as f64 * f64::from(part)) as u64;
        self.first.saturating_add(after).min(self.last)
    }

    pub(super) fn lane(&self, lane: usize) -> Rect {
        let top = self.chart.top() + AXIS + lane as f32 * LANE;
        Rect::from_x_y_ranges(self.chart.x_range(), top..=top + LANE)
    }
}

impl Scale {
    /// The scale of a rect that begins with the names of lanes.
    pub(super) fn of(rect: Rect, (first, last): (u64, u64)) -> Scale {
        let chart = Rect::from_x_y_ranges(rect.left() + NAMES..=rect.right() - 8.0, rect.y_range());
        let first = first.min(u64::MAX - LEAST);
        Scale { chart, first, last: last.max(first + LEAST) }
    }

    /// The span that the pointer is on, or next to.
    pub(super) fn nearest<'a>(&self, digest: &'a Overview, pointer: Pos2) -> Option<&'a Span> {
        let lane = ((pointer.y - self.chart.top() - AXIS) / LANE).floor();
        if lane < 0.0 {
            return None;
        }
        let at = self.time(pointer.x);
        let own = digest.spans.iter().filter(|span| span.lane == lane as usize);
        let distance = |span: &&Span| match at < span.start {
            true => span.start - at,
            false => at.saturating_sub(end(span)),
        };
        let nearest = own.min_by_key(distance)?;
        let (left, right) = (self.x(nearest.start), self.x(end(nearest)));
        let is_near = (left - pointer.x).abs() < NEAR || (left..=right).contains(&pointer.x);
        is_near.then_some(nearest)
    }
}

/// When a call ended, in nanoseconds since the Unix epoch; of one that runs, when it began.
pub(super) fn end(span: &Span) -> u64 {
    let took = u64::try_from(span.took.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
    span.start.saturating_add(took)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use egui::{pos2, vec2};
    use glovebox_inspector::store::RowId;

    use super::*;

    #[test]
    fn the_pointer_finds_spans() {
        let rect = Rect::from_min_size(Pos2::ZERO, vec2(NAMES + 1000.0 + 8.0, 100.0));
        let scale = Scale::of(rect, (1_000_000, 2_000_000));
        let span = |lane, row, start, micros| Span {
            lane,
            row: RowId(row),
            start,
            took: Some(Duration::from_micros(micros)),
            failed: false,
            denied: false,
        };
        let spans =
            [span(0, 1, 1_100_000, 200), span(0, 2, 1_600_000, 1), span(1, 3, 1_600_000, 1)];
        let mut digest = Overview::default();
        digest.spans = spans.into();
        let check = |x: f32, lane: f32, expected: Option<u64>| {
            let pointer = pos2(NAMES + x, AXIS + lane * LANE + 2.0);
            let found = scale.nearest(&digest, pointer).map(|span| span.row.0);
            assert_eq!(found, expected, "{x} {lane}");
        };
        check(200.0, 0.0, Some(1));
        check(96.0, 0.0, Some(1));
        check(90.0, 0.0, None);
        check(603.0, 0.0, Some(2));
        check(603.0, 1.0, Some(3));
        check(200.0, -1.0, None);
        for at in [1_000_000, 1_250_000, 2_000_000] {
            assert_eq!(scale.time(scale.x(at)), at);
        }
    }

    #[test]
    fn any_times_have_a_place() {
        fn check(range: (u64, u64), expected: (u64, u64)) {
            let rect = Rect::from_min_size(Pos2::ZERO, vec2(NAMES + 1000.0 + 8.0, 100.0));
            let scale = Scale::of(rect, range);
            assert_eq!((scale.first, scale.last), expected);
            assert_eq!((scale.x(expected.0), scale.time(NAMES)), (NAMES, expected.0));
            assert_eq!((scale.x(expected.1), scale.time(9e9)), (NAMES + 1000.0, expected.1));
        }
        check((7, 7), (7, 1007));
        check((0, u64::MAX), (0, u64::MAX));
        check((1, u64::MAX), (1, u64::MAX));
        check((u64::MAX, u64::MAX), (u64::MAX - LEAST, u64::MAX));
    }
}
