//! Mocks that change while plugins run.

use super::*;
use crate::services::Mock;

/// Answers with the clock and what the store holds under `a`, `b` and `own`, and sets `own`.
struct Reader;

impl Plugin for Reader {
    fn process(&mut self, services: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        let mut read = vec![services.now()?.to_string()];
        for key in ["a", "b", "own"] {
            let value = services.kv_get(key)?.unwrap_or_else(|| b"-".to_vec());
            read.push(String::from_utf8_lossy(&value).into_owned());
        }
        services.kv_set("own", b"own")?;
        Ok(vec![Frame::data(read.join(" "))])
    }
}

fn reader() -> LoadRequest {
    let text = "[plugin]\nid = \"reader\"\n[permissions]\nnow = true\nkv = true";
    LoadRequest::core(Manifest::parse(text).unwrap(), || Box::new(Reader))
}

#[test]
fn a_mock_is_taken_over_when_its_file_changes_and_only_if_it_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mock.toml");
    fs::write(&path, "now.fixed = 10\nnow.step = '1ns'\n[kv]\na = '1'\nb = '1'").unwrap();
    let sink = Arc::new(Remembered::default());
    let mock = Arc::new(Mock::read(&path).unwrap());
    let host = Host::builder().sink(sink.clone()).build().unwrap();
    let mocked = load(&host, reader().mock(mock.clone()));
    let other = Arc::new(Mock::parse("now.fixed = 7").unwrap());
    let apart = load(&host, reader().mock(other.clone()));
    let (tell, told) = sync_channel(16);
    assert!(host.watch_mock(&mock, move |changed| tell.send(changed).unwrap()).unwrap());
    assert!(!host.watch_mock(&other, |_| {}).unwrap(), "there is no file");
    assert_eq!(ask(&host, mocked, ""), "10 1 1 -");
    assert_eq!(ask(&host, mocked, ""), "11 1 1 own");
    // Each step: what the file holds, whether it is read, and the answer afterwards.
    let steps = [
        ("now.fixed = 20\n[kv]\na = '2'\nb = '1'", true, "20 2 1 own"),
        ("now.fixed = 'nonsense'", false, "20 2 1 own"),
        ("now.fixed = 20\n[kv]\na = '2'\nb = '1'", true, "20 2 1 own"),
        ("now.fixed = 30\n[kv]\nb = '1'", true, "30 - 1 own"),
    ];
    for (text, is_read, answer) in steps {
        fs::write(&path, text).unwrap();
        let told = told.recv_timeout(PATIENCE).expect("the change is noticed");
        assert_eq!((told.is_ok(), &*ask(&host, mocked, "")), (is_read, answer), "{text}: {told:?}");
    }
    assert!(ask(&host, apart, "").starts_with("7 "));
    // The mock that the file held once is given again.
    let late = load(&host, reader().mock(mock));
    assert_eq!(ask(&host, late, ""), "30 - 1 -");
    let has_event = |words: &[&str]| {
        sink.0.lock().iter().any(|one| words.iter().all(|word| one.contains(word)))
    };
    assert!(has_event(&["PolicyChanged", "the mock changed: answered by a mock: now"]));
    assert!(has_event(&["the mock of before stays in force", "mock.toml"]));
}
