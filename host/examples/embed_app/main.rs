//! An application with plugins, whole: a till that is a plugin asks the application for prices, is
//! replaced by its next version while it counts, and ends with the application.
//!
//!     cargo run -p glovebox-host --example embed_app
//!
//! It uses nothing but `glovebox_host`. "Embedding" in `host/README.md` explains each step.
#![expect(clippy::print_stdout, reason = "an example shows what happened")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use glovebox_host::abi::cbor::Value;
use glovebox_host::{
    Caller, Event, Frame, FunctionError, Host, InstanceId, LimitKind, LoadRequest, Manifest,
    ManifestError, Permission, Sink, Source, What,
};

/// The function that this application gives to its plugins.
const LOOKUP: &str = "acme:shop/prices@1.0.0#lookup";

/// Artifacts that came with the application; they may as well be downloaded.
const TILL_1: &[u8] = include_bytes!("till-1.wat");
const TILL_2: &[u8] = include_bytes!("till-2.wat");

fn main() -> Result<(), Box<dyn Error>> {
    // A native plugin may want a process of its own, which is this program again.
    glovebox_host::worker::run_if_requested();
    let host = Host::builder()
        .function(LOOKUP, lookup)
        .sink(Arc::new(Shown))
        .end_deadline(Duration::from_secs(5))
        .build()?;

    // A broken artifact is refused with the stage at which that was found, and a remedy.
    let broken = LoadRequest::bytes("broken.wat", &b"(module"[..]);
    if let Err(error) = host.load(broken).wait() {
        println!("not loaded: {error}");
    }

    let request = LoadRequest::bytes("till-1.wat", TILL_1).manifest(manifest("1.0.0")?);
    let till = host.load(request).wait()?;
    println!("{}", sell(&host, till, "apple"));
    println!("{}", sell(&host, till, "pear"));
    println!("{}", sell(&host, till, "moon"));

    // The next version is built and tried beside this one, and goes on with its count.
    let next = Source::bytes("till-2.wat", TILL_2).manifest(manifest("2.0.0")?);
    let generation = host.reload_with(till, next).wait()?;
    println!("generation {generation}: {}", sell(&host, till, "apple"));

    if let Some(status) = host.plugin(till) {
        println!("{} is {}, from {}", status.manifest.plugin.id, status.phase, status.origin);
        println!("calls: {}, not completed: {}", status.stats.processed, status.stats.errors);
        let memory = status.limit(LimitKind::Memory);
        let memory = memory.map(|limit| limit.limit.show_limit(limit.value));
        println!("memory: at most {}", memory.unwrap_or_default());
        let functions = status.permission(Permission::Functions);
        println!("prices asked for: {}", functions.map_or(0, |permission| permission.uses));
    }

    let shutdown = host.shut_down(Duration::from_secs(5)).wait();
    println!("ended: {}, in time: {}", shutdown.ended, shutdown.in_time);
    Ok(())
}

/// The price of an article, as bytes: what plugins of the frame ABI give and get.
fn lookup(caller: &Caller<'_>, article: &Value) -> Result<Value, FunctionError> {
    match article {
        Value::Bytes(name) if name == b"apple" => Ok(Value::Text("3".to_owned())),
        Value::Bytes(name) if name == b"pear" => Ok(Value::Text("4".to_owned())),
        _ => Err(format!("`{}` asks for the price of nothing we sell", caller.plugin).into()),
    }
}

/// The manifest of the till. The host's policy gives it the permissions under `[permissions]`:
/// here the default policy, which gives everything that stays inside of the application.
fn manifest(version: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(&format!(
        "[plugin]\nid = 'till'\nversion = '{version}'\n\
         [permissions]\nfunctions = ['{LOOKUP}']\n[limits]\nmemory = '1 MiB'\n"
    ))
}

/// The answer, or how the call ended.
fn sell(host: &Host, till: InstanceId, article: &str) -> String {
    let reply = host.call(till, &Frame::data(article.to_owned()));
    if !reply.outcome.is_completed() {
        return reply.outcome.to_string();
    }
    reply.frames.iter().map(|frame| String::from_utf8_lossy(&frame.payload)).collect()
}

/// Takes every event. This one shows which version runs; others record, draw or measure.
struct Shown;

impl Sink for Shown {
    fn record(&self, event: &Event) {
        match &event.what {
            What::Loaded { version, took, .. } | What::Reloaded { version, took, .. } => {
                let in_time = took < &Duration::from_secs(60);
                println!("{} {version} runs, soon enough: {in_time}", event.plugin);
            }
            What::HostCall { host_call, .. } => {
                println!("{} called {}", event.plugin, host_call.service);
            }
            _ => {}
        }
    }
}
