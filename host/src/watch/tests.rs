use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// How long a condition is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells what the file holds whenever it may be another.
struct Probe {
    path: PathBuf,
    looks: SyncSender<String>,
    notices: SyncSender<String>,
}

impl Watches for Probe {
    fn look(&self, busy: Busy, _: bool) {
        drop(busy);
        // The test may have seen enough.
        let _ = self.looks.send(fs::read_to_string(&self.path).unwrap_or_default());
    }

    fn notice(&self, text: &str) {
        let _ = self.notices.send(text.to_owned());
    }
}

/// A file that is watched.
/// More than any of these tests sends.
const MANY: usize = 1024;

struct Watched {
    _watching: Watching,
    looks: Receiver<String>,
    notices: Receiver<String>,
}

impl Watched {
    /// Watches a file, and waits for the first look.
    fn new(watcher: &Watcher, path: &Path) -> Watched {
        let (looks, looked) = sync_channel(MANY);
        let (notices, noticed) = sync_channel(MANY);
        let probe = Probe { path: path.to_owned(), looks, notices };
        let files = vec![path.to_owned()];
        let watching = watcher.watch(Box::new(move || files.clone()), Box::new(probe)).unwrap();
        let watched = Watched { _watching: watching, looks: looked, notices: noticed };
        watched.looks.recv_timeout(PATIENCE).unwrap();
        watched
    }

    /// Waits until the file was seen with this in it.
    #[track_caller]
    fn sees(&self, content: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.looks.recv_timeout(left) {
                Ok(seen) if seen == content => return,
                Ok(_) => {}
                Err(_) => panic!("nobody saw {content:?}"),
            }
        }
    }
}

/// A folder with `top/folder/file`, which holds `one`.
fn tree() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    fs::create_dir_all(root.join("top/folder")).unwrap();
    fs::write(root.join("top/folder/file"), "one").unwrap();
    (folder, root)
}

/// Makes the same folders anew, with another content.
fn anew(root: &Path, content: &str) {
    fs::create_dir_all(root.join("top/folder")).unwrap();
    fs::write(root.join("top/folder/file"), content).unwrap();
}

/// Watches `path` in the tree, changes it, and changes it once more: a watch that lost its way sees
/// the first change at best.
#[track_caller]
fn check(watcher: &Watcher, path: &str, prepare: fn(&Path), changes: [fn(&Path); 2]) {
    let (_folder, root) = tree();
    prepare(&root);
    let watched = Watched::new(watcher, &root.join(path));
    for (change, content) in changes.into_iter().zip(["two", "three"]) {
        change(&root);
        watched.sees(content);
    }
}

/// All kinds of changes.
fn check_all(watcher: &Watcher) {
    const FILE: &str = "top/folder/file";
    let write: [fn(&Path); 2] = [
        |root| fs::write(root.join(FILE), "two").unwrap(),
        |root| fs::write(root.join(FILE), "three").unwrap(),
    ];
    check(watcher, FILE, |_| {}, write);
    // An atomic replacement.
    check(
        watcher,
        FILE,
        |_| {},
        [
            |root| {
                fs::write(root.join("new"), "two").unwrap();
                fs::rename(root.join("new"), root.join(FILE)).unwrap();
            },
            write[1],
        ],
    );
    check(
        watcher,
        FILE,
        |_| {},
        [
            |root| {
                fs::remove_file(root.join(FILE)).unwrap();
                fs::write(root.join(FILE), "two").unwrap();
            },
            write[1],
        ],
    );
    // Folders that are renamed away or removed, and made anew.
    check(
        watcher,
        FILE,
        |_| {},
        [
            |root| {
                fs::rename(root.join("top/folder"), root.join("top/old")).unwrap();
                anew(root, "two");
            },
            write[1],
        ],
    );
    check(
        watcher,
        FILE,
        |_| {},
        [
            |root| {
                fs::rename(root.join("top"), root.join("old")).unwrap();
                anew(root, "two");
            },
            |root| {
                fs::remove_dir_all(root.join("top")).unwrap();
                anew(root, "three");
            },
        ],
    );
    // A file that is not there yet, nor are its folders.
    check(
        watcher,
        FILE,
        |root| fs::remove_dir_all(root.join("top")).unwrap(),
        [|root| anew(root, "two"), write[1]],
    );
    #[cfg(unix)]
    check_links(watcher, write[1]);
}

