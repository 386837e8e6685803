//! The things that reloads leave behind.

use std::process::Command;
use std::sync::Mutex;

use glovebox_events::{Event, NoteKind, Sink, What};

use super::*;
use crate::services::LeftKind;

/// Holds memory, and has a destructor that does as it is told.
struct Holder {
    memory: Vec<u8>,
    ends: Ends,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ends {
    Well,
    /// Its memory is never freed.
    Leaking,
    Panicking,
}

impl Plugin for Holder {
    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(vec![Frame::data(self.memory.len().to_string())])
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        match self.ends {
            Ends::Well => {}
            Ends::Leaking => std::mem::forget(std::mem::take(&mut self.memory)),
            Ends::Panicking => panic!("it cannot end"),
        }
    }
}

fn holder(bytes: usize, ends: Ends) -> LoadRequest {
    let manifest = Manifest::bare("holder");
    LoadRequest::core(manifest, move || Box::new(Holder { memory: vec![1; bytes], ends }))
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Sink for Told {
    fn record(&self, event: &Event) {
        if let What::Note { kind: NoteKind::LeftBehind, text } = &event.what {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

#[test]
fn a_destructor_that_does_not_finish_is_named_and_told_once() {
    fn check(ends: Ends, expected: &[(LeftKind, u32)]) {
        let told = Arc::<Told>::default();
        let host = Host::builder().sink(told.clone()).build().unwrap();
        let id = load(&host, holder(1, ends));
        for _ in 0..4 {
            host.reload(id).wait().unwrap();
        }
        let remains = host.plugin(id).unwrap().remains;
        let live: Vec<_> = remains.live.iter().map(|one| (one.generation, one.copies)).collect();
        assert_eq!((live, remains.copies(), remains.libraries), (vec![(5, 1)], 1, 0), "{ends:?}");
        let left: Vec<_> =
            remains.left_behind.iter().map(|one| (one.kind, one.generation)).collect();
        assert_eq!(left, expected, "{ends:?}");
        let told = told.0.lock().unwrap();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        let says = |left: &String| left.ends_with("what it held may stay: it cannot end");
        assert!(told.iter().all(says), "{told:?}");
        drop(told);
        // Its end would panic on this thread otherwise.
        assert!(host.unload(id));
    }
    check(Ends::Well, &[]);
    let all = [1, 2, 3, 4].map(|generation| (LeftKind::Destructor, generation));
    check(Ends::Panicking, &all);
}

/// The variable that has the test below do its work in a process of its own, where nothing else takes
/// memory.
const ALONE: &str = "GLOVEBOX_TEST_REMAINS";

#[test]
fn memory_that_each_generation_leaves_in_use_is_named() {
    const NAME: &str = "host::tests::remains::memory_that_each_generation_leaves_in_use_is_named";
    if let Ok(ends) = std::env::var(ALONE) {
        let ends = if ends == "leaking" { Ends::Leaking } else { Ends::Well };
        let host = host();
        let id = load(&host, holder(4 << 20, ends));
        for _ in 0..12 {
            host.reload(id).wait().unwrap();
        }
        let remains = host.plugin(id).unwrap().remains;
        let left: Vec<_> = remains.left_behind.iter().map(ToString::to_string).collect();
        println!("{} swaps, left behind: {left:?}", remains.memory.len());
        return;
    }
    let check = |ends: &str, expected: &str| {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
            .env(ALONE, ends)
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && out.contains(expected), "{ends}: {out}");
    };
    if cfg!(target_os = "linux") {
        check("leaking", "8 swaps, left behind: [\"memory of generation ");
        check("well", "8 swaps, left behind: []");
    }
}
