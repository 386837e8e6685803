//! Lists of what happened: log lines, problems, denials, reloads.

use std::time::{Duration, SystemTime};

use egui::{Align, ScrollArea, Ui, pos2, vec2};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;
use glovebox_abi::text::inert;
use glovebox_abi::{LogLevel, Permission};
use glovebox_events::CallId;
use glovebox_host::{InstanceId, PluginStatus};
use glovebox_inspector::findings::{Evidence, Finding, RULES, Severity};
use glovebox_inspector::store::{Denial, Notice, NoticeKind, Row, RowId, Store};
use serde::{Deserialize, Serialize};

use super::frames::thousands;
use crate::window::action::{Actions, Change};
use crate::window::state::ViewState;
use crate::window::theme::{self, Tone};
use crate::window::widgets::allow::{allow_button, can_allow};
use crate::window::widgets::text::{self, Hint, plain};
use crate::window::widgets::{chip, icon_font, row, text_in};
use crate::workbench::{Command, Failure, Level, RowRef, Source, ViewCtx};

/// The lists of the drawer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrawerTab {
    /// What plugins wrote.
    #[default]
    Log,
    /// What went wrong.
    Problems,
    /// Host calls that were denied.
    Denied,
    /// Every reload.
    Reloads,
}

/// What the drawer remembers.
#[derive(Debug, Default)]
pub struct State {
    /// The list that is shown.
    pub tab: DrawerTab,
}

const LINE: f32 = 20.0;

/// Problems: findings, failing calls and what the workbench could not do.
pub(in crate::window) fn problem_count(ctx: ViewCtx<'_>, state: &ViewState) -> usize {
    let notices = ctx.notices().iter();
    let notices = notices.filter(|notice| matches!(notice.level, Level::Error | Level::Warning));
    let findings = ctx.findings(state.selection.source);
    let findings = findings.map_or(0, |judgement| judgement.findings.len());
    let failures = state.overview.digest().failures.len();
    let host = failed(ctx, state.selection.source, |failed| failed.count());
    findings + failures + host + notices.count()
}

/// What failed outside of calls. Of what happens now, the workbench says itself what was refused.
fn failed<R>(
    ctx: ViewCtx<'_>,
    source: Source,
    read: impl FnOnce(&mut dyn Iterator<Item = &Notice>) -> R,
) -> R
where
    R: Default,
{
    let is_failure = |notice: &&Notice| match notice.kind {
        NoticeKind::Failure => true,
        NoticeKind::Refused => source != Source::Live,
        NoticeKind::Phase | NoticeKind::Loaded | NoticeKind::Policy => false,
    };
    let found = ctx.read(source, |store| read(&mut store.notices().iter().filter(is_failure)));
    found.unwrap_or_default()
}

/// Paints the drawer.
pub fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    let source = state.selection.source;
    let count = |count: usize| if count == 0 { String::new() } else { format!(" {count}") };
    let (log, denied) =
        ctx.read(source, |store| (store.log().len(), store.denials().len())).unwrap_or_default();
    let tabs = [
        (DrawerTab::Log, format!("Log{}", count(log))),
        (DrawerTab::Problems, format!("Problems{}", count(problem_count(ctx, state)))),
        (DrawerTab::Denied, format!("Denied{}", count(denied))),
        (DrawerTab::Reloads, "Reload history".to_owned()),
    ];
    ui.horizontal(|ui| {
        ui.set_height(24.0);
        ui.spacing_mut().item_spacing.x = 2.0;
        for (tab, name) in tabs {
            let chosen = state.panels.drawer.tab == tab;
            let tokens = theme::of(ui);
            let color = if chosen { tokens.text_strong } else { tokens.text_weak };
            let text = plain(&name).font(theme::medium(11.5)).color(color);
            let button = egui::Button::new(text).selected(false).frame_when_inactive(false);
            let response = ui.add(button);
            if chosen {
                let rect = response.rect;
                ui.painter().hline(
                    rect.shrink2(vec2(8.0, 0.0)).x_range(),
                    rect.bottom(),
                    egui::Stroke::new(2.0, tokens.accent),
                );
            }
            response
                .widget_info(|| egui::WidgetInfo::selected(egui::Role::Tab, true, chosen, &name));
            if response.clicked() {
                out.view(Change::Drawer(tab));
            }
        }
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            source_of_lists(ui, ctx, source, out);
            match state.panels.drawer.tab {
                DrawerTab::Problems => severities(ui, ctx, out),
                DrawerTab::Log | DrawerTab::Denied | DrawerTab::Reloads => {}
            }
        });
    });
    match state.panels.drawer.tab {
        DrawerTab::Log => log_lines(ui, ctx, source, out),
        DrawerTab::Problems => problems(ui, ctx, state, out),
        DrawerTab::Denied => denials(ui, ctx, source, out),
        DrawerTab::Reloads => reloads(ui, ctx, source),
    }
}

