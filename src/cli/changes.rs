//! What every command that changes the catalogue does: compute, apply, report.

use serde::Serialize;

use super::{Context, Failure, Outcome, table::Table};
use crate::{
    catalog::{
        Fault, Kind,
        edits::{self, Change, Objects, RemoveRefusal},
    },
    store::{CatalogData, StoreError},
};

/// What has been changed, for the printed report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) changes: Vec<Change>,
    pub(super) warnings: Vec<String>,
}

impl Report {
    pub(super) fn print(&self, context: &Context) -> Result<Outcome, Failure> {
        self.warn(context);
        context.print(self, self.table())?;
        Ok(Outcome::Done)
    }

    pub(super) fn warn(&self, context: &Context) {
        for warning in &self.warnings {
            context.hint(format_args!("warning: {warning}"));
        }
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(&["RESULT", "KIND", "NAME"]);
        for change in &self.changes {
            table.row([
                change.action.as_str().into(),
                change.kind.to_string(),
                change.name.clone(),
            ]);
        }
        table
    }
}

/// Why a change was not made, before it becomes the command's [`Failure`].
#[derive(Debug)]
pub(super) struct Refused(pub(super) Failure);

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<Vec<Fault>> for Refused {
    fn from(faults: Vec<Fault>) -> Self {
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        Self(anyhow::anyhow!("{}", lines.join("\n")).into())
    }
}

impl From<RemoveRefusal> for Refused {
    fn from(refusal: RemoveRefusal) -> Self {
        Self(anyhow::Error::new(refusal).into())
    }
}

/// Puts what `wanted` makes of the stored catalogue in place, and reports it.
pub(super) async fn put(
    context: &Context,
    mut wanted: impl FnMut(&CatalogData) -> Result<Objects, Failure>,
) -> Result<Outcome, Failure> {
    let store = context.store().await?;
    let changes = edits::apply(store.as_ref(), |current| {
        let plan = edits::put(current, &wanted(current)?)?;
        Ok::<_, Refused>((plan.edits, plan.changes))
    })
    .await
    .map_err(|Refused(failure)| failure)?;
    Report { changes, warnings: Vec::new() }.print(context)
}

/// Removes one object after asking, and reports it.
pub(super) async fn remove(context: &Context, kind: Kind, name: &str) -> Result<Outcome, Failure> {
    let store = context.store().await?;
    // Refusals come before the question: nobody should confirm what cannot be done.
    edits::remove(&store.catalog().await?, kind, name).map_err(anyhow::Error::new)?;
    context.confirm(&format!("Remove {kind} `{name}`?"))?;
    let changes = edits::apply(store.as_ref(), |current| {
        let plan = edits::remove(current, kind, name)?;
        Ok::<_, Refused>((plan.edits, plan.changes))
    })
    .await
    .map_err(|Refused(failure)| failure)?;
    Report { changes, warnings: Vec::new() }.print(context)
}

/// An error for a name that nothing has, with the names that there are.
pub(super) fn missing<'a>(kind: Kind, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let nearest = known
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, known)) => anyhow::anyhow!("there is no {kind} `{name}`; did you mean `{known}`?"),
        None => anyhow::anyhow!("there is no {kind} `{name}`; see `figw {kind} list`"),
    }
    .into()
}

/// A list from a flag: commas and repetitions are one list, an empty value clears it.
pub(super) fn list(values: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    for value in values {
        let value = value.trim();
        if !value.is_empty() && !kept.iter().any(|known| known == value) {
            kept.push(value.to_owned());
        }
    }
    kept
}

/// A value that a flag must give when there is nobody to ask.
pub(super) fn missing_flag(flag: &str, example: &str) -> Failure {
    Failure::usage(format!("{flag} is missing; give it as {flag} {example}"))
}
