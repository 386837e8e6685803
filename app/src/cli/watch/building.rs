//! Builds a plugin whenever its sources change, on a thread of its own, one build at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use glovebox_abi::units::show_duration;
use glovebox_host::FileWatch;
use parking_lot::{Condvar, Mutex};

use super::super::error::Problem;
use super::super::report::say;
use super::{Change, Occasion};
use crate::build::{self, BuildOptions, BuildReport, Sources, Stamp};
use crate::panics::contain;

/// How often the sources are looked at. The system tells of changes meanwhile, but not of new files,
/// nor on every file system.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of more files, the system is not asked to tell.
const TOLD_OF: usize = 500;
/// An editor that saves several files is done after so long without a change.
const SETTLE: Duration = Duration::from_millis(150);
/// Files that change all the time are built after so long.
const SETTLE_AT_MOST: Duration = Duration::from_secs(1);

/// A plugin's folder, and how it is built.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    folder: PathBuf,
    options: BuildOptions,
    artifact: PathBuf,
}

impl Workshop {
    pub(super) fn new(folder: &Path, options: BuildOptions) -> Result<Workshop, Problem> {
        let artifact = build::artifact_path(folder, &options)
            .and_then(|artifact| Ok(std::path::absolute(artifact)?))
            .map_err(Problem::Build)?;
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Ok(Workshop { folder, options, artifact })
    }

    pub(super) fn artifact(&self) -> &Path {
        &self.artifact
    }

    /// Builds once. Raising `cancel` ends it with an error.
    pub(super) fn build(&self, cancel: &AtomicBool) -> anyhow::Result<BuildReport> {
        #[cfg(test)]
        crate::panics::hook::reach("Build");
        build::build(&self.folder, &self.options, cancel, &mut |line| say(line))
    }

    /// Builds at once, and whenever a source changes from then on, and tells of each build.
    pub(super) fn open(self, tell: SyncSender<Change>) -> Building {
        let end = Arc::<Bell>::default();
        let ends = end.clone();
        let thread = thread::spawn(move || {
            // Nobody would wait for builds that no longer come.
            if let Err(fault) = contain(|| self.build_on_changes(&tell, &ends)) {
                let _ = tell.try_send(Change::NotBuilt(Occasion::Change, fault));
                let _ = tell.try_send(Change::Ended);
            }
        });
        Building { end, thread: Some(thread) }
    }

    fn build_on_changes(&self, tell: &SyncSender<Change>, end: &Arc<Bell>) {
        let mut sources = Sources::new(&self.folder, &self.artifact);
        let mut built_from = None;
        let mut news = News::of(end);
        let mut told = None;
        loop {
            let change = match self.next(&mut sources, &mut built_from, &mut news) {
                Ok(Some(change)) => {
                    told = None;
                    change
                }
                Ok(None) => return,
                Err(error) => {
                    end.wait(SETTLE_AT_MOST);
                    let error = format!("{error:#}");
                    // Sources that cannot be read for a while are one change.
                    if told.as_ref() == Some(&error) {
                        continue;
                    }
                    told = Some(error.clone());
                    Change::NotBuilt(Occasion::Change, error)
                }
            };
            // A full queue holds a change that leads to the same replay.
            if let Err(TrySendError::Disconnected(_)) = tell.try_send(change) {
                return;
            }
        }
    }

    /// The next build that no other change made old; `None` if somebody asked for the end.
    fn next(
        &self,
        sources: &mut Sources,
        built_from: &mut Option<Stamp>,
        news: &mut News,
    ) -> anyhow::Result<Option<Change>> {
        let occasion = if built_from.is_none() { Occasion::Start } else { Occasion::Change };
        loop {
            let Some(from) = settled(sources, built_from.as_ref(), news)? else { return Ok(None) };
            let (cancel, over) = (AtomicBool::new(false), AtomicBool::new(false));
            let bell = &*news.bell;
            let built = thread::scope(|scope| {
                // Also when the build panics, or the scope would wait for ever.
                let _ending = Over { is_over: &over, bell };
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let is_old = sources.stamp().is_ok_and(|now| now != from);
                        if is_old || bell.is_rung() {
                            cancel.store(true, Ordering::Relaxed);
                        }
                        bell.wait(LOOK_EVERY);
                    }
                });
                self.build(&cancel)
            });
            match built {
                Err(_) if cancel.into_inner() => {}
                Err(error) => {
                    *built_from = Some(from);
                    return Ok(Some(Change::NotBuilt(occasion, format!("{error:#}"))));
                }
                Ok(report) => {
                    say(&format!("Built in {}", show_duration(report.took)));
                    *built_from = Some(sources.add(report.sources, from));
                    return Ok(Some(Change::Built(occasion)));
                }
            }
        }
    }
}

