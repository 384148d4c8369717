//! A stream of messages none of which may be longer than agreed: the lengths are read as they pass,
//! so that nobody makes the server collect a gigabyte before it says no.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A message has a type and a length; the first of a connection has a length only.
const HEADER: usize = 5;

/// The bytes of a client, watched.
pub struct Guard<S> {
    stream: S,
    most: usize,
    header: [u8; HEADER],
    /// Bytes of the header that have passed.
    seen: usize,
    /// Bytes of the message that have still to pass.
    rest: usize,
}

impl<S> Guard<S> {
    /// Watches a connection from its first message on.
    pub fn new(stream: S, most: usize) -> Self {
        Self { stream, most, header: [0; HEADER], seen: 1, rest: 0 }
    }

    /// Follows bytes that passed.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`]: a message that is longer than agreed, or shorter than any.
    pub fn follow(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let passed = self.rest.min(bytes.len());
                self.rest -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = (HEADER - self.seen).min(bytes.len());
            self.header[self.seen..self.seen + taken].copy_from_slice(&bytes[..taken]);
            self.seen += taken;
            bytes = &bytes[taken..];
            if self.seen == HEADER {
                let [_, a, b, c, d] = self.header;
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                let most = self.most;
                if !(4..=most).contains(&length) {
                    return Err(io::Error::new(
                        io::ErrorKind::FileTooLarge,
                        format!("a message of {length} bytes is not read; at most {most} are"),
                    ));
                }
                (self.seen, self.rest) = (0, length - 4);
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.follow(&buffer.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
