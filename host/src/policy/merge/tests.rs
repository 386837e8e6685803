use std::path::Path;

use glovebox_abi::Manifest;
use glovebox_abi::manifest::Access;

use super::super::{Lifetime, Policy, VainAllowance};
use super::*;

fn manifest(asks: &str) -> Manifest {
    let text = format!("[plugin]\nid = \"redact\"\n[permissions]\n{asks}\n");
    Manifest::parse(&text).unwrap()
}

/// All verdicts about a plugin that is part of the application.
fn explain(policy: &str, asks: &str) -> Vec<Verdict> {
    about(policy, asks, Subject::default(), &[])
}

fn about(policy: &str, asks: &str, subject: Subject<'_>, allowed: &[Allowance]) -> Vec<Verdict> {
    let policy = Policy::parse(policy).unwrap();
    let (mode, manifest) = (policy.mode().unwrap_or_default(), manifest(asks));
    let standpoint = Standpoint { policy: &policy, mode, manifest: &manifest, subject };
    let decided = super::super::decided(allowed, None, &manifest, subject);
    let all = Permission::ALL.into_iter();
    all.map(|(permission, ..)| verdict(&standpoint, permission, decided.get(&permission))).collect()
}

#[test]
fn the_merge_rule_is_its_table() {
    /// The columns of the table, for `kv`: what the instance, `[plugins.redact]`, the manifest,
    /// `[default]` and the mode say; empty is nothing.
    fn check(row: [&str; 5], expected: Standing) {
        let [person, own, asked, default, mode] = row;
        let line = |value: &str| match value {
            "" => String::new(),
            value => format!("kv = \"{value}\""),
        };
        let text = format!(
            "mode = \"{mode}\"\n[default]\n{}\n[plugins.redact]\n{}\n",
            line(default),
            line(own)
        );
        let policy = Policy::parse(&text).unwrap();
        let manifest = manifest(if asked == "asked" { "kv = true" } else { "" });
        let decision = match person {
            "allow" => Decision::Allow,
            "deny" => Decision::Deny,
            _ => Decision::AsDeclared,
        };
        let mode = policy.mode().unwrap();
        let by = DecidedBy::Person(Lifetime::WhileItRuns);
        let decided =
            (decision != Decision::AsDeclared).then_some(Decided { decision, within: None, by });
        let subject = Subject::default();
        let standpoint = Standpoint { policy: &policy, mode, manifest: &manifest, subject };
        let found = verdict(&standpoint, Permission::Kv, decided.as_ref());
        assert_eq!(found.standing, expected, "{row:?}: {}", found.explanation);
    }
    use Standing::{Asking, Denied, Granted};
    // 1 and 2: a person beats everything.
    check(["deny", "allow", "asked", "allow", "as-declared"], Denied);
    check(["allow", "deny", "", "deny", "strict"], Granted);
    // 3, 4 and 5: the plugin's section beats all below, also without being asked for.
    check(["", "deny", "asked", "allow", "as-declared"], Denied);
    check(["", "allow", "asked", "deny", "strict"], Granted);
    check(["", "allow", "", "", "strict"], Granted);
    check(["", "ask", "asked", "allow", "as-declared"], Asking);
    check(["", "ask", "", "", "as-declared"], Asking);
    // 6: nothing else grants what is not asked for.
    check(["", "", "", "allow", "as-declared"], Denied);
    check(["", "", "", "", "record"], Denied);
    // 7, 8 and 9: the default section beats the mode.
    check(["", "", "asked", "deny", "as-declared"], Denied);
    check(["", "", "asked", "allow", "strict"], Granted);
    check(["", "", "asked", "ask", "as-declared"], Asking);
    // 10, 12 and 13: the mode.
    check(["", "", "asked", "", "as-declared"], Granted);
    check(["", "", "asked", "", "consent"], Granted);
    check(["", "", "asked", "", "record"], Granted);
    check(["", "", "asked", "", "strict"], Denied);
    check(["", "", "asked", "", "ask"], Asking);
}

