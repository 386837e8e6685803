use super::solver::MAX_PLUGINS;
use super::*;
use crate::entry;

/// Plugins as `id version: dependency range, …`, one per line.
fn catalog(plugins: &str) -> Catalog {
    let entries = plugins.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let (about, needs) = line.split_once(':').unwrap_or((line, ""));
        let (id, version) = about.split_once(' ').unwrap();
        let needs = needs.split(';').filter_map(|need| need.trim().split_once(' '));
        let needs: String = needs.map(|(id, range)| format!("{id} = '{range}'\n")).collect();
        let text = format!("[plugin]\nid = '{id}'\nversion = '{version}'\n[dependencies]\n{needs}");
        entry(&text)
    });
    Catalog::new(entries.collect(), Vec::new(), Default::default())
}

#[track_caller]
fn check(plugins: &str, roots: &str, expected: &str) {
    let catalog = catalog(plugins);
    let roots: Vec<Root> = roots.split(" + ").map(|root| root.parse().unwrap()).collect();
    let shown = match catalog.resolve(&roots) {
        Ok(resolution) => {
            let order = resolution.order().iter();
            let order = order.map(|entry| format!("{} {}", entry.id(), entry.version()));
            order.collect::<Vec<_>>().join(", ")
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected);
}

const PLUGINS: &str = "
    app 1.0.0: store ^1; log *
    app 2.0.0: store ^2; log >=1.2, <2
    store 1.0.0: log ^1
    store 1.4.0: log ^1
    store 2.0.0: log ^1.1
    store 2.1.0-beta.1: log ^1.1
    log 1.0.0
    log 1.2.0
    log 1.3.0-rc.1
    log 2.0.0
";

#[test]
fn the_newest_that_fit_are_chosen_dependencies_first() {
    check(PLUGINS, "log", "log 2.0.0");
    check(PLUGINS, "app", "log 1.2.0, store 2.0.0, app 2.0.0");
    check(PLUGINS, "app@^1", "log 1.2.0, store 1.4.0, app 1.0.0");
    check(PLUGINS, "store@=1.0.0 + log@<1.2", "log 1.0.0, store 1.0.0");
    // A pre-release is chosen only if a range names one of that very version.
    check(PLUGINS, "store@2.1.0-beta", "log 1.2.0, store 2.1.0-beta.1");
    check(PLUGINS, "log@1.3.0-rc.1", "log 1.3.0-rc.1");
    check(PLUGINS, "log@>=1.3.0-rc.1", "log 2.0.0");
    // The newest would do alone, and an older one must do for the rest.
    check(
        "a 1.0.0: c ^1\na 2.0.0: c ^2\nb 1.0.0: c ^1\nc 1.0.0\nc 2.0.0",
        "a + b",
        "c 1.0.0, a 1.0.0, b 1.0.0",
    );
}

#[test]
fn conflicts_explain_themselves() {
    check(PLUGINS, "flight", "`flight` is asked for, but there is no plugin `flight`");
    check(
        PLUGINS,
        "log@^3",
        "`log ^3` is asked for, but there is only `log` 1.0.0, 1.2.0, 1.3.0-rc.1 and 2.0.0",
    );
    check(
        "a 1.0.0: b ^2\nb 1.0.0\nb 1.1.0",
        "a",
        "Because `a` 1.0.0 needs `b ^2`, but there is only `b` 1.0.0 and 1.1.0, and `a` is \
         asked for, `a` cannot be loaded.",
    );
    check(
        "a 1.0.0: b ^2",
        "a",
        "Because `a` 1.0.0 needs `b ^2`, but there is no plugin `b`, and `a` is asked for, \
         `a` cannot be loaded.",
    );
    check(
        PLUGINS,
        "app@^2 + store@^1",
        "Because `app` 2.0.0 needs `store ^2`, and `app ^2` is asked for, `store` 2.0.0 is \
         needed.\nAnd because `store ^1` is asked for, the plugins asked for cannot be loaded \
         together.",
    );
    check(
        "a 1.0.0: c ^1\nb 1.0.0: c ^2\nc 1.0.0\nc 2.0.0",
        "a + b",
        "Because `b` 1.0.0 needs `c ^2`, and `a` 1.0.0 needs `c ^1`, `a` 1.0.0 and `b` 1.0.0 \
         cannot be loaded together.\nAnd because `a` is asked for, and `b` is asked for, the \
         plugins asked for cannot be loaded together.",
    );
    check(
        "a 1.0.0: b *\na 2.0.0: b *\nb 1.0.0: c ^2\nc 1.0.0-alpha",
        "a",
        "Because `b` 1.0.0 needs `c ^2`, but there is only `c` 1.0.0-alpha, which a range must \
         name to mean it, and `a` of any version needs `b *`, `a` of any version cannot be \
         loaded.\nAnd because `a` is asked for, `a` cannot be loaded.",
    );
}

/// The longest there may be, on the small stack of a test.
#[test]
fn long_chains_are_resolved() {
    let chain = |length: usize| {
        let link = |number: usize| format!("a{number} 1.0.0: a{} *", number + 1);
        catalog(&(0..length).map(link).collect::<Vec<_>>().join("\n"))
    };
    let roots = ["a0".parse().unwrap()];
    let error = chain(MAX_PLUGINS - 1).resolve(&roots).unwrap_err().to_string();
    let missing = format!("there is no plugin `a{}`", MAX_PLUGINS - 1);
    assert!(error.contains(&missing), "{error}");
    let error = chain(MAX_PLUGINS).resolve(&roots).unwrap_err();
    assert_eq!(error, ResolveError::TooMany { found: 1001, limit: 1000 });
}

#[test]
fn a_search_that_takes_too_long_ends() {
    let catalog = catalog(PLUGINS);
    let roots = ["app".parse().unwrap()];
    let error = catalog.resolve_within(&roots, 2).unwrap_err();
    assert_eq!(error, ResolveError::GaveUp { steps: 2 });
    assert!(catalog.resolve_within(&roots, 100).is_ok());
}

#[test]
fn circles_are_named() {
    let prefix = "plugins depend on each other in a circle: ";
    let remedy = "; remove one of these dependencies";
    check("a 1.0.0: a *", "a", &format!("{prefix}a → a{remedy}"));
    // A plugin that leads to a circle is no part of it.
    check(
        "app 1.0.0: b *\nb 1.0.0: c *\nc 1.0.0: d *\nd 1.0.0: b *",
        "app",
        &format!("{prefix}b → c → d → b{remedy}"),
    );
}

#[test]
fn roots_are_read() {
    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<Root>() {
            Ok(root) => root.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }
    let remedy = "write `ID` or `ID@RANGE`, e.g. `redact@^1.2`";
    check("redact", "redact");
    check("redact@^1", "redact@^1");
    check("redact@>=1, <3", "redact@>=1, <3");
    check("Redact", &format!("`Redact`: `Redact` is not a plugin id; {remedy}"));
    check("", &format!("``: `` is not a plugin id; {remedy}"));
    check(
        "a@one",
        &format!("`a@one`: unexpected character 'o' while parsing major version number; {remedy}"),
    );
}
