//! The checklists: each check by its name, with what it is about and when it makes sense.

use futures_util::future::LocalBoxFuture;

use super::{
    Finding, Stage, Subject, alerts, attestation, certificate, compute, configuration, data,
    database, exposure, firewall, globus, health, keys, process, secrets, service, services,
    transit,
};

/// One check of the list.
pub(super) struct Check {
    pub(super) name: &'static str,
    /// What is looked at, as it should be.
    pub(super) about: &'static str,
    pub(super) stages: &'static [Stage],
    pub(super) run: for<'a> fn(&'a Subject) -> LocalBoxFuture<'a, Finding>,
}

const PRE: &[Stage] = &[Stage::Pre];
const POST: &[Stage] = &[Stage::Post];
const BOTH: &[Stage] = &[Stage::Pre, Stage::Post];

/// Declares a check: its name, its stages, a function that takes the subject, and what it is about.
macro_rules! check {
    ($name:literal, $stages:ident, async $run:path, $about:literal) => {
        check! { @ $name, $stages, |s| Box::pin($run(s)), $about }
    };
    ($name:literal, $stages:ident, sync $run:path, $about:literal) => {
        check! { @ $name, $stages, |s| Box::pin(async { $run(s) }), $about }
    };
    ($name:literal, $stages:ident, health $check:literal, $about:literal) => {
        check! { @ $name, $stages, |s| Box::pin(health::find(s, $check)), $about }
    };
    ($name:literal, $stages:ident, attested $key:literal, $about:literal) => {
        check! { @ $name, $stages, |s| Box::pin(async { attestation::find(s, $key) }), $about }
    };
    (@ $name:literal, $stages:ident, $run:expr, $about:literal) => {
        Check { name: $name, about: $about, stages: $stages, run: $run }
    };
}

