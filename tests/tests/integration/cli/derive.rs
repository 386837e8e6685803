//! Verbs that make traces of traces: `trace filter`, `split`, `merge` and `anonymize`.

use super::*;

/// The arguments by which each verb makes `out` of `name`.
fn verbs<'a>(name: &'a str, out: &'a str) -> [Vec<&'a str>; 4] {
    [
        vec!["trace", "filter", name, "kind:data", "-o", out],
        vec!["trace", "split", name, "--frames", "2", "-o", out],
        vec!["trace", "merge", name, "-o", out],
        vec!["trace", "anonymize", name, "--path", "header.id", "-o", out],
    ]
}

/// Names and contents of all files.
fn files(folder: &Folder) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder.0.path()).unwrap().map(Result::unwrap);
    // The folder of the user's data may be there, too.
    let entries = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn what_is_no_trace_is_refused_and_nothing_is_written() {
    let folder = Folder::with_trace();
    folder.write("empty.mcap", b"");
    folder.write("text.mcap", b"hello");
    fs::copy(root().join("assets/traces/shop.pcap"), folder.0.path().join("a.pcap")).unwrap();
    let before = files(&folder);
    let check = |name: &str, remedy: &str| {
        for verb in verbs(name, "out.mcap") {
            folder.refused(&verb, 5, "read trace: ", remedy);
            assert!(files(&folder) == before, "{verb:?} left something behind");
        }
    };
    check("missing.mcap", "; check the path");
    check("empty.mcap", "; record or import one");
    check("text.mcap", "; give a .mcap file");
    check("a.pcap", "; import it with `glovebox trace import`");
    check(".", "; check the file and its rights");
    let second = ["trace", "merge", "in.mcap", "text.mcap", "-o", "out.mcap"];
    folder.refused(&second, 5, "read trace: ", "text.mcap");
    assert!(files(&folder) == before);
}

#[test]
fn nothing_is_overwritten() {
    let folder = Folder::with_trace();
    // Files with the names that a split gives its parts.
    folder.write("out.001.mcap", b"precious");
    folder.write("out.mcap", b"precious");
    folder.write("held.001.mcap.partial", b"precious");
    folder.write("held.mcap.partial", b"precious");
    let input = fs::read(folder.0.path().join("in.mcap")).unwrap();
    folder.write("in.001.mcap", &input);
    let before = files(&folder);
    for out in ["out.mcap", "held.mcap", "in.mcap"] {
        for verb in verbs("in.mcap", out) {
            folder.refused(&verb, 2, "write", "; choose another name");
            assert!(files(&folder) == before, "{verb:?} changed something");
        }
    }
    for verb in verbs("in.mcap", "nowhere/out.mcap") {
        folder.refused(&verb, 1, "write trace: cannot create", "; make the folder first");
        assert!(files(&folder) == before, "{verb:?} changed something");
    }
}

#[test]
fn what_is_left_of_a_damaged_trace_is_kept() {
    let folder = Folder::new();
    folder.check(&["trace", "generate", "--frames", "3000", "in.mcap"], 0, "", "");
    let good = fs::read(folder.0.path().join("in.mcap")).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 0x10;
    folder.write("flipped.mcap", &flipped);
    folder.write("cut.mcap", &good[..good.len() / 2]);
    for name in ["flipped.mcap", "cut.mcap"] {
        let whole = folder.json(&["trace", "info", name], 0, "cannot be read");
        let (events, before) = (whole["events"].as_u64().unwrap(), files(&folder));
        for mut verb in verbs(name, "out.mcap") {
            if verb[1] == "filter" {
                // Calls are kept whole, and what belongs to none.
                verb[3] = "";
            }
            if verb[1] == "split" {
                verb[4] = "100000";
            }
            if verb[1] == "anonymize" {
                verb[4] = "header.user";
            }
            folder.check(&verb, 5, "", "could not be read");
            let out = if verb[1] == "split" { "out.001.mcap" } else { "out.mcap" };
            let left = folder.json(&["trace", "info", out], 0, "");
            assert_eq!(left["events"], events, "{verb:?}");
            fs::remove_file(folder.0.path().join(out)).unwrap();
            assert!(files(&folder) == before, "{verb:?} left something behind");
        }
    }
}

#[test]
fn what_was_asked_for_must_make_sense() {
    let folder = Folder::with_trace();
    let before = files(&folder);
    let check = |arguments: &[&str], problem: &str| {
        let run = folder.run(&[&["trace"], arguments, &["-o", "out.mcap"]].concat());
        let err = text(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{arguments:?}: {err}");
        assert!(err.contains(problem), "{arguments:?}: {err}\ndoes not say {problem:?}");
        assert!(files(&folder) == before, "{arguments:?} left something behind");
    };
    check(&["split", "in.mcap"], "--frames <N>|--every <DURATION>|--size <SIZE>");
    check(&["split", "in.mcap", "--frames", "0"], "0 is not in");
    check(&["split", "in.mcap", "--every", "0s"], "write a time above 0");
    check(&["split", "in.mcap", "--size", "0"], "write a size above 0");
    check(&["split", "in.mcap", "--every", "soon"], "soon");
    check(&["split", "in.mcap", "--frames", "1", "--size", "1k"], "cannot be used with");
    check(&["merge"], "<TRACES>");
    check(&["anonymize", "in.mcap"], "--path <PATH>|--pattern <REGEX>");
    check(&["anonymize", "in.mcap", "--path", "body.x"], "body");
    check(&["anonymize", "in.mcap", "--pattern", "("], "(");
    check(&["filter", "in.mcap", "latncy>1ms"], "did you mean `latency`?");
}

#[test]
fn parts_are_merged_into_what_was_split() {
    let folder = Folder::new();
    folder.check(&["trace", "generate", "--frames", "2000", "in.mcap"], 0, "", "");
    let split = ["trace", "split", "in.mcap", "--frames", "500", "-o", "part.mcap"];
    let made = folder.check(&split, 0, "part.001.mcap", "into 4 parts");
    let parts: Vec<&str> = made.lines().collect();
    let merge = [&["trace", "merge"], &parts[..], &["-o", "out.mcap"]].concat();
    folder.check(&merge, 0, "out.mcap", "of one recording");
    let ends = ["trace", "merge", "part.004.mcap", "part.001.mcap", "-o", "ends.mcap"];
    let between = "missing between part.001.mcap and part.004.mcap";
    let json = folder.json(&ends, 0, between);
    assert!(json["merged"]["missing"][0]["events"].as_u64() > Some(1_000), "{json:#}");
    for name in ["in", "out"] {
        let out = format!("{name}.ndjson");
        folder.check(&["trace", "export", &format!("{name}.mcap"), "-o", &out], 0, "", "");
    }
    let read = |name: &str| fs::read(folder.0.path().join(name)).unwrap();
    assert!(read("in.ndjson") == read("out.ndjson"), "the merged parts differ from the whole");
}
