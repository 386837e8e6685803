//! The filter of system calls of containers, as engines read it. The list is that of `container_calls` in
//! `glovebox-sandbox`.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use glovebox_sandbox::{ArgumentBits, CallAnswer, container_calls};
use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::{Value, json};

/// A filter in memory, which is gone with this process, however that ends.
pub(super) struct Filter {
    memory: OwnedFd,
}

impl Filter {
    pub(super) fn new() -> std::io::Result<Filter> {
        let memory = memfd_create("glovebox-seccomp", MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(&serde_json::to_vec(&profile())?)?;
        Ok(Filter { memory: file.into() })
    }

    /// The path by which the client of an engine reads it.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.memory.as_raw_fd())
    }
}

/// The filter as engines read it. Without a list of architectures, calls of any other than the machine's
/// own end the process.
fn profile() -> Value {
    const NOT_PERMITTED: i32 = rustix::io::Errno::PERM.raw_os_error();
    const NO_SUCH_CALL: i32 = rustix::io::Errno::NOSYS.raw_os_error();
    let rules = container_calls().into_iter().map(|call| {
        let names = [call.name];
        match call.answer {
            CallAnswer::Made => json!({ "names": names, "action": "SCMP_ACT_ALLOW" }),
            CallAnswer::MadeIf(bits) => {
                let conditions: Vec<Value> = bits.into_iter().map(condition).collect();
                json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": conditions })
            }
            CallAnswer::Unknown => {
                json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": NO_SUCH_CALL })
            }
        }
    });
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": NOT_PERMITTED,
        "syscalls": rules.collect::<Vec<_>>(),
    })
}

fn condition(bits: ArgumentBits) -> Value {
    let ArgumentBits { argument, mask, value } = bits;
    match mask {
        u64::MAX => json!({ "index": argument, "value": value, "op": "SCMP_CMP_EQ" }),
        mask => json!({
            "index": argument, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_can_read_it() {
        let filter = Filter::new().unwrap();
        let read = std::fs::read_to_string(filter.path()).unwrap();
        let read: Value = serde_json::from_str(&read).unwrap();
        assert_eq!(read, profile());
        let rules = read["syscalls"].as_array().unwrap();
        let of = |name: &str| -> Vec<&Value> {
            rules.iter().filter(|rule| rule["names"][0] == name).collect()
        };
        assert_eq!(of("read"), [&json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW" })]);
        let pairs = of("socketpair");
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[0]["args"][1]["valueTwo"], 1);
        assert_eq!(of("openat2")[0]["errnoRet"], 38);
        assert!(of("mknodat").is_empty());
    }
}
