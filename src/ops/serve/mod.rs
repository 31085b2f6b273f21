//! `figw serve`: put the parts together, run them, stop them in order.

mod backups;
mod batches;
mod dashboard;
pub mod dev;
mod globus;
mod lifecycle;
mod listeners;
mod logins;
mod looks;
mod opened;
mod reload;
mod service_manager;
mod sockets;
mod staging;
mod streams;
mod takeover;
mod upkeep;

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use warp::{filters::BoxedFilter, reply::Response};

use crate::{
    auth::Authenticator,
    backends::{
        direct_api::{ClientOptions, DirectClient},
        globus_compute::{Compute, streams::StreamHub},
        metis::Manifests,
    },
    catalog::{self, Catalog},
    config::{self, Config, ConfigError, Loaded, Secret},
    gateway::{
        Budgets, Gateway, InFlight, Settings, StagingArea,
        batches::Batches,
        jobs::JobLists,
        lines::Lines,
        routing::{BreakerPolicy, Rooms, Routing},
        tasks::Tasks,
    },
    http::{self, App, Readiness, admin::Admin, server::Stop},
    limits::Limits,
    ops::anew::create_state_dir,
    outbound,
    store::{Reader, RowWriter, Store, WriterOptions},
    telemetry::{self, logs::LevelHandle, metrics::Exposition},
    workers::Workers,
};

pub use self::globus::compute;
use self::opened::Opened;

/// The longest that a cluster's `status_url` may take; its own setting is usually shorter.
const STATUS_TIMEOUT: Duration = Duration::from_mins(1);

/// How long results that have been read from a service may take to be stored at the end.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// How long the last rows may take to be written at the end.
const FLUSH_DEADLINE: Duration = Duration::from_secs(10);

/// Why the gateway does not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration does not allow it.
    #[error("{0}")]
    Configuration(String),
    /// Another process is at it.
    #[error("{0}")]
    Busy(String),
    /// Anything else.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// Reads the configuration anew.
pub type Reread = Box<dyn Fn() -> Result<Loaded, ConfigError> + Send + Sync>;

