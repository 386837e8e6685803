use std::fs;

use super::file::{KEPT, MAX_LEN};
use super::*;

fn scope(permission: Permission, text: &str) -> Scope {
    let text = format!("[plugin]\nid = \"a\"\n[permissions]\n{permission} = {text}\n");
    request(&Manifest::parse(&text).unwrap(), permission, Some(Path::new("/no/such"))).unwrap()
}

#[test]
fn what_was_agreed_to_covers_the_same_and_less() {
    #[track_caller]
    fn check(permission: Permission, agreed: &str, asked: &str, expected: bool) {
        let found = covers(&scope(permission, agreed), &scope(permission, asked));
        assert_eq!(found, expected, "{agreed} for {asked}");
    }
    use Permission::{Environment, Files, Network};
    let data = "[{ path = \"data\" }]";
    check(Files, data, data, true);
    check(Files, data, "[{ path = \"data/sub\" }]", true);
    check(Files, data, "[{ path = \"data\", at = \"elsewhere\" }]", true);
    check(Files, data, "[{ path = \"data\", access = \"read-write\" }]", false);
    check(Files, data, "[{ path = \"data2\" }]", false);
    check(Files, data, "[{ path = \".\" }]", false);
    check(Files, data, "[{ path = \"/\" }]", false);
    check(Files, data, "[{ path = \"data\" }, { path = \"more\" }]", false);
    check(Files, data, "[{ path = \"/no/such/data/x\" }]", true);
    check(Files, "[{ path = \"/\", access = \"read-write\" }]", data, true);
    check(Network, "[\"a.b:1-9\"]", "[\"a.b:2\"]", true);
    check(Network, "[\"a.b:2\"]", "[\"a.b:1-9\"]", false);
    check(Network, "[\"a.b:2\"]", "[\"c.b:2\"]", false);
    check(Network, "[\"*:2\"]", "[\"a.b:2\"]", true);
    check(Network, "[\"a.b:2\"]", "[\"*:2\"]", false);
    check(Network, "{ hosts = [\"*:2\"], except = [\"a.b:2\"] }", "[\"*:2\"]", false);
    check(Network, "[\"*:2\"]", "{ hosts = [\"*:2\"], except = [\"a.b:2\"] }", true);
    check(Environment, "[\"A\", \"B\"]", "[\"B\"]", true);
    check(Environment, "[\"A\"]", "[\"A\", \"B\"]", false);
    check(Environment, "[\"A\"]", "[]", true);
}

#[test]
fn consents_are_kept_in_a_private_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/consents.toml");
    let consents = Consents::open(&path).unwrap();
    assert_eq!(consents.all(), []);
    let consent = |plugin: &str, permission, within| Consent {
        plugin: plugin.to_owned(),
        digest: "ab".to_owned(),
        permission,
        within,
        at: 1_795_910_400,
    };
    let files = scope(Permission::Files, "[{ path = \"data\", access = \"read-write\" }]");
    let all = [
        consent("a", Permission::Files, Some(files)),
        consent("a", Permission::Kv, None),
        consent(
            "b",
            Permission::Network,
            Some(scope(Permission::Network, "{ hosts = [\"*:2\"], except = [\"a.b:2\"] }")),
        ),
    ];
    for one in all.clone() {
        consents.save(one.clone()).unwrap();
        consents.save(one).unwrap();
    }
    assert_eq!(Consents::open(&path).unwrap().all(), all);
    assert_eq!(consents.of("a", "ab"), all[..2]);
    assert_eq!(consents.of("a", "cd"), []);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }
    // Another process forgets one.
    let other = Consents::open(&path).unwrap();
    other.forget("a", "ab", Permission::Files).unwrap();
    assert_eq!(consents.of("a", "ab"), all[1..2], "it counts here as well");
    consents.save(all[1].clone()).unwrap();
    assert_eq!(consents.all(), [all[2].clone(), all[1].clone()]);
    // This one forgets what the other one has never seen.
    let new = consent("c", Permission::Kv, None);
    consents.save(new.clone()).unwrap();
    other.forget("c", "ab", Permission::Kv).unwrap();
    assert_eq!(Consents::open(&path).unwrap().of("c", "ab"), []);
    // A file that cannot be used any more allows nothing.
    fs::write(&path, "version = 2\n").unwrap();
    assert_eq!(other.of("b", "ab"), []);
    other.forget("c", "ab", Permission::Kv).unwrap_err();
}

