//! Why no versions fit together, in words: PubGrub's derivation, told in terms of plugins.

use pubgrub::{
    DefaultStringReporter, DerivationTree, Derived, External, Map, ReportFormatter, Reporter, Term,
};
use semver::Version;

use super::Root;
use super::solver::{Package, Versions};
use crate::{Catalog, Entry};

/// More versions than this are shown as a span.
const MAX_LISTED: usize = 4;

pub(super) fn explain(
    catalog: &Catalog,
    roots: &[Root],
    tree: &DerivationTree<Package, Versions, String>,
) -> String {
    DefaultStringReporter::report_with_formatter(tree, &Words { catalog, roots })
}

struct Words<'a> {
    catalog: &'a Catalog,
    roots: &'a [Root],
}

type Terms = Map<Package, Term<Versions>>;
type Cause = External<Package, Versions, String>;
type Conclusion = Derived<Package, Versions, String>;

impl Words<'_> {
    /// The entries of one version each, the oldest first.
    fn entries(&self, id: &str) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.catalog.versions(id).collect();
        entries.dedup_by_key(|entry| entry.version());
        entries.reverse();
        entries
    }

    /// The versions of a plugin that are there.
    fn there_are(&self, id: &str) -> String {
        let versions: Vec<&Version> =
            self.entries(id).iter().map(|entry| entry.version()).collect();
        match versions.as_slice() {
            [] => format!("there is no plugin `{id}`"),
            versions if versions.iter().all(|version| !version.pre.is_empty()) => format!(
                "there is only `{id}` {}, which a range must name to mean it",
                list(versions, "and")
            ),
            versions => format!("there is only `{id}` {}", list(versions, "and")),
        }
    }

    /// A plugin in some of its versions.
    fn some(&self, id: &str, set: &Versions, conjunction: &str) -> String {
        let entries = self.entries(id);
        let versions = entries.iter().map(|entry| entry.version());
        let versions: Vec<&Version> = versions.filter(|version| set.contains(version)).collect();
        if versions.is_empty() {
            format!("`{id}` of another version")
        } else if versions.len() == entries.len() && versions.len() > 1 {
            format!("`{id}` of any version")
        } else {
            format!("`{id}` {}", list(&versions, conjunction))
        }
    }

    fn wanted(&self, id: &str, set: &Versions) -> String {
        let roots = self.roots.iter().filter(|root| root.id == id);
        let ranges: Vec<String> = roots
            .filter(|root| root.range != semver::VersionReq::STAR)
            .map(|root| format!("`{id} {}`", root.range))
            .collect();
        let wanted = if ranges.is_empty() {
            format!("`{id}` is asked for")
        } else {
            format!("{} is asked for", ranges.join(" and "))
        };
        if *set == Versions::empty() {
            format!("{wanted}, but {}", self.there_are(id))
        } else {
            wanted
        }
    }

    fn needs(&self, id: &str, set: &Versions, needed: &str, needed_set: &Versions) -> String {
        let entries = self.entries(id);
        let mut ranges: Vec<String> = entries
            .iter()
            .filter(|entry| set.contains(entry.version()))
            .filter_map(|entry| entry.manifest.dependencies.get(needed))
            .map(|range| format!("`{needed} {range}`"))
            .collect();
        ranges.dedup();
        let who = self.some(id, set, "and");
        let verb = if who.contains(" and ") { "need" } else { "needs" };
        let needs = format!("{who} {verb} {}", ranges.join(" or "));
        if *needed_set == Versions::empty() {
            format!("{needs}, but {}", self.there_are(needed))
        } else {
            needs
        }
    }
}

fn list(versions: &[&Version], conjunction: &str) -> String {
    let shown: Vec<String> = versions.iter().map(ToString::to_string).collect();
    match shown.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first, .., last] if shown.len() > MAX_LISTED => {
            format!("{first} to {last} ({} versions)", shown.len())
        }
        [some @ .., last] => format!("{} {conjunction} {last}", some.join(", ")),
    }
}

