//! The figures of a host as one OTLP message.
//!
//! Names are those of Prometheus without `_total`, which is the suffix that collectors put back.

use std::time::Duration;

use glovebox_events::latency::Latencies;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::Host;
use crate::export::figures::{self, Figure, Labels, Samples};
use crate::record::unix_nanoseconds;

/// Everything counts from the start of the host or instance, which the next message repeats.
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// All figures of a host now.
pub(super) fn encode(host: &Host, service: &str) -> Vec<u8> {
    let now = unix_nanoseconds();
    let metrics = figures::of(host).into_iter().map(|figure| metric(figure, now));
    let scope = InstrumentationScope {
        name: "glovebox-host".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_metrics =
        ScopeMetrics { scope: Some(scope), metrics: metrics.collect(), ..ScopeMetrics::default() };
    let resource = Resource {
        attributes: attributes(vec![("service.name", service.to_owned())]),
        ..Resource::default()
    };
    let resource_metrics = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![scope_metrics],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }.encode_to_vec()
}

fn metric(figure: Figure, now: u64) -> Metric {
    let name = figure.name.trim_end_matches("_total");
    let unit = match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    };
    let data = match figure.samples {
        Samples::Counter(samples) => Data::Sum(Sum {
            data_points: numbers(samples, now),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        Samples::Gauge(samples) => Data::Gauge(Gauge { data_points: numbers(samples, now) }),
        Samples::Seconds(samples) => Data::Gauge(Gauge { data_points: seconds(samples, now) }),
        Samples::Histogram(samples) => Data::Histogram(Histogram {
            data_points: samples
                .into_iter()
                .map(|(labels, latency)| durations(labels, &latency, now))
                .collect(),
            aggregation_temporality: CUMULATIVE,
        }),
    };
    Metric {
        name: name.to_owned(),
        description: figure.help.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn numbers(samples: Vec<(Labels, u64)>, now: u64) -> Vec<NumberDataPoint> {
    let point = |(labels, value): (Labels, u64)| NumberDataPoint {
        attributes: attributes(labels),
        time_unix_nano: now,
        // The format has no larger number.
        value: Some(Number::AsInt(i64::try_from(value).unwrap_or(i64::MAX))),
        ..NumberDataPoint::default()
    };
    samples.into_iter().map(point).collect()
}

fn seconds(samples: Vec<(Labels, Duration)>, now: u64) -> Vec<NumberDataPoint> {
    let point = |(labels, value): (Labels, Duration)| NumberDataPoint {
        attributes: attributes(labels),
        time_unix_nano: now,
        value: Some(Number::AsDouble(value.as_secs_f64())),
        ..NumberDataPoint::default()
    };
    samples.into_iter().map(point).collect()
}

fn durations(labels: Labels, latency: &Latencies, now: u64) -> HistogramDataPoint {
    let mut below = 0;
    let mut point = HistogramDataPoint {
        attributes: attributes(labels),
        time_unix_nano: now,
        count: latency.count(),
        sum: Some(latency.sum().as_secs_f64()),
        ..HistogramDataPoint::default()
    };
    // Each bucket by itself here, not with all below it; and one more for what is above.
    for (bound, at_most) in latency.at_most() {
        point.explicit_bounds.push(bound.as_secs_f64());
        point.bucket_counts.push(at_most - below);
        below = at_most;
    }
    point.bucket_counts.push(point.count - below);
    point
}

fn attributes(labels: Labels) -> Vec<KeyValue> {
    let attribute = |(name, value): (&str, String)| KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..KeyValue::default()
    };
    labels.into_iter().map(attribute).collect()
}
