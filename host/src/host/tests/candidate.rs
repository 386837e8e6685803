//! Next generations that are tried beside the one that serves.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use glovebox_events::{Event, Sink, What};

use super::*;
use crate::instance::CandidateRole;
use crate::load::Source;
use crate::policy::Policy;
use crate::services::Caller;

/// The function that has an effect outside.
const OUTSIDE: &str = "test:host/outside@1.0.0#act";

/// Counts its frames, uses every service, and answers with all of it. The rest depends on its
/// version.
struct Tried {
    version: &'static str,
    count: u64,
    gate: Arc<Gate>,
}

/// Holds whoever comes until it is opened.
#[derive(Default)]
struct Gate {
    is_shut: parking_lot::Mutex<bool>,
    opened: parking_lot::Condvar,
}

impl Gate {
    fn shut(&self, shut: bool) {
        *self.is_shut.lock() = shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut is_shut = self.is_shut.lock();
        while *is_shut {
            self.opened.wait(&mut is_shut);
        }
    }
}

impl Plugin for Tried {
    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let text = String::from_utf8_lossy(&frame.payload).into_owned();
        match (self.version, &*text) {
            ("fails", _) => return Err(Failure::new(7, "it never works")),
            ("dies", "die") => panic!("on purpose"),
            ("waits", _) => self.gate.pass(),
            _ => {}
        }
        self.count += 1;
        let mut chance = [0; 8];
        services.random(&mut chance)?;
        let now = services.now()?;
        let stored = services.kv_get("n")?.unwrap_or_default();
        services.kv_set("n", &[&stored[..], b"+"].concat())?;
        let given = services.call(OUTSIDE, b"act")?;
        services.emit(&Frame::data("emitted"))?;
        let mut answer = format!("{} {now} {chance:?} {stored:?} {given:?}", self.count);
        if self.version == "other" && text == "odd" {
            answer.push_str(" and more");
        }
        if self.version == "canary" {
            answer = "canary".to_owned();
        }
        Ok(vec![Frame::data(answer)])
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        Ok(Some(State { version: 1, bytes: self.count.to_le_bytes().to_vec() }))
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        self.count = u64::from_le_bytes(state.bytes[..].try_into().unwrap());
        Ok(())
    }
}

/// Frames and outcomes by generation, and notes.
#[derive(Default)]
struct Heard(parking_lot::Mutex<Vec<(u32, What)>>);

impl Sink for Heard {
    fn record(&self, event: &Event) {
        self.0.lock().push((event.generation, event.what.clone()));
    }
}

impl Heard {
    fn notes(&self) -> Vec<String> {
        let all = self.0.lock();
        let note = |what: &What| match what {
            What::Note { text, .. } => Some(text.clone()),
            _ => None,
        };
        all.iter().filter_map(|(_, what)| note(what)).collect()
    }

    fn says(&self, text: &str) -> bool {
        self.notes().iter().any(|note| note.contains(text))
    }
}

struct Scene {
    host: Host,
    id: InstanceId,
    heard: Arc<Heard>,
    outside: Arc<AtomicU64>,
    gate: Arc<Gate>,
}

const MANIFEST: &str = "[plugin]\nid = \"tried\"\n[permissions]\nkv = true\nnow = true\nrandom = true\n\
    emit = true\nfunctions = [\"test:host/outside@1.0.0#act\"]\n";

impl Scene {
    fn new(policy: &str, keys: &str) -> Scene {
        let (heard, outside) = (Arc::<Heard>::default(), Arc::<AtomicU64>::default());
        let (gate, acts) = (Arc::<Gate>::default(), outside.clone());
        let act =
            move |_: &Caller<'_>, _: &[u8]| Ok(acts.fetch_add(1, SeqCst).to_string().into_bytes());
        let host = Host::builder()
            .sink(heard.clone())
            .policy(Policy::parse(&format!("[swap]\nprobation-slower = 1e6\n{policy}")).unwrap())
            .bytes_function(OUTSIDE, act)
            .build()
            .unwrap();
        let scene = Scene { host, id: InstanceId::from_u64(0), heard, outside, gate };
        let source = scene.source_with("serving", keys);
        let id = load(&scene.host, LoadRequest::of(source));
        Scene { id, ..scene }
    }

    fn source(&self, version: &'static str) -> Source {
        self.source_with(version, "")
    }

    fn source_with(&self, version: &'static str, keys: &str) -> Source {
        let manifest = Manifest::parse(&format!("{MANIFEST}{keys}")).unwrap();
        let gate = self.gate.clone();
        Source::core(manifest, move || Box::new(Tried { version, count: 0, gate: gate.clone() }))
    }

