//! Streams of clusters whose posts come to other instances than the one that the caller has asked.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::time::{Duration, Instant};

use redis::Commands as _;
use serde_json::{Value, json};
use support::{
    cluster_stream::{
        ENDPOINT, FUNCTION, Stream, all_are, globus, line, plan, wait_for_cache, whole,
    },
    gateway::Gateway,
    globus::{FakeGlobus, Function, Outcome, STREAMING_SECRET},
    redis::Redis,
};
use uuid::Uuid;

/// Instances that share a Redis.
struct Fleet {
    globus: FakeGlobus,
    redis: Redis,
    gateways: Vec<Gateway>,
}

impl Fleet {
    fn of(count: usize) -> Self {
        let (globus, redis) = (globus(), Redis::start_new());
        let gateways: Vec<_> = (0..count).map(|_| plan(&globus, Some(&redis)).start()).collect();
        all_are(&gateways, "ok");
        Self { globus, redis, gateways }
    }

    /// A stream whose caller has asked the first instance.
    async fn open(&self) -> Stream {
        Stream::open(&self.globus, &self.gateways[0]).await
    }

    /// How often Redis was told to publish something.
    fn published(&self) -> u64 {
        let stats: String =
            redis::cmd("INFO").arg("commandstats").query(&mut self.redis.connection()).unwrap();
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_publish:calls="));
        calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
    }
}

