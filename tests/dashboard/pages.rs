//! What pages show: to whom, in which form, and that nobody's words become part of them.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    plan,
    support::{
        fake::Fake,
        gateway::Gateway,
        postgres::{Postgres, psql},
        visitor::Visitor,
    },
};

/// What somebody would put into every text to get into a page.
pub(super) const EVIL: &str = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'--";

/// The pages with figures about users.
const PAGES: [&str; 6] = ["overview", "series", "models", "log", "batches", "health"];

/// Rows as the gateway would write them.
struct Rows(String);

impl Rows {
    fn new() -> Self {
        Self(String::new())
    }

    /// A request of `user` for `model` so many seconds ago, as the `number`th.
    fn request(
        mut self,
        number: u32,
        user: &str,
        model: &str,
        status: u16,
        ago: u32,
        postgres: bool,
    ) -> Self {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(number));
        let (id, at) = if postgres {
            (format!("'{id}'"), format!("now() - interval '{ago} seconds'"))
        } else {
            (format!("x'{}'", id.simple()), format!("(unixepoch() - {ago}) * 1000000"))
        };
        let error = if status < 400 { "NULL".to_owned() } else { quoted(EVIL) };
        writeln!(
            self.0,
            "INSERT INTO usage (id, request_id, started_at, username, cluster, framework, endpoint, \
             model, route, streamed, status, prompt_tokens, completion_tokens, tokens_estimated, \
             first_byte_us, duration_us, request_bytes, response_bytes, error) VALUES ({id}, \
             'request-{number}', {at}, {}, 'c1', 'vllm', 'c1-vllm-m', {}, 'chat/completions', \
             false, {status}, 100, 10, false, 50000, 250000, 400, 800, {error});",
            quoted(user),
            quoted(model),
        )
        .unwrap();
        self
    }

    fn write(self, gateway: &Gateway) {
        match gateway.database().strip_prefix("sqlite:") {
            Some(path) => {
                let database = rusqlite::Connection::open(path).unwrap();
                database.busy_timeout(Duration::from_secs(10)).unwrap();
                database.execute_batch(&self.0).unwrap();
            }
            None => drop(psql(gateway.database(), &self.0)),
        }
    }
}

