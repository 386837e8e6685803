//! `glovebox call`: one frame to one plugin.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use glovebox_abi::{Frame, Header, Kind};
use glovebox_events::Outcome;
use glovebox_host::{Host, LoadRequest, Reply};
use glovebox_inspector::metrics::{LatencySummary, LiveMetrics};
use glovebox_inspector::store::LiveStore;
use serde_json::{Value as Json, json};

use super::dependencies::Wanted;
use super::error::{Exit, Problem};
use super::frame::{frame_json, frame_text, header, payload};
use super::observe::is_stopped;
use super::plugins::{self, LoadArgs};
use super::report::{Output, Report, count, count_of, is_seen, one_line};
use super::surroundings::{Surroundings, SurroundingsArgs};
use super::timing;
use super::waiting::wait;
use crate::ending::is_asked;

/// Send one frame to a plugin and show its answers
///
/// What the plugin depends on is loaded with it, and before it, if a workspace has it.
#[derive(Debug, Args)]
pub(super) struct Call {
    /// An artifact, a plugin.toml, a folder with one, or the id of a plugin of the workspace
    pub plugin: PathBuf,
    /// Kind of the frame: handshake, data, control, error, or a number from 0x60 to 0xFF
    #[arg(long, default_value = "data")]
    pub kind: Kind,
    /// Header of the frame: a JSON object, or `@FILE`; texts `hex:…` become bytes
    #[arg(long, value_name = "JSON")]
    pub header: Option<String>,
    /// Payload of the frame: text, `@FILE`, or `hex:…`
    #[arg(long, value_name = "TEXT|@FILE|hex:…", default_value = "")]
    pub payload: String,
    /// Send it so many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub repeat: u64,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub surroundings: SurroundingsArgs,
    #[command(flatten)]
    pub output: Output,
}

/// What came of all calls.
struct Calls {
    outcomes: BTreeMap<&'static str, u64>,
    /// Calls whose answers are those of the first.
    alike: u64,
    worst: Exit,
    first: Reply,
}

impl Call {
    pub(super) fn run(&self, surroundings: &Surroundings) -> Result<Report, Problem> {
        let frame = self.frame()?;
        let (store, metrics) = (Arc::new(LiveStore::default()), Arc::new(LiveMetrics::default()));
        let names = std::slice::from_ref(&self.plugin);
        let needed = Wanted { names, ..Wanted::default() }.find(&self.load, surroundings)?;
        needed.say();
        let host = plugins::host(vec![store.clone(), metrics.clone()], surroundings)?;
        let _endpoint = surroundings.serve_metrics(&host)?;
        let mut requests = needed.requests;
        // The one that is named comes after what it depends on.
        let request = requests.pop();
        for request in requests {
            wait(&host, host.load(request))?;
        }
        let request = request.unwrap_or_else(|| LoadRequest::path(&self.plugin));
        let id = wait(&host, host.load(request))?;
        let first = host.call(id, &frame);
        let mut calls =
            Calls { outcomes: BTreeMap::new(), alike: 1, worst: exit_of(&first.outcome), first };
        calls.outcomes.insert(calls.first.outcome.name(), 1);
        let mut made = 1;
        for _ in 1..self.repeat {
            if is_asked() {
                break;
            }
            made += 1;
            let reply = host.call(id, &frame);
            *calls.outcomes.entry(reply.outcome.name()).or_default() += 1;
            calls.alike += u64::from(reply.frames == calls.first.frames);
            calls.worst = worse(calls.worst, exit_of(&reply.outcome));
        }
        let Some(status) = host.plugin(id) else {
            return Err(Problem::Usage("the plugin was unloaded while it was called".to_owned()));
        };
        let plugin = status.manifest.plugin.id.as_str();
        let figures = metrics.lock().generation(plugin, status.generation);
        let (latency, denied) =
            figures.map(|figures| (figures.latency, figures.denials)).unwrap_or_default();
        let lowered: Vec<String> = status
            .limit_status
            .iter()
            .filter(|limit| limit.asked.is_some())
            .map(|limit| format!("{} is {}: {}", limit.name, limit.value, limit.explanation()))
            .collect();
        let log = log_lines(&store);
        let denials = denials(&store, &host);
        let mut json = json!({
            "plugin": plugins::status_json(&status),
            "loaded_before": needed.along,
            "dependencies_missing": needed.missing,
            "outcome": calls.first.outcome.name(),
            "detail": calls.first.outcome.to_string(),
            "frames": calls.first.frames.iter().map(frame_json).collect::<Vec<_>>(),
            "calls": made,
            "outcomes": calls.outcomes,
            "answers_as_the_first": calls.alike,
            "timing": timing::json(&latency),
            "log": log.iter().map(|(level, message)| json!({"level": level, "message": message}))
                .collect::<Vec<_>>(),
            "denials": denials,
            "mocks": status.mocks,
            "limits_lowered": lowered,
        });
        let evicted = store.lock().evicted_entries();
        if evicted > 0 {
            json["entries_not_shown"] = evicted.into();
        }
        let mut text = text(&calls, &latency, &log, &denials, made);
        for limit in &lowered {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "limit {}", one_line(&limit.to_string()));
        }
        let sentence = sentence(&calls, made, plugin, &latency, denied);
        Ok(Report::new(text, json, sentence, calls.worst).exact())
    }

    fn frame(&self) -> Result<Frame, Problem> {
        let header = match &self.header {
            Some(text) => header(&plugins::text_or_file(text)?)?,
            None => Header::empty(),
        };
        Ok(Frame::new(self.kind, header, payload(&self.payload)?))
    }
}

