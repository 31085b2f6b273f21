//! `figw migrate`: bring the database to this program's schema.

use std::{io::IsTerminal, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::{Context, Failure, Outcome};
use crate::store::{
    SchemaState, StoreOptions,
    migrate::{self, MigrateError, Progress},
};

/// Bring the database to this program's schema
#[derive(Debug, Clone, Args)]
pub struct MigrateArgs {
    /// Print what would run, and change nothing
    #[arg(long, conflicts_with = "check")]
    pub plan: bool,
    /// Exit with 1 unless the schema is exactly this program's; change nothing
    #[arg(long)]
    pub check: bool,
    /// How long to wait for another migration that is running
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub lock_wait: Duration,
}

/// What `migrate` found and did. The JSON form of all three ways to call it.
#[derive(Debug, Serialize)]
struct Report {
    /// `current`, `behind`, `ahead` or `diverged`; after migrating `current`.
    state: &'static str,
    /// Migrations still to run.
    pending: Vec<String>,
    /// Migrations that this run applied.
    applied: Vec<String>,
    /// The migration that makes the schema `ahead` or `diverged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    migration: Option<String>,
}

impl Report {
    fn of(state: &SchemaState) -> Self {
        let (state, pending, migration) = match state {
            SchemaState::Current => ("current", Vec::new(), None),
            SchemaState::Behind { pending } => ("behind", pending.clone(), None),
            SchemaState::Ahead { newest } => ("ahead", Vec::new(), Some(newest.clone())),
            SchemaState::Diverged { migration } => {
                ("diverged", Vec::new(), Some(migration.clone()))
            }
        };
        Self { state, pending, applied: Vec::new(), migration }
    }
}

/// Runs the command.
///
/// # Errors
/// When the database cannot be reached or migrated, or another run holds its lock.
pub async fn run(args: MigrateArgs, context: &Context) -> Result<Outcome, Failure> {
    let options = context.store_options()?;
    if args.plan {
        plan(&options, context).await
    } else if args.check {
        check(&options, context).await
    } else {
        apply(&options, args.lock_wait, context).await
    }
}

async fn plan(options: &StoreOptions, context: &Context) -> Result<Outcome, Failure> {
    let state = migrate::plan(options).await?;
    let text = match &state {
        SchemaState::Current => "Nothing to do.".to_owned(),
        SchemaState::Behind { pending } => format!("Would apply:\n  {}", pending.join("\n  ")),
        other => other.to_string(),
    };
    context.print(&Report::of(&state), text)?;
    let can_be_applied = matches!(state, SchemaState::Current | SchemaState::Behind { .. });
    Ok(if can_be_applied { Outcome::Done } else { Outcome::NotGood })
}

async fn check(options: &StoreOptions, context: &Context) -> Result<Outcome, Failure> {
    let state = migrate::plan(options).await?;
    context.print(&Report::of(&state), &state)?;
    Ok(if state == SchemaState::Current { Outcome::Done } else { Outcome::NotGood })
}

async fn apply(
    options: &StoreOptions,
    lock_wait: Duration,
    context: &Context,
) -> Result<Outcome, Failure> {
    let bar = progress_bar(context);
    let applied = migrate::apply(options, lock_wait, &mut |progress| show(&bar, &progress)).await;
    bar.finish_and_clear();
    let applied = applied?;
    let text = if applied.is_empty() {
        "Nothing to do.".to_owned()
    } else {
        format!("Applied:\n  {}", applied.join("\n  "))
    };
    let report = Report { applied, ..Report::of(&SchemaState::Current) };
    context.print(&report, text)?;
    Ok(Outcome::Done)
}

/// A bar on a terminal; elsewhere the log tells the same.
fn progress_bar(context: &Context) -> ProgressBar {
    let visible = std::io::stderr().is_terminal() && !context.global.quiet;
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, progress: &Progress<'_>) {
    match progress {
        Progress::Waiting { target, at_most } => {
            let at_most = humantime::format_duration(*at_most);
            tracing::warn!("another migration of {target} is running; waiting up to {at_most}");
        }
        Progress::Starting { migration, done, total } => {
            bar.set_length(*total as u64);
            bar.set_position(*done as u64);
            bar.set_message((*migration).to_owned());
        }
        Progress::Finished { migration, took } => {
            bar.inc(1);
            tracing::info!("applied {migration} in {took:.1?}");
        }
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Locked { .. } => Self::Busy(error.to_string()),
            MigrateError::Store(error) => error.into(),
            MigrateError::Unsuitable { .. } => Self::Failed(error.into()),
        }
    }
}
