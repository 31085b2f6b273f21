//! What the configuration itself says.

use std::{env, time::Duration};

use super::{Finding, Subject};
use crate::{
    config::{LogFormat, LogLevel, Prompts},
    domain::EndpointSettings,
    ops::database,
    store::Location,
};

/// A drain shorter than this is over before a load balancer has asked again.
const SHORTEST_DRAIN: Duration = Duration::from_secs(2);

/// The log says no more than production wants.
pub(super) fn log_level(subject: &Subject) -> Finding {
    let level = subject.config().logging.level;
    let remedy = "set logging.level to info, and unset RUST_LOG where the service is started";
    if matches!(level, LogLevel::Debug | LogLevel::Trace) {
        return Finding::fail("logging.level writes each request's way", remedy);
    }
    match env::var("RUST_LOG") {
        Ok(directives) if directives.contains("debug") || directives.contains("trace") => {
            Finding::fail(format!("RUST_LOG is {directives} here"), remedy)
        }
        _ => Finding::pass("no debugging is switched on"),
    }
}

/// Prompts are nobody's business unless somebody has decided so.
pub(super) fn prompts(subject: &Subject) -> Finding {
    match subject.config().logging.prompts {
        Prompts::Off => Finding::pass("texts of prompts and answers are not stored"),
        Prompts::Truncated | Prompts::Full => Finding::warn(
            "texts of prompts and answers are stored (logging.prompts)",
            "set logging.prompts to off, or tell users, and see that retention.prompts is short",
        ),
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

/// A backup outlasts this machine.
pub(super) fn backup_offsite(subject: &Subject) -> Finding {
    if subject.config().backup.offsite_url.is_none() {
        return Finding::warn(
            "backups are on this machine alone",
            "set backup.offsite_url to s3://bucket/prefix or a file:// path on another machine's disk",
        );
    }
    Finding::pass("backups have copies elsewhere")
}

/// Somebody is told when something is not well.
pub(super) fn alerts(subject: &Subject) -> Finding {
    if subject.config().alerts.is_set() {
        return Finding::pass("`figw health --notify` tells somebody");
    }
    Finding::warn(
        "nobody is told when something is not well, unless another system asks",
        "set alerts.webhook or alerts.smtp, and let cron run `figw health --deep --notify` \
         (`figw generate cron`)",
    )
}

/// Log lines outlast the process, and can be searched.
pub(super) fn logs_collected(subject: &Subject) -> Finding {
    let logging = &subject.config().logging;
    match (logging.own_file(), logging.format) {
        (Some(file), _) => {
            match file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
                Some(directory) if !directory.is_dir() => Finding::fail(
                    format!("logging.file: there is no directory {}", directory.display()),
                    "make it, and let figw's user write there",
                ),
                _ => Finding::pass(format!("{} is kept and rotated", file.display())),
            }
        }
        (None, LogFormat::Json) => Finding::pass("JSON on a standard stream, for a collector"),
        (None, LogFormat::Text) => Finding::warn(
            "text on a standard stream: it is kept only where systemd or a collector keeps it",
            "set logging.format to json for a collector, or logging.file",
        ),
    }
}
