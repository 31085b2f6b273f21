//! A caller who hangs up: the back end is told at once, and what happened is written down.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::time::{Duration, Instant};

use support::{
    client::Caller,
    fake::{Fake, Fault},
    gateway::{Gateway, Plan},
    requests::{REQUESTS, STREAMED, request, streamed_chat},
};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// Within this time of the caller's leaving, the back end must see it.
const PROMISE: Duration = Duration::from_millis(100);
/// For what is no promise: plenty, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

const HUNG_UP: &str = "the caller hung up";

fn start() -> (Fake, Gateway) {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    (fake, gateway)
}

/// Closes the connection and fails when the `count`th abort comes too late.
async fn hang_up(tcp: TcpStream, fake: &Fake, count: usize, what: &str) {
    let left = Instant::now();
    drop(tcp);
    let seen = fake.wait_until(PATIENCE, |counts| counts.aborted >= count).await;
    assert!(seen, "{what}: the back end saw nobody leave: {:?}", fake.counts());
    let late = fake.aborts()[count - 1].saturating_duration_since(left);
    assert!(late <= PROMISE, "{what}: the back end saw the caller leave after {late:?}");
}

/// Waits until the back end is at work on the `count`th request.
async fn at_work(fake: &Fake, count: usize) {
    let opened = |counts: support::fake::Counts| counts.opened == count && counts.open == 1;
    assert!(fake.wait_until(PATIENCE, opened).await, "{:?}", fake.counts());
    let received = async {
        while fake.received().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, received).await.expect("the whole request");
}

/// Reads until `mark` has come.
async fn read_until(tcp: &mut TcpStream, mark: &str) {
    let read = async {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(mark) {
            let byte_count = tcp.read_buf(&mut seen).await.unwrap();
            assert!(byte_count > 0, "no {mark} in {}", String::from_utf8_lossy(&seen));
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect(mark);
}

#[tokio::test]
async fn before_the_answer_s_head_on_every_route() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    fake.always(Some(Fault::HangBeforeHeaders));
    for (done, (route, streamed)) in REQUESTS.into_iter().enumerate() {
        let body = request(route, "fake-model", streamed).to_string();
        let tcp = caller.send_raw(&caller.raw_post(&format!("/v1/{route}"), body.as_bytes())).await;
        at_work(&fake, done + 1).await;
        assert_eq!(gateway.status()["in_flight"], 1);
        hang_up(tcp, &fake, done + 1, route).await;
        gateway.wait_until_idle(PATIENCE);
    }
    let rows = gateway.wait_for_usage(REQUESTS.len());
    for (row, (route, streamed)) in rows.iter().zip(REQUESTS) {
        assert_eq!((row.route.as_str(), row.streamed), (route, streamed));
        assert_eq!((row.status, row.error.as_deref()), (499, Some(HUNG_UP)), "{row:?}");
        assert_eq!(row.backend_status, None);
        assert_eq!(row.prompt_tokens + row.completion_tokens, 0, "nobody began to answer: {row:?}");
    }
}

#[tokio::test]
async fn in_the_middle_of_a_whole_answer_on_every_route() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    fake.always(Some(Fault::HangMidway));
    let whole: Vec<_> = REQUESTS.into_iter().filter(|(_, streamed)| !streamed).collect();
    for (done, (route, _)) in whole.iter().enumerate() {
        let body = request(route, "fake-model", false).to_string();
        let tcp = caller.send_raw(&caller.raw_post(&format!("/v1/{route}"), body.as_bytes())).await;
        at_work(&fake, done + 1).await;
        // Half of the answer is on its way to figw, or there.
        tokio::time::sleep(Duration::from_millis(30)).await;
        hang_up(tcp, &fake, done + 1, route).await;
        gateway.wait_until_idle(PATIENCE);
    }
    for row in gateway.wait_for_usage(whole.len()) {
        assert_eq!((row.status, row.error.as_deref()), (499, Some(HUNG_UP)), "{row:?}");
        assert_eq!(row.backend_status, Some(200));
        assert!(row.tokens_estimated && row.prompt_tokens > 0, "the prompt was read: {row:?}");
    }
}

#[tokio::test]
async fn in_the_middle_of_a_long_answer() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    fake.always(Some(Fault::Huge));
    let body = request("completions", "fake-model", false).to_string();
    let mut tcp = caller.send_raw(&caller.raw_post("/v1/completions", body.as_bytes())).await;
    read_until(&mut tcp, "xxxxxxxx").await;
    let left = Instant::now();
    drop(tcp);
    gateway.wait_until_idle(PROMISE + Duration::from_millis(100));
    assert!(left.elapsed() < PATIENCE);
    let row = gateway.wait_for_usage(1).remove(0);
    assert_eq!((row.status, row.error.as_deref()), (200, Some(HUNG_UP)));
    assert!(row.response_bytes < 50_000_000, "not all of it was sent: {row:?}");
}

