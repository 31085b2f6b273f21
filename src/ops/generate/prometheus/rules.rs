//! What is alerted of.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::seconds;
use crate::config::{Backup, Config, Space};

/// An alert.
struct Rule {
    name: &'static str,
    /// What must be so,
    expression: String,
    /// and for how long.
    lasting: &'static str,
    severity: Severity,
    summary: &'static str,
    /// What to do.
    description: &'static str,
}

#[derive(Clone, Copy)]
enum Severity {
    Critical,
    Warning,
}

use Severity::{Critical, Warning};

/// The groups as Prometheus reads them.
pub(super) fn groups(config: &Config) -> Value {
    let group = |name: &str, rules: Vec<Rule>| {
        let rules: Vec<_> = rules.into_iter().map(Rule::document).collect();
        json!({ "name": name, "rules": rules })
    };
    json!({ "groups": [
        group("figw-instances", instances()),
        group("figw-requests", requests()),
        group("figw-neighbours", neighbours(config)),
        group("figw-resources", resources(config).into_iter().chain(no_backup(config)).collect()),
    ] })
}

impl Rule {
    fn document(self) -> Value {
        let severity = match self.severity {
            Critical => "critical",
            Warning => "warning",
        };
        let mut rule = Map::new();
        rule.insert("alert".into(), self.name.into());
        rule.insert("expr".into(), self.expression.into());
        if !self.lasting.is_empty() {
            rule.insert("for".into(), self.lasting.into());
        }
        rule.insert("labels".into(), json!({ "severity": severity }));
        let told = json!({ "summary": self.summary, "description": self.description });
        rule.insert("annotations".into(), told);
        rule.into()
    }
}

fn rule(
    name: &'static str,
    expression: impl Into<String>,
    lasting: &'static str,
    severity: Severity,
    summary: &'static str,
    description: &'static str,
) -> Rule {
    Rule { name, expression: expression.into(), lasting, severity, summary, description }
}

fn instances() -> Vec<Rule> {
    vec![
        rule(
            "FigwDown",
            "up{job=\"figw\"} == 0",
            "1m",
            Critical,
            "figw {{ $labels.instance }} does not answer",
            "Its admin listener cannot be scraped. Look at the service and its log: systemctl status figw.",
        ),
        rule(
            "FigwNotReady",
            "figw_ready == 0 unless figw_draining == 1",
            "2m",
            Critical,
            "figw {{ $labels.instance }} is not ready",
            "/ready says why: figw health --url with the instance's address.",
        ),
        rule(
            "FigwDrained",
            "figw_draining == 1",
            "1h",
            Warning,
            "figw {{ $labels.instance }} has been drained for an hour",
            "Undrain it (POST /admin/undrain), or stop it.",
        ),
        rule(
            "FigwDegraded",
            "figw_check_ok{check!~\"serving|database|cache\"} == 0",
            "10m",
            Warning,
            "the check {{ $labels.check }} of figw {{ $labels.instance }} is not ok",
            "Callers are still served. /ready says since when and why.",
        ),
        rule(
            "FigwRestarts",
            "changes(process_start_time_seconds{job=\"figw\"}[30m]) > 3",
            "",
            Warning,
            "figw {{ $labels.instance }} starts again and again",
            "Its log says why it ends: journalctl -u figw.",
        ),
        rule(
            "FigwVersionsDiffer",
            "count(count by (version) (figw_build_info)) > 1",
            "1h",
            Warning,
            "the instances of figw are of different versions",
            "A release was not finished: figw rolling-restart --resume.",
        ),
    ]
}

