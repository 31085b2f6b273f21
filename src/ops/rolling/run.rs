//! The run itself.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;
use tokio::{
    io::AsyncReadExt,
    process::{ChildStderr, Command},
    time::{sleep, timeout},
};

use super::{
    Event, RollingError, Step,
    instance::{Answered, Instance, Status},
    progress::Progress,
    seconds,
};
use crate::config::RollingRestart;

/// How often an instance is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How much higher an instance's error rate may be than that of the others.
const WORSE: f64 = 0.05;

/// Failures below this number are no rate.
const FEW: f64 = 3.0;

/// How much of what a command says is repeated, in bytes.
const LONGEST_WORDS: u64 = 500;

/// How long a command's words are waited for once it has ended: what it has left running may hold
/// its standard error open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Told of each event.
type Tell<'a> = &'a (dyn Fn(&Event) + Sync);

/// All instances, and those that are to be restarted.
#[derive(Debug)]
pub struct Fleet {
    instances: Vec<Instance>,
    todo: Vec<usize>,
    settings: RollingRestart,
    progress: Progress,
    /// Which one is drained, but not restarted yet.
    drained: Option<usize>,
}

impl Fleet {
    pub(super) const fn of(
        instances: Vec<Instance>,
        todo: Vec<usize>,
        settings: RollingRestart,
        progress: Progress,
    ) -> Self {
        Self { instances, todo, settings, progress, drained: None }
    }

    /// What would be done, for people: for each instance its name and its command.
    #[must_use]
    pub fn plan(&self) -> Vec<(&str, &[String])> {
        let todo = self.todo.iter().map(|at| &self.instances[*at]);
        todo.map(|instance| (instance.name.as_str(), &instance.restart[..])).collect()
    }

    /// Restarts one after the other. When this is dropped half-way, [`Fleet::let_go`] must follow.
    ///
    /// # Errors
    /// [`RollingError::Stopped`] with the first thing that went wrong, [`RollingError::Busy`] while
    /// another run is at it.
    pub async fn run(&mut self, tell: Tell<'_>) -> Result<(), RollingError> {
        let since = Instant::now();
        let _lock = self.progress.lock()?;
        let todo = self.todo.clone();
        let names = todo.iter().map(|at| self.instances[*at].name.clone()).collect();
        tell(&Event::Begun { instances: names });
        self.progress.begin()?;
        for at in todo {
            let begun = Instant::now();
            self.restart(at, tell).await?;
            let name = self.instances[at].name.clone();
            self.progress.restarted(&name)?;
            tell(&Event::Restarted { instance: name, seconds: seconds(begun.elapsed()) });
        }
        self.progress.end(&self.instances)?;
        tell(&Event::Finished { seconds: seconds(since.elapsed()) });
        Ok(())
    }

    /// Takes back what was drained and not restarted.
    pub async fn let_go(&mut self, tell: Tell<'_>) {
        let Some(at) = self.drained.take() else { return };
        let instance = &self.instances[at];
        match instance.undrain().await {
            Ok(()) => tell(&Event::Undrained { instance: instance.name.clone() }),
            Err(error) => tracing::error!("{} is still drained: {error:#}", instance.name),
        }
    }

    async fn restart(&mut self, at: usize, tell: Tell<'_>) -> Result<(), RollingError> {
        let instance = self.instances[at].clone();
        let step = |step, in_flight| {
            tell(&Event::Step { instance: instance.name.clone(), step, in_flight });
        };
        step(Step::Check, None);
        let checked = self.others_are_ready(at).await;
        let before = match checked {
            Ok(()) => instance.status().await,
            Err(error) => Err(error),
        };
        let before = before.map_err(|error| self.stopped(at, Step::Check, &error))?;

        step(Step::Drain, None);
        self.drained = Some(at);
        let drained = instance.drain().await;
        let waited = match &drained {
            Ok(()) => self.until_idle(&instance, &step).await,
            Err(_) => Ok(()),
        };
        if let Err((at_step, error)) =
            drained.map_err(|e| (Step::Drain, e)).and(waited.map_err(|e| (Step::Wait, e)))
        {
            self.let_go(tell).await;
            return Err(self.stopped(at, at_step, &error));
        }

        step(Step::Restart, None);
        self.drained = None;
        self.command(&instance).await.map_err(|error| self.stopped(at, Step::Restart, &error))?;

        step(Step::Ready, None);
        let started_at = self
            .until_ready(&instance, before.started_at)
            .await
            .map_err(|error| self.stopped(at, Step::Ready, &error))?;

        step(Step::Watch, None);
        let watched = self.watch(at, started_at).await;
        watched.map_err(|error| self.stopped(at, Step::Watch, &error))
    }

    fn others(&self, at: usize) -> impl Iterator<Item = &Instance> {
        let others = self.instances.iter().enumerate().filter(move |(other, _)| *other != at);
        others.map(|(_, instance)| instance)
    }

