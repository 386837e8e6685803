//! Closes the window without losing a person's decisions.

use super::App;
use super::perform::LIVE_FILE;
use crate::window::action::{Action, Quit};
use crate::window::commands::{Verb, entry};
use crate::window::dialogs::Purpose;
use crate::window::overlays::Overlay;
use crate::window::quitting::{Quitting, Step};
use crate::workbench::{Command, Level, TraceId, words};

impl App {
    /// The work that ends with the window, in words.
    fn unsaved(&self) -> Vec<String> {
        let view = self.view();
        let mut unsaved = Vec::new();
        if let Some(decisions) = self.unsaved_decisions() {
            let name = view.diff().map_or("", |(_, diff)| diff.after.name.as_str());
            let count = words::count_of(decisions, "decision");
            unsaved.push(format!("{count} about {name} not saved as baseline"));
        }
        if let Some(recording) = view.recording() {
            let path = recording.path.display();
            unsaved.push(format!(
                "A recording is running; it is finished and kept in any case: {path}"
            ));
        }
        for trace in view.traces().iter().filter(|trace| trace.unsaved) {
            let frames = words::count_of(trace.rows().len(), "frame");
            unsaved.push(format!("{} is in no file, {frames}: Ctrl+S saves it", trace.name));
        }
        let live = view.live();
        if live.in_no_file > 0 {
            let frames = words::count(live.in_no_file, "live frame");
            let keys = entry(Verb::SaveLive).shortcut().unwrap_or_default();
            let is = if live.in_no_file == 1 { "is" } else { "are" };
            unsaved.push(format!("{frames} {is} recorded nowhere: {keys} saves what is in memory"));
        }
        let edits = view.edits();
        if edits.policy > 0 {
            let count = words::count(edits.policy, "change");
            unsaved.push(format!("{count} of the policy not saved as policy.toml"));
        }
        if edits.limits > 0 {
            let count = words::count(edits.limits, "change");
            unsaved.push(format!("{count} of limits: no file here keeps them, a plugin.toml does"));
        }
        unsaved
    }

    /// True if anything of that would be gone if it is not saved: a recording is kept anyway.
    fn discards(&self) -> bool {
        self.unsaved().len() > usize::from(self.view().recording().is_some())
    }

    /// How many decisions about the comparison that is shown are in no file.
    pub(crate) fn unsaved_decisions(&self) -> Option<usize> {
        let review = &self.panels.diff.review;
        let is_saved = self.view().saved_decisions() == Some(review.decisions());
        let count = review.decided();
        (count > 0 && review.is_changed() && !is_saved).then_some(count)
    }

    /// Closes the window, or asks if something would be lost.
    pub(super) fn ask_to_quit(&mut self, ctx: &egui::Context) {
        let unsaved = self.unsaved();
        match unsaved.is_empty() {
            true => self.quit(ctx, Quit::Now),
            false => self.overlay = Overlay::Quit(unsaved, self.discards()),
        }
    }

    pub(super) fn quit(&mut self, ctx: &egui::Context, how: Quit) {
        match how {
            Quit::Now => {
                self.quitting = Quitting::Agreed;
                ctx.send_viewport_cmd(egui::ViewportCommand::Close);
            }
            Quit::Saving => {
                self.quitting = Quitting::Saving(Step::Decisions);
                if self.view().recording().is_some() {
                    self.workbench.execute(Command::StopRecording);
                }
            }
        }
    }

    /// Saves what comes next; `None` if what came before was not saved.
    fn save_next(&mut self, ctx: &egui::Context, step: Step) -> Option<()> {
        let has_policy = self.view().edits().policy > 0;
        let next = match step {
            Step::Decisions => {
                let is_wanted = self.unsaved_decisions().is_some();
                (Step::Policy, is_wanted.then_some(Verb::SaveBaseline))
            }
            Step::Policy if self.unsaved_decisions().is_none() => {
                (Step::Replay, has_policy.then_some(Verb::SavePolicy))
            }
            Step::Replay if !has_policy => return self.save_replay(ctx, None),
            Step::ReplayAfter(trace) => return self.save_replay(ctx, Some(trace)),
            // More may have come since.
            Step::LiveAfter(saves) if self.view().live_saves() > saves => {
                self.quit(ctx, Quit::Now);
                return Some(());
            }
            Step::Policy | Step::Replay | Step::LiveAfter(_) => return None,
        };
        self.quitting = Quitting::Saving(next.0);
        if let Some(verb) = next.1 {
            self.perform(ctx, Action::Run(verb));
        }
        ctx.request_repaint();
        Some(())
    }

    /// Saves a replay that is in no file, and closes if there is none; `None` if the one before was not
    /// saved.
    fn save_replay(&mut self, ctx: &egui::Context, before: Option<TraceId>) -> Option<()> {
        let next = self.view().traces().iter().find(|trace| trace.unsaved);
        let next = next.map(|trace| (trace.id, trace.name.clone()));
        match next {
            None => return self.save_live(ctx),
            Some((id, _)) if Some(id) == before => return None,
            Some((id, name)) => {
                self.quitting = Quitting::Saving(Step::ReplayAfter(id));
                self.ask_where_to_save(ctx, id, &name);
                ctx.request_repaint();
            }
        }
        Some(())
    }

    /// Saves live frames that are in no file, and closes if there are none.
    fn save_live(&mut self, ctx: &egui::Context) -> Option<()> {
        match self.view().live().in_no_file {
            0 => self.quit(ctx, Quit::Now),
            _ => {
                self.quitting = Quitting::Saving(Step::LiveAfter(self.view().live_saves()));
                self.dialogs.open(ctx, Purpose::SaveLive, LIVE_FILE);
                ctx.request_repaint();
            }
        }
        Some(())
    }

    /// Keeps the window open while somebody is to be asked, and closes it once all is saved.
    pub(super) fn go_on_with_quitting(&mut self, ctx: &egui::Context) {
        let is_closing = ctx.input(|input| input.viewport().close_requested());
        // A picture is taken without anybody who could answer, and a signal waits for no answer.
        let may_close = self.quitting == Quitting::Agreed
            || self.capture.is_some()
            || crate::ending::is_asked();
        if is_closing && !may_close {
            let unsaved = self.unsaved();
            if !unsaved.is_empty() {
                ctx.send_viewport_cmd(egui::ViewportCommand::CancelClose);
                self.overlay = Overlay::Quit(unsaved, self.discards());
            }
        }
        let waits = self.dialogs.is_open() || !self.overlay.is_none() || self.view().is_busy();
        if let Quitting::Saving(step) = self.quitting
            && !waits
            && self.save_next(ctx, step).is_none()
        {
            self.quitting = Quitting::No;
            let text = "The window stays open: not everything is saved".to_owned();
            self.workbench.execute(Command::Notify(Level::Info, text));
        }
    }
}
