use super::about::{MAX_DESCRIPTION_LEN, MAX_WORDS_LEN};
use super::*;

/// Lists and panels can show every text of a manifest.
#[test]
fn long_texts_are_cut_or_refused() {
    fn check(text: &str, long: fn(&Manifest) -> &str, longest: usize) {
        let manifest = Manifest::parse(text).unwrap_or_else(|error| panic!("{error}"));
        let found = long(&manifest);
        assert!(found.len() < longest + 33, "{} bytes", found.len());
        assert!(found.ends_with("… (500000 bytes)"), "{:?}", &found[found.len() - 40..]);
    }
    let long = "x".repeat(500_000);
    let with = |key: &str| format!("[plugin]\nid = \"a\"\n{key} = \"{long}\"");
    let list = |key: &str| format!("[plugin]\nid = \"a\"\n{key} = [\"b\", \"{long}\"]");
    check(&with("name"), |manifest| manifest.title(), MAX_WORDS_LEN);
    check(&with("description"), |manifest| &manifest.plugin.description, MAX_DESCRIPTION_LEN);
    check(&with("license"), |manifest| &manifest.plugin.license, MAX_WORDS_LEN);
    check(&with("category"), |manifest| &manifest.plugin.category, MAX_WORDS_LEN);
    check(&with("type"), |manifest| &manifest.plugin.plugin_type, MAX_WORDS_LEN);
    check(&list("authors"), |manifest| &manifest.plugin.authors[1], MAX_WORDS_LEN);
    check(&list("capabilities"), |manifest| &manifest.plugin.capabilities[1], MAX_WORDS_LEN);
    check(&list("keywords"), |manifest| &manifest.plugin.keywords[1], MAX_WORDS_LEN);
    let refused = |text: &str| Manifest::parse(text).unwrap_err().to_string();
    let id = format!("[plugin]\nid = \"{long}\"");
    assert!(refused(&id).contains("500000 bytes are too long, limit 128"));
    assert!(refused(&with(&long)).len() < 1000, "an unknown key is cut as well");
}

