//! Actions: requests made while the window is painted, done before the next frame.

use std::cell::RefCell;

use glovebox_abi::Frame;
use glovebox_host::InstanceId;
use glovebox_inspector::search::Order;

use super::commands::Verb;
use super::dialogs::Purpose;
use super::ids::{DrawerTab, PanelId};
use crate::workbench::{Command, RowRef, Source};

/// A request of a panel; nothing happens while panels paint.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// A verb, which a person could also run with a key or in the palette.
    Run(Verb),
    /// A change of the workbench.
    Do(Command),
    /// A change of the view.
    View(Change),
    /// An action that a person agreed to when asked.
    Agreed(Box<Action>),
}

/// A change of what is seen.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Brings a panel to the front.
    Show(PanelId),
    /// Opens the drawer at a list.
    Drawer(DrawerTab),
    /// Shows the frames of another source.
    Source(Source),
    /// Selects a frame.
    Select(RowRef),
    /// Brings the selected frame into view.
    RevealSelection,
    /// Selects a plugin.
    SelectPlugin(InstanceId),
    /// Replaces the filter.
    Filter(String),
    /// Narrows the list to a time range, in nanoseconds since the Unix epoch.
    Range(Option<(u64, u64)>),
    /// Sorts the list; `None` for the order of time.
    Order(Option<Order>),
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
pub(crate) enum Quit {
    /// After everything is saved.
    Saving,
    /// At once.
    Now,
}

/// The actions requested while the window was painted. None is done before painting ends.
#[derive(Debug, Default)]
pub(crate) struct Actions(RefCell<Vec<Action>>);

impl Actions {
    /// Adds what is asked for.
    pub(crate) fn add(&self, action: Action) {
        self.0.borrow_mut().push(action);
    }

    /// True if nothing was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Everything asked for, in order.
    pub(crate) fn take(&mut self) -> Vec<Action> {
        std::mem::take(self.0.get_mut())
    }
}
