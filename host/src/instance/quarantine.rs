//! Frames that crashed a process twice, on disk, so that somebody can find out why.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use glovebox_abi::Frame;
use glovebox_abi::text::shell_word;
use glovebox_files::private_folder;

/// The most that is kept. The artifact that has the most makes room, so that none pushes out what is of
/// others. Its first frame, which tells how it began, and its newest stay.
const MAX_FRAMES: usize = 256;
const MAX_BYTES: u64 = 256 << 20;

/// The most that is kept of one artifact.
const SHARE_FRAMES: usize = 64;
const SHARE_BYTES: u64 = 64 << 20;

/// The ends of the names of a frame, and of what is known about it.
const FRAME: &str = "frame";
const ABOUT: &str = "toml";
/// The end of the name of the configuration with which it was loaded, if that is another one than the
/// manifest's.
const CONFIGURATION: &str = "json";
/// The end of the name of a failure bundle, which applications may put beside it, or alone.
const BUNDLE: &str = "mcap";

/// The name of a file that is being written begins with this.
const UNFINISHED: &str = ".unfinished-";
/// A writer that takes longer was killed.
const STALE: Duration = Duration::from_secs(3600);

/// A folder of such frames.
pub(crate) struct Quarantine {
    folder: PathBuf,
    surroundings: Surroundings,
}

/// The surroundings of a host, as a command has them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Options of `glovebox call`.
    pub(crate) options: Vec<String>,
    /// The folder in which it is run, if that matters.
    pub(crate) folder: Option<PathBuf>,
}

