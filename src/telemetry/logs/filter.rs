//! How much is logged, and what is never logged.

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter,
    filter::{FilterFn, LevelFilter},
};

use super::{LogError, Verbosity};
use crate::config::LogLevel;

/// Crates whose finer lines hold neither credentials nor anything of requests and answers. Others, such
/// as those that speak with databases and message queues, write parameters and logins there.
const HARMLESS: [&str; 7] =
    ["figw", "hyper", "hyper_util", "reqwest", "tokio", "tower_http", "warp"];

pub(super) fn filter(verbosity: Verbosity, level: LogLevel) -> Result<EnvFilter, LogError> {
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

/// Whether these directives write more than an operator wants to have every day. Those that cannot be
/// read write nothing.
#[must_use]
pub fn is_debugging(directives: &str) -> bool {
    EnvFilter::try_new(directives)
        .is_ok_and(|filter| filter.max_level_hint().is_none_or(|most| most > LevelFilter::INFO))
}

/// Keeps what may hold secrets out of the log, whatever `RUST_LOG` asks for.
pub(super) fn discretion() -> FilterFn {
    FilterFn::new(is_discreet)
}

fn is_discreet(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let name = target.split("::").next().unwrap_or(target);
    // Lines of the `log` crate come as `log`, after they were asked about under their own name.
    *metadata.level() <= Level::INFO || name == "log" || HARMLESS.contains(&name)
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

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn debugging_is_known_however_it_is_written() {
        for (directives, expected) in [
            ("warn,lapin=off,rustls=off,figw=info", false),
            ("error", false),
            ("DEBUG", true),
            ("figw=trace", true),
            ("warn,hyper=5", true),
            ("figw[request]=debug", true),
        ] {
            assert_eq!(is_debugging(directives), expected, "{directives}");
        }
    }
}
