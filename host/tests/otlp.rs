//! Requests that arrive at a collector. In a process of its own, because it sets the subscriber.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_host::otlp::{OtlpExport, OtlpOptions};
use glovebox_host::{Host, LoadRequest};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use prost::Message;
use tracing_subscriber::layer::SubscriberExt;

/// How long something may take that must come.
const PATIENCE: Duration = Duration::from_secs(60);

struct Echo;

impl Plugin for Echo {
    fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(vec![frame.clone()])
    }
}

/// Takes requests on a thread of its own and hands them over: the path and the body. The first one
/// is refused.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = sync_channel(1000);
    std::thread::spawn(move || {
        for (number, connection) in listener.incoming().enumerate() {
            let mut reader = BufReader::new(connection.unwrap());
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                head.push(line.trim().to_ascii_lowercase());
            }
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.unwrap().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let status = if number == 0 { "503 Service Unavailable" } else { "200 OK" };
            write!(reader.get_mut(), "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
            assert!(head.contains(&"content-type: application/x-protobuf".to_owned()), "{head:?}");
            let path = head[0].split(' ').nth(1).unwrap().to_owned();
            if number > 0 && sender.send((path, body)).is_err() {
                return;
            }
        }
    });
    (endpoint, requests)
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |attribute: &'_ KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    };
    attributes.iter().filter_map(|one| Some((one.key.as_str(), text(one)?))).collect()
}

#[test]
fn a_collector_gets_figures_and_spans() {
    let (endpoint, requests) = collector();
    let interval = Duration::from_millis(20);
    let options = OtlpOptions { endpoint, interval, service: "shop".to_owned() };
    let export = OtlpExport::start(options).unwrap();
    let subscriber = tracing_subscriber::registry().with(export.layer());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let host = Host::builder().time_calls().build().unwrap();
    let echo = LoadRequest::core(Manifest::bare("echo"), || Box::new(Echo));
    let echo = host.load(echo).wait().unwrap();
    for _ in 0..3 {
        assert!(host.call(echo, &Frame::data("x")).outcome.is_completed());
    }
    export.send_figures_of(&host);

    // The first request was refused, and the next message has everything again.
    let next = |wanted: &str| loop {
        let (path, body) = requests.recv_timeout(PATIENCE).unwrap();
        if path == wanted {
            return body;
        }
    };
    let message = ExportMetricsServiceRequest::decode(&*next("/v1/metrics")).unwrap();
    let [of_resource] = &message.resource_metrics[..] else { panic!("{message:?}") };
    let resource = of_resource.resource.as_ref().unwrap();
    assert_eq!(texts(&resource.attributes)["service.name"], "shop");
    let metric = |name: &str| {
        let metrics = &of_resource.scope_metrics[0].metrics;
        metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}"))
    };
    let Some(Data::Sum(calls)) = &metric("glovebox_plugin_calls").data else { panic!() };
    assert!(calls.is_monotonic);
    assert_eq!(calls.data_points[0].value, Some(Number::AsInt(3)));
    assert_eq!(texts(&calls.data_points[0].attributes)["plugin"], "echo");
    let durations = metric("glovebox_plugin_call_duration_seconds");
    assert_eq!(durations.unit, "s");
    let Some(Data::Histogram(durations)) = &durations.data else { panic!() };
    let durations = &durations.data_points[0];
    assert_eq!((durations.count, durations.bucket_counts.iter().sum::<u64>()), (3, 3));
    assert_eq!(durations.bucket_counts.len(), durations.explicit_bounds.len() + 1);
    assert!(durations.sum.unwrap() > 0.0);

    assert!(export.flush());
    let message = ExportTraceServiceRequest::decode(&*next("/v1/traces")).unwrap();
    let spans = &message.resource_spans[0].scope_spans[0].spans;
    let named = |name: &str| -> Vec<_> { spans.iter().filter(|span| span.name == name).collect() };
    assert_eq!(named("call").len(), 3);
    let call = texts(&named("call")[0].attributes);
    let about =
        [("plugin", "echo"), ("generation", "1"), ("tier", "core"), ("outcome", "completed")];
    for (name, value) in about {
        assert_eq!(call[name], value, "{call:?}");
    }
    let load = named("load")[0];
    assert_eq!(named("initialize")[0].parent_span_id, load.span_id);

    let stats = export.stats();
    assert_eq!(stats.failed, 1, "{stats:?}");
    assert!(stats.sent >= 2, "{stats:?}");
}
