//! One POST over a connection of its own, with a deadline and a bound on the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::{DEADLINE, OtlpStats};

/// Bytes of an answer that are read; a collector has little to say.
const MAX_ANSWER_LEN: usize = 64 << 10;

/// Sends on a runtime of its own, for callers on any thread.
#[derive(Debug, Clone)]
pub(super) struct Client {
    runtime: Handle,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> OtlpStats {
        OtlpStats { sent: self.sent.load(Relaxed), failed: self.failed.load(Relaxed) }
    }
}

/// Says what is wrong with an endpoint.
pub(super) fn check(endpoint: &str) -> Result<(), String> {
    let uri: Uri = endpoint.parse().map_err(|error| format!("not an address: {error}"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some(scheme) => return Err(format!("`{scheme}` is not spoken here")),
        None => return Err("it says no scheme".to_owned()),
    }
    match uri.path() {
        "/" if !endpoint.ends_with('/') => Ok(()),
        path => Err(format!("the path `{path}` is chosen by the protocol")),
    }
}

impl Client {
    pub(super) fn new(runtime: Handle, counters: Arc<Counters>) -> Client {
        Client { runtime, counters }
    }

    pub(super) async fn post(
        &self,
        endpoint: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(), HttpError> {
        let request = Request::post(format!("{endpoint}{path}"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))
            .body(Bytes::from(body))?;
        let response = self.send_bytes(request).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("the collector says {status}").into()),
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending =
            self.runtime.spawn(async { tokio::time::timeout(DEADLINE, exchange(request)).await });
        let answer: Result<Response<Bytes>, HttpError> = match sending.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(format!("no answer within {DEADLINE:?}").into()),
            Err(ended) => Err(ended.into()),
        };
        let taken = answer.as_ref().is_ok_and(|answer| answer.status().is_success());
        let counter = if taken { &self.counters.sent } else { &self.counters.failed };
        counter.fetch_add(1, Relaxed);
        answer
    }
}

async fn exchange(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().ok_or("the address names no machine")?;
    let port = authority.port_u16().unwrap_or(80);
    let machine = authority.host().trim_matches(['[', ']']).to_owned();
    parts.headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
    // A request to the machine itself names the path alone.
    let path = parts.uri.path_and_query().cloned();
    parts.uri = path.unwrap_or(PathAndQuery::from_static("/")).into();
    let connection = TcpStream::connect((machine, port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(connection)).await?;
    let exchange = async {
        let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER_LEN).collect().await?.to_bytes();
        Ok::<_, HttpError>(Response::from_parts(parts, body))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The exchange tells of a failure of the connection.
        _ = connection => exchange.await,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn endpoints_are_checked() {
        fn check(endpoint: &str, expected: Result<(), &str>) {
            assert_eq!(super::check(endpoint), expected.map_err(str::to_owned), "{endpoint}");
        }
        check("http://127.0.0.1:4318", Ok(()));
        check("http://[::1]:4318", Ok(()));
        check("http://collector", Ok(()));
        check("https://collector", Err("`https` is not spoken here"));
        check("collector:4318", Err("it says no scheme"));
        check("http://collector/v1/traces", Err("the path `/v1/traces` is chosen by the protocol"));
        check("http://collector/", Err("the path `/` is chosen by the protocol"));
    }
}
