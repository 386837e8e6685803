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

#[test]
fn rows_of_plugins_have_two_lines_and_names_keep_their_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(Vec::new(), folder.path().join("s.json"));
    let host = app(&window).workbench.host().clone();
    let id = "a-plugin-with-a-name-that-is-far-too-long-for-a-row";
    for _ in 0..2 {
        let text = format!("[plugin]\nid = '{id}'\nversion = '10.20.30'");
        let manifest = Manifest::parse(&text).unwrap();
        host.load(LoadRequest::core(manifest, || Box::new(Failing))).wait().unwrap();
    }
    wait(&mut window, |app| app.view().plugins().len() == 2);
    let target = app(&window).view().plugins()[1].instance;
    let frame = glovebox_abi::Frame::data("x");
    let request = SendRequest { target, frame, payload_file: None, times: 1 };
    execute(&mut window, Command::Send(request));
    wait(&mut window, |app| !app.view().is_busy());
    window.state_mut().as_mut().unwrap().show_drawer(ids::DrawerTab::Problems);
    wait_for(&mut window, "frame 0: failed");
    window.run_steps(2);
    let rows = window.query_all_by_role(egui::accesskit::Role::ListItem);
    let heights = rows.map(|row| row.rect().height()).filter(|height| *height > 30.0);
    assert_eq!(heights.collect::<Vec<_>>(), [40.0, 40.0]);
    let is_painted = |start: &str, end: &str| {
        let texts = painted(&window, "…").into_iter().map(|(text, _)| text);
        texts.filter(|text| text.starts_with(start) && text.ends_with(end)).count()
    };
    for instance in app(&window).view().plugins() {
        let number = format!("instance {}", instance.instance.get());
        assert!(is_painted("a-", &number) > 0, "{number}: {:?}", painted(&window, "…"));
    }
    assert!(is_painted("a-p", "for-a-row") > 0, "in Problems: {:?}", painted(&window, "…"));
}
