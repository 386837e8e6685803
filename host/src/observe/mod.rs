//! What an operator sees of a host: spans of its steps, and its figures.

#[cfg(feature = "prometheus")]
mod endpoint;
#[cfg(any(feature = "prometheus", feature = "otlp"))]
mod figures;
mod latency;
#[cfg(feature = "otlp")]
pub mod otlp;
#[cfg(feature = "prometheus")]
mod prometheus;
pub(crate) mod span;

#[cfg(feature = "prometheus")]
pub use endpoint::{EndpointError, MetricsEndpoint};
pub use latency::CallLatency;
pub(crate) use latency::LatencyCounters;
