//! Showing how far a long operation has come: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::IsTerminal,
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use super::Context;
use crate::ops::backup::meter::{Meter, Reading};

/// How often the bar is drawn.
const DRAW: Duration = Duration::from_millis(100);
/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(30);

/// Shows the meter for as long as this value lives.
#[derive(Debug)]
pub(super) struct Shown {
    task: JoinHandle<()>,
    bar: ProgressBar,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

/// Shows the meter until the answer is dropped; not at all with `--quiet`.
pub(super) fn show(meter: &Arc<Meter>, context: &Context) -> Shown {
    let meter = Arc::clone(meter);
    let context = context.clone();
    let on_terminal = std::io::stderr().is_terminal() && !context.global.quiet;
    let target =
        if on_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    let shown = bar.clone();
    let task = tokio::spawn(async move {
        if on_terminal {
            draw(&shown, &meter).await;
        } else {
            write_lines(&meter, &context).await;
        }
    });
    Shown { task, bar }
}

async fn draw(bar: &ProgressBar, meter: &Meter) {
    let known = "{bar:30} {percent:>3}% {bytes}/{total_bytes} {bytes_per_sec} {msg} {elapsed}";
    let unknown = "{spinner} {bytes} {bytes_per_sec} {msg} {elapsed}";
    let mut step = None;
    loop {
        tokio::time::sleep(DRAW).await;
        let reading = meter.read();
        if step.as_ref() != Some(&reading.step) {
            let template = if reading.total > 0 { known } else { unknown };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.reset();
            bar.set_message(reading.step.clone());
            step = Some(reading.step.clone());
        }
        if reading.total > 0 {
            // The total is an estimate; a bar does not run over its end.
            bar.set_length(reading.total.max(reading.done));
        }
        bar.set_position(reading.done);
    }
}

async fn write_lines(meter: &Meter, context: &Context) {
    let since = Instant::now();
    loop {
        tokio::time::sleep(LINE).await;
        let Reading { step, done, total } = meter.read();
        let of =
            if total > 0 { format!(" of about {}", BinaryBytes(total)) } else { String::new() };
        context.hint(format_args!(
            "{step}: {}{of}, {} s",
            BinaryBytes(done),
            since.elapsed().as_secs()
        ));
    }
}
