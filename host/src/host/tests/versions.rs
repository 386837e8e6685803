//! New versions: probes, older ones, probation and the way back.

use super::*;

/// A version of one plugin: it answers with how many frames it has had, and misbehaves in one way.
struct Version {
    bad: &'static str,
    count: u8,
}

impl Plugin for Version {
    fn initialize(&mut self, _: &mut dyn Services, _: &str) -> Result<(), Failure> {
        match self.bad {
            "start" => Err(Failure::new(1, "not today")),
            _ => Ok(()),
        }
    }

    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let _ = services.kv_set("last", &frame.payload);
        let _ = services.emit(frame);
        self.count += 1;
        match (self.bad, &*frame.payload) {
            ("fails", _) => Err(Failure::new(1, "not today")),
            ("die", b"odd") => panic!("on purpose"),
            ("wrong", _) => Ok(vec![Frame::data("wrong")]),
            _ => Ok(vec![Frame::data(self.count.to_string())]),
        }
    }

    fn health(&mut self) -> glovebox_abi::Health {
        match self.bad {
            "sick" => glovebox_abi::Health::bad(7, "feverish"),
            _ => glovebox_abi::Health::good(),
        }
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        Ok(Some(State { version: 1, bytes: vec![self.count] }))
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        match self.bad {
            "refuses" => return Err(Failure::new(1, "an unknown version")),
            "corrupts" => self.count = 200,
            _ => self.count = state.bytes[0],
        }
        Ok(())
    }
}

fn version(id: &str, number: &str, bad: &'static str) -> crate::load::Source {
    let manifest = format!(
        "[plugin]\nid = \"{id}\"\nversion = \"{number}\"\n[permissions]\nkv = true\nemit = true"
    );
    let manifest = Manifest::parse(&manifest).unwrap();
    crate::load::Source::core(manifest, move || Box::new(Version { bad, count: 0 }))
}

fn with_policy(text: &str) -> Host {
    Host::builder().policy(crate::policy::Policy::parse(text).unwrap()).build().unwrap()
}

#[test]
fn a_version_that_does_not_pass_never_runs() {
    /// Two frames, and then a reload; `refused` is the begin of its error.
    fn check(policy: &str, next: crate::load::Source, refused: Option<&str>) {
        let host = with_policy(policy);
        let id = load(&host, LoadRequest::of(version("versioned", "1.0.0", "")));
        ask(&host, id, "even");
        ask(&host, id, "odd");
        let store = host.snapshot(id).wait().unwrap().store;
        let emitted = host.dispatch_stats();
        let reloaded = host.reload_with(id, next).wait();
        assert_eq!(host.snapshot(id).wait().unwrap().store, store, "probes change no store");
        assert_eq!(host.dispatch_stats(), emitted, "what probes emit reaches nobody");
        match refused {
            None => assert_eq!(reloaded.unwrap(), 2),
            Some(begin) => {
                let error = reloaded.unwrap_err().to_string();
                assert!(error.starts_with(begin), "{error} is not {begin}");
                assert_eq!(host.plugin(id).unwrap().generation, 1);
            }
        }
        assert_eq!(ask(&host, id, "even"), "3", "it goes on");
    }
    let next = |bad| version("versioned", "2.0.0", bad);
    let named = "[[swap.probes]]\nplugin = \"versioned\"\nname = \"third\"\npayload = \"?\"\n\
                 answers = [\"3\"]";
    let last = "[swap]\nprobe-last = 2";
    check("", next(""), None);
    check("", next("start"), Some("initialize: the plugin failed: not today"));
    check("", next("refuses"), Some("restore state: the plugin failed: an unknown version"));
    check("", next("sick"), Some("probe: the plugin says that it is not well"));
    for number in ["2.0.0", "0.1.0"] {
        let stranger = version("stranger", number, "");
        check("", stranger, Some("policy: the artifact is plugin `stranger`"));
    }
    check(named, next(""), None);
    check(named, next("wrong"), Some("probe: the probe `third` failed: the answer is another"));
    check(named, next("fails"), Some("probe: the probe `third` failed: the plugin failed"));
    check(named, next("corrupts"), Some("probe: the probe `third` failed: the answer"));
    check(&named.replace("versioned", "other"), version("versioned", "2.0.0", ""), None);
    check(last, next(""), None);
    check(last, next("die"), Some("probe: the probe `2 of the last 2 frames` failed: the plugin"));
    check(last, next("fails"), Some("probe: the probe `1 of the last 2 frames` failed"));
    let same = format!("{last}\nsame-answers = true");
    // It goes on from the state of now, and counts further.
    check(&same, next(""), Some("probe: the probe `1 of the last 2 frames` failed: the answer"));
    check(
        "[swap]\nolder = \"refuse\"",
        version("versioned", "0.9.0", ""),
        Some("policy: version 0.9.0 is older than 1.0.0"),
    );
}

