//! The lists of the drawer. Only visible lines are made.

use std::collections::BTreeSet;

use egui_material_icons::MaterialIcon;
use glovebox_abi::text::inert;
use glovebox_abi::{LogLevel, Permission};
use glovebox_events::CallId;
use glovebox_host::{InstanceId, PluginStatus};
use glovebox_inspector::store::{Denial, LogLine, Reload, RowId, Store};

use super::problems::{ProblemKind, Problems};
use crate::window::excerpt::Excerpt;
use crate::window::ids::DrawerTab;
use crate::window::panels::reloads::origin as reloads_origin;
use crate::window::shown::Shown;
use crate::window::theme::Tone;
use crate::window::widgets::figures::{clock, since};
use crate::window::widgets::text;
use crate::workbench::{Reader, Source, ViewCtx, why_not_allowed};

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
    /// The time from which all others are counted, in nanoseconds since the Unix epoch.
    pub(super) origin: Option<u64>,
    /// The newest denial that can be allowed is to get the focus.
    pub allow_newest: bool,
    /// Kinds of problems whose single ones are listed.
    pub(super) open: BTreeSet<ProblemKind>,
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
    pub(super) at: Moment,
    pub(super) sign: Sign,
    pub(super) plugin: String,
    pub(super) text: String,
    /// The call that the line is about.
    pub(super) call: Option<CallId>,
    /// The frame that the line leads to.
    pub(super) row: Option<RowId>,
    /// All frames that the line is about, if it is about several.
    pub(super) rows: Vec<RowId>,
    /// The denial that the line can allow.
    pub(super) allow: Option<Denied>,
    /// The instance that failed here, of which a bundle can be written.
    pub(super) failed: Option<InstanceId>,
    /// The kind of problems that the line stands for, if these are several.
    pub(super) group: Option<ProblemKind>,
    /// True if it is one of several that are listed below a line for all of them.
    pub(super) is_member: bool,
}

/// The moment of a line, as its list shows it and as a time of day.
#[derive(Debug, Default)]
pub(super) struct Moment {
    pub(super) text: String,
    pub(super) clock: String,
}

impl Moment {
    /// The place of an event, `at` nanoseconds since the Unix epoch.
    pub(super) fn of_event(store: &Store, at: u64) -> Moment {
        Moment { text: since(store.start(), at), clock: format!("{} UTC", clock(at)) }
    }
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
        let State { allow_newest: _, tab, counts, lines, reloads, origin, open } = self;
        reader.read(source, |store| {
            *origin = reloads_origin(store);
            let problems = problems.with_failed(store);
            // A use that a fault or a mock denied is none: the frames of the call show it.
            let denials: Vec<_> =
                store.denials().iter().filter(|denial| denial.is_of_policy()).collect();
            *counts =
                Counts { log: store.log().len(), problems: problems.len(), denied: denials.len() };
            match tab {
                DrawerTab::Log => {
                    lines.take_in(counts.log, |at| Some(of_log(store, store.log().get(at)?)));
                }
                DrawerTab::Problems => {
                    let listed = problems.listed(open);
                    let line = |at: usize| problems.line(store, listed.get(at)?);
                    lines.take_in(listed.len(), line);
                }
                DrawerTab::Denied => {
                    let line =
                        |at: usize| Some(of_denial(&reader, source, store, denials.get(at)?));
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

impl Line {
    /// Frames in a file are found by their calls, once they were read.
    fn find_rows(&mut self, reader: Reader<'_>, source: Source) {
        self.row = self.row.or_else(|| reader.row_of(source, self.call?));
    }
}

/// The first row of a call that is in memory.
fn first_row(store: &Store, call: Option<CallId>) -> Option<RowId> {
    store.call(call?)?.rows.first().copied()
}

fn of_log(store: &Store, line: &LogLine) -> Line {
    Line {
        at: Moment::of_event(store, line.at),
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

fn of_denial(reader: &Reader<'_>, source: Source, store: &Store, denial: &Denial) -> Line {
    let instance = denied_instance(reader, source, denial);
    let plugin = instance.and_then(|instance| reader.plugin(instance));
    let why_not = plugin.and_then(|plugin| why_not_allowed(plugin, denial.permission));
    let why = why_not.unwrap_or_else(|| why_denied(plugin, denial.permission));
    Line {
        at: Moment::of_event(store, denial.at),
        sign: Sign::Denied,
        plugin: denial.plugin.to_string(),
        text: format!(
            "{}{}{} was denied: {why}",
            denial.service,
            if denial.parameter.is_empty() { "" } else { " " },
            inert(&denial.parameter),
        ),
        call: denial.call,
        row: first_row(store, denial.call),
        allow: instance.map(|instance| Denied {
            instance,
            permission: denial.permission,
            number: (denial.at, denial.call),
        }),
        ..Line::default()
    }
}

/// Why a use was denied, for people, as far as it is known of the plugin that runs.
fn why_denied(plugin: Option<&PluginStatus>, permission: Permission) -> String {
    let status = plugin.and_then(|plugin| plugin.permission(permission));
    match status.filter(|status| status.granted) {
        Some(_) => {
            format!("the permission {permission} is granted now, but was not then, or not for this")
        }
        None => format!("the permission {permission} is not granted"),
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