    async fn others_are_ready(&self, at: usize) -> anyhow::Result<()> {
        for other in self.others(at) {
            let name = &other.name;
            match other.status().await {
                Ok(Status { ready: true, draining: false, .. }) => {}
                Ok(Status { draining: true, .. }) => bail!("{name} is draining"),
                Ok(_) => bail!("{name} is not ready"),
                Err(error) => return Err(error.context(format!("{name} does not answer"))),
            }
        }
        Ok(())
    }

    async fn until_idle(
        &self,
        instance: &Instance,
        step: &(impl Fn(Step, Option<u64>) + Sync),
    ) -> anyhow::Result<()> {
        let since = Instant::now();
        let mut shown = None;
        loop {
            let Status { in_flight, .. } = instance.status().await?;
            if shown != Some(in_flight) {
                step(Step::Wait, Some(in_flight));
                shown = Some(in_flight);
            }
            if in_flight == 0 {
                return Ok(());
            }
            if since.elapsed() > self.settings.drain_timeout {
                bail!(
                    "{in_flight} requests are still in flight after {} \
                     (rolling_restart.drain_timeout)",
                    humantime::format_duration(self.settings.drain_timeout)
                );
            }
            sleep(LOOK).await;
        }
    }

    async fn command(&self, instance: &Instance) -> anyhow::Result<()> {
        let shown = instance.restart.join(" ");
        let Some((program, arguments)) = instance.restart.split_first() else {
            bail!("there is no command");
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.kill_on_drop(true).spawn();
        let mut child = child.with_context(|| format!("`{shown}` does not run"))?;
        let words = child.stderr.take().map(|stderr| tokio::spawn(first_words(stderr)));
        let limit = self.settings.restart_timeout;
        let status = timeout(limit, child.wait()).await.map_err(|_| {
            anyhow!(
                "`{shown}` has not ended after {} (rolling_restart.restart_timeout)",
                humantime::format_duration(limit)
            )
        })?;
        let status = status.with_context(|| format!("`{shown}` is lost"))?;
        if status.success() {
            return Ok(());
        }
        let words = match words {
            Some(words) => timeout(LAST_WORDS, words).await.ok().and_then(Result::ok),
            None => None,
        };
        bail!("`{shown}` ended with {status}: {}", words.unwrap_or_default());
    }

    /// Waits for a process that was started after the old one, and returns when that was.
    async fn until_ready(&self, instance: &Instance, old: Timestamp) -> anyhow::Result<Timestamp> {
        let since = Instant::now();
        loop {
            let seen = match instance.status().await {
                Ok(status) if status.started_at == old => "the old process still runs".to_owned(),
                Ok(status) if status.ready && !status.draining => return Ok(status.started_at),
                Ok(_) => "the new process is not ready".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            if since.elapsed() > self.settings.ready_timeout {
                bail!(
                    "{seen}, after {} (rolling_restart.ready_timeout)",
                    humantime::format_duration(self.settings.ready_timeout)
                );
            }
            sleep(LOOK).await;
        }
    }

    async fn watch(&self, at: usize, started_at: Timestamp) -> anyhow::Result<()> {
        let instance = &self.instances[at];
        let since = Instant::now();
        let (own, rest) = (instance.answered().await?, self.rest_answered(at).await);
        loop {
            let status = instance.status().await?;
            if status.started_at != started_at {
                bail!("it has been started once more meanwhile");
            }
            if !status.ready {
                bail!("it is no longer ready");
            }
            if since.elapsed() >= self.settings.stabilise {
                break;
            }
            sleep(LOOK).await;
        }
        let own = instance.answered().await?.since(own);
        let rest = self.rest_answered(at).await.since(rest);
        if own.failed >= FEW && own.error_rate() > rest.error_rate() + WORSE {
            bail!(
                "{:.0} of its {:.0} requests failed, {:.1} % against {:.1} % of the others",
                own.failed,
                own.all,
                100.0 * own.error_rate(),
                100.0 * rest.error_rate()
            );
        }
        Ok(())
    }

    /// What the others have answered. One that does not tell is looked at before the next step.
    async fn rest_answered(&self, at: usize) -> Answered {
        let mut all = Answered::default();
        for other in self.others(at) {
            all = all.and(other.answered().await.unwrap_or_default());
        }
        all
    }

    fn stopped(&self, at: usize, step: Step, error: &anyhow::Error) -> RollingError {
        let instance = self.instances[at].name.clone();
        let state = match step {
            Step::Check => "nothing was done to it",
            Step::Drain | Step::Wait => "it takes requests again",
            Step::Restart | Step::Ready => "look after it; the others serve",
            Step::Watch => "it is left as it is; the others serve",
        };
        let remedy = format!(
            "then go on with `figw rolling-restart --resume`, or with `--only {instance}` for it alone"
        );
        RollingError::Stopped { instance, step, reason: format!("{error:#}"), state, remedy }
    }
}

/// What a command says first, on one line.
async fn first_words(stderr: ChildStderr) -> String {
    let mut words = Vec::new();
    // What cannot be read was not said.
    let _ = stderr.take(LONGEST_WORDS).read_to_end(&mut words).await;
    String::from_utf8_lossy(&words).split_whitespace().collect::<Vec<_>>().join(" ")
}
