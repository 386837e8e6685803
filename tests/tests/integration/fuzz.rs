//! The bodies of the fuzz targets, over the seeds and small changes of them.

#[path = "../../fuzz/bodies/filter.rs"]
mod filter;
#[path = "../../fuzz/bodies/frame.rs"]
mod frame;
#[path = "../../fuzz/bodies/import.rs"]
mod import;
#[path = "../../fuzz/bodies/manifest.rs"]
mod manifest;
#[path = "../../fuzz/bodies/wire.rs"]
mod wire;

use glovebox_tests::root;

#[test]
fn filters_survive_their_seeds() {
    check("filter", filter::run);
}

#[test]
fn frames_survive_their_seeds() {
    check("frame", frame::run);
}

#[test]
fn imports_survive_their_seeds() {
    check("import", import::run);
}

#[test]
fn manifests_survive_their_seeds() {
    check("manifest", manifest::run);
}

#[test]
fn conversations_survive_their_seeds() {
    check("wire", wire::run);
}

fn check(target: &str, run: impl Fn(&[u8])) {
    let folder = root().join("tests/fuzz/seeds").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        run(&seed);
        for at in 0..seed.len() {
            run(&seed[..at]);
            let mut changed = seed.clone();
            changed[at] ^= 1 << (at % 7);
            run(&changed);
            changed.remove(at);
            run(&changed);
        }
        count += 1;
    }
    assert!(count >= 10, "only {count} seeds in {}", folder.display());
}
