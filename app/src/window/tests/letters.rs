//! No letter is painted where nobody sees it.

use egui::Shape;
use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_host::LoadRequest;

use super::*;

/// A plugin that fails with a message whose words are as long as a line.
struct Failing;

const MESSAGE: &str = "the worker ended twice with this frame, which is kept; send it again with `glovebox \
    call /srv/plugins/workspace-with-a-long-name/of-a-group/misbehave.so --frame \
    /home/somebody/.local/share/glovebox/quarantine/misbehave-b65259d0a67b8df8.frame`";

impl Plugin for Failing {
    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        Err(Failure::invalid(MESSAGE))
    }
}

/// Texts with this in them that are painted, and those of their letters that are beside what is seen.
fn painted(window: &Window, words: &str) -> Vec<(String, String)> {
    fn texts(shape: &Shape, found: &mut impl FnMut(&egui::epaint::TextShape)) {
        match shape {
            Shape::Vec(shapes) => shapes.iter().for_each(|shape| texts(shape, found)),
            Shape::Text(text) => found(text),
            _ => {}
        }
    }
    let mut all = Vec::new();
    for clipped in &window.output().shapes {
        let seen = clipped.clip_rect.expand(0.5).x_range();
        texts(&clipped.shape, &mut |text| {
            if !text.galley.text().contains(words) {
                return;
            }
            let rows = text.galley.rows.iter();
            let glyphs = rows.flat_map(|row| row.glyphs.iter().map(move |glyph| (row, glyph)));
            let hidden = glyphs.filter(|(row, glyph)| {
                let left = text.pos.x + row.pos.x + glyph.pos.x;
                let is_seen = seen.contains(left) && seen.contains(left + glyph.advance_width);
                !glyph.chr.is_whitespace() && !is_seen
            });
            let hidden = hidden.map(|(_, glyph)| glyph.chr).collect();
            all.push((text.galley.text().to_owned(), hidden));
        });
    }
    all
}

#[test]
fn a_long_word_behind_a_picture_keeps_its_letters() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(Vec::new(), folder.path().join("s.json"));
    let host = app(&window).workbench.host().clone();
    let manifest = Manifest::parse("[plugin]\nid = 'failing'").unwrap();
    host.load(LoadRequest::core(manifest, || Box::new(Failing))).wait().unwrap();
    wait(&mut window, |app| app.view().plugins().len() == 1);
    for _ in 0..2 {
        window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Enter);
        window.run_steps(2);
        wait(&mut window, |app| !app.view().is_busy());
    }
    wait(&mut window, |app| app.view().sent().len() == 1);
    for width in (560..1500).step_by(60) {
        window.set_size(egui::vec2(width as f32, 900.0));
        window.run_steps(4);
        let found = painted(&window, "glovebox call");
        assert!(!found.is_empty(), "{width}: it is told");
        for (text, hidden) in found {
            assert!(hidden.is_empty(), "{width}: {hidden:?} of {text:?}");
        }
    }
}
