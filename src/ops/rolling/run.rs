//! The run itself.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;
use tokio::{
    io::AsyncReadExt,
    process::{ChildStderr, Command},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    Event, Left, RollingError, Step, Stopped,
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

/// How much of what a command says is repeated, in bytes: its end, where errors stand.
const LONGEST_WORDS: usize = 500;

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
    drained: Option<Drained>,
}

/// An instance that was told to drain, and whose process has not been seen to be replaced.
#[derive(Debug, Clone, Copy)]
struct Drained {
    at: usize,
    /// When its process was started.
    started_at: Timestamp,
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
        if let [only] = &self.instances[..] {
            tracing::warn!("{} is the only instance: nobody serves while it restarts", only.name);
        }
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

    /// Takes back what was drained and not restarted; its name, and how it is left.
    pub async fn let_go(&mut self, tell: Tell<'_>) -> Option<(String, Left)> {
        let Drained { at, started_at } = self.drained.take()?;
        let instance = &self.instances[at];
        let left = match instance.status().await {
            Ok(status) if status.started_at != started_at => Left::Replaced,
            Ok(_) => match instance.undrain().await {
                Ok(()) => Left::Serving,
                Err(error) => Left::Drained(format!("{error:#}")),
            },
            Err(error) => Left::Silent(format!("{error:#}")),
        };
        if left == Left::Serving {
            tell(&Event::Undrained { instance: instance.name.clone() });
        }
        Some((instance.name.clone(), left))
    }

    async fn restart(&mut self, at: usize, tell: Tell<'_>) -> Result<(), RollingError> {
        let Err((step, error)) = self.steps(at, tell).await else { return Ok(()) };
        let left = match self.let_go(tell).await {
            Some((_, left)) => left,
            None if step == Step::Check => Left::Untouched,
            None => Left::AsItIs,
        };
        let instance = self.instances[at].name.clone();
        let remedy = format!(
            "then go on with `figw rolling-restart --resume`, or with `--only {instance}` for it alone"
        );
        let (reason, state) = (format!("{error:#}"), left.to_string());
        let stopped = Stopped { instance, step, reason, state, remedy };
        tell(&Event::Stopped(stopped.clone()));
        Err(RollingError::Stopped(stopped))
    }

    /// Everything that is done to one instance; where it goes wrong, and how.
    async fn steps(&mut self, at: usize, tell: Tell<'_>) -> Result<(), (Step, anyhow::Error)> {
        let instance = self.instances[at].clone();
        let step = |step, in_flight| {
            tell(&Event::Step { instance: instance.name.clone(), step, in_flight });
        };
        step(Step::Check, None);
        self.others_are_ready(at).await.map_err(|error| (Step::Check, error))?;
        let before = instance.status().await.map_err(|error| (Step::Check, error))?;

        step(Step::Drain, None);
        self.drained = Some(Drained { at, started_at: before.started_at });
        instance.drain().await.map_err(|error| (Step::Drain, error))?;
        self.until_idle(&instance, &step).await.map_err(|error| (Step::Wait, error))?;

        step(Step::Restart, None);
        self.command(&instance).await.map_err(|error| (Step::Restart, error))?;

        step(Step::Ready, None);
        let ready = self.until_ready(&instance, before.started_at).await;
        let started_at = ready.map_err(|error| (Step::Ready, error))?;
        self.drained = None;

        step(Step::Watch, None);
        self.watch(at, started_at).await.map_err(|error| (Step::Watch, error))
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
        let words = child.stderr.take().map(LastWords::of);
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
            Some(words) => words.line().await,
            None => String::new(),
        };
        bail!("`{shown}` ended with {status}: {words}");
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
}

/// The end of what a command says on its standard error, which is read for as long as somebody may
/// write there: a program whose words nobody takes would fail for that alone.
#[derive(Debug)]
struct LastWords {
    reading: JoinHandle<()>,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl LastWords {
    fn of(mut stderr: ChildStderr) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let reading = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
                let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..read]);
                let too_many = kept.len().saturating_sub(LONGEST_WORDS);
                kept.drain(..too_many);
            }
        });
        Self { reading, kept }
    }

    /// On one line, once the command has ended.
    async fn line(self) -> String {
        let _ = timeout(LAST_WORDS, self.reading).await;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