    fn shadow(&self, version: &'static str) -> u32 {
        let source = self.source(version);
        self.host.try_beside_with(self.id, source, CandidateRole::Shadow).wait().unwrap()
    }

    fn candidate(&self) -> Option<crate::instance::CandidateStatus> {
        self.host.plugin(self.id).unwrap().candidate
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < PATIENCE, "{what}: {:?}", self.candidate());
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn send(&self, payload: &'static str) -> Reply {
        self.host.call(self.id, &Frame::data(payload))
    }
}

#[test]
fn a_shadow_does_the_same_without_an_effect() {
    let scene = Scene::new("", "");
    (0..3).for_each(|_| drop(scene.send("before")));
    let number = scene.shadow("serving");
    for _ in 0..50 {
        assert!(scene.send("x").outcome.is_completed());
    }
    scene.until("it made all calls", || scene.candidate().unwrap().calls == 50);
    let candidate = scene.candidate().unwrap();
    assert_eq!(candidate.generation, number);
    // Its state, its store, and what it was answered are those of the serving generation.
    assert_eq!(
        (candidate.different, candidate.missed, candidate.failed),
        (0, 0, 0),
        "{candidate:?}"
    );
    assert_eq!((candidate.serving_calls, candidate.serving_failed), (50, 0));
    assert_eq!(scene.outside.load(SeqCst), 53, "the function was called by the serving copy alone");
    let stored = scene.host.snapshot(scene.id).wait().unwrap().store;
    assert_eq!(stored["n"].len(), 53);
    let heard = scene.heard.0.lock();
    let frames = |is_it: fn(&What) -> bool| heard.iter().filter(|(_, what)| is_it(what)).count();
    assert_eq!(frames(|what| matches!(what, What::FrameIn { .. })), 53);
    assert_eq!(frames(|what| matches!(what, What::FrameOut { emitted: true, .. })), 53);
    assert!(
        heard.iter().all(|(generation, _)| *generation <= 1),
        "nothing is told as of the shadow"
    );
    drop(heard);
    assert!(scene.host.dismiss(scene.id).wait());
    assert!(!scene.host.dismiss(scene.id).wait(), "it is over");
    assert!(scene.candidate().is_none());
    for step in ["as shadow is tried beside generation 1", "is over: it was dismissed; 50 calls, 0"]
    {
        assert!(scene.heard.says(step), "{step} in {:?}", scene.heard.notes());
    }
    assert_eq!(scene.host.plugin(scene.id).unwrap().remains.copies(), 1);
}

#[test]
fn differences_of_a_shadow_are_counted_and_named() {
    let scene = Scene::new("", "");
    scene.shadow("other");
    let calls: Vec<_> = ["x", "odd", "x", "odd"].map(|payload| scene.send(payload).call).into();
    scene.until("it made all calls", || scene.candidate().unwrap().calls == 4);
    let candidate = scene.candidate().unwrap();
    let named: Vec<_> = candidate.differences.iter().map(|one| one.call).collect();
    assert_eq!((candidate.different, named), (2, vec![calls[1], calls[3]]));
    assert_eq!(candidate.differences[0].how, "number 1 of its frames is another one");
    scene.until("it is an event", || {
        scene.heard.says(&format!("differs at call {}: number 1 of its frames", calls[3].0))
    });
}

#[test]
fn rules_end_a_trial_or_let_the_candidate_take_over() {
    fn check(
        policy: &str,
        version: &'static str,
        payload: &'static str,
        told: &str,
        takes_over: bool,
    ) {
        let scene = Scene::new(&format!("probation-calls = 5\n{policy}"), "");
        scene.shadow(version);
        for _ in 0..10 {
            assert!(scene.send(payload).outcome.is_completed(), "the serving generation goes on");
        }
        scene.until("the trial is over", || scene.candidate().is_none());
        scene.until("it is told", || scene.heard.says(told));
        if takes_over {
            scene.until("it took over", || scene.host.plugin(scene.id).unwrap().generation > 1);
            // With the state of the generation that served.
            assert_eq!(told_count(&scene.send("x")), 11);
        } else {
            assert_eq!(scene.host.plugin(scene.id).unwrap().generation, 1);
        }
    }
    check("", "fails", "x", "calls failed, 0 of", false);
    check("candidate-differences = 0.5", "other", "odd", "answers differ, a larger share", false);
    check("candidate-promote = 8", "serving", "x", "was no worse in", true);
    check("", "dies", "die", "its copy ended at call", false);
}

