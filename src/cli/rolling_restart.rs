//! `figw rolling-restart`

use std::{collections::HashMap, io::IsTerminal, sync::Mutex, time::Duration};

use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::{Context, Failure, Outcome, Output, table::Table};
use crate::ops::rolling::{Event, Fleet, Order, RollingError};

/// Arguments of `figw rolling-restart`.
#[derive(Debug, Args)]
pub struct RollingRestartArgs {
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Restart only these instances
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Go on where the last run stopped: leave out what it had restarted
    #[arg(long)]
    resume: bool,
}

impl RollingRestartArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// What stopped it.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let config = context.config()?.config;
        let order = Order { only: self.only, resume: self.resume };
        let mut fleet = Fleet::new(&config, &order)?;
        if self.dry_run {
            return plan(&fleet, context);
        }
        let shown = Shown::new(context);
        let tell = |event: &Event| shown.tell(event);
        let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::new)?;
        let ended = tokio::select! {
            ended = fleet.run(&tell) => Some(ended),
            _ = terminate.recv() => None,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(ended) = ended else {
            let left = fleet.let_go(&tell).await;
            let (instance, state) = left.map(|(name, left)| (name, left.to_string())).unzip();
            let at = match (&instance, &state) {
                (Some(instance), Some(state)) => format!("; {instance}: {state}"),
                _ => String::new(),
            };
            tell(&Event::Interrupted { instance, state });
            shown.end();
            return Err(anyhow::anyhow!("interrupted{at}; go on with --resume").into());
        };
        shown.end();
        ended?;
        Ok(Outcome::Done)
    }
}

impl From<RollingError> for Failure {
    fn from(error: RollingError) -> Self {
        match error {
            RollingError::Invalid(message) => Self::Usage(message),
            RollingError::Busy(_) => Self::Busy(error.to_string()),
            other => Self::Failed(other.into()),
        }
    }
}

fn plan(fleet: &Fleet, context: &Context) -> Result<Outcome, Failure> {
    let plan = fleet.plan();
    let mut table = Table::new(&["INSTANCE", "COMMAND"]);
    for (name, command) in &plan {
        table.row([(*name).to_owned(), command.join(" ")]);
    }
    let value: Vec<_> = plan
        .iter()
        .map(|(name, command)| serde_json::json!({ "instance": name, "restart": command }))
        .collect();
    let text = if plan.is_empty() { "nothing to do".to_owned() } else { table.to_string() };
    context.print(&serde_json::json!({ "instances": value }), text)?;
    Ok(Outcome::Done)
}

/// Shows events: a line with a bar for each instance on a terminal, else a line for each step; a
/// JSON document for each with `--output json`.
struct Shown<'a> {
    context: &'a Context,
    bars: Option<MultiProgress>,
    lines: Mutex<HashMap<String, ProgressBar>>,
}

impl<'a> Shown<'a> {
    fn new(context: &'a Context) -> Self {
        let on_terminal = std::io::stderr().is_terminal() && !context.global.quiet;
        let bars = (on_terminal && context.global.output == Output::Text).then(MultiProgress::new);
        Self { context, bars, lines: Mutex::default() }
    }

    fn tell(&self, event: &Event) {
        if self.context.global.output == Output::Json {
            let mut line = serde_json::to_vec(event).unwrap_or_default();
            line.push(b'\n');
            // Who has stopped reading gets no more.
            let _ = self.context.print_raw(&line);
        } else if let Some(bars) = &self.bars {
            self.draw(bars, event);
        } else if let Some(line) = line_of(event) {
            self.context.hint(line);
        }
    }

    fn draw(&self, bars: &MultiProgress, event: &Event) {
        const STEPS: u64 = 6;
        let mut lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Event::Begun { instances } => {
                let style = ProgressStyle::with_template("{prefix:20} {bar:20} {msg} {elapsed}");
                for name in instances {
                    let bar = bars.add(ProgressBar::new(STEPS)).with_prefix(name.clone());
                    if let Ok(style) = &style {
                        bar.set_style(style.clone());
                    }
                    bar.set_message("waits");
                    lines.insert(name.clone(), bar);
                }
            }
            Event::Step { instance, step, in_flight } => {
                let Some(bar) = lines.get(instance) else { return };
                let of = in_flight.map(|count| format!(" ({count} in flight)")).unwrap_or_default();
                bar.enable_steady_tick(Duration::from_millis(200));
                bar.set_position(*step as u64);
                bar.set_message(format!("{}{of}", step.describe()));
            }
            Event::Restarted { instance, .. } => {
                let Some(bar) = lines.get(instance) else { return };
                bar.set_position(STEPS);
                bar.finish_with_message("done");
            }
            Event::Undrained { instance } => {
                let Some(bar) = lines.get(instance) else { return };
                bar.abandon_with_message("takes requests again");
            }
            Event::Stopped(stopped) => {
                let Some(bar) = lines.get(&stopped.instance) else { return };
                bar.abandon_with_message(format!("stopped {}", stopped.step.describe()));
            }
            Event::Interrupted { .. } | Event::Finished { .. } => {}
        }
    }

    fn end(&self) {
        let lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for bar in lines.values().filter(|bar| !bar.is_finished()) {
            bar.abandon();
        }
    }
}

/// A line for a log; none for what is the command's error as well.
fn line_of(event: &Event) -> Option<String> {
    Some(match event {
        Event::Begun { instances } if instances.is_empty() => "nothing to do".to_owned(),
        Event::Begun { instances } => format!("restarting {}", instances.join(", ")),
        Event::Step { instance, step, in_flight: Some(count) } => {
            format!("{instance}: {}, {count} in flight", step.describe())
        }
        Event::Step { instance, step, in_flight: None } => {
            format!("{instance}: {}", step.describe())
        }
        Event::Restarted { instance, seconds } => format!("{instance}: done after {seconds:.1} s"),
        Event::Undrained { instance } => format!("{instance}: takes requests again"),
        Event::Stopped(_) | Event::Interrupted { .. } => return None,
        Event::Finished { seconds } => format!("finished after {seconds:.1} s"),
    })
}
