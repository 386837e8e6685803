//! Frames that crashed a process twice, on disk, so that somebody can find out why.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use glovebox_abi::Frame;
use glovebox_files::private_folder;

/// The most that is kept; of the artifact that has the most frames, the oldest goes first, so that none
/// pushes out those of others.
const MAX_FRAMES: usize = 256;
const MAX_BYTES: u64 = 256 << 20;

/// The most that is kept of one artifact.
const SHARE_FRAMES: usize = 64;
const SHARE_BYTES: u64 = 64 << 20;

/// The ends of the names of a frame, and of what is known about it.
const FRAME: &str = "frame";
const ABOUT: &str = "toml";
/// The end of the name of a failure bundle about it, which applications may put beside it.
const BUNDLE: &str = "mcap";

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
    /// The file that holds it.
    pub(super) path: PathBuf,
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
        let artifact = &offence.digest[..offence.digest.len().min(8)];
        let name = format!("{}-{artifact}-{}", offence.plugin, &digest[..16]);
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
        Ok(Kept { path, command, removed })
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
        // All frames of one artifact, the oldest first.
        let mut shares: BTreeMap<String, VecDeque<(u64, PathBuf)>> = BTreeMap::new();
        for (_, length, path) in frames {
            shares.entry(share_of(&path)).or_default().push_back((length, path));
        }
        let bytes = |share: &VecDeque<(u64, PathBuf)>| share.iter().map(|(length, _)| length).sum();
        let own = share_of(newest);
        let mut removed = 0;
        loop {
            let all: usize = shares.values().map(VecDeque::len).sum();
            let all_bytes: u64 = shares.values().map(bytes).sum();
            let own_share = shares.get(&own).map_or((0, 0), |share| (share.len(), bytes(share)));
            let name = if own_share.0 > SHARE_FRAMES || own_share.1 > SHARE_BYTES {
                own.clone()
            } else if all > MAX_FRAMES {
                let most = shares.iter().max_by_key(|(_, share)| share.len());
                most.map(|(name, _)| name.clone()).unwrap_or_default()
            } else if all_bytes > MAX_BYTES {
                let most = shares.iter().max_by_key(|(_, share)| bytes(share));
                most.map(|(name, _)| name.clone()).unwrap_or_default()
            } else {
                break;
            };
            let oldest = shares.get_mut(&name).and_then(VecDeque::pop_front);
            // The newest one stays, however large it is.
            let Some((_, path)) = oldest.filter(|(_, path)| path != newest) else { break };
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // They were never written, or are gone.
            for end in [ABOUT, BUNDLE] {
                let _ = fs::remove_file(path.with_extension(end));
            }
            removed += 1;
        }
        Ok(removed)
    }
}

/// The plugin and the artifact that a frame crashed, by the name of its file.
fn share_of(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    name.rsplit_once('-').map_or_else(String::new, |(share, _)| share.to_owned())
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
    fn the_oldest_frames_go_first_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path().to_owned());
        let keep = |digest: &str, number: usize| {
            let frame = Frame::data(format!("frame {number}"));
            quarantine.keep(&frame, &Offence { digest, ..offence(None) }).unwrap()
        };
        let long_ago = |path: &Path| {
            let file = fs::File::open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        let other = keep("11", 0).path;
        long_ago(&other);
        let first = keep("00", 0).path;
        long_ago(&first);
        let removed: usize = (1..SHARE_FRAMES).map(|number| keep("00", number).removed).sum();
        assert_eq!(removed, 0);
        assert_eq!(keep("00", SHARE_FRAMES).removed, 1);
        assert!(!first.exists() && !first.with_extension(ABOUT).exists());
        // However many there are of one artifact, those of another stay.
        assert!(other.exists() && other.with_extension(ABOUT).exists());
        assert_eq!(frames(folder.path()).len(), SHARE_FRAMES + 1);
        // Many artifacts share what there is.
        for artifact in 0..8 {
            (0..SHARE_FRAMES).for_each(|number| drop(keep(&format!("2{artifact}"), number)));
        }
        assert_eq!(frames(folder.path()).len(), MAX_FRAMES);
        assert!(other.exists(), "the artifact with the most frames gives way");
    }
}
