//! The problems of a source, several of one kind together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use glovebox_events::Outcome;
use glovebox_host::InstanceId;
use glovebox_inspector::findings::{Evidence, Finding, Severity};
use glovebox_inspector::store::{Notice as Said, NoticeKind, Row, Store};

use super::model::{Line, Moment, Sign};
use crate::window::look::outcome_look;
use crate::window::shown::Shown;
use crate::window::widgets::figures::{clock_of, thousands, time_of_day};
use crate::workbench::{FailedCall, Level, Notice, Reader, Source};

/// The kind of a problem, which several may share: whose it is, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProblemKind {
    plugin: String,
    name: String,
}

/// A problem, by its position among those of its sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    Finding(usize),
    Failure(usize),
    Failed(usize),
    Notice(usize),
}

/// A line of the list.
#[derive(Debug)]
pub(super) enum Listed {
    /// The only one of its kind.
    One(Problem),
    /// All of a kind: the first, how many there are, and whether the single ones follow.
    Several(ProblemKind, Problem, usize, bool),
    /// One of those that follow.
    Member(Problem),
}

/// Findings, calls that failed, what the host says of failures, and what the workbench says, in this
/// order.
pub(super) struct Problems<'a> {
    source: Source,
    reader: &'a Reader<'a>,
    findings: &'a [Finding],
    /// The names of their instances.
    names: Vec<String>,
    failures: &'a VecDeque<FailedCall>,
    /// The instances of the failures, by their lanes.
    lanes: &'a [(Arc<str>, Option<u64>)],
    failed: Vec<&'a Said>,
    notices: Vec<&'a Notice>,
}

impl<'a> Problems<'a> {
    pub(super) fn of(reader: &'a Reader<'a>, shown: &'a Shown) -> Problems<'a> {
        let source = shown.selection.source;
        let is_problem = |one: &&Notice| matches!(one.level, Level::Error | Level::Warning);
        let findings = reader.findings(source).map_or(&[][..], |judgement| &judgement.findings);
        let name = |one: &Finding| reader.instance_name(source, &one.plugin, one.instance);
        Problems {
            source,
            reader,
            findings,
            names: findings.iter().map(name).collect(),
            failures: &shown.overview.digest().failures,
            lanes: &shown.overview.digest().lanes,
            failed: Vec::new(),
            notices: reader.notices().iter().filter(is_problem).collect(),
        }
    }

    /// With those that the store has.
    pub(super) fn with_failed<'b>(self, store: &'b Store) -> Problems<'b>
    where
        'a: 'b,
    {
        let source = self.source;
        let failed = store.notices().iter().filter(|one| is_failure(one, source)).collect();
        Problems { failed, ..self }
    }

    pub(super) fn len(&self) -> usize {
        self.findings.len() + self.failures.len() + self.failed.len() + self.notices.len()
    }

    fn all(&self) -> impl Iterator<Item = (Problem, (&str, &str))> {
        let findings =
            self.findings.iter().enumerate().map(|(at, finding)| {
                (Problem::Finding(at), (self.names[at].as_str(), finding.rule))
            });
        let failures = self.failures.iter().enumerate().map(|(at, failure)| {
            (Problem::Failure(at), (&*failure.plugin, failure.outcome.name()))
        });
        let failed = self
            .failed
            .iter()
            .enumerate()
            .map(|(at, said)| (Problem::Failed(at), (&*said.plugin, said.message.as_str())));
        let notices = self
            .notices
            .iter()
            .enumerate()
            .map(|(at, notice)| (Problem::Notice(at), (WORKBENCH, notice.text.as_str())));
        findings.chain(failures).chain(failed).chain(notices)
    }

    /// The lines of the list: a kind stands where the first of it does.
    pub(super) fn listed(&self, open: &BTreeSet<ProblemKind>) -> Vec<Listed> {
        let mut groups: Vec<((&str, &str), Vec<Problem>)> = Vec::new();
        let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (problem, kind) in self.all() {
            let place = *places.entry(kind).or_insert(groups.len());
            match groups.get_mut(place) {
                Some((_, members)) => members.push(problem),
                None => groups.push((kind, vec![problem])),
            }
        }
        let mut listed = Vec::new();
        for ((plugin, name), members) in groups {
            let [first, _, ..] = members[..] else {
                listed.extend(members.into_iter().map(Listed::One));
                continue;
            };
            let kind = ProblemKind { plugin: plugin.to_owned(), name: name.to_owned() };
            let is_open = open.contains(&kind);
            listed.push(Listed::Several(kind, first, members.len(), is_open));
            if is_open {
                listed.extend(members.into_iter().map(Listed::Member));
            }
        }
        listed
    }

