//! The session, which the window keeps until the next time: a versioned file, written atomically,
//! the one before kept beside it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use glovebox_files::{MAX_TEXT, Output, private_folder, read, read_to_string};
use serde::{Deserialize, Serialize, Serializer};

use super::ids::PanelId;
use super::theme::Theme;

/// The layout of the file; a file of another version is left alone and not read.
const VERSION: u32 = 1;
/// Files that are remembered.
const RECENT: usize = 12;

/// The kept state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Session {
    version: u32,
    /// Colours.
    pub theme: Theme,
    /// Points per point; 1 is the original size.
    pub zoom: f32,
    /// The open parts, and their sizes.
    pub layout: Layout,
    /// How the centre is split.
    pub centre: Option<egui_tiles::Tree<PanelId>>,
    /// Files that were opened, the last one first.
    #[serde(serialize_with = "paths_as_text")]
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
        let text = read_to_string(path, MAX_TEXT).unwrap_or_default();
        let session: Option<Session> = serde_json::from_str(&text).ok();
        session.filter(|session| session.version == VERSION).unwrap_or_default()
    }

    /// Writes the file: first beside it, then in its place; the one before stays as `.old`.
    ///
    /// # Errors
    ///
    /// If the folder or the file cannot be written; the file that is there is untouched then.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        private_folder(path.parent().context("the session file has no folder")?)?;
        let mut file = Output::create(path, true, &[])?;
        serde_json::to_writer_pretty(&mut file, self)?;
        if let Ok(before) = read(path, MAX_TEXT) {
            glovebox_files::write(&path.with_extension("json.old"), &before, true, &[])?;
        }
        Ok(file.finish()?)
    }
}

/// Leaves out names that are no UTF-8: JSON cannot hold them, and others would open other files.
fn paths_as_text<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().filter_map(|path| path.to_str()))
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
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            let name = std::ffi::OsStr::from_bytes(b"caf\xe9").into();
            let mut with_another = session.clone();
            with_another.remember(name);
            with_another.write(&path).unwrap();
            assert_eq!(Session::read(&path), session);
        }
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
