//! What an application sees of its host, and the examples that show how to use one.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_events::ReloadCause;
use glovebox_host::{Host, LoadRequest};
use glovebox_tests::alone::alone;
use glovebox_tests::{example, sample};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

#[test]
fn examples_run_and_say_what_happened() {
    fn check(name: &str, expected: &[&str]) {
        let output = Command::new(example(name)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {}\n{said}\n{complained}", output.status);
        for expected in expected {
            assert!(said.contains(expected), "{name} does not say {expected:?}:\n{said}");
        }
    }
    check(
        "embed",
        &[
            "loaded shout on the core tier",
            "loaded redact on the wasm tier",
            "shout: HELLO",
            r#"redact: {"mail":"[redacted]","n":1}"#,
            "events told of 1 log line",
            "misbehave: timed out: stopped at its deadline of 250 ms",
            "misbehave: and again",
            "not loaded, at stage read: ",
        ],
    );
    check(
        "dispatch",
        &[
            "dispatch_to: completed, 1 frame back",
            "dispatch with a target: answers of 1 plugin\n",
            "dispatch by kind: answers of 2 plugins",
            r#"dispatch_batch: 100 answers, the last is Some("99")"#,
            "try_dispatch_to: the queue of `misbehave` is full (8 frames)",
            "of those that were queued, 0 were lost",
            "drained in time: true, 0 refused",
            "the queues refused 1 time, and 0 frames failed",
        ],
    );
    check(
        "permissions",
        &[
            "within the policy: completed",
            "outside of it: failed: cannot store `secrets/a`: denied",
            "after a person said no: failed",
            "after a person said yes: completed",
            "kv: 2 uses, 2 denials",
            "  allowed: kv ",
            "  denied: kv ",
        ],
    );
    check(
        "hot_swap",
        &[
            r#"version 1: {"kinds":{"data":{"bytes":6,"frames":3}},"state-version":1}"#,
            "generation 2, version 2: ",
            "refused at stage sniff",
            "still there: ",
            "generation 3, rolled back: ",
        ],
    );
}

/// A span that ended.
#[derive(Debug, Clone)]
struct Ended {
    /// The names of the spans around it and its own, e.g. `load/read`.
    path: String,
    fields: BTreeMap<&'static str, String>,
}

/// Remembers all spans that ended.
#[derive(Clone, Default)]
struct Spans(Arc<(Mutex<Vec<Ended>>, Condvar)>);

impl Spans {
    /// Those since the last time.
    fn take(&self) -> Vec<Ended> {
        std::mem::take(&mut self.0.0.lock().unwrap())
    }

    /// Waits for the end of a span, and gives it.
    fn wait_for(&self, path: &str) -> Ended {
        let (spans, more) = &*self.0;
        let found = |spans: &[Ended]| spans.iter().find(|span| span.path == path).cloned();
        let patience = Duration::from_secs(60);
        let spans = spans.lock().unwrap();
        let (spans, _) =
            more.wait_timeout_while(spans, patience, |spans| found(spans).is_none()).unwrap();
        found(&spans).unwrap_or_else(|| panic!("no span {path} ends: {spans:?}"))
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(span.extensions_mut().get_mut::<Fields>().unwrap());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let names: Vec<&str> = span.scope().from_root().map(|span| span.name()).collect();
        let fields = span.extensions_mut().remove::<Fields>().unwrap().0;
        self.0.0.lock().unwrap().push(Ended { path: names.join("/"), fields });
        self.0.1.notify_all();
    }
}

#[test]
fn every_step_has_a_span() {
    // The subscriber is that of the whole process.
    alone("observe::every_step_has_a_span", || {
        let spans = Spans::default();
        let subscriber =
            tracing_subscriber::registry().with(spans.clone().with_filter(LevelFilter::DEBUG));
        tracing::subscriber::set_global_default(subscriber).unwrap();
        let check = |expected: &[&str], about: &[(&str, &str)]| {
            let ended = spans.take();
            let paths: Vec<&str> = ended.iter().map(|span| &*span.path).collect();
            assert_eq!(paths, expected);
            // The fields stand on the last span to end, which is the whole step.
            let fields = &ended.last().unwrap().fields;
            for (name, value) in about {
                assert_eq!(
                    fields.get(name).map(String::as_str),
                    Some(*value),
                    "{name}: {fields:?}"
                );
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let states = tempfile::tempdir().unwrap();
        let artifact = folder.path().join("stats.wasm");
        std::fs::copy(sample("stats-v1.wasm"), &artifact).unwrap();
        let cache = tempfile::tempdir().unwrap();
        let host = Host::builder().cache_folder(cache.path()).state_folder(states.path());
        let host = host.build().unwrap();

        let load = [
            "load/read",
            "load/sniff",
            "load/parse manifest",
            "load/policy",
            "load/compile",
            "load/link",
            "load/initialize",
            "load/probe",
        ];
        let started = [&load[..], &["load/switch", "load"]].concat();
        let stats = host.load(LoadRequest::path(&artifact)).wait().unwrap();
        let about = [("plugin", "stats"), ("instance", "0"), ("generation", "1"), ("tier", "wasm")];
        check(&started, &about);

        let frame = Frame::data("x");
        host.call(stats, &frame);
        check(&["call"], &[&about[..], &[("outcome", "completed")]].concat());
        host.try_dispatch_to(stats, frame.clone()).unwrap().wait();
        check(&["dispatch/call", "dispatch"], &[&about[..], &[("frames", "1")]].concat());
        assert!(!host.save_state(stats).wait(), "its manifest keeps no state");
        host.restart(stats).wait().unwrap();
        check(&["restart/initialize", "restart"], &[&about[..], &[("attempt", "1")]].concat());

        std::fs::copy(sample("stats.wasm"), &artifact).unwrap();
        host.reload(stats, ReloadCause::Requested, true).wait().unwrap();
        let inside = |step: &str, stages: &[&str]| -> Vec<String> {
            stages.iter().map(|stage| format!("{step}/{stage}")).collect()
        };
        let stages = load[..load.len() - 1].iter().map(|stage| stage.trim_start_matches("load/"));
        let mut reload = inside("reload", &stages.collect::<Vec<_>>());
        let switch = ["save state", "restore state", "probe"];
        reload.push("reload/probe".to_owned());
        reload.extend(inside("reload/switch", &switch));
        reload.extend(["reload/switch".to_owned(), "reload".to_owned()]);
        let reload: Vec<&str> = reload.iter().map(String::as_str).collect();
        let next = [("cause", "requested"), ("next_generation", "2")];
        check(&reload, &[&about[..], &next].concat());

        // The same stages from the cache, and services inside calls.
        let redact = LoadRequest::path(sample("redact.wasm"));
        let about = |instance| {
            [("plugin", "redact"), ("instance", instance), ("generation", "1"), ("tier", "wasm")]
        };
        host.load(redact.clone()).wait().unwrap();
        check(&started, &about("1"));
        let redact = host.load(redact).wait().unwrap();
        assert_eq!(host.cache_stats().hits, 1);
        check(&started, &about("2"));
        host.call(redact, &Frame::data("ada@example.org"));
        let ended = spans.take();
        let services: Vec<&Ended> =
            ended.iter().filter(|span| span.path == "call/service").collect();
        assert_eq!(services[0].fields["service"], "log");
        assert_eq!(services[0].fields["plugin"], "redact");
        assert_eq!(services[1].fields["service"], "metric");

        host.unload(redact);
        assert_eq!(spans.wait_for("unload").fields["instance"], "2");
        spans.take();
        host.load(LoadRequest::path("no-such-file.wasm")).wait().unwrap_err();
        let ended: Vec<String> = spans.take().into_iter().map(|span| span.path).collect();
        assert_eq!(ended, ["load/read", "load"]);
    });
}