impl ReportFormatter<Package, Versions, String> for Words<'_> {
    type Output = String;

    fn format_external(&self, cause: &Cause) -> String {
        match cause {
            External::NotRoot(..) => "something is asked for".to_owned(),
            External::NoVersions(Package::Plugin(id), _) => self.there_are(id),
            External::NoVersions(Package::Roots, _) => "nothing is asked for".to_owned(),
            External::FromDependencyOf(
                Package::Plugin(id),
                set,
                Package::Plugin(needed),
                range,
            ) => self.needs(id, set, needed, range),
            External::FromDependencyOf(_, _, Package::Plugin(id), range) => self.wanted(id, range),
            External::FromDependencyOf(_, _, Package::Roots, _) => String::new(),
            External::Custom(package, _, reason) => format!("{package} is unavailable: {reason}"),
        }
    }

    fn format_terms(&self, terms: &Terms) -> String {
        let (mut held, mut needed) = (Vec::new(), Vec::new());
        let mut are_roots = false;
        for (package, term) in terms {
            match (package, term) {
                (Package::Roots, _) => are_roots = true,
                (Package::Plugin(id), Term::Positive(set)) => held.push(self.some(id, set, "or")),
                (Package::Plugin(id), Term::Negative(set)) => needed.push(self.some(id, set, "or")),
            }
        }
        held.sort();
        needed.sort();
        let needed = needed.join(" or ");
        match (held.as_slice(), needed.as_str()) {
            ([], "") => match self.roots {
                [one] => format!("`{}` cannot be loaded", one.id),
                _ => "the plugins asked for cannot be loaded together".to_owned(),
            },
            ([], needed) => format!("{needed} is needed"),
            ([one], "") if are_roots => format!("{one} cannot be used"),
            ([one], "") => format!("{one} cannot be loaded"),
            (held, "") => format!("{} cannot be loaded together", held.join(" and ")),
            ([one], needed) => format!("{one} needs {needed}"),
            (held, needed) => format!("{} together need {needed}", held.join(" and ")),
        }
    }

    fn explain_both_external(&self, one: &Cause, other: &Cause, terms: &Terms) -> String {
        let (one, other) = (self.format_external(one), self.format_external(other));
        format!("Because {one}, and {other}, {}.", self.format_terms(terms))
    }

    fn explain_both_ref(
        &self,
        one_line: usize,
        one: &Conclusion,
        other_line: usize,
        other: &Conclusion,
        terms: &Terms,
    ) -> String {
        let (one, other) = (self.format_terms(&one.terms), self.format_terms(&other.terms));
        let conclusion = self.format_terms(terms);
        format!("Because {one} ({one_line}), and {other} ({other_line}), {conclusion}.")
    }

    fn explain_ref_and_external(
        &self,
        line: usize,
        conclusion: &Conclusion,
        cause: &Cause,
        terms: &Terms,
    ) -> String {
        let (one, other) = (self.format_terms(&conclusion.terms), self.format_external(cause));
        format!("Because {one} ({line}), and {other}, {}.", self.format_terms(terms))
    }

    fn and_explain_external(&self, cause: &Cause, terms: &Terms) -> String {
        format!("And because {}, {}.", self.format_external(cause), self.format_terms(terms))
    }

    fn and_explain_ref(&self, line: usize, conclusion: &Conclusion, terms: &Terms) -> String {
        let (one, conclusion) = (self.format_terms(&conclusion.terms), self.format_terms(terms));
        format!("And because {one} ({line}), {conclusion}.")
    }

    fn and_explain_prior_and_external(
        &self,
        prior: &Cause,
        cause: &Cause,
        terms: &Terms,
    ) -> String {
        let (one, other) = (self.format_external(prior), self.format_external(cause));
        format!("And because {one}, and {other}, {}.", self.format_terms(terms))
    }
}
