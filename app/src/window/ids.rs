//! Names of panels and of lists, for commands, keys, the session and the shell. Nothing here
//! paints: each panel has its own file.

use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;
use serde::{Deserialize, Serialize};

/// Names a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PanelId {
    Plugins,
    Traces,
    Frames,
    Diff,
    Metrics,
    Compose,
    Policy,
    Reload,
    Inspector,
    Timeline,
    Drawer,
}

/// Where a panel lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the left side.
    Left,
    /// A tab in the centre.
    Centre,
    /// On the right side.
    Right,
    /// Below the centre.
    Bottom,
}

/// One line of the list of panels.
#[derive(Debug, Clone, Copy)]
pub struct PanelLine {
    /// Its id.
    pub id: PanelId,
    /// Its title.
    pub title: &'static str,
    /// Its picture.
    pub icon: MaterialIcon,
    /// Its place.
    pub place: Place,
}

/// All panels.
pub const PANELS: [PanelLine; 11] = [
    panel(PanelId::Plugins, "Plugins", icon::ICON_EXTENSION, Place::Left),
    panel(PanelId::Traces, "Traces", icon::ICON_DESCRIPTION, Place::Left),
    panel(PanelId::Frames, "Frames", icon::ICON_TABLE_ROWS, Place::Centre),
    panel(PanelId::Diff, "Diff", icon::ICON_DIFFERENCE, Place::Centre),
    panel(PanelId::Metrics, "Metrics", icon::ICON_MONITORING, Place::Centre),
    panel(PanelId::Compose, "Compose", icon::ICON_EDIT, Place::Centre),
    panel(PanelId::Policy, "Policy", icon::ICON_SHIELD, Place::Centre),
    panel(PanelId::Reload, "Generations", icon::ICON_AUTORENEW, Place::Centre),
    panel(PanelId::Inspector, "Inspector", icon::ICON_DATA_OBJECT, Place::Right),
    panel(PanelId::Timeline, "Timeline", icon::ICON_TIMELINE, Place::Bottom),
    panel(PanelId::Drawer, "Drawer", icon::ICON_TERMINAL, Place::Bottom),
];

const fn panel(id: PanelId, title: &'static str, icon: MaterialIcon, place: Place) -> PanelLine {
    PanelLine { id, title, icon, place }
}

impl PanelId {
    /// Its line in [`PANELS`].
    pub fn line(self) -> &'static PanelLine {
        PANELS.iter().find(|panel| panel.id == self).unwrap_or(&PANELS[0])
    }

    /// Its title.
    pub fn title(self) -> &'static str {
        self.line().title
    }

    /// Those that are tabs of the centre.
    pub fn in_centre() -> impl Iterator<Item = PanelId> {
        PANELS.iter().filter(|panel| panel.place == Place::Centre).map(|panel| panel.id)
    }
}

impl std::str::FromStr for PanelId {
    type Err = String;

    fn from_str(text: &str) -> Result<PanelId, String> {
        let named = |id: &PanelId| id.title().eq_ignore_ascii_case(text);
        PanelId::in_centre().find(named).ok_or_else(|| {
            let names: Vec<_> = PanelId::in_centre().map(|id| id.title().to_lowercase()).collect();
            format!("`{text}` is not a panel; write {}", names.join(", "))
        })
    }
}

/// The lists of the drawer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrawerTab {
    /// Lines that plugins wrote.
    #[default]
    Log,
    /// Errors and findings.
    Problems,
    /// Host calls that were denied.
    Denied,
    /// Every reload.
    Reloads,
}
