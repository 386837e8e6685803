//! Granted folders. Each is opened once, when the grant is made, and its handle is held as long as
//! the grant lasts: no later change of its path leads anywhere else.

use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_primitives::ambient_authority;
use cap_primitives::fs::{open_ambient_dir, open_dir_nofollow};
use glovebox_abi::manifest::{Access, Folder, Scope};

/// One folder, open.
#[derive(Debug, Clone)]
pub(crate) struct GrantedFolder {
    /// The path as a manifest or a policy writes it, with the folder that it starts at. Grants that
    /// are made again keep the handle of a folder that was asked for by the same path.
    asked: PathBuf,
    /// Where the folder lay when the grant was made, without links.
    path: PathBuf,
    /// The name that the plugin uses for it.
    pub(crate) at: String,
    pub(crate) writable: bool,
    dir: Arc<File>,
}

impl GrantedFolder {
    /// A handle of its own to the folder.
    pub(crate) fn handle(&self) -> io::Result<File> {
        self.dir.try_clone()
    }

    /// Where it lies now, without links, as far as that can be told.
    #[cfg(target_os = "linux")]
    pub(crate) fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        let now = std::fs::read_link(format!("/proc/self/fd/{}", self.dir.as_raw_fd()));
        now.unwrap_or_else(|_| self.path.clone())
    }

    /// True if `path` is this folder, under whatever name.
    fn is(&self, path: &Path) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let same = |one: std::fs::Metadata, other: std::fs::Metadata| {
                (one.dev(), one.ino()) == (other.dev(), other.ino())
            };
            let (known, other) = (self.dir.metadata(), std::fs::metadata(path));
            known.is_ok_and(|known| other.is_ok_and(|other| same(known, other)))
        }
        #[cfg(not(unix))]
        {
            path.canonicalize().is_ok_and(|path| path == self.path)
        }
    }
}

/// The same folder through the same handle, for the same use.
impl PartialEq for GrantedFolder {
    fn eq(&self, other: &GrantedFolder) -> bool {
        (&self.asked, &self.at, self.writable) == (&other.asked, &other.at, other.writable)
            && Arc::ptr_eq(&self.dir, &other.dir)
    }
}

/// The folders of one set of grants.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Folders {
    pub(super) open: Vec<GrantedFolder>,
    /// The problem of the first folder that cannot be had, in words.
    pub(super) problem: Option<String>,
}

/// Where the paths of folders start.
pub(super) struct Origin<'a> {
    /// The folder of the manifest.
    pub(super) base: Option<&'a Path>,
    /// True if the first scope is the manifest's; all others are those of people.
    pub(super) asked: bool,
}

impl Folders {
    /// Opens the folders that all scopes admit: a folder is admitted by the same folder and by those
    /// around it, and the weaker access counts. Of what is in `held` already, the handle is kept.
    pub(super) fn open(scopes: &[Scope], origin: &Origin<'_>, held: &[GrantedFolder]) -> Folders {
        let lists = scopes.iter().enumerate().filter_map(|(place, scope)| {
            let theirs = origin.asked && place == 0;
            let base = origin.base.filter(|_| theirs);
            let wanted = |folder| Wanted::of(folder, base, held);
            Some(scope.folders.only.as_ref()?.iter().map(wanted).collect::<Vec<_>>())
        });
        let wanted = lists.reduce(|wanted, list| {
            let pairs = wanted.iter().flat_map(|one| list.iter().map(move |other| (one, other)));
            pairs.filter_map(|(one, other)| one.within(other)).collect()
        });
        let mut folders = Folders::default();
        let wanted = wanted.unwrap_or_default();
        // A folder around another one comes first: the inner one is opened from it.
        let mut inwards: Vec<&Wanted> = wanted.iter().collect();
        inwards.sort_by_key(|wanted| wanted.asked.components().count());
        for wanted in inwards {
            match folders.take_in(wanted, held) {
                Ok(()) => {}
                Err(why) if folders.problem.is_none() => folders.problem = Some(why),
                Err(_) => {}
            }
        }
        folders.let_outer_ones_decide();
        // The plugin sees them in the order in which it asked.
        folders.open.sort_by_key(|open| wanted.iter().position(|wanted| wanted.at == open.at));
        folders
    }

    /// Of folders that lie in each other, the outermost one says whether anything may be written: a part
    /// of what may be written can be, under whatever name, and no part of what may not.
    fn let_outer_ones_decide(&mut self) {
        let decided = self.open.iter().map(|open| {
            let around = self.open.iter().filter(|other| open.path.starts_with(&other.path));
            let outermost = around.min_by_key(|outer| outer.path.components().count());
            // The same folder may have several names.
            let it = outermost.map_or(&open.path, |outermost| &outermost.path);
            self.open.iter().any(|other| other.path == *it && other.writable)
        });
        let decided: Vec<bool> = decided.collect();
        self.open.iter_mut().zip(decided).for_each(|(open, writable)| open.writable = writable);
    }

