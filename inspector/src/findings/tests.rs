//! Hand-made runs, and the verdict of each rule about them.

use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::{Budget, Tier};
use glovebox_abi::{Frame, Manifest, Permission, ServiceError};
use glovebox_events::{
    AnsweredBy, Binding, CallId, Event, HostCall, NoteKind, Outcome, Phase, ReloadCause, Timing,
    What,
};

use glovebox_trace::{InstanceRecord, PluginRecord};

use super::*;

const MILLISECOND: u64 = 1_000_000;

/// A run that is being made up. Each call is 10 ms after the one before.
struct Run {
    builder: RecordBuilder,
    sequence: u64,
    at: u64,
    call: u64,
    instance: u64,
    generation: u32,
}

/// A call that is being made up.
struct Call {
    input: &'static str,
    outputs: Vec<Vec<u8>>,
    micros: u64,
    queue_millis: u64,
    outcome: Option<Outcome>,
    memory: Option<u64>,
    host_calls: Vec<(Permission, Result<i64, ServiceError>)>,
    answered_by: AnsweredBy,
}

impl Default for Call {
    fn default() -> Self {
        Call {
            input: "in",
            outputs: vec![b"out".to_vec()],
            micros: 100,
            queue_millis: 0,
            outcome: Some(Outcome::Completed),
            memory: Some(1 << 20),
            host_calls: Vec::new(),
            answered_by: AnsweredBy::Host,
        }
    }
}

fn failed() -> Call {
    let outcome = Outcome::Failed { code: 1, message: "no".to_owned() };
    Call { outcome: Some(outcome), outputs: Vec::new(), ..Call::default() }
}

impl Run {
    fn new() -> Run {
        Run {
            builder: RecordBuilder::default(),
            sequence: 0,
            at: 1_000_000 * MILLISECOND,
            call: 0,
            instance: 0,
            generation: 1,
        }
    }

    fn event(&mut self, what: What) {
        self.builder.ingest(&Event {
            sequence: self.sequence,
            at: self.at,
            plugin: "p".into(),
            instance: self.instance,
            generation: self.generation,
            what,
        });
        self.sequence += 1;
    }

    fn start(&mut self, input: &str) -> CallId {
        self.call += 1;
        let call = CallId(self.call);
        self.event(What::FrameIn { call, frame: Frame::data(input.as_bytes().to_vec()) });
        call
    }

    fn output(&mut self, call: CallId, index: u32, payload: &[u8]) {
        let frame = Frame::data(payload.to_vec());
        self.event(What::FrameOut { call, index, emitted: false, frame });
    }

    fn end(&mut self, id: CallId, call: &Call, outcome: Outcome) {
        let timing = Timing {
            queue: Duration::from_millis(call.queue_millis),
            guest: Duration::from_micros(call.micros),
            ..Timing::default()
        };
        let (bytes_in, bytes_out, memory) = (0, 0, call.memory);
        let frames_out = call.outputs.len() as u32;
        let call = id;
        self.event(What::CallEnded {
            call,
            outcome,
            timing,
            bytes_in,
            bytes_out,
            frames_out,
            memory,
        });
    }

    fn call(&mut self, call: Call) {
        let id = self.start(call.input);
        for (permission, result) in &call.host_calls {
            let host_call = HostCall {
                service: permission.name().into(),
                permission: *permission,
                arguments: Value::Null,
                result: result.map(|number| Value::Integer(number.into())),
                took: Duration::ZERO,
                answered_by: call.answered_by,
            };
            self.event(What::HostCall { call: Some(id), host_call });
        }
        for (index, output) in call.outputs.iter().enumerate() {
            self.output(id, index as u32, output);
        }
        self.at += call.micros * 1000;
        if let Some(outcome) = call.outcome.clone() {
            self.end(id, &call, outcome);
        }
        self.at += 10 * MILLISECOND;
    }

    fn calls(&mut self, number: u64, make: impl Fn(u64) -> Call) {
        (0..number).for_each(|index| self.call(make(index)));
    }

