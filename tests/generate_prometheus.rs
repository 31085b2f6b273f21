//! What `figw generate prometheus` and `grafana` make, judged by promtool and by a Prometheus that
//! scrapes a real gateway.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper may fail its test"
)]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use figw::telemetry::metrics::{ALL, Kind};
use serde_json::{Value, json};
use support::{
    gateway::ADMIN_TOKEN,
    generated::{FLEET, Site},
    observed::{Observed, promtool},
    ports::free_port,
};
use tokio::time::sleep;

/// The configuration and the rules, in a directory of their own.
fn generate(site: &Site, token: &str) {
    fs::write(site.path("token"), token).unwrap();
    let token = site.path("token");
    let out = site.path("out");
    site.generate(&[
        "prometheus",
        "--credentials-file",
        token.to_str().unwrap(),
        "--into",
        out.to_str().unwrap(),
    ]);
}

fn yaml(path: &Path) -> Value {
    serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn rules(site: &Site) -> Vec<Value> {
    let file = yaml(&site.path("out/figw-rules.yml"));
    let groups = file["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn promtool_takes_the_configuration_and_the_rules() {
    let behind_a_proxy = "instances: [{name: a, url: 'https://a.example.org', admin_url: \
                          'https://a.example.org/admin-of-a/'}]";
    for configuration in [FLEET, "{}", "server: {admin_token: x}", behind_a_proxy] {
        let site = Site::new(configuration);
        generate(&site, "x");
        let out = site.path("out");
        let (scrape, alerts) = (out.join("prometheus.yml"), out.join("figw-rules.yml"));
        assert_eq!(promtool(&["check", "config", scrape.to_str().unwrap()], ""), "");
        assert_eq!(promtool(&["check", "rules", alerts.to_str().unwrap()], ""), "");
    }
    let site = Site::new(FLEET);
    generate(&site, "x");
    let job = yaml(&site.path("out/prometheus.yml"))["scrape_configs"][0].clone();
    assert_eq!(job["static_configs"][2]["targets"], json!(["[fd00::3]:8001"]));
    assert_eq!(job["static_configs"][2]["labels"], json!({"instance": "gw3"}));
    assert_eq!(job["authorization"]["type"], "Bearer");
    let site = Site::new(behind_a_proxy);
    generate(&site, "x");
    let job = yaml(&site.path("out/prometheus.yml"))["scrape_configs"][0].clone();
    let labels =
        json!({"instance": "a", "__scheme__": "https", "__metrics_path__": "/admin-of-a/metrics"});
    assert_eq!(
        job["static_configs"][0],
        json!({"targets": ["a.example.org:443"], "labels": labels})
    );
    assert!(job["authorization"].is_null());
}

/// For each alert what fires it, and what looks much like it and does not: series with their values
/// from minute to minute.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
);

const CASES: &[Case] = &[
    (
        "FigwDown",
        &[("up{job=\"figw\"}", "0x120")],
        &[("up{job=\"figw\"}", "1x120"), ("up{job=\"other\"}", "0x120")],
    ),
    (
        "FigwNotReady",
        &[("figw_ready", "0x120"), ("figw_draining", "0x120")],
        &[("figw_ready", "0x120"), ("figw_draining", "1x120")],
    ),
    ("FigwDrained", &[("figw_draining", "1x120")], &[("figw_draining", "1x40 0x80")]),
    (
        "FigwDegraded",
        &[("figw_check_ok{check=\"rows\"}", "0x120")],
        &[
            ("figw_check_ok{check=\"rows\"}", "1x120"),
            ("figw_check_ok{check=\"database\"}", "0x120"),
        ],
    ),
    (
        "FigwRestarts",
        &[("process_start_time_seconds{job=\"figw\"}", "1+1x120")],
        &[("process_start_time_seconds{job=\"figw\"}", "1x60 2x60")],
    ),
    (
        "FigwVersionsDiffer",
        &[("figw_build_info{version=\"1\"}", "1x120"), ("figw_build_info{version=\"2\"}", "1x120")],
        &[
            ("figw_build_info{version=\"1\",instance=\"a\"}", "1x120"),
            ("figw_build_info{version=\"1\",instance=\"b\"}", "1x120"),
        ],
    ),
    (
        "FigwErrors",
        &[
            ("figw_requests_total{status=\"5xx\"}", "0+10x120"),
            ("figw_requests_total{status=\"2xx\"}", "0+100x120"),
        ],
        &[
            ("figw_requests_total{status=\"5xx\"}", "0+1x120"),
            ("figw_requests_total{status=\"2xx\"}", "0+100x120"),
        ],
    ),
    (
        "FigwUnavailable",
        &[
            ("figw_refusals_total{status=\"503\"}", "0+10x120"),
            ("figw_refusals_total{status=\"429\"}", "0+10x120"),
        ],
        &[
            ("figw_refusals_total{status=\"503\"}", "0+1x120"),
            ("figw_refusals_total{status=\"429\"}", "0+100x120"),
            ("figw_requests_total{status=\"2xx\"}", "0+100x120"),
        ],
    ),
    (
        "FigwEndpointErrors",
        &[
            ("figw_requests_total{status=\"5xx\",endpoint=\"a\"}", "0+30x120"),
            ("figw_requests_total{status=\"2xx\",endpoint=\"a\"}", "0+100x120"),
        ],
        &[
            ("figw_requests_total{status=\"5xx\",endpoint=\"a\"}", "0+10x120"),
            ("figw_requests_total{status=\"2xx\",endpoint=\"a\"}", "0+100x120"),
        ],
    ),
    (
        "FigwBreakerOpen",
        &[("figw_breaker_open{endpoint=\"a\"}", "1x120")],
        &[("figw_breaker_open{endpoint=\"a\"}", "0x119 1")],
    ),
    (
        "FigwSlowToBegin",
        &[
            ("gen_ai_server_time_to_first_token_seconds_bucket{le=\"7.5\"}", "0x120"),
            ("gen_ai_server_time_to_first_token_seconds_bucket{le=\"10\"}", "0+9x120"),
            ("gen_ai_server_time_to_first_token_seconds_bucket{le=\"+Inf\"}", "0+9x120"),
        ],
        &[
            ("gen_ai_server_time_to_first_token_seconds_bucket{le=\"7.5\"}", "0+9x120"),
            ("gen_ai_server_time_to_first_token_seconds_bucket{le=\"+Inf\"}", "0+9x120"),
        ],
    ),
    (
        "FigwSlow",
        &[
            ("figw_gateway_overhead_seconds_bucket{le=\"0.1\"}", "0x120"),
            ("figw_gateway_overhead_seconds_bucket{le=\"0.25\"}", "0+9x120"),
            ("figw_gateway_overhead_seconds_bucket{le=\"+Inf\"}", "0+9x120"),
        ],
        &[
            ("figw_gateway_overhead_seconds_bucket{le=\"0.1\"}", "0+9x120"),
            ("figw_gateway_overhead_seconds_bucket{le=\"+Inf\"}", "0+9x120"),
        ],
    ),
    (
        "FigwRequestsWait",
        &[("figw_waiting_room_requests{model=\"m\"}", "3x120")],
        &[("figw_waiting_room_requests{model=\"m\"}", "0x115 3x5")],
    ),
    (
        "FigwDatabaseAway",
        &[("figw_check_ok{check=\"database\"}", "0x120")],
        &[
            ("figw_check_ok{check=\"database\"}", "1x120"),
            ("figw_check_ok{check=\"rows\"}", "0x120"),
        ],
    ),
    ("FigwRedisAway", &[("figw_cache_up", "0x120")], &[("figw_cache_up", "1x120")]),
    ("FigwLimiterAlone", &[("figw_limiter_alone", "1x120")], &[("figw_limiter_alone", "0x120")]),
    (
        "FigwReplicaUnused",
        &[("figw_replica_usable{database=\"d\"}", "0x120")],
        &[("figw_replica_usable{database=\"d\"}", "1x120")],
    ),
    (
        "FigwReplicaLag",
        &[("figw_replica_lag_seconds{database=\"d\"}", "600x120")],
        &[("figw_replica_lag_seconds{database=\"d\"}", "0.5x120")],
    ),
    (
        "FigwConnectionsAwaited",
        &[("figw_database_connections_awaited{database=\"primary\"}", "2x120")],
        &[("figw_database_connections_awaited{database=\"primary\"}", "0x118 2x2")],
    ),
    (
        "FigwGlobusAway",
        &[("figw_globus_introspections_total{outcome=\"unavailable\"}", "0+1x120")],
        &[
            ("figw_globus_introspections_total{outcome=\"accepted\"}", "0+1x120"),
            ("figw_globus_introspections_total{outcome=\"unavailable\"}", "3x120"),
        ],
    ),
    // Evaluated two hours after 1970 began: in a week, and in a month.
    (
        "FigwCertificateExpires",
        &[("figw_tls_certificate_expiry_timestamp_seconds", "604800x120")],
        &[("figw_tls_certificate_expiry_timestamp_seconds", "2592000x120")],
    ),
    (
        "FigwCertificateExpired",
        &[("figw_tls_certificate_expiry_timestamp_seconds", "3600x120")],
        &[("figw_tls_certificate_expiry_timestamp_seconds", "604800x120")],
    ),
    (
        "FigwSpoolGrows",
        &[("figw_spool_rows", "20000+100x120")],
        &[("figw_spool_rows", "90000-100x120")],
    ),
    (
        "FigwRowsLost",
        &[("figw_rows_dropped_total", "0x110 5x10"), ("figw_prompts_dropped_total", "0x120")],
        &[("figw_rows_dropped_total", "5x120"), ("figw_prompts_dropped_total", "0x120")],
    ),
    (
        "FigwRowsRefused",
        &[("figw_spool_rejected_segments_total", "0x110 1x10")],
        &[("figw_spool_rejected_segments_total", "1x120")],
    ),
    (
        "FigwDiskLow",
        &[("figw_state_free_bytes", "9x120"), ("figw_state_size_bytes", "100x120")],
        &[("figw_state_free_bytes", "11x120"), ("figw_state_size_bytes", "100x120")],
    ),
    (
        "FigwDiskFull",
        &[("figw_state_free_bytes", "2x120"), ("figw_state_size_bytes", "100x120")],
        &[("figw_state_free_bytes", "9x120"), ("figw_state_size_bytes", "100x120")],
    ),
    (
        "FigwLogLinesLost",
        &[("figw_log_lines_lost_total", "0x110 9x10")],
        &[("figw_log_lines_lost_total", "9x120")],
    ),
    (
        "FigwDescriptors",
        &[
            ("process_open_fds{job=\"figw\"}", "90x120"),
            ("process_max_fds{job=\"figw\"}", "100x120"),
        ],
        &[
            ("process_open_fds{job=\"figw\"}", "70x120"),
            ("process_max_fds{job=\"figw\"}", "100x120"),
        ],
    ),
    (
        "FigwBackupOld",
        &[("figw_backup_newest_timestamp_seconds", "2600x120")],
        &[("figw_backup_newest_timestamp_seconds", "7000x120")],
    ),
    (
        "FigwBackupMissed",
        &[("figw_backup_newest_timestamp_seconds", "-1x120")],
        &[("figw_backup_newest_timestamp_seconds", "2600x120")],
    ),
    (
        "FigwNoBackup",
        &[("up{job=\"figw\",instance=\"a\"}", "1x120")],
        &[
            ("up{job=\"figw\",instance=\"a\"}", "1x120"),
            ("up{job=\"figw\",instance=\"b\"}", "1x120"),
            ("figw_backup_newest_timestamp_seconds{job=\"figw\",instance=\"b\"}", "7000x120"),
        ],
    ),
];

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let site = Site::new("backup: {directory: /var/backups/figw}");
    generate(&site, "x");
    let named: BTreeSet<_> =
        rules(&site).iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect();
    let tested: BTreeSet<_> = CASES.iter().map(|(alert, ..)| (*alert).to_owned()).collect();
    assert_eq!(named, tested, "each has its case");
    let test = |alert: &str, input: &[(&str, &str)], fires: bool| {
        let series: Vec<_> =
            input.iter().map(|(name, values)| json!({"series": name, "values": values})).collect();
        let samples = if fires { json!([{"labels": "{}", "value": 1}]) } else { json!([]) };
        let firing = format!("count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})");
        json!({
            "name": format!("{alert}: {fires}"), "interval": "1m", "input_series": series,
            "promql_expr_test": [{"expr": firing, "eval_time": "2h", "exp_samples": samples}],
        })
    };
    let tests: Vec<_> = CASES
        .iter()
        .flat_map(|(alert, fires, calm)| [test(alert, fires, true), test(alert, calm, false)])
        .collect();
    let file = json!({
        "rule_files": ["figw-rules.yml"], "evaluation_interval": "1m", "tests": tests,
    });
    let path = site.path("out/tests.yml");
    fs::write(&path, serde_yaml::to_string(&file).unwrap()).unwrap();
    assert_eq!(promtool(&["test", "rules", path.to_str().unwrap()], ""), "");
}

