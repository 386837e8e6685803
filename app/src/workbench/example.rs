use std::path::PathBuf;

use crate::assets;

/// Something to try with one click.
#[derive(Debug, PartialEq, Eq)]
pub struct Example {
    /// What it is called.
    pub title: &'static str,
    /// What one sees.
    pub shows: &'static str,
    plugins: &'static [&'static str],
    trace: Option<&'static str>,
}

/// All examples, in the order in which to try them.
pub const EXAMPLES: [Example; 5] = [
    Example {
        title: "Echo",
        shows: "the smallest plugin: every frame comes back",
        plugins: &["echo"],
        trace: Some("shop"),
    },
    Example {
        title: "Redact a shop's orders",
        shows: "mail addresses and cards vanish; state survives a reload",
        plugins: &["redact"],
        trace: Some("shop"),
    },
    Example {
        title: "Statistics",
        shows: "metrics, memory and a plugin that keeps state",
        plugins: &["stats"],
        trace: Some("shop"),
    },
    Example {
        title: "Storage",
        shows: "host calls, permissions and what a denial looks like",
        plugins: &["storage"],
        trace: Some("shop"),
    },
    Example {
        title: "Misbehave",
        shows: "traps, time-outs and limits: nothing gets out",
        plugins: &["misbehave"],
        trace: Some("shop"),
    },
];

impl Example {
    /// The files it needs, if they are all there.
    pub fn files(&self) -> Option<Vec<PathBuf>> {
        let plugins = self.plugins.iter().map(|name| assets::plugin(name));
        let trace = self.trace.map(assets::trace);
        plugins.chain(trace).collect()
    }
}
