use std::path::PathBuf;

use glovebox_abi::{Frame, Kind};

use crate::assets;

/// Something to try with one click.
#[derive(Debug, PartialEq, Eq)]
pub struct Example {
    /// Its title.
    pub title: &'static str,
    /// The effect that one sees.
    pub shows: &'static str,
    plugins: &'static [&'static str],
    trace: Option<&'static str>,
    sends: &'static [(Kind, &'static str)],
}

/// All examples, in the order in which to try them.
pub const EXAMPLES: [Example; 5] = [
    Example {
        title: "Echo",
        shows: "the smallest plugin: every frame comes back",
        plugins: &["echo"],
        trace: Some("shop"),
        sends: &[],
    },
    Example {
        title: "Redact a shop's orders",
        shows: "mail addresses, cards and tokens vanish from real traffic",
        plugins: &["redact"],
        trace: Some("shop"),
        sends: &[],
    },
    Example {
        title: "Statistics",
        shows: "a plugin that keeps state, and carries it over a reload",
        plugins: &["stats"],
        trace: Some("shop"),
        sends: &[],
    },
    Example {
        title: "Storage",
        shows: "host calls, and the permissions they need",
        plugins: &["storage"],
        trace: None,
        sends: &[
            (Kind::DATA, r#"{"do": "store", "key": "user/1", "value": {"name": "Ada"}}"#),
            (Kind::DATA, r#"{"do": "store", "key": "user/2", "value": {"name": "Grace"}}"#),
            (Kind::DATA, r#"{"do": "retrieve", "key": "user/1"}"#),
            (Kind::DATA, r#"{"do": "list", "prefix": "user/"}"#),
            (Kind::DATA, r#"{"do": "delete", "key": "user/2"}"#),
            (Kind::DATA, r#"{"do": "list"}"#),
            (Kind::DATA, r#"{"do": "forget"}"#),
        ],
    },
    Example {
        title: "Misbehave",
        shows: "panics, traps, time-outs, floods: nothing gets out",
        plugins: &["misbehave"],
        trace: None,
        sends: &[
            (Kind::DATA, "hello"),
            (Kind::DATA, "mode=slow"),
            (Kind::DATA, "mode=fail"),
            (Kind::DATA, "mode=deny-me"),
            (Kind::DATA, "mode=panic"),
            (Kind::DATA, "mode=trap"),
            (Kind::DATA, "still here"),
            (Kind::DATA, "mode=flood"),
            (Kind::DATA, "mode=grow"),
            (Kind::DATA, "mode=recurse"),
            (Kind::DATA, "mode=loop"),
            (Kind::DATA, "and still here"),
        ],
    },
];

impl Example {
    /// The files it needs, if they are all there.
    pub fn files(&self) -> Option<Vec<PathBuf>> {
        let plugins = self.plugins.iter().map(|name| assets::plugin(name));
        let trace = self.trace.map(assets::trace);
        plugins.chain(trace).collect()
    }

    /// The frames that are sent to the plugin once it is loaded.
    pub fn sends(&self) -> Vec<Frame> {
        let frame = |(kind, payload): &(Kind, &'static str)| {
            Frame::new(*kind, glovebox_abi::Header::empty(), *payload)
        };
        self.sends.iter().map(frame).collect()
    }
}