#[test]
fn what_is_not_there_is_not_alerted_of() {
    let site = Site::new("telemetry: {metrics: false}");
    let said = site.figw(&["generate", "prometheus"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.stderr.contains("telemetry.metrics is false"), "{said:?}");
    assert!(!said.stdout.contains("FigwNoBackup"), "no backups are set up: {said:?}");
}

/// The metrics that an expression names.
fn metrics_of(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let is_metric = |word: &&str| {
        ["figw_", "gen_ai_server", "gen_ai_client", "process_"].iter().any(|s| word.starts_with(s))
    };
    words.filter(is_metric).collect()
}

/// The queries of the dashboard, as Grafana would send them with everything chosen.
fn dashboard_queries(site: &Site) -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&site.generate(&["grafana"])).unwrap();
    assert_eq!(dashboard["uid"], "figw");
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.map(|target| target["expr"].as_str().unwrap());
    let chosen = |query: &str| {
        query
            .replace("$instance", ".*")
            .replace("$endpoint", ".*")
            .replace("$__rate_interval", "1m")
    };
    queries.map(chosen).collect()
}

#[test]
fn rules_and_dashboard_ask_for_metrics_of_the_table_and_the_dashboard_for_all() {
    let site = Site::new("{}");
    generate(&site, "x");
    let queries = dashboard_queries(&site);
    let expressions =
        rules(&site).into_iter().map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let all: Vec<_> = queries.iter().cloned().chain(expressions).collect();
    let mut shown = BTreeSet::new();
    for expression in &all {
        for found in metrics_of(expression) {
            let is_it = |name: &str, kind: Kind| match kind {
                Kind::Histogram(_) => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|suffix| found.strip_suffix(suffix) == Some(name)),
                _ => found == name,
            };
            let metric = ALL.iter().find(|metric| is_it(metric.name, metric.kind));
            shown.insert(metric.unwrap_or_else(|| panic!("{found}: {expression}")).name);
        }
    }
    let unseen = [
        "process_virtual_memory_bytes",
        "process_threads",
        "figw_globus_submits_total",
        "figw_streaming_forged_total",
        "figw_database_connections_closed_total",
        "figw_state_size_bytes",
    ];
    for metric in ALL {
        assert!(shown.contains(metric.name) || unseen.contains(&metric.name), "{}", metric.name);
    }
}

