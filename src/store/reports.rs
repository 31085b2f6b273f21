//! Sums of usage, from those that the upkeep keeps and the rows that it has not got to yet: together
//! they are exact at every moment.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::report::{Days, Grouping, UsageSum};

/// Reports for operators.
#[async_trait]
pub trait ReportStore {
    /// The usage of these days: a sum for each member of the group that has any, by name for days and
    /// by the number of requests for the others, the most first; then one for all together.
    async fn usage_sums(&self, by: Grouping, days: Days) -> Result<Vec<UsageSum>, StoreError>;
}

/// The column that a group is told by.
pub(super) const fn column(by: Grouping) -> &'static str {
    match by {
        Grouping::User => "username",
        Grouping::Model => "model",
        Grouping::Cluster => "cluster",
        Grouping::Day => "day",
    }
}

/// How the lines follow each other; the second column is their number of requests.
pub(super) const fn order(by: Grouping) -> &'static str {
    match by {
        Grouping::Day => "name",
        _ => "requests DESC, name",
    }
}
