//! The text format of Prometheus, version 0.0.4.

use std::time::Duration;

use glovebox_events::latency::Latencies;
use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::figures::{self, Figure, Labels, Samples};
use crate::Host;

impl Host {
    /// All figures of this host, as the text that Prometheus reads (version 0.0.4 of the format).
    ///
    /// Those of instances have the labels `plugin` and `instance`; `glovebox_plugin_info` has the
    /// version, tier, binding and digest. Durations are there for calls that were timed, see
    /// [`Latencies`].
    pub fn prometheus(&self) -> String {
        let families: Vec<MetricFamily> = figures::of(self).into_iter().map(family).collect();
        // The encoder refuses a family without a name or samples, and we make none.
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_else(|error| format!("# {error}\n"))
    }
}

fn family(figure: Figure) -> MetricFamily {
    let (kind, metrics) = match figure.samples {
        Samples::Counter(samples) => (MetricType::COUNTER, metrics(samples, counter)),
        Samples::Gauge(samples) => (MetricType::GAUGE, metrics(samples, gauge)),
        Samples::Seconds(samples) => (MetricType::GAUGE, metrics(samples, seconds)),
        Samples::Histogram(samples) => (MetricType::HISTOGRAM, metrics(samples, histogram)),
    };
    let mut family = MetricFamily::default();
    family.set_name(figure.name.to_owned());
    family.set_help(figure.help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn metrics<T>(samples: Vec<(Labels, T)>, set: fn(&mut Metric, T)) -> Vec<Metric> {
    let metric = |(labels, value): (Labels, T)| {
        let labels = labels.into_iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value);
            pair
        });
        let mut metric = Metric::from_label(labels.collect());
        set(&mut metric, value);
        metric
    };
    samples.into_iter().map(metric).collect()
}

fn counter(metric: &mut Metric, value: u64) {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    metric.set_counter(counter);
}

fn gauge(metric: &mut Metric, value: u64) {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    metric.set_gauge(gauge);
}

fn seconds(metric: &mut Metric, value: Duration) {
    let mut gauge = Gauge::default();
    gauge.set_value(value.as_secs_f64());
    metric.set_gauge(gauge);
}

fn histogram(metric: &mut Metric, latency: Latencies) {
    let buckets = latency.at_most().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(latency.count());
    histogram.set_sample_sum(latency.sum().as_secs_f64());
    metric.set_histogram(histogram);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_are_written_as_the_format_says() {
        fn check(name: &'static str, samples: Samples, expected: &str) {
            let figure = Figure { name, help: "Text with \\ and\nlines", samples };
            let text = TextEncoder::new().encode_to_string(&[family(figure)]).unwrap();
            assert_eq!(text, expected);
        }
        let odd = vec![("plugin", "a\"b\\c\nd".to_owned())];
        check(
            "calls_total",
            Samples::Counter(vec![(odd.clone(), 3), (Labels::new(), 4)]),
            "# HELP calls_total Text with \\\\ and\\nlines\n# TYPE calls_total counter\n\
             calls_total{plugin=\"a\\\"b\\\\c\\nd\"} 3\ncalls_total 4\n",
        );
        check(
            "bytes",
            Samples::Gauge(vec![(Labels::new(), 1 << 40)]),
            "# HELP bytes Text with \\\\ and\\nlines\n# TYPE bytes gauge\nbytes 1099511627776\n",
        );
        let mut latency = Latencies::in_doublings();
        latency.add(Duration::from_micros(2));
        latency.add(Duration::from_secs(20));
        let figure =
            Figure { name: "s", help: "", samples: Samples::Histogram(vec![(odd, latency)]) };
        let text = TextEncoder::new().encode_to_string(&[family(figure)]).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "# TYPE s histogram");
        let label = r#"plugin="a\"b\\c\nd""#;
        assert_eq!(lines[1], format!(r#"s_bucket{{{label},le="0.000001024"}} 0"#));
        assert_eq!(lines[2], format!(r#"s_bucket{{{label},le="0.000002048"}} 1"#));
        assert_eq!(lines[25], format!(r#"s_bucket{{{label},le="17.179869184"}} 1"#));
        assert_eq!(lines[26], format!(r#"s_bucket{{{label},le="+Inf"}} 2"#));
        assert_eq!(lines[27], format!("s_sum{{{label}}} 20.000002"));
        assert_eq!(lines[28], format!("s_count{{{label}}} 2"));
        assert_eq!(lines.len(), 29);
    }
}
