//! `glovebox policy suggest`: the smallest permissions that a plugin needs.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use glovebox_abi::manifest::Scope;
use glovebox_abi::text::{inert, inert_lines};
use glovebox_abi::{Frame, Header, Kind, Permission, Requests};
use glovebox_events::{Event, Sink, What};
use glovebox_host::{LoadError, Mock, PolicyMode, Suggestion, Wish, inspect, suggest};
use glovebox_inspector::replay::{Pace, ReplayPlan};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use crate::cli::error::{Exit, Problem};
use crate::cli::frame::{header, payload};
use crate::cli::load::{LoadArgs, argument_file, text_or_file};
use crate::cli::plugins;
use crate::cli::report::{Output, Report, count, count_of};
use crate::cli::surroundings::{AllowArgs, Surroundings};
use crate::cli::trace_file;
use crate::cli::waiting::wait;
use crate::workbench::replay::{ReplayControl, Routing, Targets, replay};

/// Print the smallest [permissions] table with which a plugin is denied nothing
///
/// The plugin runs again and again: first without any permission, then with those that it asked
/// for, until it asks for nothing new. With other frames it may need other permissions, so give a
/// trace that shows all it does. Files, network and environment are suggested, but not granted
/// unless --allow says so; what the plugin would do with them is then unknown. The exit code is 1
/// if the plugin asked for something new 16 times, or if every call of the last run failed.
#[derive(Debug, Args)]
pub(in crate::cli) struct Suggest {
    /// An artifact, a plugin.toml, or a folder with one
    pub plugin: PathBuf,
    /// Send the inputs of this trace
    #[arg(long, value_name = "TRACE", required_unless_present = "payload")]
    pub trace: Option<PathBuf>,
    /// Send one frame with this payload: text, `@FILE`, or `hex:…`
    #[arg(long, value_name = "TEXT|@FILE|hex:…")]
    pub payload: Option<String>,
    /// Kind of that frame: handshake, data, control, error, or a number from 0x60 to 0xFF
    #[arg(long, default_value = "data", requires = "payload")]
    pub kind: Kind,
    /// Header of that frame: a JSON object or `@FILE`. A text `hex:…` becomes bytes
    #[arg(long, value_name = "JSON", requires = "payload")]
    pub header: Option<String>,
    #[command(flatten)]
    pub load: LoadArgs,
    /// Answer host calls, and the functions of an application, from this mock file
    #[arg(long, value_name = "FILE")]
    pub mock: Option<PathBuf>,
    #[command(flatten)]
    pub allow: AllowArgs,
    #[command(flatten)]
    pub output: Output,
}

/// The outcome of one run.
#[derive(Default)]
struct Once {
    wishes: Vec<Wish>,
    calls: u64,
    /// Calls that did not complete.
    failed: u64,
    /// Why it could not be loaded.
    refusal: Option<LoadError>,
}

/// Counts how calls end.
#[derive(Default)]
struct Ends(Mutex<EndCounts>);

#[derive(Clone, Copy, Default)]
struct EndCounts {
    calls: u64,
    failed: u64,
}

impl Sink for Ends {
    fn record(&self, event: &Event) {
        if let What::CallEnded { outcome, .. } = &event.what {
            let mut ends = self.0.lock();
            ends.calls += 1;
            ends.failed += u64::from(!outcome.is_completed());
        }
    }
}

/// The inputs that each run sends to the plugin.
struct Inputs {
    plan: Option<ReplayPlan>,
    frame: Option<Frame>,
}