    fn take_in(&mut self, wanted: &Wanted, held: &[GrantedFolder]) -> Result<(), String> {
        let cannot = |why: &dyn std::fmt::Display, path: &Path| {
            let (at, path) = (&wanted.at, path.display());
            format!("the folder `{at}` of the permission `files` cannot be opened: {why}: {path}")
        };
        let path = wanted.path.as_ref().map_err(|why| cannot(why, &wanted.asked))?;
        if let Some(home) = &wanted.home
            && !path.starts_with(home)
        {
            return Err(format!(
                "the folder `{}` of the permission `files` is reached by a link that leads out of \
                 the plugin's folder; grant the folder that it leads to in a policy, or write that \
                 one's path: {}",
                wanted.at,
                path.display()
            ));
        }
        let name = wanted.at.trim_end_matches('/');
        if let Some(same) = self.open.iter_mut().find(|open| open.at.trim_end_matches('/') == name)
        {
            if same.path != *path {
                let both = format!("`{}` is also the name of {}", wanted.at, same.path.display());
                return Err(cannot(&both, path));
            }
            same.writable |= wanted.writable;
            return Ok(());
        }
        let kept = held.iter().find(|held| held.asked == wanted.asked);
        let dir = match kept {
            Some(held) => held.dir.clone(),
            None => {
                let dir = self.find(&wanted.asked, path).map_err(|why| cannot(&why, path))?;
                refuse_the_system(&dir).map_err(|why| cannot(&why, path))?;
                Arc::new(dir)
            }
        };
        self.open.push(GrantedFolder {
            asked: wanted.asked.clone(),
            path: path.clone(),
            at: wanted.at.clone(),
            writable: wanted.writable,
            dir,
        });
        Ok(())
    }

    /// Opens a folder, following no link that the plugin may have made: not below a folder that it
    /// may change.
    fn find(&self, asked: &Path, path: &Path) -> io::Result<File> {
        let changeable = self.open.iter().filter(|outer| outer.writable);
        for outer in changeable {
            // From the outermost, so that as few links as possible are followed.
            let mut around: Vec<&Path> = asked.ancestors().skip(1).collect();
            around.reverse();
            if let Some(way) = around.into_iter().find(|way| outer.is(way))
                && let Ok(rest) = asked.strip_prefix(way)
            {
                return descend(outer.handle()?, rest);
            }
        }
        open_without_links(path)
    }
}

/// Refuses a folder of a file system that the kernel makes up: its files are processes, devices and
/// settings, and `/proc/self` is somebody else in each process.
#[cfg(target_os = "linux")]
fn refuse_the_system(dir: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    /// Of `linux/magic.h`.
    const MADE_UP: [(u32, &str); 9] = [
        (0x9FA0, "proc"),
        (0x6265_6572, "sysfs"),
        (0x1CD1, "devpts"),
        (0x0027_E0EB, "cgroup"),
        (0x6367_7270, "cgroup2"),
        (0x6462_6720, "debugfs"),
        (0x7472_6163, "tracefs"),
        (0x7363_6673, "securityfs"),
        (0xCAFE_4A11, "bpf"),
    ];
    let kind = rustix::fs::fstatfs(dir)?.f_type as u32;
    let found = MADE_UP.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name);
    // Devices lie in an ordinary file system in memory, which is mounted at `/dev`.
    let device = |about: io::Result<std::fs::Metadata>| Some(about.ok()?.dev());
    let of = |path: &str| device(std::fs::metadata(path));
    let devices = || {
        let own = device(dir.metadata());
        (own.is_some() && own == of("/dev") && own != of("/")).then_some("dev")
    };
    match found.or_else(devices) {
        Some(name) => Err(io::Error::other(format!(
            "it is part of the system (`{name}`), and no folder of files; grant a folder on a disk"
        ))),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_the_system(_: &File) -> io::Result<()> {
    Ok(())
}

/// Opens a folder of which the path had no links a moment ago.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_without_links(path: &Path) -> io::Result<File> {
    let root = open_ambient_dir(Path::new("/"), ambient_authority())?;
    descend(root, path.strip_prefix("/").unwrap_or(path))
}

/// The same where a folder on the way may be one that can be passed through, but not be opened.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_without_links(path: &Path) -> io::Result<File> {
    open_ambient_dir(path, ambient_authority())
}

