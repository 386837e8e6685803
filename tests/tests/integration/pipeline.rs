//! Stages of real plugins: order, branches, merges, failures, and numbers that add up.

use glovebox_abi::{Failure, Frame, Header, Kind, Manifest, Plugin, Services};
use glovebox_events::{ReloadCause, What};
use glovebox_host::LoadRequest;
use glovebox_inspector::filter::FrameFilter;
use glovebox_pipeline::{Action, FrameTest, Pipeline, Run, Running, StageMetrics, no_conditions};
use glovebox_tests::{Bench, root, sample};

/// Answers each frame with itself, twice, marked with the name of the plugin.
struct Mark(&'static str);

impl Plugin for Mark {
    fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        // Gives other threads a chance to come in between.
        std::thread::yield_now();
        let text = String::from_utf8_lossy(&frame.payload).into_owned();
        let answer = |number: u32| {
            Frame::new(frame.kind, Header::empty(), format!("{text}{}{number}", self.0))
        };
        Ok(vec![answer(1), answer(2)])
    }
}

fn compile(text: &str) -> Result<Box<dyn FrameTest>, String> {
    let filter = FrameFilter::parse(text).map_err(|error| error.to_string())?;
    Ok(Box::new(move |frame: &Frame| filter.matches(frame)))
}

/// A host with the plugins `a`, `b` and `c`, which mark frames, and a running pipeline.
fn start(text: &str) -> (Bench, Running) {
    let bench = Bench::new();
    for name in ["a", "b", "c"] {
        let mut manifest = Manifest::bare(name);
        manifest.frames.accepts.extend([Kind::ERROR, Kind(0x61)]);
        let request = LoadRequest::core(manifest, move || Box::new(Mark(name)));
        bench.host.load(request).wait().unwrap();
    }
    let running = Pipeline::parse(text, sample(""), &compile)
        .unwrap_or_else(|error| panic!("{error}"))
        .start(&bench.host)
        .wait()
        .unwrap_or_else(|error| panic!("{error}"));
    (bench, running)
}

/// The payloads of each output, and of the error frames.
fn shown(run: &Run) -> String {
    let text = |frame: &Frame| String::from_utf8_lossy(&frame.payload).into_owned();
    let mut parts: Vec<String> = run
        .outputs
        .iter()
        .map(|output| {
            let frames: Vec<String> = output.frames.iter().map(text).collect();
            format!("{}: {}", output.stage, frames.join(" "))
        })
        .collect();
    parts.extend(run.errors.iter().map(|frame| format!("error: {}", text(frame))));
    parts.join("; ")
}

#[test]
fn frames_take_their_way_in_order() {
    #[track_caller]
    fn check(text: &str, frame: Frame, expected: &str) {
        let (_bench, running) = start(text);
        for _ in 0..2 {
            assert_eq!(shown(&running.send(&frame)), expected);
        }
    }
    let sequence = "[pipeline]\noutputs = 'second'\n[stage.first]\nplugin = 'a'\nfrom = 'input'\n\
        [stage.second]\nplugin = 'b'\nfrom = 'first'";
    check(sequence, Frame::data("x"), "second: xa1b1 xa1b2 xa2b1 xa2b2");
    let fan_out = "[pipeline]\noutputs = ['two', 'one']\n[stage.one]\nplugin = 'a'\nfrom = 'input'\n\
        [stage.two]\nplugin = 'b'\nfrom = 'input'";
    check(fan_out, Frame::data("x"), "two: xb1 xb2; one: xa1 xa2");
    // Written last to first, and merged in the order of `from`, not of the file or of the stages.
    let merge = "[pipeline]\noutputs = 'end'\n\
        [stage.end]\nplugin = 'c'\nfrom = ['right', 'input', 'left']\nwhen = 'not text:2'\n\
        [stage.left]\nplugin = 'a'\nfrom = 'input'\n[stage.right]\nplugin = 'b'\nfrom = 'input'";
    check(merge, Frame::data("x"), "end: xb1c1 xb1c2 xc1 xc2 xa1c1 xa1c2");
    let branch = "[pipeline]\noutputs = ['small', 'large', 'special']\n\
        [stage.small]\nplugin = 'a'\nfrom = 'input'\nkinds = 'data'\nwhen = 'size<20'\n\
        [stage.large]\nplugin = 'b'\nfrom = 'input'\nkinds = 'data'\nwhen = 'size>=20'\n\
        [stage.special]\nplugin = 'c'\nfrom = 'input'\nkinds = ['0x61', 'control']";
    check(branch, Frame::data("x"), "small: xa1 xa2; large: ; special: ");
    check(branch, Frame::data("123456789"), "small: ; large: 123456789b1 123456789b2; special: ");
    let special = Frame::new(Kind(0x61), Header::empty(), "x");
    check(branch, special, "small: ; large: ; special: xc1 xc2");
}

