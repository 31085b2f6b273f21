//! Answers as steps, with the fault among them.

use std::time::Duration;

use bytes::Bytes;

use super::{
    answer,
    body::Step,
    fault::Fault,
    request::Asked,
    stream::{self, Events},
};

/// What `Fault::Huge` puts into an answer.
const HUGE_TEXT_BYTES: usize = 50_000_000;
/// Chunks of such an answer when it is streamed, at about 200 bytes each.
const HUGE_CHUNKS: usize = 250_000;
/// Long enough for what was written before to have been read by the other side.
const MOMENT: Duration = Duration::from_millis(20);

/// An answer that is not streamed: its Content-Length and its steps.
pub(super) fn whole(asked: &Asked, fault: Option<Fault>) -> (usize, Vec<Step>) {
    let text = match fault {
        Some(Fault::Huge) => "x".repeat(HUGE_TEXT_BYTES),
        _ => asked.text(),
    };
    let with_usage = fault != Some(Fault::NoUsage);
    let mut first = Bytes::from(answer::whole(asked, &text, with_usage).to_string());
    let length = first.len();
    let rest = first.split_off(length / 2);
    if fault == Some(Fault::MalformedJson) {
        return (first.len(), vec![Step::Send(first)]);
    }
    let (first, rest) = (Step::Send(first), Step::Send(rest));
    let steps = match fault {
        Some(Fault::HangAfterHeaders) => vec![Step::Hang],
        Some(Fault::HangMidway) => vec![first, Step::Hang],
        Some(Fault::ResetMidway) => vec![first, Step::Pause(MOMENT), Step::Reset],
        Some(Fault::SlowChunks(pause)) => {
            vec![Step::Pause(pause), first, Step::Pause(pause), rest]
        }
        Some(Fault::SplitFirstChunk) => vec![first, Step::Pause(MOMENT), rest],
        _ => vec![first, rest],
    };
    (length, steps)
}

/// The steps of a streamed answer.
pub(super) fn streamed(mut asked: Asked, fault: Option<Fault>) -> Vec<Step> {
    if fault == Some(Fault::Huge) {
        asked.chunks = HUGE_CHUNKS;
    }
    let events = stream::events(&asked, fault != Some(Fault::NoUsage));
    match fault {
        Some(Fault::HangAfterHeaders) => vec![Step::Hang],
        Some(Fault::HangMidway) => cut(events, Step::Hang),
        Some(Fault::ResetMidway) => cut(events, Step::Reset),
        Some(Fault::ErrorEvent) => cut(events, Step::Send(stream::error(asked.route))),
        Some(Fault::ErrorFirst) => vec![Step::Send(stream::error(asked.route))],
        Some(Fault::CutShort) => cut(events, Step::Pause(MOMENT)),
        Some(Fault::SlowChunks(pause)) => slow(events, pause),
        Some(Fault::SplitFirstChunk) => split_first(all(events)),
        Some(Fault::MalformedJson) => all(events).into_iter().map(broken).collect(),
        Some(Fault::NoDone) => {
            let mut steps = all(events);
            steps.pop();
            steps
        }
        _ => all(events),
    }
}

fn sends(events: Vec<Bytes>) -> impl Iterator<Item = Step> {
    events.into_iter().map(Step::Send)
}

fn all(events: Events) -> Vec<Step> {
    let mut steps: Vec<_> =
        sends(events.opening).chain(sends(events.chunks)).chain(sends(events.closing)).collect();
    steps.push(Step::Send(events.done));
    steps
}

/// Up to the first text, then `end`.
fn cut(events: Events, end: Step) -> Vec<Step> {
    sends(events.opening)
        .chain(sends(events.chunks).take(1))
        .chain([Step::Pause(MOMENT), end])
        .collect()
}

/// With a pause before each text.
fn slow(events: Events, pause: Duration) -> Vec<Step> {
    let texts = sends(events.chunks).flat_map(|text| [Step::Pause(pause), text]);
    let mut steps: Vec<_> =
        sends(events.opening).chain(texts).chain(sends(events.closing)).collect();
    steps.push(Step::Send(events.done));
    steps
}

/// The first write taken apart.
fn split_first(mut steps: Vec<Step>) -> Vec<Step> {
    if let Some(Step::Send(first)) = steps.first().cloned() {
        let (half, rest) = (first.slice(..first.len() / 2), first.slice(first.len() / 2..));
        steps.splice(..1, [Step::Send(half), Step::Pause(MOMENT), Step::Send(rest)]);
    }
    steps
}

/// An event whose data breaks off, but which ends as an event does.
fn broken(step: Step) -> Step {
    let Step::Send(event) = step else { return step };
    let kept = event.strip_suffix(b"}\n\n").unwrap_or(&event).to_vec();
    Step::Send([kept.as_slice(), b"\n\n"].concat().into())
}
