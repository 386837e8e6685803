//! The layers around a process in a container, found out by looking at it from outside: an engine is not
//! believed.

use std::fs;
use std::path::{Path, PathBuf};

use glovebox_abi::manifest::Limits;
use glovebox_sandbox::{Layer, Missing, SandboxReport};

use super::super::process::AROUND;
use crate::problem::LoadProblem;

/// Processes and threads of a container.
pub(super) const PROCESSES: u64 = 64;

/// Files that each of its processes may have open.
pub(super) const FILES: u64 = 64;

/// The amounts that a container was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amounts {
    pub(super) memory: u64,
    pub(super) processes: u64,
    pub(super) files: u64,
    /// Bytes of one file that is written.
    pub(super) file_bytes: u64,
}

impl Amounts {
    /// Those of a container whose plugin has these limits.
    pub(super) fn of(limits: &Limits) -> Amounts {
        Amounts {
            memory: limits.memory.saturating_add(AROUND),
            processes: PROCESSES,
            files: FILES,
            file_bytes: limits.file_bytes,
        }
    }
}

/// Looks at a process in a container, which may write to these folders.
pub(super) fn look(process: u32, amounts: Amounts, written: &[&Path]) -> SandboxReport {
    look_at(
        &Around { process: format!("/proc/{process}").into(), own: "/proc/self".into() },
        amounts,
        written,
    )
}

/// Kinds of mounts that hold no files: what may be done by them is for the kernel to say.
const OF_THE_KERNEL: &[&str] = &[
    "proc",
    "sysfs",
    "devpts",
    "mqueue",
    "cgroup",
    "cgroup2",
    "securityfs",
    "debugfs",
    "tracefs",
    "pstore",
    "bpf",
    "configfs",
    "fusectl",
    "efivarfs",
    "binfmt_misc",
    "selinuxfs",
];

/// The folders of two processes in `/proc`.
struct Around {
    process: PathBuf,
    own: PathBuf,
}

fn look_at(around: &Around, amounts: Amounts, written: &[&Path]) -> SandboxReport {
    let mut report = SandboxReport::default();
    let mut add = |layer, check: &dyn Fn() -> Result<(), String>| {
        let remedy = match layer {
            Layer::UserNamespace => {
                "run as an ordinary user, whose engine gives containers their own users"
            }
            _ => "see the settings of the engine; `glovebox doctor` says what it has",
        };
        report.add(layer, true, || check().map_err(|reason| Missing::new(reason, remedy)));
    };
    add(Layer::Cgroup, &|| {
        around.limit("memory", ["memory.limit_in_bytes", "memory.max"], amounts.memory)
    });
    add(Layer::UserNamespace, &|| around.is_apart("user"));
    add(Layer::NetworkNamespace, &|| around.is_apart("net").and_then(|()| around.has_no_network()));
    add(Layer::IpcNamespace, &|| around.is_apart("ipc"));
    add(Layer::MountNamespace, &|| {
        around.is_apart("mnt").and_then(|()| around.has_fixed_files(written))
    });
    add(Layer::Limits, &|| around.has_limits_of_files(amounts));
    add(Layer::Processes, &|| around.limit("pids", ["pids.max"; 2], amounts.processes));
    add(Layer::Capabilities, &|| {
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
            .into_iter()
            .try_for_each(|name| around.has_status(name, "0000000000000000"))
    });
    add(Layer::NoNewPrivileges, &|| around.has_status("NoNewPrivs", "1"));
    add(Layer::Scopes, &|| around.is_apart("pid"));
    // With a filter.
    add(Layer::SystemCalls, &|| around.has_status("Seccomp", "2"));
    report
}

/// Refuses a container that lacks a layer which the first one had: the policy decided about that.
pub(crate) fn check_as_before(
    report: &SandboxReport,
    first: &SandboxReport,
) -> Result<(), LoadProblem> {
    let mut worse = report.missing().filter(|(layer, _)| first.is_enforced(*layer));
    let Some((layer, Missing { reason, .. })) = worse.next() else { return Ok(()) };
    Err(LoadProblem::NoContainer {
        reason: format!("it lacks the layer `{layer}`, which the first one had: {reason}"),
        remedy: "see what changed in the engine, and start this program again".to_owned(),
    })
}

