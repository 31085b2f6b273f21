//! `figw backup list`: what is here and what is off-site, as one list.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use indicatif::BinaryBytes;
use serde::Serialize;

use super::super::{Context, Failure, Outcome, progress, table::Table};
use crate::ops::backup::{
    Backups,
    manifest::Manifest,
    offsite::{ONLY_LOCAL, Patience, Remote},
    repository::Stored,
};

/// Arguments of `backup list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Leave out the off-site copies, and ask nobody for them
    #[arg(long)]
    local: bool,
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    id: &'a str,
    /// `good` or `broken`; of what is here, if it is here.
    state: &'static str,
    /// Where it is: `local`, `offsite`.
    #[serde(rename = "where")]
    places: Vec<&'static str>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// What is wrong with its off-site copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    offsite_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<&'a Manifest>,
}

impl<'a> Listed<'a> {
    fn new(id: &'a str, here: Option<&'a Stored>, there: Option<&'a Remote>) -> Self {
        let copy = there.and_then(Remote::manifest);
        let manifest = here.map_or(copy, Stored::manifest);
        let offsite_reason = there.and_then(Remote::reason);
        let mut places = Vec::new();
        if here.is_some() {
            places.push("local");
        }
        if copy.is_some() || (here.is_none() && there.is_some()) {
            places.push("offsite");
        }
        let reason = match here {
            Some(here) => here.state.as_ref().err().map(String::as_str),
            None => offsite_reason,
        };
        Self {
            id,
            state: if manifest.is_some() { "good" } else { "broken" },
            places,
            reason,
            offsite_reason,
            bytes: manifest.map(Manifest::bytes),
            manifest,
        }
    }

    fn row(&self) -> [String; 7] {
        let state = match (self.reason, self.offsite_reason) {
            (Some(reason), _) => format!("broken: {reason}"),
            (None, Some(reason)) => format!("good; off-site: {reason}"),
            (None, None) => self.state.to_owned(),
        };
        let database = self.manifest.and_then(|manifest| manifest.database.as_ref());
        let base = self.manifest.and_then(|manifest| manifest.base.as_ref());
        let identity = database.map(|facts| &facts.identity).or(base.map(|facts| &facts.identity));
        [
            self.id.to_owned(),
            self.manifest.map(|manifest| manifest.kind.to_string()).unwrap_or_default(),
            state,
            self.places.join(", "),
            self.bytes.map(|bytes| BinaryBytes(bytes).to_string()).unwrap_or_default(),
            database.and_then(|facts| facts.schema.clone()).unwrap_or_default(),
            identity.cloned().unwrap_or_default(),
        ]
    }
}

pub(super) async fn run(args: ListArgs, context: &Context) -> Result<Outcome, Failure> {
    let backups = context.backups(Duration::ZERO)?;
    let here = backups.repository().list()?;
    let there = if args.local { Vec::new() } else { offsite(&backups, context).await? };
    let mut all: BTreeMap<&str, (Option<&Stored>, Option<&Remote>)> = BTreeMap::new();
    for stored in &here {
        all.entry(&stored.id).or_default().0 = Some(stored);
    }
    for remote in &there {
        all.entry(&remote.id).or_default().1 = Some(remote);
    }
    let listed: Vec<_> =
        all.into_iter().map(|(id, (here, there))| Listed::new(id, here, there)).collect();
    let mut table = Table::new(&["ID", "KIND", "STATE", "WHERE", "SIZE", "SCHEMA", "DATABASE"]);
    for one in &listed {
        table.row(one.row());
    }
    context.print(&serde_json::json!({ "backups": listed }), table)?;
    Ok(Outcome::Done)
}

/// The off-site copies. When the store is away, what is here is told all the same.
async fn offsite(backups: &Backups, context: &Context) -> Result<Vec<Remote>, Failure> {
    let Some(place) = backups.place(Patience::Question)? else { return Ok(Vec::new()) };
    backups.meter.begin(format!("asking {place}"), 0);
    let _shown = progress::show(&backups.meter, context);
    match place.list().await {
        Ok(there) => Ok(there),
        Err(error) => {
            tracing::warn!("{ONLY_LOCAL}: {error}");
            Ok(Vec::new())
        }
    }
}
