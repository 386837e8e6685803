use glovebox_abi::Manifest;
use glovebox_host::{Host, InstanceId};

use super::query::{Index, Query};

impl Query {
    /// The instances of a host that it means, the best first, as [`Catalog::find`](crate::Catalog::find)
    /// ranks them; equal ones in the order in which they are in [`Host::plugins`].
    ///
    /// Looks at each instance: for a person's question, not for every frame. Frames are routed by
    /// kind and id without it.
    pub fn find_in(&self, host: &Host) -> Vec<InstanceId> {
        let plugins = host.plugins();
        let manifests: Vec<&Manifest> = plugins.iter().map(|plugin| &*plugin.manifest).collect();
        let found = Index::of(&manifests, self.text.is_some()).find(self);
        found.into_iter().map(|ranked| plugins[ranked.place].instance).collect()
    }
}
