//! `glovebox policy suggest`: the smallest permissions that a plugin needs.

use std::path::PathBuf;

use clap::Args;
use glovebox_abi::{Frame, Header, Kind, Permission, Requests};
use glovebox_host::{LoadError, PolicyMode, Suggestion, Wish, inspect, suggest};
use glovebox_inspector::replay::{Pace, ReplayPlan};
use serde_json::{Value as Json, json};

use crate::cli::diff;
use crate::cli::error::{Exit, Problem};
use crate::cli::frame::{header, payload};
use crate::cli::plugins::{self, LoadArgs};
use crate::cli::report::{Output, Report, count_of};
use crate::cli::surroundings::{AllowArgs, Surroundings};
use crate::cli::waiting::wait;
use crate::workbench::replay::{ReplayControl, Targets, replay};

/// Print the smallest [permissions] with which a plugin is not denied anything
///
/// The plugin is run again and again, first with no permission at all and then with those that it
/// has wished for, until it wishes for nothing new. What it would do with other frames is not
/// known: give a trace that shows all it does. Files, network and environment that it wishes for are
/// suggested, but not given to it unless --allow says so, and what it would do with them is not known
/// then. The exit code is 1 if the plugin wished for something new 16 times.
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
    /// Header of that frame: a JSON object, or `@FILE`; texts `hex:…` become bytes
    #[arg(long, value_name = "JSON", requires = "payload")]
    pub header: Option<String>,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub allow: AllowArgs,
    #[command(flatten)]
    pub output: Output,
}

/// What is sent to the plugin in each run.
struct Inputs {
    plan: Option<ReplayPlan>,
    frame: Option<Frame>,
}

impl Suggest {
    pub(in crate::cli) fn run(&self) -> Result<Report, Problem> {
        let inputs = self.inputs()?;
        let inspection = inspect(&self.plugin)?;
        let manifest = &inspection.manifest;
        let mut refusal = None;
        let mut wishes = Vec::new();
        let suggestion = suggest(|permissions| {
            (wishes, refusal) = self.once(permissions, &manifest.plugin.id, &inputs)?;
            Ok::<_, Problem>(wishes.clone())
        })?;
        // What it was denied last is not what keeps it from loading.
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
        let json = json!({
            "plugin": manifest.plugin.id,
            "permissions": suggestion.permissions,
            "text": text(&suggestion),
            "runs": suggestion.rounds,
            "frames": inputs.len(),
            "complete": suggestion.complete,
            "asked_for_but_not_used": superfluous,
            "wishes": wishes.iter().map(wish_json).collect::<Vec<_>>(),
        });
        let exit = if suggestion.complete { Exit::Good } else { Exit::Different };
        let mut sentence = sentence(&suggestion, &manifest.plugin.id, inputs.len(), &superfluous);
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
        Ok(Report::new(text(&suggestion), json, sentence, exit))
    }

    fn inputs(&self) -> Result<Inputs, Problem> {
        let read =
            |trace: &PathBuf| diff::read(trace, |events| ReplayPlan::from_events(events, None));
        let plan = self.trace.as_ref().map(read).transpose()?;
        let frame = match &self.payload {
            None => None,
            Some(text) => {
                let header = match &self.header {
                    Some(text) => header(&plugins::text_or_file(text)?)?,
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
    ) -> Result<(Vec<Wish>, Option<LoadError>), Problem> {
        let host = plugins::host(Vec::new(), &Surroundings::allowing(&self.allow))?;
        host.set_policy_mode(PolicyMode::Record);
        let request = self.load.request(&self.plugin)?.permissions(permissions.clone());
        let id = match wait(&host, host.load(request)) {
            Ok(id) => id,
            Err(refusal) => return Ok((host.wishes_of(plugin), Some(refusal))),
        };
        if let Some(plan) = &inputs.plan {
            let targets = Targets::new(&host, vec![id.into()], plan);
            let control = ReplayControl::default();
            replay(&host, &targets, plan, Pace::Max, &control, &mut |_| {});
        }
        if let Some(frame) = &inputs.frame {
            host.call(id, frame);
        }
        Ok((host.wishes(id), None))
    }
}

impl Inputs {
    fn len(&self) -> usize {
        let planned = self.plan.as_ref().map_or(0, |plan| plan.inputs.len());
        planned + usize::from(self.frame.is_some())
    }
}

fn text(suggestion: &Suggestion) -> String {
    format!("[permissions]\n{}", suggestion.permissions)
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
