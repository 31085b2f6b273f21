//! The access log: a line for each request, when it is at its end.
//!
//! It is written by hand into a buffer of the thread: `tracing` would take several times as long, and
//! there is one for each request.

use std::{
    cell::RefCell,
    io::Write,
    net::IpAddr,
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use jiff::Timestamp;

use super::{
    logs::{ECS_VERSION, Queue},
    scope::Scope,
};
use crate::config::{LogFormat, LogRequests, Logging};

static LOG: OnceLock<AccessLog> = OnceLock::new();

/// Characters of a path, a model's name or an error that stand in a line at most.
const LONGEST: usize = 512;

#[derive(Debug)]
struct AccessLog {
    queue: Queue,
    format: LogFormat,
    requests: AtomicU8,
}

/// A request at its end.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its id, and its trace.
    pub scope: &'a Scope,
    /// The HTTP method.
    pub method: &'a str,
    /// The path, without what follows a question mark.
    pub path: &'a str,
    /// Who has asked, as far as trusted proxies tell.
    pub client: IpAddr,
    /// The status that the caller got; 499 when they hung up before any.
    pub status: u16,
    /// From the head of the request to the end of its answer.
    pub took: Duration,
    /// The user, where it is known who it was.
    pub user: Option<&'a str>,
    /// The model that was asked for.
    pub model: Option<&'a str>,
    /// What went wrong.
    pub error: Option<&'a str>,
    /// What there is to say of an inference request only.
    pub inference: Option<Inference<'a>>,
}

/// What there is to say of an inference request.
#[derive(Debug, Clone, Copy)]
pub struct Inference<'a> {
    /// The endpoint that answered, or was asked last.
    pub endpoint: &'a str,
    /// Whether the answer was a stream.
    pub streamed: bool,
    /// Time to the first byte from the endpoint.
    pub first_byte: Option<Duration>,
    /// Tokens of the prompt and of the answer.
    pub tokens: (u64, u64),
    /// Bytes of the request's and the answer's body.
    pub bytes: (u64, u64),
}

/// Begins to write to `queue`.
pub(super) fn start(queue: Queue, logging: &Logging) {
    let requests = AtomicU8::new(logging.requests as u8);
    // Only the first of a process counts.
    let _ = LOG.set(AccessLog { queue, format: logging.format, requests });
}

/// Takes over `logging.requests` after the configuration was read anew.
pub(super) fn apply(logging: &Logging) {
    if let Some(log) = LOG.get() {
        log.requests.store(logging.requests as u8, Relaxed);
    }
}

/// Whether a request that ends with this status gets a line.
fn wants(log: &AccessLog, status: u16) -> bool {
    let requests = log.requests.load(Relaxed);
    let wanted = requests == LogRequests::All as u8
        || (requests == LogRequests::Errors as u8 && status >= 400);
    wanted && tracing::enabled!(target: "figw::access", tracing::Level::INFO)
}

/// Whether there may be lines at all: what they need is kept only then.
#[must_use]
pub fn is_on() -> bool {
    LOG.get().is_some_and(|log| wants(log, u16::MAX))
}

/// Writes a request's line, where that is wanted.
pub fn write(entry: &Entry<'_>) {
    thread_local! {
        static LINE: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(1024));
    }
    let Some(log) = LOG.get().filter(|log| wants(log, entry.status)) else { return };
    LINE.with_borrow_mut(|line| {
        line.clear();
        let written = match log.format {
            LogFormat::Text => text(line, entry),
            LogFormat::Json => json(line, entry),
        };
        // Writing to memory does not fail.
        if written.is_ok() {
            log.queue.push(line, false);
        }
    });
}

