//! The output that a plugin prints: standard output and error become log lines.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// How much is kept between two calls; older bytes are dropped and counted.
const KEPT: usize = 16 << 10;

/// A stream that keeps the last bytes that were written to it.
#[derive(Clone, Default)]
pub(super) struct Printed(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    bytes: VecDeque<u8>,
    dropped: u64,
}

impl Printed {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock();
        let bytes_kept = &bytes[bytes.len().saturating_sub(KEPT)..];
        let excess = (kept.bytes.len() + bytes_kept.len()).saturating_sub(KEPT);
        kept.bytes.drain(..excess);
        kept.dropped += (excess + bytes.len() - bytes_kept.len()) as u64;
        kept.bytes.extend(bytes_kept);
    }

    /// The output since the last time, if there is any, with a note of what was dropped.
    pub(super) fn take(&self) -> Option<String> {
        let mut kept = self.0.lock();
        if kept.bytes.is_empty() {
            return None;
        }
        let bytes: Vec<u8> = std::mem::take(&mut kept.bytes).into();
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        match std::mem::take(&mut kept.dropped) {
            0 => Some(text),
            dropped => Some(format!("({dropped} earlier bytes dropped) {text}")),
        }
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(KEPT)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Printed {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_and_the_rest_is_counted() {
        fn check(written: &[usize], expected_kept: usize, expected_dropped: &str) {
            let printed = Printed::default();
            for length in written {
                printed.push(&vec![b'x'; *length]);
            }
            let text = printed.take().unwrap_or_default();
            assert_eq!(text.matches('x').count(), expected_kept, "{written:?}");
            assert!(text.contains(expected_dropped), "{text:.40} lacks {expected_dropped}");
            assert_eq!(printed.take(), None);
        }
        check(&[], 0, "");
        check(&[10, 5], 15, "");
        check(&[KEPT, 7], KEPT, "(7 earlier bytes");
        check(&[3, 2 * KEPT], KEPT, &format!("({} earlier bytes", KEPT + 3));
    }
}
