//! The same questions to the plugins that run.

use glovebox_abi::Manifest;

use super::query::{Index, Query};
use crate::{Host, InstanceId};

impl Host {
    /// The instances that a query means, the best first, as [`Catalog::find`](crate::Catalog::find)
    /// ranks them; equal ones in the order in which they are in [`plugins`](Self::plugins).
    ///
    /// Looks at each instance: for a person's question, not for every frame. Frames are routed by
    /// kind and id without it.
    pub fn find_by(&self, query: &Query) -> Vec<InstanceId> {
        let plugins = self.plugins();
        let manifests: Vec<&Manifest> = plugins.iter().map(|plugin| &*plugin.manifest).collect();
        let found = Index::of(&manifests, query.text.is_some()).find(query);
        found.into_iter().map(|ranked| plugins[ranked.place].instance).collect()
    }
}