#[test]
fn verdicts_explain_themselves() {
    /// The verdict about `permission`, in words, with its parameters.
    fn check(policy: &str, asks: &str, permission: Permission, expected: &str) {
        let verdicts = explain(policy, asks);
        let found = verdicts.iter().find(|found| found.permission == permission).unwrap();
        let text =
            format!("{} {}: {}", found.standing.name(), found.parameters(), found.explanation);
        assert_eq!(text.replace(" :", ":"), expected, "{policy} {asks}");
    }
    use Permission::{Emit, Environment, Files, Kv, Log, Network, Now, Receive};
    check("", "kv = true", Kv, "granted: asked for in the manifest");
    check(
        "",
        "",
        Kv,
        "denied: not asked for: add `kv = true` to [permissions] in plugin.toml, or \
         `kv = \"allow\"` to [plugins.redact] in policy.toml",
    );
    check(
        "mode = \"strict\"",
        "kv = true",
        Kv,
        "denied: asked for, but granted by nothing, and the policy is strict: add \
         `kv = \"allow\"` to [plugins.redact] in policy.toml",
    );
    check("mode = \"strict\"", "log = true", Log, "granted: asked for, and harmless");
    check(
        "mode = \"ask\"",
        "",
        Receive,
        "granted { kinds = [\"data\", \"control\"] }: asked for, and harmless",
    );
    check(
        "[plugins.redact]\nkv = \"deny\"",
        "kv = true",
        Kv,
        "denied: denied by [plugins.redact] in policy.toml: remove `kv` there",
    );
    check(
        "[default]\nkv = \"deny\"",
        "kv = true",
        Kv,
        "denied: denied by [default] in policy.toml: add `kv = \"allow\"` to \
         [plugins.redact] in policy.toml",
    );
    // Parameters intersect.
    check(
        "[plugins.redact]\nkv = { prefixes = [\"a/\"] }",
        "kv = { prefixes = [\"a/b/\"] }",
        Kv,
        "granted { prefixes = [\"a/b/\"] } and { prefixes = [\"a/\"] }: asked for in the manifest",
    );
    // A parameter that the plugin's section leaves out is that of the default section …
    check(
        "[default]\nemit = { kinds = [\"data\"], to = [\"a\"] }\n[plugins.redact]\nemit = { to = [\"b\"] }",
        "emit = true",
        Emit,
        "granted { kinds = [\"data\"], to = [\"b\"] }: asked for in the manifest",
    );
    // A rule that shares nothing with the request is no grant.
    check(
        "[plugins.redact]\nkv = { prefixes = [\"b/\"] }",
        "kv = { prefixes = [\"a/\"] }",
        Kv,
        "denied: it asks for { prefixes = [\"a/\"] }, of which [plugins.redact] in policy.toml \
         grants nothing: change `kv` there",
    );
    check(
        "[default]\nnetwork = { decision = \"allow\", hosts = [\"db:1\"] }",
        "network = [\"db:2\", \"other:1\"]",
        Network,
        "denied: it asks for db:2, other:1, of which [default] in policy.toml grants nothing: \
         change `network` there",
    );
    // … and an empty list is not left out.
    check(
        "[default]\nkv = { prefixes = [\"a/\"] }\n[plugins.redact]\nkv = { prefixes = [] }",
        "kv = true",
        Kv,
        "denied: granted with an empty list, which grants nothing: fill `prefixes` of `kv` \
         in [plugins.redact] in policy.toml",
    );
    check(
        "",
        "environment = []",
        Environment,
        "denied: asked for with an empty list, which asks for nothing: fill `names` of \
         `environment` under [permissions] in plugin.toml",
    );
    check(
        "[plugins.redact]\nfiles = \"allow\"",
        "",
        Files,
        "denied: allowed, but nothing is named: write `files = { decision = \"allow\", \
         folders = [{ path = \"data\", at = \"/data\", access = \"read\" }] }` to \
         [plugins.redact] in policy.toml",
    );
    check(
        "[plugins.redact]\nnow = { decision = \"allow\", precision = \"1 ms\" }",
        "",
        Now,
        "granted { precision = \"1 ms\" }: allowed by [plugins.redact] in policy.toml, \
         though its manifest does not ask for it",
    );
}

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn a_section_means_artifacts_and_not_a_name() {
    /// Checks the result for an artifact of this digest: the lines in `[plugins.redact]` beside
    /// the rule, the rest of the policy, and the request.
    #[track_caller]
    fn check(pin: &str, rule: &str, rest: &str, asks: &str, expected: &str) {
        let permission = rule.split(' ').next().unwrap().parse().unwrap();
        let policy = format!("{rest}\n[plugins.redact]\n{pin}\n{rule}\n");
        let path = std::env::current_exe().unwrap();
        let subject = Subject { digest: DIGEST, path: Some(&path), ..Subject::default() };
        let verdicts = about(&policy, asks, subject, &[]);
        let found = verdicts.iter().find(|found| found.permission == permission).unwrap();
        let text = format!("{}: {}", found.standing.name(), found.explanation);
        assert!(text.starts_with(expected), "{policy}\n{text}");
        if expected.starts_with("asking: [")
            && !expected.ends_with("whatever the manifest asks for")
        {
            let line = format!("add `digest = \"blake3:{DIGEST}\"` there if it is this one");
            assert!(text.ends_with(&line), "{text}");
        }
    }
    let (this, other) = (
        &format!("digest = \"blake3:{DIGEST}\""),
        &format!("digest = [\"blake3:{}\"]", "0".repeat(64)),
    );
    let path = &format!("path = {:?}", std::env::current_exe().unwrap().display().to_string());
    let (allow, strict) = ("kv = \"allow\"", "mode = \"strict\"");
    check(this, allow, strict, "kv = true", "granted: asked for, and allowed by [plugins.redact]");
    check(this, allow, strict, "", "granted: allowed by [plugins.redact]");
    check(path, allow, strict, "", "granted: allowed by [plugins.redact]");
    let name = "asking: [plugins.redact] in policy.toml allows it to a name";
    check("", allow, strict, "kv = true", name);
    check("", allow, strict, "", name);
    check("", allow, "[default]\nkv = \"deny\"", "kv = true", name);
    let another = "asking: [plugins.redact] in policy.toml means another artifact";
    check(other, allow, strict, "kv = true", another);
    check("path = \"/no/such\"", allow, strict, "kv = true", another);
    // A stranger keeps the permissions that it has anyway.
    check("", allow, "", "kv = true", "granted: asked for in the manifest");
    // A denial holds for everybody of that name.
    check("", "kv = \"deny\"", "", "kv = true", "denied: denied by [plugins.redact]");
    check("", "kv = \"ask\"", "", "kv = true", "asking: waits for a decision");
    let files = "files = [{ path = \"/data\" }]";
    check("", "files = \"allow\"", "", files, name);
    check(other, "files = \"allow\"", "", files, another);
    check("", "files = \"allow\"", "mode = \"as-declared\"", files, "granted: asked for in");
    // The manifest beside an artifact can change, and the artifact stays.
    let within =
        "asking: [plugins.redact] in policy.toml allows it, whatever the manifest asks for";
    for pin in [this, path] {
        check(pin, "files = \"allow\"", "", files, within);
        check(pin, "files = \"allow\"", "mode = \"as-declared\"", files, within);
        let folders = "folders = [{ path = \"/data\" }]";
        let rule = format!("files = {{ decision = \"allow\", {folders} }}");
        check(pin, &rule, "", files, "granted: asked for, and allowed by");
        check(pin, "files = \"allow\"", &format!("[default.files]\n{folders}"), files, "granted: ");
        check(pin, "network = \"allow\"", "", "network = [\"db:1\"]", within);
        check(pin, "network = \"allow\"", "", "", "denied: allowed, but nothing is named");
        check(
            pin,
            "network = { decision = \"allow\", hosts = [\"*:*\"] }",
            "",
            "network = [\"db:1\"]",
            "granted: ",
        );
        check(pin, "environment = \"allow\"", "", "environment = [\"A\"]", within);
        check(
            pin,
            "environment = { decision = \"allow\", names = [\"A\"] }",
            "",
            "environment = [\"A\"]",
            "granted: ",
        );
    }
}