/// The stamp of the sources once they differ from `before` and change no more for a while; `None` if
/// somebody asked for the end.
fn settled(
    sources: &Sources,
    before: Option<&Stamp>,
    news: &mut News,
) -> anyhow::Result<Option<Stamp>> {
    let mut changed: Option<(Stamp, Instant, Instant)> = None;
    while !news.bell.is_rung() {
        let now = sources.stamp()?;
        news.hear_of(&now);
        match &mut changed {
            _ if before == Some(&now) => changed = None,
            // Nobody saves anything before the first build.
            None if before.is_none() => return Ok(Some(now)),
            None => changed = Some((now, Instant::now(), Instant::now())),
            Some((last, since, first)) => {
                let is_still = *last == now && since.elapsed() >= SETTLE;
                if is_still || first.elapsed() >= SETTLE_AT_MOST {
                    return Ok(Some(now));
                }
                if *last != now {
                    (*last, *since) = (now, Instant::now());
                }
            }
        }
        news.bell.wait(if changed.is_some() { SETTLE } else { news.look_every });
    }
    Ok(None)
}

/// Tells of changes of the sources as soon as the system does.
struct News {
    bell: Arc<Bell>,
    /// [`LOOK_EVERY`], but in tests.
    look_every: Duration,
    /// The files of which the system tells, and what hears of them.
    watch: Option<(Vec<PathBuf>, Option<FileWatch>)>,
}

impl News {
    fn of(bell: &Arc<Bell>) -> News {
        News { bell: bell.clone(), look_every: LOOK_EVERY, watch: None }
    }

    /// Hears of changes of these files, and no others.
    fn hear_of(&mut self, stamp: &Stamp) {
        let known = self.watch.as_ref().map(|(files, _)| files);
        if known.is_some_and(|known| known.iter().eq(stamp.files())) {
            return;
        }
        let files: Vec<PathBuf> = stamp.files().cloned().collect();
        let bell = self.bell.clone();
        // Without it, they are looked at from time to time.
        let watch = (files.len() <= TOLD_OF)
            .then(|| FileWatch::start(files.clone(), move || bell.tell()).ok())
            .flatten();
        self.watch = Some((files, watch));
    }
}

/// Ends a wait on another thread.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
struct Rung {
    /// Somebody asked for the end.
    end: bool,
    /// There is something to look at.
    news: bool,
}

impl Bell {
    /// Asks for the end.
    fn ring(&self) {
        self.rung.lock().end = true;
        self.changed.notify_all();
    }

    /// Says that there is something to look at.
    fn tell(&self) {
        self.rung.lock().news = true;
        self.changed.notify_all();
    }

    /// True if somebody asked for the end.
    fn is_rung(&self) -> bool {
        self.rung.lock().end
    }

    /// Waits until there is something to look at, for some time at most.
    fn wait(&self, time: Duration) {
        let mut rung = self.rung.lock();
        if !rung.end && !rung.news {
            self.changed.wait_for(&mut rung, time);
        }
        rung.news = false;
    }
}

/// Says that a build is over when it is dropped.
struct Over<'a> {
    is_over: &'a AtomicBool,
    bell: &'a Bell,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.bell.tell();
    }
}

/// A workshop that is open. Dropping it cancels the build under way.
pub(super) struct Building {
    end: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Building {
    fn drop(&mut self) {
        self.end.ring();
        if let Some(thread) = self.thread.take() {
            // A panic there is a bug of ours, and was printed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panics::hook::panic_at;

    #[test]
    fn a_build_that_panics_ends_the_look_at_its_sources() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wat"), "(module)").unwrap();
        let workshop = Workshop::new(folder.path(), BuildOptions::default()).unwrap();
        let mut sources = Sources::new(&workshop.folder, &workshop.artifact);
        panic_at(Some("Build"));
        let built = contain(|| {
            workshop.next(&mut sources, &mut None, &mut News::of(&Arc::default())).is_ok()
        });
        panic_at(None);
        assert!(built.is_err_and(|fault| fault.contains("a test wants this to panic")));
    }

    #[test]
    fn sources_that_are_gone_are_told_of_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wat"), "(module)").unwrap();
        let workshop = Workshop::new(folder.path(), BuildOptions::default()).unwrap();
        let (tell, told) = std::sync::mpsc::sync_channel(8);
        let _building = workshop.open(tell);
        told.recv().unwrap();
        folder.close().unwrap();
        let is_error = |change: &Change| matches!(change, Change::NotBuilt(Occasion::Change, _));
        assert!(is_error(&told.recv().unwrap()));
        let again = told.recv_timeout(3 * SETTLE_AT_MOST);
        assert!(again.is_err(), "the same error is no change");
    }

    #[test]
    fn changes_of_sources_are_told_by_the_system() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let source = folder.path().join("lib.rs");
        std::fs::write(&source, "a").expect("there is space");
        let sources = Sources::new(folder.path(), &folder.path().join("out/a.wasm"));
        let bell = Arc::<Bell>::default();
        // By looking so rarely, it would see nothing.
        let mut news = News { look_every: Duration::from_secs(3600), ..News::of(&bell) };
        let before = settled(&sources, None, &mut news).expect("it can be read");
        let found = thread::scope(|scope| {
            let found = scope.spawn(|| settled(&sources, before.as_ref(), &mut news));
            std::fs::write(&source, "longer").expect("there is space");
            found.join().expect("it does not panic")
        });
        assert_ne!(found.expect("it can be read"), before);
    }
}
