//! The answers to host calls of a replay: live, or from the trace.

use std::borrow::Cow;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use glovebox_host::{LoadRequest, Mock};
use glovebox_inspector::replay::{
    Divergence, Divergences, Missing, RecordedAnswers, ReplayInput, TraceAnswers,
};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::super::error::Problem;
use super::super::report::count;
use super::super::surroundings::Surroundings;
use crate::workbench::answers::{self, FromTrace};

/// Divergences that are shown to people; programs get more.
const SHOWN: usize = 20;

/// The source of the answers to host calls.
#[derive(Debug, Clone, Args)]
pub(in super::super) struct AnswersArgs {
    /// Where `now`, `random`, `config` and `kv-…` get their answers. live: from the host; trace:
    /// from the same call in the trace. A host call that diverges from the trace is reported, and
    /// the exit code is 1 unless --against is given. Other services and WASI are always live
    #[arg(long, value_enum, value_name = "live|trace", default_value_t = Source::Live,
        hide_possible_values = true)]
    pub answers: Source,
    /// How to answer a host call that the trace lacks. fail: the service is unavailable (the
    /// default); pass: the host answers; canned: answer from the --mock file; anything else is
    /// unavailable
    #[arg(long, value_enum, value_name = "fail|pass|canned", hide_possible_values = true)]
    pub missing: Option<Rule>,
}

/// The source of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum Source {
    Live,
    Trace,
}

/// The rule for host calls that the trace lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum Rule {
    Fail,
    Pass,
    Canned,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Rule::Fail => "fail",
            Rule::Pass => "pass",
            Rule::Canned => "canned",
        }
    }
}

impl AnswersArgs {
    /// True if the trace answers.
    pub(super) fn are_recorded(&self) -> bool {
        self.answers == Source::Trace
    }

    fn rule(&self) -> Rule {
        self.missing.unwrap_or(Rule::Fail)
    }

    /// The rule in full; an error if it makes no sense.
    pub(super) fn missing(&self, surroundings: &Surroundings) -> Result<Missing, Problem> {
        if self.missing.is_some() && !self.are_recorded() {
            let remedy = "add --answers trace, or leave --missing out";
            return Err(Problem::Usage(format!("live answers lack nothing; {remedy}")));
        }
        Ok(match self.rule() {
            Rule::Fail => Missing::Fail,
            Rule::Pass => Missing::Pass,
            Rule::Canned => {
                let services = surroundings.mock().map(Mock::services).unwrap_or_default();
                if services.is_empty() {
                    let remedy = "name a file that scripts some with --mock <FILE>";
                    return Err(Problem::Usage(format!("there are no canned answers; {remedy}")));
                }
                Missing::PassOnly(services.into_iter().map(Cow::into_owned).collect())
            }
        })
    }
}

/// Lets the trace answer what these instances ask, each for itself.
pub(super) fn answered(
    requests: Vec<LoadRequest>,
    recorded: &Arc<RecordedAnswers>,
    missing: &Missing,
) -> (Vec<LoadRequest>, Vec<Arc<TraceAnswers>>) {
    let pairs = requests.into_iter().map(|request| {
        let answers = Arc::new(TraceAnswers::new(recorded.clone(), missing.clone()));
        (request.answers(Arc::new(FromTrace(answers.clone()))), answers)
    });
    pairs.unzip()
}

/// Lets the trace answer the plugins of a pipeline.
///
/// No call of a stage is an input of the trace, so that each counts as the first recorded call of
/// the same plugin with the same frame that was not made again yet. A second try of a stage after a
/// failure is another call. A recorded call that is not made is no divergence: the trace may be of
/// another pipeline, or of none.
pub(in super::super) struct StageAnswers {
    arguments: AnswersArgs,
    recorded: Arc<RecordedAnswers>,
    missing: Missing,
    /// All inputs of the trace, whatever is chosen of them.
    inputs: Vec<ReplayInput>,
    /// By instance.
    answers: Mutex<Vec<Arc<TraceAnswers>>>,
}

