//! Exports the figures of a host, over HTTP and OTLP.
//!
//! Nothing else of the host knows this folder; it asks what everybody may ask.

#[cfg(feature = "prometheus")]
mod endpoint;
mod figures;
#[cfg(feature = "otlp")]
pub mod otlp;
#[cfg(feature = "prometheus")]
mod prometheus;

#[cfg(feature = "prometheus")]
pub use endpoint::{EndpointError, MetricsEndpoint};
