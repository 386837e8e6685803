//! Attempts of a plugin to leave its folders, to hide its acts, and to go on with rights that were
//! taken from it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use glovebox_abi::cbor::Value;
use glovebox_abi::{Permission, ServiceError};
use glovebox_events::{HostCall, Outcome, What};
use glovebox_host::{Decision, LoadRequest, Policy};
use glovebox_tests::Bench;

use crate::wasi::{Component, Guest, REFUSED, SUCCESS, folders, preview1};

/// Texts for guests, and where they lie: at 1024, each after the other.
fn texts<'a>(texts: &[&'a str]) -> (String, impl Fn(&'a str) -> String) {
    let all = texts.concat();
    let places: Vec<(String, usize)> = texts
        .iter()
        .scan(1024, |at, text| {
            let place = *at;
            *at += text.len();
            Some(((*text).to_owned(), place))
        })
        .collect();
    let place = move |text: &'a str| {
        let (text, at) = places.iter().find(|(known, _)| known == text).unwrap();
        format!("(i32.const {at}) (i32.const {})", text.len())
    };
    (all, place)
}

/// Opens `name`, with the place of its text, below the folder of a number.
fn open(number: u32, name: &str, flags: u32, rights: u32) -> String {
    format!(
        "(call $path_open (i32.const {number}) (i32.const 1) {name} (i32.const {flags})
           (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 64))"
    )
}