    fn load(&mut self, took: Duration) {
        self.event(What::Loaded {
            version: "1.0.0".to_owned(),
            tier: Tier::Wasm,
            binding: Binding::Component,
            digest: "d1".to_owned(),
            took,
            cached: false,
        });
    }

    fn budget(&mut self, text: &str) {
        let budget = Budget::parse(text).unwrap_or_else(|error| panic!("{error}"));
        self.builder.describe("p", PluginFacts { budget, ..PluginFacts::default() });
    }
}

/// Checks the verdict of one rule about a run: `message [sequence numbers]`, and `? reason` where
/// it cannot tell.
#[track_caller]
fn check(rule: &str, make: impl FnOnce(&mut Run), expected: &[&str]) {
    let mut run = Run::new();
    make(&mut run);
    let judgement = judge(&run.builder.finish(), &Severities::default());
    let found = judgement.findings.iter().filter(|finding| finding.rule == rule).map(|finding| {
        let evidence: Vec<_> = finding.evidence.iter().map(|one| one.sequence).collect();
        assert!(!finding.remedy.is_empty());
        format!("{} {evidence:?}", finding.message)
    });
    let unjudged = judgement.unjudged.iter().filter(|one| one.rule == rule);
    let unjudged = unjudged.map(|one| format!("? {}", one.reason));
    assert_eq!(found.chain(unjudged).collect::<Vec<_>>(), expected);
}

#[test]
fn broken_budgets() {
    let check = |budget: &str, make: &dyn Fn(&mut Run), expected: &[&str]| {
        let whole = |run: &mut Run| {
            run.budget(budget);
            make(run);
        };
        check("budget-broken", whole, expected);
    };
    let even = |run: &mut Run| run.calls(100, |_| Call::default());
    check("", &even, &[]);
    check("p99 = \"100us\"", &even, &[]);
    check(
        "p50 = \"99us\"",
        &even,
        &["p50 is 100 µs over 100 calls, the budget is 99 µs [0, 3, 6, 9, 12]"],
    );
    // One of a hundred may be slow, two may not.
    let slow = |number: u64| {
        move |run: &mut Run| {
            run.calls(100, |index| Call {
                micros: if index < number { 5000 + index } else { 100 },
                ..Call::default()
            });
        }
    };
    check("p99 = \"1 ms\"", &slow(1), &[]);
    check("p99 = \"1 ms\"", &slow(2), &["p99 is 5 ms over 100 calls, the budget is 1 ms [3, 0]"]);
    check(
        "p99 = \"1us\"",
        &|run| run.calls(99, |_| Call::default()),
        &["? p99: 99 calls are too few, 100 are needed"],
    );
    let hungry = |run: &mut Run| {
        run.calls(3, |index| Call { memory: Some((1 + index) << 20), ..Call::default() });
    };
    check("memory = \"3 MiB\"", &hungry, &[]);
    check("memory = \"1 MiB\"", &hungry, &["memory is 3 MiB, the budget is 1 MiB [6, 3]"]);
    // 100 µs of work every 10.1 ms, for over a second.
    check("cpu = 0.02", &|run| run.calls(200, |_| Call::default()), &[]);
    check(
        "cpu = 0.005",
        &|run| run.calls(200, |_| Call::default()),
        &["cpu is 1 %, the budget is 0.5 % [0, 3, 6, 9, 12]"],
    );
    check(
        "cpu = 0.005",
        &|run| {
            run.builder.set_unpaced();
            run.calls(200, |_| Call::default());
        },
        &["? cpu: inputs came as fast as possible; replay with `--speed real`"],
    );
    // Runs of which each is as long as a clock can count.
    let endless = |run: &mut Run| {
        for _ in 0..2 {
            run.at = 0;
            run.call(Call::default());
            run.at = u64::MAX - 20 * MILLISECOND;
            run.call(Call::default());
            run.builder.next_run();
        }
    };
    check("cpu = 0.005", &endless, &[]);
    let load = |run: &mut Run| {
        run.load(Duration::from_millis(30));
        run.call(Call::default());
    };
    check("load-time = \"30 ms\"", &load, &[]);
    check("load-time = \"20 ms\"", &load, &["load-time is 30 ms, the budget is 20 ms [0]"]);
}