#[test]
fn a_version_that_hangs_when_it_starts_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let keys = "[lifecycle]\nstart-deadline = \"40 ms\"";
    write(folder.path(), Some('A'), keys);
    let host = host();
    let id = load(&host, LoadRequest::path(folder.path()));
    let module = fs::read_to_string(folder.path().join("letter.wat")).unwrap();
    let marker = "(func (export \"glovebox_abi_0_1\"))";
    let hangs = format!("{marker} (func (export \"_initialize\") (loop (br 0)))");
    fs::write(folder.path().join("letter.wat"), module.replace(marker, &hangs)).unwrap();
    let error = host.reload(id).wait().unwrap_err().to_string();
    assert!(error.starts_with("initialize: ") && error.contains("40 ms"), "{error}");
    assert_eq!(ask(&host, id, "?"), "A");
    fs::remove_dir_all(folder.path()).unwrap();
    let error = host.reload(id).wait().unwrap_err().to_string();
    assert!(error.starts_with("read: "), "{error}");
    assert_eq!(ask(&host, id, "?"), "A");
}

#[test]
fn an_older_version_waits_until_somebody_accepts_it() {
    let host = host();
    let id = load(&host, LoadRequest::of(version("versioned", "1.10.0", "")));
    assert!(!host.accept_older(id), "none waits");
    let error = host.reload_with(id, version("versioned", "1.9.0", "")).wait().unwrap_err();
    assert!(error.to_string().contains("version 1.9.0 is older than 1.10.0"), "{error}");
    let refused = host.plugin(id).unwrap().refused.unwrap();
    assert_eq!((refused.older.as_deref(), refused.waits()), (Some("1.9.0"), true));
    assert!(host.instance(id).unwrap().decided().is_none());
    assert!(host.accept_older(id));
    let runs = || host.plugin(id).unwrap().manifest.plugin.version.to_string();
    let started = Instant::now();
    while runs() != "1.9.0" {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    assert!(host.plugin(id).unwrap().refused.is_none());
    // Nobody is asked about what ran before, nor where the policy does not ask.
    assert_eq!(host.roll_back(id).wait().unwrap(), 3);
    assert_eq!(runs(), "1.10.0");
    host.set_policy(crate::policy::Policy::parse("[swap]\nolder = \"run\"").unwrap());
    assert_eq!(host.reload_with(id, version("versioned", "1.9.0", "")).wait().unwrap(), 4);
}

#[test]
fn one_goes_back_to_any_generation_that_is_kept() {
    let host = with_policy("[swap]\nkeep = 2");
    let id = load(&host, LoadRequest::of(version("versioned", "1.0.0", "")));
    for number in ["2.0.0", "3.0.0", "4.0.0"] {
        ask(&host, id, "x");
        host.reload_with(id, version("versioned", number, "")).wait().unwrap();
    }
    let kept = || -> Vec<_> {
        let kept = host.plugin(id).unwrap().kept.into_iter();
        kept.map(|kept| (kept.generation, kept.version)).collect()
    };
    assert_eq!(kept(), [(2, "2.0.0".to_owned()), (3, "3.0.0".to_owned())]);
    let error = host.roll_back_to(id, 1).wait().unwrap_err().to_string();
    assert!(error.contains("generation 1 is not kept, but 2, 3"), "{error}");
    assert_eq!(host.roll_back_to(id, 2).wait().unwrap(), 5);
    assert_eq!(ask(&host, id, "x"), "3", "with the state of then");
    assert_eq!(kept(), [(3, "3.0.0".to_owned()), (4, "4.0.0".to_owned())]);
    host.roll_back(id).wait().unwrap();
    assert_eq!(host.plugin(id).unwrap().manifest.plugin.version.to_string(), "4.0.0");
}

#[test]
fn a_call_that_does_not_end_holds_up_a_reload_for_no_longer_than_its_deadline() {
    fn check(policy: &str) {
        let host = with_policy(policy);
        let id = load(&host, LoadRequest::of(version("versioned", "1.0.0", "")));
        let instance = host.instance(id).unwrap();
        let held = instance.hold_copy(0).unwrap();
        let error = host.reload(id).wait().unwrap_err().to_string();
        assert!(error.contains("did not end within 20 ms; cancel the call"), "{error}");
        drop(held);
        assert_eq!(host.plugin(id).unwrap().generation, 1);
        assert!(host.reload(id).wait().is_ok());
    }
    check("[swap]\ndrain-deadline = \"20 ms\"");
    // Also if the state is wanted for probes before that.
    check(
        "[swap]\ndrain-deadline = \"20 ms\"\n\
         [[swap.probes]]\nplugin = \"versioned\"\nname = \"any\"\npayload = \"x\"",
    );
}

#[test]
fn a_version_that_is_worse_gives_way_to_the_one_before() {
    /// Four calls of each version; `told` is said at the end of the probation.
    fn check(window: &str, bad: &'static str, told: &[&str], runs: &str, next: &str) {
        let sink = Arc::new(Remembered::default());
        let policy = format!("[swap]\nprobation = \"{window}\"\nprobation-calls = 4");
        let policy = crate::policy::Policy::parse(&policy).unwrap();
        let host = Host::builder().policy(policy).sink(sink.clone()).build().unwrap();
        let id = load(&host, LoadRequest::of(version("versioned", "1.0.0", "")));
        (0..4).for_each(|_| drop(ask(&host, id, "x")));
        assert_eq!(host.reload_with(id, version("versioned", "2.0.0", bad)).wait().unwrap(), 2);
        (0..4).for_each(|_| drop(ask(&host, id, "x")));
        let started = Instant::now();
        let is_told = |event: &String| told.iter().any(|told| event.contains(told));
        while !sink.0.lock().iter().any(is_told) {
            assert!(started.elapsed() < PATIENCE, "{:?}", sink.0.lock());
            std::thread::yield_now();
        }
        let status = host.plugin(id).unwrap();
        assert_eq!(status.manifest.plugin.version.to_string(), runs);
        let refused = status.refused.map(|refused| refused.message).unwrap_or_default();
        assert_eq!(is_told(&refused), runs == "1.0.0", "{refused}");
        assert_eq!(ask(&host, id, "x"), next);
    }
    let worse = "generation 2 was worse than the one before: 4 of 4 calls failed, 0 of 4 before";
    check("600 s", "fails", &[worse], "1.0.0", "5");
    // A machine that is busy may have no time for four calls.
    let well = ["generation 2 passed its probation", "the probation of generation 2 is over"];
    check("20 ms", "", &well, "2.0.0", "9");
}

#[test]
fn a_probation_goes_back_to_what_passed_and_not_to_what_ran_on_probation() {
    /// The versions that take over one after the other, each with whether it fails, and for how many
    /// calls; the one that runs in the end is the first.
    #[track_caller]
    fn check(keep: u32, versions: &[(&str, &'static str, u32)]) {
        let sink = Arc::new(Remembered::default());
        let policy = format!("[swap]\nkeep = {keep}\nprobation = \"600 s\"\nprobation-calls = 4");
        let policy = crate::policy::Policy::parse(&policy).unwrap();
        let host = Host::builder().policy(policy).sink(sink.clone()).build().unwrap();
        let id = load(&host, LoadRequest::of(version("versioned", "1.0.0", "")));
        (0..4).for_each(|_| drop(ask(&host, id, "x")));
        for (number, bad, calls) in versions {
            host.reload_with(id, version("versioned", number, bad)).wait().unwrap();
            (0..*calls).for_each(|_| drop(ask(&host, id, "x")));
        }
        let started = Instant::now();
        let is_told = |event: &String| event.contains("was worse than the one before");
        while !sink.0.lock().iter().any(is_told) {
            assert!(started.elapsed() < PATIENCE, "{:?}", sink.0.lock());
            std::thread::yield_now();
        }
        let status = host.plugin(id).unwrap();
        assert_eq!(status.manifest.plugin.version.to_string(), "1.0.0", "{versions:?}");
    }
    for keep in [1, 3] {
        // Loaded again while it is on probation, with calls of both.
        check(keep, &[("2.0.0", "fails", 2), ("2.0.0", "fails", 2)]);
        check(keep, &[("2.0.0", "fails", 0), ("2.0.0", "fails", 0), ("2.0.0", "fails", 4)]);
        // Another one that fails, too, replaces it.
        check(keep, &[("2.0.0", "fails", 3), ("3.0.0", "fails", 4)]);
    }
}
