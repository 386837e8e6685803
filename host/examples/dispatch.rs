//! Dispatching: queues, several copies, routing by header and kind, batches, and back-pressure.
//!
//!     cargo run -p glovebox-host --example dispatch
#![expect(clippy::print_stdout, reason = "an example shows what happened")]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use glovebox_host::{Frame, Header, Host, Kind, LimitChanges, LoadRequest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let host = Host::builder().build()?;
    let echo = host.load(LoadRequest::path(sample("echo.wasm"))).await?;
    host.load(LoadRequest::path(sample("stats.wasm"))).await?;

    // To one instance: waits while its queue is full, then for the answer.
    let reply = host.dispatch_to(echo, Frame::data("to echo")).await;
    println!("dispatch_to: {}, {} frame back", reply.outcome, reply.frames.len());

    // By route: to the plugin that the header names, otherwise to all that accept the kind.
    let header = Header::build().text(Header::TARGET, "stats").finish();
    let report = host.dispatch(Frame::new(Kind::CONTROL, header, "report")).await;
    println!("dispatch with a target: answers of {} plugin", report.len());
    let everyone = host.dispatch(Frame::data("to whom it may concern")).await;
    println!("dispatch by kind: answers of {} plugins", everyone.len());

    // Many at once are one piece of work, which costs far less than one by one.
    let batch = (0..100).map(|number| Frame::data(format!("{number}"))).collect();
    let replies = host.dispatch_batch(echo, batch).await;
    let last = replies.last().and_then(|reply| reply.frames.first());
    println!("dispatch_batch: {} answers, the last is {:?}", replies.len(), last.map(text));

    // Without waiting: a full queue refuses, and the frame was not processed. Here each frame takes
    // 5 ms, and 8 may wait.
    let slow = LoadRequest::path(sample("misbehave.wasm"))
        .config(serde_json::json!({ "mode": "slow", "milliseconds": 5 }))
        .limits(LimitChanges { queue: Some(8), ..LimitChanges::default() });
    let slow = host.load(slow).await?;
    let mut tickets = Vec::new();
    let refusal = loop {
        match host.try_dispatch_to(slow, Frame::data("work")) {
            Ok(ticket) => tickets.push(ticket),
            Err(refusal) => break refusal,
        }
    };
    println!("try_dispatch_to: {refusal}");
    let queued = tickets.len();
    let mut completed = 0;
    for ticket in tickets {
        completed += usize::from(ticket.await.outcome.is_completed());
    }
    println!("of those that were queued, {} were lost", queued - completed);

    // The orderly end: what waits is finished, nothing new is taken.
    let drained = host.drain(slow, Duration::from_secs(5)).await;
    println!("drained in time: {}, {} refused", drained.in_time, drained.refused);
    let stats = host.dispatch_stats();
    println!("the queues refused {} time, and {} frames failed", stats.refused, stats.errors);
    Ok(())
}

fn text(frame: &Frame) -> String {
    String::from_utf8_lossy(&frame.payload).into_owned()
}

fn sample(name: &str) -> std::path::PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/plugins")).join(name)
}
