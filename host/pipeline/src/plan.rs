//! Checks that stages make a pipeline: every name exists, there is no cycle, and no frame is lost.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use glovebox_abi::Kind;

use super::condition::Condition;
use super::file::{PipelineFile, StageFile};
use super::{CompileCondition, FailurePolicy, Pipeline, PipelineError, Source, Stage};
use glovebox_abi::nearest::nearest;
use glovebox_document::DocumentError;

/// The name of the input in a `from`.
const INPUT: &str = "input";
/// The suffix that turns the name of a stage into that of its error frames.
const ERRORS: &str = ".errors";

pub(super) fn plan(
    file: PipelineFile,
    compile: CompileCondition<'_>,
) -> Result<Pipeline, PipelineError> {
    if file.stages.is_empty() {
        return Err(PipelineError::NoStages);
    }
    let names = Names::of(&file.stages);
    let sources = file.stages.iter().map(|stage| names.sources(stage));
    let sources: Vec<Vec<Source>> = sources.collect::<Result<_, _>>()?;
    let outputs = names.outputs(&file)?;
    let order = order(&file.stages, &sources)?;
    for (position, stage) in file.stages.iter().enumerate() {
        check_reached(stage, &sources[position], &file.stages)?;
        let taken = sources.iter().flatten().any(|source| *source == Source::Answers(position));
        if !taken && !outputs.contains(&position) {
            return Err(PipelineError::NotTaken { stage: stage.name.clone(), line: stage.line });
        }
    }
    // From positions in the file to positions in the order of running.
    let mut place = vec![0; order.len()];
    for (at, position) in order.iter().enumerate() {
        place[*position] = at;
    }
    let moved = |source: &Source| match *source {
        Source::Input => Source::Input,
        Source::Answers(stage) => Source::Answers(place[stage]),
        Source::Errors(stage) => Source::Errors(place[stage]),
    };
    let stages = order.iter().map(|position| {
        let stage = &file.stages[*position];
        Ok(Stage {
            name: Arc::from(stage.name.as_str()),
            plugin: stage.plugin.clone(),
            from: sources[*position].iter().map(moved).collect(),
            kinds: stage.kinds.clone(),
            condition: condition(stage, compile)?,
            on_failure: stage.on_failure,
        })
    });
    Ok(Pipeline {
        name: file.name,
        limits: file.limits,
        stages: stages.collect::<Result<_, PipelineError>>()?,
        outputs: outputs.into_iter().map(|position| place[position]).collect(),
    })
}

fn condition(
    stage: &StageFile,
    compile: CompileCondition<'_>,
) -> Result<Option<Condition>, DocumentError> {
    let Some(text) = &stage.when else {
        return Ok(None);
    };
    let test = compile(text).map_err(|reason| DocumentError::Value {
        key: format!("stage.{}.when", stage.name),
        line: stage.when_line,
        reason,
    })?;
    Ok(Some(Condition::new(text.clone(), test)))
}

/// Positions of the stages, by name.
struct Names<'a>(HashMap<&'a str, usize>);

impl<'a> Names<'a> {
    fn of(stages: &'a [StageFile]) -> Names<'a> {
        let names = stages.iter().enumerate();
        Names(names.map(|(position, stage)| (stage.name.as_str(), position)).collect())
    }

    fn sources(&self, stage: &StageFile) -> Result<Vec<Source>, PipelineError> {
        let reference = format!("`from` of stage `{}`", stage.name);
        unique(&stage.from, &reference, stage.from_line)?;
        let source = |name: &String| match name.strip_suffix(ERRORS) {
            None if name == INPUT => Ok(Source::Input),
            None => self.position(name, &reference, stage.from_line, true).map(Source::Answers),
            Some(of) => self.position(of, &reference, stage.from_line, true).map(Source::Errors),
        };
        stage.from.iter().map(source).collect()
    }

    fn outputs(&self, file: &PipelineFile) -> Result<Vec<usize>, PipelineError> {
        let reference = "`outputs`";
        unique(&file.outputs, reference, file.outputs_line)?;
        let position = |name: &String| self.position(name, reference, file.outputs_line, false);
        file.outputs.iter().map(position).collect()
    }

    fn position(
        &self,
        name: &str,
        reference: &str,
        line: usize,
        input: bool,
    ) -> Result<usize, PipelineError> {
        self.0.get(name).copied().ok_or_else(|| {
            // In a fixed order, so that of two that are as near the same is always named.
            let mut known: Vec<&str> = self.0.keys().copied().collect();
            known.extend(input.then_some(INPUT));
            known.sort_unstable();
            PipelineError::UnknownStage {
                reference: reference.to_owned(),
                name: name.to_owned(),
                line,
                nearest: nearest(name, known).map(str::to_owned),
            }
        })
    }
}

fn unique(names: &[String], reference: &str, line: usize) -> Result<(), PipelineError> {
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => {
            Err(PipelineError::Twice { reference: reference.to_owned(), name: name.clone(), line })
        }
    }
}

