//! How request, answer and history share the room.

use egui::Vec2;

/// How the parts of the composer stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrangement {
    /// History, request and answer beside each other.
    Whole,
    /// Request and answer beside each other; the history is a menu.
    Beside,
    /// The request above the answer; the history is a menu.
    Stacked,
    /// The request or the answer; the history is a menu.
    Paged,
}

/// Widths from which on history, request and answer stand beside each other, and the last two of them.
const WHOLE: f32 = 720.0;
const BESIDE: f32 = 430.0;
/// The height from which on the request stands above the answer: it needs 280 of it.
const STACKED: f32 = 400.0;

impl Arrangement {
    /// The arrangement that a room, in points, is large enough for.
    pub(super) fn of(room: Vec2) -> Arrangement {
        match (room.x, room.y) {
            (x, _) if x >= WHOLE => Arrangement::Whole,
            (x, _) if x >= BESIDE => Arrangement::Beside,
            (_, y) if y >= STACKED => Arrangement::Stacked,
            _ => Arrangement::Paged,
        }
    }
}

/// The height from which on the kinds are a line of their own.
const ROOMY: f32 = 300.0;

/// True if there is room for what only saves a click.
pub(super) fn is_roomy(height: f32) -> bool {
    height >= ROOMY
}

/// The heights of the editors of header and payload in the room that is left for both.
pub(super) fn editors(room: f32) -> (f32, f32) {
    // Two lines and three.
    let header = (room * 0.3).max(40.0);
    (header, (room - header).max(56.0))
}

#[cfg(test)]
mod tests {
    use egui::vec2;

    use super::*;

    #[test]
    fn the_history_goes_first_and_the_answer_last() {
        fn check(width: f32, height: f32, expected: Arrangement) {
            assert_eq!(Arrangement::of(vec2(width, height)), expected);
        }
        check(900.0, 200.0, Arrangement::Whole);
        check(480.0, 380.0, Arrangement::Beside);
        check(360.0, 600.0, Arrangement::Stacked);
        check(320.0, 300.0, Arrangement::Paged);
    }

    #[test]
    fn editors_share_what_is_left() {
        fn check(room: f32, expected: (f32, f32)) {
            assert_eq!(editors(room), expected);
        }
        check(300.0, (90.0, 210.0));
        check(100.0, (40.0, 60.0));
        check(0.0, (40.0, 56.0));
    }
}