impl Around {
    fn read(&self, file: &str) -> Result<String, String> {
        let path = self.process.join(file);
        fs::read_to_string(&path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))
    }

    /// A namespace that is not that of the host.
    fn is_apart(&self, name: &str) -> Result<(), String> {
        let of = |folder: &Path| {
            let path = folder.join("ns").join(name);
            fs::read_link(&path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))
        };
        match of(&self.process)? == of(&self.own)? {
            false => Ok(()),
            true => Err(format!("its namespace `{name}` is that of the host")),
        }
    }

    fn has_no_network(&self) -> Result<(), String> {
        let devices = self.read("net/dev")?;
        let names = devices.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()));
        match names.filter(|name| *name != "lo").collect::<Vec<_>>()[..] {
            [] => Ok(()),
            ref others => Err(format!("it has a network: {}", others.join(", "))),
        }
    }

    /// No files that can be written beside those of these folders, in what is mounted and not hidden by a
    /// mount above it: without capabilities, nobody takes that away.
    fn has_fixed_files(&self, written: &[&Path]) -> Result<(), String> {
        let text = self.read("mountinfo")?;
        let mounts: Vec<Mount> =
            text.lines().map(Mount::of).collect::<Option<_>>().ok_or_else(|| {
                "what the kernel says about its mounts is not known here".to_owned()
            })?;
        if !mounts.iter().any(|mount| mount.point == Path::new("/")) {
            return Err("it has no root folder".to_owned());
        }
        let mut seen: Vec<&Mount> = Vec::new();
        for mount in &mounts {
            seen.retain(|other| !other.point.starts_with(&mount.point));
            seen.push(mount);
        }
        let writable = seen.into_iter().filter(|mount| {
            let is_granted = written.iter().any(|folder| mount.point.starts_with(folder));
            !mount.is_fixed && !is_granted && mount.holds_files()
        });
        match writable.map(|mount| mount.point.display().to_string()).collect::<Vec<_>>()[..] {
            [] => Ok(()),
            ref others => Err(format!("it can write to {}", others.join(", "))),
        }
    }

    fn has_status(&self, name: &str, expected: &str) -> Result<(), String> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        match line.map(str::trim) {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(format!("{name} is {found}")),
            None => Err(format!("the kernel does not tell {name}")),
        }
    }

    fn has_limits_of_files(&self, most: Amounts) -> Result<(), String> {
        let limits = self.read("limits")?;
        let hard = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        };
        match hard("Max open files") {
            Some(hard) if hard <= most.files => {}
            Some(hard) => return Err(format!("it may open {hard} files")),
            None => return Err("it may open any number of files".to_owned()),
        }
        match hard("Max file size") {
            Some(hard) if hard <= most.file_bytes => Ok(()),
            Some(hard) => Err(format!("it may write files of {hard} bytes")),
            None => Err("it may write files of any size".to_owned()),
        }
    }

    /// A limit of its cgroup, in version 1 or 2.
    fn limit(&self, controller: &str, [old, new]: [&str; 2], most: u64) -> Result<(), String> {
        let groups = self.read("cgroup")?;
        let folders = groups.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
            if controllers.is_empty() {
                Some(Path::new("/sys/fs/cgroup").join(path).join(new))
            } else {
                let is_it = controllers.split(',').any(|one| one == controller);
                is_it.then(|| Path::new("/sys/fs/cgroup").join(controller).join(path).join(old))
            }
        });
        let limits =
            folders.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
        match limits.min() {
            Some(limit) if limit <= most => Ok(()),
            Some(limit) => Err(format!("the limit `{controller}` of its cgroup is {limit}")),
            None => Err(format!("its cgroup has no limit `{controller}`")),
        }
    }
}

/// One line of `mountinfo`.
struct Mount {
    point: PathBuf,
    kind: String,
    /// True if all of what was mounted is here, and not one file or folder of it.
    is_whole: bool,
    is_fixed: bool,
}

impl Mount {
    /// See proc_pid_mountinfo(5).
    fn of(line: &str) -> Option<Mount> {
        let (head, tail) = line.split_once(" - ")?;
        let head: Vec<&str> = head.split(' ').collect();
        let [_, _, _, root, point, options, ..] = head[..] else { return None };
        Some(Mount {
            point: unescaped(point),
            kind: tail.split(' ').next()?.to_owned(),
            is_whole: root == "/",
            is_fixed: options.split(',').any(|option| option == "ro"),
        })
    }

