//! Builds that are tried beside the one that serves.

use glovebox_abi::Frame;

use super::*;

fn click(window: &mut Window, label: &str) {
    window.get_by_role_and_label(egui::accesskit::Role::Button, label).click();
    window.run_steps(2);
}

#[test]
fn a_build_is_tried_takes_over_and_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["stats-v1", "stats"].map(|name| crate::assets::plugin(name).unwrap());
    let mut window = open(vec![old], folder.path().join("s.json"));
    window.set_size(egui::vec2(1440.0, 2400.0));
    window.state_mut().as_mut().unwrap().show_panel(PanelId::Reload);
    wait_for(&mut window, "Tried beside it");
    fn plugin(app: &App) -> &glovebox_host::PluginStatus {
        &app.view().plugins()[0]
    }
    for verb in ["Try as canary", "Try as shadow"] {
        click(&mut window, verb);
        let role = verb.trim_start_matches("Try as ");
        wait_for(&mut window, &format!("Try another build of stats as {role}"));
        give_path(&mut window, &new);
        wait(&mut window, |app| plugin(app).candidate.is_some() && !app.view().is_busy());
        if verb.contains("canary") {
            wait_for(&mut window, "version 2.0.0, as canary for 1 frame of 10");
            click(&mut window, "Dismiss");
            wait(&mut window, |app| plugin(app).candidate.is_none() && !app.view().is_busy());
        }
    }
    wait_for(&mut window, "version 2.0.0, as shadow");
    let target = plugin(app(&window)).instance;
    let request = SendRequest { target, frame: Frame::data("x"), payload_file: None, times: 3 };
    execute(&mut window, Command::Send(request));
    wait(&mut window, |app| plugin(app).candidate.as_ref().is_some_and(|tried| tried.calls == 3));
    wait_for(&mut window, "3 calls, 0 failed");
    click(&mut window, "Promote");
    wait(&mut window, |app| plugin(app).generation > 1 && !app.view().is_busy());
    assert_eq!(plugin(app(&window)).manifest.plugin.version.to_string(), "2.0.0");
    assert!(plugin(app(&window)).candidate.is_none());
    wait_for(&mut window, "Copies that live");
    let now = plugin(app(&window)).generation;
    click(&mut window, "Go back to generation 1");
    wait(&mut window, |app| plugin(app).generation > now && !app.view().is_busy());
    assert_eq!(plugin(app(&window)).manifest.plugin.version.to_string(), "1.0.0");
}
