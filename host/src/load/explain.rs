//! Explains the permissions of a plugin before it is loaded.

use glovebox_abi::Permission;

use super::Inspection;
use crate::policy::{self, Allowance, Consents, Policy, Standpoint, Subject, Verdict};

impl Policy {
    /// The permissions of a plugin, and why, in the order people should see them: by this policy,
    /// the permissions allowed in words, and the saved consents.
    pub fn explain(
        &self,
        plugin: &Inspection,
        allowed: &[Allowance],
        saved: Option<&Consents>,
    ) -> Vec<Verdict> {
        let (manifest, digest) = (&plugin.manifest, plugin.digest.as_str());
        let (path, base) = (plugin.origin.path(), plugin.base.as_deref());
        let subject = Subject { digest, path, bare: plugin.bare, base };
        let decided = policy::decided(allowed, saved, manifest, subject);
        let mode = self.mode().unwrap_or_default();
        let standpoint = Standpoint { policy: self, mode, manifest, subject };
        let verdicts = Permission::ALL.into_iter();
        verdicts
            .map(|(permission, ..)| {
                policy::verdict(&standpoint, permission, decided.get(&permission))
            })
            .collect()
    }
}