fn requests() -> Vec<Rule> {
    // What is refused is sent to no endpoint, and not among the requests.
    let unavailable = "sum by (job) (rate(figw_refusals_total{status=\"503\"}[5m]))";
    let requests = "sum by (job) (rate(figw_requests_total[5m]))";
    vec![
        rule(
            "FigwErrors",
            "sum by (job) (rate(figw_requests_total{status=\"5xx\"}[5m])) / sum by (job) (rate(figw_requests_total[5m])) > 0.05",
            "5m",
            Critical,
            "{{ $value | humanizePercentage }} of figw's requests fail",
            "The access log names endpoints and errors; FigwEndpointErrors says where it is one endpoint.",
        ),
        rule(
            "FigwUnavailable",
            format!("{unavailable} / ({unavailable} + ({requests} or 0 * {unavailable})) > 0.2"),
            "10m",
            Critical,
            "{{ $value | humanizePercentage }} of figw's requests are refused with a 503",
            "No endpoint is left for what they ask for: in maintenance, out of service or full. figw health --only endpoints says which.",
        ),
        rule(
            "FigwEndpointErrors",
            "sum by (job, endpoint) (rate(figw_requests_total{status=\"5xx\"}[10m])) / sum by (job, endpoint) (rate(figw_requests_total[10m])) > 0.2",
            "10m",
            Warning,
            "{{ $value | humanizePercentage }} of the requests to {{ $labels.endpoint }} fail",
            "figw endpoint test {{ $labels.endpoint }} sends one and shows what comes back.",
        ),
        rule(
            "FigwBreakerOpen",
            "max by (job, endpoint) (figw_breaker_open) == 1",
            "5m",
            Warning,
            "the endpoint {{ $labels.endpoint }} is out of service",
            "It fails, and only trials are sent to it. See the back end's own log.",
        ),
        rule(
            "FigwSlowToBegin",
            "histogram_quantile(0.95, sum by (job, endpoint, le) (rate(gen_ai_server_time_to_first_token_seconds_bucket[10m]))) > 7.5",
            "10m",
            Warning,
            "one in twenty answers of {{ $labels.endpoint }} takes {{ $value | humanizeDuration }} to begin",
            "The model is overloaded, or being started: compare figw_requests_in_flight.",
        ),
        rule(
            "FigwSlow",
            "histogram_quantile(0.99, sum by (job, instance, le) (rate(figw_gateway_overhead_seconds_bucket[5m]))) > 0.1",
            "10m",
            Warning,
            "figw {{ $labels.instance }} itself adds {{ $value | humanizeDuration }} to one in a hundred requests",
            "Its machine is short of CPU, or Redis or Globus are slow to answer.",
        ),
        rule(
            "FigwRequestsWait",
            "sum by (job, model) (figw_waiting_room_requests) > 0",
            "10m",
            Warning,
            "requests for {{ $labels.model }} have waited for an endpoint for 10 minutes",
            "Its endpoints are full or away: add one, or raise max_in_flight.",
        ),
    ]
}

fn neighbours(config: &Config) -> Vec<Rule> {
    let lag = config.database.replica_max_lag.as_secs_f64();
    let certificate_left = "figw_tls_certificate_expiry_timestamp_seconds - time()";
    vec![
        rule(
            "FigwDatabaseAway",
            "figw_check_ok{check=\"database\"} == 0",
            "1m",
            Critical,
            "figw {{ $labels.instance }} cannot follow its database",
            "Callers who are known are served and rows are spooled, but nothing changes. See figw-serve(1) for failing over.",
        ),
        rule(
            "FigwRedisAway",
            "figw_cache_up == 0",
            "2m",
            Warning,
            "figw {{ $labels.instance }} cannot use Redis",
            "Each instance goes by its own memory and its share of limits.",
        ),
        rule(
            "FigwLimiterAlone",
            "figw_limiter_alone == 1",
            "5m",
            Warning,
            "figw {{ $labels.instance }} keeps limits for itself",
            "Redis is away, or was changed under it; the limits of all instances together are only estimated.",
        ),
        rule(
            "FigwReplicaUnused",
            "figw_replica_usable == 0",
            "10m",
            Warning,
            "figw {{ $labels.instance }} does not read from the replica {{ $labels.database }}",
            "It is away or too far behind; lists come from the primary.",
        ),
        rule(
            "FigwReplicaLag",
            format!("figw_replica_lag_seconds > {lag}"),
            "5m",
            Warning,
            "the replica {{ $labels.database }} is {{ $value | humanizeDuration }} behind",
            "More than database.replica_max_lag.",
        ),
        rule(
            "FigwConnectionsAwaited",
            "figw_database_connections_awaited > 0",
            "5m",
            Warning,
            "figw {{ $labels.instance }} waits for connections to {{ $labels.database }}",
            "Raise database.max_connections, or look for slow statements.",
        ),
        rule(
            "FigwGlobusAway",
            "sum by (job, instance) (increase(figw_globus_introspections_total{outcome=\"unavailable\"}[5m])) > 0",
            "5m",
            Warning,
            "figw {{ $labels.instance }} cannot ask Globus about logins",
            "Who was here lately is let in; newcomers are not. See https://status.globus.org.",
        ),
        rule(
            "FigwCertificateExpires",
            format!("{certificate_left} < {}", seconds(config.health.certificate_warning)),
            "1h",
            Warning,
            "the certificate of figw {{ $labels.instance }} ends in {{ $value | humanizeDuration }}",
            "Renew it and reload figw (SIGHUP).",
        ),
        rule(
            "FigwCertificateExpired",
            format!("{certificate_left} < {}", seconds(config.health.certificate_critical)),
            "",
            Critical,
            "the certificate of figw {{ $labels.instance }} ends very soon, or has ended",
            "Renew it and reload figw (SIGHUP).",
        ),
    ]
}

