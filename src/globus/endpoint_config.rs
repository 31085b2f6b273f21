//! The `config.yaml` of a Globus Compute endpoint (version 4) that serves models.
//!
//! Providers and their fields are Parsl's; what goes into a job script is checked here, for a
//! provider copies it there as it is.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

/// A batch system, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheduler {
    /// PBS Professional or `OpenPBS`.
    Pbs,
    /// Slurm.
    Slurm,
    /// Processes on the machine itself.
    Local,
}

/// What an operator says about an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What starts its nodes.
    pub scheduler: Scheduler,
    /// Its name in Globus' web pages.
    pub display_name: Option<String>,
    /// The only functions it runs; empty for any.
    pub allowed_functions: Vec<Uuid>,
    /// The queue, or Slurm's partition.
    pub queue: Option<String>,
    /// The account that is charged.
    pub account: Option<String>,
    /// Slurm's quality of service.
    pub qos: Option<String>,
    /// What PBS adds to `select`, such as `ngpus=4`.
    pub select_options: Option<String>,
    /// CPUs of a node that PBS reserves.
    pub cpus_per_node: Option<u32>,
    /// GPUs of a node that Slurm reserves.
    pub gpus_per_node: Option<u32>,
    /// Further options of the scheduler, one each, such as `-l filesystems=home`.
    pub scheduler_options: Vec<String>,
    /// Nodes of one job.
    pub nodes_per_block: u32,
    /// Jobs that are kept however idle.
    pub min_blocks: u32,
    /// Jobs at the start.
    pub init_blocks: u32,
    /// Most jobs at once.
    pub max_blocks: u32,
    /// How long a job may run.
    pub walltime: Duration,
    /// How long a job is kept without tasks.
    pub idle_timeout: Duration,
    /// How many requests a node works on at once.
    pub workers_per_node: u32,
    /// The network interface by which nodes reach the endpoint.
    pub interface: Option<String>,
    /// Shell commands before the workers start.
    pub worker_init: String,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Uuid]>::is_empty")]
    allowed_functions: &'a [Uuid],
    engine: Engine<'a>,
}

#[derive(Serialize)]
struct Engine<'a> {
    r#type: &'static str,
    max_workers_per_node: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address<'a>>,
    job_status_kwargs: JobStatus,
    provider: Provider<'a>,
}

#[derive(Serialize)]
struct Address<'a> {
    r#type: &'static str,
    ifname: &'a str,
}

#[derive(Serialize)]
struct JobStatus {
    max_idletime: f64,
}

#[derive(Serialize)]
struct Provider<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qos: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    select_options: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus_per_node: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpus_per_node: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduler_options: Option<String>,
    nodes_per_block: u32,
    min_blocks: u32,
    init_blocks: u32,
    max_blocks: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    walltime: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    worker_init: &'a str,
}