/// The stages in an order in which each comes after those it takes from; of those that could come
/// next, the first in the file does.
fn order(stages: &[StageFile], sources: &[Vec<Source>]) -> Result<Vec<usize>, PipelineError> {
    let feeders = |stage: usize| {
        sources[stage].iter().filter_map(|source| match source {
            Source::Input => None,
            Source::Answers(from) | Source::Errors(from) => Some(*from),
        })
    };
    let mut placed = vec![false; stages.len()];
    let mut order = Vec::with_capacity(stages.len());
    loop {
        let next = (0..stages.len())
            .find(|stage| !placed[*stage] && feeders(*stage).all(|from| placed[from]));
        let Some(next) = next else { break };
        placed[next] = true;
        order.push(next);
    }
    let Some(first) = placed.iter().position(|placed| !placed) else {
        return Ok(order);
    };
    // Every stage that is left waits for another one that is left: going back long enough is going
    // round.
    let mut way = vec![first];
    loop {
        let last = way[way.len() - 1];
        let from = feeders(last).find(|from| !placed[*from]);
        let Some(from) = from else {
            // Cannot be: a stage whose feeders are all placed would have been placed.
            return Ok(order);
        };
        if let Some(start) = way.iter().position(|stage| *stage == from) {
            let mut round: Vec<usize> = way[start..].iter().rev().copied().collect();
            round.push(round[0]);
            // Named from the stage that comes first in the file.
            let named = round_from_first(round);
            let stages = named.into_iter().map(|stage| stages[stage].name.clone()).collect();
            return Err(PipelineError::Cycle { stages });
        }
        way.push(from);
    }
}

fn round_from_first(mut round: Vec<usize>) -> Vec<usize> {
    round.pop();
    let first = round.iter().enumerate().min_by_key(|(_, stage)| **stage);
    let first = first.map_or(0, |(at, _)| at);
    round.rotate_left(first);
    round.extend(round.first().copied());
    round
}

