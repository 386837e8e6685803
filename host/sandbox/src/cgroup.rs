//! A group of processes that the kernel counts and ends as one. Somebody outside makes it, since
//! the process itself may neither leave nor change it.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::identity::{has_ended, own_mark};
use crate::system::check;
use crate::{Limits, Missing};

/// How the folders of groups begin: then the mark of the process that made them, and a number. Older hosts
/// took any number for that of a process, and would end groups whose names begin with `glovebox-`.
const PREFIX: &str = "glovebox_";

/// A group of processes, with limits for all of them together. It is ended and removed when this is
/// dropped.
///
/// Both versions of cgroups are used, and one beside the other where the system has both: version 2
/// for the kill of all at once, and whichever counts memory and processes.
#[derive(Debug)]
pub struct Cgroup {
    /// The folder of the group in each tree, of which there are several in version 1.
    folders: Vec<PathBuf>,
    memory: Option<PathBuf>,
    has_processes: bool,
    has_kill: bool,
    /// False if memory beyond the limit may go to a swap area instead.
    bounds_swap: bool,
    limits: Limits,
}

/// A tree of groups, and the folder in it of the group that this process is in.
struct Tree {
    is_version_2: bool,
    controllers: String,
    own: PathBuf,
}

impl Cgroup {
    /// Makes a group with the limits of memory, processes and threads. [`state`](Self::state) says
    /// which of them hold.
    ///
    /// # Errors
    ///
    /// If no group can be made at all.
    pub fn new(limits: &Limits) -> Result<Cgroup, Missing> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", own_mark());
        let trees = trees().map_err(|error| missing(format!("no cgroups are found: {error}")))?;
        let mut group = Cgroup {
            folders: Vec::new(),
            memory: None,
            has_processes: false,
            has_kill: false,
            bounds_swap: true,
            limits: limits.clone(),
        };
        let mut reason = "no cgroups are mounted".to_owned();
        for tree in trees {
            let folder = tree.own.join(&name);
            match fs::create_dir(&folder) {
                Ok(()) => group.adopt(&tree, folder),
                Err(error) => reason = format!("{} cannot be made: {error}", folder.display()),
            }
        }
        if group.folders.is_empty() { Err(missing(reason)) } else { Ok(group) }
    }

    /// Sets what the folder of one tree can set.
    fn adopt(&mut self, tree: &Tree, folder: PathBuf) {
        let set = |file: &str, value: &str| write(&folder.join(file), value).is_ok();
        let tasks = u64::from(self.limits.processes) + u64::from(self.limits.threads) + 1;
        let memory = self.limits.memory.map(|bytes| bytes.to_string());
        if tree.is_version_2 {
            // A group in which processes are, such as this one's, often may not hand on
            // controllers.
            for controller in ["+memory", "+pids"] {
                let _ = write(&tree.own.join("cgroup.subtree_control"), controller);
            }
            self.has_kill = folder.join("cgroup.kill").exists();
            if memory.is_none_or(|bytes| set("memory.max", &bytes))
                && folder.join("memory.max").exists()
            {
                self.bounds_swap = set("memory.swap.max", "0") || !has_swap();
                set("memory.oom.group", "1");
                self.memory = Some(folder.clone());
            }
            self.has_processes |= set("pids.max", &tasks.to_string());
        } else if tree.controllers.split(',').any(|name| name == "memory") {
            if memory.is_none_or(|bytes| set("memory.limit_in_bytes", &bytes)) {
                self.bounds_swap = set("memory.swappiness", "0") || !has_swap();
                self.memory = Some(folder.clone());
            }
        } else {
            self.has_processes |= set("pids.max", &tasks.to_string());
        }
        self.folders.push(folder);
    }

    /// True if the kernel counts the processes and threads of the group.
    pub fn limits_processes(&self) -> bool {
        self.has_processes
    }

    /// Whether all of it holds: memory, processes, and the kill of all at once.
    ///
    /// # Errors
    ///
    /// The parts that do not hold. The rest does.
    pub fn state(&self) -> Result<(), Missing> {
        let parts = [
            (self.memory.is_some(), "limit memory"),
            (self.bounds_swap, "keep memory out of swap areas"),
            (self.has_processes, "limit processes"),
            (self.has_kill, "kill all its processes at once"),
        ];
        let absent: Vec<&str> =
            parts.into_iter().filter(|(holds, _)| !holds).map(|(_, name)| name).collect();
        if absent.is_empty() {
            return Ok(());
        }
        Err(missing(format!("the cgroup cannot {}", absent.join(" nor "))))
    }

    /// Puts a process into the group; what it starts from now on is in it too.
    ///
    /// # Errors
    ///
    /// Those of the system, such as that there is no such process. It is put back where it was then,
    /// in the group of this process, so that the end of the group is not its end.
    pub fn add(&self, process: u32) -> io::Result<()> {
        let process = process.to_string();
        for (place, folder) in self.folders.iter().enumerate() {
            let added = write(&folder.join("cgroup.procs"), &process);
            if added.is_err() {
                for above in self.folders[..place].iter().filter_map(|folder| folder.parent()) {
                    // Where this fails too, there is no such process, or it ends with the group.
                    let _ = write(&above.join("cgroup.procs"), &process);
                }
                return added;
            }
        }
        Ok(())
    }

    /// Kills all processes of the group: at once where the kernel can, else one by one, as often as
    /// new ones appear.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn kill(&self) -> io::Result<()> {
        if self.has_kill {
            let folder = self.folders.iter().find(|folder| folder.join("cgroup.kill").exists());
            return folder.map_or(Ok(()), |folder| write(&folder.join("cgroup.kill"), "1"));
        }
        for _ in 0..100 {
            let processes = self.processes()?;
            if processes.is_empty() {
                break;
            }
            let handles: Vec<_> = processes
                .iter()
                .filter_map(|process| Some((*process, handle(*process)?)))
                .collect();
            // A number may be another process's by the time that its handle is opened. That one is
            // not in the group: a handle whose number is still there is of one that is, or was.
            let still = self.processes()?;
            for (_, handle) in handles.iter().filter(|(process, _)| still.contains(process)) {
                let none = std::ptr::null::<libc::siginfo_t>();
                let number = handle.as_raw_fd();
                // SAFETY: it takes numbers, and no further words about the signal.
                unsafe {
                    libc::syscall(libc::SYS_pidfd_send_signal, number, libc::SIGKILL, none, 0)
                };
            }
        }
        Ok(())
    }

    /// The processes in the group.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn processes(&self) -> io::Result<Vec<i32>> {
        self.folders.first().map_or(Ok(Vec::new()), |folder| processes(folder))
    }

    /// How many processes the kernel killed because the memory of the group was used up.
    pub fn killed_for_memory(&self) -> u64 {
        let Some(folder) = &self.memory else { return 0 };
        let texts = ["memory.events", "memory.oom_control"]
            .map(|file| fs::read_to_string(folder.join(file)).unwrap_or_default());
        let lines = texts.iter().flat_map(|text| text.lines());
        lines.filter_map(|line| line.strip_prefix("oom_kill ")?.parse::<u64>().ok()).sum()
    }

    /// Ends and removes the groups of hosts that are gone. Those of another namespace of numbers stay:
    /// nobody can tell here whether their hosts are.
    pub fn sweep() {
        for tree in trees().unwrap_or_default() {
            for entry in fs::read_dir(&tree.own).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if name.to_str().is_some_and(is_left) {
                    let _ = write(&entry.path().join("cgroup.kill"), "1");
                    remove(&entry.path());
                }
            }
        }
    }
}

