//! Any bytes are a capture, events, or an error; how many events were handed on is said.

use glovebox_inspector::import::{ImportError, import};

pub(crate) fn run(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("there is space for a file");
    std::fs::write(file.path(), bytes).expect("there is space");
    let mut events = 0;
    let read = import::<ImportError>(file.path(), |_| {
        events += 1;
        Ok(())
    });
    match read {
        Ok(report) => assert_eq!(report.events, events),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