/// The subject of a host call.
fn about(call: &HostCall) -> &str {
    match &call.arguments {
        Value::Text(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

const TWO_FOLDERS: &str = "[permissions]
files = [
  { path = \"data\", at = \"/data\", access = \"read-write\" },
  { path = \"data/inner\", at = \"/inner\", access = \"read-write\" },
]";

#[test]
#[cfg(unix)]
fn a_fresh_copy_has_the_folders_that_were_granted_whatever_lies_at_their_paths() {
    /// `renew` brings a fresh copy; a link out of the granted folders then lies where `inner` was.
    #[track_caller]
    fn check(policy: &str, flags: u32, rights: u32, renew: fn(&Guest)) {
        let (data, place) = texts(&["secret"]);
        let body = open(4, &place("secret"), flags, rights);
        let guest = Guest::load(TWO_FOLDERS, &preview1(&body, &data), folders);
        let root = guest.folder.path();
        if !policy.is_empty() {
            let policy = policy.replace("<root>", &root.display().to_string());
            guest.bench.host.set_policy(Policy::parse(&policy).unwrap());
        }
        std::fs::rename(root.join("data/inner"), root.join("data/moved")).unwrap();
        std::os::unix::fs::symlink("../outside", root.join("data/inner")).unwrap();
        renew(&guest);
        let before = std::fs::read(root.join("outside/secret")).unwrap();
        let expected = if flags == 0 { NO_ENTRY } else { SUCCESS };
        assert_eq!(guest.ask(), Ok(expected), "{policy}");
        assert_eq!(std::fs::read(root.join("outside/secret")).unwrap(), before);
        assert_eq!(root.join("data/moved/secret").exists(), flags != 0);
    }
    let strict = "mode = \"strict\"\n[default]\nfiles = { decision = \"allow\", folders = [\
                  { path = \"<root>/data\", at = \"/data\", access = \"read-write\" }] }";
    let restart = |guest: &Guest| guest.bench.host.restart(guest.id).wait().unwrap();
    let reload = |guest: &Guest| {
        // The same artifact is nothing new: with another byte it is the next generation.
        let path = guest.folder.path().join("guest.wat");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}\n;; next")).unwrap();
        guest.bench.host.reload(guest.id).wait().unwrap();
    };
    let edit = |guest: &Guest| {
        let policy = Policy::parse("[default]\nnow = \"deny\"").unwrap();
        guest.bench.host.set_policy(policy);
        guest.bench.host.restart(guest.id).wait().unwrap();
    };
    for policy in ["", strict] {
        check(policy, 0, 2, restart);
        check(policy, 0, 2, reload);
        // Empties or makes the file.
        check(policy, 9, 66, restart);
    }
    check("", 0, 2, edit);
}

const NO_ENTRY: u32 = 44;

#[test]
#[cfg(unix)]
fn a_plugin_cannot_replace_a_folder_by_a_link() {
    // The first call does all it can and dies; what the second one finds is the granted folder.
    let (data, place) = texts(&["secret", "inner", "moved", "../outside"]);
    let body = format!(
        "(if (i32.ne {open} (i32.const 0))
           (then
             (drop (call $path_rename (i32.const 3) {inner} (i32.const 3) {moved}))
             (drop (call $path_symlink {outside} (i32.const 3) {inner}))
             (unreachable)))
         (i32.const 0)",
        open = open(4, &place("secret"), 0, 2),
        inner = place("inner"),
        moved = place("moved"),
        outside = place("../outside"),
    );
    let guest = Guest::load(TWO_FOLDERS, &preview1(&body, &data), folders);
    for _ in 0..2 {
        assert!(matches!(guest.ask(), Err(Outcome::Trapped { .. })));
    }
    assert!(!guest.folder.path().join("data/inner").exists());
    // A host that starts anew finds no folder, and no link either.
    let bench = Bench::as_declared();
    let error = bench.host.load(LoadRequest::path(guest.folder.path())).wait().unwrap_err();
    let start = "initialize: the folder `/inner` of the permission `files` cannot be opened: ";
    assert!(error.to_string().starts_with(start), "{error}");
}

#[test]
#[cfg(unix)]
fn no_link_is_made_or_moved() {
    /// `path` of the event.
    #[track_caller]
    fn check(body: &str, (data, service, path): (&str, &str, &str), expected: &[u32]) {
        let guest = Guest::load(TWO_FOLDERS, &preview1(body, data), folders);
        let found = guest.ask().unwrap();
        assert!(expected.contains(&found), "{body}: {found}");
        let calls = guest.host_calls(service);
        assert_eq!(calls.len(), 1, "{body}: {calls:?}");
        let denied = calls[0].result == Err(ServiceError::Denied);
        assert_eq!(denied, REFUSED.contains(&found), "{body}");
        assert_eq!(about(&calls[0]), path, "{body}");
        let links = |folder: &str| {
            let entries = std::fs::read_dir(guest.folder.path().join(folder)).unwrap();
            let links =
                entries.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_symlink());
            links.count()
        };
        assert_eq!((links("data"), links("data/inner")), (3, 0), "{body}");
    }
    let (data, place) = texts(&["hello", "new", "etc", "out", "greeting", "../outside", "/etc"]);
    for target in ["hello", "new", "../outside", "/etc"] {
        let symlink =
            format!("(call $path_symlink {} (i32.const 3) {})", place(target), place("new"));
        let event = (&*data, "wasi:filesystem path-symlink", "write /data/new");
        check(&symlink, event, &REFUSED);
    }
    for link in ["etc", "out", "greeting"] {
        let rename = format!(
            "(call $path_rename (i32.const 3) {} (i32.const 4) {})",
            place(link),
            place("new")
        );
        let text = format!("write /data/{link} to /inner/new");
        check(&rename, (&data, "wasi:filesystem path-rename", &text), &REFUSED);
        let hard_link = format!(
            "(call $path_link (i32.const 3) (i32.const 0) {} (i32.const 3) {})",
            place(link),
            place("new")
        );
        let text = format!("write /data/{link} to /data/new");
        check(&hard_link, (&data, "wasi:filesystem path-link", &text), &REFUSED);
    }
    let rename = format!(
        "(call $path_rename (i32.const 3) {} (i32.const 4) {})",
        place("hello"),
        place("new")
    );
    let event = (&*data, "wasi:filesystem path-rename", "write /data/hello to /inner/new");
    check(&rename, event, &[SUCCESS]);
}

#[test]
fn events_name_what_a_number_stands_for() {
    #[track_caller]
    fn check(body: &str, data: &str, expected: &[&str]) {
        let guest = Guest::load(TWO_FOLDERS, &preview1(body, data), |root| {
            folders(root);
            std::fs::write(root.join("data/inner/file"), "").unwrap();
        });
        guest.ask().unwrap();
        let calls = guest.host_calls("wasi:filesystem path-open");
        let found: Vec<&str> = calls.iter().map(about).collect();
        assert_eq!(found, expected, "{body}");
        let log = guest.bench.host.access_log(guest.id).unwrap();
        let last = log.entries.iter().rfind(|entry| entry.permission == Permission::Files);
        assert_eq!(last.unwrap().parameter.to_string(), *expected.last().unwrap());
    }
    let (data, place) = texts(&["hello", "inner", "file", "."]);
    let one = |number: u32, name| format!("(drop {})", open(number, &place(name), 0, 2));
    let (hello, inner, file) = (one(3, "hello"), one(3, "inner"), one(3, "file"));
    check(&format!("{hello} (i32.const 0)"), &data, &["read /data/hello"]);
    let renumber = "(drop (call $fd_renumber (i32.const 4) (i32.const 3)))";
    check(&format!("{renumber} {file} (i32.const 0)"), &data, &["read /inner/file"]);
    // A folder that was opened gets the number of one that was closed.
    let close = "(drop (call $fd_close (i32.const 4)))";
    let reuse = format!("{close} {inner} {} (i32.const 0)", one(4, "file"));
    check(&reuse, &data, &["read /data/inner", "read /data/inner/file"]);
    // And again after that one was moved to the number of a standard stream and back.
    let about = "(drop (call $fd_renumber (i32.const 4) (i32.const 0)))
                 (drop (call $fd_renumber (i32.const 0) (i32.const 3)))";
    let moved = format!("{close} {inner} {about} {file} (i32.const 0)");
    check(&moved, &data, &["read /data/inner", "read /data/inner/file"]);
    // A number of nothing is called one.
    let nothing = format!("{close} {} (i32.const 0)", one(4, "file"));
    check(&nothing, &data, &["read number 4/file"]);
}

/// Everything in a folder that is neither a file nor a folder.
#[cfg(unix)]
fn special_files(root: &Path) {
    let pipe = root.join("data/pipe");
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    drop(std::os::unix::net::UnixListener::bind(root.join("data/socket")).unwrap());
    std::os::unix::fs::symlink("pipe", root.join("data/to-pipe")).unwrap();
}

#[test]
#[cfg(unix)]
fn nothing_but_files_and_folders_is_opened() {
    #[track_caller]
    fn check(name: &str, flags: u32, rights: u32) {
        let (data, place) = texts(&["pipe", "socket", "to-pipe", "hello"]);
        // More often than there are threads that could wait.
        let body = format!(
            "(loop $again
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (if (i32.eqz {special}) (then (return (i32.const 1000))))
               (br_if $again (i32.lt_u (local.get $i) (i32.const 600))))
             {plain}",
            special = open(3, &place(name), flags, rights),
            plain = open(3, &place("hello"), 0, 2),
        );
        let manifest = format!("[limits]\ncall-deadline = \"60 s\"\n{TWO_FOLDERS}");
        let guest = Guest::load(&manifest, &preview1(&body, &data), |root| {
            folders(root);
            special_files(root);
        });
        assert_eq!(guest.ask(), Ok(SUCCESS), "{name} {flags} {rights}");
        let calls = guest.host_calls("wasi:filesystem path-open");
        assert_eq!(calls[0].result, Err(ServiceError::Denied), "{name} {flags} {rights}");
    }
    for name in ["pipe", "socket", "to-pipe"] {
        // Reading, writing, both, emptying, and making if it is not there.
        for (flags, rights) in [(0, 2), (0, 64), (0, 66), (8, 64), (1, 66)] {
            check(name, flags, rights);
        }
    }
}

#[test]
fn variables_that_are_read_are_an_event() {
    #[track_caller]
    fn check(permissions: &str, expected: usize) {
        let body = "(call $environ_get (i32.const 65536) (i32.const 131072))";
        let manifest = format!("[permissions]\n{permissions}");
        let guest = Guest::load(&manifest, &preview1(body, ""), |_| ());
        assert_eq!(guest.ask(), Ok(SUCCESS));
        let calls = guest.host_calls("wasi:cli get-environment");
        assert_eq!(calls.len(), expected, "{permissions}: {calls:?}");
        let status = guest.bench.host.plugin(guest.id).unwrap();
        let found = status.permissions.iter().find(|p| p.permission == Permission::Environment);
        assert_eq!(found.unwrap().uses, expected as u64);
    }
    check("environment = [\"PATH\"]", 1);
    check("", 0);
}

#[test]
fn a_folder_that_appears_later_is_not_opened_by_its_name() {
    let body = open(3, "(i32.const 1024) (i32.const 5)", 0, 2);
    let files = "[permissions]\nfiles = [{ path = \"data\", at = \"/data\" }]";
    let guest = Guest::load(files, &preview1(&body, "hello"), folders);
    let (host, root) = (&guest.bench.host, guest.folder.path());
    let ask_again = || {
        host.restart(guest.id).wait().unwrap();
        guest.ask().unwrap()
    };
    // The grant changes once, and the copy that it is given to comes beside the running one.
    let grant_anew = || {
        let renewals = || {
            let events = guest.bench.events.events();
            events.iter().filter(|event| matches!(event.what, What::Reloaded { .. })).count()
        };
        let before = renewals();
        host.set_decision(guest.id, Permission::Files, Decision::Deny);
        host.set_decision(guest.id, Permission::Files, Decision::AsDeclared);
        let soon = Instant::now() + Duration::from_secs(60);
        while renewals() == before {
            assert!(Instant::now() < soon, "no fresh copy comes");
            std::thread::yield_now();
        }
    };
    // Only while wishes are recorded need folders not be there.
    host.set_policy(Policy::parse("mode = \"record\"\n[default]\nfiles = \"allow\"").unwrap());
    std::fs::rename(root.join("data"), root.join("away")).unwrap();
    assert_eq!(ask_again(), SUCCESS);
    grant_anew();
    assert!(REFUSED.contains(&ask_again()));
    std::fs::rename(root.join("away"), root.join("data")).unwrap();
    assert!(REFUSED.contains(&ask_again()));
    grant_anew();
    assert_eq!(ask_again(), SUCCESS);
}

/// A component with a listener at the other end.
fn connected(permissions: &str, policy: &str) -> (Component, TcpStream, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let guest = Component::load(&permissions.replace("<port>", &port), policy);
    assert_eq!(guest.ask(&format!("keep 127.0.0.1 {port}")), "kept");
    let (other_end, _) = listener.accept().unwrap();
    other_end.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(guest.ask("say before"), "done");
    let mut heard = [0; 6];
    (&other_end).read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"before");
    (guest, other_end, listener)
}

