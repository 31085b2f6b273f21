//! figw's entry point: parse, run one command, map its outcome to an exit status.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use figw::{
    cli::{Cli, Context, Failure, Outcome, wal},
    telemetry::logs,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the process waits at its end for calls that block: a file system that hangs never answers.
const LAST: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    wal::stop_recovery_on_panic(std::env::args_os());
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    let verbosity = cli.global.verbosity();
    let failure_status = cli.command.failure_status();
    match run(cli, verbosity) {
        Ok(outcome) => ExitCode::from(outcome.exit_status()),
        Err(failure) => {
            logs::report_failure(&failure, verbosity.colors);
            ExitCode::from(failure_status(&failure))
        }
    }
}

fn run(cli: Cli, verbosity: logs::Verbosity) -> Result<Outcome, Failure> {
    // One thread is enough for every command; `serve` starts workers for its connections.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start")?;
    let outcome = runtime.block_on(act(cli, verbosity));
    runtime.shutdown_timeout(LAST);
    outcome
}

async fn act(cli: Cli, verbosity: logs::Verbosity) -> Result<Outcome, Failure> {
    if !cli.command.sets_up_logs() {
        logs::init_command(verbosity).map_err(Failure::usage)?;
    }
    let context = Context { global: cli.global };
    Box::pin(cli.command.run(&context)).await
}
