//! Starts children, and compares.

use std::fs;
use std::io::{self, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use glovebox_sandbox::{
    Cgroup, Layer, Limits, Profile, SandboxError, SandboxReport, SystemCalls, check_layers, enter,
};

use crate::attempts::{self, Outside, Tried, set_up_io_uring};
use crate::cases::{CASES, Case, PERMITTED};

/// The user `nobody`.
const NOBODY: u32 = 65_534;

/// The order to a child.
#[derive(serde::Serialize, serde::Deserialize)]
struct Order {
    /// Which thing: a place in one of the two tables.
    number: usize,
    is_permitted: bool,
    profile: Profile,
    outside: Outside,
}

/// The report of a child.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Told {
    report: SandboxReport,
    tried: Tried,
}

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--inside") => inside(),
        Some("--succeeded") => println!("executed"),
        Some("--masked") => masked(),
        Some("--in-group") => attempts::in_group(&arguments[1]),
        Some("--as-user") => run_all(arguments.get(1)),
        _ => {
            let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
            // The ordinary user comes first: root's cases are the harder ones to survive.
            if is_root() {
                let (_folder, program) = for_everybody();
                let mut command = Command::new(program);
                command.current_dir("/").arg("--as-user").args(wanted).uid(NOBODY).gid(NOBODY);
                assert!(command.status().unwrap().success(), "as an ordinary user");
            }
            run_all(wanted);
        }
    }
    ExitCode::SUCCESS
}

/// This program in a folder that everybody may enter: the one it was built in may be private. The copy
/// lives as long as the folder.
fn for_everybody() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), open).unwrap();
    let copy = folder.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    (folder, copy)
}

fn is_root() -> bool {
    // SAFETY: it takes nothing.
    unsafe { libc::geteuid() == 0 }
}

fn inside() {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).unwrap();
    let order: Order = serde_json::from_str(&text).unwrap();
    let report = enter(&order.profile).unwrap();
    let attempt =
        if order.is_permitted { PERMITTED[order.number].2 } else { CASES[order.number].attempt };
    let tried = attempt(&order.outside);
    // In one piece: a child of an attempt does not print it again.
    println!("{}", serde_json::to_string(&Told { report, tried }).unwrap());
}

fn run_all(wanted: Option<&String>) {
    let user = if is_root() { "root" } else { "an ordinary user" };
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path());
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| name.contains(wanted.as_str()));
    let mut absent = Vec::new();
    for (number, case) in CASES.iter().enumerate().filter(|(_, case)| is_wanted(case.name)) {
        match check(&world, number, case) {
            true => println!("as {user}: {} ... denied", case.name),
            false => absent.push(case.name),
        }
    }
    for (number, (name, ..)) in PERMITTED.iter().enumerate().filter(|(_, it)| is_wanted(it.0)) {
        check_permitted(&world, number);
        println!("as {user}: {name} ... permitted");
    }
    if wanted.is_none() {
        every_layer_has_a_case();
        the_canary_is_unchanged(&world);
        errors_are_named();
        absent_layers_are_missing();
        groups_hold();
        the_probe_agrees(&world);
    }
    for name in absent {
        println!("as {user}: {name} ... SKIPPED: this machine has no such thing");
    }
    println!("test result: ok, as {user}");
}

/// The signals of files that came.
static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn note_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Mounts a file system that only this process and its children see; false for an ordinary user.
fn mount_in(place: &std::path::Path) -> bool {
    fs::create_dir(place).unwrap();
    let place = std::ffi::CString::new(place.to_str().unwrap()).unwrap();
    let (none, no_options) = (std::ptr::null(), std::ptr::null());
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: all texts end in zero and live through the calls.
    unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, c"/".as_ptr(), none, private, no_options) == 0
            && libc::mount(c"tmpfs".as_ptr(), place.as_ptr(), c"tmpfs".as_ptr(), 0, no_options) == 0
    }
}

/// The listeners and folders outside, which live as long as this.
struct World {
    outside: Outside,
    _listeners: (TcpListener, Option<TcpListener>, UnixListener, UnixListener),
    _datagrams: [UnixDatagram; 2],
    udp: UdpSocket,
    _given: fs::File,
}