fn sentence(
    calls: &Calls,
    made: u64,
    plugin: &str,
    latency: &LatencySummary,
    denied: u64,
) -> String {
    let answers = count_of(calls.first.frames.len(), "frame");
    let mut text = match (made, &calls.first.outcome) {
        (1, Outcome::Completed) => format!("Called {plugin} once: completed with {answers}"),
        (1, outcome) => format!("Called {plugin} once: {outcome}"),
        (repeat, outcome) => {
            let parts = calls.outcomes.iter();
            let parts = parts.map(|(name, count)| format!("{count} {name}"));
            let parts = parts.collect::<Vec<_>>().join(", ");
            let first = match outcome {
                Outcome::Completed => answers,
                outcome => outcome.to_string(),
            };
            format!("Called {plugin} {repeat} times: {parts}; the first: {first}")
        }
    };
    if latency.count > 0 {
        text.push_str(&format!("; {}", timing::short(latency)));
    }
    if denied > 0 {
        text.push_str(&format!("; {} denied", count(denied, "host call")));
    }
    text.replace('\n', " ")
}

fn exit_of(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Completed => Exit::Good,
        outcome if is_stopped(outcome) => Exit::Crashed,
        _ => Exit::Different,
    }
}

fn worse(one: Exit, other: Exit) -> Exit {
    if other as u8 > one as u8 { other } else { one }
}

fn log_lines(store: &LiveStore) -> Vec<(String, String)> {
    let store = store.lock();
    let lines = store.log().iter();
    lines.map(|line| (format!("{:?}", line.level).to_lowercase(), line.message.clone())).collect()
}

/// The denied calls, each with the reason that holds now.
fn denials(store: &LiveStore, host: &Host) -> Vec<Json> {
    let plugins = host.plugins();
    let store = store.lock();
    let denials = store.denials().iter();
    denials
        .map(|denial| {
            let mut plugins = plugins.iter();
            let plugin = plugins.find(|one| one.manifest.plugin.id == *denial.plugin);
            let mut permissions = plugin.into_iter().flat_map(|plugin| &plugin.permissions);
            let status = permissions.find(|status| status.permission == denial.permission);
            let why = match status {
                Some(status) if status.granted => format!("granted within {}", status.parameters),
                Some(status) => status.explanation.clone(),
                None => String::new(),
            };
            json!({
                "plugin": &*denial.plugin,
                "service": denial.service,
                "permission": denial.permission.name(),
                "why": why,
            })
        })
        .collect()
}

/// All of it is inert, except payloads that go to a program.
fn text(
    calls: &Calls,
    latency: &LatencySummary,
    log: &[(String, String)],
    denials: &[Json],
    repeat: u64,
) -> String {
    let mut text = format!("{}\n", one_line(&calls.first.outcome.to_string()));
    for frame in &calls.first.frames {
        text.push_str(&frame_text(frame, is_seen()));
    }
    // Writing to a string cannot fail.
    for (level, message) in log {
        let _ = writeln!(text, "log {level}: {}", one_line(message));
    }
    let mut said = BTreeSet::new();
    for denial in denials {
        let of = |key: &str| denial[key].as_str().unwrap_or_default();
        let (service, permission, why) = (of("service"), of("permission"), of("why"));
        let _ = write!(text, "denied {service}: needs `{permission}`");
        // Why is said once, however often it was denied.
        if said.insert(why) && !why.is_empty() {
            let _ = write!(text, ": {}", one_line(why));
        }
        text.push('\n');
    }
    if repeat > 1 {
        let _ = writeln!(text, "{}", timing::long(latency));
        let _ = writeln!(text, "{} answered as the first did", count(calls.alike, "call"));
    }
    text
}
