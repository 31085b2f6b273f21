//! Lines of `serve`: text for people, JSON with Elastic's field names for collectors.

use std::fmt::{self, Debug};

use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::telemetry::scope::{self, Scope};

/// The version of the Elastic Common Schema that names are taken from.
pub(crate) const ECS_VERSION: &str = "8.17.0";

/// Text: time, level, module, what has happened, and the request that it happened to.
pub(super) struct TextLines;

/// JSON: one document with dotted names for each line.
pub(super) struct EcsLines;

impl<S, N> FormatEvent<S, N> for TextLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let (dim, color, end) = match (writer.has_ansi_escapes(), *metadata.level()) {
            (false, _) => ("", "", ""),
            (true, Level::ERROR) => ("\x1b[2m", "\x1b[31m", "\x1b[0m"),
            (true, Level::WARN) => ("\x1b[2m", "\x1b[33m", "\x1b[0m"),
            (true, Level::INFO) => ("\x1b[2m", "\x1b[32m", "\x1b[0m"),
            (true, _) => ("\x1b[2m", "\x1b[34m", "\x1b[0m"),
        };
        let (now, level, target) = (Timestamp::now(), metadata.level(), metadata.target());
        write!(writer, "{dim}{now:.6}{end} {color}{level:>5}{end} {dim}{target}:{end} ")?;
        context.format_fields(writer.by_ref(), event)?;
        if let Some(scope) = scope::current() {
            write!(writer, " request_id={}", scope.request_id())?;
            if let Some(trace) = scope.trace_id() {
                write!(writer, " trace_id={trace:032x}")?;
            }
        }
        writeln!(writer)
    }
}

impl<S, N> FormatEvent<S, N> for EcsLines
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
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let mut line = Document::default();
        line.add("@timestamp", format!("{:.6}", Timestamp::now()).into());
        line.add("log.level", metadata.level().as_str().to_ascii_lowercase().into());
        event.record(&mut line);
        line.add("ecs.version", ECS_VERSION.into());
        line.add("service.name", "figw".into());
        line.add("service.version", env!("CARGO_PKG_VERSION").into());
        line.add("event.dataset", "figw.log".into());
        line.add("log.logger", metadata.target().into());
        if let Some(scope) = scope::current() {
            line.of_request(&scope);
        }
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

/// One line in the making.
#[derive(Default)]
struct Document(serde_json::Map<String, Value>);

impl Document {
    fn add(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    fn of_request(&mut self, scope: &Scope) {
        self.add("http.request.id", scope.request_id().into());
        if let Some(trace) = scope.trace_id() {
            self.add("trace.id", format!("{trace:032x}").into());
        }
    }

    fn note(&mut self, field: &Field, value: Value) {
        let name = match field.name() {
            "message" => "message",
            "error" | "reason" => "error.message",
            "client" => "client.ip",
            "path" => "url.path",
            "method" => "http.request.method",
            "status" => "http.response.status_code",
            "user" => "user.name",
            "request_id" => "http.request.id",
            // What the `log` crate says of its own lines is in other fields.
            name if name.starts_with("log.") => return,
            name => return self.add(&format!("figw.{name}"), value),
        };
        self.add(name, value);
    }
}

impl Visit for Document {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.note(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, value.into());
    }
}