#[test]
fn slow_frames() {
    let slow = |number: u64, micros: u64| {
        move |run: &mut Run| {
            run.calls(number, |index| Call {
                micros: if index == 5 { micros } else { 150 },
                ..Call::default()
            });
        }
    };
    check("slow-frame", slow(20, 1500), &[]);
    check(
        "slow-frame",
        slow(20, 1501),
        &["1 of 20 calls took longer than 1.5 ms, the slowest 1.5 ms; the median is 150 µs [15]"],
    );
    check("slow-frame", slow(19, 9000), &["? 19 of 20 calls"]);
}

#[test]
fn drifting_latency() {
    let drift = |step: u64| {
        move |run: &mut Run| {
            run.calls(200, |index| Call { micros: 100 + index * step, ..Call::default() });
        }
    };
    check("latency-drift", drift(0), &[]);
    check(
        "latency-drift",
        drift(1),
        &["the median latency rose from 112 µs to 287 µs over 200 calls [597, 594, 591, 588, 585]"],
    );
    // Slow at first is not a drift, nor is one late step.
    check(
        "latency-drift",
        |run| {
            run.calls(200, |index| Call { micros: 400 - index, ..Call::default() });
        },
        &[],
    );
    check(
        "latency-drift",
        |run| {
            run.calls(200, |index| Call {
                micros: if index < 180 { 100 } else { 900 },
                ..Call::default()
            });
        },
        &[],
    );
    check("latency-drift", |run| run.calls(5, |_| Call::default()), &["? 5 of 200 calls"]);
}

#[test]
fn growing_memory() {
    let grows = |held: fn(u64) -> u64| {
        move |run: &mut Run| {
            run.calls(104, |index| Call { memory: Some(held(index) << 16), ..Call::default() });
        }
    };
    check("growing-memory", grows(|_| 17), &[]);
    check("growing-memory", grows(|index| 17 + index.min(50)), &[]);
    // One late step, however high, is not growth.
    check("growing-memory", grows(|index| if index < 90 { 17 } else { 99 }), &[]);
    check(
        "growing-memory",
        grows(|index| 17 + index / 10),
        &["memory rose from 1.06 MiB to 1.69 MiB over 104 calls, and still rises \
           [300, 270, 240, 210, 180]"],
    );
    check(
        "growing-memory",
        |run| run.calls(104, |_| Call { memory: None, ..Call::default() }),
        &["? 0 of 100 calls that tell their memory"],
    );
}

#[test]
fn amplified_output() {
    let gives = |frames: usize, bytes: usize| {
        move |run: &mut Run| {
            run.call(Call { outputs: vec![vec![0; bytes]; frames], ..Call::default() });
            run.call(Call::default());
        }
    };
    check("output-amplification", gives(1, 60_000), &[]);
    check(
        "output-amplification",
        gives(1, 65_536),
        &["1 of 2 calls made much of little, the worst 1 frame and 64 KiB of 14 B [0]"],
    );
    check("output-amplification", gives(99, 1), &[]);
    check(
        "output-amplification",
        gives(100, 1),
        &["1 of 2 calls made much of little, the worst 100 frames and 1.27 KiB of 14 B [0]"],
    );
}

