//! The folders are the architecture: the arrows of the README, between crates and between the modules
//! inside them, checked.

mod growth;
mod modules;
mod prose;
mod table;

use std::collections::BTreeSet;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use glovebox_tests::root;

use modules::Modules;
use table::{Line, faults, leaf, line};

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().unwrap()
}

fn dependencies(package: &Package) -> BTreeSet<String> {
    let normal = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.clone()).collect()
}

/// Which of our crates each of our crates may depend on.
fn allowed(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "glovebox-abi" => &[],
        "glovebox-events" => &["glovebox-abi"],
        "glovebox-macros" => &[],
        "glovebox-sdk" => &["glovebox-abi", "glovebox-macros"],
        "glovebox-files" => &[],
        "glovebox-sandbox" => &[],
        "glovebox-worker" => &["glovebox-abi", "glovebox-sandbox"],
        "glovebox-document" => &["glovebox-abi"],
        "glovebox-host" => &[
            "glovebox-abi",
            "glovebox-document",
            "glovebox-events",
            "glovebox-files",
            "glovebox-sandbox",
            "glovebox-worker",
        ],
        "glovebox-catalog" => &["glovebox-abi", "glovebox-events", "glovebox-host"],
        "glovebox-pipeline" => &[
            "glovebox-abi",
            "glovebox-document",
            "glovebox-events",
            "glovebox-files",
            "glovebox-host",
        ],
        "glovebox-workspace" => &[
            "glovebox-abi",
            "glovebox-catalog",
            "glovebox-document",
            "glovebox-files",
            "glovebox-host",
        ],
        "glovebox-trace" => &["glovebox-abi", "glovebox-events", "glovebox-files"],
        "glovebox-inspector" => {
            &["glovebox-abi", "glovebox-events", "glovebox-files", "glovebox-trace"]
        }
        "glovebox" => &[
            "glovebox-abi",
            "glovebox-catalog",
            "glovebox-events",
            "glovebox-files",
            "glovebox-host",
            "glovebox-inspector",
            "glovebox-pipeline",
            "glovebox-trace",
            "glovebox-workspace",
        ],
        "glovebox-tests" => return None,
        _ => &["glovebox-sdk"],
    })
}

#[test]
fn arrows_point_one_way() {
    for package in metadata().workspace_packages() {
        let Some(allowed) = allowed(&package.name) else {
            continue;
        };
        let ours = dependencies(package).into_iter().filter(|name| name.starts_with("glovebox"));
        let wrong: Vec<String> = ours.filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(wrong.is_empty(), "{} must not depend on {wrong:?}", package.name);
    }
}

/// The modules of the host, from what an embedder calls down to what everybody may know.
const HOST: &[Line] = &[
    line(
        "export",
        "figures for those who watch many hosts: Prometheus, OTLP",
        &["host", "instance", "record", "services"],
    ),
    line("worker", "the first line of `main`: this process as a worker", &["backend"]),
    line(
        "host",
        "what an embedder calls: load, call, dispatch, reload, watch, decide",
        &["instance", "load", "backend", "services", "policy", "record"],
    ),
    line(
        "instance",
        "one running plugin: copies, queue, generations and their swap, status",
        &["load", "backend", "services", "policy", "record"],
    ),
    line(
        "load",
        "from a file to checked code: read, sniff, manifest, policy, compile, link",
        &["backend", "backend/container", "services", "policy", "record"],
    ),
    line(
        "backend",
        "from code to a running copy; each binding a file",
        &["backend/container", "backend/process", "services", "policy", "record"],
    ),
    line(
        "backend/container",
        "plugins in images and root folders, which an engine of containers runs",
        &["backend/process"],
    ),
    line("backend/process", "what a process with a plugin is given", &["policy"]),
    line(
        "services",
        "what a plugin may call, checked, answered and recorded",
        &["policy", "record"],
    ),
    line("policy", "what a plugin may do, and why", &[]),
    line("record", "what a host tells: events, phases, spans, latencies", &[]),
    leaf("watch", "notices that files changed"),
    leaf("reply", "what came of a call"),
    leaf("underway", "loads that can be cancelled"),
    leaf("problem", "why a plugin was not loaded"),
    leaf("failure", "what is known of a failure"),
    leaf("frames", "what a call gives back"),
    leaf("stop", "why a call did not complete"),
    leaf("id", "the number of an instance"),
    leaf("task", "work that goes on elsewhere"),
    leaf("guard", "panics that end here"),
];

