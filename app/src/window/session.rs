//! What the window keeps until the next time: a versioned file, written atomically, the one
//! before kept beside it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::panels::PanelId;
use super::theme::Theme;

/// The layout of the file; a file of another version is left alone and not read.
const VERSION: u32 = 1;
/// Files that are remembered.
const RECENT: usize = 12;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Session {
    version: u32,
    /// Colours.
    pub theme: Theme,
    /// Points per point; 1 is the original size.
    pub zoom: f32,
    /// What is open, and how large.
    pub layout: Layout,
    /// How the centre is split.
    pub centre: Option<egui_tiles::Tree<PanelId>>,
    /// Files that were opened, the last one first.
    pub recent: Vec<PathBuf>,
    /// How severe findings are, as settings such as `slow-frame=error`; of other rules as they say.
    pub severities: Vec<String>,
    /// How often recordings keep the states of plugins, e.g. `1000 inputs`; empty for never.
    pub snapshots: String,
}

impl Default for Session {
    fn default() -> Self {
        Session {
            version: VERSION,
            theme: Theme::default(),
            zoom: 1.0,
            layout: Layout::default(),
            centre: None,
            recent: Vec::new(),
            severities: Vec::new(),
            snapshots: String::new(),
        }
    }
}

/// Which sides are open, and their sizes in points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Layout {
    pub left: bool,
    pub right: bool,
    pub timeline: bool,
    pub drawer: bool,
    pub left_size: Option<f32>,
    pub right_size: Option<f32>,
    pub timeline_size: Option<f32>,
    pub drawer_size: Option<f32>,
}

impl Default for Layout {
    fn default() -> Self {
        Layout {
            left: true,
            right: true,
            timeline: true,
            drawer: true,
            left_size: None,
            right_size: None,
            timeline_size: None,
            drawer_size: None,
        }
    }
}

impl Session {
    /// Puts a file at the front of those that were opened.
    pub fn remember(&mut self, path: PathBuf) {
        self.recent.retain(|known| *known != path);
        self.recent.insert(0, path);
        self.recent.truncate(RECENT);
    }

    /// Reads the file; what cannot be read counts as a first start.
    pub fn read(path: &Path) -> Session {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let session: Option<Session> = serde_json::from_str(&text).ok();
        session.filter(|session| session.version == VERSION).unwrap_or_default()
    }

    /// Writes the file: first beside it, then in its place; the one before stays as `.old`.
    ///
    /// # Errors
    ///
    /// If the folder or the file cannot be written; the file that is there is untouched then.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().context("the session file has no folder")?;
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.flush()?;
        file.as_file().sync_all()?;
        if path.exists() {
            std::fs::copy(path, path.with_extension("json.old"))?;
        }
        file.persist(path)?;
        Ok(())
    }
}

/// Where the session file is on this machine.
pub fn default_path() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "glovebox")?;
    Some(folders.config_dir().join("session.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_survive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/session.json");
        assert_eq!(Session::read(&path), Session::default());
        let mut session = Session::default();
        session.remember("a".into());
        session.remember("b".into());
        session.remember("a".into());
        session.theme = Theme::Light;
        session.severities.push("slow-frame=off".to_owned());
        session.write(&path).unwrap();
        session.zoom = 2.0;
        session.write(&path).unwrap();
        assert_eq!(Session::read(&path), session);
        assert_eq!(session.recent, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(Session::read(&path.with_extension("json.old")).zoom, 1.0);
        std::fs::write(&path, "{\"version\": 99, \"zoom\": 3.0}").unwrap();
        assert_eq!(Session::read(&path), Session::default());
    }
}
