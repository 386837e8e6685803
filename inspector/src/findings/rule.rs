use glovebox_events::CallId;
use serde::Serialize;

use super::{Owner, RULES, Record, Severities, Severity, Spot};

/// One thing to look for in a run.
pub trait Rule: Sync {
    /// Kebab-case name, for settings and reports.
    fn id(&self) -> &'static str;

    /// How severe its findings are unless somebody says otherwise.
    fn severity(&self) -> Severity;

    /// The description of its finding, with all thresholds; one sentence or more.
    fn describe(&self) -> &'static str;

    /// The remedy for a finding.
    fn remedy(&self) -> &'static str;

    /// Looks over a run.
    fn run(&self, record: &Record, out: &mut Verdict);
}

/// The verdict of one rule about a run.
#[derive(Debug, Default)]
pub struct Verdict {
    found: Vec<Found>,
    unjudged: Vec<(Owner, String)>,
}

#[derive(Debug)]
struct Found {
    owner: Owner,
    generation: u32,
    message: String,
    evidence: Vec<Evidence>,
}

impl Verdict {
    /// Frames that one finding names at most; the message has the number of all.
    pub const MAX_EVIDENCE: usize = 5;

    /// Adds a finding. Of the spots that show it, the first are kept.
    pub fn find(
        &mut self,
        owner: &Owner,
        generation: u32,
        message: String,
        spots: impl IntoIterator<Item = Spot>,
    ) {
        let spots = spots.into_iter().take(Self::MAX_EVIDENCE);
        self.found.push(Found {
            owner: owner.clone(),
            generation,
            message,
            evidence: spots.map(Evidence::from).collect(),
        });
    }

    /// Says that this was not judged about an instance, and why.
    pub fn skip(&mut self, owner: &Owner, reason: String) {
        self.unjudged.push((owner.clone(), reason));
    }
}

/// A frame or another event that shows a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The run of the record, from 0.
    pub run: u32,
    /// Sequence number of the event.
    pub sequence: u64,
    /// The call it belongs to, if it belongs to one.
    pub call: Option<CallId>,
}

impl From<Spot> for Evidence {
    fn from(spot: Spot) -> Evidence {
        Evidence { run: spot.run, sequence: spot.sequence, call: spot.call }
    }
}

/// Something a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Id of the rule.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Id of the plugin.
    pub plugin: String,
    /// The instance, by its number in the host; in several runs, by that in the last.
    pub instance: u64,
    /// The name of the instance: the id, and what tells it from others of that id in the run.
    pub name: String,
    /// The generation, from 1; the last if it is about several.
    pub generation: u32,
    /// The finding, with numbers.
    pub message: String,
    /// The remedy.
    pub remedy: &'static str,
    /// Frames that show it, the most telling first; empty if no single frame does.
    pub evidence: Vec<Evidence>,
}

/// An instance that a rule could not judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unjudged {
    /// Id of the rule.
    pub rule: &'static str,
    /// Id of the plugin.
    pub plugin: String,
    /// The instance, by its number in the host; in several runs, by that in the last.
    pub instance: u64,
    /// The name of the instance: the id, and what tells it from others of that id in the run.
    pub name: String,
    /// Why, with numbers.
    pub reason: String,
}

/// The judgement of all rules about a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Judgement {
    /// The most severe first, then in the order of [`RULES`].
    pub findings: Vec<Finding>,
    /// In the order of [`RULES`].
    pub unjudged: Vec<Unjudged>,
    /// Calls of the run that are not in the record, because it was full.
    pub calls_left_out: u64,
}

impl Judgement {
    /// Number of findings that are at least this severe.
    pub fn count(&self, least: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity >= least).count()
    }

    /// The same with the names that `name` knows for a plugin and the number of an instance.
    #[must_use]
    pub fn named(mut self, name: impl Fn(&str, u64) -> Option<String>) -> Judgement {
        let found = self.findings.iter_mut().map(|one| (&one.plugin, one.instance, &mut one.name));
        let unjudged =
            self.unjudged.iter_mut().map(|one| (&one.plugin, one.instance, &mut one.name));
        for (plugin, instance, known) in found.chain(unjudged) {
            if let Some(name) = name(plugin, instance) {
                *known = name;
            }
        }
        self
    }

    /// The same by other severities. Findings of rules that were off stay unknown.
    #[must_use]
    pub fn by(&self, severities: &Severities) -> Judgement {
        let place = |id: &str| RULES.iter().position(|rule| rule.id() == id);
        let severity = |id: &str| place(id).and_then(|at| severities.of(RULES[at]));
        let findings = self.findings.iter().filter_map(|finding| {
            let severity = severity(finding.rule)?;
            Some(Finding { severity, ..finding.clone() })
        });
        let mut findings: Vec<_> = findings.collect();
        findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), place(finding.rule)));
        let unjudged = self.unjudged.iter().filter(|one| severity(one.rule).is_some());
        Judgement {
            findings,
            unjudged: unjudged.cloned().collect(),
            calls_left_out: self.calls_left_out,
        }
    }
}

/// The name of an instance by its number, if another one of its plugin did anything, too.
fn name_of(record: &Record, owner: &Owner) -> String {
    match record.has_twin(owner) {
        true => format!("{} · instance {}", owner.plugin, record.instance_of(owner)),
        false => owner.plugin.to_string(),
    }
}

/// Runs all rules that are not off over a run.
pub fn judge(record: &Record, severities: &Severities) -> Judgement {
    let mut judgement = Judgement { calls_left_out: record.calls_left_out, ..Judgement::default() };
    for rule in RULES {
        let Some(severity) = severities.of(*rule) else {
            continue;
        };
        let mut verdict = Verdict::default();
        rule.run(record, &mut verdict);
        judgement.findings.extend(verdict.found.into_iter().map(|found| Finding {
            rule: rule.id(),
            severity,
            instance: record.instance_of(&found.owner),
            name: name_of(record, &found.owner),
            plugin: found.owner.plugin.to_string(),
            generation: found.generation,
            message: found.message,
            remedy: rule.remedy(),
            evidence: found.evidence,
        }));
        judgement.unjudged.extend(verdict.unjudged.into_iter().map(|(owner, reason)| Unjudged {
            rule: rule.id(),
            instance: record.instance_of(&owner),
            name: name_of(record, &owner),
            plugin: owner.plugin.to_string(),
            reason,
        }));
    }
    judgement.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    judgement
}