/// What `serve` starts with.
pub struct Start {
    /// The configuration.
    pub config: Config,
    /// Reads it again on SIGHUP; `None` when there is no file behind it.
    pub reread: Option<Reread>,
    /// Changes the log level on SIGHUP.
    pub level: LevelHandle,
    /// The store, when it is open already.
    pub store: Option<Arc<dyn Store>>,
    /// Said on standard output once requests are served.
    pub greeting: Option<String>,
    /// Whether to take the place of a process that serves with the same state directory.
    pub take_over: bool,
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// What keeps it from starting, in one line that says what to do.
pub async fn serve(start: Start) -> Result<(), ServeError> {
    let Start { config, reread, level, store, greeting, take_over } = start;
    // From here on a signal does what it should, also while the parts are still being started.
    let mut signals = lifecycle::Signals::listen().context("cannot listen for signals")?;
    let metrics = config.telemetry.metrics.then(telemetry::metrics::install).transpose()?;
    telemetry::traces::start(&config.telemetry)?;
    let streams = streams::hub(&config)?;
    let opened = tokio::select! {
        opened = Opened::open(&config, store, take_over) => opened?,
        signal = signals.end() => {
            tracing::info!(signal, "stopped before anything was served");
            return Ok(());
        }
    };
    let Opened { store, reader, resolve, catalog, cache, logins, listeners, predecessor } = opened;
    let instance = instance_name(&config);
    make_state_dir(&config.server.state_dir)?;
    let staging = staging::area(&config)?;
    // Before the first stream is opened, so that its posts find their way from anywhere.
    let _streams_connected = streams::connect(streams.as_ref(), &config, &cache).await;
    let writer = RowWriter::start(Arc::clone(&store), writer_options(&config, &instance));
    let compute = globus::compute(&config, cache.clone())?;
    let readiness = Readiness::new(instance, Arc::clone(&catalog), writer.clone())
        .with_grace(config.server.drain_grace)
        .with_replicas(reader.clone())
        .with_cache(cache.clone())
        .with_logins(logins.clone());
    let dashboard = dashboard::dashboard(&config, &reader, &cache)?;
    let app = Arc::new(App {
        dashboard,
        auth: Authenticator::new(logins),
        readiness: Arc::new(readiness),
        gateway: gateway(
            &config,
            Arc::clone(&catalog),
            (Arc::clone(&store), reader),
            &writer,
            Limits::start(cache, config.instances.len()).await,
            Elsewhere { compute, streams, staging },
        )?,
    });
    allow_descriptors(config.server.max_connections);
    let workers = Workers::start(worker_count(&config)).context("cannot start threads")?;

    let reload = Arc::new(Notify::new());
    let refresh = Arc::new(Notify::new());
    let following = batches::Following::start(&config, &app, Arc::clone(&store));
    let upkeep = upkeep::Keeping::start(&config.retention, Arc::clone(&store));
    looks::look_around(&app, &store, &config);
    tokio::spawn(catalog::watch::follow(catalog, store, resolve, Arc::clone(&refresh)));
    tokio::spawn(backups::watch(config.clone()));
    tokio::spawn(telemetry::metrics::watch_disk(config.server.state_dir.clone()));
    tokio::spawn(forget_what_is_idle(Arc::clone(&app)));
    probe_endpoints(&app)?;
    app.gateway.tasks.follow();
    tokio::spawn(
        reload::Reload {
            reread,
            level: level.clone(),
            running: config.clone(),
            app: Arc::clone(&app),
            refresh,
            tls: listeners.tls.clone(),
            retention: upkeep.retention(),
        }
        .follow(Arc::clone(&reload)),
    );
    let stop = Stop::default();
    let admin_routes = admin_routes(&config, &app, metrics, Arc::clone(&reload), level)?;
    let admin_deaf = CancellationToken::new();
    let relieved = listeners.offer(&config, &stop, &admin_deaf);
    let servers = listeners.serve(&config, &app, admin_routes, workers, &stop, admin_deaf.clone());
    tracing::info!(
        listen = %config.server.listen,
        admin = %config.server.admin_listen,
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    service_manager::begin();
    if let Some(predecessor) = predecessor {
        predecessor.relieve().await;
    }
    if let Some(greeting) = greeting {
        greet(&greeting);
    }

    let stopping = lifecycle::Stopping {
        app: Arc::clone(&app),
        stop,
        grace: config.server.drain_grace,
        deadline: config.server.drain_timeout,
        admin_deaf,
        reload,
        relieved,
    };
    stopping.run(signals, servers).await;
    finish(following, upkeep, &app, writer).await;
    tracing::info!("stopped");
    Ok(())
}

/// Ends what is under way without a caller, and writes the last rows.
async fn finish(
    following: Option<batches::Following>,
    upkeep: upkeep::Keeping,
    app: &App,
    writer: RowWriter,
) {
    tokio::join!(
        async {
            if let Some(following) = following {
                following.stop().await;
            }
        },
        app.gateway.tasks.stop(READ_DEADLINE),
        app.gateway.limits.leave(),
        upkeep.stop(),
    );
    writer.flush_and_stop(FLUSH_DEADLINE).await;
    telemetry::traces::finish().await;
}

/// A connection may need a second one to a back end; most systems allow a process 1,024 files
/// unless it asks for more.
fn allow_descriptors(max_connections: u32) {
    const FOR_THE_REST: u64 = 256;
    let wanted = 2 * u64::from(max_connections) + FOR_THE_REST;
    let (soft, _) = rlimit::Resource::NOFILE.get().unwrap_or_default();
    let allowed =
        if soft < wanted { rlimit::increase_nofile_limit(wanted).unwrap_or(soft) } else { soft };
    // Most connections are idle, or answered without one to a back end.
    if allowed < wanted - u64::from(max_connections) {
        tracing::warn!(
            allowed,
            wanted,
            "server.max_connections needs more open files than this process may have; raise LimitNOFILE= or ulimit -n"
        );
    }
}

fn make_state_dir(path: &Path) -> anyhow::Result<()> {
    let probe = path.join(".writable");
    create_state_dir(path)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe))
        .with_context(|| {
            format!(
                "cannot write to {}; set server.state_dir to a directory where figw may write",
                path.display()
            )
        })
}

fn writer_options(config: &Config, instance: &str) -> WriterOptions {
    WriterOptions {
        flush_interval: config.database.flush_interval,
        ..WriterOptions::new(config.server.state_dir.join("spool"), instance)
    }
}