#[test]
fn failures_go_where_the_stage_says() {
    /// `stage` is what comes before the end of the pipeline; gives the metrics of `bad`.
    #[track_caller]
    fn check(policy: &str, payload: &str, expected: &str, actions: &[Action]) -> StageMetrics {
        for artifact in ["misbehave.wasm", "misbehave.frame-abi.wasm"] {
            let text = format!(
                "[pipeline]\noutputs = ['end', 'bad']\n\
                 [stage.bad]\nplugin = './{artifact}'\nfrom = 'input'\n{policy}\n\
                 [stage.end]\nplugin = 'c'\nfrom = 'bad'"
            );
            let (bench, running) = start(&text);
            let run = running.send(&Frame::data(payload.to_owned()));
            let found = shown(&run);
            assert!(found.contains(expected), "{policy} {payload}: {found:?} lacks {expected:?}");
            let bad = run.calls.iter().filter(|call| &*call.stage == "bad");
            assert_eq!(bad.map(|call| call.action).collect::<Vec<_>>(), actions, "{policy}");
            // The next frame goes through in every case.
            assert_eq!(shown(&running.send(&Frame::data("y"))), "end: yc1 yc2; bad: y");
            let metrics = running.metrics();
            assert_eq!((metrics.inputs, metrics.unclaimed, metrics.stopped), (2, 0, 0));
            let metrics = metrics.stages[0].clone();
            assert_eq!(metrics.frames_in, 2, "{policy}");
            let reloads = bench.events.events().into_iter().filter(|event| {
                matches!(event.what, What::Reloaded { cause: ReloadCause::Restart, .. })
            });
            assert_eq!(reloads.count() as u64, metrics.reloads);
            if artifact == "misbehave.frame-abi.wasm" {
                return metrics;
            }
        }
        unreachable!("the loop returns in its last round")
    }
    let trapped = "end: ; bad: ; error: trapped: unreachable-code-reached";
    let dropped = check("", "mode=trap", trapped, &[Action::Dropped]);
    assert_eq!((dropped.dropped, dropped.passed, dropped.calls, dropped.errors()), (1, 0, 2, 1));
    assert_eq!((dropped.frames_out, dropped.outcomes["trapped"]), (1, 1));
    let open = "end: mode=trapc1 mode=trapc2; bad: mode=trap";
    let passed = check("on-failure = 'fail-open'", "mode=trap", open, &[Action::Passed]);
    assert_eq!((passed.dropped, passed.passed, passed.frames_out), (0, 1, 2));
    let twice = [Action::Reloaded, Action::Dropped];
    let reloaded = check("on-failure = 'reload'", "mode=trap", trapped, &twice);
    assert_eq!((reloaded.reloads, reloaded.dropped, reloaded.calls), (1, 1, 3));
    let timed_out = "error: timed out: stopped at its deadline of 250 ms";
    check("on-failure = 'fail-closed'", "mode=loop", timed_out, &[Action::Dropped]);
    check("", "mode=fail", "error: failed: failing on demand (code 1000)", &[Action::Dropped]);
}

#[test]
fn error_frames_say_what_failed() {
    let (_bench, running) = start(
        "[pipeline]\noutputs = 'seen'\n\
         [stage.bad]\nplugin = './misbehave.wasm'\nfrom = 'input'\n\
         [stage.seen]\nplugin = './echo.wasm'\nfrom = ['bad.errors', 'bad']\n",
    );
    let header = Header::build().text(Header::ID, "q-1").finish();
    let run = running.send(&Frame::new(Kind::DATA, header, "mode=fail"));
    assert_eq!(run.errors, [], "a stage took it");
    let frame = &run.outputs[0].frames[0];
    assert_eq!(frame.kind, Kind::ERROR);
    let text = |key| frame.header.get_text(key).unwrap_or_default();
    let names = ["id", "stage", "plugin", "outcome"].map(text);
    assert_eq!(names, ["q-1", "bad", "misbehave", "failed"]);
    assert_eq!(frame.header.get_integer("call"), Some(run.calls[0].call.0.into()));
    assert_eq!(shown(&running.send(&Frame::data("fine"))), "seen: fine");
}