/// The data from the other end until it hangs up.
fn rest(mut other_end: TcpStream) -> String {
    let mut text = Vec::new();
    // Data left unread at the other end is a reason to break the connection off.
    if let Err(error) = other_end.read_to_end(&mut text) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    String::from_utf8(text).unwrap()
}

fn denials(guest: &Component) -> Vec<String> {
    let calls = guest.bench.events.events().into_iter().filter_map(|event| match event.what {
        What::HostCall { host_call, .. } => Some(host_call),
        _ => None,
    });
    let denied = calls.filter(|call| call.result == Err(ServiceError::Denied));
    denied.map(|call| format!("{} {}", call.service, about(&call))).collect()
}

const EVERYWHERE: &str = "network = [\"*:*\"]";

#[test]
fn a_connection_ends_with_the_right_to_it() {
    /// `change` takes something away; `ends` says whether the connection was made for that.
    #[track_caller]
    fn check(permissions: &str, ends: bool, change: impl FnOnce(&Component, u16)) {
        let (guest, other_end, listener) = connected(permissions, "");
        let port = listener.local_addr().unwrap().port();
        change(&guest, port);
        (&other_end).write_all(b"news").unwrap();
        let (said, heard) = (guest.ask("say after"), guest.ask("hear"));
        let expected = match ends {
            true => vec![
                format!("wasi:sockets send 127.0.0.1:{port}"),
                format!("wasi:sockets receive 127.0.0.1:{port}"),
            ],
            false => Vec::new(),
        };
        assert_eq!(denials(&guest), expected, "{permissions}");
        let denials = guest.bench.host.plugin(guest.id).unwrap().permissions.into_iter();
        let network = denials.filter(|p| p.permission == Permission::Network);
        assert_eq!(network.map(|p| p.denials).sum::<u64>(), expected.len() as u64);
        let (closed, done) = ("StreamError::Closed".to_owned(), "done".to_owned());
        let both = if ends { (closed.clone(), closed) } else { (done, "news".to_owned()) };
        assert_eq!((said, heard), both, "{permissions}");
        assert!(guest.bench.host.unload(guest.id));
        assert_eq!(rest(other_end), if ends { "" } else { "after" }, "{permissions}");
    }
    let policy = |text: String| {
        move |guest: &Component, port: u16| {
            let text = text.replace("<port>", &port.to_string());
            let text = format!("mode = \"as-declared\"\n{text}");
            guest.bench.host.set_policy(Policy::parse(&text).unwrap());
        }
    };
    let only = |hosts: &str| format!("[default]\nnetwork = {{ hosts = [{hosts}] }}");
    check(EVERYWHERE, true, |guest, _| {
        guest.bench.host.set_decision(guest.id, Permission::Network, Decision::Deny);
    });
    check(EVERYWHERE, true, policy("[default]\nnetwork = \"deny\"".to_owned()));
    check(EVERYWHERE, true, policy(only("\"10.0.0.0/8:*\"")));
    check(EVERYWHERE, true, policy(only("\"127.0.0.1:1\"")));
    check(EVERYWHERE, true, policy(only("\"[::1]:*\", \"localhost:*\"")));
    let except = "[default]\nnetwork = { except = [\"127.0.0.0/8:*\"] }";
    check(EVERYWHERE, true, policy(except.to_owned()));
    // A connection that is still granted goes on, under any entry.
    check("network = [\"127.0.0.1:<port>\"]", false, policy(only("\"127.0.0.0/8:*\"")));
    check(EVERYWHERE, false, policy(only("\"[::ffff:127.0.0.1]:<port>\"")));
    check(EVERYWHERE, false, policy("[default]\nkv = \"deny\"".to_owned()));
}

