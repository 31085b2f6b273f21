//! HTTP/1.1 as much as the load needs it: a POST, and answers by length or in chunked coding.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A connection that gives nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// What stands before a chunk's number in an event.
const CONTENT: &[u8] = br#""content":""#;

/// How the end of a body is known.
enum Framing {
    Length(usize),
    Chunked,
}

/// One keep-alive connection.
pub(crate) struct Connection {
    tcp: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(target: SocketAddr) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(target).await.context("cannot connect")?;
        tcp.set_nodelay(true)?;
        Ok(Self { tcp, buffer: Vec::with_capacity(16 * 1024) })
    }

    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.tcp.write_all(request).await?)
    }

    /// Reads an answer that is not streamed and checks that it is a whole JSON object.
    pub(crate) async fn read_whole(&mut self) -> anyhow::Result<()> {
        match self.read_head().await? {
            Framing::Length(length) => {
                while self.buffer.len() < length {
                    self.read_more().await?;
                }
                let body = &self.buffer[..length];
                ensure!(body.starts_with(b"{") && body.ends_with(b"}"), "not a JSON object");
                self.buffer.drain(..length);
            }
            Framing::Chunked => {
                let mut body = Vec::new();
                while self.read_chunk(&mut body).await? {}
                ensure!(body.starts_with(b"{") && body.ends_with(b"}"), "not a JSON object");
            }
        }
        Ok(())
    }

    /// Reads a stream and checks that it has chunks 0 to `count`, in order, and its end mark.
    pub(crate) async fn read_stream(&mut self, count: usize) -> anyhow::Result<Vec<Instant>> {
        let Framing::Chunked = self.read_head().await? else { bail!("the stream has a length") };
        let mut arrivals = Vec::with_capacity(count);
        let mut events = Vec::new();
        let mut done = false;
        while self.read_chunk(&mut events).await? {
            let now = Instant::now();
            let mut read = 0;
            while let Some(end) = memmem::find(&events[read..], b"\n\n") {
                let event = &events[read..read + end];
                read += end + 2;
                if let Some(number) = chunk_number(event) {
                    ensure!(number == arrivals.len(), "chunk {number} after {}", arrivals.len());
                    arrivals.push(now);
                } else {
                    done |= event == b"data: [DONE]";
                }
            }
            events.drain(..read);
        }
        ensure!(done, "the stream ended without [DONE]");
        ensure!(arrivals.len() == count, "{} chunks instead of {count}", arrivals.len());
        Ok(arrivals)
    }

    async fn read_more(&mut self) -> anyhow::Result<()> {
        let read = timeout(PATIENCE, self.tcp.read_buf(&mut self.buffer)).await;
        ensure!(read.context("no answer")?? > 0, "the connection was closed");
        Ok(())
    }

    /// Reads and removes the head, which must say 200.
    async fn read_head(&mut self) -> anyhow::Result<Framing> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(end) = response.parse(&self.buffer)? else {
                self.read_more().await?;
                continue;
            };
            let status = response.code.unwrap_or_default();
            if status != 200 {
                bail!("status {status}: {}", String::from_utf8_lossy(&self.buffer[end..]));
            }
            let length = response
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case("content-length"))
                .map(|header| std::str::from_utf8(header.value).context("content-length"))
                .transpose()?;
            let framing = match length {
                Some(length) => Framing::Length(length.trim().parse()?),
                None => Framing::Chunked,
            };
            self.buffer.drain(..end);
            return Ok(framing);
        }
    }

    /// Moves one piece of a chunked body to `body`; false at its end.
    async fn read_chunk(&mut self, body: &mut Vec<u8>) -> anyhow::Result<bool> {
        loop {
            let parsed = httparse::parse_chunk_size(&self.buffer)
                .map_err(|_| anyhow::anyhow!("a wrong chunk size"))?;
            if let httparse::Status::Complete((start, size)) = parsed {
                let end = start + usize::try_from(size)?;
                if self.buffer.len() >= end + 2 {
                    body.extend_from_slice(&self.buffer[start..end]);
                    self.buffer.drain(..end + 2);
                    return Ok(size > 0);
                }
            }
            self.read_more().await?;
        }
    }
}

/// The number that an event's text says, if it has a text.
fn chunk_number(event: &[u8]) -> Option<usize> {
    let text = &event[memmem::find(event, CONTENT)? + CONTENT.len()..];
    let digits = &text[..memchr::memchr(b' ', text)?];
    std::str::from_utf8(digits).ok()?.parse().ok()
}
