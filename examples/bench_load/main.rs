//! The load for `scripts/bench`: each connection sends its next request when the last one is
//! answered (a closed loop), on keep-alive HTTP/1.1, from one thread. The result is one JSON
//! document. Every answer is checked; a wrong one is an error, never a fast success.
//!
//! `cargo run --release --example bench_load -- --target 127.0.0.1:9000 --connections 64`

mod connection;
mod result;

use std::{
    io::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Parser;
use tokio::task::JoinSet;

use connection::Connection;
use result::{Samples, report};

#[derive(Debug, Parser)]
struct Arguments {
    /// Address to load
    #[arg(long)]
    target: SocketAddr,
    /// Path to POST to
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// API key to send as bearer token
    #[arg(long)]
    key: Option<String>,
    /// Model to ask for
    #[arg(long, default_value = "bench-model")]
    model: String,
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds to load for
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds of load before, not counted
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// Ask for streams and check that this many chunks come, in order
    #[arg(long)]
    stream_chunks: Option<usize>,
    /// Length of the request body in bytes
    #[arg(long, default_value_t = 1024)]
    body_bytes: usize,
}

impl Arguments {
    fn request(&self) -> Vec<u8> {
        let streamed = if self.stream_chunks.is_some() { r#","stream":true"# } else { "" };
        let body = |text: &str| {
            format!(
                r#"{{"model":"{}"{streamed},"messages":[{{"role":"user","content":"{text}"}}]}}"#,
                self.model
            )
        };
        let body = body(&"x".repeat(self.body_bytes.saturating_sub(body("").len())));
        let key = self
            .key
            .as_ref()
            .map(|key| format!("authorization: Bearer {key}\r\n"))
            .unwrap_or_default();
        format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\n{key}content-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.path,
            self.target,
            body.len()
        )
        .into_bytes()
    }
}

/// When counting begins and ends.
#[derive(Clone, Copy)]
struct Window {
    from: Instant,
    to: Instant,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let request: &'static [u8] = arguments.request().leak();
    let from = Instant::now() + Duration::try_from_secs_f64(arguments.warm_up)?;
    let window = Window { from, to: from + Duration::try_from_secs_f64(arguments.seconds)? };
    let mut loops = JoinSet::new();
    for _ in 0..arguments.connections {
        loops.spawn(load(arguments.target, request, arguments.stream_chunks, window));
    }
    let mut samples = Samples::default();
    while let Some(one) = loops.join_next().await {
        samples.add(one?);
    }
    let report = report(samples, arguments.seconds);
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

/// One connection's closed loop; what fails is counted, and the connection made anew.
async fn load(
    target: SocketAddr,
    request: &'static [u8],
    chunks: Option<usize>,
    window: Window,
) -> Samples {
    let mut samples = Samples::default();
    let mut connection = None;
    loop {
        let start = Instant::now();
        if start >= window.to {
            return samples;
        }
        let outcome = exchange(&mut connection, target, request, chunks).await;
        let end = Instant::now();
        match outcome {
            Ok(arrivals) => {
                samples.total += 1;
                if end >= window.from && end < window.to {
                    samples.answered(start, end, &arrivals);
                }
            }
            Err(error) => {
                samples.failed(&error);
                connection = None;
                // A gateway that is away is not to be hammered.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// One request and its answer; for a stream, when each chunk arrived.
async fn exchange(
    connection: &mut Option<Connection>,
    target: SocketAddr,
    request: &[u8],
    chunks: Option<usize>,
) -> anyhow::Result<Vec<Instant>> {
    let connection = match connection {
        Some(open) => open,
        None => connection.insert(Connection::open(target).await?),
    };
    connection.send(request).await?;
    match chunks {
        None => connection.read_whole().await.map(|()| Vec::new()),
        Some(count) => connection.read_stream(count).await,
    }
}
