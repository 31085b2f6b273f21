//! `figw health --notify`: tells people when the state of a check changes, and reminds them.
//!
//! Each way to tell (a *channel*) remembers for itself what it has told of each instance, in one file
//! under a lock. What could not be sent is not remembered, so the next run tells it: nothing else has
//! to be kept. Where nothing can be remembered, everything is told at every run.

mod decide;
mod memory;
mod message;
mod send;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

pub(super) use self::memory::FILE as MEMORY;
use self::{memory::Memory, message::Message};
use super::health::Report;
use crate::config::Config;

/// How long another run may take to tell people before this one gives up.
const PATIENCE: Duration = Duration::from_mins(2);

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct Notified {
    /// Channels that were told something.
    pub sent: Vec<&'static str>,
    /// Channels that could not be, and why.
    pub failed: Vec<String>,
    /// Why it cannot be remembered what was told: the next run tells it once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<String>,
}

/// Tells whoever the configuration names what is new in `report` about `instance`.
///
/// # Errors
/// When another run is telling people and does not come to an end.
pub async fn notify(config: &Config, instance: &str, report: &Report) -> anyhow::Result<Notified> {
    let channels = send::channels(&config.alerts);
    let now = Timestamp::now();
    // Two runs at once would both tell the same.
    let mut memory = Memory::open(&config.server.state_dir, instance, PATIENCE).await?;
    memory.see(&report.checks, now);
    let mut notified = Notified::default();
    for channel in channels {
        let name = channel.name();
        let told = memory.told_by(name);
        let (changes, told) = decide::decide(&config.alerts, told, &report.checks, now);
        if changes.is_empty() {
            memory.remember(name, told);
            continue;
        }
        let message = Message::new(instance, report.state, &changes, &memory, now);
        match channel.send(&message).await {
            Ok(()) => {
                memory.remember(name, told);
                notified.sent.push(name);
            }
            Err(reason) => notified.failed.push(format!("{name}: {reason}")),
        }
        // What was sent is remembered at once, whatever becomes of the next channel; a disk that takes
        // nothing keeps nobody from being told, and is told of in the end.
        let _ = memory.keep().await;
    }
    notified.forgotten = memory.keep().await.err().map(|error| format!("{error:#}"));
    Ok(notified)
}
