//! The compile cache on disk: shared by hosts, and never believed without proof.

use std::fs;
use std::path::{Path, PathBuf};

use glovebox_abi::Frame;
use glovebox_host::{CacheStats, LoadRequest};
use glovebox_tests::{Bench, sample};

const PLUGINS: [&str; 4] =
    ["echo.wasm", "echo.frame-abi.wasm", "stats-v1.wasm", "stats-v1.frame-abi.wasm"];

fn host_with(folder: &Path) -> Bench {
    Bench::with(|builder| builder.cache_folder(folder))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Loads all plugins and says what the cache did.
fn load_all(folder: &Path) -> CacheStats {
    let bench = host_with(folder);
    for name in PLUGINS {
        let id = bench.load(name);
        assert!(bench.host.call(id, &Frame::data("x")).outcome.is_completed());
    }
    bench.host.cache_stats()
}

fn stats(hits: u64, misses: u64, damaged: u64) -> CacheStats {
    let mut stats = CacheStats::default();
    (stats.hits, stats.misses, stats.damaged) = (hits, misses, damaged);
    stats
}

#[test]
fn hosts_share_a_folder_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let count = |host: CacheStats| host.hits + host.misses;
    std::thread::scope(|scope| {
        let hosts: Vec<_> = (0..4).map(|_| scope.spawn(|| load_all(folder.path()))).collect();
        for host in hosts {
            let stats = host.join().unwrap();
            assert_eq!((count(stats), stats.damaged), (4, 0), "{stats:?}");
        }
    });
    // One entry each, and no half-written file.
    assert_eq!(entries(folder.path()).len(), PLUGINS.len());
    assert_eq!(load_all(folder.path()), stats(4, 0, 0));
    // An engine with other settings does not take this one's code.
    for expected in [stats(0, 1, 0), stats(1, 0, 0)] {
        let bench = host_with(folder.path());
        // The second instance runs the code of the first.
        for _ in 0..2 {
            let request = LoadRequest::path(sample(PLUGINS[0])).deterministic(1);
            bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(bench.host.cache_stats(), expected);
    }
    assert_eq!(entries(folder.path()).len(), PLUGINS.len() + 1);
}

#[test]
fn damaged_entries_are_compiled_again_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(load_all(folder.path()), stats(0, 4, 0));
    let change = |damage: &dyn Fn(&mut Vec<u8>)| {
        for path in entries(folder.path()) {
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::write(&path, bytes).unwrap();
        }
        assert_eq!(load_all(folder.path()), stats(0, 4, 4));
        assert_eq!(load_all(folder.path()), stats(4, 0, 0), "and replaced");
    };
    change(&|bytes| *bytes.last_mut().unwrap() ^= 1);
    change(&|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x80;
    });
    change(&|bytes| bytes.truncate(bytes.len() / 2));
    change(&Vec::clear);
    // Each has the bytes of another.
    let paths = entries(folder.path());
    let first = fs::read(&paths[0]).unwrap();
    for pair in paths.windows(2) {
        fs::copy(&pair[1], &pair[0]).unwrap();
    }
    fs::write(&paths[paths.len() - 1], first).unwrap();
    assert_eq!(load_all(folder.path()), stats(0, 4, 4));
}
