use glovebox_abi::Frame;
use glovebox_host::InstanceId;

use super::commands::Verb;
use super::dialogs::Purpose;
use super::panels::{DrawerTab, PanelId};
use crate::workbench::{Command, RowRef, Source};

/// What a panel wants to happen; nothing happens while panels paint.
#[derive(Debug, Clone)]
pub enum Action {
    /// What a person could also ask for with a key or in the palette.
    Run(Verb),
    /// A change of the workbench.
    Do(Command),
    /// A change of the view.
    View(Change),
    /// What a person agreed to when asked.
    Agreed(Box<Action>),
}

/// A change of what is seen.
#[derive(Debug, Clone)]
pub enum Change {
    /// Brings a panel to the front.
    Show(PanelId),
    /// Opens the drawer at a list.
    Drawer(DrawerTab),
    /// Shows the frames of another source.
    Source(Source),
    /// Selects a frame.
    Select(RowRef),
    /// Selects a plugin.
    SelectPlugin(InstanceId),
    /// Replaces the filter.
    Filter(String),
    /// Narrows the list to a time range, in nanoseconds since the Unix epoch.
    Range(Option<(u64, u64)>),
    /// Puts a frame into the composer.
    Compose(Frame, Option<InstanceId>),
    /// Opens a file that was found or dropped.
    OpenFile(std::path::PathBuf),
    /// Takes a file that was chosen or typed for a purpose.
    File(Purpose, std::path::PathBuf),
    /// Closes the window.
    Quit(Quit),
    /// Copies a text.
    Copy(String),
}

/// How the window is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quit {
    /// After everything is saved.
    Saving,
    /// At once.
    Now,
}

/// What panels asked for while the window was painted.
#[derive(Debug, Default)]
pub struct Actions(Vec<Action>);

impl Actions {
    /// Asks for what a key could do, too.
    pub fn run(&mut self, verb: Verb) {
        self.0.push(Action::Run(verb));
    }

    /// Asks for a change of the workbench.
    pub fn command(&mut self, command: Command) {
        self.0.push(Action::Do(command));
    }

    /// Asks for what a person agreed to.
    pub fn agreed(&mut self, action: Action) {
        self.0.push(Action::Agreed(Box::new(action)));
    }

    /// Asks for a change of the view.
    pub fn view(&mut self, change: Change) {
        self.0.push(Action::View(change));
    }

    /// Asks for what others asked for.
    pub fn append(&mut self, mut others: Actions) {
        self.0.append(&mut others.0);
    }

    /// Everything asked for, in order.
    pub fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.0)
    }
}
