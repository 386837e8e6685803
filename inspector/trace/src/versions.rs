use std::collections::BTreeMap;
use std::sync::Arc;

use glovebox_events::{Event, What};
use serde::{Deserialize, Serialize};

use crate::PluginRecord;

/// The version that a generation of an instance runs, as an event says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionSeen {
    pub(crate) instance: u64,
    pub(crate) generation: u32,
    pub(crate) version: String,
}

impl VersionSeen {
    /// The version that an event names, if it names one.
    pub(crate) fn of(event: &Event) -> Option<VersionSeen> {
        let (What::Loaded { version, .. } | What::Reloaded { version, .. }) = &event.what else {
            return None;
        };
        let (instance, generation) = (event.instance, event.generation);
        (version.len() <= MAX_VERSION).then(|| {
            let version = version.clone();
            VersionSeen { instance, generation, version }
        })
    }
}

/// Bytes of a version that is remembered.
const MAX_VERSION: usize = 256;
/// Generations whose version is remembered; of more, the latest instances.
pub(crate) const MAX_VERSIONS: usize = 10_000;

/// The versions that the generations of instances run: two instances of one id may run different ones,
/// and so may two generations of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// By instance and generation, as events say.
    seen: BTreeMap<(u64, u32), Arc<str>>,
    /// By instance, as the records of a trace have it: of its last generation.
    described: BTreeMap<u64, Arc<str>>,
}

impl Versions {
    /// Takes in the version that an event names, if it names one.
    pub fn take_in(&mut self, event: &Event) {
        if let Some(seen) = VersionSeen::of(event) {
            self.add(&seen);
        }
    }

    pub(crate) fn add(&mut self, seen: &VersionSeen) {
        let VersionSeen { instance, generation, version } = seen;
        self.seen.insert((*instance, *generation), version.as_str().into());
        if self.seen.len() > MAX_VERSIONS {
            self.seen.pop_first();
        }
    }

    /// Takes in the records of a trace: a recording that began later has no event of a load.
    pub fn describe(&mut self, plugins: &[PluginRecord]) {
        for one in plugins.iter().flat_map(|plugin| &plugin.instances) {
            self.described.insert(one.instance, one.version.as_str().into());
        }
    }

    /// The version of a generation; `None` if nothing says it.
    pub fn of(&self, instance: u64, generation: u32) -> Option<&Arc<str>> {
        self.seen.get(&(instance, generation)).or_else(|| {
            let later = (instance, generation.saturating_add(1))..=(instance, u32::MAX);
            let is_last = self.seen.range(later).next().is_none();
            self.described.get(&instance).filter(|_| is_last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstanceRecord;

    #[test]
    fn a_generation_has_the_version_that_is_nearest_to_it() {
        /// Checks what is seen as instance, generation and version, and what is described of an
        /// instance, against the version of a generation of it.
        #[track_caller]
        fn check(
            seen: &[(u64, u32, &str)],
            described: Option<&str>,
            (instance, generation): (u64, u32),
            expected: Option<&str>,
        ) {
            let mut versions = Versions::default();
            for (instance, generation, version) in seen {
                let (instance, generation) = (*instance, *generation);
                versions.add(&VersionSeen { instance, generation, version: (*version).into() });
            }
            let record = |version: &str| PluginRecord {
                instances: vec![InstanceRecord {
                    instance,
                    version: version.into(),
                    ..InstanceRecord::default()
                }],
                ..PluginRecord::default()
            };
            versions.describe(&described.map(record).into_iter().collect::<Vec<_>>());
            assert_eq!(versions.of(instance, generation).map(|version| &**version), expected);
        }
        check(&[], None, (1, 1), None);
        check(&[], Some("1.0.0"), (1, 1), Some("1.0.0"));
        check(&[(1, 1, "1.0.0"), (1, 2, "2.0.0")], None, (1, 1), Some("1.0.0"));
        check(&[(1, 1, "1.0.0"), (1, 2, "2.0.0")], None, (1, 2), Some("2.0.0"));
        check(&[(1, 1, "1.0.0")], None, (2, 1), None);
        // The record is of the last generation, and may be of a later one than is asked for.
        check(&[(1, 2, "2.0.0")], Some("2.0.0"), (1, 1), None);
        check(&[(1, 1, "1.0.0")], Some("2.0.0"), (1, 2), Some("2.0.0"));
    }
}
