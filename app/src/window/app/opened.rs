//! The source that a person opened comes into view, unless they chose something else meanwhile.

use super::App;
use crate::window::ids::PanelId;
use crate::workbench::Source;

/// The fate of the source that opened files lead to: the newest choice of a person counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Awaited {
    /// It is shown, whatever panel is in front.
    #[default]
    Shown,
    /// It is shown in the list of frames.
    Listed,
    /// Something else was chosen since: it is not shown.
    No,
}

impl App {
    /// A person opens files, and wants to see what they lead to.
    pub(super) fn await_opened(&mut self) {
        self.awaited = Awaited::Listed;
        // The answer to a frame that was sent before is no longer what they wait for.
        self.answer_after = None;
        self.shell.welcome = false;
    }

    /// A person chose a source, or something that shows one.
    pub(super) fn choose_source(&mut self, source: Source) {
        self.awaited = Awaited::No;
        self.show_source(source);
    }

    fn show_source(&mut self, source: Source) {
        if self.shown.selection.source != source {
            self.shown.selection.source = source;
            self.shown.query.set_range(None);
        }
    }

    /// Shows the list of a source from where somebody looks first: at the newest live frame, and at the selected
    /// or first one of a trace.
    pub(super) fn begin_list(&mut self, source: Source) {
        let selected = self.shown.selection.row.filter(|row| row.source == source);
        let frames = &mut self.panels.frames;
        match source {
            Source::Live => frames.follow_newest(),
            Source::Trace(_) => {
                frames.show_top();
                frames.reveal = selected.map(|row| row.row);
            }
        }
    }

    /// A person chose a panel.
    pub(super) fn choose_panel(&mut self, panel: PanelId) {
        if self.awaited == Awaited::Listed {
            self.awaited = Awaited::Shown;
        }
        self.shell.show_panel(panel);
    }

    /// Shows the source that opened files led to.
    pub(super) fn show_what_was_opened(&mut self) {
        let Some(source) = self.workbench.take_led_to() else { return };
        if self.awaited == Awaited::No {
            return;
        }
        self.show_source(source);
        self.begin_list(source);
        if self.awaited == Awaited::Listed {
            self.shell.show_panel(PanelId::Frames);
        }
    }

    /// Selects the plugin that a person just opened.
    pub(super) fn select_newest_plugin(&mut self) {
        let newest = self.view().plugins().iter().map(|plugin| plugin.instance).max();
        if newest <= self.newest_plugin {
            return;
        }
        self.newest_plugin = newest;
        if let Some(newest) = newest {
            self.shown.selection.select_plugin(newest);
            self.panels.compose.follow_selection();
        }
    }
}
