//! The engines of containers, which plugins in images and root folders need.

use glovebox_host::worker::{self, Missing};

use super::{Check, Section};

pub(super) fn examine() -> Section {
    let checks = worker::engines().into_iter().map(|(name, found)| match found {
        Ok(found) => Check::works(name, found),
        Err(Missing { reason, remedy, .. }) => Check::missing(name, reason, remedy),
    });
    Section {
        name: "containers",
        about: "podman or docker runs plugins in images, podman or bubblewrap those in root folders; others run without",
        checks: checks.collect(),
    }
}