#[test]
fn denied_calls() {
    let denied = Err(ServiceError::Denied);
    let answered = |answered_by, results: Vec<Result<i64, ServiceError>>| {
        move |run: &mut Run| {
            let host_calls = results.iter().map(|result| (Permission::Kv, *result)).collect();
            run.call(Call { host_calls, answered_by, ..Call::default() });
        }
    };
    let asks = |results| answered(AnsweredBy::Host, results);
    check("denied-call", answered(AnsweredBy::Fault, vec![denied]), &[]);
    check("denied-call", asks(vec![Ok(1), Err(ServiceError::Unavailable)]), &[]);
    check(
        "denied-call",
        asks(vec![Ok(1), denied, denied]),
        &["2 of 3 host calls that need `kv` were denied [2, 3]"],
    );
}

#[test]
fn unused_permissions() {
    let all = "[permissions]\nlog = true\nkv = true\nrandom = true\nenvironment = [\"A\"]";
    let uses_of = |about: &str, number: u64| {
        let text = format!("[plugin]\nid = \"p\"\n{about}\n{all}");
        let manifest = Manifest::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let facts = PluginFacts::of(&manifest);
        move |run: &mut Run| {
            run.builder.describe("p", facts);
            run.calls(number, |_| Call {
                host_calls: vec![(Permission::Kv, Ok(1))],
                ..Call::default()
            });
        }
    };
    let uses = |number| uses_of("", number);
    let random = "asks for `random` and did not use it in 20 calls []";
    let variables = "asks for `environment` and did not use it in 20 calls []";
    check("unused-permission", uses(20), &[random, variables]);
    // Nobody sees which variables and files machine code reads.
    check("unused-permission", uses_of("[runtime]\ntier = \"native\"", 20), &[random]);
    check("unused-permission", uses_of("[artifact]\nnative = \"p.so\"", 20), &[random]);
    check("unused-permission", uses(19), &["? 19 of 20 calls"]);
    check(
        "unused-permission",
        |run| run.calls(20, |_| Call::default()),
        &["? its manifest is not known"],
    );
}

#[test]
fn crashes_of_processes() {
    let crash_as = |run: &mut Run, crashed: &str, restarted: &str| {
        let call = run.start("in");
        let text = "crashed: by a signal during a frame".to_owned();
        run.event(What::Note { kind: NoteKind::Frame, text });
        for (from, to, cause) in [
            (Phase::Busy, Phase::Faulted, &*format!("{crashed}: by a signal")),
            (Phase::Faulted, Phase::Restarting, "attempt 1"),
            (Phase::Restarting, Phase::Ready, restarted),
        ] {
            run.event(What::Phase { from, to, cause: cause.to_owned() });
        }
        run.end(call, &Call::default(), Outcome::Completed);
    };
    let crash = |run: &mut Run, restarted: &str| crash_as(run, "crashed", restarted);
    let made_up = |run: &mut Run, restarted: &str| crash_as(run, "crashed, made up", restarted);
    let (kept, lost) =
        ("restarted with its kept state, version 1", "restarted without its state, which is lost");
    check("worker-crash", |run| run.calls(3, |_| failed()), &[]);
    check("worker-crash", |run| crash(run, kept), &["its process crashed 1 time [2]"]);
    check(
        "worker-crash",
        |run| [lost, kept, lost].iter().for_each(|restarted| crash(run, restarted)),
        &["its process crashed 3 times; it was restarted without its state 2 times [2, 8, 14]"],
    );
    check("worker-crash", |run| made_up(run, lost), &[]);
    let both = |run: &mut Run| {
        crash(run, kept);
        made_up(run, lost);
    };
    let expected =
        "its process crashed 1 time; besides, a mock or an injected fault made it up 1 time [2]";
    check("worker-crash", both, &[expected]);
    let stop = |run: &mut Run| {
        crash(run, kept);
        let (from, cause) = (Phase::Faulted, "crashed: by a signal; stopped".to_owned());
        run.event(What::Phase { from, to: Phase::Quarantined, cause });
    };
    let expected =
        "its process crashed 1 time; it failed so often in a row that it was stopped [2]";
    check("worker-crash", stop, &[expected]);
}