impl World {
    fn new(folder: &std::path::Path) -> World {
        let (canary, given) = (folder.join("canary"), folder.join("given"));
        for path in [&canary, &given] {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        fs::write(canary.join("secret"), "secret").unwrap();
        fs::write(given.join("there"), "there").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp6 = TcpListener::bind("[::1]:0").ok();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let socket = UnixListener::bind(canary.join("socket")).unwrap();
        let name = format!("glovebox-sandbox-test-{}", std::process::id());
        let datagrams = SocketAddr::from_abstract_name(format!("{name}-datagrams")).unwrap();
        let datagrams = [
            UnixDatagram::bind(canary.join("datagrams")).unwrap(),
            UnixDatagram::bind_addr(&datagrams).unwrap(),
        ];
        let handler = note_signal as extern "C" fn(libc::c_int);
        // SAFETY: the handler only adds to an atomic number.
        unsafe { libc::signal(libc::SIGIO, handler as libc::sighandler_t) };
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let abstract_socket = UnixListener::bind_addr(&address).unwrap();
        let handle = fs::File::open(&given).unwrap();
        // A child gets it, which a descriptor of Rust's would not be given.
        // SAFETY: the number is of an open descriptor.
        let descriptor = unsafe { libc::dup(handle.as_raw_fd()) };
        // SAFETY: it takes numbers.
        let segment = unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) };
        // SAFETY: they take numbers.
        let (semaphore, queue) = unsafe {
            let private = libc::IPC_PRIVATE;
            (libc::semget(private, 1, 0o600), libc::msgget(private, 0o600))
        };
        assert!(segment != -1 && semaphore != -1 && queue != -1);
        static BYTES: [u8; 8] = [1; 8];
        let outside = Outside {
            canary,
            given,
            descriptor,
            tcp: tcp.local_addr().unwrap().port(),
            tcp6: tcp6.as_ref().map(|listener| listener.local_addr().unwrap().port()),
            udp: udp.local_addr().unwrap().port(),
            abstract_socket: name,
            segment,
            semaphore,
            queue,
            parent: std::process::id(),
            address: BYTES.as_ptr().addr(),
            has_mount: mount_in(&folder.join("given/mount")),
            has_io_uring: set_up_io_uring() == Tried::Succeeded,
        };
        let listeners = (tcp, tcp6, socket, abstract_socket);
        World { outside, _listeners: listeners, _datagrams: datagrams, udp, _given: handle }
    }

    /// Runs one attempt in a child.
    fn run(&self, number: usize, is_permitted: bool, profile: Profile) -> Result<Told, String> {
        let order = Order { number, is_permitted, profile, outside: self.outside.clone() };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--inside")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        SIGNALS.store(0, Ordering::Relaxed);
        serde_json::to_writer(child.stdin.take().unwrap(), &order).unwrap();
        let output = child.wait_with_output().unwrap();
        let (told, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if told.trim() == "executed" {
            let report = SandboxReport::default();
            return Ok(Told { report, tried: Tried::Succeeded });
        }
        let mut told: Told = serde_json::from_str(&told)
            .map_err(|_| format!("signal {:?}: {told}{errors}", output.status.signal()))?;
        if told.tried == Tried::Sent {
            // It came before the child ended, if it did: the call that sent it put it there.
            let came = SIGNALS.load(Ordering::Relaxed) > 0;
            told.tried = if came { Tried::Succeeded } else { Tried::Failed(0) };
        }
        Ok(told)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: this command reads no structure, and the path ends in zero.
        unsafe {
            let mount = self.outside.given.join("mount");
            let mount = std::ffi::CString::new(mount.to_str().unwrap()).unwrap();
            libc::umount2(mount.as_ptr(), libc::MNT_DETACH);
            libc::shmctl(self.outside.segment, libc::IPC_RMID, std::ptr::null_mut());
            libc::semctl(self.outside.semaphore, 0, libc::IPC_RMID);
            libc::msgctl(self.outside.queue, libc::IPC_RMID, std::ptr::null_mut());
        }
    }
}

fn profile(world: &World, adjust: fn(&mut Profile, &Outside)) -> Profile {
    let mut profile = Profile::strictest();
    profile.parent = Some(std::process::id());
    profile.layers.remove(&Layer::Cgroup);
    adjust(&mut profile, &world.outside);
    profile
}

