//! What the configuration itself says.

use std::{env, fs, os::unix::fs::FileTypeExt, path::Path, time::Duration};

use super::{Finding, Subject};
use crate::{
    config::{Config, LogFormat, LogLevel, Prompts},
    domain::EndpointSettings,
    ops::{database, health},
    store::Location,
    telemetry::logs,
};

/// How long the file system may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A drain shorter than this is over before a load balancer has asked again.
const SHORTEST_DRAIN: Duration = Duration::from_secs(2);

/// The log says no more than production wants: of the running process, where it tells.
pub(super) fn log_level(subject: &Subject) -> Finding {
    let level = subject.config().logging.level;
    let remedy = "set logging.level to info, unset RUST_LOG and leave out -v where the service is \
                  started, and restart it";
    if matches!(level, LogLevel::Debug | LogLevel::Trace) {
        return Finding::fail("logging.level writes each request's way", remedy);
    }
    let running = subject.running.as_ref().ok().and_then(|status| status.log_filter.as_deref());
    match (running, env::var("RUST_LOG")) {
        (Some(filter), _) if logs::is_debugging(filter) => {
            Finding::fail(format!("the running gateway logs {filter}"), remedy)
        }
        (Some(filter), _) => Finding::pass(format!("the running gateway logs {filter}")),
        (None, Ok(directives)) if logs::is_debugging(&directives) => {
            Finding::fail(format!("RUST_LOG is {directives} here"), remedy)
        }
        _ => Finding::pass("no debugging is switched on"),
    }
}

/// Prompts are nobody's business unless somebody has decided so.
pub(super) fn prompts(subject: &Subject) -> Finding {
    let config = subject.config();
    if config.logging.prompts == Prompts::Off {
        return Finding::pass("texts of prompts and answers are not stored");
    }
    Finding::warn(
        format!("texts of prompts and answers are stored {} (logging.prompts)", kept(config)),
        "set logging.prompts to off, or tell users, and see that retention.prompts is short",
    )
}

/// Texts that are stored go again.
pub(super) fn retention(subject: &Subject) -> Finding {
    let config = subject.config();
    if config.logging.prompts == Prompts::Off {
        return Finding::pass("no texts of prompts and answers are added (logging.prompts is off)");
    }
    let evidence = format!("texts of prompts and answers are kept {}", kept(config));
    if config.retention.prompts.is_none() {
        return Finding::warn(
            format!("{evidence} (retention.prompts is null)"),
            "set retention.prompts to the time for which they are needed, such as 30d",
        );
    }
    Finding::pass(evidence)
}

/// For how long texts are kept.
fn kept(config: &Config) -> String {
    match config.retention.prompts {
        Some(time) => format!("for {}", humantime::format_duration(time)),
        None => "for ever".to_owned(),
    }
}

/// The database is not the one that `serve --dev` has made.
pub(super) fn dev_database(subject: &Subject) -> Finding {
    let location = database::options(subject.config()).map(|options| options.location());
    let (Ok(Ok(Location::Sqlite(path))), state) = (location, &subject.server().state_dir) else {
        return Finding::pass("the database is a server's");
    };
    let is_dev =
        |path: &std::path::Path| path.components().any(|part| part.as_os_str() == "figw-dev");
    if is_dev(&path) || is_dev(state) {
        return Finding::fail(
            format!("{} was made by `figw serve --dev`", path.display()),
            "set database.url and server.state_dir, run `figw migrate`, and load the catalogue anew",
        );
    }
    Finding::pass("the database is not one of `figw serve --dev`")
}

/// Nobody is answered by the built-in model by mistake.
pub(super) async fn echo(subject: &Subject) -> Finding {
    let catalogue = match subject.behind.catalogue().await {
        Ok(catalogue) => catalogue,
        Err(reason) => return Finding::warn(reason, "see database.schema"),
    };
    let open = catalogue.snapshot.endpoints().iter().filter(|served| {
        served.endpoint.enabled
            && matches!(served.endpoint.settings, EndpointSettings::Echo(_))
            && served.endpoint.access.is_open()
            && served.cluster.access.is_open()
    });
    let slugs: Vec<_> = open.map(|served| served.endpoint.slug.clone()).collect();
    let remedy = format!(
        "`figw endpoint remove {}`, or `figw endpoint set {0} --enabled false`",
        slugs.first().map_or("SLUG", String::as_str)
    );
    if slugs.is_empty() {
        return Finding::pass("no built-in model answers everybody");
    }
    Finding::fail(format!("a built-in model answers everybody at {}", slugs.join(", ")), remedy)
}

/// One user cannot take everything.
pub(super) fn request_limit(subject: &Subject) -> Finding {
    match subject.config().limits.requests_per_second_per_user {
        0 => Finding::warn(
            "a user may send any number of requests",
            "set limits.requests_per_second_per_user, and tpm_user of endpoints",
        ),
        limit => Finding::pass(format!("{limit} requests a second for each user")),
    }
}

/// Load balancers notice that an instance stops.
pub(super) fn drain(subject: &Subject) -> Finding {
    let grace = subject.server().drain_grace;
    let shown = humantime::format_duration(grace);
    if grace < SHORTEST_DRAIN {
        return Finding::warn(
            format!("server.drain_grace is {shown}: requests are refused before a balancer looks"),
            "set server.drain_grace to a little more than the balancer's interval, such as 5s",
        );
    }
    Finding::pass(format!("/ready answers 503 for {shown} before the listener closes"))
}

