//! The sides around the centre that there is room for, and the reason why one is hidden.

use egui::{Vec2, vec2};

use crate::window::ids::PanelId;
use crate::window::session::Layout;

/// A side that can be opened and closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Plugins and traces.
    Left,
    /// The inspector.
    Right,
    /// The timeline.
    Timeline,
    /// Log, problems and denials.
    Drawer,
}

impl Side {
    /// For people, in a sentence.
    fn name(self) -> &'static str {
        match self {
            Side::Left => "plugins and traces",
            Side::Right => "the inspector",
            Side::Timeline => "the timeline",
            Side::Drawer => "the drawer",
        }
    }

    /// The least size, in points.
    pub(super) fn least(self) -> f32 {
        match self {
            Side::Left => 140.0,
            Side::Right => 180.0,
            Side::Timeline => 56.0,
            Side::Drawer => 64.0,
        }
    }

    /// True if it is to be open.
    pub(super) fn is_open(self, layout: &Layout) -> bool {
        match self {
            Side::Left => layout.left,
            Side::Right => layout.right,
            Side::Timeline => layout.timeline,
            Side::Drawer => layout.drawer,
        }
    }

    /// The flag that says whether it is to be open.
    pub(super) fn open_mut(self, layout: &mut Layout) -> &mut bool {
        match self {
            Side::Left => &mut layout.left,
            Side::Right => &mut layout.right,
            Side::Timeline => &mut layout.timeline,
            Side::Drawer => &mut layout.drawer,
        }
    }

    /// The size that a person gave it, or the usual one of a room.
    pub(super) fn size(self, layout: &Layout, room: Vec2) -> f32 {
        let usual = match self {
            Side::Left => (room.x * 0.16).clamp(150.0, 260.0),
            Side::Right => (room.x * 0.28).clamp(200.0, 420.0),
            Side::Timeline => (room.y * 0.13).clamp(84.0, 160.0),
            Side::Drawer => (room.y * 0.16).clamp(84.0, 200.0),
        };
        self.given(layout).unwrap_or(usual)
    }

    /// The size that a person gave it, which little room does not change.
    pub(super) fn given(self, layout: &Layout) -> Option<f32> {
        match self {
            Side::Left => layout.left_size,
            Side::Right => layout.right_size,
            Side::Timeline => layout.timeline_size,
            Side::Drawer => layout.drawer_size,
        }
    }

    /// Takes the size that was painted for the one that a person gave it, unless it is only so small
    /// because it may have no more than `most`.
    pub(super) fn remember(self, painted: f32, most: f32, layout: &mut Layout) {
        let size = match self {
            Side::Left => &mut layout.left_size,
            Side::Right => &mut layout.right_size,
            Side::Timeline => &mut layout.timeline_size,
            Side::Drawer => &mut layout.drawer_size,
        };
        let is_squeezed = size.is_some_and(|given| given > most) && painted + 1.0 > most;
        if !is_squeezed {
            *size = Some(painted);
        }
    }

    /// The name of its panel.
    pub(super) fn panel(self) -> &'static str {
        match self {
            Side::Left => "left",
            Side::Right => "right",
            Side::Timeline => "timeline",
            Side::Drawer => "drawer",
        }
    }

    /// True if its size is its height.
    pub(super) fn is_vertical(self) -> bool {
        matches!(self, Side::Timeline | Side::Drawer)
    }

    /// The most it may have of a room.
    fn most(self, room: Vec2) -> f32 {
        match self {
            Side::Left => room.x * 0.35,
            Side::Right => room.x * 0.5,
            Side::Timeline => room.y * 0.4,
            Side::Drawer => room.y * 0.5,
        }
    }
}

/// The least size of the centre: some rows of the list with what says what they are.
const CENTRE: Vec2 = vec2(260.0, 190.0);
/// Its least height where a frame is composed: a few lines to write in, and what sends them.
const COMPOSE: f32 = 320.0;
/// The least part of the room that the centre has, so that sides which a person made large in a large
/// window do not take a small one.
const PART: Vec2 = vec2(0.42, 0.54);

/// How large each side may be, in points; `None` if there is no room for it. It comes back when there
/// is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fits {
    left: Option<f32>,
    right: Option<f32>,
    timeline: Option<f32>,
    drawer: Option<f32>,
}

impl Fits {
    /// The sides that fit into a room around these panels. The side that was asked for last goes before
    /// the one that shares its direction.
    pub(super) fn of(
        room: Vec2,
        layout: &Layout,
        asked: Option<Side>,
        centre: impl IntoIterator<Item = PanelId>,
    ) -> Fits {
        let heights = centre.into_iter().map(least_height);
        let least = vec2(CENTRE.x, heights.fold(CENTRE.y, f32::max));
        let rest = room - least.max(room * PART);
        let share = |rest, first, second| match asked == Some(second) {
            true => {
                let (second, first) = share(room, rest, layout, second, first);
                (first, second)
            }
            false => share(room, rest, layout, first, second),
        };
        let (timeline, drawer) = share(rest.y, Side::Timeline, Side::Drawer);
        let (left, right) = share(rest.x, Side::Left, Side::Right);
        Fits { left, right, timeline, drawer }
    }

    /// The most that a side may have.
    pub(super) fn most(&self, side: Side) -> Option<f32> {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
            Side::Timeline => self.timeline,
            Side::Drawer => self.drawer,
        }
    }
}

/// The least height of the centre with a panel in front, in points.
fn least_height(panel: PanelId) -> f32 {
    match panel {
        PanelId::Compose => COMPOSE,
        _ => CENTRE.y,
    }
}

