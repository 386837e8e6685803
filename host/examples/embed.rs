//! Embedding: a host, one plugin of the application's own, one from a file, and their failures.
//!
//!     cargo run -p glovebox-host --example embed
#![expect(clippy::print_stdout, reason = "an example shows what happened")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use glovebox_host::{
    Event, Failure, Frame, Host, InstanceId, LoadRequest, Manifest, Plugin, Services, Sink, What,
};

/// A plugin that is part of the application: the same trait as in an artifact.
struct Shout;

impl Plugin for Shout {
    fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(vec![Frame::data(frame.payload.to_ascii_uppercase())])
    }
}

/// Takes every event of the host. This one counts log lines; others record, draw or measure.
#[derive(Default)]
struct LogLines(AtomicU64);

impl Sink for LogLines {
    fn record(&self, event: &Event) {
        if let What::HostCall { host_call, .. } = &event.what
            && host_call.service == "log"
        {
            self.0.fetch_add(1, Relaxed);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let log_lines = Arc::new(LogLines::default());
    let host = Host::builder().sink(log_lines.clone()).build()?;

    // Loading goes on elsewhere: wait for it, await it, or look now and then.
    let shout = LoadRequest::core(Manifest::bare("shout"), || Box::new(Shout));
    let shout = host.load(shout).wait()?;
    let redact = host.load(LoadRequest::path(sample("redact.wasm"))).wait()?;
    for plugin in host.plugins() {
        println!("loaded {} on the {} tier", plugin.manifest.plugin.id, plugin.tier.name());
    }

    // The fast path: on this thread, an answer when it returns.
    println!("shout: {}", ask(&host, shout, "hello"));
    println!("redact: {}", ask(&host, redact, r#"{"mail":"ada@example.org","n":1}"#));
    println!("events told of {} log line", log_lines.0.load(Relaxed));

    // A failure in a plugin is data. It got a fresh copy, and takes the next frame.
    let misbehave = host.load(LoadRequest::path(sample("misbehave.wasm"))).wait()?;
    println!("misbehave: {}", ask(&host, misbehave, "mode=loop"));
    println!("misbehave: {}", ask(&host, misbehave, "and again"));

    // A failure in loading names the stage and the remedy.
    if let Err(error) = host.load(LoadRequest::path("no-such-plugin.wasm")).wait() {
        println!("not loaded, at stage {}: {error}", error.stage());
    }
    Ok(())
}

/// The answer, or how the call ended.
fn ask(host: &Host, plugin: InstanceId, payload: &'static str) -> String {
    let reply = host.call(plugin, &Frame::data(payload));
    if !reply.outcome.is_completed() {
        return reply.outcome.to_string();
    }
    let payloads = reply.frames.iter().map(|frame| String::from_utf8_lossy(&frame.payload));
    payloads.collect()
}

fn sample(name: &str) -> std::path::PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/plugins")).join(name)
}
