//! `figw rolling-restart`: one instance at a time, and only while all others are ready. The first
//! thing that goes wrong stops everything.

mod instance;
mod progress;
mod run;

use std::time::Duration;

use serde::Serialize;

use self::{instance::Instance, progress::Progress};
use crate::config::{Config, Secret};
pub use run::Fleet;

/// What an instance is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Are all others ready?
    Check,
    /// It is told to take no more requests.
    Drain,
    /// Its requests in flight are finished.
    Wait,
    /// Its command runs.
    Restart,
    /// A new process must become ready.
    Ready,
    /// It must stay ready, and answer as well as the others.
    Watch,
}

impl Step {
    /// For people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Check => "looking whether all others are ready",
            Self::Drain => "draining",
            Self::Wait => "finishing requests",
            Self::Restart => "restarting",
            Self::Ready => "waiting until it is ready",
            Self::Watch => "watching",
        }
    }
}

/// What has happened, as it happens.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// The run begins.
    Begun {
        /// The instances that are to be restarted, in this order.
        instances: Vec<String>,
    },
    /// An instance comes to a step.
    Step {
        /// Its name.
        instance: String,
        /// The step.
        step: Step,
        /// Requests in flight, where they are waited for.
        #[serde(skip_serializing_if = "Option::is_none")]
        in_flight: Option<u64>,
    },
    /// An instance is done.
    Restarted {
        /// Its name.
        instance: String,
        /// How long it took.
        seconds: f64,
    },
    /// An instance was let go as it was: it takes requests again.
    Undrained {
        /// Its name.
        instance: String,
    },
    /// The run has stopped at an instance; nothing follows.
    Stopped(Stopped),
    /// The run was interrupted; nothing follows.
    Interrupted {
        /// The instance that was drained or restarted, if one was.
        instance: Option<String>,
        /// How it was left.
        state: Option<String>,
    },
    /// The run has ended well.
    Finished {
        /// How long it took.
        seconds: f64,
    },
}

/// Where a run has stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{instance}: {doing}: {reason}; {state}; {remedy}", doing = .step.describe())]
pub struct Stopped {
    /// The instance.
    pub instance: String,
    /// What it was at.
    pub step: Step,
    /// What was seen.
    pub reason: String,
    /// How the instance was left.
    pub state: String,
    /// How to go on.
    pub remedy: String,
}

/// How an instance is left by a run that goes no further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Left {
    /// The run had not come to it.
    #[error("nothing was done to it")]
    Untouched,
    /// The old process, which serves.
    #[error("it takes requests again")]
    Serving,
    /// The old process, which could not be told to serve, and why.
    #[error("it is still drained, for {0}: look after it; the others serve")]
    Drained(String),
    /// A new process.
    #[error("its process is a new one: look after it; the others serve")]
    Replaced,
    /// Nobody answers there, and how.
    #[error("it does not answer ({0}): look after it; the others serve")]
    Silent(String),
    /// Restarted and ready, but not well.
    #[error("it is left as it is; the others serve")]
    AsItIs,
}

/// What stopped a run.
#[derive(Debug, thiserror::Error)]
pub enum RollingError {
    /// The configuration or the command line does not allow it.
    #[error("{0}")]
    Invalid(String),
    /// Another run is at it.
    #[error("another rolling restart is running (it holds {0}); wait for its end")]
    Busy(String),
    /// An instance did not do what it should.
    #[error("{0}")]
    Stopped(Stopped),
    /// Anything else.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// What is to be restarted.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Only these; all when there are none.
    pub only: Vec<String>,
    /// Whether to go on where the last run stopped.
    pub resume: bool,
}

/// Seconds for a report.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

impl Fleet {
    /// The fleet of this configuration, as far as it is to be restarted. Nobody is asked yet.
    ///
    /// # Errors
    /// When there are no instances, one has no command, or the order makes no sense.
    pub fn new(config: &Config, order: &Order) -> Result<Self, RollingError> {
        let invalid = |why: String| Err(RollingError::Invalid(why));
        if config.instances.is_empty() {
            return invalid(
                "instances is empty: list the processes of the fleet there, each with name, url, \
                 admin_url and restart"
                    .to_owned(),
            );
        }
        for name in &order.only {
            if !config.instances.iter().any(|instance| instance.name == *name) {
                let known: Vec<_> = config.instances.iter().map(|one| one.name.as_str()).collect();
                return invalid(format!(
                    "--only {name}: there is no such instance; there are {}",
                    known.join(", ")
                ));
            }
        }
        let progress = Progress::of(order, &config.server.state_dir)?;
        let token = config.server.admin_token.as_ref().map(Secret::reveal).transpose();
        let token = token.map_err(|error| RollingError::Invalid(error.to_string()))?;
        let (mut instances, mut todo) = (Vec::new(), Vec::new());
        for instance in &config.instances {
            let is_wanted = match &order.only[..] {
                [] => !progress.is_done(&instance.name),
                only => only.contains(&instance.name),
            };
            if is_wanted {
                if instance.restart.is_empty() {
                    return invalid(format!(
                        "instance {} has no restart command; set it to a list such as [ssh, {}, \
                         sudo, systemctl, restart, figw]",
                        instance.name, instance.name
                    ));
                }
                todo.push(instances.len());
            }
            instances.push(Instance::new(instance, token.clone())?);
        }
        Ok(Self::of(instances, todo, config.rolling_restart.clone(), progress))
    }
}