/// Says whose lists these are, and what was denied elsewhere meanwhile.
fn source_of_lists(ui: &mut Ui, ctx: ViewCtx<'_>, source: Source, out: &mut Actions) {
    let text = plain(format!("of {}", ctx.source_name(source)));
    ui.label(text.color(theme::of(ui).text_weak));
    let denied = if source == Source::Live { 0 } else { ctx.denied_live() };
    if denied > 0 {
        let text = format!("{} denied live", thousands(denied as u64));
        if chip(ui, true, &text, Tone::Warn)
            .hint("Show them in place of those of the trace")
            .clicked()
        {
            out.view(Change::Source(Source::Live));
            out.view(Change::Drawer(DrawerTab::Denied));
        }
    }
}

/// Why a list is empty: nothing is said of what was not looked at.
fn nothing(ctx: ViewCtx<'_>, source: Source, what: &str) -> String {
    let name = ctx.source_name(source);
    match (source, ctx.is_looked_over(source)) {
        (Source::Live, _) => format!("{what} live so far"),
        (Source::Trace(_), true) => format!("{what} in {name}"),
        (Source::Trace(_), false) => {
            format!("Not known before the whole of {name} was looked over")
        }
    }
}

struct Line {
    at: String,
    picture: MaterialIcon,
    tone: Tone,
    plugin: String,
    text: String,
    call: Option<CallId>,
    row: Option<RowId>,
    /// All frames that the line is about, if it is about several.
    rows: Vec<RowId>,
    /// What the line can allow.
    allow: Option<Denied>,
}

/// What an instance was denied.
#[derive(Clone, Copy)]
struct Denied {
    instance: InstanceId,
    permission: Permission,
    /// Tells it apart from all others.
    number: (u64, Option<CallId>),
}

/// A list of lines.
struct List<'a> {
    name: &'a str,
    count: usize,
    /// What is said if there is none.
    empty: String,
    source: Source,
}