#[test]
fn bad_manifests_say_what_is_wrong() {
    fn check(text: &str, expected: &str) {
        let error = Manifest::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    check("", "missing field `plugin`");
    check("[plugin]\nversion = \"1.0.0\"", "missing field `id`");
    check("[plugin]\nid = \"a\"\nversoin = \"1.0.0\"", "line 3; did you mean `version`?");
    check("[plugin]\nid = \"a\"\n[limit]\nmemory = 1", "line 3; did you mean `limits`?");
    check("[plugin]\nid = \"a\"\n[permissions]\nkw = true", "did you mean `kv`?");
    check("[plugin]\nid = \"a\"\n[permissions]\nzzzzzzz = true", "unknown key `zzzzzzz`");
    check("[plugin]\nid = \"Bad Id\"", "not a plugin id");
    check("[plugin]\nid = \"a\"\nversion = \"one\"", "line 3");
    check("[plugin]\nid = \"a\"\n[limits]\nqueue = \"many\"", "line 4");
    check("[plugin]\nid = \"a\"\n[limits]\nmemory = \"big\"", "`limits.memory`");
    for size in ["-1", "1.5", "99999999999999999999"] {
        let text = format!("[plugin]\nid = \"a\"\n[limits]\nqueue-bytes = {size}");
        check(&text, "expected a number of bytes, or a text such as \"64 MiB\"");
    }
    check("[plugin]\nid = \"a\"\n[limits]\nqueue = 0", "`limits.queue`");
    check("[plugin]\nid = \"a\"\n[frames]\naccepts = [\"dada\"]", "not a frame kind");
    check("[plugin]\nid = \"a\"\n[runtime]\ninstances = 0", "`runtime.instances`");
    check("[plugin]\nid = \"a\"\n[lifecycle]\nbreaker = 0", "`lifecycle.breaker`");
    check("[plugin]\nid = \"a\"\n[lifecycle]\nback-off = \"1 min\"", "longer than `back-off-max`");
    check("[plugin]\nid = \"a\"\n[lifecycle]\ncrash-window = \"0 s\"", "`lifecycle.crash-window`");
    check("[plugin]\nid = \"a\"\n[lifecycle]\nrestart = \"sometimes\"", "line 4");
    check("[plugin]\nid = \"a\"\n[state]\nkeep = 0", "`state.keep`");
    check("[plugin]\nid = \"a\"\n[state]\ncheckpoint = \"1 s\"", "needs `persist = true`");
    check("[plugin]\nid = \"a\"\n[limits]\nburst = 5", "needs `rate`");
    check("[plugin]\nid = \"a\"\n[runtime]\nseed = 1", "without `deterministic = true`");
    check("[plugin]\nid = \"a\"\n[runtime]\ncompile-deadline = \"0 s\"", "line 4: must be longer");
    check("[plugin]\nid = \"a\"\n[runtime]\ncompile-deadline = \"1 day\"", "`1 day` is not a dur");
    check(
        "[plugin]\nid = \"a\"\n[runtime]\ndeterministic = true\ninstances = 2",
        "which of 2 copies gets a frame",
    );
    check("[plugin]\nid = \"a\"\n[artifact]\ndigest = \"blake3:12\"", "64 lower-case");
    check("[plugin]\nid = \"a\"\n[artifact]\ndigest = 1", "a text or a list of texts");
    check("[plugin]\nid = \"a\"\n[budget]\np9 = \"1 ms\"", "line 4; did you mean `p99`?");
    check("[plugin]\nid = \"a\"\n[budget]\nloadtime = \"1 s\"", "did you mean `load-time`?");
    check("[plugin]\nid = \"a\"\n[budget]\np99 = \"5\"", "`budget.p99`: `5` is not a duration");
    check("[plugin]\nid = \"a\"\n[budget]\nmemory = \"1 ms\"", "`budget.memory`");
    check("[plugin\nid = 1", "line 1");
    check("plugin = 3", "line 1");
}

#[test]
fn bare_artifacts_get_an_id() {
    fn check(name: &str, expected: &str) {
        let manifest = Manifest::bare(name);
        assert_eq!(manifest.plugin.id, expected);
        assert!(is_kebab_case(&manifest.plugin.id));
    }
    check("hello", "hello");
    check("My Plugin_2", "my-plugin-2");
    check("7zip", "plugin-7zip");
    check("…", "plugin");
}

#[test]
fn manifests_have_only_so_many_entries() {
    /// A manifest with so many of these.
    fn check(section: &str, entry: impl Fn(usize) -> String, end: &str, key: &str, limit: usize) {
        let of = |count: usize| {
            let entries: String = (0..count).map(&entry).collect();
            Manifest::parse(&format!("[plugin]\nid = \"a\"\n{section}{entries}{end}\n"))
        };
        assert!(of(limit).is_ok(), "{:?}", of(limit));
        let expected = format!("`{key}`: {} entries are too many, limit {limit}", limit + 1);
        assert_eq!(of(limit + 1).unwrap_err().to_string(), expected);
    }
    let configuration = |number| format!("[configurations.c{number}]\n");
    check("", configuration, "", "configurations", MAX_CONFIGURATIONS);
    let dependency = |number| format!("d{number} = \"1\"\n");
    check("[dependencies]\n", dependency, "", "dependencies", MAX_ENTRIES);
    let folder = |number| format!("{{ path = \"{number}\" }}, ");
    check("[permissions]\nfiles = [", folder, "]", "permissions.files", MAX_FOLDERS);
    let name = |number| format!("\"A{number}\", ");
    check("[permissions]\nenvironment = [", name, "]", "permissions.environment", MAX_ENTRIES);
    let prefixes = "permissions.kv.prefixes";
    check("[permissions]\nkv = { prefixes = [", name, "] }", prefixes, MAX_ENTRIES);
}