/// The modules of the inspector, from reports down to single values.
const INSPECTOR: &[Line] = &[
    line("shrink", "the smallest trace that still shows it", &["replay", "decode"]),
    line("search", "a text in many frames", &["store", "filter"]),
    line("store", "the events that a window shows, in bounded memory", &["filter"]),
    line("report", "runs and differences as pages", &["diff"]),
    line("baseline", "accepted runs as text files", &["replay", "diff", "decode"]),
    line("replay", "which frames are sent again, and when", &["filter", "decode"]),
    line("import", "traces from captures and from lines of text", &["decode"]),
    line("filter", "the language of lists, searches and exports", &["decode"]),
    line("export", "traces as other formats", &["metrics", "decode"]),
    line("failure", "one failure of a plugin in one file", &[]),
    line("metrics", "figures of plugins and generations", &["findings", "diff"]),
    line("findings", "lints on what happened", &[]),
    line("diff", "what changed between two runs", &["decode"]),
    line("anonymize", "traces without what is about people", &["decode"]),
    line("decode", "payloads and headers as values", &[]),
];

/// The modules of the trace, from what is made of traces down to bytes.
const TRACE: &[Line] = &[
    line("split", "one trace as several", &["gaps", "write", "index", "read", "error"]),
    line("merge", "several traces as one", &["gaps", "write", "index", "read", "error", "about"]),
    line("sample", "one event of every sort, for tests", &[]),
    line("test_support", "made-up traces in files, for tests", &[]),
    line("made_up", "frames that nobody sent", &[]),
    line("capture", "frames of any application, without a host", &["record", "error", "about"]),
    line(
        "record",
        "writes while the plugins run",
        &["write", "storage", "format", "error", "about", "plugins"],
    ),
    line(
        "repair",
        "what can be saved of a damaged file",
        &["gaps", "write", "read", "format", "error", "about"],
    ),
    line("gaps", "what a trace lacks, in one that is made of it", &["write", "read", "error"]),
    line("write", "writes a file", &["index", "storage", "format", "error", "about"]),
    line(
        "index",
        "finds events without reading all",
        &[
            "sets",
            "read",
            "numbers",
            "storage",
            "format",
            "error",
            "about",
            "placeholder",
            "versions",
        ],
    ),
    line("read", "reads a file", &["storage", "format", "error", "about", "plugins"]),
    line("placeholder", "frames that gave way to their lengths", &["error"]),
    line("plugins", "the plugins of a trace, as it describes them", &["about"]),
    line("versions", "which version a generation ran", &["about"]),
    line("sets", "what frames have in common", &[]),
    line("numbers", "numbers in few bytes", &[]),
    line("storage", "what traces need of the operating system", &[]),
    line("format", "how the bytes are laid out", &[]),
    line("error", "what is wrong with a trace", &[]),
    line("about", "what a trace says about itself", &[]),
];
/// The modules of the application, from what a person calls down to what everybody may know.
const APP: &[Line] = &[
    line(
        "cli",
        "the verbs of the command line",
        &["window", "workbench", "build", "ending", "crashes"],
    ),
    line(
        "window",
        "opens the window",
        &[
            "ending",
            "crashes",
            "window/app",
            "window/terminal",
            "window/session",
            "window/theme",
            "window/capture",
            "workbench",
            "window/ids",
        ],
    ),
    line(
        "window/app",
        "what the window does: the one match over its changes",
        &[
            "ending",
            "window/toasts",
            "window/terminal",
            "window/shell",
            "window/session",
            "window/quitting",
            "window/panels",
            "window/overlays",
            "window/palette",
            "window/theme",
            "window/widgets",
            "window/context",
            "window/shown",
            "window/capture",
            "window/action",
            "window/dialogs",
            "workbench",
            "window/commands",
            "window/ids",
        ],
    ),
    line(
        "window/toasts",
        "notices that go by themselves",
        &["window/widgets", "window/theme", "workbench"],
    ),
    line("window/terminal", "words for where the window was started from", &[]),
    line(
        "window/shell",
        "the frame around the panels",
        &[
            "window/guard",
            "window/filter_field",
            "window/session",
            "window/panels",
            "window/buttons",
            "window/widgets",
            "window/look",
            "window/theme",
            "window/context",
            "window/action",
            "workbench",
            "window/commands",
            "window/ids",
        ],
    ),
    line(
        "window/guard",
        "a view that panics, shown instead of it",
        &["window/widgets", "window/theme"],
    ),
    line(
        "window/filter_field",
        "the field for filters",
        &[
            "window/widgets",
            "window/theme",
            "window/context",
            "window/shown",
            "window/action",
            "workbench",
            "window/commands",
        ],
    ),
    line("window/session", "what is kept until the next start", &["window/theme", "window/ids"]),
    line("window/quitting", "how far closing is", &["workbench"]),
    line(
        "window/panels",
        "one panel each",
        &[
            "window/excerpt",
            "window/buttons",
            "window/widgets",
            "window/look",
            "window/theme",
            "window/context",
            "window/shown",
            "window/action",
            "workbench",
            "window/commands",
            "window/ids",
        ],
    ),
    line("window/excerpt", "a part of a long list, copied", &[]),
    line(
        "window/buttons",
        "buttons of commands",
        &["window/widgets", "window/theme", "window/context", "window/commands"],
    ),
    line(
        "window/overlays",
        "what lies over the panels",
        &[
            "window/palette",
            "window/widgets",
            "window/theme",
            "window/context",
            "window/action",
            "window/dialogs",
            "workbench",
            "window/commands",
        ],
    ),
    line(
        "window/palette",
        "commands found by their names",
        &[
            "window/widgets",
            "window/look",
            "window/theme",
            "window/context",
            "window/action",
            "workbench",
            "window/commands",
        ],
    ),
    line("window/widgets", "what several panels draw", &["window/theme"]),
    line("window/look", "how plugins, calls and outcomes look", &["window/theme", "workbench"]),
    line("window/theme", "colours, sizes and fonts", &[]),
    line(
        "window/context",
        "what a panel may read",
        &["window/shown", "window/action", "workbench", "window/commands"],
    ),
    line("window/shown", "what is selected and filtered", &["workbench"]),
    line("window/capture", "pictures and reports of the window", &["workbench"]),
    line(
        "window/action",
        "what views ask for",
        &["window/dialogs", "workbench", "window/commands", "window/ids"],
    ),
    line("window/dialogs", "dialogs of the system for files", &["workbench"]),
    line("workbench", "joins host and inspector; knows no window", &[]),
    line("window/commands", "the table of commands", &["window/ids"]),
    line("window/ids", "names of panels and tabs", &[]),
    line("build", "builds plugins from their source", &[]),
    line("ending", "signals and the end of the process", &[]),
    leaf("panics", "panics that are told and not fatal"),
    line("crashes", "reports of processes that a fault ended", &["folders"]),
    leaf("folders", "where the application keeps things"),
    leaf("assets", "what comes with the application"),
];

