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

/// How far ahead the clock of another machine may have been.
const LEEWAY: SignedDuration = SignedDuration::from_hours(1);

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

/// What can be attested: the name under which it is kept, and what is asked.
pub fn catalogue() -> impl Iterator<Item = (&'static str, &'static str)> {
    QUESTIONS.iter().copied()
}

/// The names of what can be attested.
pub fn names() -> impl Iterator<Item = &'static str> {
    catalogue().map(|(name, _)| name)
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
    let counts = |found: &Attestation| complaint(config, found, now).is_none();
    let is_missing = |name: &str| !kept.get(name).is_some_and(counts);
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
    serde_json::from_slice(&text).with_context(|| {
        let path = path.display();
        format!("{path} makes no sense; move it away, and attest anew what it held")
    })
}

/// Why an attestation no longer counts, or does not yet.
fn complaint(config: &Config, found: &Attestation, now: Timestamp) -> Option<&'static str> {
    let valid = SignedDuration::try_from(config.doctor.attestation_valid).unwrap_or_default();
    match now.duration_since(found.at) {
        age if age < -LEEWAY => Some("which is yet to come"),
        age if age > valid => Some("too long ago"),
        _ => None,
    }
}

impl Attestation {
    /// Who has attested it, and when.
    fn told(&self) -> String {
        let note = self.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        format!("attested by {} at {:.0}{note}", self.by, self.at)
    }
}

/// Who has attested this and when, as long as it counts.
pub(super) fn in_force(subject: &Subject, name: &str) -> Option<String> {
    let config = subject.config();
    let kept = read(&place(config)).ok()?;
    let found = kept.get(name).filter(|found| complaint(config, found, subject.now).is_none());
    found.map(Attestation::told)
}

pub(super) fn find(subject: &Subject, name: &str) -> Finding {
    let config = subject.config();
    let path = place(config);
    let remedy = format!("figw doctor --attest {name} --by NAME --note WHERE");
    let kept = match read(&path) {
        Ok(kept) => kept,
        Err(error) => {
            let way_out = if error.is::<serde_json::Error>() {
                let path = path.display();
                format!("`mv {path} {path}.broken`, look there for who and when, and {remedy}")
            } else {
                format!("let whoever runs `figw doctor` read {}", path.display())
            };
            return Finding::fail(format!("{error:#}"), way_out);
        }
    };
    let question = question(name).unwrap_or_default();
    match kept.get(name) {
        None => Finding::fail(format!("nobody has attested: {question}"), remedy),
        Some(found) => match complaint(config, found, subject.now) {
            Some(complaint) => Finding::warn(format!("{}, {complaint}", found.told()), remedy),
            None => Finding::pass(found.told()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, subject::tests::subject};
    use super::*;

    #[tokio::test]
    async fn an_attestation_counts_from_its_day_on_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let yaml = format!("server: {{state_dir: {}}}", directory.path().display());
        let subject = subject(&yaml).await;
        for (hours, outcome, word) in [
            (0, Outcome::Pass, "attested by Ada at 2"),
            (-364 * 24, Outcome::Pass, "attested by Ada at 2"),
            (-366 * 24, Outcome::Warn, "too long ago"),
            (2, Outcome::Warn, "yet to come"),
            (70 * 365 * 24, Outcome::Warn, "yet to come"),
        ] {
            let at = subject.now + SignedDuration::from_hours(hours);
            let by = Attestation { by: "Ada".to_owned(), at, note: None };
            keep(subject.config(), "on_call", by).unwrap();
            let found = find(&subject, "on_call");
            assert_eq!(found.outcome, outcome, "{hours}: {found:?}");
            assert!(found.evidence.contains(word), "{found:?}");
            let is_asked_for = missing(subject.config()).unwrap().iter().any(|m| m.0 == "on_call");
            assert_eq!(is_asked_for, outcome != Outcome::Pass, "{hours}");
            assert_eq!(in_force(&subject, "on_call").is_some(), !is_asked_for, "{hours}");
        }
    }

    #[tokio::test]
    async fn a_broken_file_names_the_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let yaml = format!("server: {{state_dir: {}}}", directory.path().display());
        let subject = subject(&yaml).await;
        fs::write(directory.path().join("attestations.json"), "{\n\"on_call\": 1}").unwrap();
        let found = find(&subject, "on_call");
        assert_eq!(found.outcome, Outcome::Fail);
        assert!(found.evidence.contains("makes no sense; move it away"), "{found:?}");
        assert!(found.evidence.contains("at line 2"), "{found:?}");
        assert!(found.remedy.unwrap().contains("attestations.json.broken`"));
        fs::remove_file(directory.path().join("attestations.json")).unwrap();
        fs::create_dir(directory.path().join("attestations.json")).unwrap();
        assert!(find(&subject, "on_call").remedy.unwrap().starts_with("let whoever runs"));
    }
}
