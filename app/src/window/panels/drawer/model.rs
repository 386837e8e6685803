//! The lists of the drawer. Only visible lines are made.

use egui_material_icons::MaterialIcon;
use glovebox_abi::text::inert;
use glovebox_abi::{LogLevel, Permission};
use glovebox_events::CallId;
use glovebox_host::{InstanceId, PluginStatus};
use glovebox_inspector::findings::{Evidence, Finding, Severity};
use glovebox_inspector::store::{Denial, LogLine, NoticeKind, Reload, Row, RowId, Store};

use crate::window::excerpt::Excerpt;
use crate::window::ids::DrawerTab;
use crate::window::look::outcome_look;
use crate::window::shown::Shown;
use crate::window::theme::Tone;
use crate::window::widgets::figures::{clock, clock_of};
use crate::window::widgets::text;
use crate::workbench::{Failure, Level, Notice, Reader, Source, ViewCtx};

/// Reloads that are shown, the newest ones.
const RELOADS: usize = 200;

/// The state of the drawer.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The list that is shown.
    pub tab: DrawerTab,
    pub(super) counts: Counts,
    /// Of every list but that of reloads.
    pub(super) lines: Excerpt<Line>,
    pub(super) reloads: Vec<(String, Reload)>,
}

/// How long the lists are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) log: usize,
    pub(super) problems: usize,
    pub(super) denied: usize,
}

/// A line of a list.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) at: String,
    pub(super) sign: Sign,
    pub(super) plugin: String,
    pub(super) text: String,
    /// The call that the line is about.
    call: Option<CallId>,
    /// The frame that the line leads to.
    pub(super) row: Option<RowId>,
    /// All frames that the line is about, if it is about several.
    pub(super) rows: Vec<RowId>,
    /// The denial that the line can allow.
    pub(super) allow: Option<Denied>,
}

/// The picture of a line.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Sign {
    Detail,
    #[default]
    Info,
    Warning,
    Error,
    Denied,
    /// A call that ended like this.
    Ended((Tone, MaterialIcon)),
}

/// A denied permission of an instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Denied {
    pub(super) instance: InstanceId,
    pub(super) permission: Permission,
    /// Tells it apart from all others.
    pub(super) number: (u64, Option<CallId>),
}

impl State {
    pub(super) fn take_in(&mut self, reader: Reader<'_>, shown: &Shown) {
        let source = shown.selection.source;
        let problems = Problems::of(&reader, shown);
        let State { tab, counts, lines, reloads } = self;
        reader.read(source, |store| {
            let failed: Vec<_> =
                store.notices().iter().filter(|one| is_failure(one, source)).collect();
            *counts = Counts {
                log: store.log().len(),
                problems: problems.len() + failed.len(),
                denied: store.denials().len(),
            };
            match tab {
                DrawerTab::Log => {
                    lines.take_in(counts.log, |at| Some(of_log(store, store.log().get(at)?)));
                }
                DrawerTab::Problems => {
                    lines.take_in(counts.problems, |at| problems.line(store, &failed, at));
                }
                DrawerTab::Denied => {
                    let line =
                        |at| Some(of_denial(&reader, source, store, store.denials().get(at)?));
                    lines.take_in(counts.denied, line);
                }
                DrawerTab::Reloads => {
                    let newest = store.reloads().iter().rev().take(RELOADS);
                    *reloads = newest.map(|reload| (String::new(), reload.clone())).collect();
                }
            }
        });
        for (name, reload) in &mut self.reloads {
            *name = reader.instance_name(source, &reload.plugin, reload.instance);
        }
        if reader.is_in_file(source) {
            self.lines.iter_mut().for_each(|line| line.find_rows(reader, source));
        }
    }
}

/// True for failures outside of calls. The workbench itself reports live refusals.
fn is_failure(notice: &glovebox_inspector::store::Notice, source: Source) -> bool {
    match notice.kind {
        NoticeKind::Failure => true,
        NoticeKind::Refused => source != Source::Live,
        NoticeKind::Phase | NoticeKind::Loaded | NoticeKind::Policy => false,
    }
}

impl Line {
    /// Frames in a file are found by their calls, once they were read.
    fn find_rows(&mut self, reader: Reader<'_>, source: Source) {
        self.row = self.row.or_else(|| reader.row_of(source, self.call?));
    }
}

/// Findings, calls that failed, and what the workbench says, in this order.
struct Problems<'a> {
    source: Source,
    reader: &'a Reader<'a>,
    findings: &'a [Finding],
    failures: &'a std::collections::VecDeque<Failure>,
    notices: Vec<&'a Notice>,
}