#[test]
fn modules_use_what_the_table_lets_them() {
    let check = |folder: &str, table: &[Line], known: &[(&str, &str)]| {
        let modules = Modules::read(&root().join(folder));
        let faults = faults(&modules, table, known);
        assert!(faults.is_empty(), "{folder}:\n{}", faults.join("\n"));
    };
    check("host/src", HOST, &[]);
    check("inspector/src", INSPECTOR, &[]);
    check("inspector/trace/src", TRACE, &[]);
    check("app/src", APP, &[]);
}

/// The faults of a crate with these modules and this table.
#[test]
fn wrong_arrows_between_modules_are_named() {
    const TABLE: &[Line] =
        &[line("high", "uses", &["low"]), line("low", "is used", &[]), leaf("small", "a type")];
    fn check(sources: &[(&str, &str)], known: &[(&str, &str)], expected: &[&str]) {
        let way = |path: &str| -> Vec<String> {
            path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        let sources = sources.iter().map(|(path, text)| (way(path), (*text).to_owned()));
        let found = faults(&Modules::parse(sources.collect()), TABLE, known);
        assert_eq!(found, expected);
    }
    let good = [
        ("", "mod high; mod low; mod small; pub use high::High; pub use small::Small;"),
        ("high", "mod inner; pub use inner::High; use crate::low::{self, Low as Lower};"),
        ("high/inner", "use super::super::low; use crate::{Small}; pub struct High;"),
        ("low", "pub struct Low; fn name() { crate::small::Small::new() }"),
        ("small", "pub struct Small;"),
    ];
    let with = |path: &'static str, text: &'static str| {
        let mut sources = good.to_vec();
        sources.retain(|(other, _)| *other != path);
        sources.push((path, text));
        sources
    };
    check(&good, &[], &[]);
    let up = "`low` uses `high::High`, but the table does not let `low` use `high`";
    check(&with("low", "fn go() { let it: crate::high::High = it; }"), &[], &[up]);
    check(&with("low", "fn go() { super::high::High }"), &[], &[up]);
    check(&with("low", "use crate::{small::Small, high::{High}};"), &[], &[up]);
    // Through the face of the crate.
    let through = "`low` uses `High`, but the table does not let `low` use `high`";
    check(&with("low", "use crate::High;"), &[], &[through]);
    check(&with("low", "use super::High as Other;"), &[], &[through]);
    check(&with("low", "use crate::High;"), &[("low", "high")], &[]);
    check(
        &good,
        &[("low", "high")],
        &["`low` no longer uses `high`; strike it from the known circles"],
    );
    check(
        &with("small", "use crate::low::Low;"),
        &[],
        &["`small` uses `low::Low`, but the table does not let `small` use `low`"],
    );
    // Tests may use everything, and what is no path is none.
    check(&with("low", "#[cfg(test)] mod tests { use crate::high::High; }"), &[], &[]);
    check(&with("low", "#[cfg(test)] use crate::high::High; pub struct Low;"), &[], &[]);
    check(
        &with("low", "// crate::high::High\nfn say() -> &str { \"crate::high::High\" }"),
        &[],
        &[],
    );
    let more = [&good[..], &[("other", "")]].concat();
    check(&more, &[], &["`other` stands in no line of the table"]);
    let two = [("high", "use crate::low::Low;"), ("low", "pub struct Low;")];
    check(&two, &[], &["the table has a line for `small`, which is not there"]);
    let root = [
        &good[1..],
        &[("", "pub use small::Small; pub struct Top;"), ("low/in", "use crate::Top;")],
    ]
    .concat();
    check(&root, &[], &["`low/in` uses `Top`, which the root defines"]);
}

#[test]
fn crates_keep_to_their_charter() {
    let metadata = metadata();
    let check = |name: &str, forbidden: &[&str]| {
        let packages = metadata.workspace_packages();
        let package = packages.iter().find(|package| *package.name == name).unwrap();
        let found: Vec<String> = dependencies(package)
            .into_iter()
            .filter(|name| forbidden.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        assert!(found.is_empty(), "{name} must not use {found:?}");
    };
    let runtimes = ["wasmtime", "tokio", "notify", "libloading", "mcap", "egui", "eframe", "rfd"];
    check("glovebox-abi", &runtimes);
    check("glovebox-events", &runtimes);
    check("glovebox-sdk", &runtimes);
    check("glovebox-files", &runtimes);
    check("glovebox-host", &["egui", "eframe", "mcap", "rfd", "bm25", "pubgrub", "walkdir"]);
    let analysis =
        ["regex", "hdrhistogram", "maud", "pcap-file", "etherparse", "roaring", "similar"];
    check("glovebox-trace", &[&runtimes[..], &analysis].concat());
    check("glovebox-inspector", &["egui", "eframe", "wasmtime", "libloading", "rfd"]);
}

#[test]
fn crates_are_named_after_their_folders() {
    for package in metadata().workspace_packages() {
        let folder = package.manifest_path.parent().unwrap().file_name().unwrap();
        let expected = match folder {
            "app" => "glovebox".to_owned(),
            folder => format!("glovebox-{folder}"),
        };
        assert_eq!(*package.name, expected);
    }
}

#[test]
fn the_top_level_holds_what_it_should() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "app",
        "host",
        "inspector",
        "assets",
        "sample-plugins",
        "tests",
        "target",
    ];
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || allowed.contains(&name.as_str()),
            "{name} at the top level"
        );
    }
}

