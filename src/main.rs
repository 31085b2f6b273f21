//! figw's entry point: parse, run one command, map its outcome to an exit status.

use std::process::ExitCode;

use clap::Parser;
use figw::{
    cli::{Cli, Context, Failure, Outcome},
    telemetry::logs,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let verbosity = cli.global.verbosity();
    match run(cli, verbosity) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::NotGood) => ExitCode::FAILURE,
        Err(failure) => {
            logs::report_failure(&failure, verbosity.colors);
            ExitCode::from(failure.exit_status())
        }
    }
}

// One thread is enough for every command; `serve` starts workers for its connections.
#[tokio::main(flavor = "current_thread")]
async fn run(cli: Cli, verbosity: logs::Verbosity) -> Result<Outcome, Failure> {
    if !cli.command.sets_up_logs() {
        logs::init_command(verbosity).map_err(Failure::usage)?;
    }
    let context = Context { global: cli.global };
    cli.command.run(&context).await
}
