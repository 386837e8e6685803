//! The choice of runs to compare, and how.

use egui::{TextEdit, Ui};
use egui_material_icons::icons as icon;
use glovebox_inspector::diff::{DiffOptions, PathPattern, Run, Tolerance};

use crate::window::context::PanelCtx;
use crate::window::theme;
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{bordered, flow, named_field};
use crate::workbench::{Command, Trace, TraceId, ViewCtx};

/// The choice of a person.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    before: Option<TraceId>,
    after: Option<TraceId>,
    ignore: String,
    /// The diff whose runs the lists name, as the workbench counts them.
    compared: u64,
}

/// The two traces that would be compared.
struct Sides {
    before: Option<TraceId>,
    after: Option<TraceId>,
}

impl Choice {
    /// Forgets traces that are closed, and what was chosen before the last comparison: the lists name
    /// what was just compared.
    pub(super) fn take_in(&mut self, view: &ViewCtx<'_>) {
        self.before = self.before.filter(|id| view.trace(*id).is_some());
        self.after = self.after.filter(|id| view.trace(*id).is_some());
        if let Some((number, _)) = view.diff()
            && std::mem::replace(&mut self.compared, number) != number
        {
            (self.before, self.after) = (None, None);
        }
    }

    /// True if other runs are chosen than those that were compared last: no decision is about them.
    pub(crate) fn is_other(&self, view: ViewCtx<'_>) -> bool {
        let Some((_, diff)) = view.diff() else { return false };
        let is_other = |chosen: Option<TraceId>, run: &Run| {
            chosen.and_then(|id| view.trace(id)).is_some_and(|trace| trace.name != run.name)
        };
        is_other(self.before, &diff.before) || is_other(self.after, &diff.after)
    }

    /// The chosen runs, else those compared last, else the pinned trace and the newest.
    fn sides(&self, view: ViewCtx<'_>) -> Sides {
        let traces = view.traces();
        let named = |run: &Run| {
            let mut traces = traces.iter().rev();
            traces.find(|trace| trace.name == run.name).map(|trace| trace.id)
        };
        let usual = |run: Option<&Run>, other: Option<TraceId>| match run {
            // A baseline file is no trace.
            Some(run) => named(run),
            None => other,
        };
        let compared = view.diff().map(|(_, diff)| (&*diff.before, &*diff.after));
        let pinned = view.baseline().map(|trace| trace.id);
        let pinned = pinned.or(traces.first().map(|trace| trace.id));
        let before = self.before.or(usual(compared.map(|(before, _)| before), pinned));
        let newest = traces.iter().rev().map(|trace| trace.id).find(|id| Some(*id) != before);
        let after = self.after.or(usual(compared.map(|(_, after)| after), newest));
        Sides { before, after }
    }
}

/// Paints the lists of runs, the field for rules and the button.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, choice: &mut Choice) {
    flow(ui, |ui| {
        let Sides { before, after } = choice.sides(ctx.view);
        let compared = ctx.diff().map(|(_, diff)| (&*diff.before, &*diff.after));
        let run = compared.map(|(before, _)| before);
        run_list(ui, ctx, "First run", (before, run), &mut choice.before);
        ui.label(icon::ICON_ARROW_FORWARD.codepoint);
        let run = compared.map(|(_, after)| after);
        run_list(ui, ctx, "Second run", (after, run), &mut choice.after);
        let rules = rules(&choice.ignore);
        let field = TextEdit::singleline(&mut choice.ignore)
            .hint_text("ignore /payload/time, tolerate 0.01")
            .desired_width(260.0);
        let field = match &rules {
            Ok(_) => field,
            Err(_) => field.text_color(theme::of(ui).bad),
        };
        let response = named_field(bordered(ui, |ui| ui.add(field)), "Ignore paths");
        if let Err(error) = &rules {
            response.hint(error);
        }
        let is_valid = rules.is_ok();
        let ready = before.zip(after).zip(rules.ok());
        let button = ui.add_enabled(ready.is_some(), egui::Button::new("Compare"));
        let button = button.hint_when_disabled(match is_valid {
            true => "Choose two traces",
            false => "The paths to ignore are not understood",
        });
        if let (true, Some(((before, after), options))) = (button.clicked(), ready) {
            ctx.command(Command::Diff { before, after, options });
        }
    });
}

/// A list of traces; the run that was compared may be none of them.
fn run_list(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    label: &str,
    (chosen, run): (Option<TraceId>, Option<&Run>),
    slot: &mut Option<TraceId>,
) {
    let name = |id| ctx.trace(id).map(Trace::title);
    let other = run.filter(|_| slot.is_none()).map_or("none", |run| &run.name);
    let shown = chosen.map_or(Some(other.into()), name).unwrap_or("none".into());
    let mut choice = chosen;
    let response = egui::ComboBox::from_id_salt(label)
        .width(180.0)
        .truncate()
        .selected_text(plain(&shown))
        .show_ui(ui, |ui| {
            for trace in ctx.traces() {
                ui.selectable_value(&mut choice, Some(trace.id), plain(trace.title()));
            }
        })
        .response;
    named_field(response, label).hint(format!("{label}: {shown}"));
    if choice != chosen {
        *slot = choice;
    }
}

/// Paths to ignore and tolerances, separated by spaces or commas.
fn rules(text: &str) -> Result<DiffOptions, String> {
    let mut options = DiffOptions::default();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        let is_path = word.starts_with('/') && !word.contains('=');
        if is_path {
            options.ignore.push(word.parse::<PathPattern>().map_err(|error| error.to_string())?);
        } else {
            let tolerance = word.parse::<Tolerance>().map_err(|error| error.to_string())?;
            options.tolerances.push(tolerance);
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        fn check(text: &str, expected: Option<(usize, usize)>) {
            let found = rules(text).ok();
            let found = found.map(|rules| (rules.ignore.len(), rules.tolerances.len()));
            assert_eq!(found, expected, "{text}");
        }
        check("", Some((0, 0)));
        check("/header/id, /payload/*/time", Some((2, 0)));
        check("/header/id 0.01,/payload/price=0.5", Some((1, 2)));
        check("header", None);
        check("/payload/price=x", None);
    }
}
