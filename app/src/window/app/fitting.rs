//! A window that opens is no larger than its screen, title bar included.

use egui::{Context, Vec2, ViewportCommand};

use super::App;

/// Painted frames after which the size is somebody's choice. The title bar comes after the window.
const FRAMES: u64 = 60;

impl App {
    /// Makes a window that just opened smaller if it is larger than its screen.
    pub(super) fn fit_screen(&self, ctx: &Context) {
        if self.clock.painted > FRAMES || self.capture.is_some() {
            return;
        }
        let size = ctx.input(|input| {
            let viewport = input.viewport();
            let fills = viewport.maximized == Some(true) || viewport.fullscreen == Some(true);
            let (inner, outer) = (viewport.inner_rect?, viewport.outer_rect?);
            let screen = viewport.monitor_size.filter(|_| !fills)?;
            fitting(inner.size(), outer.size(), screen)
        });
        if let Some(size) = size {
            ctx.send_viewport_cmd(ViewportCommand::InnerSize(size));
        }
    }
}

/// The size inside a window that is as large as its screen, for one that is larger.
fn fitting(inner: Vec2, outer: Vec2, screen: Vec2) -> Option<Vec2> {
    let around = (outer - inner).max(Vec2::ZERO);
    let fits = inner.min(screen - around);
    (fits.x + 0.5 < inner.x || fits.y + 0.5 < inner.y).then_some(fits)
}

#[cfg(test)]
mod tests {
    use egui::vec2;

    use super::*;

    #[test]
    fn a_window_with_its_title_bar_fits_the_screen() {
        fn check(inner: (f32, f32), bar: f32, screen: (f32, f32), expected: Option<(f32, f32)>) {
            let inner = vec2(inner.0, inner.1);
            let found = fitting(inner, inner + vec2(0.0, bar), vec2(screen.0, screen.1));
            assert_eq!(found, expected.map(|(x, y)| vec2(x, y)));
        }
        check((1280.0, 800.0), 37.0, (1440.0, 900.0), None);
        check((1280.0, 800.0), 37.0, (1366.0, 768.0), Some((1280.0, 731.0)));
        check((1440.0, 900.0), 37.0, (1440.0, 900.0), Some((1440.0, 863.0)));
        check((1280.0, 800.0), 0.0, (1024.0, 800.0), Some((1024.0, 800.0)));
    }
}
