//! The trait of panels, and the context that one gets while it paints: everything to read, and a
//! place for its requests.

use std::ops::Deref;

use egui::Ui;
use glovebox_host::PluginStatus;

use super::action::{Action, Actions, Change};
use super::commands::{Situation, Verb};
use super::shown::{Query, Selection, Shown};
use crate::workbench::{Command, Overview, Reader, Source, ViewCtx};

/// Everything a panel may look at while it paints. A panel sends its requests, and they are done
/// after all is painted.
///
/// It leads to the [`ViewCtx`] of the workbench, which never waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PanelCtx<'a> {
    /// The workbench.
    pub view: ViewCtx<'a>,
    /// The selection.
    pub selection: &'a Selection,
    /// The query for the listed frames.
    pub query: &'a Query,
    /// The digest of the source that is shown.
    pub digest: &'a Overview,
    /// The facts that commands depend on.
    pub now: &'a Situation,
    /// The actions requested so far.
    pub asked: &'a Actions,
}

impl<'a> PanelCtx<'a> {
    /// The source of the frames that are shown.
    pub(crate) fn source(&self) -> Source {
        self.selection.source
    }

    /// The plugin that commands are about.
    pub(crate) fn chosen_plugin(&self) -> Option<&'a PluginStatus> {
        self.view.plugin(self.selection.plugin(self.view)?)
    }

    /// Asks for what a key could do, too.
    pub(crate) fn run(&self, verb: Verb) {
        self.asked.add(Action::Run(verb));
    }

    /// Asks for a change of the workbench.
    pub(crate) fn command(&self, command: Command) {
        self.asked.add(Action::Do(command));
    }

    /// Asks for a change of the view.
    pub(crate) fn change(&self, change: Change) {
        self.asked.add(Action::View(change));
    }

    /// Asks for what a person agreed to.
    pub(crate) fn agreed(&self, action: Action) {
        self.asked.add(Action::Agreed(Box::new(action)));
    }
}

impl<'a> Deref for PanelCtx<'a> {
    type Target = ViewCtx<'a>;

    fn deref(&self) -> &ViewCtx<'a> {
        &self.view
    }
}

/// A part of the window with a state of its own.
pub(crate) trait Panel {
    /// Takes in what it shows; nothing is painted, and nothing else is changed.
    fn take_in(&mut self, _reader: Reader<'_>, _shown: &Shown) {}

    /// Paints what was taken in.
    fn show(&mut self, ui: &mut Ui, ctx: PanelCtx<'_>);
}