#[test]
fn changes_of_several_processes_undo_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("consents.toml");
    let consent = |plugin: String| Consent {
        plugin,
        digest: "ab".to_owned(),
        permission: Permission::Kv,
        within: None,
        at: 1,
    };
    let start = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for process in 0..4 {
            let (path, start) = (&path, &start);
            scope.spawn(move || {
                let consents = Consents::open(path).unwrap();
                start.wait();
                for number in 0..10 {
                    let name = |number| format!("p-{process}-{number}");
                    consents.save(consent(name(number))).unwrap();
                    if number % 2 == 1 {
                        consents.forget(&name(number), "ab", Permission::Kv).unwrap();
                    }
                }
            });
        }
    });
    let mut left: Vec<String> = read(&path).unwrap().into_iter().map(|one| one.plugin).collect();
    left.sort();
    let expected = (0..4).flat_map(|process| [0, 2, 4, 6, 8].map(|n| format!("p-{process}-{n}")));
    assert_eq!(left, expected.collect::<Vec<_>>());
}

#[test]
fn the_oldest_consents_make_room_and_the_file_can_always_be_read() {
    /// Consents before, bytes of the name in each, bytes of that in a new one; the number that is
    /// kept, or the error.
    fn check(before: usize, length: usize, new: usize, expected: Result<usize, &str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consents.toml");
        let consent = |number: usize, length: usize| Consent {
            plugin: format!("p-{number}"),
            digest: "ab".to_owned(),
            permission: Permission::Environment,
            within: Some(Scope {
                names: Selection { only: Some(vec!["X".repeat(length)]), except: None },
                ..Scope::default()
            }),
            at: 1,
        };
        let mut all: Vec<_> = (0..before).map(|number| consent(number, length)).collect();
        write(&path, &fitted(&mut all).unwrap()).unwrap();
        let consents = Consents::open(&path).unwrap();
        match (consents.save(consent(before, new)), expected) {
            (Ok(()), Ok(kept)) => {
                let all = Consents::open(&path).unwrap().all();
                assert_eq!((all.len(), &all), (kept, &consents.all()));
                let first = before + 1 - kept;
                assert_eq!(all[0].plugin, format!("p-{first}"), "the oldest go");
                assert_eq!(all[kept - 1].plugin, format!("p-{before}"));
            }
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
                assert_eq!(Consents::open(&path).unwrap().all().len(), before);
            }
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }
    check(0, 1, 1, Ok(1));
    check(KEPT - 1, 1, 1, Ok(KEPT));
    check(KEPT, 1, 1, Ok(KEPT));
    check(10, 100_000, 1, Ok(11));
    check(10, 100_000, 100_000, Ok(10));
    check(10, 100_000, 1_000_000, Ok(1));
    check(2, 1, 1 << 20, Err("and at most 1048576 are read; allow it while it runs"));
}

#[test]
fn a_file_that_cannot_be_trusted_grants_nothing_and_stays() {
    #[track_caller]
    fn check(prepare: impl FnOnce(&Path), expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consents.toml");
        prepare(&path);
        let error = Consents::open(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    let text = |text: &'static str| move |path: &Path| fs::write(path, text).unwrap();
    check(text("version = 2\n"), "version 2 is not version 1");
    check(text(""), "version none is not version 1");
    check(text("version = 1\n[[consent]]\nplugin = 1\n"), "cannot be used");
    check(|path| fs::create_dir(path).unwrap(), "no regular file");
    check(|path| fs::write(path, " ".repeat(MAX_LEN as usize + 1)).unwrap(), "1048577");
    #[cfg(unix)]
    check(
        |path| {
            use std::os::unix::fs::PermissionsExt;
            fs::write(path, "version = 1\n").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        },
        "another user could have written it",
    );
}

#[test]
fn days_are_those_of_the_calendar() {
    fn check(seconds: u64, expected: &str) {
        assert_eq!(day(seconds), expected);
    }
    check(0, "1970-01-01");
    check(951_782_400, "2000-02-29");
    check(1_795_910_400, "2026-11-29");
    check(4_102_444_799, "2099-12-31");
}
