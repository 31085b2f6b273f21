//! Sessions: how they begin, what they are worth to whom, and how they end.

use std::time::Duration;

use http::Method;

use super::{
    plan,
    support::{fake::Fake, gateway::Gateway, redis::Redis, visitor::Visitor},
};

/// Every page, as far as it has an address of its own.
const PAGES: [&str; 8] =
    ["", "series", "models", "log", "batches", "health", "log.json", "log.csv"];

fn gateway() -> (Fake, Gateway) {
    let fake = Fake::start();
    let gateway = plan(&fake).start();
    (fake, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_the_dashboard_until_it_is_revoked() {
    let fake = Fake::start();
    let mut gateway = plan(&fake).prepare();
    let create = ["--output", "json", "key", "create", "--name", "n", "--user", "ada@anl.gov"];
    let made: serde_json::Value = serde_json::from_str(&gateway.run(&create)).unwrap();
    let key = made["key"].as_str().unwrap();
    gateway.serve();
    let mut ada = Visitor::of(&gateway);
    let refused = ada.log_in("figw_nobody-has-this-key").await;
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("not known here") && ada.cookies.keys().all(|k| k != "figw"));

    let mut ada = Visitor::with_key(&gateway, key).await;
    let page = ada.get("/dashboard/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("ada@anl.gov") && page.body.contains("own usage"));
    assert!(!page.body.contains(key), "no page shows a key");
    let login = ada.get("/dashboard/login?next=/dashboard/log").await;
    assert_eq!((login.status, login.location()), (303, "/dashboard/log"), "is in already");

    gateway.run(&["--yes", "key", "revoke", made["id"].as_str().unwrap()]);
    for _ in 0..50 {
        let page = ada.get("/dashboard/").await;
        if page.status == 303 {
            assert_eq!(page.location(), "/dashboard/login");
            assert_eq!(ada.get("/dashboard/log.json").await.status, 401);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a revoked key still shows the dashboard");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_a_session_sees_anything() {
    let (_fake, gateway) = gateway();
    let mut stranger = Visitor::of(&gateway);
    for page in PAGES {
        let shown = stranger.get(&format!("/dashboard/{page}")).await;
        let is_data = page.contains('.');
        assert_eq!(shown.status, if is_data { 401 } else { 303 }, "{page}");
        assert!(is_data || shown.location().starts_with("/dashboard/login"), "{page}");
    }
    let shown = stranger.get("/dashboard/log?model=a%26b&status=5xx").await;
    let next = "/dashboard/login?next=/dashboard/log%3Fmodel%3Da%2526b%26status%3D5xx";
    assert_eq!(shown.location(), next);
    // Programs bring what they bring to the API.
    let mut program =
        Visitor::of(&gateway).sending("authorization", &format!("Bearer {}", gateway.key()));
    assert_eq!(program.get("/dashboard/log.json").await.json()["requests"], serde_json::json!([]));
    assert!(program.get("/dashboard/log?format=csv").await.body.starts_with("id,request_id,"));
    let mut program = Visitor::of(&gateway).sending("authorization", "Bearer figw_nobody");
    assert_eq!(program.get("/dashboard/log.json").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_set_as_strictly_as_the_way_there_allows() {
    let (_fake, gateway) = gateway();
    let mut plain = Visitor::of(&gateway);
    let shown = plain.log_in(gateway.key()).await;
    let cookie = shown.cookies().into_iter().find(|c| c.starts_with("figw=")).unwrap().to_owned();
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "a browser would not send it back over plain HTTP");
    let mut behind_tls = Visitor::of(&gateway).sending("x-forwarded-proto", "https");
    let shown = behind_tls.log_in(gateway.key()).await;
    let cookie = shown.cookies().into_iter().find(|c| c.starts_with("__Host-figw=")).unwrap();
    assert!(cookie.contains("; Secure") && !cookie.contains("Domain"), "{cookie}");
    assert_eq!(behind_tls.get("/dashboard/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_forged_or_ended_is_none() {
    let (_fake, gateway) = gateway();
    let mut ada = Visitor::with_key(&gateway, gateway.key()).await;
    let stolen = ada.clone();
    let page = ada.get("/dashboard/").await;

    for forged in ["", "x", "AAAA", &ada.cookies["figw"].to_uppercase(), &ada.cookies["figw"][1..]]
    {
        let mut forger = Visitor::of(&gateway);
        forger.cookies.insert("figw".into(), forged.into());
        assert_eq!(forger.get("/dashboard/").await.status, 303, "{forged}");
    }
    // One cookie is no other.
    let mut confused = Visitor::of(&gateway);
    confused.get("/dashboard/login").await;
    let form = confused.cookies["figw-form"].clone();
    confused.cookies.insert("figw".into(), form);
    assert_eq!(confused.get("/dashboard/").await.status, 303);

    // Another site cannot log anybody out.
    for token in ["", "x", &Visitor::of(&gateway).get("/dashboard/login").await.form_token()] {
        assert_eq!(ada.post("/dashboard/logout", &[("token", token)]).await.status, 403);
    }
    // A browser that sends no cookie for another site would still remove it if it were told to.
    let mut misled = Visitor::of(&gateway).sending("sec-fetch-site", "cross-site");
    let shown = misled.post("/dashboard/logout", &[]).await;
    assert_eq!((shown.status, shown.cookies().len()), (403, 0), "{shown:?}");
    let shown = Visitor::of(&gateway).post("/dashboard/logout", &[]).await;
    assert_eq!((shown.status, shown.cookies().len()), (303, 0), "{shown:?}");
    let shown = ada.post("/dashboard/logout", &[("token", &page.form_token())]).await;
    assert_eq!((shown.status, shown.location()), (303, "/dashboard/login?out=1"));
    assert!(!ada.cookies.contains_key("figw"));
    assert!(ada.get(shown.location()).await.body.contains("You are logged out."));
    let mut stolen = stolen;
    assert_eq!(stolen.get("/dashboard/").await.status, 303, "a copy is of no use afterwards");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_by_themselves() {
    let fake = Fake::start();
    let gateway = plan(&fake)
        .set("dashboard.session_idle", "3s")
        .set("dashboard.session_lifetime", "6s")
        .start();
    let mut ada = Visitor::with_key(&gateway, gateway.key()).await;
    let mut refreshing = ada.clone().sending("x-figw-refresh", "1");
    let mut forgotten = ada.clone();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(ada.get("/dashboard/health").await.status, 200, "{:?}", begun.elapsed());
        if begun.elapsed() < Duration::from_secs(2) {
            assert_eq!(refreshing.get("/dashboard/health").await.status, 200);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(forgotten.get("/dashboard/health").await.status, 303, "idle for too long");
    assert_eq!(refreshing.get("/dashboard/health").await.status, 303, "nobody looks at it");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(ada.get("/dashboard/health").await.status, 303, "the whole life is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_with_one_secret_know_each_others_sessions() {
    let (fake, first) = gateway();
    let mut ada = Visitor::with_key(&first, first.key()).await;
    // The same database, and so the same keys.
    let second = plan(&fake).database(first.database()).start();
    assert_eq!(ada.clone().at(&second).get("/dashboard/").await.status, 200);
    let third = plan(&fake)
        .database(first.database())
        .set("dashboard.session_secret", "another-secret-of-more-than-32-chars")
        .start();
    assert_eq!(ada.clone().at(&third).get("/dashboard/").await.status, 303);
    assert_eq!(ada.get("/dashboard/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_counts_at_every_instance() {
    let redis = Redis::start_new();
    let fake = Fake::start();
    let first = plan(&fake).set("cache.redis_url", &redis.url()).start();
    let second =
        plan(&fake).set("cache.redis_url", &redis.url()).database(first.database()).start();
    let mut ada = Visitor::with_key(&first, first.key()).await;
    let mut copy = ada.clone().at(&second);
    assert_eq!(copy.get("/dashboard/").await.status, 200);
    let token = ada.get("/dashboard/").await.form_token();
    assert_eq!(ada.post("/dashboard/logout", &[("token", &token)]).await.status, 303);
    assert_eq!(copy.get("/dashboard/").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_can_log_nobody_in() {
    let (_fake, gateway) = gateway();
    // Mallory has a form of her own, and lets Ada's browser send it.
    let mut mallory = Visitor::of(&gateway);
    let token = mallory.get("/dashboard/login").await.form_token();
    let mut ada = Visitor::of(&gateway);
    let form = [("token", token.as_str()), ("key", gateway.key())];
    assert_eq!(ada.post("/dashboard/login", &form).await.status, 403, "without a cookie");
    ada.get("/dashboard/login").await;
    assert_eq!(ada.post("/dashboard/login", &form).await.status, 403, "with another's token");
    let own = ada.get("/dashboard/login").await.form_token();
    let form = [("token", own.as_str()), ("key", gateway.key())];
    let mut elsewhere = ada.clone().sending("sec-fetch-site", "cross-site");
    assert_eq!(elsewhere.post("/dashboard/login", &form).await.status, 403);
    let mut same_site = ada.clone().sending("sec-fetch-site", "same-site");
    assert_eq!(same_site.post("/dashboard/login", &form).await.status, 403);
    let shown = ada.sending("sec-fetch-site", "same-origin").post("/dashboard/login", &form).await;
    assert_eq!(shown.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_another_site() {
    let (_fake, gateway) = gateway();
    for next in [
        "https://evil.example",
        "//evil.example/",
        "/\\evil.example",
        "/dashboard/../../x",
        "/v1/models",
    ] {
        let mut ada = Visitor::of(&gateway).sending("host", "evil.example");
        let query: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let form = ada.get(&format!("/dashboard/login?next={query}")).await;
        assert!(!form.body.contains("evil"), "{}", form.body);
        let token = form.form_token();
        let form = [("token", token.as_str()), ("key", gateway.key()), ("next", next)];
        let shown = ada.post("/dashboard/login", &form).await;
        assert_eq!((shown.status, shown.location()), (303, "/dashboard/"), "{next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_keys_is_told_to_wait() {
    let (_fake, gateway) = gateway();
    let mut guesser = Visitor::of(&gateway);
    let mut statuses = Vec::new();
    for number in 0..12 {
        statuses.push(guesser.log_in(&format!("figw_guess{number}")).await.status);
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[10..], [429; 2]);
    let shown = guesser.log_in(gateway.key()).await;
    assert_eq!(shown.status, 429, "even with the right one");
    assert!(shown.header("retry-after").parse::<u64>().unwrap() <= 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_other_pages_and_scripts_out() {
    let (_fake, gateway) = gateway();
    let mut ada = Visitor::with_key(&gateway, gateway.key()).await;
    let page = ada.get("/dashboard/").await;
    let style = page.body.split("href=\"").find(|rest| rest.contains(".css\"")).unwrap();
    let style = style.split('"').next().unwrap().to_owned();
    let more = ["login", "nothing", "users", "login/globus", &style["/dashboard/".len()..]];
    for path in PAGES.iter().chain(&more) {
        let shown = ada.get(&format!("/dashboard/{path}")).await;
        let policy = shown.header("content-security-policy");
        for word in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(word), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(shown.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(shown.header("referrer-policy"), "same-origin", "{path}");
        let kept = if path.starts_with("assets/") {
            "public, max-age=31536000, immutable"
        } else {
            "no-store"
        };
        assert_eq!(shown.header("cache-control"), kept, "{path}");
        assert!(!shown.body.contains("<script>") && !shown.body.contains(" style="), "{path}");
        assert!(!shown.body.contains(" onclick") && !shown.body.contains("<style"), "{path}");
        let head = ada.send(Method::HEAD, &format!("/dashboard/{path}"), None).await;
        assert_eq!((head.status, head.body.as_str()), (shown.status, ""), "{path}");
    }
    for missing in [
        "nothing",
        "log/7",
        "log/00000000-0000-0000-0000-000000000000",
        "assets/x.css",
        "login/globus",
        "index.php",
        "%00",
        "..%2f",
    ] {
        let shown = ada.get(&format!("/dashboard/{missing}")).await;
        assert_eq!(shown.status, 404, "{missing}");
        assert!(shown.body.contains("There is nothing here"), "{missing}");
    }
    assert_eq!(ada.get("/dashboard").await.location(), "/dashboard/");
    assert_eq!(ada.get("/dashboardx").await.status, 404);
    for (path, allowed) in [("/dashboard/", "GET, HEAD"), ("/dashboard/login", "GET, HEAD, POST")] {
        let shown = ada.send(Method::DELETE, path, None).await;
        assert_eq!((shown.status, shown.header("allow")), (405, allowed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_need_be_no_dashboard() {
    let fake = Fake::start();
    let gateway = plan(&fake).set("dashboard.enabled", "false").start();
    for path in ["/dashboard/", "/dashboard/login", "/dashboard/log.json"] {
        assert_eq!(Visitor::of(&gateway).get(path).await.status, 404);
    }
}

#[test]
fn a_short_secret_is_refused_at_the_start() {
    let fake = Fake::start();
    let gateway = plan(&fake).set("dashboard.session_secret", "short").prepare();
    let output = gateway.command().arg("serve").output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert!(log.contains("dashboard.session_secret") && log.contains("openssl rand"), "{log}");
}