/// In a graph without cycles every stage that takes from anything is reached, unless that never
/// gives what the stage wants.
fn check_reached(
    stage: &StageFile,
    sources: &[Source],
    stages: &[StageFile],
) -> Result<(), PipelineError> {
    let unreached = |reason: String| {
        let line = if sources.is_empty() { stage.line } else { stage.from_line };
        Err(PipelineError::Unreached { stage: stage.name.clone(), line, reason })
    };
    if sources.is_empty() {
        return unreached(
            "it takes from nothing; write `from = \"input\"`, or name a stage".to_owned(),
        );
    }
    for source in sources {
        if let Source::Errors(from) = source
            && stages[*from].on_failure == FailurePolicy::FailOpen
        {
            let from = &stages[*from].name;
            return unreached(format!(
                "`{from}` is fail-open and gives no error frames; take from `{from}`, or change its `on-failure`"
            ));
        }
    }
    let only_errors = sources.iter().all(|source| matches!(source, Source::Errors(_)));
    let wants_errors = stage.kinds.as_ref().is_none_or(|kinds| kinds.contains(&Kind::ERROR));
    if only_errors && !wants_errors {
        return unreached("it takes error frames only, and `kinds` lacks \"error\"".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use glovebox_abi::Frame;

    use super::*;
    use crate::FrameTest;

    fn compile(text: &str) -> Result<Box<dyn FrameTest>, String> {
        match text.strip_prefix("payload:") {
            Some(wanted) => {
                let wanted = wanted.to_owned().into_bytes();
                Ok(Box::new(move |frame: &Frame| frame.payload == wanted))
            }
            None => Err(format!("`{text}` is no condition")),
        }
    }

    #[test]
    fn stages_are_put_in_order() {
        #[track_caller]
        fn check(text: &str, expected: &[&str], outputs: &[&str]) {
            let pipeline = Pipeline::parse(text, Path::new("/p"), &compile)
                .unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(pipeline.stages().collect::<Vec<_>>(), expected);
            assert_eq!(pipeline.outputs().collect::<Vec<_>>(), outputs);
        }
        let one = "[pipeline]\noutputs = 'a'\n[stage.a]\nplugin = 'x'\nfrom = 'input'";
        check(one, &["a"], &["a"]);
        let merge = "[pipeline]\noutputs = ['last', 'b']\n\
            [stage.last]\nplugin = 'x'\nfrom = ['b', 'a.errors', 'input']\n\
            [stage.b]\nplugin = './x'\nfrom = 'a'\nwhen = 'payload:1'\n\
            [stage.a]\nplugin = 'x.wasm'\nconfig = { n = 1 }\nfrom = 'input'\nkinds = ['data', '0x61']";
        check(merge, &["a", "b", "last"], &["last", "b"]);
    }

    #[test]
    fn bad_pipelines_say_what_is_wrong() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let error = Pipeline::parse(text, Path::new("/p"), &compile).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        #[track_caller]
        fn stage(rest: &str, expected: &str) {
            let a = "[pipeline]\noutputs = ['alpha']\n[stage.alpha]\nplugin = 'x'\n";
            check(&format!("{a}{rest}"), expected);
        }
        check("", "there is no stage; write [stage.NAME]");
        check(
            "[stages.a]",
            "unknown key `stages` in the top level on line 1; did you mean `stage`?",
        );
        check("[stage.a]\nfrom = 'input'", "[stage.a] on line 1 lacks `plugin`");
        check("[stage.input]\nplugin = 'x'", "line 1: `input` cannot be the name of a stage");
        check("[stage.\"a.errors\"]\nplugin = 'x'", "`a.errors` cannot be the name of a stage");
        check(
            "[stage.a]\nplugin = 'x'\nfrom = 'input'",
            "line 1: nobody takes what stage `a` answers",
        );
        stage(
            "form = 'input'",
            "unknown key `form` in [stage.alpha] on line 5; did you mean `from`?",
        );
        stage("", "line 3: nothing reaches stage `alpha`: it takes from nothing");
        stage(
            "from = 'imput'",
            "line 5: `from` of stage `alpha` names `imput`, which is no stage; did you mean `input`?",
        );
        stage("from = ['input', 'input']", "line 5: `from` of stage `alpha` names `input` twice");
        stage("from = 'alpha'", "stages feed each other: alpha → alpha;");
        stage(
            "from = 'input'\nkinds = 'dta'",
            "line 6: `stage.alpha.kinds`: `dta` is not a frame kind",
        );
        stage("from = 'input'\nkinds = []", "`stage.alpha.kinds`: no kind at all");
        stage(
            "from = 'input'\nwhen = 'nonsense'",
            "line 6: `stage.alpha.when`: `nonsense` is no condition",
        );
        stage(
            "from = 'input'\non-failure = 'fail-opne'",
            "is none of fail-closed, fail-open, reload; did you mean `fail-open`?",
        );
        stage("from = 'input'\nconfig = {}", "`x` is loaded elsewhere");
        stage("from = 'input'\n[limits]\nframes = 0", "line 7: `limits.frames`: 0 is out of range");
        stage(
            "from = 'gamma'\n[stage.beta]\nplugin = 'x'\nfrom = 'alpha'\n[stage.gamma]\nplugin = 'x'\nfrom = ['input', 'beta']",
            "stages feed each other: alpha → beta → gamma → alpha; take one",
        );
        stage(
            "from = 'input'\n[stage.beta]\nplugin = 'x'\nfrom = 'alpha.errors'\nkinds = 'data'",
            "line 8: nothing reaches stage `beta`: it takes error frames only",
        );
        stage(
            "from = 'input'\non-failure = 'fail-open'\n[stage.beta]\nplugin = 'x'\nfrom = 'alpha.errors'",
            "line 9: nothing reaches stage `beta`: `alpha` is fail-open",
        );
        check(
            "[pipeline]\noutputs = ['bata', 'b']\n[stage.beta]\nplugin = 'x'\nfrom = 'input'",
            "line 2: `outputs` names `bata`, which is no stage; did you mean `beta`?",
        );
    }
}
