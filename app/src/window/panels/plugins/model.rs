//! The search in the list of plugins, and the words about a plugin.

use glovebox_host::PluginStatus;

use crate::workbench::ViewCtx;

/// The state of the list of plugins.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(super) search: String,
}

/// The latency that 99 of 100 calls of the generation that runs now did not exceed.
pub(super) fn p99(view: ViewCtx<'_>, plugin: &PluginStatus) -> String {
    let latency = view.figures_now(plugin).map(|figures| figures.latency).unwrap_or_default();
    format!("p99 {}", latency.show(latency.p99))
}

/// True if a plugin has all these words, which are small letters.
pub(super) fn matches(plugin: &PluginStatus, words: &str) -> bool {
    let about = &plugin.manifest.plugin;
    let found = |word: &str| {
        about.id.contains(word)
            || about.name.to_lowercase().contains(word)
            || about.category.to_lowercase().contains(word)
            || plugin.phase.name().contains(word)
            || plugin.tier.name().contains(word)
    };
    words.split_whitespace().all(found)
}
