//! `glovebox call`: one frame to one plugin.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::text::cut;
use glovebox_abi::{Frame, Header, Kind, MAX_FRAME_LEN, Permission};
use glovebox_events::latency::LatencySummary;
use glovebox_events::{AnsweredBy, Outcome};
use glovebox_files::read;
use glovebox_host::{Host, LoadRequest, Reply};
use glovebox_inspector::metrics::LiveMetrics;
use glovebox_inspector::store::{LiveStore, StoreLimits};
use serde_json::{Value as Json, json};

use super::dependencies::Wanted;
use super::error::{Exit, Problem, READ_ARGUMENT};
use super::frame::{frame_text, frames_json, header, payload};
use super::load::{argument_file, text_or_file};
use super::observe::is_stopped;
use super::plugins::{self, PluginArgs};
use super::report::{Report, count, count_of, named, one_line};
use super::surroundings::Surroundings;
use super::timing;
use super::waiting::wait;
use crate::ending::is_asked;

/// Send one frame to a plugin and show its answers
///
/// The plugin's dependencies are loaded before it if a workspace has them.
#[derive(Debug, Args)]
pub(super) struct Call {
    /// An artifact, a plugin.toml, a folder with one, or the id of a plugin of the workspace
    pub plugin: PathBuf,
    /// Kind of the frame: handshake, data, control, error, or a number from 0x60 to 0xFF
    #[arg(long, default_value = "data")]
    pub kind: Kind,
    /// Header of the frame: a JSON object or `@FILE`. A text `hex:…` becomes bytes
    #[arg(long, value_name = "JSON")]
    pub header: Option<String>,
    /// Function to call, of a plugin that was made for another host: the `function` of the header
    #[arg(long, value_name = "NAME")]
    pub function: Option<String>,
    /// Payload of the frame: text, `@FILE`, or `hex:…`
    #[arg(long, value_name = "TEXT|@FILE|hex:…", default_value = "")]
    pub payload: String,
    /// Send this frame instead: a file of the quarantine, or any encoded frame
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "header", "function", "payload"])]
    pub frame: Option<PathBuf>,
    /// Send the frame N times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub repeat: u64,
    #[command(flatten)]
    pub with: PluginArgs,
}

/// Bytes that the sentence has of what a plugin says; what comes behind it is to be seen too.
const MAX_OUTCOME: usize = 1 << 10;

/// The results of all calls.
struct Calls {
    outcomes: BTreeMap<&'static str, u64>,
    /// Calls whose answers are those of the first.
    alike: u64,
    worst: Exit,
    first: Reply,
}

impl Call {
    pub(super) fn inputs(&self) -> Vec<&Path> {
        let mut inputs = vec![&*self.plugin];
        inputs.extend(argument_file(self.header.as_deref()));
        inputs.extend(argument_file(Some(&self.payload)));
        inputs.extend(self.frame.as_deref());
        inputs.extend(self.with.inputs());
        inputs
    }

