//! Whose the stored texts are, and that pages which take long hold up nobody.

use std::time::{Duration, Instant};

use super::{
    pages::{EVIL, populated},
    plan,
    support::{
        backups::eventually,
        client::Caller,
        fake::Fake,
        postgres::{Postgres, psql},
        requests::chat,
        visitor::Visitor,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn stored_texts_are_for_their_user_and_for_operators() {
    let fake = Fake::start();
    let mut gateway = plan(&fake).set("logging.prompts", "full").prepare();
    let keys = ["ada@anl.gov", "bob@anl.gov"].map(|user| gateway.create_key(user));
    let operators = ["--name", "o", "--user", "olga@anl.gov", "--groups", "operators"];
    let operator = gateway.create_key_with(&operators);
    gateway.serve();
    let mut body = chat("m");
    body["messages"][0]["content"] = EVIL.into();
    Caller::of(&gateway).with_key(&keys[0]).ask("chat/completions", &body).await.ok();

    let mut ada = Visitor::with_key(&gateway, &keys[0]).await;
    let log = ada.wait_for("/dashboard/log.json", |log| log["requests"][0].is_object()).await;
    let entry = format!("/dashboard/log/{}", log["requests"][0]["id"].as_str().unwrap());
    let told = ada.wait_for(&format!("{entry}.json"), |e| e["request"]["prompt"].is_string()).await;
    let evil_in_json = serde_json::to_string(EVIL).unwrap();
    let prompt = told["request"]["prompt"].as_str().unwrap();
    assert!(prompt.contains(EVIL) || prompt.contains(&evil_in_json), "{prompt}");
    let mut operator = Visitor::with_key(&gateway, &operator).await;
    for visitor in [&mut ada, &mut operator] {
        let page = visitor.get(&entry).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("&lt;script&gt;alert(1)"), "{}", page.body);
        assert!(!page.body.contains("<script>alert"));
    }
    let mut bob = Visitor::with_key(&gateway, &keys[1]).await;
    for form in ["", ".json", "?user=ada@anl.gov"] {
        let shown = bob.get(&format!("{entry}{form}")).await;
        assert!(shown.status == 404 && !shown.body.contains("script&gt;"), "{}", shown.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_is_shown_by_its_beginning() {
    let fake = Fake::start();
    let gateway = plan(&fake).set("logging.prompts", "full").start();
    let mut body = chat("m");
    let text = "<é>".repeat(500_000);
    body["messages"][0]["content"] = text.as_str().into();
    Caller::of(&gateway).ask("chat/completions", &body).await.ok();
    let mut ada = Visitor::with_key(&gateway, gateway.key()).await;
    let log = ada.wait_for("/dashboard/log.json", |log| log["requests"][0].is_object()).await;
    let entry = format!("/dashboard/log/{}", log["requests"][0]["id"].as_str().unwrap());
    let told = ada.wait_for(&format!("{entry}.json"), |e| e["request"]["prompt"].is_string()).await;
    assert_eq!(told["request"]["prompt"].as_str().unwrap().chars().count(), 100_000);
    assert!(told["request"]["prompt_bytes"].as_u64().unwrap() > 2_000_000, "the whole is stored");
    let page = ada.get(&entry).await;
    assert!(page.body.len() < 1_000_000, "{} bytes", page.body.len());
    assert!(page.body.contains("The beginning, of "), "it says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_confined_to_some_models_reads_no_text_of_other_keys() {
    let fake = Fake::start();
    let mut gateway = plan(&fake).set("logging.prompts", "full").prepare();
    let whole = gateway.create_key("ada@anl.gov");
    let confined =
        gateway.create_key_with(&["--name", "s", "--user", "ada@anl.gov", "--models", "m"]);
    gateway.serve();
    for key in [&whole, &confined] {
        Caller::of(&gateway).with_key(key).ask("chat/completions", &chat("m")).await.ok();
    }
    let mut ada = Visitor::with_key(&gateway, &whole).await;
    let log = ada.wait_for("/dashboard/log.json", |log| log["requests"][1].is_object()).await;
    let mut readable = Vec::new();
    for request in log["requests"].as_array().unwrap() {
        let entry = format!("/dashboard/log/{}.json", request["id"].as_str().unwrap());
        ada.wait_for(&entry, |entry| entry["request"]["prompt"].is_string()).await;
        let service = Caller::of(&gateway).with_key(&confined);
        let seen = service.get(&entry).await.ok().json();
        readable.push(seen["request"]["prompt"].is_string());
    }
    assert_eq!(readable, [true, false], "the newest is its own: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_at_a_page_is_written_down() {
    let fake = Fake::start();
    let gateway = plan(&fake).start();
    let mut ada = Visitor::with_key(&gateway, gateway.key()).await;
    ada.get("/dashboard/log").await;
    ada.clone().sending("x-figw-refresh", "1").get("/dashboard/health").await;
    let program = Caller::of(&gateway);
    program.get("/dashboard/users.json").await;
    assert_eq!(program.with_key("wrong").get("/dashboard/log.json").await.status, 401);
    let rows = || {
        gateway
            .count("SELECT count(*) FROM access WHERE path LIKE '/dashboard/log%' AND status = 200")
            + gateway.count(
                "SELECT count(*) FROM access WHERE path = '/dashboard/users.json' AND status = 403",
            )
    };
    eventually(Duration::from_secs(10), || rows() == 2);
    let refreshed = "SELECT count(*) FROM access WHERE path = '/dashboard/health'";
    assert_eq!(gateway.count(refreshed), 0, "a page that stays open is only logged");
    let log = gateway.log();
    let lines = |path: &str, status: &str| {
        log.lines().filter(|line| line.contains(path) && line.contains(status)).count()
    };
    assert_eq!(lines("/dashboard/health", "200"), 1, "{log}");
    assert_eq!(lines("/dashboard/log.json", "401"), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_long_or_is_away_holds_up_nobody_else() {
    let mut postgres = Postgres::start_new();
    let (_fake, gateway, _, operator) = populated(Some(postgres.create_database("figw"))).await;
    let url = gateway.database().to_owned();
    let lock = "BEGIN; LOCK TABLE usage IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(12); COMMIT";
    let locked = std::thread::spawn(move || psql(&url, lock));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    let pages = (0..8).map(|_| {
        let mut visitor = operator.clone();
        async move { visitor.get("/dashboard/log").await }
    });
    let (caller, body) = (Caller::of(&gateway), chat("m"));
    let asked = caller.ask("chat/completions", &body);
    let (pages, answer) = futures_util::join!(futures_util::future::join_all(pages), async {
        let begun = Instant::now();
        (asked.await.ok(), begun.elapsed())
    });
    assert!(answer.1 < Duration::from_secs(1), "a request took {:?}", answer.1);
    assert!(begun.elapsed() < Duration::from_secs(11), "pages took {:?}", begun.elapsed());
    for page in &pages {
        assert_eq!(page.status, 503, "{}", page.body);
        let told = ["takes too long", "Too many pages at once"];
        assert!(told.iter().any(|told| page.body.contains(told)), "{}", page.body);
    }
    assert!(pages.iter().any(|page| page.body.contains("takes too long")));
    locked.join().unwrap();
    let mut operator = operator;
    assert_eq!(operator.get("/dashboard/log").await.status, 200, "it is over");

    postgres.stop();
    let page = operator.get("/dashboard/log").await;
    assert_eq!(page.status, 503);
    assert!(page.body.contains("The database cannot be asked"), "{}", page.body);
    assert!(!page.body.contains("127.0.0.1"), "no address is told");
    assert_eq!(operator.get("/dashboard/health").await.status, 200, "health is known without it");
}
