//! The table that says which module of a crate may use which, and the faults against it.

use std::collections::BTreeSet;

use super::modules::Modules;

/// One module with all that it holds: what it is for, and the lines below that it uses.
pub(super) struct Line {
    pub(super) module: &'static str,
    pub(super) is_for: &'static str,
    /// `None` of a leaf, which every line above it may use.
    pub(super) uses: Option<&'static [&'static str]>,
}

/// A module that uses some of those below it.
pub(super) const fn line(
    module: &'static str,
    is_for: &'static str,
    uses: &'static [&'static str],
) -> Line {
    Line { module, is_for, uses: Some(uses) }
}

/// A module for small types that every line above it may use.
pub(super) const fn leaf(module: &'static str, is_for: &'static str) -> Line {
    Line { module, is_for, uses: None }
}

/// The faults between a crate and its table: each line may use lines below it, those that it names,
/// and `known` lists the arrows up that are still there.
pub(super) fn faults(modules: &Modules, table: &[Line], known: &[(&str, &str)]) -> Vec<String> {
    let mut faults = BTreeSet::new();
    let place = |module: &str| table.iter().position(|line| line.module == module);
    let line_of = |way: &[String]| {
        let path = way.join("/");
        let holds = |line: &&Line| {
            path == line.module
                || path.strip_prefix(line.module).is_some_and(|rest| rest.starts_with('/'))
        };
        table.iter().filter(holds).max_by_key(|line| line.module.len())
    };
    for line in table {
        if line.is_for.is_empty() {
            faults.insert(format!("the table does not say what `{}` is for", line.module));
        }
        for other in line.uses.into_iter().flatten() {
            if place(other).is_none_or(|other| Some(other) <= place(line.module)) {
                faults.insert(format!(
                    "the table lets `{}` use `{other}`, which does not stand below it",
                    line.module
                ));
            }
        }
    }
    let mut found = BTreeSet::new();
    let mut held = BTreeSet::new();
    for way in modules.ways() {
        match line_of(way) {
            Some(line) => {
                held.insert(line.module);
            }
            None => {
                faults.insert(format!("`{}` stands in no line of the table", way.join("/")));
            }
        }
    }
    for (from, to, path) in modules.arrows() {
        // The root hands on what the others define.
        let Some(line) = line_of(from) else { continue };
        let to = match line_of(&to) {
            Some(to) => to,
            None => {
                let path = path.join("::");
                faults
                    .insert(format!("`{}` uses `{path}`, which the root defines", from.join("/")));
                continue;
            }
        };
        if line.module == to.module {
            continue;
        }
        found.insert((line.module, to.module));
        let is_named = line.uses.is_some_and(|uses| uses.contains(&to.module));
        let is_leaf = to.uses.is_none() && place(line.module) < place(to.module);
        if !is_named && !is_leaf && !known.contains(&(line.module, to.module)) {
            faults.insert(format!(
                "`{}` uses `{}`, but the table does not let `{}` use `{}`",
                from.join("/"),
                path.join("::"),
                line.module,
                to.module
            ));
        }
    }
    for line in table {
        if !held.contains(line.module) {
            faults
                .insert(format!("the table has a line for `{}`, which is not there", line.module));
        }
        for other in line.uses.into_iter().flatten() {
            if !found.contains(&(line.module, *other)) {
                faults.insert(format!("`{}` no longer uses `{other}`; strike it", line.module));
            }
        }
    }
    for (from, to) in known {
        if !found.contains(&(*from, *to)) {
            faults.insert(format!(
                "`{from}` no longer uses `{to}`; strike it from the known circles"
            ));
        }
    }
    faults.into_iter().collect()
}
