//! Every metric that figw has. The manual, `/metrics` and the recorder are made from this table.
//!
//! Names of requests follow OpenTelemetry's conventions for generative AI where they have one
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>).

use super::metric::{Label, Metric, Presence, counter, gauge, histogram, process};

/// Upper bounds in seconds, as OpenTelemetry advises for the duration of requests.
const DURATIONS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// The same for the time to the first token.
const FIRST_TOKEN: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The same for the time of each further token.
const EACH_TOKEN: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// The same in tokens.
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// From 10 µs to a second: what the gateway takes itself.
const OVERHEADS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0,
];

const ENDPOINT: Label = Label::named("endpoint", "slugs of endpoints in the catalogue");
const MODEL: Label = Label::named("gen_ai_request_model", "the endpoint's model");
const OPERATION: Label = Label::of(
    "gen_ai_operation_name",
    &["chat", "text_completion", "embeddings", "generate_content"],
);
const DATABASE: Label = Label::named("database", "primary, and host:port of each replica");
const LIMIT: Label = Label::of("limit", &["requests_per_second", "tpm_model", "tpm_user"]);
const POST_STATUS: Label =
    Label::of("status", &["200", "400", "401", "403", "413", "503", "504", "other"]);
const STATUS: Label = Label::named("status", "status codes that figw answers with");

