//! How Globus Compute and its broker are doing, for `/ready` and the log.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::globus::GlobusError;

/// How things stand for one service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The service account's id.
    pub account: String,
    /// Tasks whose results are waited for.
    pub waiting: usize,
    /// The broker that delivers results.
    pub broker: Broker,
    /// What is wrong with the service; `None` when the last request went well.
    pub trouble: Option<Trouble>,
}

/// The connection to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broker {
    /// Switched off: results are asked for.
    Off,
    /// Not connected; results are asked for meanwhile.
    Down(Trouble),
    /// Connected.
    Connected {
        /// Since when.
        since: Timestamp,
    },
}

/// Something that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// What was seen last.
    pub reason: String,
}

/// What is known, kept by those who find out.
#[derive(Debug)]
pub(super) struct Pulse {
    account: String,
    state: Mutex<(Broker, Option<Trouble>)>,
}

impl Pulse {
    pub(super) fn new(account: String, amqp: bool) -> Self {
        let broker = if amqp {
            let reason = "not connected yet".to_owned();
            Broker::Down(Trouble { since: Timestamp::now(), reason })
        } else {
            Broker::Off
        };
        Self { account, state: Mutex::new((broker, None)) }
    }

    pub(super) fn health(&self, waiting: usize) -> Health {
        let (broker, trouble) = self.state().clone();
        Health { account: self.account.clone(), waiting, broker, trouble }
    }

    /// A request was answered, or why it was not. A refusal is an answer.
    pub(super) fn answered(&self, error: Option<&GlobusError>) {
        let error = error.filter(|error| error.refused_with().is_none());
        let mut state = self.state();
        match (error, &mut state.1) {
            (None, None) => {}
            (None, trouble) => {
                *trouble = None;
                tracing::info!(account = self.account, "Globus Compute answers again");
            }
            (Some(error), Some(trouble)) => trouble.reason = error.to_string(),
            (Some(error), trouble) => {
                tracing::warn!(account = self.account, "Globus Compute: {error}");
                *trouble = Some(Trouble { since: Timestamp::now(), reason: error.to_string() });
            }
        }
    }

    pub(super) fn broker_connected(&self) {
        tracing::info!(account = self.account, "connected to Globus Compute's broker");
        self.state().0 = Broker::Connected { since: Timestamp::now() };
    }

    /// Said once in the log, however long it lasts.
    pub(super) fn broker_down(&self, reason: String) {
        let mut state = self.state();
        if let Broker::Down(trouble) = &mut state.0 {
            tracing::debug!(account = self.account, "Globus Compute's broker: {reason}");
            trouble.reason = reason;
            return;
        }
        tracing::warn!(
            account = self.account,
            "Globus Compute's broker is not connected, results are asked for meanwhile: {reason}"
        );
        state.0 = Broker::Down(Trouble { since: Timestamp::now(), reason });
    }

    fn state(&self) -> MutexGuard<'_, (Broker, Option<Trouble>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
