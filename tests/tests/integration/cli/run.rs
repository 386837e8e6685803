//! `glovebox run`.

use serde_json::json;

use super::{Folder, root};

/// A pipeline whose one stage is the misbehaving sample, with more of the stage.
fn pipeline(more: &str) -> String {
    let plugin = glovebox_tests::sample("misbehave.wasm").canonicalize().unwrap();
    format!(
        "[pipeline]\noutputs = 'only'\n[stage.only]\nfrom = 'input'\nplugin = '{}'\n{more}",
        plugin.display()
    )
}

#[test]
fn a_trace_goes_through_a_pipeline() {
    let folder = Folder::new();
    let asset = |name: &str| root().join("assets").join(name).display().to_string();
    let demo = asset("pipelines/shop.toml");
    let trace = asset("traces/shop.mcap");
    let run = ["run", &demo, "--trace", &trace];
    let sentence = "calls, all completed; 66 frames came out";
    let out = folder.check(&run, 0, "log     echo     41       180   41", sentence);
    assert!(out.contains("\noutput       orders: 25 frames"), "{out}");
    let json = folder.json(&[&run[..], &["--record", "out.mcap"]].concat(), 0, "Ran 221 frames");
    assert_eq!(json["inputs"]["sent"], 221);
    assert_eq!(json["stages"][0]["outcomes"], json!({"completed": 221}));
    assert_eq!(json["outputs"][0]["frames"], 41);
    // The recorded calls can be counted again: one for each frame of each stage.
    let calls = json["calls"].as_u64().unwrap();
    assert_eq!(calls, 221 + 41 + 25 + 221);
    let info = folder.json(&["trace", "info", "out.mcap"], 0, "");
    assert_eq!(info["calls"], calls, "{info}");
    let some = [&run[..], &["--filter", "text:POST"]].concat();
    assert_eq!(folder.json(&some, 0, "Ran 9 frames")["inputs"]["filtered_out"], 212);
    folder.check(&[&run[..], &["--filter", "text:nowhere"]].concat(), 1, "", "Ran 0 frames");
}

#[test]
fn failures_are_in_the_exit_code() {
    let folder = Folder::new();
    folder.write("in.ndjson", "{\"plugin\":\"x\",\"payload\":\"mode=trap\"}\n{\"plugin\":\"x\",\"payload\":\"mode=fail\"}\n{\"plugin\":\"x\",\"payload\":\"fine\"}\n");
    folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "");
    #[track_caller]
    fn check(folder: &Folder, more: &str, filter: &str, exit: i32, sentence: &str) {
        folder.write("p.toml", pipeline(more));
        let run = ["run", "p.toml", "--trace", "in.mcap", "--filter", filter];
        folder.check(&run, exit, "", sentence);
    }
    check(&folder, "", "text:fine", 0, "through 1 stage of p in");
    check(
        &folder,
        "",
        "",
        4,
        "3 calls (1 completed, 1 failed, 1 trapped); 1 frame came out; 2 frames dropped after a failure",
    );
    check(&folder, "", "text:fail", 1, "1 call (1 failed); 0 frames came out; 1 frame dropped");
    let open = "on-failure = 'fail-open'";
    check(&folder, open, "text:fail", 1, "1 frame came out; 1 frame passed on after a failure");
    let reload = "on-failure = 'reload'";
    check(
        &folder,
        reload,
        "text:fail",
        1,
        "2 calls (2 failed); 0 frames came out; 1 frame dropped after a failure; 1 reload after a failure",
    );
    check(
        &folder,
        "[limits]\nbytes = 1",
        "text:fine",
        1,
        "1 input stopped at a limit of the pipeline",
    );
}

#[test]
fn pipelines_with_mistakes_are_refused() {
    let folder = Folder::with_trace();
    #[track_caller]
    fn check(folder: &Folder, text: &str, exit: i32, stage: &str, remedy: &str) {
        folder.write("p.toml", text);
        folder.refused(&["run", "p.toml", "--trace", "in.mcap"], exit, stage, remedy);
    }
    check(&folder, "", 2, "read pipeline: there is no stage", "write [stage.NAME]");
    let unknown = pipeline("whem = 'kind:data'");
    check(
        &folder,
        &unknown,
        2,
        "unknown key `whem` in [stage.only] on line 6",
        "did you mean `when`?: p.toml",
    );
    let call = pipeline("when = 'kind:data latency>1ms'");
    check(&folder, &call, 2, "line 6: `stage.only.when`: `latency` is about a call", "at byte 10");
    let missing = "[pipeline]\noutputs = 'a'\n[stage.a]\nplugin = './none.wasm'\nfrom = 'input'";
    check(&folder, missing, 3, "start pipeline: stage `a`: read", "check the path");
    let absent = "[pipeline]\noutputs = 'a'\n[stage.a]\nplugin = 'none'\nfrom = 'input'";
    check(
        &folder,
        absent,
        3,
        "no plugin `none` is loaded (none is)",
        "load it first, or name its file",
    );
    folder.refused(
        &["run", "none.toml", "--trace", "in.mcap"],
        2,
        "read pipeline",
        "check the path",
    );
    folder.write("p.toml", pipeline(""));
    folder.refused(&["run", "p.toml", "--trace", "none.mcap"], 5, "read trace", "check the path");
}