/// Lines that are made only when they are seen, newest last.
fn lines(
    ui: &mut Ui,
    list: List<'_>,
    ctx: ViewCtx<'_>,
    out: &mut Actions,
    make: impl Fn(usize) -> Option<Line>,
) {
    let tokens = theme::of(ui);
    let List { name, count, empty, source } = list;
    if count == 0 {
        ui.label(plain(empty).color(tokens.text_weak));
        return;
    }
    ui.spacing_mut().item_spacing.y = 0.0;
    ScrollArea::vertical()
        .id_salt(name)
        .auto_shrink([false, false])
        .stick_to_bottom(true)
        .show_rows(ui, LINE, count, |ui, range| {
            for index in range {
                let Some(line) = make(index) else {
                    continue;
                };
                let (rect, response) =
                    row(ui, LINE, false, &format!("{} {}", line.plugin, line.text));
                let body = egui::TextStyle::Body.resolve(ui.style());
                let mut left = rect.left() + 4.0;
                let mut cell = |width: f32| {
                    let cell = egui::Rect::from_min_size(
                        pos2(left, rect.top()),
                        vec2(width, rect.height()),
                    );
                    left += width + 8.0;
                    cell
                };
                text_in(ui, cell(84.0), Align::Min, &line.at, body.clone(), tokens.text_weak);
                text_in(
                    ui,
                    cell(14.0),
                    Align::Min,
                    line.picture.codepoint,
                    icon_font(13.0),
                    tokens.tone(line.tone),
                );
                text_in(ui, cell(96.0), Align::Min, &line.plugin, body.clone(), tokens.text_weak);
                let mut rest = rect;
                rest.set_left(left);
                let allow = line.allow.and_then(|Denied { instance, permission, number }| {
                    let plugin = ctx.plugin(instance)?;
                    can_allow(plugin, permission).then_some((plugin, permission, number))
                });
                if let Some((plugin, permission, number)) = allow {
                    let (rest_of_line, button) = rest.split_left_right_at_x(rest.right() - 76.0);
                    rest = rest_of_line;
                    let place = egui::UiBuilder::new()
                        .max_rect(button)
                        .layout(egui::Layout::left_to_right(Align::Center));
                    let mut place = ui.new_child(place);
                    allow_button(&mut place, ctx, number, plugin, permission, out);
                }
                let in_one_line = text::lines(&line.text).replace('\n', " ");
                text_in(ui, rest, Align::Min, &in_one_line, body, tokens.text);
                let target = line.row.or_else(|| ctx.row_of(source, line.call?));
                if let (true, Some(row)) = (response.clicked(), target) {
                    out.view(Change::Select(RowRef { source, row }));
                }
                let (text, rows) = (line.text, line.rows);
                response.hint(&text).context_menu(|ui| {
                    for row in &rows {
                        if ui.button(format!("Go to frame {}", row.0)).clicked() {
                            out.view(Change::Select(RowRef { source, row: *row }));
                        }
                    }
                    if ui.button("Copy").clicked() {
                        out.view(Change::Copy(text.clone()));
                    }
                });
            }
        });
}

fn log_lines(ui: &mut Ui, ctx: ViewCtx<'_>, source: Source, out: &mut Actions) {
    let count = ctx.read(source, |store| store.log().len()).unwrap_or(0);
    let empty = nothing(ctx, source, "No plugin wrote anything with the service log");
    let list = List { name: "log", count, empty, source };
    lines(ui, list, ctx, out, |index| {
        let line = ctx.read(source, |store| {
            let line = store.log().get(index)?;
            // Not more of it is copied while the plugin waits.
            let text = text::lines(&line.message).into_owned();
            Some((line.at, line.level, line.plugin.to_string(), line.call, text))
        });
        let (at, level, plugin, call, text) = line.flatten()?;
        let (picture, tone) = match level {
            LogLevel::Trace | LogLevel::Debug => (icon::ICON_BUG_REPORT, Tone::Neutral),
            LogLevel::Info => (icon::ICON_INFO, Tone::Info),
            LogLevel::Warn => (icon::ICON_WARNING, Tone::Warn),
            LogLevel::Error => (icon::ICON_ERROR, Tone::Bad),
        };
        Some(Line {
            at: clock(at),
            picture,
            tone,
            plugin,
            text,
            call,
            row: None,
            rows: Vec::new(),
            allow: None,
        })
    });
}

