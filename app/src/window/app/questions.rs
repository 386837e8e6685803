//! Questions to a person before something is done that destroys, weakens or trusts.

use glovebox_abi::manifest::Isolation;
use glovebox_host::{InstanceId, PolicyMode};

use super::App;
use crate::window::action::Action;
use crate::window::commands::{Verb, entry};
use crate::window::overlays::Question;
use crate::workbench::{Command, Origin, TraceId, words};

impl App {
    /// The question to ask first, if the action destroys, weakens or trusts.
    pub(super) fn question(&self, action: &Action) -> Option<Question> {
        let view = self.view();
        if let Some(decisions) = self.unsaved_decisions().filter(|_| self.compares(action)) {
            let count = words::count_of(decisions, "decision");
            return Some(Question {
                title: "Compare anew".to_owned(),
                means: format!("{count} about the last comparison: in no file, so lost"),
            });
        }
        let weakens = |to: PolicyMode| {
            let grants = |mode| match mode {
                PolicyMode::Strict | PolicyMode::Ask => 0,
                PolicyMode::Consent | PolicyMode::Record => 1,
                PolicyMode::AsDeclared => 2,
            };
            grants(to) > grants(view.policy_mode())
        };
        let is_in_no_file = |id: TraceId| {
            view.trace(id).is_some_and(|trace| matches!(trace.origin, Origin::Replay(_)))
        };
        let is_live = || view.live().frames > 0;
        let (verb, is_asked) = match action {
            Action::Run(Verb::ToggleTrust) => (Verb::ToggleTrust, !view.trusts_native()),
            Action::Do(Command::TrustNative(trust)) => (Verb::ToggleTrust, *trust),
            Action::Run(Verb::ClearLive) | Action::Do(Command::ClearLive) => {
                (Verb::ClearLive, is_live())
            }
            Action::Run(Verb::ToggleStrict) => {
                (Verb::ToggleStrict, weakens(other_mode(view.policy_mode())))
            }
            Action::Do(Command::SetPolicyMode(mode)) => (Verb::ToggleStrict, weakens(*mode)),
            Action::Run(Verb::Unload) => {
                return self.unload_question(self.shown.selection.plugin(view));
            }
            Action::Run(Verb::TrustHere) => {
                return self.trust_question(self.shown.selection.plugin(view));
            }
            Action::Do(Command::Move { instance, to: Isolation::InProcess }) => {
                return self.trust_question(Some(*instance));
            }
            Action::Do(Command::Unload(id)) => return self.unload_question(Some(*id)),
            Action::Run(Verb::CloseTrace) => {
                let shown = self.shown_trace();
                (Verb::CloseTrace, shown.is_some_and(|(id, _)| is_in_no_file(id)))
            }
            Action::Do(Command::CloseTrace(id)) => (Verb::CloseTrace, is_in_no_file(*id)),
            _ => return None,
        };
        let line = entry(verb);
        let title = match verb {
            Verb::ToggleStrict => "Weaken the policy",
            _ => line.name,
        };
        let question = |means: &str| Question { title: title.to_owned(), means: means.to_owned() };
        line.asks.filter(|_| is_asked).map(question)
    }

    /// Names the plugin that would be trusted, and says for how long.
    fn trust_question(&self, plugin: Option<InstanceId>) -> Option<Question> {
        let view = self.view();
        let plugin = plugin.and_then(|id| view.plugin(id));
        let name = plugin.map_or_else(|| "the plugin".to_owned(), |plugin| view.name_of(plugin));
        let means = entry(Verb::TrustHere).asks?;
        Some(Question {
            title: format!("Trust {name} and run it in this process"),
            means: format!(
                "{means}. It stays there until it is moved to a worker or unloaded, or Glovebox ends"
            ),
        })
    }

    /// Names the plugin that would go, and the replay that would go on without it.
    fn unload_question(&self, plugin: Option<InstanceId>) -> Option<Question> {
        let view = self.view();
        let plugin = view.plugin(plugin?)?;
        let mut means = entry(Verb::Unload).asks?.to_owned();
        if let Some(replay) = view.replay() {
            means.push_str(&format!(
                ". {} is running: the plugin gets no more of its inputs",
                replay.title
            ));
        }
        Some(Question { title: format!("Unload {}", view.name_of(plugin)), means })
    }

    /// True if something leads to another comparison, which takes the place of the last one.
    fn compares(&self, action: &Action) -> bool {
        match action {
            Action::Run(
                Verb::Loop
                | Verb::ResendAndDiff
                | Verb::CompareWithBaseline
                | Verb::Compare
                | Verb::CompareAgain,
            ) => true,
            Action::Do(
                Command::Diff { .. }
                | Command::CompareWithBaseline(_)
                | Command::Compare { .. }
                | Command::CompareAgain,
            ) => true,
            Action::Run(Verb::Send) | Action::Do(Command::Send(_)) => {
                self.view().pair().is_some_and(|pair| pair.sends_to_both)
            }
            Action::Run(Verb::Replay | Verb::ReplayOriginal | Verb::ReplayAnswered) => {
                self.view().accepted().is_some()
            }
            _ => false,
        }
    }
}

/// The mode that `Strict policy` changes to.
pub(super) fn other_mode(mode: PolicyMode) -> PolicyMode {
    match mode {
        PolicyMode::Strict => PolicyMode::Consent,
        PolicyMode::Consent | PolicyMode::AsDeclared | PolicyMode::Ask | PolicyMode::Record => {
            PolicyMode::Strict
        }
    }
}
