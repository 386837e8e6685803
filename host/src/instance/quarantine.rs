//! Frames that crashed a process twice, on disk, so that somebody can find out why.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use glovebox_abi::Frame;
use glovebox_files::private_folder;

/// The most that is kept; what is older goes first.
const MAX_FRAMES: usize = 256;
const MAX_BYTES: u64 = 256 << 20;

/// The ends of the names of a frame, and of what is known about it.
const FRAME: &str = "frame";
const ABOUT: &str = "toml";

/// A folder of such frames.
pub(crate) struct Quarantine {
    folder: PathBuf,
}

/// The facts about such a frame.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(super) struct Offence<'a> {
    pub(super) plugin: &'a str,
    pub(super) version: String,
    pub(super) digest: &'a str,
    pub(super) artifact: Option<&'a Path>,
    pub(super) generation: u32,
    /// How both processes ended.
    pub(super) causes: [String; 2],
    /// When, in nanoseconds since the Unix epoch.
    pub(super) at: u64,
}

/// A frame that was kept.
#[derive(Debug)]
pub(super) struct Kept {
    /// Sends the frame again.
    pub(super) command: String,
    /// Older ones that had to go.
    pub(super) removed: usize,
}

impl Quarantine {
    /// The folder is made when there is a frame to keep.
    pub(crate) fn new(folder: PathBuf) -> Quarantine {
        Quarantine { folder }
    }

    /// Keeps a frame, and what is known about it. The same frame is kept once.
    pub(super) fn keep(&self, frame: &Frame, offence: &Offence<'_>) -> io::Result<Kept> {
        private_folder(&self.folder)?;
        let bytes = frame.to_bytes();
        let digest = blake3::hash(&bytes).to_hex();
        let name = format!("{}-{}", offence.plugin, &digest[..16]);
        let path = self.folder.join(format!("{name}.{FRAME}"));
        let artifact = offence.artifact.unwrap_or(Path::new("PLUGIN"));
        let command = format!("glovebox call {} --frame {}", word(artifact), word(&path));
        let mut about = toml::Table::try_from(offence).map_err(io::Error::other)?;
        about.insert("command".to_owned(), command.clone().into());
        self.write(&path, &bytes)?;
        self.write(&path.with_extension(ABOUT), about.to_string().as_bytes())?;
        // The frame is kept, whatever becomes of older ones.
        let removed = self.make_room(&path).unwrap_or_else(|error| {
            tracing::warn!(%error, folder = %self.folder.display(), "older frames are not removed");
            0
        });
        Ok(Kept { command, removed })
    }

    /// Writes a file as a whole, or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".").tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes the oldest frames beyond what is kept, but not `newest`.
    fn make_room(&self, newest: &Path) -> io::Result<usize> {
        let mut frames: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            // Another process may have removed it.
            let Ok((path, about)) = entry.and_then(|it| Ok((it.path(), it.metadata()?))) else {
                continue;
            };
            if path.extension().is_some_and(|end| end == FRAME) {
                frames.push((about.modified()?, about.len(), path));
            }
        }
        frames.sort();
        let mut left = frames.len();
        let mut bytes: u64 = frames.iter().map(|(_, length, _)| length).sum();
        let mut removed = 0;
        for (_, length, path) in frames.iter().filter(|(_, _, path)| path != newest) {
            if left <= MAX_FRAMES && bytes <= MAX_BYTES {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // One that was never written, or is gone.
            let _ = fs::remove_file(path.with_extension(ABOUT));
            left -= 1;
            bytes -= length;
            removed += 1;
        }
        Ok(removed)
    }
}

/// A path as a shell takes it.
fn word(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@%,:=".contains(letter);
    match !path.is_empty() && path.chars().all(is_plain) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offence<'a>(artifact: Option<&'a Path>) -> Offence<'a> {
        let causes = ["signal 11".to_owned(), "signal 6".to_owned()];
        let version = "1.0.0".to_owned();
        Offence { plugin: "a", version, digest: "00", artifact, generation: 2, causes, at: 5 }
    }

    fn frames(folder: &Path) -> Vec<PathBuf> {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|end| end == FRAME)).collect()
    }

    #[test]
    fn a_frame_can_be_read_again_and_is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path().join("kept"));
        let frame = Frame::data("poison");
        let kept = quarantine.keep(&frame, &offence(Some(Path::new("/a b.so")))).unwrap();
        let again = quarantine.keep(&frame, &offence(None)).unwrap();
        assert_eq!(again.removed, 0);
        let [path] = &frames(&folder.path().join("kept"))[..] else { panic!("kept once") };
        let bytes = fs::read(path).unwrap();
        assert_eq!(Frame::decode(&bytes.into()).unwrap(), frame);
        let begins = "glovebox call '/a b.so' --frame ";
        assert!(kept.command.starts_with(begins), "{}", kept.command);
        let about: toml::Table =
            fs::read_to_string(path.with_extension(ABOUT)).unwrap().parse().unwrap();
        assert_eq!(about["causes"][1].as_str(), Some("signal 6"));
        assert_eq!(about["command"].as_str(), Some(&*again.command));
    }

    #[test]
    fn the_oldest_frames_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path().to_owned());
        let keep = |number: usize| {
            let frame = Frame::data(format!("frame {number}"));
            quarantine.keep(&frame, &offence(None)).unwrap()
        };
        keep(0);
        let first = frames(folder.path()).remove(0);
        let long_ago = SystemTime::UNIX_EPOCH;
        fs::File::open(&first).unwrap().set_modified(long_ago).unwrap();
        let removed: usize = (1..MAX_FRAMES).map(|number| keep(number).removed).sum();
        assert_eq!(removed, 0);
        assert_eq!(keep(MAX_FRAMES).removed, 1);
        assert!(!first.exists() && !first.with_extension(ABOUT).exists());
        assert_eq!(frames(folder.path()).len(), MAX_FRAMES);
    }
}