/// All checks, in the order of the report.
pub(super) const CHECKS: &[Check] = &[
    check! { "secrets.outside", PRE, sync secrets::outside,
    "no secret stands in the configuration file" },
    check! { "secrets.permissions", BOTH, async secrets::permissions,
    "others can neither read secrets nor change the configuration" },
    check! { "secrets.strength", PRE, sync secrets::strength,
    "passwords that operators choose cannot be guessed" },
    check! { "tls.listener", PRE, sync exposure::listener,
    "what users send is encrypted, here or by a proxy" },
    check! { "tls.key", PRE, async certificate::key,
    "the certificate's key is long enough, and is server.tls.key" },
    check! { "tls.certificate", BOTH, async certificate::validity,
    "the end of the certificate: file, and served" },
    check! { "tls.addresses", PRE, sync transit::addresses,
    "addresses of users, functions and alerts are encrypted" },
    check! { "database.encryption", PRE, sync transit::database_encryption,
    "databases and Redis elsewhere are spoken with through TLS" },
    check! { "firewall.admin", PRE, sync exposure::admin,
    "the network cannot reach the admin listener" },
    check! { "firewall.services", PRE, async services::check,
    "the network cannot reach PostgreSQL and Redis here" },
    check! { "firewall.rules", PRE, async firewall::rules,
    "where figw listens to the network, a firewall is in force" },
    check! { "proxies.trusted", PRE, sync exposure::proxies,
    "only proxies are believed when they say who is calling" },
    check! { "debug.log_level", PRE, sync configuration::log_level,
    "the running gateway logs no more than production wants" },
    check! { "debug.prompts", PRE, sync configuration::prompts,
    "texts of prompts and answers are not stored" },
    check! { "debug.retention", PRE, sync configuration::retention,
    "texts that are stored are not kept for ever" },
    check! { "debug.database", PRE, sync configuration::dev_database,
    "the database is none of `figw serve --dev`" },
    check! { "debug.echo", BOTH, async configuration::echo, "no built-in model answers everybody" },
    check! { "access.keys", BOTH, async keys::check, "API keys have an end, and are used" },
    check! { "limits.requests", PRE, sync configuration::request_limit,
    "one user cannot take everything" },
    check! { "limits.drain", PRE, sync configuration::drain,
    "load balancers notice that an instance stops" },
    check! { "database.schema", BOTH, health "database",
    "the database answers, with the schema that figw expects" },
    check! { "database.instances", PRE, sync configuration::one_database,
    "several instances have one database, and Redis" },
    check! { "database.connections", BOTH, async database::connections,
    "the server has room for the connections of all" },
    check! { "database.pooler", BOTH, async database::pooler,
    "PgBouncer gives out whole transactions" },
    check! { "database.performance", POST, async database::performance,
    "the database answers fast, and nothing is stuck in it" },
    check! { "database.replicas", BOTH, async database::replicas,
    "replicas are well, and are this database's" },
    check! { "backup.age", BOTH, health "backup", "the age of the newest good backup" },
    check! { "backup.encrypted", PRE, sync configuration::backup_encrypted,
    "who finds a backup cannot read it" },
    check! { "backup.offsite", PRE, async data::offsite,
    "copies of backups lie on another disk or in a store" },
    check! { "backup.wal", BOTH, health "wal", "no gap in the archived WAL" },
    check! { "backup.drill", BOTH, health "drill",
    "a backup was restored to try it, not long ago" },
    check! { "redis.answers", BOTH, health "redis", "Redis answers, and takes what is written" },
    check! { "redis.memory", BOTH, async database::redis_memory,
    "Redis neither grows without end nor refuses what is new" },
    check! { "system.user", BOTH, sync process::user, "the gateway does not run as root" },
    check! { "system.files", BOTH, sync process::open_files,
    "it may open as many files as connections need" },
    check! { "system.state_dir", BOTH, async process::state_dir,
    "nobody else writes or reads in server.state_dir" },
    check! { "system.data", BOTH, async data::permissions,
    "nobody else changes database file, backups and log" },
    check! { "system.disk", BOTH, health "disk", "free space where figw writes" },
    check! { "system.clock", BOTH, health "clock",
    "this machine's clock against everybody else's" },
    check! { "monitoring.metrics", BOTH, sync process::metrics_asked,
    "somebody collects the metrics" },
    check! { "monitoring.ready", BOTH, sync process::ready_asked,
    "somebody asks whether the gateway is ready" },
    check! { "monitoring.alerts", BOTH, async alerts::check,
    "somebody is told: `figw health --notify` runs" },
    check! { "logs.collected", PRE, async configuration::logs_collected,
    "log lines outlast the process" },
    check! { "logs.errors", POST, sync process::logged_errors,
    "no error was logged since the gateway was started" },
    check! { "globus.openness", BOTH, sync globus::openness,
    "not everybody with a Globus account comes in" },
    check! { "globus.credentials", BOTH, async globus::credentials,
    "Globus Auth accepts the application's secret" },
    check! { "globus.policies", BOTH, async globus::policies,
    "policies are high-assurance, with the domains configured" },
    check! { "globus.groups", BOTH, async globus::groups, "Globus Groups answers" },
    check! { "globus.compute", BOTH, async compute::credentials,
    "Globus Auth accepts the service accounts" },
    check! { "service.gateway", POST, health "gateway",
    "what the gateway says of itself at /ready" },
    check! { "service.clusters", POST, health "clusters", "each cluster's own status" },
    check! { "service.endpoints", POST, health "endpoints",
    "one tiny real request to each endpoint" },
    check! { "service.refuses", POST, async service::refuses_strangers,
    "nobody comes in without credentials" },
    check! { "service.admits", POST, async service::admits, "somebody with credentials comes in" },
    check! { "service.answers", POST, async service::answers,
    "a request goes all the way to a model and back" },
    check! { "attested.load_test", PRE, attested "load_test", "a load test was made" },
    check! { "attested.recovery_plan", PRE, attested "recovery_plan",
    "there is a plan for a recovery" },
    check! { "attested.firewall", PRE, attested "firewall", "the firewall's rules were reviewed" },
    check! { "attested.on_call", PRE, attested "on_call", "somebody is on call" },
];