    /// True if a process of the container could keep anything there.
    fn holds_files(&self) -> bool {
        // Such as `/dev/null`, which also lies on files that nobody should read.
        let is_in_place = ["/dev", "/proc", "/sys"].iter().any(|top| self.point.starts_with(top));
        let is_device =
            is_in_place && !self.is_whole && matches!(&*self.kind, "tmpfs" | "devtmpfs");
        !(OF_THE_KERNEL.contains(&&*self.kind) || is_device)
    }
}

/// A path in which the kernel wrote some letters as numbers of three octal digits.
fn unescaped(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match number.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(letter) => {
                path.push(letter);
                rest = &after[3..];
            }
            None => {
                path.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_with_fewer_layers_than_the_first_is_refused() {
        #[track_caller]
        fn check(lacking: &[Layer], first_lacks: &[Layer], is_good: bool) {
            let report = |lacking: &[Layer]| {
                let mut report = SandboxReport::default();
                for layer in [Layer::Cgroup, Layer::NetworkNamespace] {
                    report.add(layer, true, || match lacking.contains(&layer) {
                        true => Err(Missing::new("none", "none")),
                        false => Ok(()),
                    });
                }
                report
            };
            let found = check_as_before(&report(lacking), &report(first_lacks));
            assert_eq!(found.is_ok(), is_good, "{lacking:?} after {first_lacks:?}");
        }
        check(&[], &[], true);
        check(&[Layer::Cgroup], &[Layer::Cgroup], true);
        check(&[], &[Layer::Cgroup], true);
        check(&[Layer::Cgroup], &[], false);
        check(&[Layer::Cgroup, Layer::NetworkNamespace], &[Layer::Cgroup], false);
    }

    const AMOUNTS: Amounts =
        Amounts { memory: 1 << 20, processes: 16, files: 64, file_bytes: 1 << 20 };

    #[test]
    fn this_process_is_in_no_container() {
        let report = look(std::process::id(), AMOUNTS, &[]);
        let holds = |layer| report.is_enforced(layer);
        for layer in
            [Layer::UserNamespace, Layer::NetworkNamespace, Layer::MountNamespace, Layer::Scopes]
        {
            assert!(!holds(layer), "{layer}");
        }
        assert!(!holds(Layer::Limits) && !holds(Layer::Cgroup) && !holds(Layer::Processes));
    }

    /// Each fact alone makes its layer missing.
    #[test]
    fn each_fact_counts() {
        #[track_caller]
        fn check(file: &str, content: &str, expected: &[Layer]) {
            let folder = tempfile::tempdir().unwrap();
            let (process, own) = (folder.path().join("1"), folder.path().join("self"));
            for (of, mark) in [(&process, "a"), (&own, "b")] {
                fs::create_dir_all(of.join("ns")).unwrap();
                fs::create_dir_all(of.join("net")).unwrap();
                for name in ["user", "net", "ipc", "mnt", "pid"] {
                    std::os::unix::fs::symlink(format!("{name}:{mark}"), of.join("ns").join(name))
                        .unwrap();
                }
            }
            let none = "0000000000000000";
            let status = format!(
                "CapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\nCapAmb:\t{none}\n\
                 NoNewPrivs:\t1\nSeccomp:\t2\n"
            );
            let good = [
                ("net/dev", "head\nhead\n    lo: 0 0\n"),
                ("mountinfo", "73 48 0:40 / / ro,relatime - overlay overlay rw\n"),
                ("status", &status),
                (
                    "limits",
                    "Max file size     1048576   1048576  bytes\nMax open files    64     64  files\n",
                ),
                ("cgroup", "0::/\n"),
            ];
            for (name, content) in good {
                fs::write(process.join(name), content).unwrap();
            }
            if file.starts_with("ns/") {
                fs::remove_file(process.join(file)).unwrap();
                std::os::unix::fs::symlink(content, process.join(file)).unwrap();
            } else if !file.is_empty() {
                fs::write(process.join(file), content).unwrap();
            }
            let granted = Path::new("/granted to it");
            let report = look_at(&Around { process, own }, AMOUNTS, &[granted]);
            let missing: Vec<Layer> = report.missing().map(|(layer, _)| layer).collect();
            // No cgroup of this name is there.
            let others: Vec<Layer> = missing
                .into_iter()
                .filter(|it| !matches!(it, Layer::Cgroup | Layer::Processes))
                .collect();
            assert_eq!(others, expected, "{file}: {content}");
        }
        check("", "", &[]);
        check("ns/user", "user:b", &[Layer::UserNamespace]);
        check("ns/net", "net:b", &[Layer::NetworkNamespace]);
        check("net/dev", "head\nhead\n    lo: 0\n  eth0: 0\n", &[Layer::NetworkNamespace]);
        check("ns/ipc", "ipc:b", &[Layer::IpcNamespace]);
        check("ns/mnt", "mnt:b", &[Layer::MountNamespace]);
        check("mountinfo", "73 48 0:40 / / rw,relatime - overlay o rw\n", &[Layer::MountNamespace]);
        let root = "73 48 0:40 / / ro,relatime - overlay overlay rw\n";
        let with = |line: &str, expected| check("mountinfo", &format!("{root}{line}\n"), expected);
        with("74 73 0:42 / /proc rw,nosuid - proc proc rw", &[]);
        with("75 73 0:43 / /dev ro,nosuid - tmpfs tmpfs rw,size=64k,mode=755", &[]);
        with("54 74 0:43 /null /proc/keys rw,nosuid - tmpfs tmpfs rw,mode=755", &[]);
        with("45 75 0:6 /zero /dev/zero rw,nosuid - devtmpfs devtmpfs rw", &[]);
        let masked = "83 76 0:46 / /sys/fs/cgroup rw shared:4 - tmpfs tmpfs rw,mode=755\n\
                      84 83 0:49 / /sys/fs/cgroup ro,relatime - tmpfs tmpfs ro";
        with(masked, &[]);
        with(
            "79 73 254:0 /home/a /granted\\040to\\040it/below rw,relatime - ext4 /dev/vda rw",
            &[],
        );
        with(r"79 73 254:0 /home/a /granted\040to\040it rw,relatime - ext4 /dev/vda rw", &[]);
        with("79 73 254:0 /home/a /other ro,relatime - ext4 /dev/vda rw", &[]);
        for writable in [
            // On top of the root folder.
            "74 73 0:41 / / rw,relatime - tmpfs tmpfs rw",
            "76 73 0:43 / /tmp rw,nosuid - tmpfs tmpfs rw",
            "75 73 0:43 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755",
            "83 76 0:46 / /sys/fs/cgroup rw shared:4 - tmpfs tmpfs rw,mode=755",
            "76 73 0:43 / /dev/shm rw,nosuid - tmpfs tmpfs rw",
            "79 73 254:0 /home/a /granted\\040to\\040it-too rw,relatime - ext4 /dev/vda rw",
            "76 73 0:43 / /dev rw,nosuid - ext4 /dev/vda rw",
            "45 75 0:6 / /dev rw,nosuid - devtmpfs devtmpfs rw",
            "45 75 0:43 /folder /other rw,nosuid - tmpfs tmpfs rw",
            "79 73 254:0 /home/a /other rw,relatime - ext4 /dev/vda rw",
            "what is this",
        ] {
            with(writable, &[Layer::MountNamespace]);
        }
        check("mountinfo", "", &[Layer::MountNamespace]);
        let sized = "Max file size     1048576   1048576  bytes\n";
        check("limits", &format!("{sized}Max open files   64   1024   files\n"), &[Layer::Limits]);
        let unsized_files =
            "Max file size  1048576  unlimited  bytes\nMax open files  64  64  files\n";
        check("limits", unsized_files, &[Layer::Limits]);
        check("ns/pid", "pid:b", &[Layer::Scopes]);
        let without = |changed: &str| {
            let none = "0000000000000000";
            let lines = format!(
                "CapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\nCapAmb:\t{none}\n\
                 NoNewPrivs:\t1\nSeccomp:\t2\n"
            );
            let name = changed.split(':').next().unwrap_or_default().to_owned();
            let lines = lines.lines().map(|line| match line.starts_with(&name) {
                true => changed,
                false => line,
            });
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        check("status", &without("CapBnd:\t0000000000000400"), &[Layer::Capabilities]);
        check("status", &without("NoNewPrivs:\t0"), &[Layer::NoNewPrivileges]);
        check("status", &without("Seccomp:\t0"), &[Layer::SystemCalls]);
    }
}
