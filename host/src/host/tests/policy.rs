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
        // The file leaves no mode behind that it does not name any more.
        ("", true, PolicyMode::Consent),
    ];
    let step = |text: &str, is_read: bool, mode: PolicyMode| {
        write(text);
        let told = told.recv_timeout(PATIENCE).expect("the change is noticed");
        assert_eq!((told.is_ok(), host.policy_mode()), (is_read, mode), "{text}: {told:?}");
    };
    steps.into_iter().for_each(|(text, is_read, mode)| step(text, is_read, mode));
    assert!(has_event(&["PolicyChanged", "policy changed"]));
    assert!(has_event(&["the policy of before stays in force", "nonsense"]));
    // A person chose a mode, and the file changes.
    host.set_policy_mode(PolicyMode::Strict);
    step("[default]\nlog = \"deny\"", true, PolicyMode::Strict);
    step("mode = \"as-declared\"", true, PolicyMode::Strict);
    assert!(has_event(&["names the mode as declared", "strict, which was chosen, stays"]));
    // With another policy, also one that is not watched, the watch ends.
    let other = folder.path().join("other.toml");
    fs::write(&other, "mode = \"ask\"").unwrap();
    host.set_policy(Policy::load(&other).unwrap());
    assert_eq!(host.policy_mode(), PolicyMode::Ask);
    assert!(host.inner.policy_watch.lock().is_none());
    host.set_policy(Policy::parse("").unwrap());
    assert_eq!(host.policy_mode(), PolicyMode::Consent, "no file names one any more");
    let host = Host::builder().build().unwrap();
    assert!(!host.watch_policy(|_| {}).unwrap(), "there is no file");
}