    pub(super) fn line(&self, store: &Store, listed: &Listed) -> Option<Line> {
        match listed {
            Listed::One(problem) => self.single(store, *problem),
            Listed::Member(problem) => {
                Some(Line { is_member: true, ..self.single(store, *problem)? })
            }
            Listed::Several(kind, problem, count, is_open) => {
                let first = self.single(store, *problem)?;
                let (caret, count) = (if *is_open { '▾' } else { '▸' }, thousands(*count as u64));
                let what = match problem {
                    Problem::Failure(_) => format!("{}, first {}", kind.name, first.text),
                    Problem::Finding(_) | Problem::Failed(_) | Problem::Notice(_) => first.text,
                };
                let text = format!("{caret} {count} × {what}");
                Some(Line { text, group: Some(kind.clone()), ..first })
            }
        }
    }

    /// The instance of a failure after which its copy could not go on, if it is still there.
    fn failed_instance(&self, failure: &FailedCall) -> Option<InstanceId> {
        let is_an_end = matches!(
            *failure.outcome,
            Outcome::Crashed { .. } | Outcome::Trapped { .. } | Outcome::TimedOut { .. }
        );
        let (_, instance) = self.lanes.get(failure.lane).filter(|_| is_an_end)?;
        let instance = instance.filter(|_| self.source == Source::Live)?;
        let mut plugins = self.reader.plugins().iter();
        Some(plugins.find(|plugin| plugin.instance.get() == instance)?.instance)
    }

    fn single(&self, store: &Store, problem: Problem) -> Option<Line> {
        Some(match problem {
            Problem::Finding(at) => {
                let line = of_finding(self.reader, self.source, store, self.findings.get(at)?);
                Line { plugin: self.names.get(at)?.clone(), ..line }
            }
            Problem::Failure(at) => {
                let failure = self.failures.get(at)?;
                Line { failed: self.failed_instance(failure), ..of_failure(store, failure) }
            }
            Problem::Failed(at) => {
                let said = self.failed.get(at)?;
                Line {
                    at: Moment::of_event(store, said.at),
                    sign: Sign::Error,
                    plugin: said.plugin.to_string(),
                    text: said.message.clone(),
                    ..Line::default()
                }
            }
            Problem::Notice(at) => {
                let notice = self.notices.get(at)?;
                Line {
                    at: of_workbench(notice),
                    sign: if notice.level == Level::Error { Sign::Error } else { Sign::Warning },
                    plugin: WORKBENCH.to_owned(),
                    text: notice.text.clone(),
                    ..Line::default()
                }
            }
        })
    }
}

/// Stands for a plugin at notices of the workbench.
const WORKBENCH: &str = "workbench";

/// True for failures outside of calls. The workbench itself reports live refusals.
fn is_failure(notice: &Said, source: Source) -> bool {
    match notice.kind {
        NoticeKind::Failure => true,
        NoticeKind::Refused => source != Source::Live,
        NoticeKind::Phase | NoticeKind::Note | NoticeKind::Loaded | NoticeKind::Policy => false,
    }
}

/// A finding, with the first frame that shows it.
fn of_finding(reader: &Reader<'_>, source: Source, store: &Store, finding: &Finding) -> Line {
    let rows: Vec<_> = match reader.is_in_file(source) {
        true => {
            let calls = finding.evidence.iter().filter_map(|one| one.call);
            calls.filter_map(|call| Some((reader.row_of(source, call)?, None))).collect()
        }
        false => {
            let rows = finding.evidence.iter().filter_map(|one| row_of(store, one));
            rows.map(|row| (row.id, Some(row.at))).collect()
        }
    };
    let more = match rows.len() {
        0 | 1 => String::new(),
        rows => format!(" (first of {rows} frames)"),
    };
    Line {
        at: rows
            .first()
            .and_then(|(_, at)| *at)
            .map(|at| Moment::of_event(store, at))
            .unwrap_or_default(),
        sign: match finding.severity {
            Severity::Info => Sign::Info,
            Severity::Warning => Sign::Warning,
            Severity::Error => Sign::Error,
        },
        text: format!("{}: {}{more}; {}", finding.rule, finding.message, finding.remedy),
        row: rows.first().map(|(row, _)| *row),
        rows: rows.into_iter().map(|(row, _)| row).collect(),
        ..Line::default()
    }
}

/// The row of an event that shows a finding; the input of its call if the event is no frame.
fn row_of<'a>(store: &'a Store, evidence: &Evidence) -> Option<&'a Row> {
    let rows = &store.call(evidence.call?)?.rows;
    let mut kept = rows.iter().filter_map(|id| store.row_by_id(*id));
    let first = kept.next()?;
    if first.sequence == evidence.sequence {
        return Some(first);
    }
    Some(kept.find(|row| row.sequence == evidence.sequence).unwrap_or(first))
}

/// The workbench goes by the clock: what it says is about no moment of a trace.
fn of_workbench(notice: &Notice) -> Moment {
    Moment { text: time_of_day(notice.at), clock: format!("{} UTC", clock_of(notice.at)) }
}

fn of_failure(store: &Store, failure: &FailedCall) -> Line {
    Line {
        at: Moment::of_event(store, failure.at),
        sign: Sign::Ended(outcome_look(Some(&failure.outcome))),
        plugin: failure.plugin.to_string(),
        text: format!("frame {}: {}", failure.row.0, failure.outcome),
        row: Some(failure.row),
        ..Line::default()
    }
}