/// A gateway with requests of Ada, Bob and Eve, summed up; Ada has a key, and an operator.
pub(super) async fn populated(database: Option<String>) -> (Fake, Gateway, Visitor, Visitor) {
    let fake = Fake::start();
    let plan = plan(&fake);
    let is_postgres = database.is_some();
    let plan = match database {
        Some(url) => plan.database(url),
        None => plan,
    };
    let mut gateway = plan.prepare();
    let ada = gateway.create_key("ada@anl.gov");
    let operator = gateway.create_key_with(&[
        "--name",
        "o",
        "--user",
        "olga@anl.gov",
        "--groups",
        "operators",
    ]);
    gateway.serve();
    let mut rows = Rows::new();
    for number in 0..30 {
        rows = rows.request(number, "ada@anl.gov", "m", 200, 60 * number, is_postgres);
    }
    for number in 30..40 {
        rows = rows.request(number, "bob_secret@anl.gov", "bobs-model", 502, number, is_postgres);
    }
    rows = rows.request(40, EVIL, EVIL, 400, 30, is_postgres);
    rows.write(&gateway);
    let ada = Visitor::with_key(&gateway, &ada).await;
    let mut operator = Visitor::with_key(&gateway, &operator).await;
    operator
        .wait_for("/dashboard/overview.json?range=7d", |page| page["total"]["requests"] == 41)
        .await;
    (fake, gateway, ada, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_tell_the_same_from_postgresql() {
    let postgres = Postgres::start_new();
    let (_fake, _gateway, ada, operator) = populated(Some(postgres.create_database("figw"))).await;
    the_story(ada, operator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_tell_the_same_from_sqlite() {
    let (_fake, _gateway, ada, operator) = populated(None).await;
    the_story(ada, operator).await;
}

async fn the_story(mut ada: Visitor, mut operator: Visitor) {
    for range in ["1h", "24h", "7d", "30d", "90d", "1y"] {
        let page = operator.get(&format!("/dashboard/overview.json?range={range}")).await.json();
        let total = &page["total"];
        assert_eq!(total["requests"], 41, "{range}: {page:#}");
        assert_eq!(
            (&total["succeeded"], &total["client_errors"]),
            (&json!(30), &json!(1)),
            "{range}"
        );
        assert_eq!((&total["server_errors"], &page["users"]), (&json!(10), &json!(3)), "{range}");
        assert_eq!(
            (&total["prompt_tokens"], &total["completion_tokens"]),
            (&json!(4100), &json!(410))
        );
        assert_eq!(page["models"][0]["model"], "m");
        assert_eq!(page["clusters"], json!([page["clusters"][0]]));

        let series = operator.get(&format!("/dashboard/series.json?range={range}")).await.json();
        let steps = series["steps"].as_array().unwrap();
        let sum: u64 = steps.iter().map(|step| step["requests"].as_u64().unwrap()).sum();
        assert!(sum == 41 && (2..=101).contains(&steps.len()), "{range}: {sum} in {}", steps.len());

        let models = operator.get(&format!("/dashboard/models.json?range={range}")).await.json();
        let m = &models["models"][0];
        assert_eq!(m["duration_seconds"]["requests"], 30, "{range}: {models:#}");
        for (measure, value) in
            [("duration_seconds", 0.25), ("first_byte_seconds", 0.05), ("tokens_per_second", 40.0)]
        {
            let median = m[measure]["median"].as_f64().unwrap();
            assert!((median / value - 1.0).abs() < 0.2, "{range} {measure}: {median}");
        }
        let own = ada.get(&format!("/dashboard/overview.json?range={range}")).await.json();
        assert_eq!(
            (&own["total"]["requests"], &own["users"]),
            (&json!(30), &Value::Null),
            "{range}"
        );
        let own = ada.get(&format!("/dashboard/models.json?range={range}")).await.json();
        assert_eq!(own["models"].as_array().unwrap().len(), 1);
    }
    users(&mut operator).await;
    log(&mut operator).await;
    others_are_out_of_reach(&mut ada, &mut operator).await;
    words_stay_words(&mut operator).await;
    nonsense_is_refused(&mut operator).await;
}

async fn users(operator: &mut Visitor) {
    let names = |page: &Value| -> Vec<String> {
        let users = page["users"].as_array().unwrap();
        users.iter().map(|user| user["user"].as_str().unwrap().to_owned()).collect()
    };
    for range in ["24h", "30d"] {
        let base = format!("/dashboard/users.json?range={range}");
        let page = operator.get(&base).await.json();
        assert_eq!(names(&page), ["ada@anl.gov", "bob_secret@anl.gov", EVIL]);
        assert_eq!(page["total"], 3);
        let page = operator.get(&format!("{base}&sort=name&dir=desc")).await.json();
        assert_eq!(names(&page)[0], "bob_secret@anl.gov");
        let page = operator.get(&format!("{base}&sort=errors")).await.json();
        assert_eq!(names(&page), ["bob_secret@anl.gov", EVIL, "ada@anl.gov"]);
        let page = operator.get(&format!("{base}&search=BOB_")).await.json();
        assert_eq!(names(&page), ["bob_secret@anl.gov"]);
        let page = operator.get(&format!("{base}&search=%25")).await.json();
        assert_eq!(names(&page), [""; 0], "a sign and no pattern");
    }
    let csv = operator.get("/dashboard/users.csv").await;
    assert!(csv.body.starts_with("user,requests,succeeded,"), "{}", csv.body);
    assert!(csv.header("content-disposition").contains("figw-users.csv"));
}

async fn log(operator: &mut Visitor) {
    let count = async |operator: &mut Visitor, query: &str| {
        let page = operator.get(&format!("/dashboard/log.json?{query}")).await.json();
        page["requests"].as_array().unwrap_or_else(|| panic!("{query}: {page}")).len()
    };
    for (query, expected) in [
        ("", 41),
        ("user=ada@anl.gov", 30),
        ("status=5xx", 10),
        ("status=4xx", 1),
        ("status=errors", 11),
        ("status=ok&model=m&cluster=c1&route=chat/completions", 30),
        ("route=embeddings", 0),
        ("request_id=request-35", 1),
        ("request_id=request-99", 0),
        ("range=1h&user=bob_secret@anl.gov", 10),
        ("from=2020-01-01&until=2020-02-01", 0),
    ] {
        assert_eq!(count(operator, query).await, expected, "{query}");
    }
    // Logins and looks at pages are other requests, and a refusal is one.
    let path = "/dashboard/log.json?kind=other&status=ok&limit=200";
    let of = |page: &Value, path: &str, user: &str| {
        let rows = page["requests"].as_array().unwrap().iter();
        rows.filter(|row| row["path"] == path && row["user"] == user).count()
    };
    let users = ["ada@anl.gov", "olga@anl.gov"];
    operator
        .wait_for(path, |page| {
            users.iter().all(|user| of(page, "/dashboard/login", user) == 1)
                && of(page, "/dashboard/overview.json", "ada@anl.gov") == 6
        })
        .await;
    let adas = operator.get(&format!("{path}&user=ada@anl.gov")).await.json();
    let adas = adas["requests"].as_array().unwrap();
    assert!(adas.len() > 7 && adas.iter().all(|row| row["user"] == "ada@anl.gov"), "{adas:?}");
    let page = operator.get("/dashboard/log?kind=other").await;
    assert!(page.body.contains("GET /dashboard/log.json"), "{}", page.body);
    // Part by part, each request comes once, the newest first.
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page =
            operator.get(&format!("/dashboard/log.json?limit=7&before={before}")).await.json();
        seen.extend(page["requests"].as_array().unwrap().clone());
        match page["older"].as_str() {
            Some(older) => older.clone_into(&mut before),
            None => break,
        }
    }
    assert_eq!(seen.len(), 41);
    let times: Vec<_> = seen.iter().map(|row| row["started_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
}

async fn others_are_out_of_reach(ada: &mut Visitor, operator: &mut Visitor) {
    let all = operator.get("/dashboard/log.json").await.json();
    let bobs = all["requests"].as_array().unwrap().iter().find(|row| row["status"] == 502).unwrap();
    let bobs = bobs["id"].as_str().unwrap();
    assert_eq!(operator.get(&format!("/dashboard/log/{bobs}")).await.status, 200);
    for path in [
        format!("log/{bobs}"),
        format!("log/{bobs}.json"),
        format!("log/{bobs}?user=bob_secret@anl.gov"),
    ] {
        assert_eq!(ada.get(&format!("/dashboard/{path}")).await.status, 404, "{path}");
    }
    for query in [
        "",
        "user=bob_secret@anl.gov",
        "user=",
        "user=ada@anl.gov&user=bob_secret@anl.gov",
        "mine=0&admin=1",
        "username=bob_secret@anl.gov",
        "model=bobs-model",
        "status=5xx",
        "request_id=request-35",
        "kind=other&user=olga@anl.gov",
        "range=1y",
        "from=2020-01-01",
    ] {
        for page in PAGES {
            for form in ["", ".json", ".csv"] {
                if matches!((page, query), ("batches", "status=5xx"))
                    || (page == "health" && form == ".csv")
                {
                    continue;
                }
                let path = format!("/dashboard/{page}{form}?{query}");
                let shown = ada.get(&path).await;
                assert_eq!(shown.status, 200, "{path}");
                let told = shown
                    .body
                    .replace(&format!("value=\"{}", "bob"), "")
                    .replace("bobs-model\" autocomplete", "");
                // What was asked for stands in fields and links; nothing of Bob's stands in answers.
                let told = told.split('<').filter(|part| {
                    !part.starts_with("a ")
                        && !part.starts_with("input")
                        && !part.starts_with("form")
                });
                let told: String = told.collect();
                assert!(
                    !told.contains("olga")
                        && !told.contains("bob_secret")
                        && !told.contains("bobs-model")
                        && !told.contains("request-35"),
                    "{path}: {told}"
                );
            }
        }
    }
    for path in ["users", "users.json", "users.csv?user=ada@anl.gov"] {
        assert_eq!(ada.get(&format!("/dashboard/{path}")).await.status, 403, "{path}");
    }
}

async fn words_stay_words(operator: &mut Visitor) {
    let evil: String = url::form_urlencoded::byte_serialize(EVIL.as_bytes()).collect();
    let all = operator.get("/dashboard/log.json?status=4xx").await.json();
    let entry = all["requests"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(all["requests"][0]["model"], EVIL);
    for path in [
        String::new(),
        "models".into(),
        "users".into(),
        format!("users?search={evil}"),
        "log".into(),
        format!("log?user={evil}&model={evil}&cluster={evil}&request_id={evil}"),
        format!("log/{entry}"),
        "health".into(),
        format!("series?user={evil}"),
        format!("?range={evil}"),
        format!("?from={evil}"),
        format!("log?before={evil}"),
        format!("login?next={evil}"),
        format!("login/callback?error={evil}"),
        evil.clone(),
    ] {
        let shown = operator.get(&format!("/dashboard/{path}")).await;
        assert!(
            !shown.body.contains("<script>alert") && !shown.body.contains("<img"),
            "{path}: {}",
            shown.body
        );
        assert!(!shown.body.contains("\"><img"), "{path}");
    }
}

async fn nonsense_is_refused(operator: &mut Visitor) {
    for path in [
        "?range=2d",
        "?from=yesterday",
        "?until=2026-01-01",
        "series?from=2026-02-01&until=2026-01-01",
        "users?sort=password",
        "users?page=0",
        "users?page=-1",
        "users?page=99999999999",
        "users?dir=up",
        "log?status=teapot",
        "log?limit=1001",
        "log?before=1_2",
        "log?before=99999999999999999999_00000000000000000000000000000000",
        "batches?before=x",
        "batches?status=lost",
    ] {
        let shown = operator.get(&format!("/dashboard/{path}")).await;
        assert_eq!(shown.status, 400, "{path}");
        let name = path.split(['?', '=']).nth(1).unwrap();
        let told = operator.get(&format!("/dashboard/{path}&format=json")).await.json();
        let message = told["error"]["message"].as_str().unwrap();
        assert!(
            message.contains(name) || message.contains("until") || message.contains("from"),
            "{path}: {message}"
        );
    }
    // What no database takes is taken for nothing.
    assert_eq!(operator.get("/dashboard/log?model=%00&user=%ff%fe").await.status, 200);
}
