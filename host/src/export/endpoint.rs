//! The endpoint from which Prometheus fetches the figures: `GET /metrics`, on this machine.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Weak;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Host;
use crate::host::Inner;

/// Connections that are served at the same time; the oldest makes room for one more.
const MAX_CONNECTIONS: usize = 16;
/// How long the head of a request may take.
const HEAD_DEADLINE: Duration = Duration::from_secs(2);
/// How long one connection may take, from its first byte to the last of the answer.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes that the head of a request may have; the smallest that hyper accepts.
const MAX_HEAD_LEN: usize = 8 << 10;

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Others could reach it, and it asks nobody who they are.
    #[error(
        "{address} can be reached from other machines, and the endpoint asks for no password; use 127.0.0.1, and a proxy in front of it for others"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The operating system refused the address or a thread.
    #[error("cannot serve metrics: {source}; choose another port, or 0 for a free one: {address}")]
    Io {
        /// The error of the operating system.
        source: io::Error,
        /// The address.
        address: SocketAddr,
    },
}

/// Answers `GET /metrics` with [`Host::prometheus`] until it is dropped.
///
/// It has a thread of its own, so that it answers also while plugins keep all others busy. At most
/// 16 connections are served at the same time, each for one request: its head may take 2 seconds, and
/// all of it 10. One more ends the oldest, so that idle ones keep nobody out. A request whose `Host`
/// is not this machine comes from a page in a browser, and is refused with 421. It does not keep the
/// host alive: without one the answer is 503.
#[derive(Debug)]
pub struct MetricsEndpoint {
    address: SocketAddr,
    /// The thread ends when this goes.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl MetricsEndpoint {
    /// Where it listens, with the port that the operating system chose if it was asked for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsEndpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

impl Host {
    /// Serves the figures of this host over HTTP, at `/metrics` of an address of this machine alone.
    ///
    /// # Errors
    ///
    /// If the address can be reached from elsewhere, or the operating system refuses it.
    pub fn serve_metrics(&self, address: SocketAddr) -> Result<MetricsEndpoint, EndpointError> {
        if !address.ip().is_loopback() {
            return Err(EndpointError::NotLoopback { address });
        }
        let refused = |source| EndpointError::Io { source, address };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (stop, stopped) = oneshot::channel();
        let host = self.downgrade();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, host) => {}
                    // The sender never sends, it only goes.
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name("glovebox-metrics".to_owned()).spawn(serve);
        let thread = Some(thread.map_err(refused)?);
        Ok(MetricsEndpoint { address, stop: Some(stop), thread })
    }
}

async fn accept(listener: TcpListener, host: Weak<Inner>) {
    let mut served: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                served.retain(|one| !one.is_finished());
                if served.len() >= MAX_CONNECTIONS
                    && let Some(oldest) = served.pop_front()
                {
                    oldest.abort();
                }
                let host = host.clone();
                served.push_back(tokio::spawn(async move {
                    // A client that is too slow, or speaks no HTTP, only loses the connection.
                    let _ =
                        tokio::time::timeout(CONNECTION_DEADLINE, serve(connection, host)).await;
                }));
                // A request that is here already is answered before the next connection is taken.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics was not accepted");
                // Out of handles, most likely: not again at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(connection: TcpStream, host: Weak<Inner>) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let answer = answer(&request, &host);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut protocol = hyper::server::conn::http1::Builder::new();
    protocol.keep_alive(false).max_buf_size(MAX_HEAD_LEN);
    protocol.timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE);
    protocol.serve_connection(TokioIo::new(connection), service).await
}

/// True if a `Host` header names this machine. A name that somebody else's server gives for an address
/// of this machine would let a page of that server read the answer.
fn is_this_machine(host: &HeaderValue) -> bool {
    let Some(host) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<IpAddr>();
    address.map_or_else(|_| name.eq_ignore_ascii_case("localhost"), |one| one.is_loopback())
}

fn answer<B>(request: &Request<B>, host: &Weak<Inner>) -> Response<Full<Bytes>> {
    const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    const METRICS: HeaderValue =
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let of = |status, kind, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    };
    if !request.headers().get_all(HOST).iter().all(is_this_machine) {
        let text = "the figures are for this machine; use http://127.0.0.1\n".to_owned();
        return of(StatusCode::MISDIRECTED_REQUEST, PLAIN, text);
    }
    if request.uri().path() != "/metrics" {
        return of(StatusCode::NOT_FOUND, PLAIN, "not found; metrics are at /metrics\n".to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "use GET\n".to_owned();
        let mut response = of(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match host.upgrade() {
        Some(inner) => of(StatusCode::OK, METRICS, Host { inner }.prometheus()),
        None => of(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "the host is gone\n".to_owned()),
    }
}
