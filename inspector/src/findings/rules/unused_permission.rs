use glovebox_abi::Permission;

use super::super::record::Record;
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;

/// Permissions that are asked for and not needed.
pub(super) struct UnusedPermission;

const MIN_CALLS: u64 = 20;

impl Rule for UnusedPermission {
    fn id(&self) -> &'static str {
        "unused-permission"
    }

    fn severity(&self) -> Severity {
        Severity::Info
    }

    fn describe(&self) -> &'static str {
        "The manifest asks for a permission that no host call of the run needs, harmless ones \
         (`log`, `metric`, `config`, frames) excepted, and those of native plugins for files, variables \
         and the network, whose use nobody sees; from 20 calls on, where the manifest is known."
    }

    fn remedy(&self) -> &'static str {
        "remove it from [permissions], or replay a trace that needs it"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        for (owner, generation) in record.seen() {
            let Some(facts) = record.facts_of(&owner) else {
                out.skip(&owner, "its manifest is not known".to_owned());
                continue;
            };
            let segments = record.segments.iter().filter(|one| one.owner == owner);
            let ended: u64 = segments.map(|segment| segment.ended).sum();
            if ended < MIN_CALLS {
                out.skip(&owner, format!("{ended} of {MIN_CALLS} calls"));
                continue;
            }
            let is_seen = |permission: &Permission| {
                use Permission::{Environment, Files, Network};
                !facts.is_native || !matches!(permission, Environment | Files | Network)
            };
            let asked = facts.permissions.iter().filter(|permission| !permission.is_harmless());
            for permission in asked.filter(|permission| is_seen(permission)) {
                if !record.uses.contains_key(&(owner.clone(), *permission)) {
                    let message =
                        format!("asks for `{permission}` and did not use it in {ended} calls");
                    out.find(&owner, generation, message, []);
                }
            }
        }
    }
}