/// Several instances have one database.
pub(super) fn one_database(subject: &Subject) -> Finding {
    let config = subject.config();
    let location = database::options(config).map(|options| options.location());
    match (location, config.instances.len()) {
        (Err(error), _) => Finding::fail(error.to_string(), "make the secret readable for figw"),
        (Ok(Err(error)), _) => Finding::fail(error.to_string(), "see `figw config check`"),
        (Ok(Ok(Location::Sqlite(path))), 2..) => Finding::fail(
            format!(
                "several instances are listed, and {} is a file of one machine",
                path.display()
            ),
            "set database.url to a PostgreSQL server, and cache.redis_url for limits that all share",
        ),
        (_, count @ 2..) if config.cache.redis_url.is_none() => Finding::warn(
            format!("{count} instances share no Redis: each has the whole of each limit"),
            "set cache.redis_url on all of them",
        ),
        (_, 0 | 1) => Finding::pass("one instance"),
        (_, count) => Finding::pass(format!("{count} instances, one database")),
    }
}

/// Who finds a backup cannot read it.
pub(super) fn backup_encrypted(subject: &Subject) -> Finding {
    let keys = subject.config().backup.encrypt_to.len();
    if keys == 0 {
        return Finding::warn(
            "backups are not encrypted",
            "`age-keygen -o key.txt`, keep that file elsewhere, and put its public key into \
             backup.encrypt_to",
        );
    }
    Finding::pass(format!("backups are encrypted to {keys} keys"))
}

/// Log lines outlast the process, and can be searched.
pub(super) async fn logs_collected(subject: &Subject) -> Finding {
    let logging = &subject.config().logging;
    match (logging.own_file(), logging.format) {
        (Some(file), _) => {
            let (shown, file) = (file.display().to_string(), file.to_owned());
            let looked = health::within(PATIENCE, move || log_file(&file));
            looked.await.unwrap_or_else(|| {
                let evidence = format!("logging.file: the file system of {shown} does not answer");
                Finding::fail(evidence, "look at its mount")
            })
        }
        (None, LogFormat::Json) => Finding::pass("JSON on a standard stream, for a collector"),
        (None, LogFormat::Text) => Finding::warn(
            "text on a standard stream: it is kept only where systemd or a collector keeps it",
            "set logging.format to json for a collector, or logging.file",
        ),
    }
}

/// Whether a file keeps what is written to it.
fn log_file(file: &Path) -> Finding {
    let shown = file.display();
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        return Finding::fail(
            format!("logging.file: there is no directory {}", directory.display()),
            "make it, and let figw's user write there",
        );
    }
    if fs::metadata(file).is_ok_and(|found| found.file_type().is_char_device()) {
        return Finding::fail(
            format!("logging.file: {shown} is a device, which keeps no line"),
            "set logging.file to a file, or leave it out and logging.format to json for a collector",
        );
    }
    Finding::pass(format!("{shown} is kept and rotated"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Outcome, subject::tests::subject};
    use super::*;

    #[tokio::test]
    async fn the_running_gateway_tells_what_it_logs() {
        let mut subject = subject("{}").await;
        let usual = "warn,lapin=off,rustls=off,figw=info";
        let mut status =
            json!({ "version": "1", "started_at": "2026-01-02T03:04:05Z", "in_flight": 0 });
        subject.running = Ok(serde_json::from_value(status.clone()).unwrap());
        let evidence = log_level(&subject).evidence;
        assert!(!evidence.contains("running gateway"), "one of before does not tell: {evidence}");
        for (filter, outcome) in
            [(usual, Outcome::Pass), ("trace", Outcome::Fail), ("warn,figw=debug", Outcome::Fail)]
        {
            status["log_filter"] = filter.into();
            subject.running = Ok(serde_json::from_value(status.clone()).unwrap());
            assert_eq!(log_level(&subject).outcome, outcome, "{filter}");
        }
    }

    #[tokio::test]
    async fn texts_that_are_kept_for_ever_are_told_of() {
        for (yaml, stored, word, kept) in [
            ("{}", Outcome::Pass, "not stored", Outcome::Pass),
            ("logging: {prompts: full}", Outcome::Warn, "stored for 30days", Outcome::Pass),
            (
                "logging: {prompts: truncated}\nretention: {prompts: null}",
                Outcome::Warn,
                "stored for ever",
                Outcome::Warn,
            ),
        ] {
            let subject = subject(yaml).await;
            let found = prompts(&subject);
            assert_eq!((found.outcome, retention(&subject).outcome), (stored, kept), "{yaml}");
            assert!(found.evidence.contains(word), "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_log_that_goes_nowhere_is_no_log() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().display();
        for (file, outcome) in [
            ("/dev/null".to_owned(), Outcome::Fail),
            ("/dev/stdout".to_owned(), Outcome::Pass),
            ("/dev/stderr".to_owned(), Outcome::Pass),
            (format!("{place}/figw.log"), Outcome::Pass),
            (format!("{place}/logs/figw.log"), Outcome::Fail),
        ] {
            let subject = subject(&format!("logging: {{format: json, file: {file}}}")).await;
            let found = logs_collected(&subject).await;
            assert_eq!(found.outcome, outcome, "{found:?}");
        }
    }
}
