//! Log set-up. Commands write `warning: …` lines; `serve` writes lines with time, text or JSON.
//!
//! How much is written: `RUST_LOG`, else `-v`/`-q`, else `logging.level`.

mod file;
mod filter;
mod lines;
mod plain;
mod queue;

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    sync::OnceLock,
};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt, registry::LookupSpan,
    reload, util::SubscriberInitExt,
};

pub(super) use self::lines::ECS_VERSION;
use self::{
    file::LogFile,
    filter::{discretion, filter},
    lines::{EcsLines, TextLines},
    plain::PlainLines,
    queue::Sink,
};
pub use self::{filter::is_debugging, queue::Queue};
use super::access;
use crate::config::{LogFormat, LogLevel, LogTarget, Logging};

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// What the command line says about logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verbosity {
    /// `-q`.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbose: u8,
    /// Whether to use colours.
    pub colors: bool,
}

/// Why logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `RUST_LOG` is not a list of directives.
    #[error("RUST_LOG: {0}; write for example RUST_LOG=figw=debug")]
    Filter(String),
    /// Something has set logs up already.
    #[error("logs are set up already")]
    AlreadySetUp,
    /// The log file cannot be opened.
    #[error(
        "logging.file: cannot write to {}: {reason}; make its directory, and let figw write there",
        path.display()
    )]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// There is no thread for the log.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
}

/// Changes how much is logged while the process runs.
#[derive(Debug, Clone)]
pub struct LevelHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    verbosity: Verbosity,
}

impl LevelHandle {
    /// Takes over `logging.level` and `logging.requests` after the configuration was read anew.
    ///
    /// # Errors
    /// When `RUST_LOG` cannot be read.
    pub fn apply(&self, logging: &Logging) -> Result<(), LogError> {
        access::apply(logging);
        let filter = filter(self.verbosity, logging.level)?;
        self.filter.reload(filter).map_err(|_| LogError::AlreadySetUp)
    }

    /// What is logged now, as `RUST_LOG` would say it; nothing once nobody logs any more.
    #[must_use]
    pub fn directives(&self) -> Option<String> {
        self.filter.with_current(ToString::to_string).ok()
    }
}

/// Whether standard error is a terminal that may have colours, and `NO_COLOR` is not set.
#[must_use]
pub fn wants_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::io::stderr().is_terminal()
}

/// For commands: what the process has to say as `warning: …` lines on standard error.
///
/// # Errors
/// When `RUST_LOG` cannot be read, or logs are set up already.
pub fn init_command(verbosity: Verbosity) -> Result<(), LogError> {
    let lines = tracing_subscriber::fmt::layer()
        .event_format(PlainLines)
        .with_ansi(verbosity.colors)
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(filter(verbosity, LogLevel::Warn)?)
        .with(discretion())
        .with(lines)
        .try_init()
        .map_err(|_| LogError::AlreadySetUp)
}

/// For `serve`: lines with time in the log file or on a standard stream, as the configuration wants
/// them. They are written by a thread of their own; [`finish`] waits for the last ones.
///
/// # Errors
/// When `RUST_LOG` cannot be read, the file cannot be written, or logs are set up already.
pub fn init_server(logging: &Logging, verbosity: Verbosity) -> Result<LevelHandle, LogError> {
    let (filter, handle) = reload::Layer::new(filter(verbosity, logging.level)?);
    let is_for_people = logging.format == LogFormat::Text;
    let colors = verbosity.colors && is_for_people && logging.target() == LogTarget::StandardError;
    let queue = Queue::start(sink(logging)?).map_err(LogError::Thread)?;
    tracing_subscriber::registry()
        .with(filter)
        .with(discretion())
        .with(super::errors::CountErrors)
        .with(server_lines(logging.format, colors, queue.clone()))
        .try_init()
        .map_err(|_| LogError::AlreadySetUp)?;
    access::start(queue.clone(), logging);
    // Whoever came first has set the logs up, too, so this one is the first.
    let _ = QUEUE.set(queue);
    Ok(LevelHandle { filter: handle, verbosity })
}

fn sink(logging: &Logging) -> Result<Sink, LogError> {
    match logging.target() {
        LogTarget::StandardError => Ok(Sink::StandardError),
        LogTarget::StandardOutput => Ok(Sink::StandardOutput),
        LogTarget::File(path) => LogFile::open(path, logging.max_bytes, logging.keep)
            .map(Sink::File)
            .map_err(|reason| LogError::File { path: path.to_owned(), reason }),
    }
}

/// Writes the last lines of `serve`. Whatever is logged afterwards is lost.
pub fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.finish();
    }
}

/// Lines with their time.
fn server_lines<S, W>(format: LogFormat, colors: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // A standard error that is gone must not take the process with it.
    let lines = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_ansi(colors)
        .with_writer(writer);
    match format {
        LogFormat::Text => lines.event_format(TextLines).boxed(),
        LogFormat::Json => lines.event_format(EcsLines).boxed(),
    }
}

/// Says on standard error why the command failed; also when logs are not set up.
pub fn report_failure(failure: &dyn fmt::Display, colors: bool) {
    let (start, end) = if colors { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let text = failure.to_string();
    let mut stderr = std::io::stderr().lock();
    for line in text.lines() {
        // There is nobody left to tell when standard error is gone.
        let _ = writeln!(stderr, "{start}error:{end} {line}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::HeaderValue;

    use super::*;
    use crate::telemetry::scope::{self, Scope};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn one_line(format: LogFormat) -> String {
        let written = Written::default();
        let writer = written.clone();
        let lines = server_lines(format, false, move || writer.clone());
        let request_id = HeaderValue::from_static("id-1");
        let scope = Arc::new(Scope { request_id, trace: None });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let _at = scope::enter(&scope);
            tracing::info!(port = 8000, error = "none", "listening");
        });
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn serve_writes_time_level_fields_and_request_as_text_or_json() {
        let text = one_line(LogFormat::Text);
        let end = "listening port=8000 error=\"none\" request_id=id-1\n";
        assert!(text.contains("Z  INFO figw::") && text.ends_with(end), "{text}");
        let json: serde_json::Value = serde_json::from_str(&one_line(LogFormat::Json)).unwrap();
        assert_eq!(json["message"], "listening");
        assert_eq!(json["figw.port"], 8000);
        assert_eq!(json["error.message"], "none");
        assert_eq!(json["log.level"], "info");
        assert_eq!(json["service.name"], "figw");
        assert_eq!(json["http.request.id"], "id-1");
        assert!(json["@timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