impl Plan {
    /// The file's text.
    ///
    /// # Errors
    /// Which value cannot stand, and why.
    pub fn render(&self) -> Result<String, String> {
        self.check()?;
        let document = Document {
            display_name: self.display_name.as_deref(),
            allowed_functions: &self.allowed_functions,
            engine: Engine {
                r#type: "GlobusComputeEngine",
                max_workers_per_node: self.workers_per_node,
                address: self
                    .interface
                    .as_deref()
                    .map(|ifname| Address { r#type: "address_by_interface", ifname }),
                job_status_kwargs: JobStatus { max_idletime: self.idle_timeout.as_secs_f64() },
                provider: self.provider(),
            },
        };
        let yaml = serde_yaml::to_string(&document).map_err(|error| error.to_string())?;
        // The endpoint reads YAML 1.1, for which a bare 24:00:00 is the number 86,400.
        let walltime = clock(self.walltime);
        let (bare, quoted) =
            (format!("\n    walltime: {walltime}\n"), format!("\n    walltime: '{walltime}'\n"));
        Ok(yaml.replacen(&bare, &quoted, 1))
    }

    fn provider(&self) -> Provider<'_> {
        let (r#type, prefix) = match self.scheduler {
            Scheduler::Pbs => ("PBSProProvider", "#PBS"),
            Scheduler::Slurm => ("SlurmProvider", "#SBATCH"),
            Scheduler::Local => ("LocalProvider", ""),
        };
        let is = |scheduler| self.scheduler == scheduler;
        let options = self.scheduler_options.iter();
        let options: Vec<_> = options.map(|option| format!("{prefix} {option}")).collect();
        Provider {
            r#type,
            account: self.account.as_deref(),
            queue: self.queue.as_deref().filter(|_| is(Scheduler::Pbs)),
            partition: self.queue.as_deref().filter(|_| is(Scheduler::Slurm)),
            qos: self.qos.as_deref(),
            select_options: self.select_options.as_deref(),
            cpus_per_node: self.cpus_per_node,
            gpus_per_node: self.gpus_per_node,
            scheduler_options: (!options.is_empty()).then(|| options.join("\n")),
            nodes_per_block: self.nodes_per_block,
            min_blocks: self.min_blocks,
            init_blocks: self.init_blocks,
            max_blocks: self.max_blocks,
            walltime: (!is(Scheduler::Local)).then(|| clock(self.walltime)),
            worker_init: self.worker_init.trim_end(),
        }
    }

    fn check(&self) -> Result<(), String> {
        self.check_scheduler()?;
        for (what, value, marks) in [
            ("the queue or partition", &self.queue, "._-@,"),
            ("the account", &self.account, "._-@:+"),
            ("the quality of service", &self.qos, "._-"),
            ("the select options", &self.select_options, "._-=:,+"),
            ("the interface", &self.interface, "._-:@"),
        ] {
            let Some(value) = value else { continue };
            let plain = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
            if value.is_empty() || !is_text(value) || !value.chars().all(plain) {
                return Err(format!(
                    "{what} is `{}`; it may have letters, digits and {marks}, and must \
                     not read as a number or as yes, no, on, off",
                    value.escape_default()
                ));
            }
        }
        for option in &self.scheduler_options {
            if !option.starts_with('-') || option.chars().any(char::is_control) {
                return Err(format!(
                    "scheduler option `{}` is not one line that begins with `-`, such as \
                     `-l filesystems=home`",
                    option.escape_default()
                ));
            }
        }
        if self.worker_init.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err("the commands before the workers hold control characters".to_owned());
        }
        let named = |name: &String| is_text(name) && !name.contains(char::is_control);
        if !self.display_name.as_ref().is_none_or(named) {
            return Err("the display name must not read as a number or as yes, no, on, off, nor hold control \
                 characters".to_owned());
        }
        self.check_blocks()
    }

    /// Refuses what the scheduler has no place for.
    fn check_scheduler(&self) -> Result<(), String> {
        let pbs = &[Scheduler::Pbs][..];
        let slurm = &[Scheduler::Slurm][..];
        let both = &[Scheduler::Pbs, Scheduler::Slurm][..];
        for (given, owners, what) in [
            (self.queue.is_some(), both, "a queue or partition is for PBS and Slurm"),
            (self.account.is_some(), both, "an account is for PBS and Slurm"),
            (!self.scheduler_options.is_empty(), both, "scheduler options are for PBS and Slurm"),
            (self.qos.is_some(), slurm, "a quality of service is for Slurm"),
            (
                self.gpus_per_node.is_some(),
                slurm,
                "GPUs per node are for Slurm; PBS has them in \
                its select options, such as ngpus=4",
            ),
            (self.select_options.is_some(), pbs, "select options are for PBS"),
            (self.cpus_per_node.is_some(), pbs, "CPUs per node are for PBS"),
        ] {
            if given && !owners.contains(&self.scheduler) {
                return Err(what.to_owned());
            }
        }
        Ok(())
    }

    fn check_blocks(&self) -> Result<(), String> {
        let Self { min_blocks: min, init_blocks: init, max_blocks: max, .. } = *self;
        if max == 0 || min > init || init > max {
            return Err(format!(
                "blocks must be min ≤ init ≤ max with max at least 1; they are {min}, {init}, {max}"
            ));
        }
        for (what, count) in
            [("nodes per block", self.nodes_per_block), ("workers per node", self.workers_per_node)]
        {
            if count == 0 {
                return Err(format!("{what} must be at least 1"));
            }
        }
        for (what, time) in [("walltime", self.walltime), ("idle time-out", self.idle_timeout)] {
            if time < Duration::from_secs(1) {
                return Err(format!("the {what} must be at least a second"));
            }
        }
        Ok(())
    }
}

/// Whether readers of YAML 1.1, such as the endpoint, take this for text, too: for them `1:30` and
/// `1_000` are numbers, and these words are true or false.
fn is_text(value: &str) -> bool {
    let is_word = ["yes", "no", "on", "off"].iter().any(|word| value.eq_ignore_ascii_case(word));
    let is_number =
        value.contains([':', '_']) && !value.contains(|letter: char| letter.is_alphabetic());
    !is_word && !is_number
}

/// Hours, minutes and seconds, as schedulers write them.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests;
