use glovebox_events::{Event, What};

use super::*;
use crate::test_support::{NEVER, events, made_up};

#[test]
fn nothing_that_was_taken_out_is_left() {
    let (folder, path) = made_up(1_000);
    let check = |paths: &[&str], patterns: &[&str], gone: &[&str], kept: &[&str]| {
        let out = folder.path().join("anonymous.mcap");
        let _ = std::fs::remove_file(&out);
        let mut redaction = Redaction::default();
        paths.iter().for_each(|path| redaction.add_path(path).expect("it is a path"));
        patterns.iter().for_each(|text| redaction.add_pattern(text).expect("it is a pattern"));
        let report = anonymize(&path, &mut redaction, &out, &mut |_, _| {}, &NEVER);
        let report = report.expect("there is space");
        assert!(report.redacted.iter().all(|redacted| redacted.times > 0), "{report:?}");
        let text: String =
            events(&out).iter().map(|event| crate::export::to_json(event).to_string()).collect();
        for gone in gone {
            assert!(!text.contains(gone), "{gone} is left by {paths:?} {patterns:?}");
        }
        for kept in kept {
            assert!(text.contains(kept), "{kept} is gone by {paths:?} {patterns:?}");
        }
        let is_frame =
            |event: &&Event| matches!(event.what, What::FrameIn { .. } | What::FrameOut { .. });
        assert_eq!(events(&out).iter().filter(is_frame).count(), 1_000);
    };
    check(&["payload.note"], &[], &["at the door"], &["@example.org"]);
    check(&[], &["customer[- ][0-9]+@example.org"], &["@example.org"], &["at the door"]);
    check(&["header.user.id"], &[], &[], &["\"user\":{\"id\":0}"]);
    check(&["arguments.1"], &["no such article"], &["of customer", "no such article"], &[]);
    let mut redaction = Redaction::default();
    assert!(redaction.add_path("body.x").is_err());
    assert!(redaction.add_pattern("(").is_err());
}
