//! What only a person can attest: asked once, kept with name and date, and asked again after a while.
//!
//! The file is in `server.state_dir`, because some of it is about this machine (its firewall); what
//! several machines share can be one file (`doctor.attestations`). It is plain JSON, so that it can
//! be read, and kept with the configuration.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Finding, Subject};
use crate::{
    config::Config,
    ops::{anew::create_state_dir, backup::repository::write_synced},
};

/// What is asked, by the name under which it is kept.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "load_test",
        "A load test with the traffic that is expected was made against this deployment, and went well",
    ),
    (
        "recovery_plan",
        "There is a written plan for a recovery, and those who would carry it out have read it",
    ),
    ("firewall", "The firewall's rules were reviewed: only what must be reached can be"),
    (
        "on_call",
        "Somebody is on call, knows how to reach the operators of each cluster, and gets the alerts",
    ),
];

/// What somebody has attested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What else there is to say: where the plan is, for instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

type Kept = BTreeMap<String, Attestation>;

/// The names of what can be attested.
pub fn names() -> impl Iterator<Item = &'static str> {
    QUESTIONS.iter().map(|(name, _)| *name)
}

/// What a person attests under that name.
#[must_use]
pub fn question(name: &str) -> Option<&'static str> {
    QUESTIONS.iter().find(|(known, _)| *known == name).map(|(_, question)| *question)
}

/// What has not been attested, or too long ago.
///
/// # Errors
/// When the file cannot be read.
pub fn missing(config: &Config) -> anyhow::Result<Vec<(&'static str, &'static str)>> {
    let (kept, now) = (read(&place(config))?, Timestamp::now());
    let is_missing = |name: &str| kept.get(name).is_none_or(|found| is_over(config, found, now));
    Ok(QUESTIONS.iter().copied().filter(|(name, _)| is_missing(name)).collect())
}

/// Keeps what somebody attests.
///
/// # Errors
/// When the file cannot be read or written.
pub fn keep(config: &Config, name: &str, attestation: Attestation) -> anyhow::Result<PathBuf> {
    let path = place(config);
    let directory = path.parent().unwrap_or(Path::new("."));
    create_state_dir(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let mut kept = read(&path)?;
    kept.insert(name.to_owned(), attestation);
    write_synced(&path, &serde_json::to_vec_pretty(&kept)?)?;
    Ok(path)
}

fn place(config: &Config) -> PathBuf {
    let usual = || config.server.state_dir.join("attestations.json");
    config.doctor.attestations.clone().unwrap_or_else(usual)
}

fn read(path: &Path) -> anyhow::Result<Kept> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Kept::new()),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    serde_json::from_slice(&text).with_context(|| format!("{} makes no sense", path.display()))
}

fn is_over(config: &Config, found: &Attestation, now: Timestamp) -> bool {
    let valid = SignedDuration::try_from(config.doctor.attestation_valid).unwrap_or_default();
    now.duration_since(found.at) > valid
}

pub(super) fn find(subject: &Subject, name: &str) -> Finding {
    let config = subject.config();
    let kept = match read(&place(config)) {
        Ok(kept) => kept,
        Err(error) => {
            return Finding::fail(format!("{error:#}"), "make the file readable for figw");
        }
    };
    let remedy = format!("figw doctor --attest {name} --by NAME --note WHERE");
    let question = question(name).unwrap_or_default();
    match kept.get(name) {
        None => Finding::fail(format!("nobody has attested: {question}"), remedy),
        Some(found) => {
            let note = found.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            let told = format!("attested by {} at {:.0}{note}", found.by, found.at);
            if is_over(config, found, subject.now) {
                Finding::warn(format!("{told}, too long ago"), remedy)
            } else {
                Finding::pass(told)
            }
        }
    }
}