impl StageAnswers {
    pub(super) fn new(
        arguments: AnswersArgs,
        recorded: Arc<RecordedAnswers>,
        missing: Missing,
        inputs: Vec<ReplayInput>,
    ) -> StageAnswers {
        StageAnswers { arguments, recorded, missing, inputs, answers: Mutex::default() }
    }

    /// Lets the trace answer what this instance asks.
    pub(in super::super) fn answer(&self, request: LoadRequest) -> LoadRequest {
        let answers = Arc::new(TraceAnswers::new(self.recorded.clone(), self.missing.clone()));
        self.answers.lock().push(answers.clone());
        request.answers(Arc::new(FromTrace(answers)))
    }

    /// All inputs are about to be sent, once more perhaps.
    pub(in super::super) fn begin_round(&self) {
        for answers in &*self.answers.lock() {
            answers.expect_no_more(false);
            for input in &self.inputs {
                answers.expect(input.call, &input.plugin, &input.frame);
            }
        }
    }

    /// The answers and divergences so far.
    pub(in super::super) fn found(&self) -> AnsweredFound {
        AnsweredFound::new(&self.arguments, &self.recorded, &self.answers.lock())
    }
}

/// How much of what was asked the trace answered.
pub(in super::super) struct AnsweredFound {
    rule: Rule,
    recorded: u64,
    unusable: u64,
    /// By target.
    targets: Vec<Divergences>,
}

impl AnsweredFound {
    pub(super) fn new(
        arguments: &AnswersArgs,
        recorded: &RecordedAnswers,
        answers: &[Arc<TraceAnswers>],
    ) -> AnsweredFound {
        AnsweredFound {
            rule: arguments.rule(),
            recorded: recorded.found,
            unusable: recorded.unusable,
            targets: answers.iter().map(|answers| answers.divergences()).collect(),
        }
    }

    fn sum(&self, figure: fn(&Divergences) -> u64) -> u64 {
        self.targets.iter().map(figure).sum()
    }

    pub(in super::super) fn diverges(&self) -> bool {
        self.sum(Divergences::count) > 0
    }

    pub(in super::super) fn sentence(&self) -> String {
        answers::sentence(&self.targets)
    }

    /// Lines for people: a name and what there is to say.
    pub(in super::super) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut all = format!(
            "{} of {} in the trace used; {} with other arguments, {} that it lacks ({}), {} not made",
            self.sum(|found| found.answered),
            count(self.recorded, "answer"),
            self.sum(|found| found.changed),
            self.sum(|found| found.extra),
            self.rule.name(),
            self.sum(|found| found.not_made),
        );
        let mut add = |number: u64, what: &str| {
            if number > 0 {
                all.push_str(&format!("; {number} {what}"));
            }
        };
        add(self.sum(|found| found.before_the_trace), "live, as the trace begins after loading");
        add(self.sum(|found| found.outside), "in calls that the trace does not know");
        add(self.unusable, "recorded that no service can have given");
        let mut lines = vec![("from trace", all)];
        let each = self.targets.iter().flat_map(|found| &found.list);
        lines.extend(each.take(SHOWN).map(|divergence| ("diverges", told(divergence))));
        let left = self.sum(Divergences::count).saturating_sub(SHOWN as u64);
        if left > 0 {
            lines.push(("diverges", format!("and {left} more; --json lists them")));
        }
        lines
    }

    pub(in super::super) fn json(&self) -> Json {
        json!({
            "missing": self.rule.name(),
            "recorded": self.recorded,
            "unusable": self.unusable,
            "answered": self.sum(|found| found.answered),
            "divergences": self.sum(Divergences::count),
            "targets": self.targets,
        })
    }
}

fn told(divergence: &Divergence) -> String {
    let Divergence { call, plugin, service, expected, asked } = divergence;
    let call = call.map_or_else(|| "loading".to_owned(), |call| format!("call {call}"));
    let what = match (expected, asked) {
        (Some(expected), Some(asked)) => format!("recorded {expected}, asked {asked}"),
        (Some(expected), None) => format!("recorded {expected}, not asked"),
        (None, asked) => format!("not recorded, asked {}", asked.as_deref().unwrap_or_default()),
    };
    format!("{call} of {plugin}, {service}: {what}")
}