#[test]
fn what_reloads_left_behind() {
    let tell = |run: &mut Run, kind: NoteKind| {
        let text = "destructor of generation 1: it panicked".to_owned();
        run.event(What::Note { kind, text });
    };
    check("left-behind", |run| tell(run, NoteKind::State), &[]);
    check(
        "left-behind",
        |run| tell(run, NoteKind::LeftBehind),
        &["destructor of generation 1: it panicked [0]"],
    );
}

#[test]
fn retry_storms() {
    check("retry-storm", |run| run.calls(4, |_| failed()), &[]);
    check(
        "retry-storm",
        |run| run.calls(6, |_| failed()),
        &["the same frame failed 6 times within 50.5 ms [0, 2, 4, 6, 8]"],
    );
    // Success ends a streak, and so does time.
    check(
        "retry-storm",
        |run| run.calls(9, |index| if index == 4 { Call::default() } else { failed() }),
        &[],
    );
    check(
        "retry-storm",
        |run| {
            for _ in 0..9 {
                run.call(failed());
                run.at += 3_000 * MILLISECOND;
            }
        },
        &[],
    );
    check(
        "retry-storm",
        |run| run.calls(9, |index| Call { input: ["a", "b"][index as usize % 2], ..failed() }),
        &["the same frame failed 5 times within 80.8 ms [0, 4, 8, 12, 16]"],
    );
    let asks = |number: usize| {
        let host_calls = vec![(Permission::Kv, Err(ServiceError::Unavailable)); number];
        move |run: &mut Run| run.call(Call { host_calls, ..Call::default() })
    };
    check("retry-storm", asks(9), &[]);
    check(
        "retry-storm",
        asks(10),
        &["the same host call failed 10 times in a row in one call; 1 call did so [1]"],
    );
}

#[test]
fn late_and_missing_answers() {
    let id = "late-or-missing-answer";
    check(id, |run| run.calls(30, |_| Call::default()), &[]);
    let waits =
        |queue_millis| move |run: &mut Run| run.call(Call { queue_millis, ..Call::default() });
    check(id, waits(999), &[]);
    check(id, waits(1000), &["1 call answered later than 1 s after the frame was handed in [0]"]);
    check(
        id,
        |run| {
            run.call(Call::default());
            run.output(CallId(1), 1, b"more");
        },
        &["1 call gave a frame after the end [3]"],
    );
    let deadline = Outcome::TimedOut { deadline: Duration::from_millis(20), made_up: false };
    check(
        id,
        |run| run.call(Call { outcome: Some(deadline), outputs: Vec::new(), ..Call::default() }),
        &["1 call did not answer before the deadline [0]"],
    );
    let made_up = Outcome::TimedOut { deadline: Duration::from_millis(20), made_up: true };
    let outcome = Some(made_up);
    check(id, |run| run.call(Call { outcome, outputs: Vec::new(), ..Call::default() }), &[]);
    let endless = |millis: u64| {
        move |run: &mut Run| {
            run.start("in");
            run.at += millis * MILLISECOND;
            run.call(Call { micros: 0, ..Call::default() });
        }
    };
    check(id, endless(999), &[]);
    check(id, endless(1000), &["1 call never ended [0]"]);
    let silent = |number: u64, silent: u64| {
        move |run: &mut Run| {
            run.calls(number, |index| Call {
                outputs: if index < silent { Vec::new() } else { vec![b"out".to_vec()] },
                ..Call::default()
            });
        }
    };
    check(id, silent(20, 1), &["1 call completed without an answer, unlike nearly all others [0]"]);
    check(id, silent(19, 1), &[]);
    check(id, silent(20, 2), &[]);
}

#[test]
fn answers_out_of_order() {
    let order = |first: [usize; 2]| {
        move |run: &mut Run| {
            let calls = [run.start("a"), run.start("b")];
            for index in first {
                run.output(calls[index], 0, b"out");
                run.end(calls[index], &Call::default(), Outcome::Completed);
            }
        }
    };
    check("out-of-order", order([0, 1]), &[]);
    check("out-of-order", order([1, 0]), &["1 call answered after a call that started later [4]"]);
    let numbers = |numbers: [u32; 3]| {
        move |run: &mut Run| {
            let call = run.start("a");
            numbers.iter().for_each(|index| run.output(call, *index, b"out"));
        }
    };
    check("out-of-order", numbers([0, 1, 2]), &[]);
    check("out-of-order", numbers([0, 2, 1]), &["1 call gave frames out of order [2]"]);
}