impl<'a> Problems<'a> {
    fn of(reader: &'a Reader<'a>, shown: &'a Shown) -> Problems<'a> {
        let source = shown.selection.source;
        let is_problem = |one: &&Notice| matches!(one.level, Level::Error | Level::Warning);
        Problems {
            source,
            reader,
            findings: reader.findings(source).map_or(&[][..], |judgement| &judgement.findings),
            failures: &shown.overview.digest().failures,
            notices: reader.notices().iter().filter(is_problem).collect(),
        }
    }

    fn len(&self) -> usize {
        self.findings.len() + self.failures.len() + self.notices.len()
    }

    /// `failed` is what the host said of failures; it stands before the notices of the workbench.
    fn line(
        &self,
        store: &Store,
        failed: &[&glovebox_inspector::store::Notice],
        at: usize,
    ) -> Option<Line> {
        if let Some(finding) = self.findings.get(at) {
            return Some(of_finding(self.reader, self.source, store, finding));
        }
        let at = at - self.findings.len();
        if let Some(failure) = self.failures.get(at) {
            return Some(of_failure(failure));
        }
        let at = at - self.failures.len();
        if let Some(notice) = failed.get(at) {
            return Some(Line {
                at: clock(notice.at),
                sign: Sign::Error,
                plugin: notice.plugin.to_string(),
                text: notice.message.clone(),
                ..Line::default()
            });
        }
        let notice = self.notices.get(at - failed.len())?;
        Some(Line {
            at: clock_of(notice.at),
            sign: if notice.level == Level::Error { Sign::Error } else { Sign::Warning },
            plugin: "workbench".to_owned(),
            text: notice.text.clone(),
            ..Line::default()
        })
    }
}

/// The first row of a call that is in memory.
fn first_row(store: &Store, call: Option<CallId>) -> Option<RowId> {
    store.call(call?)?.rows.first().copied()
}

fn of_log(store: &Store, line: &LogLine) -> Line {
    Line {
        at: clock(line.at),
        sign: match line.level {
            LogLevel::Trace | LogLevel::Debug => Sign::Detail,
            LogLevel::Info => Sign::Info,
            LogLevel::Warn => Sign::Warning,
            LogLevel::Error => Sign::Error,
        },
        plugin: line.plugin.to_string(),
        // Not more of it is copied while the plugin waits.
        text: text::lines(&line.message).into_owned(),
        call: line.call,
        row: first_row(store, line.call),
        ..Line::default()
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
        at: rows.first().and_then(|(_, at)| *at).map_or_else(String::new, clock),
        sign: match finding.severity {
            Severity::Info => Sign::Info,
            Severity::Warning => Sign::Warning,
            Severity::Error => Sign::Error,
        },
        plugin: finding.plugin.clone(),
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

fn of_failure(failure: &Failure) -> Line {
    Line {
        at: clock(failure.at),
        sign: Sign::Ended(outcome_look(Some(&failure.outcome))),
        plugin: failure.plugin.to_string(),
        text: format!("frame {}: {}", failure.row.0, failure.outcome),
        row: Some(failure.row),
        ..Line::default()
    }
}

fn of_denial(reader: &Reader<'_>, source: Source, store: &Store, denial: &Denial) -> Line {
    Line {
        at: clock(denial.at),
        sign: Sign::Denied,
        plugin: denial.plugin.to_string(),
        text: format!(
            "{}{}{} was denied: the permission {} is not granted",
            denial.service,
            if denial.parameter.is_empty() { "" } else { " " },
            inert(&denial.parameter),
            denial.permission
        ),
        call: denial.call,
        row: first_row(store, denial.call),
        allow: denied_instance(reader, source, denial).map(|instance| Denied {
            instance,
            permission: denial.permission,
            number: (denial.at, denial.call),
        }),
        ..Line::default()
    }
}

/// The instance that was denied something, if it is still there: in a trace, the one that runs under
/// the same id.
fn denied_instance(view: &ViewCtx<'_>, source: Source, denial: &Denial) -> Option<InstanceId> {
    let own = |plugin: &&PluginStatus| plugin.instance.get() == denial.instance;
    let plugin = match source {
        Source::Live => view.plugins().iter().find(own),
        Source::Trace(_) => view.plugin_by_id(&denial.plugin),
    };
    plugin.map(|plugin| plugin.instance)
}