#[test]
fn a_listener_ends_with_the_right_to_it() {
    let guest = Component::load(EVERYWHERE, "");
    let port: u16 = guest.ask("listen 127.0.0.1 0").parse().unwrap();
    let first = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let second = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(guest.ask("accept"), "accepted");
    assert_eq!(guest.ask("say before"), "done");
    guest.bench.host.set_decision(guest.id, Permission::Network, Decision::Deny);
    assert!(guest.ask("say after").contains("Closed"));
    assert!(guest.ask("accept").contains("access-denied"));
    assert!(guest.bench.host.unload(guest.id));
    assert_eq!((rest(first), rest(second)), ("before".to_owned(), String::new()));
    let expected =
        ["send", "accept"].map(|service| format!("wasi:sockets {service} 127.0.0.1:{port}"));
    assert_eq!(denials(&guest), expected);
}

/// A component with one folder, in which [`folders`] lie.
fn in_folder(access: &str) -> (Component, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    folders(folder.path());
    let path = folder.path().join("data").display().to_string();
    let files = format!("files = [{{ path = \"{path}\", at = \"/data\", access = \"{access}\" }}]");
    (Component::load(&files, ""), folder)
}

#[test]
fn what_was_opened_ends_with_the_folder() {
    #[track_caller]
    fn check(command: (&str, &str), again: (&str, &str), after: &[&str]) {
        let (guest, folder) = in_folder("read-write");
        assert_eq!(guest.ask(command.0), command.1);
        assert_eq!(guest.ask(again.0), again.1);
        let written = std::fs::read(folder.path().join("data/hello")).unwrap();
        guest.bench.host.set_decision(guest.id, Permission::Files, Decision::Deny);
        // Whether the copy was replaced by now or not.
        let answer = guest.ask(again.0);
        assert!(after.iter().any(|after| answer.contains(after)), "{again:?}: {answer}");
        assert_eq!(std::fs::read(folder.path().join("data/hello")).unwrap(), written);
    }
    let gone = ["StreamError::Closed", "nothing is held"];
    check(("hold hello", "held"), ("more text", "done"), &gone);
    let names = if cfg!(unix) { "etc,greeting,hello,inner,out" } else { "hello,inner" };
    check(("list", names), ("list", names), &["Permission denied", "no folder"]);
}