#[test]
fn outputs_that_differ_between_runs() {
    let id = "non-deterministic-output";
    let inputs = ["a", "b", "c"];
    let twice = |first: [&'static str; 3], second: [&'static str; 3], told: [i64; 2]| {
        move |run: &mut Run| {
            for (outputs, told) in [(first, told[0]), (second, told[1])] {
                for (input, output) in inputs.iter().zip(outputs) {
                    run.call(Call {
                        input,
                        outputs: vec![output.as_bytes().to_vec()],
                        host_calls: vec![(Permission::Now, Ok(told))],
                        ..Call::default()
                    });
                }
                run.builder.next_run();
            }
        }
    };
    check(id, twice(["x", "y", "z"], ["x", "y", "z"], [1, 1]), &[]);
    // Equal inputs may be answered otherwise within a run: a plugin may count.
    check(id, twice(["1", "2", "3"], ["1", "2", "3"], [1, 2]), &[]);
    check(
        id,
        twice(["x", "y", "z"], ["x", "?", "z"], [1, 1]),
        &["1 of 3 calls with the same input ended otherwise or gave other bytes; by the first of \
           them the host had told it the same [4, 16]"],
    );
    check(
        id,
        twice(["x", "y", "z"], ["x", "?", "!"], [1, 2]),
        &["2 of 3 calls with the same input ended otherwise or gave other bytes; by the first of \
           them the host had told it other things, such as the time [4, 16, 8, 20]"],
    );
    check(id, |run| run.call(Call::default()), &["? needs two runs of the same input"]);
    // Two instances of one run count as well, but not a generation with a state from before.
    let instances = |carried: bool| {
        move |run: &mut Run| {
            run.call(Call::default());
            run.instance = 1;
            if carried {
                run.event(What::Reloaded {
                    cause: ReloadCause::Requested,
                    from: 1,
                    version: "1.0.0".to_owned(),
                    digest: "d1".to_owned(),
                    state_version: Some(1),
                    took: Duration::ZERO,
                });
            }
            run.call(Call { outputs: Vec::new(), ..Call::default() });
        }
    };
    check(
        id,
        instances(false),
        &["1 of 1 call with the same input ended otherwise or gave other bytes; by the first of \
           them the host had told it the same [0, 3]"],
    );
    check(id, instances(true), &["? needs two runs of the same input"]);
    // Those of two versions are not of one artifact.
    let versions = |run: &mut Run| {
        let instances = [(0, "d0"), (1, "d1")].map(|(instance, digest)| InstanceRecord {
            instance,
            digest: digest.to_owned(),
            ..InstanceRecord::default()
        });
        run.builder.describe_record(&PluginRecord {
            id: "p".to_owned(),
            version: String::new(),
            digest: "d1".to_owned(),
            binding: None,
            manifest: None,
            instances: instances.to_vec(),
        });
        instances_differ(run);
    };
    fn instances_differ(run: &mut Run) {
        run.call(Call::default());
        run.instance = 1;
        run.call(Call { outputs: Vec::new(), ..Call::default() });
    }
    let unknown = "? needs two runs of the same input";
    check(id, versions, &[unknown, unknown]);
}