#[cfg(unix)]
fn check_links(watcher: &Watcher, last: fn(&Path)) {
    use std::os::unix::fs::symlink;
    fn swing(root: &Path, link: &str, target: &str) {
        symlink(target, root.join("fresh")).unwrap();
        fs::rename(root.join("fresh"), root.join(link)).unwrap();
    }
    /// Versions as folders, and links to one of them.
    fn versions(root: &Path) {
        for content in ["two", "three"] {
            fs::create_dir_all(root.join(content).join("folder")).unwrap();
            fs::write(root.join(content).join("folder/file"), content).unwrap();
        }
        symlink("top/folder/file", root.join("file")).unwrap();
        symlink("top", root.join("current")).unwrap();
        symlink("current/folder", root.join("through")).unwrap();
    }
    check(
        watcher,
        "file",
        versions,
        [
            |root| swing(root, "file", "two/folder/file"),
            |root| {
                swing(root, "file", "three/folder/file");
            },
        ],
    );
    // A folder, and the parent of a parent behind another link.
    for path in ["current/folder/file", "through/file"] {
        check(
            watcher,
            path,
            versions,
            [
                |root| swing(root, "current", "two"),
                |root| {
                    swing(root, "current", "three");
                },
            ],
        );
    }
    // The end of a link.
    check(
        watcher,
        "file",
        versions,
        [|root| fs::write(root.join("top/folder/file"), "two").unwrap(), last],
    );
}

#[test]
fn every_kind_of_change_is_seen() {
    check_all(&Watcher::new());
}

/// A system whose limits are reached.
struct Exhausted;

impl Messages for Exhausted {
    fn begin(&mut self, _: &Path) -> Result<(), Unwatched> {
        Err(Unwatched::Refused("no more".to_owned()))
    }

    fn end(&mut self, _: &Path) {}
}

#[test]
fn a_system_that_tells_nothing_is_not_needed() {
    check_all(&Watcher::with(Duration::from_millis(20), |_| {
        Err(Unwatched::Refused("no more".to_owned()))
    }));
    let watcher = Watcher::with(Duration::from_millis(20), |_| Ok(Box::new(Exhausted)));
    check_all(&watcher);
    let (_folder, root) = tree();
    let watched = Watched::new(&watcher, &root.join("top/folder/file"));
    let notice = watched.notices.recv_timeout(PATIENCE).unwrap();
    assert!(notice.contains("(no more): they are looked at every second"), "{notice}");
}

#[test]
fn a_content_of_the_same_length_and_time_is_seen_without_messages() {
    let watcher = Watcher::with(Duration::from_millis(20), |_| Ok(Box::new(Exhausted)));
    let (_folder, root) = tree();
    let path = root.join("top/folder/file");
    let watched = Watched::new(&watcher, &path);
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    // The time of its change cannot be set, so that the file is seen in any case; the look that
    // comes when it is old enough is another one.
    fs::write(&path, "two").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    watched.sees("two");
    watched.sees("two");
}

#[test]
fn lost_messages_are_made_up_for() {
    let watcher = Watcher::new();
    let (_folder, root) = tree();
    let watched = Watched::new(&watcher, &root.join("top/folder/file"));
    let mut inbox = watcher.shared.inbox.lock();
    inbox.heard.lost = true;
    watcher.shared.woken.notify_one();
    drop(inbox);
    let notice = watched.notices.recv_timeout(PATIENCE).unwrap();
    assert!(notice.contains("messages about changed files were lost"), "{notice}");
    watched.sees("one");
    fs::write(root.join("top/folder/file"), "two").unwrap();
    watched.sees("two");
}

