//! A thousand streams at once: all whole and in order, in little memory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{
    client::{self, Caller},
    fake::{Fake, Fault},
    gateway::{Gateway, Plan},
    requests::streamed_chat,
};
use tokio::task::JoinSet;

const STREAMS: usize = 1000;
const CHUNKS: usize = 50;

/// Descriptors of this process: a connection of the caller and one of the back end per stream. The
/// gateway, which inherits the limit, needs as many.
const DESCRIPTORS: u64 = 2 * STREAMS as u64 + 200;

/// Memory may be this much, in KiB. Of a debug build the code is not counted, which is many times
/// as large as that of a release, but room is left for the latter.
const IDLE_KIB: u64 = 25 * 1024 - CODE_KIB;
const BUSY_KIB: u64 = 100 * 1024 - CODE_KIB;
const CODE_KIB: u64 = if cfg!(debug_assertions) { 12 * 1024 } else { 0 };

/// The code that is in memory and not counted, in KiB.
fn uncounted(gateway: &Gateway) -> u64 {
    if cfg!(debug_assertions) { gateway.memory("RssFile:") } else { 0 }
}

fn allow_descriptors() {
    let allowed = rlimit::increase_nofile_limit(DESCRIPTORS).expect("the limit of descriptors");
    assert!(
        allowed >= DESCRIPTORS,
        "this test needs {DESCRIPTORS} file descriptors and gets {allowed}: raise the hard limit \
         (ulimit -Hn, LimitNOFILE)"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_are_whole_and_in_order_in_a_hundred_mebibytes() {
    allow_descriptors();
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let idle = gateway.resident_kib() - uncounted(&gateway);
    assert!(idle <= IDLE_KIB, "{idle} KiB after the start");
    fake.always(Some(Fault::SlowChunks(Duration::from_millis(100))));

    let caller = Caller::of(&gateway);
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let caller = caller.clone();
        streams.spawn(async move {
            let begun = Instant::now();
            let body = streamed_chat("fake-model", CHUNKS);
            let response = caller.open("/v1/chat/completions", &body).await.expect("an answer");
            client::read(response, begun).await
        });
    }
    let all_open = fake.wait_until(Duration::from_secs(30), |counts| counts.open == STREAMS).await;
    assert!(all_open, "never all at once: {:?}", fake.counts());
    assert_eq!(gateway.status()["in_flight"], STREAMS);

    let expected: Vec<_> = (0..CHUNKS).map(|i| format!("{i} ")).collect();
    while let Some(answer) = streams.join_next().await {
        let answer = answer.unwrap().ok();
        let events = answer.events();
        let (done, chunks) = events.split_last().unwrap();
        assert_eq!(*done, "[DONE]");
        let said: Vec<_> = chunks
            .iter()
            .filter_map(|chunk| {
                let chunk: Value = serde_json::from_str(chunk).unwrap();
                let text = chunk["choices"][0]["delta"]["content"].as_str()?;
                (!text.is_empty()).then(|| text.to_owned())
            })
            .collect();
        assert_eq!(said, expected);
    }
    let peak = gateway.peak_resident_kib() - uncounted(&gateway);
    println!("{idle} KiB after the start, {peak} KiB at most with {STREAMS} streams");
    assert!(peak <= BUSY_KIB, "{peak} KiB with {STREAMS} streams");
    let rows = gateway.wait_for_usage(STREAMS);
    let tokens = CHUNKS as u64;
    assert!(rows.iter().all(|row| row.completion_tokens == tokens && !row.tokens_estimated));
}