/// Writes the time, in microseconds. The second is put into words once for all lines that it has.
fn now(line: &mut Vec<u8>) -> std::io::Result<()> {
    thread_local! {
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let now = Timestamp::now();
    SECOND.with_borrow_mut(|(second, words)| {
        if *second != now.as_second() {
            *second = now.as_second();
            // Without the Z at its end.
            *words = format!("{now:.0}");
            words.pop();
        }
        let micros = now.subsec_microsecond().unsigned_abs();
        write!(line, "{words}.{micros:06}Z")
    })
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds with three digits more.
fn millis(line: &mut Vec<u8>, time: Duration) -> std::io::Result<()> {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    write!(line, "{}.{:03}ms", micros / 1000, micros % 1000)
}

fn text(line: &mut Vec<u8>, entry: &Entry<'_>) -> std::io::Result<()> {
    let Entry { method, status, took, client, .. } = *entry;
    now(line)?;
    write!(line, "  INFO figw::access: {method} ")?;
    plain(line, entry.path)?;
    write!(line, " {status} ")?;
    millis(line, took)?;
    write!(line, " client={client}")?;
    for (name, value) in [("user", entry.user), ("model", entry.model)] {
        if let Some(value) = value {
            write!(line, " {name}=")?;
            plain(line, value)?;
        }
    }
    if let Some(inference) = &entry.inference {
        let Inference { endpoint, tokens, bytes, streamed, first_byte } = inference;
        write!(line, " endpoint={endpoint} tokens={}+{}", tokens.0, tokens.1)?;
        write!(line, " bytes={}/{} streamed={streamed}", bytes.0, bytes.1)?;
        if let Some(first) = first_byte {
            line.extend_from_slice(b" first_byte=");
            millis(line, *first)?;
        }
    }
    if let Some(error) = entry.error {
        write!(line, " error=")?;
        quoted(line, error)?;
    }
    write!(line, " request_id={}", entry.scope.request_id())?;
    if let Some(trace) = entry.scope.trace_id() {
        write!(line, " trace_id={trace:032x}")?;
    }
    line.push(b'\n');
    Ok(())
}

fn json(line: &mut Vec<u8>, entry: &Entry<'_>) -> std::io::Result<()> {
    let Entry { method, status, client, .. } = *entry;
    line.extend_from_slice(b"{\"@timestamp\":\"");
    now(line)?;
    line.extend_from_slice(b"\",\"log.level\":\"info\"");
    write!(line, ",\"message\":\"{method} {status}\",\"ecs.version\":\"{ECS_VERSION}\"")?;
    line.extend_from_slice(
        concat!(
            ",\"service.name\":\"figw\",\"service.version\":\"",
            env!("CARGO_PKG_VERSION"),
            "\",\"event.dataset\":\"figw.access\",\"event.kind\":\"event\",\
             \"event.category\":[\"web\"],\"event.type\":[\"access\"],\"log.logger\":\"figw::access\""
        )
        .as_bytes(),
    );
    let outcome = if status < 400 { "success" } else { "failure" };
    write!(line, ",\"event.outcome\":\"{outcome}\",\"event.duration\":{}", nanos(entry.took))?;
    field(line, "http.request.id", entry.scope.request_id())?;
    write!(line, ",\"http.request.method\":\"{method}\"")?;
    field(line, "url.path", entry.path)?;
    write!(line, ",\"http.response.status_code\":{status},\"client.ip\":\"{client}\"")?;
    let named = [
        ("user.name", entry.user),
        ("gen_ai.request.model", entry.model),
        ("error.message", entry.error),
        ("figw.endpoint", entry.inference.map(|inference| inference.endpoint)),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            field(line, name, value)?;
        }
    }
    if let Some(inference) = &entry.inference {
        let Inference { tokens, bytes, streamed, first_byte, .. } = inference;
        write!(line, ",\"gen_ai.usage.input_tokens\":{}", tokens.0)?;
        write!(line, ",\"gen_ai.usage.output_tokens\":{}", tokens.1)?;
        write!(line, ",\"http.request.body.bytes\":{}", bytes.0)?;
        write!(line, ",\"http.response.body.bytes\":{},\"figw.streamed\":{streamed}", bytes.1)?;
        if let Some(first) = first_byte {
            write!(line, ",\"figw.first_byte_duration\":{}", nanos(*first))?;
        }
    }
    if let Some(trace) = entry.scope.trace_id() {
        write!(line, ",\"trace.id\":\"{trace:032x}\"")?;
    }
    line.extend_from_slice(b"}\n");
    Ok(())
}

/// A name and a string of JSON.
fn field(line: &mut Vec<u8>, name: &str, value: &str) -> std::io::Result<()> {
    write!(line, ",\"{name}\":")?;
    quoted(line, value)
}

fn quoted(line: &mut Vec<u8>, value: &str) -> std::io::Result<()> {
    Ok(serde_json::to_writer(line, shortened(value))?)
}

/// As it is where it cannot be taken for something else, and else quoted.
fn plain(line: &mut Vec<u8>, value: &str) -> std::io::Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
    if !value.is_empty() && value.len() <= LONGEST && value.bytes().all(is_plain) {
        line.write_all(value.as_bytes())
    } else {
        quoted(line, value)
    }
}

