//! The filter of system calls of containers: that of the engine, without the calls that make namespaces and
//! mounts, trace, or reach parts of the kernel that a plugin has no use for. An engine that relies on
//! capabilities lets all of them through, and a namespace of users gives a process new ones inside.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::{Value, json};

/// The calls that are left out.
const LEFT_OUT: &[&str] = &[
    "add_key",
    "bpf",
    "chroot",
    "clone",
    "clone3",
    "fanotify_init",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "keyctl",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "personality",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "request_key",
    "setns",
    "umount",
    "umount2",
    "unshare",
    "userfaultfd",
];

/// The flags of `clone` that make namespaces: `CLONE_NEWNS`, `_NEWCGROUP`, `_NEWUTS`, `_NEWIPC`, `_NEWUSER`,
/// `_NEWPID`, `_NEWNET`.
const NAMESPACES: u64 = 0x7E02_0000;

/// `ENOSYS`: libraries then use `clone`, whose flags can be looked at.
const NO_SUCH_CALL: u32 = 38;

/// The longest profile that is read.
const MAX_PROFILE: u64 = 4 << 20;

/// The engine's profile, tightened: in memory, which is gone with this process, however that ends.
pub(super) struct Filter {
    memory: OwnedFd,
}

impl Filter {
    pub(super) fn of(profile: &Path) -> std::io::Result<Filter> {
        let text = glovebox_files::read_to_string(profile, MAX_PROFILE)?;
        let tight = tighten(serde_json::from_str(&text)?)?;
        let memory = memfd_create("glovebox-seccomp", MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(&serde_json::to_vec(&tight)?)?;
        Ok(Filter { memory: file.into() })
    }

    /// The path by which the client of an engine reads it.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.memory.as_raw_fd())
    }
}

fn tighten(mut profile: Value) -> std::io::Result<Value> {
    let unknown = || std::io::Error::other("it is no list of allowed calls");
    let denies = profile.get("defaultAction").is_some_and(|action| action == "SCMP_ACT_ERRNO");
    let rules = profile.get_mut("syscalls").and_then(Value::as_array_mut);
    let rules = rules.filter(|_| denies).ok_or_else(unknown)?;
    for rule in rules.iter_mut().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW") {
        let names = rule.get_mut("names").and_then(Value::as_array_mut).ok_or_else(unknown)?;
        names.retain(|name| name.as_str().is_none_or(|name| !LEFT_OUT.contains(&name)));
    }
    rules.retain(|rule| rule["names"].as_array().is_none_or(|names| !names.is_empty()));
    rules.push(json!({
        "names": ["clone"],
        "action": "SCMP_ACT_ALLOW",
        "args": [{ "index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }],
    }));
    rules.push(json!({
        "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": NO_SUCH_CALL,
    }));
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_can_read_it() {
        let profile = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&profile, r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}"#).unwrap();
        let filter = Filter::of(profile.path()).unwrap();
        let read = std::fs::read_to_string(filter.path()).unwrap();
        assert!(read.contains("SCMP_CMP_MASKED_EQ"), "{read}");
    }

    #[test]
    fn calls_that_lead_out_are_left_out() {
        let allow = |names: &[&str]| json!({ "names": names, "action": "SCMP_ACT_ALLOW" });
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [allow(&["read", "unshare", "clone"]), allow(&["setns"])],
        });
        let tight = tighten(profile).unwrap();
        let rules = tight["syscalls"].as_array().unwrap();
        assert_eq!(rules.len(), 3, "{tight}");
        assert_eq!(rules[0]["names"], json!(["read"]));
        assert_eq!(rules[1]["args"][0]["value"], 0x7E02_0000_u64);
        for other in [json!({}), json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [] })] {
            assert!(tighten(other).is_err());
        }
    }
}
