//! `figw migrate`: bring the database to this program's schema.

use std::{fmt::Write, io::IsTerminal, path::Path, time::Duration};

use anyhow::anyhow;
use clap::Args;
use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::{Context, Failure, Outcome, progress};
use crate::{
    ops::{
        backup::{BackupError, Backups, manifest::Kind},
        shell,
    },
    store::{
        SchemaState,
        locks::{Lock, Subject},
        migrate::{self, FailedStep, MigrateError, Plan, Progress, Run, Step},
    },
};

/// Arguments of `migrate`.
#[derive(Debug, Clone, Args)]
pub struct MigrateArgs {
    /// Print what would run and which tables it locks, and change nothing
    #[arg(long, conflicts_with = "check")]
    pub plan: bool,
    /// Exit with 1 unless the schema is exactly this program's; change nothing
    #[arg(long)]
    pub check: bool,
    /// Make no backup first
    #[arg(long)]
    pub no_backup: bool,
    /// How long to wait for another migration, or another backup, that is running
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
    /// The same with their locks; of `--plan` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<Step>>,
    /// The backup that was made first.
    backup: Option<String>,
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
        Self { state, pending, plan: None, backup: None, applied: Vec::new(), migration }
    }
}

/// Runs the command.
///
/// # Errors
/// When the database cannot be reached, backed up or migrated, or another run holds its lock.
pub async fn run(args: MigrateArgs, context: &Context) -> Result<Outcome, Failure> {
    let backups = context.backups(args.lock_wait)?;
    if args.plan {
        plan(&args, &backups, context).await
    } else if args.check {
        check(&backups, context).await
    } else {
        apply(&args, &backups, context).await
    }
}

async fn plan(
    args: &MigrateArgs,
    backups: &Backups,
    context: &Context,
) -> Result<Outcome, Failure> {
    let plan = migrate::plan_steps(backups.options()).await?;
    let text = match &plan.state {
        SchemaState::Current => "Nothing to do.".to_owned(),
        SchemaState::Behind { .. } => describe(&plan, args, backups),
        other => other.to_string(),
    };
    let report = Report { plan: Some(plan.steps), ..Report::of(&plan.state) };
    context.print(&report, text)?;
    let can_be_applied = matches!(plan.state, SchemaState::Current | SchemaState::Behind { .. });
    Ok(if can_be_applied { Outcome::Done } else { Outcome::NotGood })
}

fn describe(plan: &Plan, args: &MigrateArgs, backups: &Backups) -> String {
    let mut text = String::from("Would apply:");
    for step in &plan.steps {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {}", step.migration);
        for lock in &step.locks {
            let _ = write!(text, "\n    {}", describe_lock(lock));
        }
        if step.locks.is_empty() {
            text.push_str("\n    locks no table that is in use");
        }
    }
    if !plan.is_new && !args.no_backup {
        let directory = backups.repository().directory().display();
        let _ = write!(text, "\nBefore that, would back up the database to {directory}.");
    }
    text
}

fn describe_lock(lock: &Lock) -> String {
    let rewrites = if lock.rewrites { ", rewrites it" } else { "" };
    match &lock.table {
        Subject::Unknown => format!("unknown: assume {}", lock.mode),
        Subject::WholeFile => {
            let copies = if lock.rewrites { ", for as long as it takes to copy rows" } else { "" };
            format!("the whole file is locked for writing while it runs{copies}")
        }
        Subject::Table(table) => {
            let size = lock.bytes.map(|bytes| format!(", {} now", BinaryBytes(bytes)));
            let size = size.unwrap_or_default();
            format!("{table}: {}, blocks {}{rewrites}{size}", lock.mode, lock.blocks)
        }
    }
}

async fn check(backups: &Backups, context: &Context) -> Result<Outcome, Failure> {
    let state = migrate::plan(backups.options()).await?;
    context.print(&Report::of(&state), &state)?;
    Ok(if state == SchemaState::Current { Outcome::Done } else { Outcome::NotGood })
}

async fn apply(
    args: &MigrateArgs,
    backups: &Backups,
    context: &Context,
) -> Result<Outcome, Failure> {
    let bar = progress_bar(context);
    let mut show = |progress: Progress<'_>| show(&bar, &progress);
    // The lock comes first: of two runs only the one that has something to do makes a backup.
    let run = Run::begin(backups.options(), args.lock_wait, &mut show).await?;
    let backup = match run.plan() {
        Plan { is_new: false, steps, .. } if !steps.is_empty() && !args.no_backup => {
            Some(back_up(backups, context).await?)
        }
        _ => None,
    };
    let applied = run.finish(&mut show).await;
    bar.finish_and_clear();
    let applied = applied.map_err(|error| match error {
        MigrateError::Step(step) => explain(&step, backup.as_deref(), context),
        other => other.into(),
    })?;
    let text = match (applied.is_empty(), &backup) {
        (true, _) => "Nothing to do.".to_owned(),
        (false, None) => format!("Applied:\n  {}", applied.join("\n  ")),
        (false, Some(id)) => {
            format!("Backed up the database as {id}.\nApplied:\n  {}", applied.join("\n  "))
        }
    };
    let report = Report { backup, applied, ..Report::of(&SchemaState::Current) };
    context.print(&report, text)?;
    Ok(Outcome::Done)
}

/// Makes a backup of the database and returns its id.
async fn back_up(backups: &Backups, context: &Context) -> Result<String, Failure> {
    let shown = progress::show(&backups.meter, context);
    let made = backups.make(Kind::Database).await;
    drop(shown);
    let made = made.map_err(|error| {
        let text = format!(
            "the backup before migrating cannot be made: {error}; nothing was changed; `figw \
             migrate --no-backup` migrates without one"
        );
        match error {
            BackupError::Busy { .. } => Failure::Busy(text),
            BackupError::Invalid(_) => Failure::Usage(text),
            _ => Failure::Failed(anyhow!(text)),
        }
    })?;
    tracing::info!("backed up the database as {}", made.manifest.id);
    Ok(made.manifest.id)
}

/// A step that failed, and how to undo those before it.
fn explain(step: &FailedStep, backup: Option<&str>, context: &Context) -> Failure {
    let restore = backup.map(|id| restore_command(context.global.config.as_deref(), id));
    let restore = match &restore {
        Some(restore) => format!("`{restore}` puts the backup made first back"),
        None => "no backup was made first".to_owned(),
    };
    let text = match (step.applied.is_empty(), step.is_undone) {
        (true, true) => format!("{step}, so nothing need be restored ({restore})"),
        (true, false) => format!("{step}; {restore}"),
        (false, _) => {
            let before = step.applied.join(", ");
            format!("{step}; {before} of this run stays applied, and to undo that too: {restore}")
        }
    };
    Failure::Failed(anyhow!(text))
}

fn restore_command(config: Option<&Path>, id: &str) -> String {
    let config = config.map(|path| format!("--config {} ", shell::quote(&path.to_string_lossy())));
    format!("figw {}restore {id} --replace --yes", config.unwrap_or_default())
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
        Progress::Blocked { migration, what, pause } => {
            tracing::warn!("{migration} could not lock {what}; trying again in {pause:.1?}");
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
            MigrateError::Unsuitable { .. } | MigrateError::Step(_) => Self::Failed(error.into()),
        }
    }
}
