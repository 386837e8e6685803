use glovebox_events::{Event, What};

use super::*;
use crate::test_support::{NEVER, events, made_up};

#[test]
fn what_was_never_recorded_stays_counted() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (path, out) = (folder.path().join("a.mcap"), folder.path().join("anonymous.mcap"));
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    for event in glovebox_trace::MadeUpRun::new(10, 1) {
        writer.write(&event).expect("there is space");
    }
    writer.write_gap(7, glovebox_trace::GapCause::DiskFull).expect("there is space");
    writer.finish().expect("there is space");
    let mut redaction = Redaction::default();
    let report = anonymize(&path, &mut redaction, &out, &mut |_, _| {}, &NEVER);
    assert_eq!(report.expect("there is space").lost_events, 7);
    assert_eq!(glovebox_trace::read(&out).expect("it was written").lost_events, 7);
}

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

#[test]
fn attached_files_are_searched_too() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (path, out) = (folder.path().join("a.mcap"), folder.path().join("b.mcap"));
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    let frame = glovebox_abi::Frame::data("to ada@example.org").to_bytes();
    let json = br#"{"cause":"no such user ada@example.org","at":1}"#;
    for (name, data) in [("a.json", &json[..]), ("frame", &frame[..]), ("image", &[0xFF, 0, 1])] {
        writer.attach(name, "", data).expect("there is space");
    }
    writer.finish().expect("there is space");
    let mut redaction = Redaction::default();
    redaction.add_pattern(r"[\w.]+@[\w.]+").expect("it is a pattern");
    let report = anonymize(&path, &mut redaction, &out, &mut |_, _| {}, &NEVER).expect("space");
    assert_eq!(report.attachments_left_out, 1);
    let left = glovebox_trace::attachments(&out).expect("it is a trace");
    let frame = glovebox_abi::Frame::data("to redacted").to_bytes();
    let left: Vec<_> = left.iter().map(|one| (&*one.name, &one.data[..])).collect();
    let json = br#"{"cause":"no such user redacted","at":1}"#;
    assert_eq!(left, [("a.json", &json[..]), ("frame", &frame[..])]);
}