/// A rule as it is recommended, for a plugin that then asks for more, without another artifact.
#[test]
fn a_recommended_rule_holds_for_what_was_asked_for() {
    #[track_caller]
    fn check(permission: Permission, asks: &str, more: &str) {
        let base = std::env::temp_dir().canonicalize().unwrap();
        let subject = Subject { digest: DIGEST, base: Some(&base), ..Subject::default() };
        let verdict_of = |policy: &str, asks: &str| {
            let verdicts = about(policy, asks, subject, &[]);
            verdicts.into_iter().find(|found| found.permission == permission).unwrap()
        };
        let open = verdict_of("", asks);
        let parts: Vec<&str> = open.explanation.split('`').collect();
        let [_, digest, _, rule, _] = parts[..] else { panic!("{}", open.explanation) };
        let policy = format!("[plugins.redact]\n{digest}\n{rule}\n");
        let found = verdict_of(&policy, asks);
        assert_eq!(found.standing, Standing::Granted, "{policy}: {}", found.explanation);
        let later = verdict_of(&policy, more);
        let asked = later.scopes.first().cloned().unwrap_or_default();
        let within = later.scopes.last().cloned().unwrap_or_default();
        let is_more = later.is_granted() && (later.scopes.len() < 2 || asked == within);
        assert!(!is_more, "{policy}: {later:?}");
    }
    check(
        Permission::Files,
        "files = [{ path = \"a b\", access = \"read\" }]",
        "files = [{ path = \"/\", at = \"r\", access = \"read-write\" }]",
    );
    check(Permission::Network, "network = [\"db:1\"]", "network = [\"*:*\"]");
    check(Permission::Environment, "environment = [\"A\"]", "environment = [\"A\", \"B\"]");
    let except = "environment = { names = [\"A\", \"B\"], except = [\"B\"] }";
    check(Permission::Environment, except, "environment = [\"A\", \"B\"]");
}