/// The most that each of two may have; the first one goes before the second.
fn share(
    room: Vec2,
    rest: f32,
    layout: &Layout,
    first: Side,
    second: Side,
) -> (Option<f32>, Option<f32>) {
    let takes = |side: Side, rest: f32| match side.is_open(layout) && rest >= side.least() {
        true => side.least(),
        false => 0.0,
    };
    let first_fits = rest >= first.least();
    let first_takes = takes(first, rest);
    let second_fits = rest - first_takes >= second.least();
    let second_takes = takes(second, rest - first_takes);
    let most = (rest - second_takes).min(first.most(room)).max(first.least());
    let first_takes = match first_takes > 0.0 {
        true => first.size(layout, room).min(most),
        false => 0.0,
    };
    let second_most = (rest - first_takes).min(second.most(room)).max(second.least());
    (first_fits.then_some(most), second_fits.then_some(second_most))
}

/// Why a side that was asked for is not shown, and what to do.
pub(super) fn why_not(side: Side, is_first_screen: bool, keys: &str) -> String {
    let name = side.name();
    match is_first_screen {
        true => format!("There is nothing for {name} yet: open a plugin or a trace ({keys})"),
        false => format!("No room for {name}: enlarge the window or zoom out ({keys})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centre_keeps_its_part() {
        let sizes = (Some(260.0), Some(420.0), Some(160.0), Some(200.0));
        let (left_size, right_size, timeline_size, drawer_size) = sizes;
        let layout =
            Layout { left_size, right_size, timeline_size, drawer_size, ..Layout::default() };
        let check = |width: f32, height: f32, least: (f32, f32)| {
            let room = vec2(width, height);
            let fits = Fits::of(room, &layout, None, [PanelId::Frames]);
            let taken =
                |side: Side| fits.most(side).map_or(0.0, |most| side.size(&layout, room).min(most));
            let across = width - taken(Side::Left) - taken(Side::Right);
            let down = height - taken(Side::Timeline) - taken(Side::Drawer);
            assert!(across + 0.1 >= least.0 && down + 0.1 >= least.1, "{across} × {down}");
        };
        check(1440.0, 800.0, (604.0, 432.0));
        check(900.0, 510.0, (378.0, 275.0));
        check(640.0, 390.0, (260.0, 190.0));
    }

    #[test]
    fn what_is_written_has_its_height() {
        fn check(height: f32, panels: &[PanelId], expected: [bool; 2]) {
            let room = vec2(900.0, height);
            let fits = Fits::of(room, &Layout::default(), None, panels.iter().copied());
            let sides = [Side::Timeline, Side::Drawer];
            let found = sides.map(|side| fits.most(side).is_some());
            assert_eq!(found, expected, "{height} {panels:?}");
        }
        check(510.0, &[PanelId::Frames, PanelId::Compose], [true, true]);
        check(394.0, &[PanelId::Frames], [true, true]);
        check(394.0, &[PanelId::Frames, PanelId::Compose], [true, false]);
        check(340.0, &[PanelId::Compose], [false, false]);
    }

    #[test]
    fn sides_have_their_usual_sizes_beside_each_other() {
        let (left, right, timeline, drawer) = (true, true, true, true);
        let layout = Layout { left, right, timeline, drawer, ..Layout::default() };
        for room in [vec2(1440.0, 840.0), vec2(1920.0, 1000.0), vec2(1280.0, 660.0)] {
            let fits = Fits::of(room, &layout, None, [PanelId::Frames]);
            for side in [Side::Left, Side::Right, Side::Timeline, Side::Drawer] {
                let most = fits.most(side).unwrap_or_default();
                assert!(most >= side.size(&layout, room), "{side:?} has {most} of {room:?}");
            }
        }
    }

    #[test]
    fn sizes_that_a_person_gave_stay() {
        fn check(given: Option<f32>, painted: f32, most: f32, expected: f32) {
            let mut layout = Layout { drawer_size: given, ..Layout::default() };
            Side::Drawer.remember(painted, most, &mut layout);
            assert_eq!(layout.drawer_size, Some(expected), "{given:?} {painted} {most}");
        }
        check(None, 100.0, 300.0, 100.0);
        check(Some(200.0), 150.0, 150.0, 200.0);
        check(Some(200.0), 200.0, 300.0, 200.0);
        // It was dragged.
        check(Some(200.0), 90.0, 150.0, 90.0);
        check(Some(200.0), 250.0, 300.0, 250.0);
    }

    #[test]
    fn what_was_asked_for_goes_first() {
        fn check(room: (f32, f32), asked: Option<Side>, expected: [bool; 4]) {
            let room = vec2(room.0, room.1);
            let fits = Fits::of(room, &Layout::default(), asked, [PanelId::Frames]);
            let sides = [Side::Left, Side::Right, Side::Timeline, Side::Drawer];
            assert_eq!(sides.map(|side| fits.most(side).is_some()), expected, "{room:?} {asked:?}");
        }
        check((1440.0, 800.0), None, [true; 4]);
        check((480.0, 300.0), None, [true, false, true, false]);
        check((480.0, 300.0), Some(Side::Drawer), [true, false, false, true]);
        check((480.0, 300.0), Some(Side::Right), [false, true, true, false]);
        check((480.0, 300.0), Some(Side::Timeline), [true, false, true, false]);
        check((300.0, 200.0), Some(Side::Drawer), [false; 4]);
    }
}