#[test]
fn records_are_bounded_and_count_what_they_leave_out() {
    let mut run = Run { builder: RecordBuilder::new(10), ..Run::new() };
    run.calls(12, |_| failed());
    // One that goes on while others make it move, and end.
    let long = run.start("long");
    run.calls(4, |_| failed());
    run.end(long, &Call::default(), Outcome::Completed);
    let record = run.builder.finish();
    assert_eq!((record.calls.len(), record.calls_left_out), (10, 7));
    assert!(record.calls.iter().all(|call| call.end.is_some()));
    let completed = record.calls.iter().filter(|call| call.is_completed());
    assert_eq!(completed.map(|call| call.input.call).collect::<Vec<_>>(), [Some(long)]);
    assert_eq!(record.segments[0].ended, 17);
    let judgement = judge(&record, &Severities::default());
    assert_eq!(judgement.calls_left_out, 7);
}

#[test]
fn severities_decide_what_is_found() {
    fn check(settings: &[&str], expected: &[(&str, Severity)]) {
        let mut run = Run::new();
        let host_calls = vec![(Permission::Kv, Err(ServiceError::Denied))];
        run.call(Call { host_calls, queue_millis: 2000, ..Call::default() });
        let mut severities = Severities::default();
        settings.iter().for_each(|setting| severities.set(setting).unwrap());
        let judgement = judge(&run.builder.finish(), &severities);
        let found = judgement.findings.iter().map(|finding| (finding.rule, finding.severity));
        assert_eq!(found.collect::<Vec<_>>(), expected);
        for least in Severity::ALL {
            let wanted = expected.iter().filter(|(_, severity)| *severity >= least).count();
            assert_eq!(judgement.count(least), wanted);
        }
    }
    use Severity::{Error, Info, Warning};
    check(&[], &[("denied-call", Warning), ("late-or-missing-answer", Warning)]);
    check(
        &["late-or-missing-answer=error", "denied-call=info"],
        &[("late-or-missing-answer", Error), ("denied-call", Info)],
    );
    check(&["denied-call=off"], &[("late-or-missing-answer", Warning)]);
}

#[test]
fn instances_of_one_plugin_are_judged_alone() {
    /// Which instances of two are found slow, each of which gets so many calls in turn, in so many runs.
    fn check(calls: [u64; 2], runs: u64, expected: &[(u64, &str)]) {
        let mut run = Run::new();
        for number in 0..runs {
            for (place, calls) in (0u64..).zip(calls) {
                // The host may count on from run to run.
                run.instance = 10 * number + place;
                run.calls(calls, |index| Call {
                    micros: if place == 1 && index == 5 { 90_000 } else { 100 },
                    ..Call::default()
                });
            }
            run.builder.next_run();
        }
        let judgement = judge(&run.builder.finish(), &Severities::default());
        let slow = judgement.findings.iter().filter(|finding| finding.rule == "slow-frame");
        let found: Vec<_> = slow.map(|one| (one.instance, one.name.as_str())).collect();
        assert_eq!(found, expected, "{calls:?} {runs}");
    }
    check([20, 20], 1, &[(1, "p · instance 1")]);
    // Too few of either, though not of both together.
    check([15, 15], 1, &[]);
    // The same instance in two runs is one.
    check([15, 15], 2, &[(11, "p · instance 11")]);
    check([0, 20], 1, &[(1, "p")]);
}

#[test]
fn budgets_are_those_of_the_instance() {
    let mut run = Run::new();
    let budget = |text: &str| PluginFacts {
        budget: Budget::parse(text).unwrap_or_else(|error| panic!("{error}")),
        ..PluginFacts::default()
    };
    run.builder.describe_instance("p", 0, budget("p50 = \"1 ms\""));
    run.builder.describe_instance("p", 1, budget("p50 = \"10us\""));
    for instance in [0, 1] {
        run.instance = instance;
        run.calls(100, |_| Call::default());
    }
    let judgement = judge(&run.builder.finish(), &Severities::default());
    let named = |_: &str, instance: u64| Some(format!("p · v{instance}"));
    let judgement = judgement.named(named);
    let broken = judgement.findings.iter().filter(|one| one.rule == "budget-broken");
    assert_eq!(broken.map(|one| one.name.as_str()).collect::<Vec<_>>(), ["p · v1"]);
}
