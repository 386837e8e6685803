use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The permissions of a process in its sandbox: plain data, which can be sent to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Profile {
    /// The layers that are wanted. [`Layer::Cgroup`] is made outside and means nothing here.
    pub layers: BTreeSet<Layer>,
    /// The things that the process may reach.
    pub reach: Reach,
    /// The amounts that it may use up.
    pub limits: Limits,
    /// How system calls are chosen.
    pub system_calls: SystemCalls,
    /// The process whose death kills this one: its parent.
    pub parent: Option<u32>,
}

impl Profile {
    /// All layers; no files, no network, no other processes.
    pub fn strictest() -> Profile {
        Profile {
            layers: Layer::ALL.into_iter().collect(),
            reach: Reach::default(),
            limits: Limits::default(),
            system_calls: SystemCalls::DenyList,
            parent: None,
        }
    }

    /// True if the layer is wanted.
    pub fn wants(&self, layer: Layer) -> bool {
        self.layers.contains(&layer)
    }
}

/// The things around it that a process may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reach {
    /// Folders, and files, by handles that are open in the process.
    pub folders: Vec<Folder>,
    /// Reading the folders of the system that hold shared libraries, which the loader needs to open
    /// one that depends on others.
    pub libraries: bool,
    /// Reading and running the programs of the system, with all that lies in `/usr`. Other programs
    /// can then take this one's place, in the same sandbox.
    pub programs: bool,
    /// The network.
    pub network: Network,
}

/// A folder or a file that a process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Folder {
    /// The number of the open file descriptor; a path could lead elsewhere by then.
    pub descriptor: i32,
    /// The access to it.
    pub access: Access,
}

/// The access to a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Reading.
    Read,
    /// Reading a file, and running it as a program, where [`Reach::programs`] permits that.
    Run,
    /// Reading and writing. No device, no socket, no named pipe and no symbolic link can be made, and no
    /// file that gives a program another's rights.
    ReadWrite,
}

/// How much of the network a process may use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Nothing: no sockets.
    #[default]
    Denied,
    /// TCP, by ports. The kernel knows no names of hosts: a port is open to all of them.
    Tcp {
        /// Ports to connect to.
        connect: Vec<u16>,
        /// Ports to listen at.
        listen: Vec<u16>,
    },
    /// All of TCP and UDP.
    Open,
}

/// The amounts that a process may use up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limits {
    /// Bytes of its own writable memory (`RLIMIT_DATA`); what is shared with others is not counted.
    pub memory: Option<u64>,
    /// Bytes of addresses (`RLIMIT_AS`): what is shared, mapped or only reserved counts too.
    pub address_space: Option<u64>,
    /// Other processes that it may start; with 0, it also runs no other program.
    pub processes: u32,
    /// Threads that it may have.
    pub threads: u32,
    /// Open file descriptors.
    pub files: u32,
    /// Bytes of a file that it writes, shared memory included.
    pub file_size: Option<u64>,
    /// Seconds of processor time.
    pub processor_seconds: Option<u64>,
}

impl Default for Limits {
    /// 256 MiB of memory in 4 GiB of addresses, no processes, 64 threads, 64 files of 64 MiB.
    fn default() -> Self {
        Limits {
            memory: Some(256 << 20),
            address_space: Some(4 << 30),
            processes: 0,
            threads: 64,
            files: 64,
            file_size: Some(64 << 20),
            processor_seconds: None,
        }
    }
}

/// How system calls are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemCalls {
    /// All but those that lead out of a sandbox or that few programs need. A denied call fails.
    DenyList,
    /// Only those that computing, threads and the permitted files need. Any other ends the process.
    Strict,
}

/// One layer of the sandbox, in the order in which they are entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Layer {
    /// Memory, processes and the kill of all at once, counted for the whole tree of processes.
    Cgroup,
    /// Users of its own: no privilege counts outside.
    UserNamespace,
    /// A network of its own, with nobody in it.
    NetworkNamespace,
    /// Shared memory and queues of its own.
    IpcNamespace,
    /// A root folder of its own, in which only what is permitted can be seen.
    MountNamespace,
    /// Limits of memory, files and time for each process.
    Limits,
    /// A limit of the number of processes and threads.
    Processes,
    /// No privileges of a superuser.
    Capabilities,
    /// No privileges from a program that it starts.
    NoNewPrivileges,
    /// No look into its memory, and no core file.
    NotDumpable,
    /// Its end when the host ends.
    ParentDeath,
    /// Files and folders, by Landlock.
    Files,
    /// TCP ports, by Landlock.
    Ports,
    /// Signals and abstract sockets of processes outside, by Landlock.
    Scopes,
    /// System calls, by seccomp.
    SystemCalls,
}

impl Layer {
    /// All of them.
    pub const ALL: [Layer; 15] = [
        Layer::Cgroup,
        Layer::UserNamespace,
        Layer::NetworkNamespace,
        Layer::IpcNamespace,
        Layer::MountNamespace,
        Layer::Limits,
        Layer::Processes,
        Layer::Capabilities,
        Layer::NoNewPrivileges,
        Layer::NotDumpable,
        Layer::ParentDeath,
        Layer::Files,
        Layer::Ports,
        Layer::Scopes,
        Layer::SystemCalls,
    ];

    /// The name, as reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Cgroup => "cgroup",
            Layer::UserNamespace => "user-namespace",
            Layer::NetworkNamespace => "network-namespace",
            Layer::IpcNamespace => "ipc-namespace",
            Layer::MountNamespace => "mount-namespace",
            Layer::Limits => "limits",
            Layer::Processes => "processes",
            Layer::Capabilities => "capabilities",
            Layer::NoNewPrivileges => "no-new-privileges",
            Layer::NotDumpable => "not-dumpable",
            Layer::ParentDeath => "parent-death",
            Layer::Files => "files",
            Layer::Ports => "ports",
            Layer::Scopes => "scopes",
            Layer::SystemCalls => "system-calls",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