#[test]
fn a_file_is_not_read_before_the_writer_that_made_it_closed_it() {
    /// Touches `file` in one batch with its making, and tells whether it is waited for.
    #[track_caller]
    fn check(make: fn(&Path), open: Option<bool>, is_open: bool) {
        let (_folder, root) = tree();
        let path = root.join("top/folder/file");
        fs::remove_file(&path).unwrap();
        let watcher = Watcher::with(POLL, |_| Ok(Box::new(Silent)));
        let mut thread = WatchThread::new(watcher.shared.clone(), watcher.messages);
        let (looks, _looked) = sync_channel(MANY);
        let probe = Probe { path: path.clone(), looks: looks.clone(), notices: looks };
        let files = vec![path.clone()];
        let begin = Wish::Begin(1, Box::new(move || files.clone()), Box::new(probe));
        thread.grant(begin, Instant::now());
        thread.look_around(&Heard::default(), Instant::now());
        make(&path);
        let touch = system::Touch { moved: false, open };
        let heard = Heard { touched: [(path, touch)].into(), ..Heard::default() };
        let now = Instant::now();
        thread.take_in(&heard, now);
        let longest = Duration::from_secs(1);
        assert_eq!(thread.next().unwrap().duration_since(now) > longest, is_open);
    }
    let half: fn(&Path) = |path| fs::write(path, "half").unwrap();
    check(half, Some(true), true);
    check(half, Some(false), false);
    check(half, None, false);
    check(|_| {}, Some(false), false);
}

/// A system that tells nothing, and says that it does.
struct Silent;

impl Messages for Silent {
    fn begin(&mut self, _: &Path) -> Result<(), Unwatched> {
        Ok(())
    }

    fn end(&mut self, _: &Path) {}
}

#[test]
fn a_watch_goes_on_after_a_panic_and_says_so() {
    let (_folder, root) = tree();
    let path = root.join("top/folder/file");
    let watcher =
        Watcher::with(Duration::from_millis(20), |shared| Ok(Box::new(System::new(shared)?)));
    let (looks, looked) = sync_channel(MANY);
    let (notices, noticed) = sync_channel(MANY);
    let probe = Probe { path: path.clone(), looks, notices };
    let panics = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (files, now) = (vec![path.clone()], panics.clone());
    let files = move || {
        assert!(!now.swap(false, std::sync::atomic::Ordering::SeqCst), "on purpose");
        files.clone()
    };
    let _watching = watcher.watch(Box::new(files), Box::new(probe)).unwrap();
    let watched = Watched { _watching, looks: looked, notices: noticed };
    let notice = watched.notices.recv_timeout(PATIENCE).unwrap();
    assert!(notice.contains("panicked (on purpose)"), "{notice}");
    fs::write(&path, "two").unwrap();
    watched.sees("two");
    // Later as well.
    panics.store(true, std::sync::atomic::Ordering::SeqCst);
    fs::write(&path, "three").unwrap();
    watched.sees("three");
}

#[test]
fn nobody_is_called_while_busy_and_again_if_asked() {
    /// Keeps what it gets.
    struct Keeps(SyncSender<Busy>);
    impl Watches for Keeps {
        fn look(&self, busy: Busy, _: bool) {
            self.0.send(busy).unwrap();
        }
        fn notice(&self, _: &str) {}
    }
    let (_folder, root) = tree();
    let path = root.join("top/folder/file");
    let watcher = Watcher::new();
    let (given, busy) = sync_channel(MANY);
    let files = vec![path.clone()];
    let watching = watcher.watch(Box::new(move || files.clone()), Box::new(Keeps(given))).unwrap();
    let mut first = busy.recv_timeout(PATIENCE).unwrap();
    first.again();
    drop(first);
    let second = busy.recv_timeout(PATIENCE).unwrap();
    // Seen, and kept until the one before is done.
    fs::write(&path, "two").unwrap();
    let other = Watched::new(&watcher, &path);
    fs::write(&path, "three").unwrap();
    other.sees("three");
    assert!(busy.try_recv().is_err());
    drop(second);
    drop(busy.recv_timeout(PATIENCE).unwrap());
    // The thread ends with the last watch.
    drop((watching, other));
    let deadline = Instant::now() + PATIENCE;
    while watcher.shared.inbox.lock().runs {
        assert!(Instant::now() < deadline, "the thread goes on");
        std::thread::yield_now();
    }
}