fn median(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_whole_wherever_its_posts_come_to() {
    let fleet = Fleet::of(3);
    let stream = fleet.open().await;
    let texts: Vec<_> = (0..300).map(|i| format!("{i} héllo \u{1f600} \\n \"{i}\" ")).collect();
    let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
    for (i, text) in texts.iter().enumerate() {
        let took = stream.says(&fleet.gateways[i % 3], text).await;
        if i % 3 == 0 { here.push(took) } else { elsewhere.push(took) }
    }
    assert_eq!(fleet.published(), 2 * 200, "a question and an answer for each post elsewhere");
    let done = stream.done(&fleet.gateways[2]).await;
    assert_eq!((done.status, &done.body["task_id"]), (200, &json!(stream.task)));
    assert_eq!(stream.read().await.ok().text(), whole(&texts));
    let ((here, here_p99), (elsewhere, elsewhere_p99)) = (median(here), median(elsewhere));
    println!("a post here: median {here:?}, p99 {here_p99:?}");
    println!("a post elsewhere: median {elsewhere:?}, p99 {elsewhere_p99:?}");
    assert!(elsewhere < Duration::from_millis(50), "{elsewhere:?}");
    let passed = r#"figw_streaming_passed_on_total{status="200"}"#;
    assert_eq!(fleet.gateways[1].metric(passed), Some(100.0));
    assert_eq!(fleet.gateways[2].metric(passed), Some(101.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_once_do_not_get_in_each_other_s_way() {
    const STREAMS: usize = 60;
    let fleet = Fleet::of(3);
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        streams.push(Stream::open(&fleet.globus, &fleet.gateways[number % 3]).await);
    }
    let functions = streams.into_iter().enumerate().map(async |(number, stream)| {
        let (mut texts, mut elsewhere) = (Vec::new(), Vec::new());
        for piece in 0..30 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let text = format!("{number}-{piece} ");
            let at = (number * 7 + piece * 5) % 3;
            let took = stream.says(&fleet.gateways[at], &text).await;
            if at != number % 3 {
                elsewhere.push(took);
            }
            texts.push(text);
        }
        assert_eq!(stream.done(&fleet.gateways[(number + 1) % 3]).await.status, 200);
        assert_eq!(stream.read().await.ok().text(), whole(&texts));
        elsewhere
    });
    let elsewhere = futures_util::future::join_all(functions).await.concat();
    let (median, p99) = median(elsewhere);
    println!("a post elsewhere among {STREAMS} streams: median {median:?}, p99 {p99:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_hangs_nothing_comes_out_of_order_and_no_gap_is_hidden() {
    for stall in [500, 1800, 4000].map(Duration::from_millis) {
        let fleet = Fleet::of(2);
        let stream = fleet.open().await;
        stream.says(&fleet.gateways[1], "one ").await;
        fleet.redis.signal("STOP");
        let goes_on = async {
            tokio::time::sleep(stall).await;
            fleet.redis.signal("CONT");
        };
        let posts = async {
            let second = stream.say(&fleet.gateways[1], "two ").await.status;
            assert_eq!(stream.say(&fleet.gateways[0], "three ").await.status, 200);
            second
        };
        let (second, ()) = tokio::join!(posts, goes_on);
        tokio::time::sleep(Duration::from_secs(3)).await;
        if second == 200 {
            assert_eq!(stream.done(&fleet.gateways[1]).await.status, 200);
            let texts = ["one ", "two ", "three "].map(str::to_owned);
            assert_eq!(stream.read().await.ok().text(), whole(&texts), "{stall:?}");
        } else {
            assert_eq!(second, 504, "{stall:?}");
            assert_eq!(stream.done(&fleet.gateways[0]).await.status, 403, "it has ended by itself");
            let answer = stream.read().await;
            assert!(answer.text().contains("lost on its way"), "{}", answer.text());
            assert!(!answer.text().contains("[DONE]"), "{}", answer.text());
            let (said, _) = answer.text().split_once("lost on its way").unwrap();
            assert!(said.find("three").is_some() && !said.contains("two"), "{said}");
        }
        assert_eq!(second == 200, stall < Duration::from_secs(1), "{stall:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_s_own_posts_cost_no_redis() {
    let fleet = Fleet::of(1);
    let stream = fleet.open().await;
    for i in 0..50 {
        stream.says(&fleet.gateways[0], &i.to_string()).await;
    }
    assert_eq!(stream.done(&fleet.gateways[0]).await.status, 200);
    stream.read().await.ok();
    assert_eq!(fleet.published(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_a_stream_elsewhere_ends_it_for_everybody() {
    let fleet = Fleet::of(2);
    let [holder, other] = &fleet.gateways[..] else { unreachable!() };

    let failing = fleet.open().await;
    failing.says(other, "one ").await;
    let failed = failing.post(other, "error", json!({"error": "at /home/someone"})).await;
    assert_eq!(failed.status, 200);
    for gateway in [other, holder] {
        assert_eq!(failing.say(gateway, "late").await.status, 403);
        assert_eq!(failing.done(gateway).await.status, 403);
    }
    let answer = failing.read().await.ok();
    let last: Value = serde_json::from_str(answer.events()[1]).unwrap();
    assert_eq!(last["error"]["message"], "the model failed in the middle of its answer");

    let mut left = fleet.open().await;
    left.says(other, "one ").await;
    left.hang_up().await;
    holder.wait_until_idle(Duration::from_secs(5));
    assert_eq!(left.say(other, "two ").await.status, 403);
    assert_eq!(left.done(other).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_elsewhere_is_refused_as_it_would_be_here() {
    let fleet = Fleet::of(2);
    let (stream, mut foreign) = (fleet.open().await, fleet.open().await);
    let named = |body: Value| {
        let mut body = body;
        body["task_id"] = stream.task.clone().into();
        body.to_string().into_bytes()
    };
    let evil = || named(json!({"data": line("evil"), "error": "evil"}));
    let (right, long) = ((STREAMING_SECRET, stream.token.as_str()), "x".repeat(300));
    for gateway in &fleet.gateways {
        let refused = async |kind: &str, shown, body| {
            let posted = stream.post_with(gateway, kind, shown, body).await;
            assert!(posted.body["error"].is_string(), "{posted:?}");
            posted.status
        };
        for kind in ["data", "error", "done"] {
            assert_eq!(refused(kind, (STREAMING_SECRET, "wrong"), evil()).await, 403);
            assert_eq!(refused(kind, (STREAMING_SECRET, &foreign.token), evil()).await, 403);
            assert_eq!(refused(kind, (STREAMING_SECRET, &long), evil()).await, 403);
            assert_eq!(refused(kind, ("wrong", &stream.token), evil()).await, 401);
            assert_eq!(refused(kind, (STREAMING_SECRET, ""), evil()).await, 401);
            assert_eq!(refused(kind, right, vec![b' '; 150_001]).await, 413);
        }
        assert_eq!(refused("data", right, named(json!({"data": 7}))).await, 400);
        assert_eq!(refused("error", right, named(json!({}))).await, 400);
        let almost = named(json!({"data": "x".repeat(149_900)}));
        assert_eq!(stream.post_with(gateway, "data", right, almost).await.status, 200);
    }
    stream.says(&fleet.gateways[1], "fine").await;
    stream.done(&fleet.gateways[1]).await;
    assert_eq!(stream.read().await.ok().text(), whole(&["fine".to_owned()]));
    foreign.hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_nowhere_is_refused_at_once() {
    let mut fleet = Fleet::of(2);
    let mut orphan = fleet.open().await;
    orphan.hang_up().await;
    fleet.gateways[0].kill();
    let posted = orphan.say(&fleet.gateways[1], "to nobody").await;
    assert_eq!(posted.status, 403);
    assert!(posted.took < Duration::from_millis(500), "{:?}", posted.took);
    orphan.task = Uuid::new_v4().to_string();
    let posted = orphan.say(&fleet.gateways[1], "to nobody").await;
    assert_eq!(posted.status, 403);
    assert!(posted.took < Duration::from_millis(100), "{:?}", posted.took);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_restarts_a_post_waits_and_nothing_is_lost() {
    let mut fleet = Fleet::of(2);
    let stream = fleet.open().await;
    stream.says(&fleet.gateways[1], "one ").await;
    fleet.redis.stop();
    let restarts = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::block_in_place(|| fleet.redis.start());
    };
    let (posted, ()) = tokio::join!(stream.say(&fleet.gateways[1], "two "), restarts);
    println!("a post while Redis was away for 300 ms took {:?}", posted.took);
    assert_eq!(posted.status, 200, "{posted:?}");
    stream.says(&fleet.gateways[0], "three ").await;
    assert_eq!(stream.done(&fleet.gateways[1]).await.status, 200);
    // The caller may be kept waiting for the function's own count, which never comes here.
    let texts = ["one ", "two ", "three "].map(str::to_owned);
    assert_eq!(stream.read().await.ok().text(), whole(&texts));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_all_goes_on_that_can_and_it_comes_back_by_itself() {
    let mut fleet = Fleet::of(2);
    let (own, torn) = (fleet.open().await, fleet.open().await);
    torn.says(&fleet.gateways[1], "one ").await;
    fleet.redis.stop();
    for gateway in &fleet.gateways {
        wait_for_cache(gateway, "degraded");
        assert!(gateway.get("/ready").unwrap().1.contains("\"since\""));
        let given_up = Instant::now() + Duration::from_secs(3);
        while gateway.metric("figw_cache_up") != Some(0.0) {
            assert!(Instant::now() < given_up, "{:?}", gateway.metric("figw_cache_up"));
        }
    }
    own.says(&fleet.gateways[0], "here ").await;
    let lost = torn.say(&fleet.gateways[1], "two ").await;
    assert_eq!(lost.status, 504, "{lost:?}");
    assert!(lost.took < Duration::from_secs(2), "the function gives up then: {:?}", lost.took);
    torn.says(&fleet.gateways[0], "three ").await;

    fleet.redis.start();
    let begun = Instant::now();
    for gateway in &fleet.gateways {
        wait_for_cache(gateway, "ok");
    }
    println!("all is well {:?} after Redis is back", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let again = own.say(&fleet.gateways[1], "and there").await;
    assert_eq!(again.status, 200, "subscriptions are back, too");
    // What was lost is not passed over.
    let torn = torn.read().await;
    assert!(torn.text().ends_with("\n\n") && !torn.text().contains("[DONE]"), "{torn:?}");
    assert!(torn.text().contains("lost on its way"), "{torn:?}");
    assert_eq!(fleet.gateways[0].metric("figw_cache_up"), Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_done_while_redis_is_away_is_counted() {
    for (total, is_whole) in [(3, false), (2, true)] {
        let mut fleet = Fleet::of(2);
        let summary = json!({"status": "completed", "total_chunks": total}).to_string();
        fleet.globus.function(
            FUNCTION,
            Function::new(move |_| {
                let returns = Outcome::Returns(summary.clone().into());
                Outcome::After(Duration::from_secs(6), Box::new(returns))
            }),
        );
        let stream = fleet.open().await;
        stream.says(&fleet.gateways[0], "one ").await;
        fleet.redis.stop();
        stream.says(&fleet.gateways[0], "two ").await;
        wait_for_cache(&fleet.gateways[0], "degraded");
        if !is_whole {
            assert_eq!(stream.say(&fleet.gateways[1], "three ").await.status, 504);
        }
        assert_eq!(stream.done(&fleet.gateways[0]).await.status, 200);
        let answer = stream.read().await.ok();
        assert_eq!(answer.text().contains("[DONE]"), is_whole, "{}", answer.text());
        assert_eq!(answer.text().contains("lost on its way"), !is_whole, "{}", answer.text());
    }
}

/// Every message that goes through Redis on figw's channels.
fn overhear(redis: &Redis) -> std::sync::mpsc::Receiver<(String, Vec<u8>)> {
    let (sender, heard) = std::sync::mpsc::channel();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let mut connection = redis.connection();
    std::thread::spawn(move || {
        let mut messages = connection.as_pubsub();
        messages.psubscribe("figw:streams:*").unwrap();
        ready.send(()).unwrap();
        while let Ok(message) = messages.get_message() {
            let said = (message.get_channel_name().to_owned(), message.get_payload_bytes().into());
            if sender.send(said).is_err() {
                return;
            }
        }
    });
    is_ready.recv().unwrap();
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_and_writes_redis_learns_no_token_and_changes_no_stream() {
    let fleet = Fleet::of(2);
    let stream = fleet.open().await;
    let heard = overhear(&fleet.redis);
    let texts = ["the first words ".to_owned(), "and the second".to_owned()];
    stream.says(&fleet.gateways[1], &texts[0]).await;
    stream.says(&fleet.gateways[1], &texts[1]).await;
    let messages: Vec<_> =
        (0..4).map(|_| heard.recv_timeout(Duration::from_secs(5)).unwrap()).collect();
    for (channel, message) in &messages {
        let seen = format!("{channel} {}", String::from_utf8_lossy(message));
        for hidden in [stream.token.as_str(), STREAMING_SECRET, "words", "second"] {
            assert!(!seen.contains(hidden), "{hidden} in {seen}");
        }
    }
    let mut connection = fleet.redis.connection();
    let mut publish = |channel: &str, message: &[u8]| {
        let _: u64 = connection.publish(channel, message).unwrap();
    };
    for (channel, message) in &messages {
        for (other, _) in &messages {
            publish(other, message);
        }
        for place in 0..message.len() {
            let mut changed = message.clone();
            changed[place] ^= 0x01;
            publish(channel, &changed);
        }
        let forged = json!({"task_id": stream.task, "data": line("evil")}).to_string();
        publish(channel, &[&message[..45], forged.as_bytes(), &[0; 16]].concat());
        for length in [0, 1, 20, 21, 45, 61] {
            publish(channel, &message[..length.min(message.len())]);
        }
        publish(channel, &vec![1; 2_000_000]);
    }
    stream.says(&fleet.gateways[1], "!").await;
    assert_eq!(stream.done(&fleet.gateways[1]).await.status, 200);
    let all = [texts[0].clone(), texts[1].clone(), "!".to_owned()];
    assert_eq!(stream.read().await.ok().text(), whole(&all));
    let log = fleet.gateways[0].log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(fleet.gateways[0].metric("figw_streaming_forged_total") > Some(0.0));
    assert!(!fleet.globus.submitted().iter().any(|task| task.endpoint != ENDPOINT));
}