/// True of a group whose host has ended, by its name.
fn is_left(name: &str) -> bool {
    let mark = name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('-'));
    mark.is_some_and(|(mark, _)| has_ended(mark))
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = self.kill();
        // Most groups are empty by now.
        self.folders.retain(|folder| fs::remove_dir(folder).is_err_and(|error| is_busy(&error)));
        if self.folders.is_empty() {
            return;
        }
        // The thread that drops it may hold a lock, or look after others: it does not wait.
        let folders = std::mem::take(&mut self.folders);
        let thread = std::thread::Builder::new().name("glovebox-groups".to_owned());
        // Without a thread, the sweep of the next start removes them.
        drop(thread.spawn(move || folders.iter().for_each(|folder| remove(folder))));
    }
}

/// True of an error that says that there are processes in a group.
fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

/// Removes a group once its processes have ended, which killing them began.
fn remove(folder: &Path) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while let Err(error) = fs::remove_dir(folder) {
        if !is_busy(&error) || std::time::Instant::now() > deadline {
            // The sweep of the next start removes the rest.
            break;
        }
        wait_for_one(folder);
    }
}

/// Waits for the end of some process in a folder, for 10 ms at most.
fn wait_for_one(folder: &Path) {
    let handles: Vec<_> =
        processes(folder).unwrap_or_default().into_iter().filter_map(handle).collect();
    let mut polled: Vec<_> = handles
        .iter()
        .map(|handle| libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    if polled.is_empty() {
        // The kernel is about to let the group go.
        return std::thread::yield_now();
    }
    // SAFETY: the list is ours, and as long as said. The caller looks again, whatever came of it.
    unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, 10) };
}

/// The processes in a folder that have a number here.
fn processes(folder: &Path) -> io::Result<Vec<i32>> {
    let text = fs::read_to_string(folder.join("cgroup.procs"))?;
    // One of another namespace, which is not to be seen from here, has the number 0.
    Ok(text.lines().filter_map(|line| line.parse().ok()).filter(|it| *it > 0).collect())
}

/// A handle of a process, which never means another one; nothing once it is gone.
fn handle(process: i32) -> Option<OwnedFd> {
    // SAFETY: it takes numbers.
    let descriptor = check(unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) }).ok()?;
    // SAFETY: the call has just made it, and it is given to nobody else.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