#[test]
fn a_reload_brings_the_plugin_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = folder.path().join("plugin.wasm");
    // The binding is told from the bytes, and both carry the same manifest.
    std::fs::copy(sample("misbehave.wasm"), &artifact).unwrap();
    let bench = Bench::new();
    let text = "[pipeline]\noutputs = 'only'\n[stage.only]\nplugin = 'plugin.wasm'\n\
        from = 'input'\non-failure = 'reload'\nconfig = { mode = 'fail' }";
    let pipeline = Pipeline::parse(text, folder.path(), &no_conditions).unwrap();
    let running = pipeline.start(&bench.host).wait().unwrap();
    // A reload reads the file anew: one that is damaged is refused, and the old copy runs on.
    std::fs::write(&artifact, "no plugin").unwrap();
    let run = running.send(&Frame::data("x"));
    assert_eq!(run.calls[0].action, Action::Dropped);
    assert_eq!(running.metrics().stages[0].reloads_refused, 1);
    std::fs::copy(sample("misbehave.frame-abi.wasm"), &artifact).unwrap();
    let run = running.send(&Frame::data("x"));
    let actions: Vec<Action> = run.calls.iter().map(|call| call.action).collect();
    assert_eq!(actions, [Action::Reloaded, Action::Dropped]);
    let status = bench.host.plugin(running.instances()[0]).unwrap();
    assert_eq!(status.binding, glovebox_events::Binding::FrameAbi);
}

#[test]
fn what_one_input_leads_to_is_bounded() {
    #[track_caller]
    fn check(limits: &str, expected: &str, cut_off: [u64; 3], outputs: &str) {
        // Two frames in the first stage, four in the second, eight in the third.
        let (_bench, running) = start(&format!(
            "[pipeline]\noutputs = ['one', 'three']\n[limits]\n{limits}\n\
             [stage.one]\nplugin = 'a'\nfrom = 'input'\n\
             [stage.two]\nplugin = 'b'\nfrom = 'one'\n\
             [stage.three]\nplugin = 'c'\nfrom = 'two'"
        ));
        let run = running.send(&Frame::data("x"));
        let stopped = run.stopped.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(stopped.contains(expected), "{limits}: {stopped:?} does not say {expected:?}");
        let metrics = running.metrics();
        assert_eq!(metrics.stopped, u64::from(!expected.is_empty()));
        let found: Vec<u64> = metrics.stages.iter().map(|stage| stage.cut_off).collect();
        assert_eq!(found, cut_off, "{limits}");
        assert!(shown(&run).contains(outputs), "{}", shown(&run));
    }
    check("frames = 14", "", [0; 3], "three: xa1b1c1");
    // The last answer of the last stage is one too many.
    check(
        "frames = 13",
        "stopped in stage `three`: one input led to 14 frames, limit 13",
        [0, 0, 2],
        "three: xa1b1c1",
    );
    // The first answer of the second stage is, so that its other frame is not tried.
    check(
        "frames = 3",
        "in stage `two`: one input led to 4 frames, limit 3; raise `frames`",
        [0, 3, 0],
        "one: xa1 xa2",
    );
    check(
        "bytes = 40",
        "in stage `two`: one input led to 64 bytes, limit 40",
        [0, 3, 0],
        "one: xa1 xa2",
    );
}

#[test]
fn numbers_add_up() {
    let (_bench, running) = start(
        "[pipeline]\noutputs = 'end'\n\
         [stage.first]\nplugin = 'a'\nfrom = 'input'\nkinds = 'data'\n\
         [stage.end]\nplugin = 'b'\nfrom = 'first'\nwhen = 'text:a1'",
    );
    for _ in 0..10 {
        running.send(&Frame::data("x"));
    }
    running.send(&Frame::new(Kind::CONTROL, Header::empty(), "x"));
    let metrics = running.metrics();
    assert_eq!((metrics.inputs, metrics.unclaimed), (11, 1));
    let [first, end] = &metrics.stages[..] else { panic!("{metrics:?}") };
    assert_eq!((first.stage.as_str(), first.plugin.as_str()), ("first", "a"));
    assert_eq!(
        (first.frames_in, first.filtered, first.frames_out, first.unclaimed),
        (10, 1, 20, 10)
    );
    assert_eq!((end.frames_in, end.filtered, end.frames_out, end.unclaimed), (10, 10, 20, 0));
    let size = |text: &str| Frame::data(text.to_owned()).encoded_len() as u64;
    assert_eq!((first.bytes_in, first.bytes_out), (10 * size("x"), 20 * size("xa1")));
    assert_eq!((end.bytes_in, end.bytes_out), (10 * size("xa1"), 20 * size("xa1b1")));
    assert_eq!((end.calls, end.latency.count, end.outcomes["completed"]), (10, 10, 10));
    assert!(end.latency.p50 <= end.latency.p99 && end.latency.p99 <= end.latency.max);
}

