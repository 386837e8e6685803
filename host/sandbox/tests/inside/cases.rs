//! The table: forbidden things, and the layers that forbid them.

use glovebox_sandbox::{Access, Layer, Network, Profile, SystemCalls};

use crate::attempts::{self, Outside, Tried};

/// A forbidden thing.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Each of them forbids it alone.
    pub(crate) guards: &'static [Layer],
    /// They help, or do on some kernels: without them and the guards, it succeeds.
    pub(crate) helpers: &'static [Layer],
    /// The changes of the profile from the strictest one.
    pub(crate) adjust: fn(&mut Profile, &Outside),
    pub(crate) attempt: fn(&Outside) -> Tried,
    /// Guards that forbid it to an ordinary user only.
    pub(crate) not_root: &'static [Layer],
}

const CASE: Case = Case {
    name: "",
    guards: &[],
    helpers: &[],
    adjust: |_, _| {},
    attempt: |_| Tried::Failed(0),
    not_root: &[],
};

use Layer::{
    Capabilities, Files, IpcNamespace, Limits, MountNamespace, NetworkNamespace, NoNewPrivileges,
    NotDumpable, ParentDeath, Ports, Processes, Scopes, SystemCalls as Calls, UserNamespace,
};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "write outside",
        guards: &[Files, MountNamespace],
        attempt: attempts::write_outside,
        ..CASE
    },
    Case {
        name: "read outside",
        guards: &[Files, MountNamespace],
        attempt: attempts::read_outside,
        ..CASE
    },
    Case {
        name: "list outside",
        guards: &[Files, MountNamespace],
        attempt: attempts::list_outside,
        ..CASE
    },
    Case {
        name: "list the libraries of the system",
        guards: &[Files],
        adjust: |profile, _| profile.reach.libraries = true,
        attempt: attempts::list_libraries,
        ..CASE
    },
    Case {
        name: "take the asynchronous input and output of the machine",
        guards: &[Calls],
        attempt: attempts::set_up_input_and_output,
        ..CASE
    },
    Case { name: "make many timers", guards: &[Limits], attempt: attempts::many_timers, ..CASE },
    Case {
        name: "make a pipe larger",
        guards: &[Calls],
        attempt: attempts::enlarge_a_pipe,
        ..CASE
    },
    Case {
        name: "see that a file is there",
        guards: &[MountNamespace],
        attempt: attempts::see_outside,
        ..CASE
    },
    Case {
        name: "see it through the handle of a folder",
        guards: &[MountNamespace],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::Read)],
        attempt: attempts::see_through_handle,
        ..CASE
    },
    Case {
        name: "write in a folder given for reading",
        guards: &[Files, MountNamespace],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::Read)],
        attempt: attempts::write_in_folder,
        ..CASE
    },
    Case {
        name: "write in a mount in a folder given for reading",
        guards: &[Files, MountNamespace],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::Read)],
        attempt: attempts::write_in_mount,
        ..CASE
    },
    Case {
        name: "leave a folder by `..`",
        guards: &[Files, MountNamespace],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::leave_folder,
        ..CASE
    },
    Case {
        name: "make a link in a folder",
        guards: &[Files],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::link_in_folder,
        ..CASE
    },
    Case {
        name: "change the mode of a folder given for reading",
        guards: &[MountNamespace, Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::Read)],
        attempt: attempts::change_mode,
        ..CASE
    },
    Case {
        name: "lock a folder given for reading",
        guards: &[Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::Read)],
        attempt: attempts::lock_alone,
        ..CASE
    },
    Case {
        name: "set a file's bit of its user",
        guards: &[Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::set_user,
        ..CASE
    },
    Case {
        name: "set a file's bit of its group by a handle",
        guards: &[Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::set_group_by_handle,
        ..CASE
    },
    Case {
        name: "set a file's bit of its user in a folder",
        guards: &[Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::set_user_at,
        ..CASE
    },
    Case {
        name: "set a file's bit of its user by the newer call",
        guards: &[Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::set_user_at_2,
        ..CASE
    },
    Case {
        name: "make a file with a bit of its user",
        guards: &[Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::open_with_user,
        ..CASE
    },
    Case {
        name: "make a file with a bit of its user by the newer call",
        guards: &[Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::open_with_user_2,
        ..CASE
    },
    Case {
        name: "make a folder with a sticky bit",
        guards: &[Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::make_sticky_folder,
        ..CASE
    },
    Case {
        name: "make a pipe with a name",
        guards: &[Files, Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::make_pipe,
        ..CASE
    },
    Case {
        name: "let others wait before they open a file",
        guards: &[Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::lease,
        ..CASE
    },
    Case { name: "watch files", guards: &[Calls], attempt: attempts::watch_files, ..CASE },
    Case {
        name: "write a file beyond its limit",
        guards: &[Limits],
        adjust: |profile, outside| {
            profile.reach.folders = vec![outside.folder(Access::ReadWrite)];
            profile.limits.file_size = Some(64 << 10);
        },
        attempt: attempts::write_much,
        ..CASE
    },
    Case {
        name: "take room behind the end of a file",
        guards: &[Calls],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::hide_room,
        ..CASE
    },
    Case {
        name: "take room behind the end of a file by a request",
        guards: &[Calls],
        // From Landlock ABI 5 on.
        helpers: &[Files],
        adjust: |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempt: attempts::hide_room_by_request,
        ..CASE
    },
    Case {
        name: "connect by TCP",
        guards: &[NetworkNamespace, Ports, Calls],
        attempt: attempts::tcp,
        ..CASE
    },
    Case {
        name: "connect by TCP, IPv6",
        guards: &[NetworkNamespace, Ports, Calls],
        attempt: attempts::tcp6,
        ..CASE
    },
    Case {
        name: "listen at a TCP port",
        guards: &[Ports, Calls],
        attempt: attempts::listen,
        ..CASE
    },
    Case {
        name: "connect to a port that is not permitted",
        guards: &[Ports],
        adjust: |profile, _| {
            profile.reach.network = Network::Tcp { connect: vec![1], listen: Vec::new() };
        },
        attempt: attempts::tcp,
        ..CASE
    },
    Case { name: "send UDP", guards: &[NetworkNamespace, Calls], attempt: attempts::udp, ..CASE },
    Case {
        name: "send UDP where TCP is permitted",
        guards: &[Calls],
        adjust: |profile, _| {
            profile.reach.network = Network::Tcp { connect: vec![1], listen: Vec::new() };
        },
        attempt: attempts::udp,
        ..CASE
    },
    Case {
        name: "connect to a socket in a folder",
        guards: &[MountNamespace, Calls],
        // From Landlock ABI 9 on.
        helpers: &[Files],
        attempt: attempts::unix_path,
        ..CASE
    },
    Case {
        name: "connect to an abstract socket",
        guards: &[NetworkNamespace, Scopes, Calls],
        attempt: attempts::unix_abstract,
        ..CASE
    },
    Case {
        name: "send a datagram to a socket in a folder",
        guards: &[MountNamespace, Calls],
        // From Landlock ABI 9 on.
        helpers: &[Files],
        attempt: attempts::datagram_path,
        ..CASE
    },
    Case {
        name: "send a datagram to an abstract socket",
        guards: &[NetworkNamespace, Scopes, Calls],
        attempt: attempts::datagram_abstract,
        ..CASE
    },
    Case { name: "open netlink", guards: &[Calls], attempt: attempts::netlink, ..CASE },
    Case {
        name: "open a raw socket",
        guards: &[Capabilities, Calls],
        attempt: attempts::raw,
        ..CASE
    },
    Case {
        name: "trace the parent",
        guards: &[Files, Ports, Scopes, UserNamespace, Calls],
        // A process is only reached by one with at least its capabilities, which are many of
        // root's.
        helpers: &[Capabilities],
        attempt: attempts::ptrace,
        ..CASE
    },
    Case {
        name: "read the memory of the parent",
        guards: &[Files, Ports, Scopes, UserNamespace, Calls],
        // A process is only reached by one with at least its capabilities, which are many of
        // root's.
        helpers: &[Capabilities],
        attempt: attempts::process_vm,
        ..CASE
    },
    Case {
        name: "open /proc/PARENT/mem",
        guards: &[Files, MountNamespace, Ports, Scopes, UserNamespace],
        // A process is only reached by one with at least its capabilities, which are many of
        // root's.
        helpers: &[Capabilities],
        attempt: attempts::proc_mem,
        ..CASE
    },
    Case { name: "kill the parent", guards: &[Scopes, Calls], attempt: attempts::kill, ..CASE },
    Case {
        name: "signal the parent as the owner of a file",
        guards: &[Scopes, Calls],
        attempt: attempts::signal_by_owner,
        ..CASE
    },
    Case {
        name: "signal the parent as an owner of a kind",
        guards: &[Scopes, Calls],
        attempt: attempts::signal_by_owner_of_a_kind,
        ..CASE
    },
    Case {
        name: "signal the parent as the owner of a socket",
        guards: &[Scopes, Calls],
        attempt: attempts::signal_by_socket,
        ..CASE
    },
    Case {
        name: "signal the parent as the group of a socket",
        guards: &[Scopes, Calls],
        attempt: attempts::signal_by_group_of_socket,
        ..CASE
    },
    Case {
        name: "choose the signal of a file",
        guards: &[Calls],
        attempt: attempts::choose_signal,
        ..CASE
    },
    Case {
        name: "take the parent's limits",
        guards: &[Calls],
        attempt: attempts::limit_parent,
        ..CASE
    },
    Case {
        name: "slow the parent down",
        guards: &[Calls],
        helpers: &[Capabilities],
        attempt: attempts::renice,
        ..CASE
    },
    Case {
        name: "fork",
        guards: &[Processes, Calls],
        not_root: &[Processes],
        adjust: |profile, _| profile.limits.threads = 1,
        attempt: attempts::fork,
        ..CASE
    },
    Case {
        name: "fork without end",
        guards: &[Processes],
        not_root: &[Processes],
        adjust: |profile, _| (profile.limits.processes, profile.limits.threads) = (8, 1),
        attempt: attempts::fork_bomb,
        ..CASE
    },
    Case {
        name: "leave the group of processes",
        guards: &[Calls],
        attempt: attempts::leave_group,
        ..CASE
    },
    Case {
        name: "run a program",
        guards: &[Files, MountNamespace, Calls],
        attempt: attempts::execute,
        ..CASE
    },
    Case {
        name: "run a file of a folder, where the programs of the system may run",
        guards: &[Files],
        adjust: |profile, outside| {
            profile.reach.programs = true;
            profile.reach.folders = vec![outside.folder(Access::ReadWrite)];
        },
        attempt: attempts::execute_in_folder,
        ..CASE
    },
    Case {
        name: "use much memory",
        guards: &[Limits],
        adjust: |profile, _| profile.limits.memory = Some(64 << 20),
        attempt: attempts::memory,
        ..CASE
    },
    Case {
        name: "compute for long",
        guards: &[Limits],
        adjust: |profile, _| profile.limits.processor_seconds = Some(1),
        attempt: attempts::compute_long,
        ..CASE
    },
    Case {
        name: "use much memory that grows down",
        guards: &[Calls],
        attempt: attempts::memory_that_grows_down,
        ..CASE
    },
    Case {
        name: "use much memory as a stack",
        guards: &[Limits],
        attempt: attempts::large_stack,
        ..CASE
    },
    Case {
        name: "share much memory",
        guards: &[Limits, Calls],
        adjust: |profile, _| profile.limits.address_space = Some(512 << 20),
        attempt: attempts::shared_memory,
        ..CASE
    },
    Case { name: "keep memory in files", guards: &[Calls], attempt: attempts::memory_file, ..CASE },
    Case { name: "open many files", guards: &[Limits], attempt: attempts::files, ..CASE },
    Case {
        name: "use io_uring",
        guards: &[Calls],
        // The rings of an ordinary user are locked memory.
        helpers: &[Limits],
        attempt: attempts::io_uring,
        ..CASE
    },
    Case { name: "make a namespace", guards: &[Calls], attempt: attempts::namespace, ..CASE },
    Case {
        name: "make a namespace by clone",
        guards: &[Calls],
        adjust: |profile, _| profile.limits.processes = 8,
        attempt: attempts::namespace_by_clone,
        ..CASE
    },
    Case {
        name: "make a namespace by clone3",
        guards: &[Calls],
        attempt: attempts::namespace_by_clone3,
        ..CASE
    },
    Case {
        name: "change the root folder",
        guards: &[Capabilities, Calls],
        attempt: attempts::chroot,
        ..CASE
    },
    Case { name: "use the kernel's keys", guards: &[Calls], attempt: attempts::keys, ..CASE },
    Case {
        name: "map shared memory of the parent",
        guards: &[IpcNamespace, Calls],
        attempt: attempts::segment,
        ..CASE
    },
    Case {
        name: "ask about shared memory of the parent",
        guards: &[IpcNamespace, Calls],
        attempt: attempts::ask_segment,
        ..CASE
    },
    Case {
        name: "raise a semaphore of the parent",
        guards: &[IpcNamespace, Calls],
        attempt: attempts::raise_semaphore,
        ..CASE
    },
    Case {
        name: "raise a semaphore of the parent in time",
        guards: &[IpcNamespace, Calls],
        attempt: attempts::raise_semaphore_in_time,
        ..CASE
    },
    Case {
        name: "ask about a semaphore of the parent",
        guards: &[IpcNamespace, Calls],
        attempt: attempts::ask_semaphore,
        ..CASE
    },
    Case {
        name: "put a message into a queue of the parent",
        guards: &[IpcNamespace, Calls],
        attempt: attempts::send_message,
        ..CASE
    },
    Case {
        name: "take a message out of a queue of the parent",
        guards: &[IpcNamespace, Calls],
        attempt: attempts::receive_message,
        ..CASE
    },
    Case {
        name: "ask about a queue of the parent",
        guards: &[IpcNamespace, Calls],
        attempt: attempts::ask_queue,
        ..CASE
    },
    Case {
        name: "be asked whether it is dumpable",
        guards: &[NotDumpable],
        attempt: attempts::dumpable,
        ..CASE
    },
    Case { name: "be dumped again", guards: &[Calls], attempt: attempts::set_dumpable, ..CASE },
    Case {
        name: "be asked whether it outlives the parent",
        guards: &[ParentDeath],
        attempt: attempts::outlive,
        ..CASE
    },
    Case {
        name: "take back the signal of the parent's death",
        guards: &[Calls],
        attempt: attempts::take_back_signal,
        ..CASE
    },
    Case {
        name: "be asked whether programs give privileges",
        guards: &[NoNewPrivileges],
        // They ask for it themselves.
        helpers: &[Files, Ports, Scopes, Calls],
        attempt: attempts::new_privileges,
        ..CASE
    },
    Case {
        name: "make a call that the strict list lacks",
        guards: &[Calls],
        adjust: |profile, _| profile.system_calls = SystemCalls::Strict,
        attempt: attempts::unlisted,
        ..CASE
    },
];

/// A permitted thing, the changes of the profile that it needs, and its attempt. It must succeed
/// with all layers.
pub(crate) type Permitted = (&'static str, fn(&mut Profile, &Outside), fn(&Outside) -> Tried);

pub(crate) const PERMITTED: &[Permitted] = &[
    ("compute, in threads", |_, _| {}, attempts::threads),
    ("talk over a pair of sockets", |_, _| {}, attempts::pair),
    ("end by its own signal", |_, _| {}, attempts::own_signal),
    (
        "read in a folder",
        |profile, outside| profile.reach.folders = vec![outside.folder(Access::Read)],
        attempts::read_in_folder,
    ),
    (
        "write in a folder",
        |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempts::write_in_folder,
    ),
    (
        "take room for a file",
        |profile, outside| profile.reach.folders = vec![outside.folder(Access::ReadWrite)],
        attempts::take_room,
    ),
    ("open a library", |profile, _| profile.reach.libraries = true, attempts::library),
    (
        "run a program of the system",
        |profile, _| profile.reach.programs = true,
        attempts::execute_of_the_system,
    ),
    (
        "connect to a permitted port",
        |profile, outside| {
            let connect = vec![outside.tcp, outside.tcp6.unwrap_or(1)];
            profile.reach.network = Network::Tcp { connect, listen: Vec::new() };
        },
        attempts::tcp,
    ),
    (
        "send UDP in an open network",
        |profile, _| profile.reach.network = Network::Open,
        attempts::udp,
    ),
    (
        "start as many processes as permitted",
        |profile, _| profile.limits.processes = 8,
        attempts::fork,
    ),
];