/// What reaches out to Globus, as far as it is configured.
struct Elsewhere {
    compute: Option<Compute>,
    streams: Option<StreamHub>,
    staging: Option<StagingArea>,
}

fn gateway(
    config: &Config,
    catalog: Arc<Catalog>,
    (store, reader): (Arc<dyn Store>, Reader),
    writer: &RowWriter,
    limits: Arc<Limits>,
    elsewhere: Elsewhere,
) -> anyhow::Result<Gateway> {
    let status_client = outbound::client(STATUS_TIMEOUT).context("cannot set up HTTPS")?;
    Ok(Gateway {
        catalog,
        rows: writer.clone(),
        client: DirectClient::new(ClientOptions {
            connect_timeout: config.gateway.connect_timeout,
            max_idle_per_host: config.gateway.max_idle_per_host as usize,
            workers: worker_count(config),
        }),
        batches: Batches::new(Arc::clone(&store), reader),
        tasks: Tasks::new(store, elsewhere.compute.clone()),
        compute: elsewhere.compute,
        streams: elsewhere.streams,
        staging: elsewhere.staging,
        manifests: Manifests::new(status_client.clone()),
        job_lists: JobLists::new(status_client),
        settings: ArcSwap::from_pointee(settings(config)),
        lines: Lines::new(Arc::clone(&limits)),
        limits,
        rooms: Rooms::default(),
        in_flight: InFlight::default(),
    })
}

fn settings(config: &Config) -> Settings {
    Settings {
        requests_per_second: config.limits.requests_per_second_per_user,
        max_active_batches: config.limits.max_active_batches_per_user,
        budgets: Budgets {
            first_byte: config.gateway.first_byte_timeout,
            idle: config.gateway.idle_timeout,
            total: config.gateway.request_timeout,
        },
        routing: routing(&config.gateway),
        prompts: config.logging.prompts,
        max_body_bytes: usize::try_from(config.server.max_body_bytes).unwrap_or(usize::MAX),
        body_timeout: config.server.body_timeout,
    }
}

fn routing(gateway: &config::Gateway) -> Routing {
    Routing {
        breaker: BreakerPolicy { max_fails: gateway.max_fails, fail_timeout: gateway.fail_timeout },
        max_attempts: gateway.max_attempts,
        attempt_timeout: gateway.attempt_timeout,
        waiting_room: gateway.waiting_room,
        waiting_timeout: gateway.waiting_timeout,
        probe_interval: gateway.probe_interval,
    }
}

fn admin_routes(
    config: &Config,
    app: &Arc<App>,
    metrics: Option<Exposition>,
    reload: Arc<Notify>,
    level: LevelHandle,
) -> Result<BoxedFilter<(Response,)>, ServeError> {
    let token = config.server.admin_token.as_ref().map(Secret::reveal).transpose();
    let token = token.map_err(|error| ServeError::Configuration(error.to_string()))?;
    Ok(http::admin::routes(&Arc::new(Admin {
        app: Arc::clone(app),
        metrics,
        reload,
        level,
        token,
    })))
}

/// As many as configured, or else one per core.
fn worker_count(config: &Config) -> usize {
    match config.server.worker_threads {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        threads => threads as usize,
    }
}

/// Every 15 seconds: users who have spent nothing lately, and endpoints that are no longer in the catalogue.
async fn forget_what_is_idle(app: Arc<App>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(15));
    loop {
        ticks.tick().await;
        app.gateway.limits.forget_idle();
        let snapshot = app.gateway.catalog.snapshot();
        app.gateway.lines.retain(|slug| snapshot.by_slug(slug).is_some());
        app.gateway.rooms.retain(|model| snapshot.federated(model).is_some());
    }
}

/// Asks endpoints that requests are kept from how they are.
fn probe_endpoints(app: &Arc<App>) -> anyhow::Result<()> {
    let client = outbound::direct_client(STATUS_TIMEOUT).context("cannot set up HTTPS")?;
    let app = Arc::clone(app);
    tokio::spawn(async move { app.gateway.probe(client).await });
    Ok(())
}

/// The machine's name with the port: what an instance is called.
#[must_use]
pub fn instance_name(config: &Config) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "figw" } else { host.trim() };
    format!("{host}:{}", config.server.listen.port())
}

#[allow(clippy::print_stdout, reason = "the greeting is the result of `serve --dev`")]
fn greet(greeting: &str) {
    println!("{greeting}");
}
