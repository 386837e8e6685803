//! One file per panel; [`PANELS`] lists them.
//!
//! A panel reads a [`ViewCtx`], keeps what it must remember in its own state, and puts what it
//! wants into [`Actions`].

pub mod compose;
pub mod diff;
pub mod drawer;
pub mod frames;
pub mod inspector;
pub mod metrics;
pub mod plugins;
pub mod policy;
pub mod reload;
pub mod timeline;
pub mod traces;
pub mod welcome;

use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;
use serde::{Deserialize, Serialize};

use super::action::Actions;
use super::state::ViewState;
use crate::workbench::ViewCtx;

pub use drawer::DrawerTab;

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
#[derive(Clone, Copy)]
pub struct Panel {
    /// Which.
    pub id: PanelId,
    /// Its title.
    pub title: &'static str,
    /// Its picture.
    pub icon: MaterialIcon,
    /// Where it lives.
    pub place: Place,
    /// Paints it.
    pub show: fn(&mut egui::Ui, ViewCtx<'_>, &mut ViewState, &mut Actions),
}

impl std::fmt::Debug for Panel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.title)
    }
}

/// All panels.
pub const PANELS: [Panel; 11] = [
    panel(PanelId::Plugins, "Plugins", icon::ICON_EXTENSION, Place::Left, plugins::show),
    panel(PanelId::Traces, "Traces", icon::ICON_DESCRIPTION, Place::Left, traces::show),
    panel(PanelId::Frames, "Frames", icon::ICON_TABLE_ROWS, Place::Centre, frames::show),
    panel(PanelId::Diff, "Diff", icon::ICON_DIFFERENCE, Place::Centre, diff::show),
    panel(PanelId::Metrics, "Metrics", icon::ICON_MONITORING, Place::Centre, metrics::show),
    panel(PanelId::Compose, "Compose", icon::ICON_EDIT, Place::Centre, compose::show),
    panel(PanelId::Policy, "Policy", icon::ICON_SHIELD, Place::Centre, policy::show),
    panel(PanelId::Reload, "Generations", icon::ICON_AUTORENEW, Place::Centre, reload::show),
    panel(PanelId::Inspector, "Inspector", icon::ICON_DATA_OBJECT, Place::Right, inspector::show),
    panel(PanelId::Timeline, "Timeline", icon::ICON_TIMELINE, Place::Bottom, timeline::show),
    panel(PanelId::Drawer, "Drawer", icon::ICON_TERMINAL, Place::Bottom, drawer::show),
];

const fn panel(
    id: PanelId,
    title: &'static str,
    icon: MaterialIcon,
    place: Place,
    show: fn(&mut egui::Ui, ViewCtx<'_>, &mut ViewState, &mut Actions),
) -> Panel {
    Panel { id, title, icon, place, show }
}

impl PanelId {
    /// Its line in [`PANELS`].
    pub fn panel(self) -> &'static Panel {
        PANELS.iter().find(|panel| panel.id == self).unwrap_or(&PANELS[0])
    }
}

impl std::str::FromStr for PanelId {
    type Err = String;

    fn from_str(text: &str) -> Result<PanelId, String> {
        let centre = || PANELS.iter().filter(|panel| panel.place == Place::Centre);
        let named = |panel: &&Panel| panel.title.eq_ignore_ascii_case(text);
        centre().find(named).map(|panel| panel.id).ok_or_else(|| {
            let names: Vec<_> = centre().map(|panel| panel.title.to_lowercase()).collect();
            format!("`{text}` is not a panel; write {}", names.join(", "))
        })
    }
}
