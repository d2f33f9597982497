//! A stream that counts, so that a connection which has stopped moving is noticed, and that does not
//! answer who does not speak HTTP.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that moved over a connection, in each direction.
#[derive(Debug, Default)]
pub(super) struct Progress {
    read: AtomicU64,
    written: AtomicU64,
}

impl Progress {
    /// Bytes that the client has sent.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes that moved in any direction.
    pub(super) fn moved(&self) -> u64 {
        self.read() + self.written.load(Ordering::Relaxed)
    }
}

/// How a client begins. Only as far as tells HTTP from anything else: whoever begins well and errs
/// later is told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// A method, of so many bytes until now.
    Method(usize),
    /// The target follows.
    Target,
    /// A request line, or the preface of HTTP/2.
    Http,
    /// Something else.
    Other,
}

/// Longest method that is waited for.
const MAX_METHOD: usize = 32;

impl Beginning {
    /// Looks at more bytes of the client.
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            *self = match (*self, byte) {
                (Self::Http | Self::Other, _) => return,
                // An empty line before the first is to be ignored (RFC 9112, section 2.2).
                (Self::Method(0), b'\r' | b'\n') => Self::Method(0),
                (Self::Method(1..), b' ') => Self::Target,
                (Self::Method(length), byte) if byte.is_ascii_graphic() && length < MAX_METHOD => {
                    Self::Method(length + 1)
                }
                // A path, `*`, or a URL of http or https.
                (Self::Target, b'/' | b'*' | b'h' | b'H') => Self::Http,
                _ => Self::Other,
            };
        }
    }
}

/// A stream that counts its bytes into a [`Progress`].
pub(super) struct Counted<S> {
    stream: S,
    progress: Arc<Progress>,
    beginning: Beginning,
}

impl<S> Counted<S> {
    /// Counts the bytes of `stream`.
    pub(super) fn new(stream: S, progress: Arc<Progress>) -> Self {
        Self {
            stream,
            progress,
            beginning: Beginning::Method(0),
        }
    }

    /// An answer of HTTP/1.1 would be garbage to who speaks another protocol: a broken preface of
    /// HTTP/2 ends the connection (RFC 9113, section 3.4). What is written to him goes nowhere.
    fn is_mute(&self) -> bool {
        self.beginning != Beginning::Http
    }

    fn wrote(&self, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &done {
            self.progress
                .written
                .fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        done
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled().get(before..).unwrap_or_default();
        self.beginning.read(read);
        let bytes = read.len();
        self.progress
            .read
            .fetch_add(bytes as u64, Ordering::Relaxed);
        done
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_mute() {
            return Poll::Ready(Ok(buf.len()));
        }
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_mute() {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_tells_who_speaks_http() {
        use Beginning::{Http, Method, Other, Target};
        for (parts, expected) in [
            (&["GET / HTTP/1.1\r\nhost: x\r\n"][..], Http),
            (&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], Http),
            (&["\r\nGE", "T", " ", "/", "broken"], Http),
            (&["G@T http://localhost/"], Http),
            (&["GET /\r\n"], Http),
            (&["INVALID CONNECTION PREFACE\r\n\r\n"], Other),
            (&["\x16\x03\x01\x02 /"], Other),
            (&["PROXY TCP4 192.0.2.1"], Other),
            (&[" / HTTP/1.1"], Other),
            (&["GET"], Method(3)),
            (&["GET "], Target),
            (&[], Method(0)),
        ] {
            let mut beginning = Method(0);
            for part in parts {
                beginning.read(part.as_bytes());
            }
            assert_eq!(beginning, expected, "{parts:?}");
        }
        let mut long = Method(0);
        long.read(&[b'x'; 1000]);
        assert_eq!(long, Other);
    }
}