#[test]
fn a_component_writes_no_file_above_the_limit() {
    #[track_caller]
    fn check(size: u64, text: &str, expected: &str, written: u64) {
        let (guest, folder) = in_folder("read-write");
        let hello = folder.path().join("data/hello");
        std::fs::File::options().write(true).open(&hello).unwrap().set_len(size).unwrap();
        assert_eq!(guest.ask("hold hello"), "held");
        let answer = guest.ask(&format!("more {text}"));
        assert!(answer.contains(expected), "{answer}");
        assert_eq!(hello.metadata().unwrap().len(), size + written);
    }
    const LIMIT: u64 = 64 << 20;
    check(LIMIT - 2, "ab", "done", 2);
    check(LIMIT - 2, "abc", "LastOperationFailed", 0);
    check(LIMIT + 7, "a", "LastOperationFailed", 0);
}

#[test]
#[cfg(unix)]
fn components_make_and_move_no_links_and_open_no_pipes() {
    #[track_caller]
    fn check(command: &str, expected: &str, denied: &[&str]) {
        let (guest, folder) = in_folder("read-write");
        special_files(folder.path());
        let answer = guest.ask(command);
        assert!(answer.contains(expected), "{command}: {answer}");
        assert_eq!(denials(&guest), denied, "{command}");
        assert!(!folder.path().join("data/new").is_symlink(), "{command}");
    }
    let symlink = "wasi:filesystem symlink-at write /data/new";
    for target in ["hello", "../outside", "/etc", "nowhere"] {
        check(&format!("symlink {target} new"), "not-permitted", &[symlink]);
    }
    let rename = "wasi:filesystem rename-at write /data/out to /data/new";
    check("rename out new", "not-permitted", &[rename]);
    let link = "wasi:filesystem link-at write /data/etc to /data/new";
    check("hardlink etc new", "not-permitted", &[link]);
    check("rename hello new", "done", &[]);
    check("hardlink hello new", "done", &[]);
    for name in ["pipe", "socket", "to-pipe"] {
        let event = format!("wasi:filesystem open-at read /data/{name}");
        check(&format!("open {name}"), "not-permitted", &[&event]);
    }
}

