//! Whether the database answers, with the schema that this program expects.

use std::time::Duration;

use super::{Finding, Measure, State, Subject};
use crate::{
    ops::database,
    store::{Location, Reader, StoreError},
};

/// How long replicas may take to be well.
const LONGEST: Duration = Duration::from_secs(5);

pub(super) async fn check(subject: &Subject) -> Option<Finding> {
    let options = match database::options(&subject.config) {
        Ok(options) => options,
        Err(error) => return Some(Finding::new(State::Unknown, error.to_string())),
    };
    // Opening an SQLite file creates it, and looking must change nothing.
    if let Ok(Location::Sqlite(path)) = options.location()
        && !path.exists()
    {
        let evidence = format!("{} does not exist; run `figw migrate`", path.display());
        return Some(Finding::new(State::Critical, evidence));
    }
    Some(match database::open(&options).await {
        Ok(store) => Finding::new(State::Ok, format!("{}: schema current", store.describe())),
        Err(error @ StoreError::Invalid(_)) => Finding::new(State::Unknown, error.to_string()),
        Err(error) => Finding::new(State::Critical, error.to_string()),
    })
}

/// Whether every replica may be read from. None of them has to be.
pub(super) async fn replicas(subject: &Subject) -> Option<Finding> {
    if subject.config.database.read_replicas.is_empty() {
        return None;
    }
    Some(survey(subject).await.unwrap_or_else(|error| Finding::new(State::Unknown, error)))
}

async fn survey(subject: &Subject) -> Result<Finding, String> {
    let options = database::options(&subject.config).map_err(|error| error.to_string())?;
    let limit = options.replica_max_lag;
    let primary = database::open(&options).await.map_err(|error| error.to_string())?;
    let reader = Reader::open(&options, primary).map_err(|error| error.to_string())?;
    let conditions = reader.survey(LONGEST).await;
    let complaints = conditions
        .iter()
        .filter_map(|(name, condition)| Some(format!("{name} {}", condition.complaint()?)));
    let complaints: Vec<_> = complaints.collect();
    let finding = if complaints.is_empty() {
        Finding::new(State::Ok, format!("{} well", conditions.len()))
    } else {
        Finding::new(State::Warning, format!("not read from: {}", complaints.join("; ")))
    };
    let lag = conditions.iter().filter_map(|(_, condition)| condition.lag()).max();
    Ok(finding.measuring(lag.map(|lag| Measure {
        name: "replica_lag",
        value: lag.as_secs_f64(),
        warning: Some(limit.as_secs_f64()),
        critical: None,
    })))
}