fn told_count(reply: &Reply) -> u64 {
    told(reply).split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_shadow_that_hangs_holds_nobody_up_and_its_gaps_are_counted() {
    let scene = Scene::new("", "");
    scene.shadow("waits");
    scene.gate.shut(true);
    for _ in 0..1_100 {
        assert!(scene.send("x").outcome.is_completed());
    }
    // One is under way at most, and the rest of the room is full.
    let missed = scene.candidate().unwrap().missed;
    assert!((75..=76).contains(&missed), "{missed}");
    scene.gate.shut(false);
    scene.until("all that waits is made", || {
        let candidate = scene.candidate().unwrap();
        candidate.calls + candidate.missed == 1_100
    });
    assert_eq!(scene.candidate().unwrap().missed, missed);
}

#[test]
fn a_trial_ends_when_the_state_that_it_copied_does() {
    fn check(change: impl FnOnce(&Scene), told: &str) {
        let scene = Scene::new("", "");
        scene.shadow("serving");
        change(&scene);
        scene.until("the trial is over", || scene.candidate().is_none());
        scene.until("it is told", || scene.heard.says(told));
    }
    check(
        |scene| {
            scene.host.reload(scene.id).wait().unwrap();
        },
        "generation 3 took over",
    );
    check(
        |scene| {
            let snapshot = scene.host.snapshot(scene.id).wait().unwrap();
            scene.host.restore(scene.id, snapshot).wait().unwrap();
        },
        "was given another state",
    );
    check(
        |scene| {
            scene.host.restart(scene.id).wait().unwrap();
            scene.send("x");
        },
        "a serving copy was replaced",
    );
    let scene = Scene::new("", "");
    let (first, second) = (scene.shadow("serving"), scene.shadow("other"));
    assert_eq!(scene.candidate().unwrap().generation, second);
    assert!(scene.heard.says("is over: another one is tried") && first < second);
}

#[test]
fn a_candidate_takes_over_as_a_reload_does() {
    let scene = Scene::new("", "");
    (0..7).for_each(|_| drop(scene.send("x")));
    let error = scene.host.promote(scene.id).wait().unwrap_err().to_string();
    assert!(error.contains("there is no candidate that is tried"), "{error}");
    scene.shadow("other");
    let generation = scene.host.promote(scene.id).wait().unwrap();
    let status = scene.host.plugin(scene.id).unwrap();
    assert_eq!((status.generation, status.candidate), (generation, None));
    let kept: Vec<_> = status.kept.iter().map(|kept| kept.generation).collect();
    assert_eq!(kept, [1]);
    let answer = scene.send("odd");
    assert!(told(&answer).ends_with("and more"));
    assert_eq!(told_count(&answer), 8);
    // Its source is that of the instance from then on.
    scene.host.reload(scene.id).wait().unwrap();
    assert!(told(&scene.send("odd")).ends_with("and more"));
    scene.host.roll_back_to(scene.id, 1).wait().unwrap();
    assert!(!told(&scene.send("odd")).ends_with("and more"));
}

#[test]
fn exactly_one_of_canary_and_serving_generation_gets_each_frame() {
    fn check(copies: u32, one_in: u32) {
        const THREADS: u64 = 4;
        const EACH: u64 = 250;
        let scene = Scene::new("", &format!("[runtime]\ninstances = {copies}\n"));
        let canary = |one_in| {
            let role = CandidateRole::Canary { one_in, seed: 7 };
            let keys = format!("[runtime]\ninstances = {copies}\n");
            let source = scene.source_with("canary", &keys);
            scene.host.try_beside_with(scene.id, source, role).wait().unwrap()
        };
        let number = canary(one_in);
        let answered = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let reply = scene.send("x");
                        assert!(reply.outcome.is_completed(), "{reply:?}");
                        answered.fetch_add(u64::from(told(&reply) == "canary"), SeqCst);
                    }
                });
            }
        });
        let all = THREADS * EACH;
        let share = all / u64::from(one_in);
        assert_eq!(answered.load(SeqCst), share, "{copies} {one_in}");
        let candidate = scene.candidate().unwrap();
        assert_eq!((candidate.calls, candidate.serving_calls), (share, all - share));
        // Each frame went in once and came out once, of one generation.
        let heard = scene.heard.0.lock();
        let mut calls = std::collections::BTreeMap::<u64, Vec<u32>>::new();
        for (generation, what) in &*heard {
            if let What::FrameIn { call, .. } | What::CallEnded { call, .. } = what {
                calls.entry(call.0).or_default().push(*generation);
            }
        }
        drop(heard);
        assert_eq!(calls.len() as u64, all);
        assert!(calls.values().all(|of| of[..] == [1, 1] || of[..] == [number, number]));
        let of_canary = calls.values().filter(|of| of[0] == number).count() as u64;
        assert_eq!(of_canary, share);
        // Both write to one store, and each use of it happened once.
        let stored = scene.host.snapshot(scene.id).wait().unwrap().store;
        assert_eq!(scene.outside.load(SeqCst), all);
        assert!(copies > 1 || stored["n"].len() as u64 == all);
        assert!(scene.host.dismiss(scene.id).wait());
        assert_ne!(told(&scene.send("x")), "canary");
        assert_eq!(scene.host.plugin(scene.id).unwrap().remains.copies(), copies);
    }
    check(1, 4);
    check(1, 1);
    check(3, 10);
}