/// The way in which a plugin was loaded, with what it was allowed since.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Options of `glovebox call`.
    pub(super) options: Vec<String>,
    pub(super) configuration: Option<serde_json::Value>,
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
    pub(crate) fn new(folder: PathBuf, surroundings: Surroundings) -> Quarantine {
        Quarantine { folder, surroundings }
    }

    /// Keeps a frame, and what is known about it. The same frame is kept once.
    pub(super) fn keep(
        &self,
        frame: &Frame,
        offence: &Offence<'_>,
        loaded: &Loaded,
    ) -> io::Result<Kept> {
        private_folder(&self.folder)?;
        let bytes = frame.to_bytes();
        let digest = blake3::hash(&bytes).to_hex();
        let artifact = &offence.digest[..offence.digest.len().min(8)];
        let name = format!("{}-{artifact}-{}", offence.plugin, &digest[..16]);
        let path = self.folder.join(format!("{name}.{FRAME}"));
        let word = |path: &Path| shell_word(&absolute(path).display().to_string()).into_owned();
        // One from memory has no path; whoever has the plugin puts it there.
        let artifact = offence.artifact.map_or_else(|| "PLUGIN".to_owned(), word);
        let mut command = format!("glovebox call {artifact} --frame {}", word(&path));
        // It may hold secrets, which are nothing for a command that is shown.
        let file = path.with_extension(CONFIGURATION);
        if loaded.configuration.is_some() {
            let argument = format!("@{}", absolute(&file).display());
            command.push_str(&format!(" --config {}", shell_word(&argument)));
        }
        let Surroundings { options, folder } = &self.surroundings;
        for option in loaded.options.iter().chain(options) {
            command.push_str(&format!(" {}", shell_word(option)));
        }
        if let Some(folder) = folder {
            command = format!("cd {} && {command}", word(folder));
        }
        let mut about = toml::Table::try_from(offence).map_err(io::Error::other)?;
        about.insert("command".to_owned(), command.clone().into());
        // The frame comes first: only with it does the rest make room one day.
        self.write(&path, &bytes)?;
        if let Some(configuration) = &loaded.configuration {
            self.write(&file, configuration.to_string().as_bytes())?;
        }
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
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes what is beyond the most that is kept, but not `newest`, and what killed writers left.
    fn make_room(&self, newest: &Path) -> io::Result<usize> {
        let mut shares = self.shares(newest)?;
        let own = share_of(newest);
        let mut removed = 0;
        while let Some(stem) = beyond(&mut shares, &own) {
            // The frame goes last: what cannot be removed is tried again as long as it is there.
            for end in [CONFIGURATION, ABOUT, BUNDLE, FRAME] {
                match fs::remove_file(stem.with_extension(end)) {
                    // It was never written, or another process removed it.
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            removed += 1;
        }
        Ok(removed)
    }

    /// The items of each artifact, the oldest first; `newest` is the last of its own.
    fn shares(&self, newest: &Path) -> io::Result<BTreeMap<String, Vec<Item>>> {
        let mut items: BTreeMap<PathBuf, Item> = BTreeMap::new();
        let mut beside: BTreeMap<PathBuf, u64> = BTreeMap::new();
        for entry in fs::read_dir(&self.folder)? {
            // Another process may have removed it.
            let Ok((path, about)) = entry.and_then(|it| Ok((it.path(), it.metadata()?))) else {
                continue;
            };
            let stem = path.with_extension("");
            if path.extension().is_some_and(|end| end == ABOUT || end == CONFIGURATION) {
                *beside.entry(stem).or_default() += about.len();
                continue;
            }
            if path.extension().is_none_or(|end| end != FRAME && end != BUNDLE) {
                let name = entry_name(&path);
                let is_old =
                    || about.modified().is_ok_and(|at| at.elapsed().is_ok_and(|it| it > STALE));
                if name.starts_with(UNFINISHED) && is_old() {
                    // If it cannot be removed, it is tried again with the next frame.
                    let _ = fs::remove_file(path);
                }
                continue;
            }
            let since = about.modified()?;
            let item = items.entry(stem.clone()).or_insert(Item { since, bytes: 0, stem });
            // The bundle is written after the frame.
            item.since = item.since.min(since);
            item.bytes += about.len();
        }
        for (stem, bytes) in beside {
            if let Some(item) = items.get_mut(&stem) {
                item.bytes += bytes;
            }
        }
        let newest = newest.with_extension("");
        let mut items: Vec<Item> = items.into_values().collect();
        // Clocks of file systems are coarse.
        items.sort_by_key(|item| (item.stem == newest, item.since));
        let mut shares: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        for item in items {
            shares.entry(share_of(&item.stem)).or_default().push(item);
        }
        Ok(shares)
    }
}

fn entry_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A frame with what is known about it, or a failure bundle alone.
struct Item {
    since: SystemTime,
    /// Those of all its files.
    bytes: u64,
    /// The path without the end of the name.
    stem: PathBuf,
}

/// Takes out the item that goes next, if there are too many or they are too large.
fn beyond(shares: &mut BTreeMap<String, Vec<Item>>, own: &str) -> Option<PathBuf> {
    let bytes = |share: &Vec<Item>| share.iter().map(|item| item.bytes).sum::<u64>();
    let has_middle = |share: &&mut Vec<Item>| share.len() > 2;
    let (frames, all_bytes) = shares
        .values()
        .fold((0, 0), |(frames, all), share| (frames + share.len(), all + bytes(share)));
    if let Some(share) = shares.get_mut(own).filter(has_middle)
        && (share.len() > SHARE_FRAMES || bytes(share) > SHARE_BYTES)
    {
        return Some(share.remove(1).stem);
    }
    if frames <= MAX_FRAMES && all_bytes <= MAX_BYTES {
        return None;
    }
    let size = |share: &&mut Vec<Item>| match frames > MAX_FRAMES {
        true => share.len() as u64,
        false => bytes(share),
    };
    if let Some(share) = shares.values_mut().filter(has_middle).max_by_key(size) {
        return Some(share.remove(1).stem);
    }
    // Each has its first and its newest alone: the one that crashed least lately gives way.
    let others = shares.iter().filter(|(name, _)| *name != own);
    let oldest = others.min_by_key(|(_, share)| share.last().map(|item| item.since));
    let oldest = oldest.map(|(name, _)| name.clone())?;
    let share = shares.get_mut(&oldest)?;
    let gone = share.remove(0);
    if share.is_empty() {
        shares.remove(&oldest);
    }
    Some(gone.stem)
}

/// The plugin and the artifact that a frame crashed, by the name of its file.
fn share_of(path: &Path) -> String {
    let name = path.with_extension("");
    let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.rsplit_once('-').map_or_else(String::new, |(share, _)| share.to_owned())
}

/// The path from whatever folder the command is run in; one that cannot be made so stays as it is.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
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
        let quarantine = Quarantine::new(folder.path().join("kept"), Surroundings::default());
        let frame = Frame::data("poison");
        let kept = quarantine
            .keep(&frame, &offence(Some(Path::new("/a b.so"))), &Loaded::default())
            .unwrap();
        let again = quarantine.keep(&frame, &offence(None), &Loaded::default()).unwrap();
        assert_eq!(again.removed, 0);
        let [path] = &frames(&folder.path().join("kept"))[..] else { panic!("kept once") };
        let bytes = fs::read(path).unwrap();
        assert_eq!(Frame::decode(&bytes.into()).unwrap(), frame);
        let begins = "glovebox call '/a b.so' --frame ";
        assert!(kept.command.starts_with(begins), "{}", kept.command);
        let relative = quarantine
            .keep(&frame, &offence(Some(Path::new("it's/a.so"))), &Loaded::default())
            .unwrap();
        let from_here = std::env::current_dir().unwrap().join("it's/a.so").display().to_string();
        let begins = format!("glovebox call '{}' --frame /", from_here.replace('\'', r"'\''"));
        assert!(relative.command.starts_with(&begins), "{}", relative.command);
        let about: toml::Table =
            fs::read_to_string(path.with_extension(ABOUT)).unwrap().parse().unwrap();
        assert_eq!(about["causes"][1].as_str(), Some("signal 6"));
        assert_eq!(about["command"].as_str(), Some(&*relative.command));
    }

    #[test]
    fn what_killed_writers_left_goes_and_what_is_under_way_stays() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path().to_owned(), Surroundings::default());
        let old = SystemTime::now() - 2 * STALE;
        let (killed, busy) = (format!("{UNFINISHED}old"), format!("{UNFINISHED}new"));
        for name in [&*killed, &*busy, "other"] {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            if name != busy {
                file.set_modified(old).unwrap();
            }
        }
        quarantine.keep(&Frame::data("poison"), &offence(None), &Loaded::default()).unwrap();
        let is_there = |name: &str| folder.path().join(name).exists();
        assert!(!is_there(&killed) && is_there(&busy) && is_there("other"));
    }

    #[test]
    fn the_command_has_all_that_the_plugin_was_loaded_with() {
        let folder = tempfile::tempdir().unwrap();
        let surroundings = Surroundings {
            options: vec!["--mock".to_owned(), "/a mock.toml".to_owned()],
            folder: Some("/work".into()),
        };
        let quarantine = Quarantine::new(folder.path().to_owned(), surroundings);
        let loaded = Loaded {
            options: vec!["--seed".to_owned(), "7".to_owned()],
            configuration: Some(serde_json::json!({ "key": "secret" })),
        };
        let about = offence(Some(Path::new("/a.so")));
        let kept = quarantine.keep(&Frame::data("x"), &about, &loaded).unwrap();
        let file = kept.path.with_extension(CONFIGURATION);
        let expected = format!(
            "cd /work && glovebox call /a.so --frame {} --config @{} --seed 7 --mock '/a mock.toml'",
            kept.path.display(),
            file.display()
        );
        assert_eq!(kept.command, expected);
        assert_eq!(fs::read_to_string(file).unwrap(), r#"{"key":"secret"}"#);
    }

    #[test]
    fn all_files_of_a_frame_count_and_none_is_there_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path().to_owned(), Surroundings::default());
        let loaded = Loaded {
            options: Vec::new(),
            configuration: Some(serde_json::json!({ "key": "secret" })),
        };
        let keep =
            |words: &'static str| quarantine.keep(&Frame::data(words), &offence(None), &loaded);
        let path = keep("poison").unwrap().path;
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
        let sizes: Vec<u64> = files.map(|file| file.metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 3, "the frame, what is known, and the configuration");
        // Nothing of another name is part of one.
        fs::write(folder.path().join("other.json"), "{}").unwrap();
        let shares = quarantine.shares(&path).unwrap();
        let items: Vec<&Item> = shares.values().flatten().collect();
        let [item] = items[..] else { panic!("one frame") };
        assert_eq!(item.bytes, sizes.iter().sum::<u64>());
        // A frame that cannot be written leaves nothing.
        fs::remove_file(&path).unwrap();
        fs::remove_file(path.with_extension(CONFIGURATION)).unwrap();
        fs::create_dir(&path).unwrap();
        keep("poison").unwrap_err();
        assert!(!path.with_extension(CONFIGURATION).exists());
    }

    #[test]
    fn the_first_and_the_newest_frames_stay_and_those_of_others_do() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path().to_owned(), Surroundings::default());
        let keep = |digest: &str, number: usize| {
            let frame = Frame::data(format!("frame {number}"));
            let offence = Offence { digest, ..offence(None) };
            quarantine.keep(&frame, &offence, &Loaded::default()).unwrap()
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
        fs::write(first.with_extension(BUNDLE), "what is known").unwrap();
        let second = keep("00", 1).path;
        let file = fs::File::open(&second).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
        let newest = keep("00", SHARE_FRAMES);
        assert_eq!(newest.removed, 1);
        assert!(!second.exists() && !second.with_extension(ABOUT).exists());
        assert!(first.exists() && first.with_extension(BUNDLE).exists() && newest.path.exists());
        // However many there are of one artifact, those of another stay.
        assert!(other.exists() && other.with_extension(ABOUT).exists());
        assert_eq!(frames(folder.path()).len(), SHARE_FRAMES + 1);
        // Many artifacts share what there is.
        for artifact in 0..8 {
            (0..SHARE_FRAMES).for_each(|number| drop(keep(&format!("2{artifact}"), number)));
        }
        assert_eq!(frames(folder.path()).len(), MAX_FRAMES);
        assert!(other.exists(), "the artifact with the most frames gives way");
        // Of more artifacts than there is room for two frames of, those that crashed last stay.
        let mut last = None;
        for number in 0..MAX_FRAMES {
            last = Some(keep(&format!("{number:08x}"), 0).path);
        }
        assert!(frames(folder.path()).len() <= MAX_FRAMES);
        assert!(last.unwrap().exists() && !other.exists());
    }
}
