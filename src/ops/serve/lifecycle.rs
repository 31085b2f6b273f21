//! Signals, and stopping in order: unready, grace, no new connections, the rest up to a deadline.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
    task::JoinHandle,
    time::sleep,
};

use tokio_util::sync::CancellationToken;

use super::service_manager;
use crate::{
    http::{App, server::Stop},
    telemetry::logs,
};

/// How long the tasks of cut connections may take to end.
const ACCOUNTS_CLOSE: Duration = Duration::from_secs(1);

/// What stopping takes.
pub(super) struct Stopping {
    /// What is served.
    pub(super) app: Arc<App>,
    /// Stops the listeners.
    pub(super) stop: Stop,
    /// How long `/ready` says no before the listener closes.
    pub(super) grace: Duration,
    /// How long requests in flight may then take.
    pub(super) deadline: Duration,
    /// Stops the admin listener's accepting.
    pub(super) admin_deaf: CancellationToken,
    /// Notified on SIGHUP.
    pub(super) reload: Arc<Notify>,
    /// Notified when a successor serves on the same sockets.
    pub(super) relieved: Arc<Notify>,
}

/// Why the process is to end.
enum End {
    Signal(&'static str),
    /// Another process serves in its place.
    Relieved,
}

/// The signals that the process listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over from the system's own handling, which would end the process.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to end.
    pub(super) async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

impl Stopping {
    /// Waits for the first signal to end, then stops `servers` in order. A second signal ends the
    /// process at once.
    pub(super) async fn run(self, mut signals: Signals, mut servers: JoinHandle<()>) {
        let end = loop {
            tokio::select! {
                _ = signals.hangup.recv() => self.reload.notify_one(),
                _ = signals.terminate.recv() => break End::Signal("SIGTERM"),
                _ = signals.interrupt.recv() => break End::Signal("SIGINT"),
                () = self.relieved.notified() => break End::Relieved,
            }
        };
        match end {
            End::Signal(signal) => {
                service_manager::stopping();
                tracing::info!(signal, grace = ?self.grace, "stopping: /ready answers 503");
            }
            End::Relieved => {
                tracing::info!("another process has taken over; finishing what was begun");
                self.stop.deaf.cancel();
                self.admin_deaf.cancel();
            }
        }
        self.app.readiness.stop();
        self.stop.closing.store(true, Ordering::Relaxed);
        tokio::select! {
            () = self.wind_down(&mut servers) => {}
            () = self.leave_admin() => {}
            second = signals.end() => {
                tracing::warn!(signal = second, "stopping at once");
                // Rows are in the spool or lost with the requests that are cut.
                logs::finish();
                std::process::exit(1);
            }
        }
    }

    /// Leaves the admin listener to a process that is started meanwhile.
    async fn leave_admin(&self) {
        self.relieved.notified().await;
        self.admin_deaf.cancel();
        std::future::pending::<()>().await;
    }

    async fn wind_down(&self, servers: &mut JoinHandle<()>) {
        sleep(self.grace).await;
        self.stop.deaf.cancel();
        self.stop.soft.cancel();
        let in_flight = self.app.gateway.in_flight.count();
        tracing::info!(in_flight, "no longer accepting connections");
        let deadline = Instant::now() + self.deadline;
        let finished = tokio::time::timeout_at(deadline.into(), &mut *servers).await;
        if finished.is_err() {
            let in_flight = self.app.gateway.in_flight.count();
            tracing::warn!(in_flight, "cutting requests: server.drain_timeout is over");
        }
        self.admin_deaf.cancel();
        self.stop.hard.cancel();
        if finished.is_err() {
            let _ = servers.await;
        }
        self.wait_for_the_rest(deadline.max(Instant::now() + ACCOUNTS_CLOSE)).await;
    }

    /// Cut connections close their accounts as their tasks are dropped, and batches are submitted for
    /// callers who have hung up.
    async fn wait_for_the_rest(&self, deadline: Instant) {
        while self.app.gateway.in_flight.count() > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
    }
}