#[test]
fn there_is_one_egui() {
    let metadata = metadata();
    let versions: BTreeSet<String> = metadata
        .packages
        .iter()
        .filter(|package| *package.name == "egui")
        .map(|package| package.version.to_string())
        .collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
}

/// `cargo run` builds the app alone, tests and CI the whole workspace. If the large dependencies got
/// other features in one than in the other, they would be built twice.
#[test]
fn one_package_builds_what_the_workspace_builds() {
    let features = |selection: &[&str]| -> BTreeSet<String> {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--prefix", "none", "--format", "{p} [{f}]", "--edges", "normal,build"])
            .args(selection)
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    };
    let workspace = features(&["--workspace", "--edges", "normal,build,dev"]);
    // Too small to matter: ours, and what reads the texts of log filters and of property tests.
    let small = ["glovebox", "regex-syntax "];
    let alone = features(&["--package", "glovebox"]);
    let others = alone.difference(&workspace);
    let others: Vec<_> =
        others.filter(|line| !small.iter().any(|small| line.starts_with(small))).collect();
    assert!(others.is_empty(), "features of the app alone, not of the workspace: {others:#?}");
}

/// Each crate that the kit comes with costs every author time at the first build.
#[test]
fn a_plugin_builds_few_crates() {
    fn check(target: &str, expected: &[&str]) {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--prefix", "none", "--format", "{p}", "--edges", "normal,build"])
            .args(["--package", "glovebox-sdk", "--target", target])
            // A plugin is not in this workspace, and gets no features that only others ask for.
            .env("CARGO_RESOLVER_FEATURE_UNIFICATION", "selected")
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let crates: BTreeSet<&str> =
            lines.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(crates, BTreeSet::from_iter(expected.iter().copied()), "for {target}");
    }
    let kit = ["bytes", "glovebox-abi", "glovebox-macros", "glovebox-sdk", "minicbor"];
    check("x86_64-unknown-linux-gnu", &kit);
    check("wasm32-unknown-unknown", &[&kit[..], &["wit-bindgen"]].concat());
}

#[test]
#[cfg_attr(
    not(has_wasm_target),
    ignore = "run `rustup target add wasm32-unknown-unknown`, or set GLOVEBOX_CARGO to a cargo that has it"
)]
fn the_contract_and_the_kit_compile_for_wasm() {
    let target = "wasm32-unknown-unknown";
    let wrapper = std::env::var_os("GLOVEBOX_CARGO");
    let output = Command::new(wrapper.unwrap_or_else(|| env!("CARGO").into()))
        .args(["check", "--target", target, "-p", "glovebox-abi", "-p", "glovebox-sdk"])
        .args(["--manifest-path".as_ref(), root().join("Cargo.toml").as_os_str()])
        .args(["--target-dir".as_ref(), root().join("target/wasm-check").as_os_str()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn abi_and_events_do_no_input_or_output() {
    for folder in ["host/abi/src", "host/events/src"] {
        visit(&root().join(folder));
    }
    fn visit(folder: &std::path::Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for word in
                ["std::fs", "std::net", "std::process", "std::thread", "SystemTime", "Instant"]
            {
                assert!(!text.contains(word), "{} mentions {word}", path.display());
            }
        }
    }
}