    pub(super) fn run(&self, surroundings: &Surroundings) -> Result<Report, Problem> {
        let frame = self.frame()?;
        // Only the lists are shown: frames and host calls need no room.
        let store = Arc::new(LiveStore::new(StoreLimits { bytes: KEPT, ..StoreLimits::default() }));
        let metrics = Arc::<LiveMetrics>::default();
        let names = std::slice::from_ref(&self.plugin);
        let needed = Wanted { names, ..Wanted::default() }.find(&self.with.load, surroundings)?;
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
        surroundings.say_vain(&host);
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
            let is_alike =
                (&reply.frames, &reply.outcome) == (&calls.first.frames, &calls.first.outcome);
            calls.alike += u64::from(is_alike);
            calls.worst = worse(calls.worst, exit_of(&reply.outcome));
        }
        // Frames that it emitted go on to others, or are dropped on the way.
        host.wait_idle().wait();
        let dropped = plugins::emitted_dropped(&host.plugins());
        let Some(status) = host.plugin(id) else {
            return Err(Problem::Usage("the plugin was unloaded while it was called".to_owned()));
        };
        let plugin = status.manifest.plugin.id.as_str();
        let figures = metrics.lock().generation(plugin, status.generation);
        let (latency, denied, injected, restarts) = figures
            .map(|it| (it.latency, it.denials(), it.injected(), it.restarts))
            .unwrap_or_default();
        let lowered: Vec<String> = status
            .limit_status
            .iter()
            .filter(|limit| limit.is_lowered())
            .map(|limit| {
                let value = limit.limit.show_limit(limit.value);
                format!("{} is {value}: {}", limit.limit, limit.explanation())
            })
            .collect();
        let log = log_lines(&store);
        let denials = Denials::of(&store, &host);
        let mut json = json!({
            "plugin": plugins::status_json(&status),
            "loaded_before": needed.along,
            "dependencies_missing": needed.missing,
            "outcome": calls.first.outcome.name(),
            "detail": calls.first.outcome.to_string(),
            "calls": made,
            "outcomes": calls.outcomes,
            "answers_as_the_first": calls.alike,
            "timing": timing::json(&latency),
            "log": log.iter().map(|(level, message)| json!({"level": level, "message": message}))
                .collect::<Vec<_>>(),
            "denials": denials.json(),
            "injected": injected,
            "mocks": status.mocks,
            "restarts": restarts,
            "emitted_dropped": dropped,
            "limits_lowered": lowered,
        });
        if denials.more > 0 {
            json["denials_not_shown"] = denials.more.into();
        }
        let evicted = store.lock().evicted_entries();
        if evicted > 0 {
            json["entries_not_shown"] = evicted.into();
        }
        let mut text = text(&calls, &latency, &log, &denials, made);
        for limit in &lowered {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "limit {}", one_line(&limit.to_string()));
        }
        let mut sentence = sentence(&calls, made, plugin, &latency, denied);
        if injected > 0 {
            sentence.push_str(&format!("; {} injected", count(injected, "result")));
        }
        sentence.push_str(&plugins::dropped_sentence(dropped));
        if dropped > 0 {
            calls.worst = worse(calls.worst, Exit::Different);
        }
        if restarts > 0 {
            sentence.push_str(&format!("; restarted {}", count(restarts, "time")));
        }
        let refused = status.limit(LimitKind::LogBytes).map_or(0, |limit| limit.hits);
        if refused > 0 {
            let lines = count(refused, "line");
            sentence.push_str(&format!("; {lines} of the log beyond the limit `log-bytes`"));
        }
        if let Some(stopped) = plugins::stopped(&status) {
            sentence.push_str(&format!("; {stopped}"));
        }
        let mut report = Report::new(text, json, sentence, calls.worst).exact();
        report.json.insert("frames".to_owned(), frames_json(&calls.first.frames));
        Ok(report)
    }

    fn frame(&self) -> Result<Frame, Problem> {
        if let Some(path) = &self.frame {
            let bytes = read(path, MAX_FRAME_LEN as u64);
            let bytes = bytes.map_err(Problem::file(READ_ARGUMENT, path))?;
            return Frame::decode(&bytes.into()).map_err(|error| {
                Problem::Usage(format!("this file holds no frame: {error}: {}", named(path)))
            });
        }
        let header = match &self.header {
            Some(text) => header(&text_or_file(text)?)?,
            None => Header::empty(),
        };
        let header = match &self.function {
            Some(function) => header.with_text(Header::FUNCTION, function),
            None => header,
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
    let told = |outcome: &Outcome| cut(&outcome.to_string(), MAX_OUTCOME).into_owned();
    let mut text = match (made, &calls.first.outcome) {
        (1, Outcome::Completed) => format!("Called {plugin} once: completed with {answers}"),
        (1, outcome) => format!("Called {plugin} once: {}", told(outcome)),
        (repeat, outcome) => {
            let parts = calls.outcomes.iter();
            let parts = parts.map(|(name, count)| format!("{count} {name}"));
            let parts = parts.collect::<Vec<_>>().join(", ");
            let first = match outcome {
                Outcome::Completed => answers,
                outcome => told(outcome),
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

/// Bytes of events that are kept, of which each list may take a quarter.
const KEPT: usize = 16 << 20;

/// Denials that are listed.
const MAX_DENIALS: usize = 1_000;

/// The first of the denied calls.
#[derive(Debug, Default)]
struct Denials {
    listed: Vec<Denied>,
    /// Those that came after them.
    more: u64,
}

/// One denied call.
#[derive(Debug)]
struct Denied {
    plugin: Arc<str>,
    service: String,
    permission: Permission,
    by: AnsweredBy,
    /// The reason that holds now; empty if the plugin is gone. Denials of one reason share it.
    why: Arc<str>,
}

impl Denials {
    fn of(store: &LiveStore, host: &Host) -> Denials {
        let plugins = host.plugins();
        let why = |plugin: &str, permission: Permission| {
            let mut plugins = plugins.iter();
            let plugin = plugins.find(|one| one.manifest.plugin.id == plugin);
            let mut permissions = plugin.into_iter().flat_map(|plugin| &plugin.permissions);
            let status = permissions.find(|status| status.permission == permission);
            let why = match status {
                Some(status) if status.granted => match status.parameters() {
                    all if all.is_empty() => "granted now, but was not then".to_owned(),
                    within => format!("granted within {within}"),
                },
                Some(status) => status.explanation.clone(),
                None => String::new(),
            };
            Arc::from(&*cut(&why, MAX_OUTCOME))
        };
        let mut reasons: BTreeMap<(Arc<str>, Permission), Arc<str>> = BTreeMap::new();
        let store = store.lock();
        let all = store.denials();
        let listed = all.iter().take(MAX_DENIALS).map(|denial| {
            let about = (denial.plugin.clone(), denial.permission);
            let reason = reasons.entry(about);
            let why = match denial.by {
                AnsweredBy::Host => {
                    reason.or_insert_with(|| why(&denial.plugin, denial.permission)).clone()
                }
                other => Arc::from(format!("denied by {}", other.words())),
            };
            Denied {
                plugin: denial.plugin.clone(),
                service: cut(denial.service.as_ref(), MAX_OUTCOME).into_owned(),
                permission: denial.permission,
                by: denial.by,
                why,
            }
        });
        let listed: Vec<Denied> = listed.collect();
        let more = (all.len() - listed.len()) as u64;
        Denials { listed, more }
    }

    fn json(&self) -> Json {
        let one = |denied: &Denied| {
            json!({
                "plugin": &*denied.plugin,
                "service": denied.service,
                "permission": denied.permission.name(),
                "by": denied.by.name(),
                "why": &*denied.why,
            })
        };
        self.listed.iter().map(one).collect()
    }

    /// One line for each, inert.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut said = BTreeSet::new();
        // Writing to a string cannot fail.
        for denied in &self.listed {
            let service = one_line(&denied.service);
            let _ = write!(text, "denied {service}: needs `{}`", denied.permission);
            // Why is said once, however often it was denied.
            if !denied.why.is_empty() && said.insert(&*denied.why) {
                let _ = write!(text, ": {}", one_line(&denied.why));
            }
            text.push('\n');
        }
        if self.more > 0 {
            let _ = writeln!(text, "denied {} more", count(self.more, "time"));
        }
        text
    }
}

/// All of it is inert, except payloads.
fn text(
    calls: &Calls,
    latency: &LatencySummary,
    log: &[(String, String)],
    denials: &Denials,
    repeat: u64,
) -> String {
    let mut text = format!("{}\n", one_line(&calls.first.outcome.to_string()));
    for frame in &calls.first.frames {
        text.push_str(&frame_text(frame));
    }
    // Writing to a string cannot fail.
    for (level, message) in log {
        let _ = writeln!(text, "log {level}: {}", one_line(message));
    }
    text.push_str(&denials.text());
    if repeat > 1 {
        let _ = writeln!(text, "{}", timing::long(latency));
        let _ = writeln!(text, "{} answered as the first did", count(calls.alike, "call"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_are_lines_that_nobody_forges() {
        fn check(services: &[&str], more: u64, expected: &str) {
            let denied = |service: &&str| Denied {
                plugin: "a".into(),
                service: (*service).to_owned(),
                permission: Permission::Functions,
                by: AnsweredBy::Host,
                why: "not asked for".into(),
            };
            let denials = Denials { listed: services.iter().map(denied).collect(), more };
            assert_eq!(denials.text(), expected);
        }
        check(&[], 0, "");
        check(
            &["a:b/c#d\ndenied \u{1b}[31mkv-get", "now"],
            2,
            "denied a:b/c#d\\u{a}denied \\u{1b}[31mkv-get: needs `functions`: not asked for\n\
             denied now: needs `functions`\ndenied 2 times more\n",
        );
    }
}
