//! Hot swap: the next version takes over with the state, or the one before runs on.
//!
//!     cargo run -p glovebox-host --example hot_swap
#![expect(clippy::print_stdout, reason = "an example shows what happened")]

use std::error::Error;
use std::path::Path;

use glovebox_host::{Frame, Header, Host, InstanceId, Kind, LoadRequest};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let artifact = folder.path().join("stats.wasm");
    std::fs::copy(sample("stats-v1.wasm"), &artifact)?;

    let host = Host::builder().build()?;
    let stats = host.load(LoadRequest::path(&artifact)).wait()?;
    for payload in ["a", "bb", "ccc"] {
        host.call(stats, &Frame::data(payload));
    }
    println!("version 1: {}", report(&host, stats));

    // The new artifact is built and tried beside the running one, given a copy of its state, and
    // switched in between two calls. `Host::watch` does so whenever the file changes.
    std::fs::copy(sample("stats.wasm"), &artifact)?;
    let generation = host.reload(stats).wait()?;
    println!("generation {generation}, version 2: {}", report(&host, stats));

    // A build that does not load changes nothing.
    std::fs::write(&artifact, "half a file")?;
    if let Err(error) = host.reload(stats).wait() {
        println!("refused at stage {}", error.stage());
    }
    println!("still there: {}", report(&host, stats));

    // And back, to the state of the moment of the swap.
    let generation = host.roll_back(stats).wait()?;
    println!("generation {generation}, rolled back: {}", report(&host, stats));
    Ok(())
}

/// The counts of the plugin so far.
fn report(host: &Host, plugin: InstanceId) -> String {
    let reply = host.call(plugin, &Frame::new(Kind::CONTROL, Header::empty(), "report"));
    let answers = reply.frames.iter().map(|frame| String::from_utf8_lossy(&frame.payload));
    answers.collect()
}

fn sample(name: &str) -> std::path::PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/plugins")).join(name)
}
