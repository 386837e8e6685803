//! Whether two scopes of one permission have anything in common.

use std::path::Path;

use glovebox_abi::manifest::{Endpoint, Folder, HostPattern, Scope, Selection};

use super::consent::{endpoint_covers, folder_covers};

/// True if there is a use that both admit. Folders of both are in full.
pub(super) fn meets(one: &Scope, other: &Scope) -> bool {
    let begins = |key: &String, prefix: &String| key.starts_with(prefix.as_str());
    let either_begins = |one: &String, other: &String| begins(one, other) || begins(other, one);
    selections_meet(&one.prefixes, &other.prefixes, either_begins, |all, one| begins(one, all))
        && selections_meet(&one.kinds, &other.kinds, PartialEq::eq, PartialEq::eq)
        && selections_meet(&one.to, &other.to, PartialEq::eq, PartialEq::eq)
        && selections_meet(&one.folders, &other.folders, folders_meet, folder_covers)
        && selections_meet(&one.hosts, &other.hosts, endpoints_meet, endpoint_covers)
        && selections_meet(&one.names, &other.names, PartialEq::eq, PartialEq::eq)
}

/// `covers` tells whether its first argument admits all that the second one does.
fn selections_meet<T>(
    one: &Selection<T>,
    other: &Selection<T>,
    meet: impl Fn(&T, &T) -> bool,
    covers: impl Fn(&T, &T) -> bool,
) -> bool {
    let (Some(first), Some(second)) = (&one.only, &other.only) else { return true };
    let is_left = |entry: &T| {
        let mut excepted = one.except.iter().chain(&other.except).flatten();
        !excepted.any(|except| covers(except, entry))
    };
    let in_both = |entry: &T| second.iter().any(|other| meet(entry, other) && is_left(other));
    first.iter().any(|entry| is_left(entry) && in_both(entry))
}

fn folders_meet(one: &Folder, other: &Folder) -> bool {
    let (one, other) = (Path::new(&one.path), Path::new(&other.path));
    one.starts_with(other) || other.starts_with(one)
}

fn endpoints_meet(one: &Endpoint, other: &Endpoint) -> bool {
    let port = *one.ports.start().max(other.ports.start());
    let have_port = one.ports.contains(&port) && other.ports.contains(&port);
    have_port && hosts_meet(one, other, port)
}

/// A name is reached only where both admit the name, whatever address it has.
fn hosts_meet(one: &Endpoint, other: &Endpoint, port: u16) -> bool {
    match (&one.host, &other.host) {
        (HostPattern::Any, _) | (_, HostPattern::Any) => true,
        (HostPattern::Name(name), _) => other.admits_name(name),
        (_, HostPattern::Name(name)) => one.admits_name(name),
        (HostPattern::Below(first), HostPattern::Below(second)) => {
            first == second || one.admits_name(second) || other.admits_name(first)
        }
        (
            HostPattern::Addresses { address: first, bits },
            HostPattern::Addresses { address: second, bits: more },
        ) => match bits <= more {
            true => one.admits_address(*second, port),
            false => other.admits_address(*first, port),
        },
        (HostPattern::Below(_), HostPattern::Addresses { .. })
        | (HostPattern::Addresses { .. }, HostPattern::Below(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use glovebox_abi::Permission;

    use super::*;

    #[test]
    fn scopes_meet_if_both_admit_something() {
        /// Also the other way round.
        #[track_caller]
        fn check(permission: Permission, one: &str, other: &str, expected: bool) {
            let scope = |text: &str| {
                let table: toml::Table = format!("scope = {text}").parse().unwrap();
                Scope::read("test", permission, table["scope"].clone()).unwrap()
            };
            let (one, other) = (scope(one), scope(other));
            let found = [meets(&one, &other), meets(&other, &one)];
            assert_eq!(found, [expected; 2], "{one} and {other}");
        }
        use Permission::{Emit, Environment, Files, Kv, Network};
        check(Files, "[{ path = \"/a\" }]", "[{ path = \"/a\", access = \"read-write\" }]", true);
        check(Files, "[{ path = \"/a\" }]", "[{ path = \"/a/b\" }]", true);
        check(Files, "[{ path = \"/a\" }]", "[{ path = \"/ab\" }]", false);
        check(Files, "[{ path = \"/a\" }]", "[{ path = \"/b\" }, { path = \"/\" }]", true);
        check(Files, "[{ path = \"/a\" }]", "[]", false);
        check(Environment, "[\"A\", \"B\"]", "[\"B\"]", true);
        check(Environment, "[\"A\"]", "[\"B\"]", false);
        check(Environment, "{ names = [\"A\"], except = [\"A\"] }", "[\"A\"]", false);
        check(Environment, "{ except = [\"A\"] }", "[\"B\"]", true);
        check(Network, "[\"a.b:1-9\"]", "[\"a.b:9-10\"]", true);
        check(Network, "[\"a.b:1-9\"]", "[\"a.b:10\"]", false);
        check(Network, "[\"a.b:1\"]", "[\"c.b:1\"]", false);
        check(Network, "[\"a.b:1\"]", "[\"*.b:1\"]", true);
        check(Network, "[\"*.b.c:1\"]", "[\"*.c:1\"]", true);
        check(Network, "[\"*.b.c:1\"]", "[\"*.d:1\"]", false);
        check(Network, "[\"a.b:1\"]", "[\"*:1\"]", true);
        check(Network, "[\"10.0.0.0/8:1\"]", "[\"10.1.0.0/16:*\"]", true);
        check(Network, "[\"10.0.0.0/8:1\"]", "[\"11.1.0.0/16:*\"]", false);
        check(Network, "[\"10.0.0.0/8:1\"]", "[\"a.b:1\"]", false);
        check(Network, "[\"10.0.0.0/8:1\"]", "[\"*.b:1\"]", false);
        check(Network, "{ hosts = [\"*:2\"], except = [\"*:1-9\"] }", "[\"a.b:2\"]", false);
        check(Kv, "{ prefixes = [\"a/\"] }", "{ prefixes = [\"a/b\"] }", true);
        check(Kv, "{ prefixes = [\"a/\"] }", "{ prefixes = [\"b/\"] }", false);
        check(
            Kv,
            "{ prefixes = [\"a/\"], except = [\"a/b\"] }",
            "{ prefixes = [\"a/b/c\"] }",
            false,
        );
        check(Kv, "{ prefixes = [\"a/\"] }", "{ read-only = true }", true);
        check(Emit, "{ kinds = [\"data\"] }", "{ kinds = [\"control\"] }", false);
        check(Emit, "{ to = [\"a\"] }", "{ kinds = [\"control\"] }", true);
    }
}