impl Suggest {
    pub(in crate::cli) fn run(&self) -> Result<Report, Problem> {
        let inputs = self.inputs()?;
        let mock = self.mock.as_deref().map(Mock::read).transpose()?.map(Arc::new);
        let surroundings = Surroundings::allowing(&self.allow, mock);
        let inspection = inspect(&self.plugin)?;
        let manifest = &inspection.manifest;
        let mut last = Once::default();
        let suggestion = suggest(|permissions| {
            last = self.once(permissions, &manifest.plugin.id, &inputs, &surroundings)?;
            Ok::<_, Problem>(last.wishes.clone())
        })?;
        let Once { wishes, calls, failed, refusal } = last;
        // The last denial is not the reason why it does not load.
        if let Some(refusal) = refusal {
            let done = format!("Ran it {}", count_of(suggestion.rounds, "time"));
            return Err(Problem::Load(refusal).after(done));
        }
        let superfluous: Vec<&str> = manifest
            .permissions
            .iter()
            .filter(|(permission, _)| suggestion.permissions.get(*permission).is_none())
            .map(|(permission, _)| permission.name())
            .collect();
        // A call that failed may have stopped before it asked for anything.
        let only_failed = calls > 0 && failed == calls;
        let complete = suggestion.complete && !only_failed;
        let json = json!({
            "plugin": manifest.plugin.id,
            "permissions": suggestion.permissions,
            "text": text(&suggestion.permissions),
            "runs": suggestion.rounds,
            "frames": inputs.len(),
            "calls": calls,
            "failed_calls": failed,
            "complete": complete,
            "asked_for_but_not_used": superfluous,
            "wishes": wishes.iter().map(wish_json).collect::<Vec<_>>(),
        });
        let exit = if complete { Exit::Good } else { Exit::Different };
        let mut sentence = sentence(&suggestion, &manifest.plugin.id, inputs.len(), &superfluous);
        if failed > 0 {
            let of = count(calls, "call");
            let what = match only_failed {
                true => ", so more may be needed: correct the plugin or send other frames",
                false => "",
            };
            sentence.push_str(&format!("; in the last run, {failed} of {of} failed{what}"));
        }
        let not_given: Vec<&str> = suggestion
            .permissions
            .iter()
            .map(|(permission, _)| permission)
            .filter(|permission| permission.needs_consent() && !self.allow.has(*permission))
            .map(Permission::name)
            .collect();
        if !not_given.is_empty() {
            let names = not_given.join(" and ");
            sentence.push_str(&format!(
                "; {names} was not given to it, so what it does with that is not known: run again \
                 with --allow {} if you trust it",
                not_given.join(" --allow ")
            ));
        }
        Ok(Report::new(text(&suggestion.permissions), json, sentence, exit))
    }

    /// The files that it reads.
    pub(super) fn files(&self) -> Vec<&Path> {
        let arguments = [&self.header, &self.payload].into_iter();
        let arguments = arguments.filter_map(|text| argument_file(text.as_deref()));
        let named =
            std::iter::once(&*self.plugin).chain(self.trace.as_deref()).chain(self.mock.as_deref());
        named.chain(arguments).chain(self.load.inputs()).collect()
    }

    fn inputs(&self) -> Result<Inputs, Problem> {
        let read = |trace: &PathBuf| {
            trace_file::read(trace, |events| ReplayPlan::from_events(events, None))
        };
        let plan = self.trace.as_ref().map(read).transpose()?;
        let frame = match &self.payload {
            None => None,
            Some(text) => {
                let header = match &self.header {
                    Some(text) => header(&text_or_file(text)?)?,
                    None => Header::empty(),
                };
                Some(Frame::new(self.kind, header, payload(text)?))
            }
        };
        Ok(Inputs { plan, frame })
    }

    /// Runs the plugin in a host that is thrown away. A plugin that does not even load without a
    /// permission has wished for it all the same.
    fn once(
        &self,
        permissions: &Requests,
        plugin: &str,
        inputs: &Inputs,
        surroundings: &Surroundings,
    ) -> Result<Once, Problem> {
        let ends = Arc::new(Ends::default());
        let host = plugins::host(vec![ends.clone()], surroundings)?;
        host.set_policy_mode(PolicyMode::Record);
        let request = self.load.request(&self.plugin)?.permissions(permissions.clone());
        let id = match wait(&host, host.load(request)) {
            Ok(id) => id,
            Err(refusal) => {
                let wishes = host.wishes_of(plugin);
                return Ok(Once { wishes, refusal: Some(refusal), ..Once::default() });
            }
        };
        if let Some(plan) = &inputs.plan {
            let targets = Targets::new(&host, vec![id.into()], plan, Routing::ByPlugin);
            let control = ReplayControl::default();
            replay(&host, &targets, plan, Pace::Max, &control, &mut |_| {});
        }
        if let Some(frame) = &inputs.frame {
            host.call(id, frame);
        }
        let ends = *ends.0.lock();
        Ok(Once { wishes: host.wishes(id), calls: ends.calls, failed: ends.failed, refusal: None })
    }
}

