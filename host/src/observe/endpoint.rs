//! Where Prometheus fetches the figures: `GET /metrics`, on this machine.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use crate::Host;
use crate::host::Inner;

/// Connections that are served at the same time; more wait for their turn.
const MAX_CONNECTIONS: usize = 16;
/// How long one connection may take, from its first byte to the last of the answer.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes that the head of a request may have; the smallest that hyper accepts.
const MAX_HEAD_LEN: usize = 8 << 10;

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
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
        /// What it says.
        source: io::Error,
        /// The address.
        address: SocketAddr,
    },
}

/// Answers `GET /metrics` with [`Host::prometheus`] until it is dropped.
///
/// It has a thread of its own, so that it answers also while plugins keep all others busy. At most
/// 16 connections are served at the same time, each for one request and at most 10 seconds. It does
/// not keep the host alive: without one the answer is 503.
#[derive(Debug)]
pub struct MetricsEndpoint {
    address: SocketAddr,
    /// The thread ends when this goes.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
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
        let thread = std::thread::Builder::new().name("glovebox-metrics".to_owned()).spawn(serve);
        let thread = Some(thread.map_err(refused)?);
        Ok(MetricsEndpoint { address, stop: Some(stop), thread })
    }
}

async fn accept(listener: TcpListener, host: Weak<Inner>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((connection, _)) => {
                let host = host.clone();
                tokio::spawn(async move {
                    // Whoever is too slow, or speaks no HTTP, only loses the connection.
                    let _ =
                        tokio::time::timeout(CONNECTION_DEADLINE, serve(connection, host)).await;
                    drop(place);
                });
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
    protocol.serve_connection(TokioIo::new(connection), service).await
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
