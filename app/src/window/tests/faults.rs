//! Faults of host services, switched on and off for a plugin that runs.

use glovebox_events::Outcome;

use super::*;
use crate::workbench::{Calls, Effect, Fault, Faults};

fn send(window: &mut Window) -> Outcome {
    let target = app(window).view().plugins()[0].instance;
    let sent = app(window).view().sent().len();
    let frame = glovebox_abi::Frame::data("mail ada@example.org");
    let request = SendRequest { target, frame, payload_file: None, times: 1 };
    execute(window, Command::Send(request));
    wait(window, |app| app.view().sent().len() > sent && !app.view().is_busy());
    app(window).view().sent().back().unwrap().outcome.clone()
}

fn shows(window: &Window, label: &str) -> bool {
    window.query_all_by_label_contains(label).next().is_some()
}

fn run(window: &mut Window, verb: commands::Verb) {
    let ctx = window.ctx.clone();
    window.state_mut().as_mut().unwrap().perform(&ctx, action::Action::Run(verb));
    window.run_steps(3);
}

fn uses_log(folder: &tempfile::TempDir) -> Window {
    open(vec![crate::assets::plugin("redact").unwrap()], folder.path().join("s.json"))
}

#[test]
fn faults_are_put_together_and_switched_on_and_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = uses_log(&folder);
    run(&mut window, commands::Verb::InjectFaults);
    assert!(app(&window).report().panels_drawn.contains("Policy"));
    assert!(window.get_by_label("Add and switch on").rect().max.y < 900.0, "it is in view");
    assert!(!shows(&window, "Faults: redact"));
    window.get_by_label("Add and switch on").click();
    window.run_steps(4);
    wait_for(&mut window, "Faults: redact");
    for label in ["Remove the fault: `kv-get` is denied, in each call", "faults on · "] {
        assert!(shows(&window, label), "{label}");
    }
    let said = |window: &Window| {
        let reader = app(window).reader();
        let said = reader.read(Source::Live, |store| {
            store.notices().iter().map(|one| one.message.clone()).collect::<Vec<_>>()
        });
        said.unwrap()
    };
    let on = "policy changed: faults are switched on: `kv-get` is denied, in each call";
    assert!(said(&window).iter().any(|one| one == on), "{:?}", said(&window));
    let now = app(&window).situation();
    let toggle = commands::entry(commands::Verb::ToggleFaults);
    assert_eq!(toggle.now(&now).0, "Switch faults off");
    run(&mut window, commands::Verb::ToggleFaults);
    assert!(!shows(&window, "Faults: redact") && !shows(&window, "faults on"));
    assert!(shows(&window, "Remove the fault"), "they are kept");
    assert!(said(&window).iter().any(|one| one.ends_with("faults are switched off")));
    window.get_by_label("Remove the fault: `kv-get` is denied, in each call").click();
    window.run_steps(4);
    assert!(!shows(&window, "Remove the fault"));
}

#[test]
fn a_service_goes_wrong_as_long_as_its_faults_are_on() {
    let check = |effect: Effect, calls: Calls, expected: [fn(&Outcome) -> bool; 3]| {
        let folder = tempfile::tempdir().unwrap();
        let mut window = uses_log(&folder);
        let instance = app(&window).view().plugins()[0].instance;
        let fault = Fault { service: "log", effect, value: String::new(), calls };
        let mut faults = Faults { is_on: true, seed: 0, all: vec![fault] };
        assert!(send(&mut window).is_completed(), "before");
        execute(&mut window, Command::SetFaults(instance, Box::new(faults.clone())));
        for (number, is_expected) in expected[..2].iter().enumerate() {
            let outcome = send(&mut window);
            assert!(is_expected(&outcome), "{effect:?} {calls:?} {number}: {outcome:?}");
        }
        faults.is_on = false;
        execute(&mut window, Command::SetFaults(instance, Box::new(faults)));
        let outcome = send(&mut window);
        assert!(expected[2](&outcome), "{effect:?} {calls:?} off: {outcome:?}");
    };
    let good: fn(&Outcome) -> bool = Outcome::is_completed;
    let crashed: fn(&Outcome) -> bool = |outcome| matches!(outcome, Outcome::Crashed { .. });
    let full: fn(&Outcome) -> bool = |outcome| matches!(outcome, Outcome::LimitExceeded { .. });
    check(Effect::Crash, Calls::Number(1), [crashed, good, good]);
    check(Effect::Memory, Calls::Number(1), [full, good, good]);
    check(Effect::Crash, Calls::Number(1000), [good, good, good]);
}

#[test]
fn a_fault_that_denies_is_not_taken_for_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = uses_log(&folder);
    let instance = app(&window).view().plugins()[0].instance;
    let fault =
        Fault { service: "log", effect: Effect::Deny, value: String::new(), calls: Calls::Each };
    let mut faults = Faults { is_on: true, seed: 0, all: vec![fault] };
    execute(&mut window, Command::SetFaults(instance, Box::new(faults.clone())));
    window.state_mut().as_mut().unwrap().show_panel(ids::PanelId::Compose);
    send(&mut window);
    window.state_mut().as_mut().unwrap().show_drawer(ids::DrawerTab::Denied);
    // The answer says it, and no denial is listed.
    let made_up = "A fault or a mock made the result of a host call";
    wait_for(&mut window, made_up);
    wait_for(&mut window, "Nothing was denied");
    // The policy denies, which is something else.
    faults.is_on = false;
    execute(&mut window, Command::SetFaults(instance, Box::new(faults)));
    decide(&mut window, glovebox_abi::Permission::Log);
    send(&mut window);
    wait_for(&mut window, "was denied: the permission log is not granted");
}