/// Goes down name by name and follows no link.
fn descend(from: File, path: &Path) -> io::Result<File> {
    path.components().try_fold(from, |dir, component| match component {
        Component::CurDir => Ok(dir),
        Component::Normal(name) => open_dir_nofollow(&dir, Path::new(name)).map_err(|error| {
            let is_link = dir_has_link(&dir, Path::new(name));
            let why = "it is a link, and none is followed in a folder that a plugin may change";
            if is_link { io::Error::other(why) } else { error }
        }),
        Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
            Err(io::Error::other("`..` makes no sense here"))
        }
    })
}

fn dir_has_link(dir: &File, name: &Path) -> bool {
    use cap_primitives::fs::{FollowSymlinks, stat};
    stat(dir, name, FollowSymlinks::No).is_ok_and(|found| found.is_symlink())
}

/// A folder that is to be granted.
#[derive(Debug, Clone)]
struct Wanted {
    asked: PathBuf,
    /// Where it is, without links; why it cannot be found otherwise, in words.
    path: Result<PathBuf, String>,
    at: String,
    writable: bool,
    /// Must lie in this folder, as nobody but the plugin's author wrote the path.
    home: Option<PathBuf>,
}

impl Wanted {
    fn of(folder: &Folder, base: Option<&Path>, held: &[GrantedFolder]) -> Wanted {
        let written = Path::new(&folder.path);
        let base = base.map(|base| base.canonicalize().unwrap_or_else(|_| base.to_owned()));
        let asked = base.as_ref().map_or_else(|| written.to_owned(), |base| base.join(written));
        let asked = std::path::absolute(&asked).unwrap_or(asked);
        let known = held.iter().find(|held| held.asked == asked).map(|held| held.path.clone());
        let find = || asked.canonicalize().map_err(|error| error.to_string());
        let path = known.map_or_else(find, Ok);
        let home = base.filter(|_| !written.is_absolute());
        Wanted {
            path,
            at: folder.at.clone(),
            writable: folder.access == Access::ReadWrite,
            home,
            asked,
        }
    }

    /// The folder that both this and `other` admit, under this one's name.
    fn within(&self, other: &Wanted) -> Option<Wanted> {
        let writable = self.writable && other.writable;
        let (path, around) = match (&self.path, &other.path) {
            (Ok(path), Ok(around)) => (path, around),
            // One that is not there is not granted; which of them it is, is said.
            _ => (&self.asked, &other.asked),
        };
        if path.starts_with(around) {
            let path = self.path.clone().and_then(|path| other.path.clone().map(|_| path));
            return Some(Wanted { path, writable, home: None, ..self.clone() });
        }
        let rest = around.strip_prefix(path).ok()?;
        let at = format!("{}/{}", self.at.trim_end_matches('/'), rest.display());
        Some(Wanted { at, writable, home: None, ..other.clone() })
    }
}

#[cfg(test)]
mod tests {
    use glovebox_abi::manifest::Selection;

    use super::*;

    fn scope(folders: &[&str]) -> Scope {
        let folder = |text: &&str| {
            let parts: Vec<&str> = text.split(' ').collect();
            let access = if parts[2] == "rw" { Access::ReadWrite } else { Access::Read };
            Folder { path: parts[0].to_owned(), at: parts[1].to_owned(), access }
        };
        Scope { folders: Selection::only(folders.iter().map(folder).collect()), ..Scope::default() }
    }

    /// `path at access` of all that is open, with paths below `root`.
    fn shown(folders: &Folders, root: &Path) -> Vec<String> {
        let show = |folder: &GrantedFolder| {
            let path = folder.path.strip_prefix(root).unwrap_or(&folder.path).display();
            format!("{path} {} {}", folder.at, if folder.writable { "rw" } else { "r" })
        };
        folders.open.iter().map(show).collect()
    }

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["data/a/b", "data-b", "other", "plugin/own/deep"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        (folder, root)
    }

