//! Policies that change while plugins run.

use super::*;

#[test]
fn a_policy_is_applied_when_its_file_changes_and_only_if_it_can_be_read() {
    use crate::policy::{Policy, PolicyMode};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    let write = |text: &str| fs::write(&path, text).unwrap();
    write("mode = \"as-declared\"");
    let sink = Arc::new(Remembered::default());
    let policy = Policy::load(&path).unwrap();
    let host = Host::builder().policy(policy).sink(sink.clone()).build().unwrap();
    load(&host, counter(""));
    let (tell, told) = sync_channel(16);
    assert!(host.watch_policy(move |changed| tell.send(changed).unwrap()).unwrap());
    let has_event = |words: &[&str]| {
        sink.0.lock().iter().any(|one| words.iter().all(|word| one.contains(word)))
    };
    // Each step: what the file holds, whether it is read, and the mode afterwards.
    let steps = [
        ("mode = \"ask\"", true, PolicyMode::Ask),
        ("mode = \"nonsense\"", false, PolicyMode::Ask),
        ("mode = \"ask\"", true, PolicyMode::Ask),
        ("mode = \"as-declared\"", true, PolicyMode::AsDeclared),
    ];
    for (text, is_read, mode) in steps {
        write(text);
        let told = told.recv_timeout(PATIENCE).expect("the change is noticed");
        assert_eq!((told.is_ok(), host.policy_mode()), (is_read, mode), "{text}: {told:?}");
    }
    assert!(has_event(&["PolicyChanged", "policy changed"]));
    assert!(has_event(&["the policy of before stays in force", "nonsense"]));
    let host = Host::builder().build().unwrap();
    assert!(!host.watch_policy(|_| {}).unwrap(), "there is no file");
}