#[test]
fn frames_keep_their_order_beside_a_canary() {
    let scene = Scene::new("", "");
    let role = CandidateRole::Canary { one_in: 3, seed: 1 };
    scene.host.try_beside_with(scene.id, scene.source("canary"), role).wait().unwrap();
    let sent: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    let mut tickets = Vec::new();
    for (number, text) in sent.iter().enumerate() {
        tickets.push(scene.host.try_dispatch_to(scene.id, Frame::data(text.clone())).unwrap());
        match number {
            100 => assert!(scene.host.dismiss(scene.id).wait()),
            200 => {
                let source = scene.source("canary");
                scene.host.try_beside_with(scene.id, source, role).wait().unwrap();
            }
            _ => {}
        }
        if tickets.len() == 50 {
            tickets.drain(..).for_each(|ticket| assert!(ticket.wait().outcome.is_completed()));
        }
    }
    tickets.into_iter().for_each(|ticket| assert!(ticket.wait().outcome.is_completed()));
    let heard = scene.heard.0.lock();
    let got: Vec<String> = heard
        .iter()
        .filter_map(|(_, what)| match what {
            What::FrameIn { frame, .. } => Some(String::from_utf8_lossy(&frame.payload).into()),
            _ => None,
        })
        .collect();
    assert_eq!(got, sent);
}

#[test]
fn a_canary_that_dies_ends_its_trial_and_no_other_frame() {
    let scene = Scene::new("", "");
    let role = CandidateRole::Canary { one_in: 2, seed: 3 };
    scene.host.try_beside_with(scene.id, scene.source("dies"), role).wait().unwrap();
    // In each row of two, one meets the canary.
    let outcomes: Vec<bool> = (0..6).map(|_| scene.send("die").outcome.is_completed()).collect();
    assert_eq!(outcomes.iter().filter(|completed| !**completed).count(), 1, "{outcomes:?}");
    scene.until("the trial is over", || scene.candidate().is_none());
    assert!(scene.heard.says("its copy ended at call"), "{:?}", scene.heard.notes());
    let status = scene.host.plugin(scene.id).unwrap();
    assert_eq!((status.generation, status.stats.restarts, status.fault), (1, 0, None));
    assert_eq!(status.failures.len(), 1, "what the canary leaves behind is kept");
}

#[test]
fn a_canary_has_what_is_granted_now_and_asks_for_no_more() {
    let scene = Scene::new("", "");
    let role = CandidateRole::Canary { one_in: 1, seed: 0 };
    scene.host.try_beside_with(scene.id, scene.source("canary"), role).wait().unwrap();
    assert_eq!(told(&scene.send("x")), "canary");
    assert!(scene.host.set_decision(scene.id, Permission::Kv, Decision::Deny));
    assert!(!scene.send("x").outcome.is_completed(), "what was taken away is taken from both");
    scene.host.set_policy_mode(crate::policy::PolicyMode::Ask);
    let more = "files = [{ path = \"data\" }]\n";
    let manifest = Manifest::parse(&format!("{MANIFEST}{more}")).unwrap();
    let gate = scene.gate.clone();
    let source = Source::core(manifest, move || {
        Box::new(Tried { version: "canary", count: 0, gate: gate.clone() })
    });
    let refused = scene.host.try_beside_with(scene.id, source.clone(), role).wait();
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("`files`"), "{error}");
    // A shadow reaches no file whatever is granted.
    scene.host.try_beside_with(scene.id, source, CandidateRole::Shadow).wait().unwrap();
}