/// A process may have only so many open files, and the host needs some to go on.
#[test]
#[cfg(unix)]
fn a_plugin_leaves_descriptors_to_the_rest_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    folders(folder.path());
    let (data, place) = texts(&["hello"]);
    let body = format!(
        "(loop $again
           (if (i32.eqz {open}) (then
             (local.set $i (i32.add (local.get $i) (i32.const 1)))
             (br_if $again (i32.lt_u (local.get $i) (i32.const 1000))))))
         ;; Some, and far from all.
         (if (i32.lt_u (local.get $i) (i32.const 5)) (then (unreachable)))
         (if (i32.gt_u (local.get $i) (i32.const 140)) (then (unreachable)))
         (local.get $i)",
        open = open(3, &place("hello"), 0, 2),
    );
    std::fs::write(folder.path().join("plugin.wat"), preview1(&body, &data)).unwrap();
    let manifest =
        format!("[plugin]\nid = \"guest\"\n[artifact]\nwasm = \"plugin.wat\"\n{TWO_FOLDERS}");
    std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 200 && exec \"$0\" call . --allow files --json out.json"]);
    command.arg(glovebox_tests::binary()).current_dir(folder.path());
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.env("XDG_DATA_HOME", folder.path().join("home"));
    let called = command.output().unwrap();
    let said = String::from_utf8_lossy(&called.stderr);
    assert!(called.status.success(), "{said}");
    assert!(folder.path().join("out.json").exists(), "{said}");
}