/// False if the machine has no such thing.
fn check(world: &World, number: usize, case: &Case) -> bool {
    let whole = profile(world, case.adjust);
    let mut guards = case.guards.to_vec();
    if is_root() {
        guards.retain(|layer| !case.not_root.contains(layer));
    }
    let run = |profile| world.run(number, false, profile);

    let mut without = whole.clone();
    let off = |layer: &Layer| !case.guards.contains(layer) && !case.helpers.contains(layer);
    without.layers.retain(off);
    // The number of processes is not counted for root, who needs none to be taken off.
    match run(without) {
        Ok(told) if told.tried == Tried::Absent => return false,
        Ok(told) if told.tried == Tried::Succeeded => {}
        told => panic!("{}: without {:?} it should succeed, but {told:?}", case.name, case.guards),
    }

    if !guards.is_empty() {
        is_denied(case, "with all layers", run(whole.clone()));
    }
    for guard in &guards {
        let mut alone = whole.clone();
        alone.layers.retain(|layer| layer == guard);
        // These an ordinary user has only within a namespace of users.
        let needs_users =
            [Layer::Processes, Layer::NetworkNamespace, Layer::IpcNamespace, Layer::MountNamespace];
        if !is_root() && needs_users.contains(guard) {
            alone.layers.insert(Layer::UserNamespace);
        }
        is_denied(case, &format!("with {guard} alone"), run(alone));
    }
    true
}

/// The signals of a filter of system calls and of the limits. At the hard limit of processor time it
/// would be SIGKILL, which says nothing.
const ENDS: [libc::c_int; 3] = [libc::SIGSYS, libc::SIGXFSZ, libc::SIGXCPU];

fn is_denied(case: &Case, with: &str, told: Result<Told, String>) {
    match told {
        Ok(Told { tried: Tried::Failed(_), .. }) => {}
        // A filter of system calls, or a limit, may end the child. Any other signal is a fault.
        Err(ended) if ENDS.iter().any(|it| ended.starts_with(&format!("signal Some({it})"))) => {}
        told => panic!("{}: {with} it should fail, but {told:?}", case.name),
    }
}

fn check_permitted(world: &World, number: usize) {
    let (name, adjust, _) = PERMITTED[number];
    for system_calls in [SystemCalls::DenyList, SystemCalls::Strict] {
        let mut profile = profile(world, adjust);
        profile.system_calls = system_calls;
        let told = world.run(number, true, profile);
        let succeeded = told.as_ref().is_ok_and(|told| told.tried == Tried::Succeeded);
        assert!(succeeded, "{name}, {system_calls:?}: {told:?}");
    }
}

fn every_layer_has_a_case() {
    for layer in Layer::ALL {
        let is_guard = CASES.iter().any(|case| case.guards.contains(&layer));
        assert!(is_guard || layer == Layer::Cgroup, "no case would turn red without {layer}");
    }
}

fn the_canary_is_unchanged(world: &World) {
    // The attempts without guards are the only ones that wrote; a datagram of theirs is the last.
    let secret = fs::read_to_string(world.outside.canary.join("secret")).unwrap();
    assert_eq!(secret, "secret");
    let mut bytes = [0; 16];
    while world.udp.recv(&mut bytes).is_ok() {}
    let number = CASES.iter().position(|case| case.name == "send UDP").unwrap();
    let told = world.run(number, false, profile(world, |_, _| {})).unwrap();
    assert_ne!(told.tried, Tried::Succeeded);
    let came = world.udp.recv(&mut bytes).map_err(|error| error.kind());
    assert_eq!(came, Err(io::ErrorKind::WouldBlock), "a datagram got out");
}

fn errors_are_named() {
    let mut profile = Profile::strictest();
    profile.reach.folders =
        vec![glovebox_sandbox::Folder { descriptor: 9999, access: glovebox_sandbox::Access::Read }];
    let error = enter(&profile).unwrap_err();
    assert!(matches!(error, SandboxError::Descriptor { descriptor: 9999, .. }), "{error}");
    let (send, receive) = std::sync::mpsc::sync_channel::<()>(0);
    let thread = std::thread::spawn(move || receive.recv());
    let error = enter(&Profile::strictest()).unwrap_err();
    assert!(matches!(error, SandboxError::Threads { count: 2 }), "{error}");
    drop(send);
    assert!(thread.join().unwrap().is_err());
}

/// The layers that a kernel without namespaces, Landlock and seccomp does not have.
const MASKED: [Layer; 8] = [
    Layer::UserNamespace,
    Layer::NetworkNamespace,
    Layer::IpcNamespace,
    Layer::MountNamespace,
    Layer::Files,
    Layer::Ports,
    Layer::Scopes,
    Layer::SystemCalls,
];