/// True if the system has an area to which memory can go; the first line is a heading.
fn has_swap() -> bool {
    fs::read_to_string("/proc/swaps").map_or(true, |text| text.lines().count() > 1)
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path).and_then(|mut file| {
        use io::Write;
        file.write_all(value.as_bytes())
    })
}

fn missing(reason: String) -> Missing {
    Missing::new(
        reason,
        "start the host in a cgroup that is delegated to its user, such as with `systemd-run --user \
         --scope -p Delegate=yes`",
    )
}

/// The trees that count memory or processes, or kill, and where this process is in them.
fn trees() -> io::Result<Vec<Tree>> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mut trees = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let is_version_2 = controllers.is_empty();
        if !is_version_2 && !controllers.split(',').any(|name| name == "memory" || name == "pids") {
            continue;
        }
        if let Some(own) = mounts.lines().find_map(|mount| place(mount, controllers, path)) {
            trees.push(Tree { is_version_2, controllers: controllers.to_owned(), own });
        }
    }
    Ok(trees)
}

/// Where a group lies in a mounted tree, from one line of `mountinfo`, if it lies there.
fn place(mount: &str, controllers: &str, group: &str) -> Option<PathBuf> {
    let (head, tail) = mount.split_once(" - ")?;
    let mut tail = tail.split(' ');
    let (kind, options) = (tail.next()?, tail.nth(1)?);
    let fits = if controllers.is_empty() {
        kind == "cgroup2"
    } else {
        let wanted = controllers.split(',').next()?;
        kind == "cgroup" && options.split(',').any(|option| option == wanted)
    };
    let mut head = head.split(' ').skip(3);
    let (root, point) = (head.next()?, head.next()?);
    let below = Path::new(group).strip_prefix(root).ok()?;
    fits.then(|| Path::new(point).join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(folders: Vec<PathBuf>) -> Cgroup {
        Cgroup {
            folders,
            memory: None,
            has_processes: false,
            has_kill: false,
            bounds_swap: true,
            limits: Limits::default(),
        }
    }

    /// The first tree takes the process, the second one does not.
    #[test]
    fn a_process_is_in_all_trees_or_in_none() {
        let folder = tempfile::tempdir().unwrap();
        let folders = ["one/group", "two/group"].map(|name| folder.path().join(name));
        folders.iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
        let above = folder.path().join("one/cgroup.procs");
        fs::write(&above, "").unwrap();
        fs::write(folders[0].join("cgroup.procs"), "").unwrap();
        // No process has this number.
        assert!(group(folders.to_vec()).add(u32::MAX).is_err());
        assert_eq!(fs::read_to_string(above).unwrap(), u32::MAX.to_string());
    }

    #[test]
    fn groups_of_hosts_that_have_ended_are_known() {
        #[track_caller]
        fn check(name: &str, expected: bool) {
            assert_eq!(is_left(name), expected, "{name}");
        }
        let own = own_mark();
        check(&format!("{PREFIX}{own}-0"), false);
        // Another process has its number now.
        let (before, started) = own.rsplit_once('-').unwrap();
        check(&format!("{PREFIX}{before}-1{started}-0"), true);
        check(&format!("other_{before}-1{started}-0"), false);
        check(&format!("{PREFIX}{before}-1{started}"), false);
        // As older hosts named them.
        check("glovebox_4026531836-4194305-0", false);
        check("glovebox-4194305-0", false);
    }

    #[test]
    fn the_own_group_is_not_killed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.procs"), "0\n-1\n77\n").unwrap();
        let group = std::mem::ManuallyDrop::new(group(vec![folder.path().to_owned()]));
        assert_eq!(group.processes().unwrap(), [77]);
    }

    #[test]
    fn absent_parts_are_named() {
        let reason = group(Vec::new()).state().unwrap_err().reason;
        let expected = "the cgroup cannot limit memory nor limit processes nor kill all its \
                        processes at once";
        assert_eq!(reason, expected);
    }

    #[test]
    fn groups_are_found_in_their_trees() {
        fn check(mount: &str, controllers: &str, group: &str, expected: Option<&str>) {
            assert_eq!(place(mount, controllers, group), expected.map(PathBuf::from), "{mount}");
        }
        let v2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        check(v2, "", "/user.slice/a", Some("/sys/fs/cgroup/user.slice/a"));
        check(v2, "memory", "/a", None);
        let v1 = "35 25 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        check(v1, "memory", "/", Some("/sys/fs/cgroup/memory"));
        check(v1, "pids", "/", None);
        check(v1, "", "/", None);
        // In a container, the root of the mount is the group of the container.
        let inner = "35 25 0:30 /docker/x /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids";
        check(inner, "pids", "/docker/x/y", Some("/sys/fs/cgroup/pids/y"));
        check(inner, "pids", "/elsewhere", None);
        check("no mount", "pids", "/", None);
    }
}
