//! What stands behind the database's keys.

use std::time::Duration;

use super::{Finding, Subject};
use crate::{
    ops::database,
    store::{Reader, StoreError},
};

/// How long replicas may take to be well.
const LONGEST: Duration = Duration::from_secs(5);

/// Each replica is one of this database, another server than the primary, and in time.
pub(super) async fn replicas(subject: &Subject) -> Finding {
    if subject.config.database.read_replicas.is_empty() {
        return Finding::not_applicable("database.read_replicas names none");
    }
    let options = match database::options(&subject.config) {
        Ok(options) => options,
        Err(error) => return Finding::fail(error.to_string(), "see `figw config check`"),
    };
    if let Err(error) = options.replica_locations() {
        return Finding::fail(error.to_string(), "set database.read_replicas to replicas only");
    }
    match survey(&options).await {
        Ok((number, complaints)) if complaints.is_empty() => {
            Finding::pass(format!("{number} well"))
        }
        Ok((_, complaints)) => Finding::warn(
            complaints.join("; "),
            "bring them back, or take them out of database.read_replicas",
        ),
        Err(error) => Finding::warn(
            format!("replicas are measured against the primary: {error}"),
            "bring the primary back, and run `figw doctor` again",
        ),
    }
}

async fn survey(options: &crate::store::StoreOptions) -> Result<(usize, Vec<String>), StoreError> {
    let reader = Reader::open(options, database::open(options).await?)?;
    let conditions = reader.survey(LONGEST).await;
    let complaints = conditions
        .iter()
        .filter_map(|(name, condition)| Some(format!("{name} {}", condition.complaint()?)));
    Ok((conditions.len(), complaints.collect()))
}