#[tokio::test]
async fn in_the_middle_of_a_stream_on_every_route() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    // A stream that has gone quiet, and one that is flowing.
    for (round, fault) in
        [Fault::HangMidway, Fault::SlowChunks(Duration::from_millis(20))].into_iter().enumerate()
    {
        fake.always(Some(fault));
        for (done, route) in STREAMED.into_iter().enumerate() {
            let count = round * STREAMED.len() + done + 1;
            let mut body = request(route, "fake-model", true);
            let limit = if route == "responses" { "max_output_tokens" } else { "max_tokens" };
            body[limit] = 1000.into();
            let post = caller.raw_post(&format!("/v1/{route}"), body.to_string().as_bytes());
            let mut tcp = caller.send_raw(&post).await;
            read_until(&mut tcp, "0 ").await;
            hang_up(tcp, &fake, count, route).await;
            gateway.wait_until_idle(PATIENCE);
        }
    }
    let rows = gateway.wait_for_usage(2 * STREAMED.len());
    for (row, route) in rows.iter().zip(STREAMED.into_iter().cycle()) {
        assert_eq!((row.route.as_str(), row.streamed), (route, true));
        assert_eq!((row.status, row.error.as_deref()), (200, Some(HUNG_UP)), "{row:?}");
        assert!(row.first_byte_us.is_some() && row.response_bytes > 0, "{row:?}");
        assert!(row.completion_tokens > 0, "what was used is settled: {row:?}");
    }
}

#[tokio::test]
async fn after_the_back_end_s_head_of_a_stream_that_never_begins() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    fake.always(Some(Fault::HangAfterHeaders));
    for (done, route) in STREAMED.into_iter().enumerate() {
        let body = request(route, "fake-model", true).to_string();
        let tcp = caller.send_raw(&caller.raw_post(&format!("/v1/{route}"), body.as_bytes())).await;
        at_work(&fake, done + 1).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        hang_up(tcp, &fake, done + 1, route).await;
    }
    gateway.wait_until_idle(PATIENCE);
    for row in gateway.wait_for_usage(STREAMED.len()) {
        assert_eq!((row.status, row.error.as_deref()), (499, Some(HUNG_UP)), "{row:?}");
    }
}

#[tokio::test]
async fn in_the_middle_of_the_upload_on_every_route() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    for (route, streamed) in REQUESTS {
        let body = request(route, "fake-model", streamed).to_string();
        let post = caller.raw_post(&format!("/v1/{route}"), body.as_bytes());
        let tcp = caller.send_raw(&post[..post.len() - body.len() / 2]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(tcp);
    }
    // No endpoint was chosen: the model stands in a body that never came.
    for row in gateway.wait_for_access(REQUESTS.len()) {
        assert_eq!(row.status, 400, "{row:?}");
        assert!(row.error.as_deref().is_some_and(|e| e.contains("broke off")), "{row:?}");
    }
    assert_eq!(fake.counts().opened, 0, "the back end hears of whole requests only");
    assert_eq!(gateway.status()["in_flight"], 0);
    assert!(gateway.usage().is_empty());
}

#[tokio::test]
async fn having_stopped_to_read_long_before() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    fake.always(Some(Fault::Huge));
    let body = streamed_chat("fake-model", 5).to_string();
    let mut tcp = caller.send_raw(&caller.raw_post("/v1/chat/completions", body.as_bytes())).await;
    read_until(&mut tcp, "0 ").await;
    let before = gateway.resident_kib();
    // The pipe is full by then, from the back end to here.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "figw took {grown} KiB for a caller who does not read");
    assert_eq!(fake.counts().open, 1, "the back end waits for its reader");
    hang_up(tcp, &fake, 1, "a stalled stream").await;
    gateway.wait_until_idle(PATIENCE);
    let row = gateway.wait_for_usage(1).remove(0);
    assert_eq!((row.status, row.error.as_deref()), (200, Some(HUNG_UP)));
}

#[tokio::test]
async fn many_at_once_leave_nothing_behind() {
    const CALLERS: usize = 100;
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    fake.always(Some(Fault::HangMidway));
    let body = streamed_chat("fake-model", 5).to_string();
    let post = caller.raw_post("/v1/chat/completions", body.as_bytes());
    let mut open = Vec::new();
    for _ in 0..CALLERS {
        open.push(caller.send_raw(&post).await);
    }
    for tcp in &mut open {
        read_until(tcp, "0 ").await;
    }
    assert_eq!(gateway.status()["in_flight"], CALLERS);
    drop(open);
    assert!(fake.wait_until(PATIENCE, |counts| counts.aborted == CALLERS).await);
    gateway.wait_until_idle(PATIENCE);
    let rows = gateway.wait_for_usage(CALLERS);
    assert!(rows.iter().all(|row| row.error.as_deref() == Some(HUNG_UP)));
}