/// A running Prometheus; ends when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Starts with this configuration, but scrapes once a second.
    fn start(site: &Site) -> Self {
        let config = site.path("out/prometheus.yml");
        let quick = fs::read_to_string(&config).unwrap().replace("15s", "1s");
        fs::write(&config, quick).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let log = fs::File::create(site.path("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", site.path("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus, of Debian's package of that name");
        Self { child, url: format!("http://{address}") }
    }

    /// The result of a query; an error where Prometheus does not take it.
    async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let mut url = url::Url::parse(&format!("{}/api/v1/query", self.url)).unwrap();
        url.query_pairs_mut().append_pair("query", expression);
        let text =
            reqwest::get(url).await.map_err(|error| error.to_string())?.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).map_err(|_| text.clone())?;
        match answer["data"]["result"].as_array() {
            Some(found) if answer["status"] == "success" => Ok(found.clone()),
            _ => Err(text),
        }
    }

    async fn wait_for(&self, expression: &str) {
        let given_up = Instant::now() + Duration::from_mins(1);
        while !self.query(expression).await.is_ok_and(|found| !found.is_empty()) {
            assert!(Instant::now() < given_up, "{expression}: {:?}", self.query(expression).await);
            sleep(Duration::from_millis(250)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_that_scrapes_a_gateway_answers_every_query() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let observed = Observed::start(&[("server.admin_token", ADMIN_TOKEN)]);
    let (public, admin) = (observed.gateway.url(), observed.gateway.admin_url());
    let configuration = format!(
        "server: {{admin_token: x}}\ninstances: [{{name: gw1, url: '{public}', admin_url: '{admin}'}}]\n"
    );
    let site = Site::new(&configuration);
    generate(&site, ADMIN_TOKEN);
    let server = Server::start(&site);
    server.wait_for("up{job=\"figw\",instance=\"gw1\"} == 1").await;
    observed.traffic().await;
    server.wait_for("figw_requests_total").await;
    sleep(Duration::from_secs(2)).await;
    observed.traffic().await;
    server.wait_for("sum(rate(gen_ai_server_request_duration_seconds_count[1m])) > 0").await;
    server.wait_for("figw_replica_lag_seconds").await;
    server.wait_for("figw_globus_amqp_connected").await;

    let mut empty = Vec::new();
    for query in dashboard_queries(&site) {
        match server.query(&query).await {
            Ok(found) if found.is_empty() => empty.push(query),
            Ok(_) => {}
            Err(why) => panic!("{query}: {why}"),
        }
    }
    // Nothing to show is right only where the query looks for trouble, or there is no TLS.
    let is_quiet = |query: &String| {
        query.contains(" == ") || query.contains(" > 0") || query.contains("_tls_")
    };
    assert!(empty.iter().all(is_quiet), "{empty:#?}");
    for rule in rules(&site) {
        let expression = rule["expr"].as_str().unwrap();
        server.query(expression).await.unwrap_or_else(|why| panic!("{expression}: {why}"));
    }
    let firing = server.query("ALERTS{alertstate=\"firing\",severity=\"critical\"}").await.unwrap();
    let unexpected: Vec<_> = firing
        .iter()
        .map(|alert| &alert["metric"]["alertname"])
        .filter(|name| **name != "FigwDown")
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}