    #[test]
    fn folders_intersect() {
        /// `path at access` of what is asked for, of what is granted, and of what comes out.
        #[track_caller]
        fn check(asked: &[&str], granted: &[&str], expected: &[&str]) {
            let (_folder, root) = tree();
            let whole = |list: &[&str]| -> Vec<String> {
                list.iter().map(|text| format!("{}/{text}", root.display())).collect()
            };
            let granted = whole(granted);
            let granted: Vec<&str> = granted.iter().map(String::as_str).collect();
            let origin = Origin { base: Some(&root), asked: true };
            let found = Folders::open(&[scope(asked), scope(&granted)], &origin, &[]);
            assert_eq!(found.problem, None, "{asked:?} within {granted:?}");
            assert_eq!(shown(&found, &root), expected, "{asked:?} within {granted:?}");
        }
        check(&["data /data rw"], &["data /x r"], &["data /data r"]);
        check(&["data/a /a r"], &["data /x rw"], &["data/a /a r"]);
        check(&["data /data rw"], &["data/a /x rw"], &["data/a /data/a rw"]);
        check(&["data /data rw"], &["other /x rw"], &[]);
        check(&["data-b /b r"], &["data /x r"], &[]);
        check(&["data /data r"], &[], &[]);
        check(&["nowhere /n r"], &["data /x r"], &[]);
        // The outermost of those in each other decides.
        check(&["data /d r", "data/a /a rw"], &["data /x rw"], &["data /d r", "data/a /a r"]);
        check(&["data/a /a r", "data /d rw"], &["data /x rw"], &["data/a /a rw", "data /d rw"]);
        check(
            &["data /d r", "data/a /a rw", "data/a/b /b rw", "other /o rw"],
            &["data /x rw", "other /y rw"],
            &["data /d r", "data/a /a r", "data/a/b /b r", "other /o rw"],
        );
        check(&["data /d r", "data /e rw"], &["data /x rw"], &["data /d rw", "data /e rw"]);
        check(
            &["data/a /a r", "data-b /b rw"],
            &["data /x rw", "data-b /y rw"],
            &["data/a /a r", "data-b /b rw"],
        );
        // The same folder by two ways is one, with the stronger access that was granted.
        check(&["data /d rw", "data/a /d/a r"], &["data/a /x rw"], &["data/a /d/a rw"]);
    }

    #[test]
    fn folders_that_cannot_be_had_are_named() {
        #[track_caller]
        fn check(asked: &[&str], expected: &str) {
            let (_folder, root) = tree();
            std::fs::write(root.join("plugin/file"), "").unwrap();
            #[cfg(unix)]
            {
                std::os::unix::fs::symlink("../other", root.join("plugin/out")).unwrap();
                std::os::unix::fs::symlink("../../other", root.join("plugin/own/out")).unwrap();
                std::os::unix::fs::symlink("deep", root.join("plugin/own/in")).unwrap();
            }
            let base = root.join("plugin");
            let origin = Origin { base: Some(&base), asked: true };
            let found = Folders::open(&[scope(asked)], &origin, &[]).problem.unwrap_or_default();
            assert!(found.contains(expected), "{asked:?}: {found:?} does not say {expected:?}");
        }
        check(&["own /own rw", "own/deep /deep r"], "");
        check(&["nowhere /n r"], "the folder `/n` of the permission `files` cannot be opened: ");
        check(&["file /f r"], "cannot be opened: ");
        check(&["own /d r", "own/deep /d/ r"], "`/d/` is also the name of ");
        #[cfg(unix)]
        {
            check(&["out /o r"], "`/o` of the permission `files` is reached by a link that leads");
            check(&["own/out /o r"], "is reached by a link that leads out of the plugin's folder");
            check(&["own /own r", "own/in /in r"], "");
            check(&["own /own rw", "own/in /in r"], "cannot be opened: it is a link, and none is");
            check(&["own /own rw", "own/out /o r"], "is reached by a link that leads out");
        }
        #[cfg(target_os = "linux")]
        {
            check(
                &["/proc/self /p rw"],
                "it is part of the system (`proc`), and no folder of files",
            );
            check(&["/proc/self/task /p r"], "it is part of the system (`proc`)");
            check(&["/sys /s r"], "it is part of the system (`");
            check(&["/dev /d r"], "it is part of the system (`dev`)");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_link_out_counts_as_what_it_is_if_people_grant_that() {
        let (_folder, root) = tree();
        std::os::unix::fs::symlink("../other", root.join("plugin/out")).unwrap();
        let base = root.join("plugin");
        let origin = Origin { base: Some(&base), asked: true };
        let granted = format!("{}/other /x rw", root.display());
        let found = Folders::open(&[scope(&["out /o rw"]), scope(&[&granted])], &origin, &[]);
        assert_eq!(
            (found.problem.as_deref(), shown(&found, &root)),
            (None, vec!["other /o rw".into()])
        );
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_is_kept_is_not_looked_up_again() {
        let (_folder, root) = tree();
        let origin = Origin { base: Some(&root), asked: true };
        let scopes = [scope(&["data /data rw", "data/a /a r"])];
        let before = Folders::open(&scopes, &origin, &[]);
        std::fs::rename(root.join("data/a"), root.join("data/moved")).unwrap();
        std::os::unix::fs::symlink("../other", root.join("data/a")).unwrap();
        let again = Folders::open(&scopes, &origin, &before.open);
        assert_eq!(again, before);
        // A grant that is made anew is looked up, and follows no link that the plugin may have made.
        let anew = Folders::open(&scopes, &origin, &before.open[..1]);
        assert_eq!(shown(&anew, &root), ["data /data rw"]);
        assert!(anew.problem.unwrap().contains("it is a link"));
    }
}
