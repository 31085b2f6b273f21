//! Whether the database answers, with the schema that this program expects.

use std::time::{Duration, Instant};

use super::{Finding, Measure, State, Subject};
use crate::store::{Location, Reader, Session, explain};

/// How long replicas may take to be well.
const LONGEST: Duration = Duration::from_secs(5);

pub(super) async fn check(subject: &Subject) -> Option<Finding> {
    let store = match subject.store().await {
        Ok(store) => store,
        Err(finding) => return Some(finding),
    };
    let begun = Instant::now();
    let found = tokio::time::timeout(LONGEST, async {
        store.catalog_version().await.map_err(|error| error.to_string())?;
        refuse_read_only(subject).await
    });
    let found = found.await.unwrap_or_else(|_| Err("no answer within 5 s".to_owned()));
    let took = begun.elapsed().as_secs_f64();
    let finding = match found {
        Ok(()) => Finding::new(State::Ok, format!("{}: schema current", store.describe())),
        Err(error) => Finding::new(State::Critical, format!("{}: {error}", store.describe())),
    };
    Some(finding.measuring([Measure::seconds("database_time", took)]))
}

/// A server that takes no writes answers everything else.
async fn refuse_read_only(subject: &Subject) -> Result<(), String> {
    let options = subject.store_options().map_err(|finding| finding.evidence)?;
    let Ok(Location::Postgres(url)) = options.location() else { return Ok(()) };
    let session = Session::open(&url, &options).await.map_err(|error| error.to_string())?;
    let setting = "SELECT current_setting('transaction_read_only')";
    let rows = session.client.query_typed(setting, &[]).await.map_err(|error| explain(&error))?;
    match rows.first().map(|row| row.try_get::<_, String>(0)) {
        Some(Ok(setting)) if setting == "off" => Ok(()),
        _ => {
            Err("it takes no writes (transaction_read_only is on): rows wait in the spool; bring \
                  the primary back, or set default_transaction_read_only to off"
                .to_owned())
        }
    }
}

/// Whether every replica may be read from. None of them has to be.
pub(super) async fn replicas(subject: &Subject) -> Option<Finding> {
    if subject.config.database.read_replicas.is_empty() {
        return None;
    }
    Some(survey(subject).await.unwrap_or_else(|error| Finding::new(State::Unknown, error)))
}

async fn survey(subject: &Subject) -> Result<Finding, String> {
    let options = subject.store_options().map_err(|finding| finding.evidence)?;
    let limit = options.replica_max_lag;
    let primary = subject.store().await.map_err(|finding| finding.evidence)?.clone();
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
    Ok(finding.measuring(lag.map(|lag| {
        Measure::seconds("replica_lag", lag.as_secs_f64()).above(Some(limit.as_secs_f64()), None)
    })))
}
