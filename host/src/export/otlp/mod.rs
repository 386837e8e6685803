//! Spans and figures to a collector of OpenTelemetry, as OTLP over HTTP.
//!
//! Read [`OtlpExport`] first. Spans are those that [`Host`](crate::Host) lists, figures those of
//! [`Host::plugins`](crate::Host::plugins) and the other counters of a host.
//!
//! ```no_run
//! use glovebox_host::Host;
//! use glovebox_host::otlp::{OtlpExport, OtlpOptions};
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! let export = OtlpExport::start(OtlpOptions::default())?;
//! tracing::subscriber::set_global_default(tracing_subscriber::registry().with(export.layer()))?;
//! let host = Host::builder().time_calls().build()?;
//! export.send_figures_of(&host);
//! // The application does its work here; when `export` goes, it sends the rest.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It deliberately does not speak TLS: a collector on this machine, or beside it, carries on what
//! must be encrypted.

mod client;
mod metrics;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Runtime;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::Host;
use client::{Client, Counters};

/// How long one request may take, and the last ones when an export goes.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where to send to, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtlpOptions {
    /// The collector, without a path: `http://127.0.0.1:4318` unless told.
    pub endpoint: String,
    /// The `service.name` of everything that is sent: `glovebox` unless told.
    pub service: String,
    /// Between one sending of figures and the next: 10 s unless told.
    pub interval: Duration,
}

impl Default for OtlpOptions {
    fn default() -> OtlpOptions {
        OtlpOptions {
            endpoint: "http://127.0.0.1:4318".to_owned(),
            service: "glovebox".to_owned(),
            interval: Duration::from_secs(10),
        }
    }
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// The endpoint cannot be one.
    #[error(
        "{reason}; use http://HOST:PORT without a path, such as http://127.0.0.1:4318: {endpoint}"
    )]
    Endpoint {
        /// The error in it.
        reason: String,
        /// The given address.
        endpoint: String,
    },
    /// The operating system refused a thread.
    #[error("cannot start the thread that sends: {0}")]
    Io(#[from] io::Error),
}

/// The counts of requests to the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OtlpStats {
    /// Requests that the collector took.
    pub sent: u64,
    /// Requests that it did not take, or not in time. Their content is lost: spans for good,
    /// figures until the next time.
    pub failed: u64,
}

/// Sends spans and figures until it is dropped, and then the rest, within 5 seconds.
///
/// At most 2048 spans wait to be sent; the SDK drops further ones and logs how many.
#[derive(Debug)]
pub struct OtlpExport {
    options: OtlpOptions,
    tracer: SdkTracerProvider,
    counters: Arc<Counters>,
    client: Client,
    runtime: Option<Runtime>,
}

impl OtlpExport {
    /// Starts the thread that sends. A collector need not be there yet.
    ///
    /// # Errors
    ///
    /// If the endpoint makes no sense, or the operating system refuses a thread.
    pub fn start(options: OtlpOptions) -> Result<OtlpExport, OtlpError> {
        let refused = |reason: String| {
            let endpoint = options.endpoint.clone();
            OtlpError::Endpoint { reason, endpoint }
        };
        client::check(&options.endpoint).map_err(&refused)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("glovebox-otlp")
            .enable_all()
            .build()?;
        let counters = Arc::<Counters>::default();
        let client = Client::new(runtime.handle().clone(), counters.clone());
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_endpoint(format!("{}/v1/traces", options.endpoint))
            .with_timeout(DEADLINE)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let resource = Resource::builder_empty().with_service_name(options.service.clone()).build();
        let tracer = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(OtlpExport { options, tracer, counters, client, runtime: Some(runtime) })
    }

    /// Sends spans: a layer for the subscriber of the application. It takes all that it is given;
    /// [`Layer::with_filter`] chooses, for example the level `INFO` to leave calls out.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer().with_tracer(self.tracer.tracer("glovebox-host"))
    }

    /// Sends the figures of a host now and then, until it or this is gone. Call it once for a host.
    pub fn send_figures_of(&self, host: &Host) {
        let Some(runtime) = &self.runtime else { return };
        let host = host.downgrade();
        let (client, options) = (self.client.clone(), self.options.clone());
        runtime.spawn(async move {
            let mut ticks = tokio::time::interval(options.interval.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(inner) = host.upgrade() else { return };
                let body = metrics::encode(&Host { inner }, &options.service);
                // Counted by the client, and sent again with the next.
                if let Err(error) = client.post(&options.endpoint, "/v1/metrics", body).await {
                    tracing::debug!(%error, "figures were not sent");
                }
            }
        });
    }

    /// The counts of requests so far.
    pub fn stats(&self) -> OtlpStats {
        self.counters.read()
    }

    /// Sends the spans that wait, now. `false` if that did not work.
    pub fn flush(&self) -> bool {
        self.tracer.force_flush().is_ok()
    }
}

impl Drop for OtlpExport {
    fn drop(&mut self) {
        // Requests that could not be sent are counted, and nobody reads the counters any more.
        let _ = self.tracer.shutdown_with_timeout(DEADLINE);
        // May happen inside an asynchronous runtime, where nothing may wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