fn problems(ui: &mut Ui, ctx: ViewCtx<'_>, state: &ViewState, out: &mut Actions) {
    let source = state.selection.source;
    let findings = ctx.findings(source).map_or(&[][..], |judgement| &judgement.findings);
    let digest = state.overview.digest();
    let failures = &digest.failures;
    if digest.failures_left_out > 0 {
        let text = format!(
            "{} earlier calls that failed are left out; the filter status:error shows all",
            thousands(digest.failures_left_out)
        );
        ui.label(plain(text).color(theme::of(ui).text_weak));
    }
    let workbench: Vec<_> = ctx
        .notices()
        .iter()
        .filter(|notice| matches!(notice.level, Level::Error | Level::Warning))
        .collect();
    let host = failed(ctx, source, |failed| failed.cloned().collect::<Vec<_>>());
    let count = findings.len() + failures.len() + host.len() + workbench.len();
    let empty = match ctx.findings(source) {
        Some(_) => nothing(ctx, source, "Nothing went wrong"),
        None => format!("{} was not looked over by the rules yet", ctx.source_name(source)),
    };
    let list = List { name: "problems", count, empty, source };
    lines(ui, list, ctx, out, |index| {
        if let Some(finding) = findings.get(index) {
            return Some(of_finding(ctx, source, finding));
        }
        let index = index - findings.len();
        if let Some(failure) = failures.get(index) {
            return Some(of_failure(failure));
        }
        let index = index - failures.len();
        if let Some(notice) = host.get(index) {
            return Some(Line {
                at: clock(notice.at),
                picture: icon::ICON_ERROR,
                tone: Tone::Bad,
                plugin: notice.plugin.to_string(),
                text: notice.message.clone(),
                call: None,
                row: None,
                rows: Vec::new(),
                allow: None,
            });
        }
        let notice = workbench.get(index - host.len())?;
        let (picture, tone) = match notice.level {
            Level::Error => (icon::ICON_ERROR, Tone::Bad),
            _ => (icon::ICON_WARNING, Tone::Warn),
        };
        Some(Line {
            at: clock_of(notice.at),
            picture,
            tone,
            plugin: "workbench".to_owned(),
            text: notice.text.clone(),
            call: None,
            row: None,
            rows: Vec::new(),
            allow: None,
        })
    });
}

/// How severe the findings of each rule are, to be changed.
fn severities(ui: &mut Ui, ctx: ViewCtx<'_>, out: &mut Actions) {
    let known = ctx.severities();
    let name = |severity: Option<Severity>| severity.map_or("off", Severity::name);
    ui.menu_button("Severities", |ui| {
        for rule in RULES {
            let title = format!("{}: {}", rule.id(), name(known.of(*rule)));
            ui.menu_button(title, |ui| {
                let choices = Severity::ALL.map(Some).into_iter().chain([None]);
                let usual = (None, format!("as the rule says: {}", rule.severity()));
                let choices = choices.map(|severity| (Some(severity), name(severity).to_owned()));
                for (setting, title) in [usual].into_iter().chain(choices) {
                    let is_set = known.setting(*rule) == setting;
                    if ui.selectable_label(is_set, title).clicked() {
                        let mut severities = known.clone();
                        severities.put(*rule, setting);
                        out.command(Command::SetSeverities(severities));
                    }
                }
            })
            .response
            .hint(rule.describe());
        }
    });
}

