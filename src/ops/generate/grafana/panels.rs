//! What the dashboard shows.

/// A panel: its title, unit, and queries with what each line is called.
pub(super) struct Panel(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static [(&'static str, &'static str)],
);

/// A heading with the panels below it.
pub(super) struct Section(pub(super) &'static str, pub(super) &'static [Panel]);

/// All of them, from the top down.
pub(super) const SECTIONS: &[Section] = &[
    Section(
        "Overview",
        &[
            Panel(
                "Requests",
                "reqps",
                &[(
                    "sum by (status) (rate(figw_requests_total{instance=~\"$instance\",endpoint=~\"$endpoint\"}[$__rate_interval]))",
                    "{{status}}",
                )],
            ),
            Panel(
                "Failed requests",
                "percentunit",
                &[(
                    "sum(rate(figw_requests_total{instance=~\"$instance\",endpoint=~\"$endpoint\",status=\"5xx\"}[$__rate_interval])) / sum(rate(figw_requests_total{instance=~\"$instance\",endpoint=~\"$endpoint\"}[$__rate_interval]))",
                    "failed",
                )],
            ),
            Panel(
                "Tokens per second",
                "short",
                &[(
                    "sum by (gen_ai_token_type) (rate(gen_ai_client_token_usage_sum{instance=~\"$instance\",endpoint=~\"$endpoint\"}[$__rate_interval]))",
                    "{{gen_ai_token_type}}",
                )],
            ),
            Panel(
                "Ready",
                "short",
                &[
                    ("figw_ready{instance=~\"$instance\"}", "{{instance}}"),
                    ("figw_draining{instance=~\"$instance\"}", "{{instance}} drained"),
                ],
            ),
            Panel(
                "Checks that are not ok",
                "short",
                &[("figw_check_ok{instance=~\"$instance\"} == 0", "{{instance}} {{check}}")],
            ),
            Panel(
                "Versions",
                "short",
                &[("count by (version) (figw_build_info{instance=~\"$instance\"})", "{{version}}")],
            ),
        ],
    ),
    Section(
        "Latency",
        &[
            Panel(
                "Whole requests",
                "s",
                &[
                    (
                        "histogram_quantile(0.5, sum by (le) (rate(gen_ai_server_request_duration_seconds_bucket{instance=~\"$instance\",endpoint=~\"$endpoint\"}[$__rate_interval])))",
                        "half",
                    ),
                    (
                        "histogram_quantile(0.95, sum by (le) (rate(gen_ai_server_request_duration_seconds_bucket{instance=~\"$instance\",endpoint=~\"$endpoint\"}[$__rate_interval])))",
                        "95 %",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (le) (rate(gen_ai_server_request_duration_seconds_bucket{instance=~\"$instance\",endpoint=~\"$endpoint\"}[$__rate_interval])))",
                        "99 %",
                    ),
                ],
            ),
            Panel(
                "Time to the first token, 95 %",
                "s",
                &[(
                    "histogram_quantile(0.95, sum by (endpoint, le) (rate(gen_ai_server_time_to_first_token_seconds_bucket{instance=~\"$instance\",endpoint=~\"$endpoint\"}[$__rate_interval])))",
                    "{{endpoint}}",
                )],
            ),
            Panel(
                "Time of each further token, half",
                "s",
                &[(
                    "histogram_quantile(0.5, sum by (endpoint, le) (rate(gen_ai_server_time_per_output_token_seconds_bucket{instance=~\"$instance\",endpoint=~\"$endpoint\"}[$__rate_interval])))",
                    "{{endpoint}}",
                )],
            ),
            Panel(
                "Added by figw itself",
                "s",
                &[
                    (
                        "histogram_quantile(0.5, sum by (le) (rate(figw_gateway_overhead_seconds_bucket{instance=~\"$instance\"}[$__rate_interval])))",
                        "half",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (le) (rate(figw_gateway_overhead_seconds_bucket{instance=~\"$instance\"}[$__rate_interval])))",
                        "99 %",
                    ),
                ],
            ),
        ],
    ),
    Section(
        "Endpoints",
        &[
            Panel(
                "Requests by endpoint",
                "reqps",
                &[(
                    "sum by (endpoint) (rate(figw_requests_total{instance=~\"$instance\",endpoint=~\"$endpoint\"}[$__rate_interval]))",
                    "{{endpoint}}",
                )],
            ),
            Panel(
                "In flight",
                "short",
                &[(
                    "sum by (endpoint) (figw_requests_in_flight{instance=~\"$instance\",endpoint=~\"$endpoint\"})",
                    "{{endpoint}}",
                )],
            ),
            Panel(
                "Waiting for an endpoint",
                "short",
                &[(
                    "sum by (model) (figw_waiting_room_requests{instance=~\"$instance\"})",
                    "{{model}}",
                )],
            ),
            Panel(
                "Out of service",
                "short",
                &[
                    (
                        "max by (endpoint) (figw_breaker_open{instance=~\"$instance\",endpoint=~\"$endpoint\"}) == 1",
                        "{{endpoint}}",
                    ),
                    (
                        "sum by (endpoint) (increase(figw_breaker_opened_total{instance=~\"$instance\",endpoint=~\"$endpoint\"}[1h])) > 0",
                        "{{endpoint}}, times in an hour",
                    ),
                ],
            ),
            Panel(
                "Requests that went to a further endpoint",
                "reqps",
                &[(
                    "sum by (endpoint) (rate(figw_retries_total{instance=~\"$instance\",endpoint=~\"$endpoint\"}[$__rate_interval]))",
                    "{{endpoint}}",
                )],
            ),
            Panel(
                "Refused by figw",
                "reqps",
                &[(
                    "sum by (status) (rate(figw_refusals_total{instance=~\"$instance\"}[$__rate_interval]))",
                    "{{status}}",
                )],
            ),
        ],
    ),
    Section(
        "Callers and limits",
        &[
            Panel(
                "Decisions of limits",
                "reqps",
                &[(
                    "sum by (limit, decision) (rate(figw_limiter_decisions_total{instance=~\"$instance\"}[$__rate_interval]))",
                    "{{limit}} {{decision}}",
                )],
            ),
            Panel(
                "Leases",
                "ops",
                &[
                    (
                        "sum by (limit, outcome) (rate(figw_limiter_leases_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "{{limit}} {{outcome}}",
                    ),
                    ("figw_limiter_alone{instance=~\"$instance\"}", "{{instance}} alone"),
                ],
            ),
            Panel(
                "Globus logins",
                "reqps",
                &[
                    (
                        "sum by (found) (rate(figw_globus_logins_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "found in {{found}}",
                    ),
                    (
                        "sum by (outcome) (rate(figw_globus_introspections_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "asked: {{outcome}}",
                    ),
                    (
                        "sum by (outcome) (rate(figw_globus_logins_shared_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "in Redis: {{outcome}}",
                    ),
                ],
            ),
            Panel(
                "Redis",
                "short",
                &[
                    ("figw_cache_up{instance=~\"$instance\"}", "{{instance}} up"),
                    (
                        "rate(figw_cache_errors_total{instance=~\"$instance\"}[$__rate_interval])",
                        "{{instance}} errors/s",
                    ),
                ],
            ),
        ],
    ),
    Section(
        "Rows and the database",
        &[
            Panel(
                "Rows written",
                "ops",
                &[
                    (
                        "sum by (kind) (rate(figw_rows_written_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "{{kind}}",
                    ),
                    (
                        "sum by (table) (rate(figw_rows_expired_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "expired {{table}}",
                    ),
                    (
                        "sum(rate(figw_rows_rolled_up_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "summed up",
                    ),
                ],
            ),
            Panel(
                "Rows that wait",
                "short",
                &[
                    ("figw_rows_queued{instance=~\"$instance\"}", "{{instance}} queue"),
                    ("figw_spool_rows{instance=~\"$instance\"}", "{{instance}} spool"),
                    ("figw_spool_segments{instance=~\"$instance\"}", "{{instance}} spool, files"),
                ],
            ),
            Panel(
                "Rows lost or refused, in an hour",
                "short",
                &[
                    (
                        "increase(figw_rows_dropped_total{instance=~\"$instance\"}[1h])",
                        "{{instance}} lost",
                    ),
                    (
                        "increase(figw_prompts_dropped_total{instance=~\"$instance\"}[1h])",
                        "{{instance}} prompts lost",
                    ),
                    (
                        "increase(figw_spool_rejected_segments_total{instance=~\"$instance\"}[1h])",
                        "{{instance}} refused, files",
                    ),
                ],
            ),
            Panel(
                "Connections",
                "short",
                &[
                    (
                        "sum by (database, state) (figw_database_connections{instance=~\"$instance\"})",
                        "{{database}} {{state}}",
                    ),
                    (
                        "sum by (database) (figw_database_connections_awaited{instance=~\"$instance\"})",
                        "{{database}} awaited",
                    ),
                    (
                        "sum by (database) (figw_database_connections_limit{instance=~\"$instance\"})",
                        "{{database}} limit",
                    ),
                ],
            ),
            Panel(
                "Replicas",
                "s",
                &[
                    (
                        "max by (database) (figw_replica_lag_seconds{instance=~\"$instance\"})",
                        "{{database}} lag",
                    ),
                    (
                        "min by (database) (figw_replica_usable{instance=~\"$instance\"})",
                        "{{database}} usable",
                    ),
                ],
            ),
            Panel(
                "Reads",
                "reqps",
                &[(
                    "sum by (database, outcome) (rate(figw_database_reads_total{instance=~\"$instance\"}[$__rate_interval]))",
                    "{{database}} {{outcome}}",
                )],
            ),
        ],
    ),
    Section(
        "Globus Compute and batches",
        &[
            Panel(
                "Tasks",
                "short",
                &[
                    ("sum(figw_globus_tasks_in_flight{instance=~\"$instance\"})", "in flight"),
                    (
                        "sum by (outcome) (rate(figw_globus_tasks_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "{{outcome}}/s",
                    ),
                    (
                        "sum by (source) (rate(figw_globus_results_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "results by {{source}}/s",
                    ),
                ],
            ),
            Panel(
                "Broker",
                "short",
                &[
                    (
                        "figw_globus_amqp_connected{instance=~\"$instance\"}",
                        "{{instance}} connected",
                    ),
                    (
                        "increase(figw_globus_amqp_reconnects_total{instance=~\"$instance\"}[1h])",
                        "{{instance}} reconnects in an hour",
                    ),
                ],
            ),
            Panel(
                "Posts of streams",
                "reqps",
                &[
                    (
                        "sum by (kind, status) (rate(figw_streaming_posts_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "{{kind}} {{status}}",
                    ),
                    (
                        "sum by (status) (rate(figw_streaming_passed_on_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "passed on {{status}}",
                    ),
                ],
            ),
            Panel(
                "Batches",
                "short",
                &[
                    ("sum(figw_batches_followed{instance=~\"$instance\"})", "open"),
                    (
                        "sum by (status) (increase(figw_batches_ended_total{instance=~\"$instance\"}[1h]))",
                        "{{status}} in an hour",
                    ),
                ],
            ),
        ],
    ),
    Section(
        "Processes",
        &[
            Panel(
                "CPU",
                "short",
                &[(
                    "rate(process_cpu_seconds_total{job=\"figw\",instance=~\"$instance\"}[$__rate_interval])",
                    "{{instance}} cores",
                )],
            ),
            Panel(
                "Memory",
                "bytes",
                &[(
                    "process_resident_memory_bytes{job=\"figw\",instance=~\"$instance\"}",
                    "{{instance}}",
                )],
            ),
            Panel(
                "File descriptors",
                "short",
                &[
                    ("process_open_fds{job=\"figw\",instance=~\"$instance\"}", "{{instance}}"),
                    ("process_max_fds{job=\"figw\",instance=~\"$instance\"}", "{{instance}} limit"),
                ],
            ),
            Panel(
                "Room for state",
                "bytes",
                &[
                    ("figw_state_free_bytes{instance=~\"$instance\"}", "{{instance}} free"),
                    ("figw_spool_bytes{instance=~\"$instance\"}", "{{instance}} spool"),
                ],
            ),
            Panel(
                "Logs and traces, in an hour",
                "short",
                &[
                    (
                        "increase(figw_log_lines_lost_total{instance=~\"$instance\"}[1h])",
                        "{{instance}} lines lost",
                    ),
                    (
                        "increase(figw_trace_exports_total{instance=~\"$instance\"}[1h])",
                        "{{instance}} batches of spans {{outcome}}",
                    ),
                ],
            ),
            Panel(
                "Time left",
                "s",
                &[
                    (
                        "figw_tls_certificate_expiry_timestamp_seconds{instance=~\"$instance\"} - time()",
                        "{{instance}} certificate",
                    ),
                    (
                        "time() - figw_backup_newest_timestamp_seconds{instance=~\"$instance\"}",
                        "{{instance}} age of the newest backup",
                    ),
                    (
                        "time() - process_start_time_seconds{job=\"figw\",instance=~\"$instance\"}",
                        "{{instance}} up",
                    ),
                ],
            ),
        ],
    ),
];
