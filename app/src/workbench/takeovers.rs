//! Whether each plugin of a run was one version of it from the first call to the last.

use std::collections::BTreeMap;

use glovebox_events::{Event, ReloadCause, What};
use glovebox_host::PluginStatus;

/// The running generation of each instance, and its artifact.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(BTreeMap<u64, Ran>);

#[derive(Debug, Clone)]
struct Ran {
    generation: u32,
    version: String,
    digest: String,
}

/// Why the calls of a run are not those of one version, which went on with its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takeover {
    /// A reload for this cause.
    Reload(ReloadCause),
    /// A reload of which no event tells yet.
    Untold,
}

impl Running {
    /// The versions that these plugins run now.
    pub(crate) fn of<'a>(plugins: impl IntoIterator<Item = &'a PluginStatus>) -> Running {
        let ran = |plugin: &PluginStatus| {
            let (generation, digest) = (plugin.generation, plugin.digest.clone());
            let version = plugin.manifest.plugin.version.to_string();
            (plugin.instance.get(), Ran { generation, version, digest })
        };
        Running(plugins.into_iter().map(ran).collect())
    }

    /// The first takeover since, if there was one: `now` is what ran before the last of the events was
    /// taken. Better code of the same artifact goes on with its state, and what an artifact does after a
    /// failure is part of what it does: neither counts.
    pub(crate) fn replaced<'a>(
        &self,
        events: impl IntoIterator<Item = &'a Event>,
        now: &Running,
    ) -> Option<Takeover> {
        let mut running = self.0.clone();
        for event in events {
            let What::Reloaded { cause, version, digest, .. } = &event.what else { continue };
            let Some(ran) = running.get_mut(&event.instance) else { continue };
            let goes_on = matches!(cause, ReloadCause::Optimised | ReloadCause::Restart);
            if !goes_on || ran.version != *version || ran.digest != *digest {
                return Some(Takeover::Reload(*cause));
            }
            ran.generation = event.generation;
        }
        let is_later = |(instance, now): (&u64, &Ran)| {
            running.get(instance).is_some_and(|ran| ran.generation < now.generation)
        };
        now.0.iter().any(is_later).then_some(Takeover::Untold)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn another_version_takes_over_and_better_code_of_one_does_not() {
        /// Checks a run that began with generation 1 of "a", by the causes and artifacts of the reloads in
        /// it and the generation that runs in the end.
        #[track_caller]
        fn check(reloads: &[(ReloadCause, &str)], now: u32, expected: Option<Takeover>) {
            let running = |generation, digest: &str| {
                let (version, digest) = ("1.0.0".to_owned(), digest.to_owned());
                Running([(7, Ran { generation, version, digest })].into())
            };
            let event = |(generation, (cause, digest)): (u32, &(ReloadCause, &str))| Event {
                sequence: 0,
                at: 1,
                plugin: "a".into(),
                instance: 7,
                generation,
                what: What::Reloaded {
                    cause: *cause,
                    from: generation - 1,
                    version: "1.0.0".to_owned(),
                    digest: (*digest).to_owned(),
                    state_version: None,
                    took: Duration::ZERO,
                },
            };
            let events: Vec<Event> = (2..).zip(reloads).map(event).collect();
            let found = running(1, "a").replaced(&events, &running(now, "a"));
            assert_eq!(found, expected, "{reloads:?}");
            // Reloads of others are no concern of it.
            let others = events.iter().map(|event| Event { instance: 8, ..event.clone() });
            let others: Vec<Event> = others.collect();
            assert_eq!(running(1, "a").replaced(&others, &running(1, "a")), None);
        }
        use ReloadCause::{FileChanged, Optimised, PolicyChanged, Requested, Restart, RolledBack};
        check(&[], 1, None);
        check(&[(Optimised, "a")], 2, None);
        check(&[(Restart, "a"), (Restart, "a"), (Optimised, "a")], 4, None);
        // The next one takes over between the two looks.
        check(&[(Optimised, "a")], 1, None);
        check(&[(Optimised, "a")], 3, Some(Takeover::Untold));
        check(&[], 2, Some(Takeover::Untold));
        check(&[(Restart, "b")], 2, Some(Takeover::Reload(Restart)));
        for cause in [FileChanged, PolicyChanged, Requested, RolledBack] {
            check(&[(Optimised, "a"), (cause, "a")], 3, Some(Takeover::Reload(cause)));
        }
    }
}