/// A finding, with the first frame that shows it.
fn of_finding(ctx: ViewCtx<'_>, source: Source, finding: &Finding) -> Line {
    let rows: Vec<_> = if ctx.pages(source).is_some() {
        let calls = finding.evidence.iter().filter_map(|one| one.call);
        calls.filter_map(|call| Some((ctx.row_of(source, call)?, None))).collect()
    } else {
        let rows = ctx.read(source, |store| {
            let rows = finding.evidence.iter().filter_map(|one| row_of(store, one));
            rows.map(|row| (row.id, Some(row.at))).collect()
        });
        rows.unwrap_or_default()
    };
    let (picture, tone) = match finding.severity {
        Severity::Info => (icon::ICON_INFO, Tone::Info),
        Severity::Warning => (icon::ICON_WARNING, Tone::Warn),
        Severity::Error => (icon::ICON_ERROR, Tone::Bad),
    };
    let more = match rows.len() {
        0 | 1 => String::new(),
        rows => format!(" (first of {rows} frames)"),
    };
    Line {
        at: rows.first().and_then(|(_, at)| *at).map_or_else(String::new, clock),
        picture,
        tone,
        plugin: finding.plugin.clone(),
        text: format!("{}: {}{more}; {}", finding.rule, finding.message, finding.remedy),
        call: None,
        row: rows.first().map(|(row, _)| *row),
        rows: rows.into_iter().map(|(row, _)| row).collect(),
        allow: None,
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
    let (tone, picture) = crate::window::widgets::outcome_look(Some(&failure.outcome));
    Line {
        at: clock(failure.at),
        picture,
        tone,
        plugin: failure.plugin.to_string(),
        text: format!("frame {}: {}", failure.row.0, failure.outcome),
        call: None,
        row: Some(failure.row),
        rows: Vec::new(),
        allow: None,
    }
}

fn denials(ui: &mut Ui, ctx: ViewCtx<'_>, source: Source, out: &mut Actions) {
    let count = ctx.read(source, |store| store.denials().len()).unwrap_or(0);
    let empty = nothing(ctx, source, "Nothing was denied");
    let list = List { name: "denied", count, empty, source };
    lines(ui, list, ctx, out, |index| {
        let denial = ctx.read(source, |store| store.denials().get(index).cloned()).flatten()?;
        Some(Line {
            at: clock(denial.at),
            picture: icon::ICON_BLOCK,
            tone: Tone::Warn,
            plugin: denial.plugin.to_string(),
            text: format!(
                "{}{}{} was denied: the permission {} is not granted",
                denial.service,
                if denial.parameter.is_empty() { "" } else { " " },
                inert(&denial.parameter),
                denial.permission
            ),
            call: denial.call,
            row: None,
            rows: Vec::new(),
            allow: denied_instance(ctx, source, &denial).map(|instance| Denied {
                instance,
                permission: denial.permission,
                number: (denial.at, denial.call),
            }),
        })
    });
}

/// The instance that was denied something, if it is still there: in a trace, the one that runs under
/// the same id.
fn denied_instance(ctx: ViewCtx<'_>, source: Source, denial: &Denial) -> Option<InstanceId> {
    let own = |plugin: &&PluginStatus| plugin.instance.get() == denial.instance;
    let plugin = match source {
        Source::Live => ctx.plugins().iter().find(own),
        Source::Trace(_) => ctx.plugin_by_id(&denial.plugin),
    };
    plugin.map(|plugin| plugin.instance)
}

fn reloads(ui: &mut Ui, ctx: ViewCtx<'_>, source: Source) {
    let reloads = ctx.read(source, |store| {
        let plugins = store.plugins().iter();
        let mut reloads: Vec<_> =
            plugins.flat_map(|plugin| store.reloads(plugin).cloned()).collect();
        reloads.sort_by_key(|reload| std::cmp::Reverse(reload.at));
        reloads.truncate(200);
        reloads
    });
    let reloads = reloads.unwrap_or_default();
    if reloads.is_empty() {
        let text = nothing(ctx, source, "No plugin was reloaded");
        ui.label(plain(text).color(theme::of(ui).text_weak));
        return;
    }
    ScrollArea::both().id_salt("reload history").auto_shrink([false, false]).show(ui, |ui| {
        super::reload::grid(ui, "reload history", &reloads, true);
    });
}

/// Nanoseconds since the Unix epoch as a time of day in UTC.
pub(in crate::window) fn clock(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000 % 86_400;
    let millis = nanos / 1_000_000 % 1000;
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A time of day in UTC.
pub(in crate::window) fn clock_of(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    clock(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_read_well() {
        assert_eq!(clock(0), "00:00:00.000");
        assert_eq!(clock(86_399_999_000_000), "23:59:59.999");
    }
}