impl Inputs {
    fn len(&self) -> usize {
        let planned = self.plan.as_ref().map_or(0, |plan| plan.inputs.len());
        planned + usize::from(self.frame.is_some())
    }
}

/// The table as TOML. Characters that a terminal obeys or hides are escapes of TOML in it, so that what
/// is shown can be pasted.
fn text(permissions: &Requests) -> String {
    let text = format!("[permissions]\n{permissions}");
    if matches!(inert_lines(&text).to_cow(), Cow::Borrowed(_)) {
        return text;
    }
    let line = |(permission, scope): (Permission, &Scope)| {
        format!("{permission} = {}\n", toml_value(&scope.to_value()))
    };
    permissions.iter().map(line).fold("[permissions]\n".to_owned(), |all, line| all + &line)
}

/// A value on one line, with all texts in quotes that take escapes.
fn toml_value(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => toml_text(text),
        toml::Value::Array(items) => {
            format!("[{}]", items.iter().map(toml_value).collect::<Vec<_>>().join(", "))
        }
        toml::Value::Table(table) => {
            let entry = |(key, value)| format!("{key} = {}", toml_value(value));
            format!("{{ {} }}", table.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn toml_text(text: &str) -> String {
    // The escapes of JSON are ones of TOML, but JSON leaves more characters as they are.
    let quoted = serde_json::Value::from(text).to_string();
    let shown = |c: char| match inert(c.encode_utf8(&mut [0; 4])).to_cow() {
        Cow::Borrowed(_) => c.to_string(),
        Cow::Owned(_) => format!("\\U{:08X}", u32::from(c)),
    };
    quoted.chars().map(shown).collect()
}

fn wish_json(wish: &Wish) -> Json {
    json!({
        "permission": wish.permission.name(),
        "parameter": wish.parameter.to_string(),
        "times": wish.times,
        "denied": wish.denied,
    })
}

fn sentence(suggestion: &Suggestion, plugin: &str, frames: usize, superfluous: &[&str]) -> String {
    let mut text = format!(
        "Suggested {} for {plugin} after {} of {}",
        count_of(suggestion.permissions.iter().count(), "permission"),
        count_of(suggestion.rounds, "run"),
        count_of(frames, "frame")
    );
    if !suggestion.complete {
        text.push_str("; it still wished for more, so they do not suffice");
    }
    if !superfluous.is_empty() {
        text.push_str("; its manifest asks for more: ");
        text.push_str(&superfluous.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use glovebox_abi::Manifest;
    use glovebox_abi::manifest::Selection;
    use proptest::prelude::*;

    use super::*;

    /// Checks that the text for a key of this prefix is inert and means what it says.
    fn check(prefix: &str) {
        let prefixes = Selection::only(vec![prefix.to_owned()]);
        let mut permissions = Requests::default();
        permissions.insert(Permission::Kv, Scope { prefixes, ..Scope::default() });
        let text = text(&permissions);
        assert_eq!(inert_lines(&text).to_cow(), text);
        let manifest = Manifest::parse(&format!("[plugin]\nid = \"a\"\n{text}"));
        let manifest = manifest.unwrap_or_else(|error| panic!("{error} in {text}"));
        assert_eq!(manifest.permissions, permissions, "{text}");
    }

    #[test]
    fn suggestions_can_be_pasted() {
        check("");
        check("orders/");
        check("\u{200d}");
        check("'\u{7f}\"");
        check("\\\u{1b}[31m");
        check("\u{e0001}\n\r\t");
        check("\"\"\u{202e}'''");
    }

    proptest! {
        #[test]
        fn suggestions_can_be_pasted_whatever_was_asked_for(
            any in "\\PC*",
            hidden in "[\u{0}-\u{a0}\u{200b}-\u{2070}\u{e0000}-\u{e0080}]*",
        ) {
            check(&any);
            check(&hidden);
        }
    }
}
