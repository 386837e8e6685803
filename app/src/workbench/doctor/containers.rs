//! The engines of containers, which plugins in images need.

use glovebox_host::worker::{self, Missing};

use super::{Check, Section};

pub(super) fn examine() -> Section {
    let checks = worker::engines().into_iter().map(|(name, found)| match found {
        Ok(found) => Check::works(name, found),
        Err(Missing { reason, remedy, .. }) => Check::missing(name, reason, remedy),
    });
    Section {
        name: "containers",
        about: "one engine is enough for plugins in images; others run without",
        checks: checks.collect(),
    }
}
