//! The plugins of a host in an order that does not change.

use glovebox_host::{Host, PluginStatus};

/// All instances by the id of their plugin. Those that are loaded at the same time come in any
/// order, and neither the list nor a replay should depend on that.
pub(super) fn plugins_of(host: &Host) -> Vec<PluginStatus> {
    let mut plugins = host.plugins();
    plugins.sort_by(|a, b| {
        let ids = a.manifest.plugin.id.cmp(&b.manifest.plugin.id);
        ids.then(a.instance.cmp(&b.instance))
    });
    plugins
}