fn shortened(value: &str) -> &str {
    &value[..value.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::telemetry::context::Trace;

    fn entry(scope: &Scope) -> Entry<'_> {
        let inference = Inference {
            endpoint: "local-vllm-m",
            streamed: true,
            first_byte: Some(Duration::from_micros(1_500)),
            tokens: (3, 5),
            bytes: (100, 200),
        };
        Entry {
            scope,
            method: "POST",
            path: "/v1/chat/completions",
            client: [127, 0, 0, 1].into(),
            status: 200,
            took: Duration::from_micros(12_345),
            user: Some("a@example.org"),
            model: Some("two words\n\"and\" more"),
            error: None,
            inference: Some(inference),
        }
    }

    fn scope() -> Scope {
        let trace = Some(Trace { id: 0xabc, parent: None, is_sampled: true, own: None });
        Scope { request_id: HeaderValue::from_static("id-1"), trace }
    }

    #[test]
    fn a_line_for_collectors_has_elastic_s_names() {
        let (scope, mut line) = (scope(), Vec::new());
        json(&mut line, &entry(&scope)).unwrap();
        assert_eq!(memchr::memchr_iter(b'\n', &line).count(), 1);
        let line: Value = serde_json::from_slice(&line).unwrap();
        for (name, value) in [
            ("log.level", json!("info")),
            ("event.duration", json!(12_345_000)),
            ("event.outcome", json!("success")),
            ("http.request.id", json!("id-1")),
            ("http.request.method", json!("POST")),
            ("http.response.status_code", json!(200)),
            ("url.path", json!("/v1/chat/completions")),
            ("client.ip", json!("127.0.0.1")),
            ("user.name", json!("a@example.org")),
            ("gen_ai.request.model", json!("two words\n\"and\" more")),
            ("gen_ai.usage.output_tokens", json!(5)),
            ("trace.id", json!(format!("{:032x}", 0xabc))),
        ] {
            assert_eq!(line[name], value, "{name}: {line}");
        }
    }

    #[test]
    fn the_time_is_that_of_the_line() {
        for _ in 0..3 {
            let (mut line, before) = (Vec::new(), Timestamp::now());
            now(&mut line).unwrap();
            let written: Timestamp = String::from_utf8(line).unwrap().parse().unwrap();
            let micro = jiff::SignedDuration::from_micros(1);
            assert!(written >= before - micro && written <= Timestamp::now(), "{written}");
            std::thread::sleep(Duration::from_millis(600));
        }
    }

    #[test]
    fn a_line_for_people_is_one_line_whatever_callers_write() {
        let (scope, mut line) = (scope(), Vec::new());
        text(&mut line, &entry(&scope)).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let expected = "POST /v1/chat/completions 200 12.345ms client=127.0.0.1 user=a@example.org \
                        model=\"two words\\n\\\"and\\\" more\" endpoint=local-vllm-m tokens=3+5 \
                        bytes=100/200 streamed=true first_byte=1.500ms request_id=id-1 trace_id=";
        assert!(line.contains(expected), "{line}");
    }
}
