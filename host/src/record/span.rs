//! The spans of `tracing`, one for each step; [`Host`](crate::Host) lists them.
//!
//! A span is made only while a subscriber of the process wants its level. The fields `plugin`,
//! `instance`, `generation` and `tier` stand on the span of a step; the spans inside it, such as the
//! stages of a load, have them from there.

use glovebox_abi::manifest::Tier;
use glovebox_events::{LoadStage, ReloadCause};
use tracing::field::{Empty, display};
use tracing::{Level, Span, debug_span, info_span, level_enabled};

use crate::id::InstanceId;

/// The subject of a span.
pub(crate) struct About<'a> {
    pub(crate) plugin: &'a str,
    pub(crate) instance: InstanceId,
    pub(crate) generation: u32,
    pub(crate) tier: Tier,
}

macro_rules! step {
    ($span:ident, $name:literal, $about:expr $(, $field:ident = $value:expr)*) => {{
        let about = $about;
        $span!(
            $name,
            plugin = about.plugin,
            instance = %about.instance,
            generation = about.generation,
            tier = about.tier.name(),
            $($field = $value),*
        )
    }};
}

/// True if somebody may want the spans of calls. One load of a number that hardly ever changes,
/// which is all that a call pays while nobody does.
#[inline]
pub(crate) fn calls_are_traced() -> bool {
    level_enabled!(Level::DEBUG)
}

/// A load, of which nothing is known yet; see [`tell`].
pub(crate) fn load() -> Span {
    info_span!("load", plugin = Empty, instance = Empty, generation = Empty, tier = Empty)
}

/// Says what a [`load`] is about.
pub(crate) fn tell(load: &Span, about: &About<'_>) {
    load.record("plugin", about.plugin)
        .record("instance", display(about.instance))
        .record("generation", about.generation)
        .record("tier", about.tier.name());
}

/// One stage of a load or reload.
pub(crate) fn stage(stage: LoadStage) -> Span {
    macro_rules! named {
        ($($stage:ident => $name:literal),+ $(,)?) => {
            match stage { $(LoadStage::$stage => debug_span!($name)),+ }
        };
    }
    named! {
        Read => "read",
        Sniff => "sniff",
        ParseManifest => "parse manifest",
        Signature => "signature",
        Policy => "policy",
        Compile => "compile",
        Link => "link",
        Initialize => "initialize",
        RestoreState => "restore state",
        Probe => "probe",
    }
}

pub(crate) fn reload(about: &About<'_>, cause: ReloadCause) -> Span {
    step!(info_span, "reload", about, cause = cause.name(), next_generation = Empty)
}

/// The last stage of a reload: waiting for the calls under way, and taking over.
pub(crate) fn switch() -> Span {
    debug_span!("switch")
}

pub(crate) fn restart(about: &About<'_>, attempt: u32) -> Span {
    step!(info_span, "restart", about, attempt = attempt)
}

pub(crate) fn unload(about: &About<'_>) -> Span {
    step!(info_span, "unload", about)
}

pub(crate) fn save_state(about: &About<'_>) -> Span {
    step!(debug_span, "save state", about)
}

pub(crate) fn health(about: &About<'_>) -> Span {
    step!(debug_span, "health", about)
}

/// From the queue to the answers; calls are inside it.
pub(crate) fn dispatch(about: &About<'_>, frames: u64) -> Span {
    step!(debug_span, "dispatch", about, frames = frames)
}

pub(crate) fn call(about: &About<'_>) -> Span {
    step!(debug_span, "call", about, call = Empty, outcome = Empty)
}

/// One use of a host service.
pub(crate) fn service(about: &About<'_>, service: &str) -> Span {
    step!(debug_span, "service", about, service = service, error = Empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_called_what_errors_call_them() {
        /// Wants everything and keeps nothing.
        struct All;

        impl tracing::Subscriber for All {
            fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
                true
            }
            fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
                tracing::Id::from_u64(1)
            }
            fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}
            fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}
            fn event(&self, _: &tracing::Event<'_>) {}
            fn enter(&self, _: &tracing::Id) {}
            fn exit(&self, _: &tracing::Id) {}
        }

        use LoadStage::*;
        let stages = [
            Read,
            Sniff,
            ParseManifest,
            Signature,
            Policy,
            Compile,
            Link,
            Initialize,
            RestoreState,
            Probe,
        ];
        tracing::subscriber::with_default(All, || {
            for step in stages {
                let span = stage(step);
                assert_eq!(span.metadata().map(|about| about.name()), Some(step.name()));
            }
        });
    }
}
