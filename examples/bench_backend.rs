//! A back end for `scripts/bench` that costs as little as possible, so that what is measured is
//! the gateway: it answers every POST with the same 1 kB chat completion, or with a stream of
//! chunks when the body says `"stream":true`. One thread.
//!
//! `cargo run --release --example bench_backend -- --listen 127.0.0.1:9000`

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use clap::Parser;
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Length of the answer that is not streamed.
const ANSWER_BYTES: usize = 1024;

#[derive(Debug, Parser)]
struct Arguments {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// Chunks in a stream
    #[arg(long, default_value_t = 100)]
    chunks: usize,
    /// Milliseconds between chunks
    #[arg(long, default_value_t = 0)]
    interval_ms: u64,
}

/// What every request is answered with.
struct Answers {
    whole: Vec<u8>,
    stream_head: &'static [u8],
    /// One write each, in HTTP's chunked coding.
    chunks: Vec<Vec<u8>>,
    interval: Duration,
}

impl Answers {
    fn new(arguments: &Arguments) -> Self {
        Self {
            whole: whole_answer().into_bytes(),
            stream_head: b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n",
            chunks: stream_chunks(arguments.chunks),
            interval: Duration::from_millis(arguments.interval_ms),
        }
    }
}

fn whole_answer() -> String {
    let body = |text: &str| {
        format!(
            r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench-model","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":200,"completion_tokens":180,"total_tokens":380}}}}"#
        )
    };
    let padding = ANSWER_BYTES - body("").len();
    let body = body(&"x".repeat(padding));
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn stream_chunks(count: usize) -> Vec<Vec<u8>> {
    let event = |choices: &str, usage: &str| {
        format!(
            r#"data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench-model","choices":[{choices}]{usage}}}"#
        ) + "\n\n"
    };
    let mut events: Vec<String> = (0..count)
        .map(|i| {
            let delta =
                format!(r#"{{"index":0,"delta":{{"content":"{i} "}},"finish_reason":null}}"#);
            event(&delta, "")
        })
        .collect();
    events.push(event(
        "",
        r#","usage":{"prompt_tokens":200,"completion_tokens":100,"total_tokens":300}"#,
    ));
    events.push("data: [DONE]\n\n".to_owned());
    let mut writes: Vec<Vec<u8>> = events.iter().map(|event| in_chunked_coding(event)).collect();
    writes.push(b"0\r\n\r\n".to_vec());
    writes
}

fn in_chunked_coding(event: &str) -> Vec<u8> {
    let mut coded = String::new();
    // Writing into a String cannot fail.
    let _ = write!(coded, "{:x}\r\n{event}\r\n", event.len());
    coded.into_bytes()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let answers: &'static Answers = Box::leak(Box::new(Answers::new(&arguments)));
    let listener = TcpListener::bind(arguments.listen).await?;
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        // A caller that leaves ends its own connection only.
        tokio::spawn(async move { drop(serve(tcp, answers).await) });
    }
}

async fn serve(mut tcp: TcpStream, answers: &Answers) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let Some(length) = read_request(&mut tcp, &mut buffer).await? else { return Ok(()) };
        let request = &buffer[..length];
        let streamed = memmem::find(request, br#""stream":true"#).is_some();
        buffer.drain(..length);
        if streamed {
            stream(&mut tcp, answers).await?;
        } else {
            tcp.write_all(&answers.whole).await?;
        }
    }
}

/// Reads until one request is whole; its length, or nothing when the caller has left.
async fn read_request(tcp: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<usize>> {
    loop {
        if let Some(length) = request_length(buffer)
            && length <= buffer.len()
        {
            return Ok(Some(length));
        }
        if tcp.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Head and body, by Content-Length, or by the coding's last chunk for a gateway that chunks.
fn request_length(buffer: &[u8]) -> Option<usize> {
    let head = memmem::find(buffer, b"\r\n\r\n")? + 4;
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(buffer).ok()?;
    let length = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .map(|header| std::str::from_utf8(header.value).ok()?.trim().parse::<usize>().ok());
    match length {
        Some(length) => Some(head + length?),
        None => Some(head + memmem::find(&buffer[head..], b"0\r\n\r\n")? + 5),
    }
}

async fn stream(tcp: &mut TcpStream, answers: &Answers) -> std::io::Result<()> {
    tcp.write_all(answers.stream_head).await?;
    for chunk in &answers.chunks {
        if answers.interval.is_zero() {
            // Lets the other streams write theirs, as a model does that serves many at once.
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(answers.interval).await;
        }
        tcp.write_all(chunk).await?;
    }
    Ok(())
}