#[test]
fn a_section_widens_nothing_for_a_stranger() {
    let policy = "[default]\nkv = { prefixes = [\"a/\"] }\n\
                  [plugins.redact]\nkv = { decision = \"allow\", prefixes = [\"a/b/\", \"c/\"] }";
    let subject = Subject { digest: DIGEST, ..Subject::default() };
    let verdicts = about(policy, "kv = true", subject, &[]);
    let kv = verdicts.iter().find(|found| found.permission == Permission::Kv).unwrap();
    let admits = |key| kv.scopes.iter().all(|scope| scope.admits_key(key, Access::ReadWrite));
    assert_eq!((admits("a/b/"), admits("a/"), admits("c/")), (true, false, false));
}

#[test]
fn an_artifact_is_not_given_the_machine_because_it_asks() {
    /// Policy, what is asked for, and what is allowed in words; then for `files`.
    #[track_caller]
    fn check(policy: &str, asks: &str, allowed: &[&str], expected: &str) {
        let subject =
            Subject { digest: DIGEST, base: Some(Path::new("/no/such")), ..Subject::default() };
        let allowed: Vec<Allowance> = allowed.iter().map(|word| word.parse().unwrap()).collect();
        let verdicts = about(policy, asks, subject, &allowed);
        let files = verdicts.iter().find(|found| found.permission == Permission::Files).unwrap();
        let lacks: Vec<&str> = files.lacks.iter().map(Allowance::parameter).collect();
        let more = match files.asks_more {
            true => format!(" and more ({})", lacks.join(", ")),
            false => String::new(),
        };
        let is_asking = files.standing == Standing::Asking;
        assert_eq!(!lacks.is_empty(), is_asking || files.asks_more, "{files:?}");
        let text = format!("{}{more}: {}", files.standing.name(), files.explanation);
        assert!(text.starts_with(expected), "{text}");
    }
    let data = "files = [{ path = \"data\" }]";
    for mode in ["", "mode = \"consent\"", "mode = \"record\""] {
        check(mode, data, &[], "asking: asked for, but nobody agreed to it");
    }
    check("", "", &[], "denied: not asked for");
    check("mode = \"as-declared\"", data, &[], "granted: asked for in the manifest");
    check("mode = \"strict\"", data, &[], "denied: asked for, but granted by nothing");
    check("[default]\nfiles = \"allow\"", data, &[], "granted: asked for, and allowed by [def");
    check("", data, &["files"], "granted: asked for, and allowed by --allow files");
    check("", data, &["redact:files"], "granted: asked for, and allowed by");
    check("", data, &["other:files"], "asking");
    check("", data, &["network"], "asking");
    check("", data, &["files=/no/such"], "granted: ");
    check(
        "",
        data,
        &["files=/other"],
        "asking: allowed by --allow files=/other, of which it asks for nothing: it asks for \
         /no/such/data; allow that, or deny it",
    );
    // An allowance in vain does not let a policy decide that it was meant to narrow.
    check("mode = \"as-declared\"", data, &["files=/other"], "asking: allowed by --allow");
    check(
        "",
        data,
        &["files=/other", "files=/no/such/data/in"],
        "granted and more (/no/such/data): ",
    );
    let write = "files = [{ path = \"data\", access = \"read-write\" }]";
    check("", write, &["files=/no/such/data"], "granted and more (/no/such/data:rw): ");
    let three =
        "files = [{ path = \"a\" }, { path = \"b\", access = \"read-write\" }, { path = \"c\" }]";
    let lacks = "granted and more (/no/such/b:rw, /no/such/c): ";
    check("", three, &["files=/no/such/a"], lacks);
    check("", three, &["files=/no/such"], "granted and more (/no/such/b:rw): ");
    check("", write, &["files=/no/such/data:rw"], "granted: ");
    check("", "", &["files"], "denied: not asked for");
    check("", "", &["files=/other"], "denied: not asked for");
    check("", "", &["redact:files=/other"], "denied: not asked for");
    // A person at the keyboard stands above a policy.
    check("[plugins.redact]\nfiles = \"deny\"", data, &["files"], "granted: ");
}

