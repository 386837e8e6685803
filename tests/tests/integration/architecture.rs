//! The folders are the architecture: the arrows of the README, checked.

use std::collections::BTreeSet;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use glovebox_tests::root;

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
        "glovebox-host" => &["glovebox-abi", "glovebox-events", "glovebox-files"],
        "glovebox-inspector" => &["glovebox-abi", "glovebox-events", "glovebox-files"],
        "glovebox" => &[
            "glovebox-abi",
            "glovebox-events",
            "glovebox-files",
            "glovebox-host",
            "glovebox-inspector",
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
    check("glovebox-host", &["egui", "eframe", "mcap", "rfd"]);
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
