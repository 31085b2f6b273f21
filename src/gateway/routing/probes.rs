//! Asking endpoints how they are, off the path of any request: those that requests could go to, but do
//! not, because they are out of service or nothing is known of them.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use super::Moment;
use crate::{
    backends::Presence,
    gateway::{
        Gateway,
        lines::{Line, Way},
    },
};

/// Longest wait for the answer to a probe.
const PATIENCE: Duration = Duration::from_secs(3);

/// Probes at one time.
const AT_ONCE: usize = 8;

/// Endpoints that nobody wanted for this long are not asked.
const WANTED: Duration = Duration::from_mins(10);

impl Gateway {
    /// Probes endpoints for as long as it is polled. `client` must take no proxy, as requests do not.
    pub async fn probe(&self, client: reqwest::Client) {
        loop {
            let pause = self.settings.load().routing.probe_interval;
            // Several instances must not ask in step.
            sleep(pause.mul_f64(0.8 + 0.4 * Rng::new().f64())).await;
            let due = self.lines.all().into_iter().filter(|line| is_due(line, Moment::now()));
            stream::iter(due).for_each_concurrent(AT_ONCE, |line| self.ask(line, &client)).await;
        }
    }

    async fn ask(&self, line: Arc<Line>, client: &reqwest::Client) {
        let outcome = match &line.way {
            Ok(Way::Direct(target)) => target.probe(client, PATIENCE).await,
            Ok(Way::GlobusCompute(_) | Way::Metis(_)) => {
                self.look(&line).await;
                match line.vitals.presence() {
                    Presence::Running => Ok(()),
                    other => Err(format!("its model is {other:?}")),
                }
            }
            Ok(Way::Echo(_)) | Err(_) => return,
        };
        if outcome.is_ok() {
            line.vitals.found(Presence::Running);
        }
        line.vitals.probed(&outcome);
    }
}

/// Whether a probe may tell something new about an endpoint that is one of several.
fn is_due(line: &Line, now: Moment) -> bool {
    let vitals = &line.vitals;
    let considered = vitals.last_considered();
    considered != Moment::NEVER
        && now.since(considered) < WANTED
        && (vitals.is_out() || vitals.presence() != Presence::Running)
}