#[test]
fn an_allowance_gives_no_more_than_is_asked_for() {
    #[track_caller]
    fn check(bare: bool, asks: &str, allowed: &str, expected: Standing) {
        let subject = Subject { digest: DIGEST, bare, ..Subject::default() };
        let allowed: Allowance = allowed.parse().unwrap();
        let permission = allowed.permission();
        let verdicts = about("", asks, subject, std::slice::from_ref(&allowed));
        let found = verdicts.iter().find(|found| found.permission == permission).unwrap();
        assert_eq!(found.standing, expected, "{allowed}: {}", found.explanation);
        let manifest = manifest(asks);
        let vain = VainAllowance::among(&[allowed], &[(&manifest, subject)]);
        assert_eq!(vain.is_empty(), expected == Standing::Granted, "{vain:?}");
    }
    let home = "environment = [\"HOME\"]";
    check(false, home, "environment=HOME", Standing::Granted);
    check(false, home, "redact:environment=HOME", Standing::Granted);
    for bare in [false, true] {
        for word in ["environment=HOME", "files=/", "network=*:*", "files", "kv"] {
            check(bare, "", word, Standing::Denied);
        }
    }
    for word in ["redact:environment=HOME", "redact:files=/", "redact:network=*:*", "redact:kv"] {
        check(false, "", word, Standing::Denied);
        // Nobody can ask for it without a manifest.
        check(true, "", word, Standing::Granted);
    }
    check(true, "", "redact:files", Standing::Denied);
}

#[test]
fn a_policy_that_was_found_opens_nothing() {
    #[track_caller]
    fn check(text: &str, asks: &str, permission: Permission, expected: Standing) {
        let policy = Policy::parse(text).unwrap().found();
        let (mode, manifest) = (policy.mode().unwrap_or_default(), manifest(asks));
        let subject = Subject { digest: DIGEST, ..Subject::default() };
        let standpoint = Standpoint { policy: &policy, mode, manifest: &manifest, subject };
        let found = verdict(&standpoint, permission, None);
        assert_eq!(found.standing, expected, "{text}: {}", found.explanation);
    }
    use Permission::{Environment, Files, Kv};
    let files = "files = [{ path = \"data\" }]";
    let pin = format!("[plugins.redact]\ndigest = \"blake3:{DIGEST}\"\n");
    check("mode = \"as-declared\"", files, Files, Standing::Asking);
    check("[default]\nfiles = \"allow\"", files, Files, Standing::Asking);
    check(&format!("{pin}files = \"allow\""), files, Files, Standing::Asking);
    check(&format!("{pin}environment = [\"A\"]\nkv = \"allow\""), "", Kv, Standing::Granted);
    check("[default]\nfiles = \"deny\"", files, Files, Standing::Denied);
    check("mode = \"as-declared\"", "environment = [\"A\"]", Environment, Standing::Asking);
    check("mode = \"as-declared\"", "kv = true", Kv, Standing::Granted);
}

#[test]
fn who_granted_is_said() {
    #[track_caller]
    fn check(bare: bool, asks: &str, permission: Permission, rule: &str, expected: &str) {
        let subject = Subject { digest: DIGEST, bare, ..Subject::default() };
        let verdicts = about("", asks, subject, &[]);
        let found = verdicts.iter().find(|found| found.permission == permission).unwrap();
        assert_eq!((found.rule.as_str(), found.explanation.as_str()), (rule, expected));
    }
    use Permission::Log;
    check(false, "log = true", Log, "manifest", "asked for in the manifest");
    check(true, "log = true", Log, "default", "granted by default, there is no manifest");
}

#[test]
fn exceptions_beat_the_list_beside_them() {
    fn check(key: &str, expected: bool) {
        let text = "[plugins.redact]\nkv = { prefixes = [\"a/\"], except = [\"a/secret\"] }";
        let verdicts = explain(text, "kv = true");
        let kv = verdicts.iter().find(|found| found.permission == Permission::Kv).unwrap();
        let admitted = kv.scopes.iter().all(|scope| scope.admits_key(key, Access::ReadWrite));
        assert_eq!(admitted, expected, "{key}");
    }
    check("a/b", true);
    check("a/secret", false);
    check("a/secret/key", false);
    check("b", false);
}