/// Enters a sandbox where the kernel has little, and prints the report.
fn masked() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
    let calls = [libc::SYS_unshare, libc::SYS_landlock_create_ruleset, libc::SYS_seccomp];
    let filter = SeccompFilter::new(
        calls.into_iter().map(|call| (call, Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    apply_filter(&BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
    let report = enter(&Profile::strictest()).unwrap();
    println!("{}", serde_json::to_string(&report).unwrap());
}

/// No layer is skipped in silence: each has a reason and a remedy, and the others hold.
fn absent_layers_are_missing() {
    let output = Command::new(std::env::current_exe().unwrap()).arg("--masked").output().unwrap();
    let report: SandboxReport = serde_json::from_slice(&output.stdout).unwrap();
    let missing: Vec<Layer> = report.missing().map(|(layer, _)| layer).collect();
    for layer in MASKED {
        assert!(missing.contains(&layer), "{layer} is not missing: {report:?}");
    }
    // It counts processes of this user alone, in a namespace of users.
    assert!(missing.iter().all(|layer| MASKED.contains(layer) || *layer == Layer::Processes));
    for (layer, missing) in report.missing() {
        assert!(!missing.reason.is_empty() && !missing.remedy.is_empty(), "{layer}: {missing:?}");
    }
    for layer in [Layer::Limits, Layer::Capabilities, Layer::NoNewPrivileges, Layer::NotDumpable] {
        assert!(report.is_enforced(layer), "{layer}: {report:?}");
    }
}

/// Groups, or one line that says why there are none here.
fn groups_hold() {
    if let Err(missing) = Cgroup::new(&Limits::default()) {
        return println!("SKIPPED: cgroup: {}; {}", missing.reason, missing.remedy);
    }
    let limits = Limits { processes: 8, threads: 4, ..Limits::default() };
    let (group, told) = in_group(&limits, attempts::FORK_BOMB);
    assert_eq!(told.unwrap(), Tried::Failed(libc::EAGAIN));
    assert_eq!(group.killed_for_memory(), 0);
    assert_eq!(group.state(), Ok(()));
    drop(group);

    let limits = Limits { memory: Some(32 << 20), ..Limits::default() };
    let (group, told) = in_group(&limits, attempts::TOUCH);
    assert_eq!(told.unwrap_err().signal(), Some(libc::SIGKILL));
    assert_eq!(group.killed_for_memory(), 1);
    drop(group);

    // Its two children do not end by themselves, and are in another group of the terminal.
    let (group, mut child) = start_in_group(&Limits::default(), attempts::STAY);
    while group.processes().unwrap().len() < 3 {
        std::thread::yield_now();
    }
    group.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    while !group.processes().unwrap().is_empty() {
        std::thread::yield_now();
    }
    let name = format!("-{}-", std::process::id());
    assert!(format!("{group:?}").contains(&name), "{group:?}");
    drop(group);
    let left = Command::new("find")
        .args(["/sys/fs/cgroup", "-maxdepth", "4", "-name", &format!("glovebox_*{name}*")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    println!("cgroup: memory, processes and the kill of all hold");
}

fn start_in_group(limits: &Limits, attempt: &str) -> (Cgroup, Child) {
    let group = Cgroup::new(limits).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--in-group", attempt])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    group.add(child.id()).unwrap();
    // It begins when its input ends.
    drop(child.stdin.take());
    (group, child)
}

fn in_group(limits: &Limits, attempt: &str) -> (Cgroup, Result<Tried, ExitStatus>) {
    let (group, child) = start_in_group(limits, attempt);
    let output = child.wait_with_output().unwrap();
    let told = serde_json::from_slice(&output.stdout).map_err(|_| output.status);
    (group, told)
}

/// A sandbox reports the same as trying finds out.
fn the_probe_agrees(world: &World) {
    let number = PERMITTED.iter().position(|it| it.0.starts_with("compute")).unwrap();
    let told = world.run(number, true, profile(world, |_, _| {})).unwrap();
    for check in check_layers().unwrap() {
        let held = told.report.is_enforced(check.layer);
        match &check.missing {
            None => println!("{}: works, it was tried {}", check.layer, check.tried),
            Some(it) => println!("{}: missing: {}; {}", check.layer, it.reason, it.remedy),
        }
        // A group holds these, and this one is in none.
        let is_of_group = matches!(check.layer, Layer::Cgroup | Layer::Processes);
        let agrees = held == check.missing.is_none() || is_of_group && check.missing.is_none();
        assert!(agrees, "{}: {:?}, but {:?}", check.layer, check.missing, told.report);
    }
}
