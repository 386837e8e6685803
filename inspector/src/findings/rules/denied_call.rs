use super::super::record::Record;
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;
use super::count;

/// Host calls that the policy does not allow.
pub(super) struct DeniedCall;

impl Rule for DeniedCall {
    fn id(&self) -> &'static str {
        "denied-call"
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn describe(&self) -> &'static str {
        "The policy denied a host call; one finding for each permission."
    }

    fn remedy(&self) -> &'static str {
        "ask for the permission in plugin.toml and grant it in the policy, or do not call"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        for ((owner, permission), uses) in &record.uses {
            if uses.denied == 0 {
                continue;
            }
            let calls = count(uses.used as usize, "host call");
            let message =
                format!("{} of {calls} that need `{permission}` were denied", uses.denied);
            out.find(owner, uses.generation, message, uses.denials.iter().copied());
        }
    }
}
