//! What systemd is told (`sd_notify(3)`). Without it, all of this does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}

/// Says that requests are served, and from now on that the process lives.
pub(super) fn begin() {
    ready();
    tokio::spawn(keep_watchdog_quiet());
}

/// Requests are served, by this process: it may have taken another's place.
pub(super) fn ready() {
    notify(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
}

/// The configuration is being read anew; [`ready`] ends that.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot tell systemd the time"),
    }
}

/// The process is about to end.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Says twice in each interval of the unit's `WatchdogSec=` that the runtime still turns.
async fn keep_watchdog_quiet() {
    let Some(interval) = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
    else {
        return;
    };
    let mut ticks = tokio::time::interval((interval / 2).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}