/// Less space is left than this.
fn room_below(least: Space) -> String {
    match least {
        Space::Percent(percent) => format!(
            "figw_state_free_bytes / figw_state_size_bytes < {}",
            f64::from(percent) / 100.0
        ),
        Space::Bytes(bytes) => format!("figw_state_free_bytes < {bytes}"),
    }
}

fn resources(config: &Config) -> Vec<Rule> {
    let rpo = config.backup.objectives.rpo;
    // A backup takes its time.
    let late = seconds(rpo.saturating_add(Duration::from_mins(15)).min(rpo.saturating_mul(2)));
    let backup_age = "time() - max by (job) (figw_backup_newest_timestamp_seconds)";
    vec![
        rule(
            "FigwSpoolGrows",
            "figw_spool_rows > 10000 and deriv(figw_spool_rows[10m]) > 0",
            "10m",
            Warning,
            "{{ $value | humanize }} rows of figw {{ $labels.instance }} wait for the database, and more come",
            "The database is away or too slow. Nothing is lost while server.state_dir has room.",
        ),
        rule(
            "FigwRowsLost",
            "increase(figw_rows_dropped_total[15m]) > 0 or increase(figw_prompts_dropped_total[15m]) > 0",
            "",
            Critical,
            "figw {{ $labels.instance }} has lost rows",
            "Requests were served that are not in the accounts: neither disk nor database kept up.",
        ),
        rule(
            "FigwRowsRefused",
            "increase(figw_spool_rejected_segments_total[1h]) > 0",
            "",
            Critical,
            "the database has refused rows of figw {{ $labels.instance }}",
            "They were moved aside in server.state_dir/spool; the log says why.",
        ),
        rule(
            "FigwDiskLow",
            room_below(config.health.disk_free_warning),
            "5m",
            Warning,
            "little is left of the disk of figw {{ $labels.instance }}",
            "Rows are spooled there while the database is away (server.state_dir).",
        ),
        rule(
            "FigwDiskFull",
            room_below(config.health.disk_free_critical),
            "1m",
            Critical,
            "hardly anything is left of the disk of figw {{ $labels.instance }}",
            "Rows will be lost when the database is away, too.",
        ),
        rule(
            "FigwLogLinesLost",
            "increase(figw_log_lines_lost_total[15m]) > 0",
            "",
            Warning,
            "figw {{ $labels.instance }} has lost lines of its log",
            "The disk takes none, or they come too fast: see logging.requests and logging.level.",
        ),
        rule(
            "FigwDescriptors",
            "process_open_fds{job=\"figw\"} / process_max_fds{job=\"figw\"} > 0.8",
            "5m",
            Warning,
            "figw {{ $labels.instance }} has {{ $value | humanizePercentage }} of its file descriptors open",
            "Raise LimitNOFILE, or lower server.max_connections.",
        ),
        rule(
            "FigwBackupOld",
            format!("{backup_age} > {late}"),
            "",
            Warning,
            "the newest backup is {{ $value | humanizeDuration }} old",
            "More than backup.objectives.rpo: look why figw backup does not run or fails.",
        ),
        rule(
            "FigwBackupMissed",
            format!("{backup_age} > {}", seconds(rpo.saturating_mul(2))),
            "",
            Critical,
            "the newest backup is {{ $value | humanizeDuration }} old",
            "More than twice backup.objectives.rpo: look why figw backup does not run or fails.",
        ),
    ]
}

/// That there is no backup at all, for which there is no age either. Whoever sets up no backups makes
/// them elsewhere, or wants none.
fn no_backup(config: &Config) -> Option<Rule> {
    let is_set_up = config.backup != Backup::default();
    is_set_up.then(|| {
        rule(
            "FigwNoBackup",
            "max by (job) (up{job=\"figw\"}) == 1 unless on (job) figw_backup_newest_timestamp_seconds",
            "1h",
            Critical,
            "no instance of figw sees a backup of its database",
            "Nothing could be brought back: look why figw backup does not run or fails, and whether backup.directory is the same for both.",
        )
    })
}