#[test]
fn pipelines_that_cannot_start_leave_nothing_behind() {
    #[track_caller]
    fn check(second: &str, expected: &str) {
        let bench = Bench::new();
        bench.load("redact.wasm");
        let text = format!(
            "[pipeline]\noutputs = 'second'\n[stage.first]\nplugin = './echo.wasm'\nfrom = 'input'\n\
             [stage.second]\n{second}"
        );
        let pipeline = Pipeline::parse(&text, sample(""), &no_conditions).unwrap();
        let error = pipeline.start(&bench.host).wait().unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        assert_eq!(bench.host.plugins().len(), 1, "only what was there before is there");
    }
    check(
        "plugin = 'redakt'\nfrom = 'first'",
        "stage `second`: no plugin `redakt` is loaded (loaded: echo, redact); did you mean `redact`?",
    );
    check("plugin = './none.wasm'\nfrom = 'first'", "stage `second`: read: No such file");
    check(
        "plugin = 'redact'\nfrom = 'first'\nkinds = ['data', 'control']",
        "plugin `redact` accepts data, not control; change the stage",
    );
    check("plugin = 'redact'\nfrom = ['first', 'first.errors']\nkinds = 'error'", "not error;");
}

#[test]
fn a_pipeline_ends_with_its_plugins() {
    let (bench, running) = start(
        "[pipeline]\noutputs = ['own', 'shared']\n[stage.own]\nplugin = './echo.wasm'\nfrom = 'input'\n\
         [stage.shared]\nplugin = 'a'\nfrom = 'input'",
    );
    assert_eq!(bench.host.plugins().len(), 4);
    drop(running);
    let left: Vec<String> =
        bench.host.plugins().iter().map(|status| status.manifest.plugin.id.clone()).collect();
    assert_eq!(left, ["a", "b", "c"]);
}

#[test]
fn inputs_from_several_threads_do_not_mix() {
    let (bench, running) = start(
        "[pipeline]\noutputs = 'second'\n[stage.first]\nplugin = 'a'\nfrom = 'input'\n\
         [stage.second]\nplugin = 'b'\nfrom = 'first'",
    );
    let running = &running;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..200 {
                    let input = format!("{thread}.{number}.");
                    let expected =
                        format!("second: {input}a1b1 {input}a1b2 {input}a2b1 {input}a2b2");
                    assert_eq!(shown(&running.send(&Frame::data(input))), expected);
                }
            });
        }
    });
    // The second stage saw pairs of the same input.
    let seen: Vec<String> = bench
        .events
        .events()
        .iter()
        .filter_map(|event| match &event.what {
            What::FrameIn { frame, .. } if &*event.plugin == "b" => {
                Some(String::from_utf8_lossy(&frame.payload).into_owned())
            }
            _ => None,
        })
        .collect();
    assert_eq!(seen.len(), 1600);
    for pair in seen.chunks(2) {
        assert_eq!(pair[0].strip_suffix("a1"), pair[1].strip_suffix("a2"), "{pair:?}");
    }
}

#[test]
fn the_demo_runs_on_the_demo_trace() {
    use glovebox_inspector::replay::ReplayPlan;
    use glovebox_trace::TraceReader;

    let events = TraceReader::open(root().join("assets/traces/shop.mcap")).unwrap();
    let plan = ReplayPlan::from_events(events.map(Result::unwrap), None);
    let bench = Bench::new();
    let pipeline = Pipeline::read(root().join("assets/pipelines/shop.toml"), &compile).unwrap();
    assert_eq!(pipeline.stages().collect::<Vec<_>>(), ["redact", "log", "orders", "count"]);
    let running = pipeline.start(&bench.host).wait().unwrap();
    for input in &plan.inputs {
        let run = running.send(&input.frame);
        assert!(run.is_completed(), "{run:?}");
    }
    let stages = running.metrics().stages;
    let numbers: Vec<(u64, u64, u64)> =
        stages.iter().map(|stage| (stage.frames_in, stage.filtered, stage.frames_out)).collect();
    assert_eq!(numbers[0], (221, 0, 221));
    assert_eq!(numbers[3], (221, 0, 0));
    // 41 lines of a log, and 25 packets about orders.
    assert_eq!(&numbers[1..3], [(41, 180, 41), (25, 196, 25)]);
}