/// Every metric, in the order in which `/metrics` and the manual have them.
pub const ALL: &[Metric] = &[
    // Inference.
    counter(
        "figw_requests_total",
        "requests",
        "Inference requests that an endpoint was chosen for, by the class of the status that the caller got; 499, a caller who hung up before any, is 4xx.",
    )
    .by(&[ENDPOINT, MODEL, OPERATION, Label::of("status", &["2xx", "3xx", "4xx", "5xx"])])
    .when(Presence::Happened),
    histogram(
        "gen_ai_server_request_duration_seconds",
        DURATIONS,
        "seconds",
        "Time from a request's head to the last byte of its answer.",
    )
    .by(&[ENDPOINT, MODEL, OPERATION])
    .when(Presence::Happened),
    histogram(
        "gen_ai_server_time_to_first_token_seconds",
        FIRST_TOKEN,
        "seconds",
        "Time from a request's head to the first piece of its answer from the endpoint; of an answer that is no stream, to the beginning of the whole.",
    )
    .by(&[ENDPOINT, MODEL, OPERATION])
    .when(Presence::Happened),
    histogram(
        "gen_ai_server_time_per_output_token_seconds",
        EACH_TOKEN,
        "seconds",
        "Time of each token of a stream after the first: from the first to the end of the stream, divided by the number of further tokens.",
    )
    .by(&[ENDPOINT, MODEL, OPERATION])
    .when(Presence::Happened),
    histogram(
        "gen_ai_client_token_usage",
        TOKENS,
        "tokens",
        "Tokens of each request and its answer, as the endpoint counted them, or else estimated.",
    )
    .by(&[ENDPOINT, MODEL, OPERATION, Label::of("gen_ai_token_type", &["input", "output"])])
    .when(Presence::Happened),
    histogram(
        "figw_gateway_overhead_seconds",
        OVERHEADS,
        "seconds",
        "What figw itself added before an answer began to go out: time from the request's head to the head of the answer, without the time in which the rest of the request was still coming, in which the request waited for an endpoint to be free, and in which it was at an endpoint (from handing it to the connection until the whole answer, its first event or its first MiB was there).",
    )
    .by(&[OPERATION]),
    gauge(
        "figw_requests_in_flight",
        "requests",
        "Requests that were sent to the endpoint and are not at their end.",
    )
    .by(&[ENDPOINT])
    .when(Presence::Happened),
    gauge(
        "figw_waiting_room_requests",
        "requests",
        "Requests that wait because no endpoint of their model can take them.",
    )
    .by(&[Label::named("model", "models in the catalogue that were waited for")])
    .when(Presence::Happened),
    counter(
        "figw_retries_total",
        "requests",
        "Requests that this endpoint did not answer and that went on to a further one.",
    )
    .by(&[ENDPOINT])
    .when(Presence::Happened),
    gauge(
        "figw_breaker_open",
        "",
        "1 while the endpoint is left out because it failed, else 0.",
    )
    .by(&[ENDPOINT])
    .when(Presence::Happened),
    counter(
        "figw_breaker_opened_total",
        "times",
        "How often the endpoint was taken out because it failed.",
    )
    .by(&[ENDPOINT])
    .when(Presence::Happened),
    counter(
        "figw_refusals_total",
        "requests",
        "Answers with an error of figw's own instead of an endpoint's.",
    )
    .by(&[STATUS])
    .when(Presence::Happened),
    // Callers and their limits.
    counter(
        "figw_globus_logins_total",
        "requests",
        "Requests with a Globus token, by where it was known from: this instance's memory, or not there.",
    )
    .by(&[Label::of("found", &["memory", "elsewhere"])]),
    counter(
        "figw_globus_logins_shared_total",
        "tokens",
        "Tokens that were not in this instance's memory, by whether another instance had left in Redis what Globus says of them.",
    )
    .by(&[Label::of("outcome", &["hit", "miss"])]),
    counter(
        "figw_globus_introspections_total",
        "questions",
        "Questions to Globus about a token.",
    )
    .by(&[Label::of("outcome", &["accepted", "refused", "unavailable"])]),
    counter("figw_limiter_decisions_total", "requests", "Decisions of limits; _alone: without a Redis that there should be.")
        .by(&[
            LIMIT,
            Label::of("decision", &["admitted", "admitted_alone", "refused", "refused_alone"]),
        ]),
    counter("figw_limiter_leases_total", "leases", "Leases of limits that instances share.")
        .by(&[LIMIT, Label::of("outcome", &["granted", "denied", "returned", "failed"])]),
    gauge(
        "figw_limiter_alone",
        "",
        "1 while limits are kept without the Redis that instances share, else 0.",
    )
    .when(Presence::With("cache.redis_url")),
    // The instance.
    gauge("figw_ready", "", "1 while /ready answers 200, else 0."),
    gauge("figw_draining", "", "1 while the instance asks not to be sent requests, else 0."),
    gauge(
        "figw_check_ok",
        "",
        "1 while this check of /ready is ok, else 0: it is degraded, or has failed.",
    )
    .by(&[Label::named("check", "the checks of /ready")]),
    gauge("figw_cache_up", "", "1 while Redis can be used, else 0.")
        .when(Presence::With("cache.redis_url")),
    counter("figw_cache_errors_total", "errors", "Questions to Redis without a good answer."),
    gauge(
        "figw_tls_certificate_expiry_timestamp_seconds",
        "seconds",
        "When the certificate of server.tls is no longer valid, in seconds since 1970.",
    )
    .when(Presence::With("server.tls")),
    gauge(
        "figw_state_free_bytes",
        "bytes",
        "Room that is left for figw on the file system of server.state_dir, where rows are spooled.",
    ),
    gauge("figw_state_size_bytes", "bytes", "Size of that file system."),
    counter(
        "figw_log_lines_lost_total",
        "lines",
        "Lines of the log that could not be written: they came too fast, or the disk took none.",
    ),
    gauge(
        "figw_backup_newest_timestamp_seconds",
        "seconds",
        "When the newest good backup of the database was made, in seconds since 1970.",
    )
    .when(Presence::With("a backup in backup.directory")),
    counter(
        "figw_trace_exports_total",
        "batches",
        "Batches of spans for the collector of traces.",
    )
    .by(&[Label::of("outcome", &["sent", "failed"])]),
    gauge("figw_build_info", "", "1; the labels say what runs.").by(&[
        Label::named("version", "this version"),
        Label::named("architecture", "what it was built for"),
        Label::named("profile", "how it was built"),
    ]),
    // Rows and the database.
    gauge("figw_rows_queued", "rows", "Rows that wait in memory to be spooled."),
    counter("figw_rows_written_total", "rows", "Rows that the database has taken.")
        .by(&[Label::of("kind", &["usage", "access", "prompts"])]),
    counter(
        "figw_prompts_dropped_total",
        "requests",
        "Requests whose text was to be stored and was not: there was too much of it at a time.",
    ),
    counter(
        "figw_rows_rolled_up_total",
        "rows",
        "Usage rows that were added to the sums by hour and day.",
    ),
    counter("figw_rows_expired_total", "rows", "Rows that were deleted under retention.")
        .by(&[Label::of("table", &["usage", "access", "prompts"])]),
    counter(
        "figw_rows_dropped_total",
        "rows",
        "Rows that were lost: the queue was full, or there was neither a spool nor a database.",
    ),
    gauge("figw_spool_rows", "rows", "Rows in the spool that the database does not have yet."),
    gauge("figw_spool_segments", "files", "Files in the spool."),
    gauge("figw_spool_bytes", "bytes", "Size of the spool."),
    counter(
        "figw_spool_rejected_segments_total",
        "files",
        "Files of the spool that the database refused and that were moved aside.",
    ),
    gauge("figw_database_connections", "connections", "Open connections to the database.")
        .by(&[DATABASE, Label::of("state", &["busy", "idle"])])
        .when(Presence::With("PostgreSQL")),
    gauge("figw_database_connections_limit", "connections", "Most connections there may be.")
        .by(&[DATABASE])
        .when(Presence::With("PostgreSQL")),
    gauge(
        "figw_database_connections_awaited",
        "tasks",
        "Tasks that wait for a connection to be free.",
    )
    .by(&[DATABASE])
    .when(Presence::With("PostgreSQL")),
    counter(
        "figw_database_connections_closed_total",
        "connections",
        "Connections that were closed because they led nowhere or to a server that takes no writes.",
    )
    .by(&[DATABASE, Label::of("reason", &["read only", "unanswered", "unwell"])])
    .when(Presence::With("PostgreSQL")),
    counter("figw_database_reads_total", "reads", "Reads that a replica may answer.")
        .by(&[DATABASE, Label::of("outcome", &["answered", "failed", "given up"])])
        .when(Presence::With("database.read_replicas")),
    gauge("figw_replica_usable", "", "1 while the replica is read from, else 0.")
        .by(&[DATABASE])
        .when(Presence::With("database.read_replicas")),
    gauge(
        "figw_replica_lag_seconds",
        "seconds",
        "How long ago the primary was where the replica is now.",
    )
    .by(&[DATABASE])
    .when(Presence::With("database.read_replicas")),
    // Globus Compute.
    counter("figw_globus_submits_total", "submits", "Submits to Globus Compute.")
        .by(&[Label::of("outcome", &["accepted", "refused"])]),
    counter("figw_globus_tasks_total", "tasks", "Tasks in these submits.")
        .by(&[Label::of("outcome", &["accepted", "refused"])]),
    gauge("figw_globus_tasks_in_flight", "tasks", "Tasks whose results are waited for."),
    counter("figw_globus_results_total", "results", "Results, by the way on which they came.")
        .by(&[Label::of("source", &["amqp", "rest"])]),
    gauge(
        "figw_globus_amqp_connected",
        "",
        "1 while results come through Globus' message queue, else 0.",
    )
    .when(Presence::With("globus_compute")),
    counter(
        "figw_globus_amqp_reconnects_total",
        "times",
        "How often the message queue had to be connected to again.",
    ),
    counter("figw_streaming_posts_total", "posts", "What functions on clusters posted.")
        .by(&[Label::of("kind", &["data", "error", "done"]), POST_STATUS]),
    counter(
        "figw_streaming_passed_on_total",
        "posts",
        "Posts that were passed on to the instance that holds their stream.",
    )
    .by(&[POST_STATUS]),
    counter(
        "figw_streaming_forged_total",
        "messages",
        "Messages that pretended to come from another instance.",
    ),
    gauge("figw_batches_followed", "batches", "Open batches that this instance follows."),
    counter("figw_batches_ended_total", "batches", "Batches that have ended.")
        .by(&[Label::of("status", &["completed", "failed"])]),
    // The process.
    process("process_cpu_seconds_total", "seconds", "User and system time of the process."),
    process("process_resident_memory_bytes", "bytes", "Memory of the process that is resident."),
    process("process_virtual_memory_bytes", "bytes", "Virtual memory of the process."),
    process("process_open_fds", "descriptors", "Open file descriptors."),
    process("process_max_fds", "descriptors", "Most file descriptors that may be open."),
    process("process_threads", "threads", "Threads of the process."),
    process(
        "process_start_time_seconds",
        "seconds",
        "When the process began, in seconds since 1970.",
    ),
];
