//! One process takes over from another while functions on clusters stream to it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    fs,
    process::Child,
    time::{Duration, Instant},
};

use support::{
    cluster_stream::{Stream, globus, plan, whole},
    gateway::Gateway,
    globus::FakeGlobus,
    redis::Redis,
};

fn sockets(gateway: &Gateway) -> usize {
    let names = fs::read_dir(gateway.directory().join("state")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("streams-")).count()
}

/// Waits until a process that was taken over from has ended well.
async fn ends(mut old: Child, gateway: &Gateway) {
    let given_up = Instant::now() + Duration::from_secs(30);
    while old.try_wait().unwrap().is_none() {
        assert!(Instant::now() < given_up, "it runs on: {}", gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(old.wait().unwrap().code(), Some(0), "{}", gateway.log());
}

/// Three processes in a row, each with a stream that outlives it.
async fn a_row_of_processes(globus: &FakeGlobus, gateway: &mut Gateway) {
    let mut streams = Vec::new();
    let mut texts: Vec<Vec<String>> = Vec::new();
    let mut olds = Vec::new();
    for turn in 0..3 {
        let stream = Stream::open(globus, gateway).await;
        stream.says(gateway, "at first ").await;
        streams.push(stream);
        texts.push(vec!["at first ".to_owned()]);
        olds.push(gateway.take_over());
        for (stream, texts) in streams.iter().zip(&mut texts) {
            for piece in 0..20 {
                let text = format!("{turn}-{piece} ");
                stream.says(gateway, &text).await;
                texts.push(text);
            }
        }
    }
    assert_eq!(sockets(gateway), 4, "one of each process");
    let last = streams.pop().unwrap();
    for stream in &streams {
        assert!(!stream.is_over());
        assert_eq!(stream.done(gateway).await.status, 200);
        assert_eq!(stream.say(gateway, "late").await.status, 403);
    }
    let wrong = last.post(gateway, "error", serde_json::json!({})).await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    assert_eq!(last.done(gateway).await.status, 200);
    streams.push(last);
    for (stream, texts) in streams.into_iter().zip(texts) {
        assert_eq!(stream.read().await.ok().text(), whole(&texts));
    }
    for old in olds {
        ends(old, gateway).await;
    }
    assert_eq!(sockets(gateway), 1, "those who have gone have left nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_outlive_their_process_s_turn_without_redis() {
    let globus = globus();
    let mut gateway = plan(&globus, None).start();
    a_row_of_processes(&globus, &mut gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_outlive_their_process_s_turn_with_redis() {
    let (globus, redis) = (globus(), Redis::start_new());
    let mut gateway = plan(&globus, Some(&redis)).start();
    a_row_of_processes(&globus, &mut gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_with_directories_of_their_own_need_redis_for_it() {
    let (globus, redis) = (globus(), Redis::start_new());
    let blue = plan(&globus, Some(&redis)).start();
    let green = plan(&globus, Some(&redis)).start();
    let stream = Stream::open(&globus, &blue).await;
    stream.says(&blue, "one ").await;
    stream.says(&green, "two").await;
    assert_eq!(stream.done(&green).await.status, 200);
    let texts = ["one ", "two"].map(str::to_owned);
    assert_eq!(stream.read().await.ok().text(), whole(&texts));

    let (alone, other) = (plan(&globus, None).start(), plan(&globus, None).start());
    let mut stream = Stream::open(&globus, &alone).await;
    let refused = stream.say(&other, "one").await;
    assert_eq!(refused.status, 403);
    assert!(refused.took < Duration::from_millis(200), "{:?}", refused.took);
    stream.hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_has_left_is_swept() {
    let globus = globus();
    let mut gateway = plan(&globus, None).start();
    let mut stream = Stream::open(&globus, &gateway).await;
    stream.hang_up().await;
    gateway.kill();
    assert_eq!(sockets(&gateway), 1);
    gateway.serve();
    assert_eq!(sockets(&gateway), 1, "its own");
    assert_eq!(stream.say(&gateway, "to nobody").await.status, 403);
    gateway.terminate();
    assert_eq!(gateway.wait_for_exit(Duration::from_secs(20)).code(), Some(0));
    assert_eq!(sockets(&gateway), 0);
}
