//! Log set-up. Commands write `warning: …` lines; `serve` writes lines with time, text or JSON.
//!
//! How much is written: `RUST_LOG`, else `-v`/`-q`, else `logging.level`.

use std::{
    fmt,
    io::{IsTerminal, Write},
};

use tracing::{Event, Level, Subscriber, field::Visit};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

use crate::config::{LogFormat, LogLevel, Logging};

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
}

/// Changes how much is logged while the process runs.
#[derive(Debug, Clone)]
pub struct LevelHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    verbosity: Verbosity,
}

impl LevelHandle {
    /// Takes over `logging.level` after the configuration was read anew.
    ///
    /// # Errors
    /// When `RUST_LOG` cannot be read.
    pub fn apply(&self, logging: &Logging) -> Result<(), LogError> {
        let filter = filter(self.verbosity, logging.level)?;
        self.filter.reload(filter).map_err(|_| LogError::AlreadySetUp)
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
        .with(lines)
        .try_init()
        .map_err(|_| LogError::AlreadySetUp)
}

/// For `serve`: lines with time on standard error, as the configuration wants them.
///
/// # Errors
/// When `RUST_LOG` cannot be read, or logs are set up already.
pub fn init_server(logging: &Logging, verbosity: Verbosity) -> Result<LevelHandle, LogError> {
    let (filter, handle) = reload::Layer::new(filter(verbosity, logging.level)?);
    let colors = verbosity.colors && logging.format == LogFormat::Text;
    let lines = server_lines(logging.format, colors, std::io::stderr);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|_| LogError::AlreadySetUp)?;
    Ok(LevelHandle { filter: handle, verbosity })
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
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

fn filter(verbosity: Verbosity, level: LogLevel) -> Result<EnvFilter, LogError> {
    match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => {
            EnvFilter::try_new(directives).map_err(|error| LogError::Filter(error.to_string()))
        }
        Ok(_) | Err(std::env::VarError::NotPresent) => {
            EnvFilter::try_new(directives(verbosity, level))
                .map_err(|error| LogError::Filter(error.to_string()))
        }
        Err(error @ std::env::VarError::NotUnicode(_)) => Err(LogError::Filter(error.to_string())),
    }
}

/// Other crates' chatter is only wanted by who asks twice. What lapin calls an error, a connection
/// that broke, is said by who opens it anew; of what rustls warns, any stranger can make as much as
/// he likes.
fn directives(verbosity: Verbosity, level: LogLevel) -> &'static str {
    match (verbosity.quiet, verbosity.verbose, level) {
        (true, ..) | (_, 0, LogLevel::Error) => "error,lapin=off,rustls=off",
        (_, 0, LogLevel::Warn) => "warn,lapin=off,rustls=off",
        (_, 0, LogLevel::Info) => "warn,lapin=off,rustls=off,figw=info",
        (_, 2.., _) | (.., LogLevel::Trace) => "debug,figw=trace",
        (_, 0 | 1, _) => "warn,lapin=off,rustls=off,figw=debug",
    }
}

/// `error: …`, `warning: …`, and other lines with no word before them.
struct PlainLines;

impl<S, N> FormatEvent<S, N> for PlainLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let label = match *event.metadata().level() {
            Level::ERROR => Some(("error", "\x1b[1;31m")),
            Level::WARN => Some(("warning", "\x1b[1;33m")),
            _ => None,
        };
        if let Some((word, color)) = label {
            if writer.has_ansi_escapes() {
                write!(writer, "{color}{word}:\x1b[0m ")?;
            } else {
                write!(writer, "{word}: ")?;
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        writeln!(writer, "{}{}", fields.message, fields.others)
    }
}

/// An event's message, and its other fields as ` name=value`.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.others, " {name}={value:?}"),
        };
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
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn the_command_line_overrides_the_configured_level() {
        let with = |quiet, verbose| Verbosity { quiet, verbose, colors: false };
        assert_eq!(
            directives(with(false, 0), LogLevel::Info),
            "warn,lapin=off,rustls=off,figw=info"
        );
        assert_eq!(directives(with(true, 0), LogLevel::Debug), "error,lapin=off,rustls=off");
        assert_eq!(
            directives(with(false, 1), LogLevel::Error),
            "warn,lapin=off,rustls=off,figw=debug"
        );
        assert_eq!(directives(with(false, 2), LogLevel::Warn), "debug,figw=trace");
        assert_eq!(directives(with(false, 1), LogLevel::Trace), "debug,figw=trace");
    }

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
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::info!(port = 8000, "listening");
        });
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn serve_writes_time_level_and_fields_as_text_or_json() {
        let text = one_line(LogFormat::Text);
        assert!(text.contains("Z  INFO ") && text.ends_with("listening port=8000\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&one_line(LogFormat::Json)).unwrap();
        assert_eq!(json["message"], "listening");
        assert_eq!(json["port"], 8000);
        assert_eq!(json["level"], "INFO");
        assert!(json["timestamp"].is_string());
    }
}
