//! Whether the database answers, with the schema that this program expects.

use super::{Finding, State, Subject};
use crate::{
    ops::database,
    store::{Location, StoreError},
};

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
