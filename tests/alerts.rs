//! Who is told when something is not well: by a webhook and by mail, once for each change, and again
//! when they could not be told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    backups::{Estate, Said},
    certificates::write_certificate,
    ports::free_port,
    python::script,
    small_server::{Reply, SmallServer},
};

/// The address' secret part, as with Slack's.
const HOOK: &str = "/services/T000/B000/hook-secret";
const PASSWORD: &str = "the-mail-password";

/// A receiver that records what it is sent, and answers with a status.
struct Receiver {
    server: SmallServer,
    got: Arc<Mutex<Vec<Value>>>,
    status: Arc<AtomicU16>,
}

impl Receiver {
    fn start() -> Self {
        let got = Arc::new(Mutex::new(Vec::new()));
        let status = Arc::new(AtomicU16::new(200));
        let (keep, answer) = (Arc::clone(&got), Arc::clone(&status));
        let server = SmallServer::start(move |ask| {
            let status = answer.load(Ordering::Relaxed);
            if ask.path == HOOK && status == 200 {
                keep.lock().unwrap().push(ask.json());
            }
            Reply::json(status, &json!({}))
        });
        Self { server, got, status }
    }

    fn url(&self) -> String {
        format!("{}{HOOK}", self.server.url())
    }

    /// What has come since the last time.
    fn taken(&self) -> Vec<Value> {
        std::mem::take(&mut self.got.lock().unwrap())
    }
}

/// A real mail server; ended when dropped.
struct MailServer {
    child: Child,
    port: u16,
    kept: PathBuf,
}

impl MailServer {
    fn start(directory: &Path, tls: bool) -> Self {
        let (port, kept) = (free_port(), directory.join("mails"));
        let mut command = script("alerts/mail_server.py");
        command.arg(port.to_string()).arg(&kept).env("MAIL_PASSWORD", PASSWORD);
        if tls {
            command.arg(directory.join("certificate.pem")).arg(directory.join("key.pem"));
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect(support::python::REMEDY);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "{}", support::python::REMEDY);
        Self { child, port, kept }
    }

    fn mails(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.kept).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway's directory, whose database can be taken away and brought back.
struct Place(Estate);

impl Place {
    fn new() -> Self {
        Self(Estate::sqlite())
    }

    fn configure(&self, alerts: &str) {
        // The estate's own lines end within `backup`.
        self.0.configure(&format!("alerts:\n  settle: 0s\n{alerts}"));
    }

    fn database(&self, is_there: bool) {
        let (path, away) = (self.0.path("figw.db"), self.0.path("away.db"));
        let (from, to) = if is_there { (away, path) } else { (path, away) };
        fs::rename(from, to).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.0.command(&[&["health", "--only", "database", "--notify"][..], arguments].concat())
    }

    fn health(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }
}

#[test]
fn a_webhook_is_told_of_each_change_once() {
    let (place, receiver) = (Place::new(), Receiver::start());
    let webhook = |format: &str| {
        place.configure(&format!("  webhook: {{url: \"{}\", format: {format}}}\n", receiver.url()));
    };
    webhook("json");
    assert_eq!(place.health(&[]).status, Some(0));
    assert_eq!(receiver.taken(), [Value::Null; 0], "all is well, as before");

    place.database(false);
    let said = place.health(&[]);
    assert_eq!(said.status, Some(2));
    assert!(said.stdout.ends_with("told: webhook\n"), "{said:?}");
    let told = receiver.taken();
    assert_eq!(told.len(), 1, "{told:?}");
    let change = &told[0]["changes"][0];
    assert_eq!((&told[0]["state"], &change["check"]), (&json!("critical"), &json!("database")));
    assert_eq!((&change["change"], &change["before"]), (&json!("worse"), &Value::Null));
    let evidence = change["evidence"].as_str().unwrap();
    assert!(evidence.contains("does not exist; run `figw migrate`"), "{told:?}");
    assert!(told[0]["title"].as_str().unwrap().ends_with("(database)"), "{told:?}");
    let since = change["since"].clone();

    assert_eq!(place.health(&[]).status, Some(2));
    assert!(receiver.taken().is_empty(), "nothing is new");
    webhook("json}\n  reminder: 1ms\n  smtp: {");
    place.health(&[]);
    let reminded = receiver.taken();
    assert_eq!(reminded[0]["changes"][0]["change"], "reminder", "{reminded:?}");
    assert_eq!(reminded[0]["changes"][0]["since"], since);

    place.database(true);
    webhook("slack");
    assert_eq!(place.health(&[]).status, Some(0));
    let told = receiver.taken();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["text"].as_str().unwrap().starts_with("figw recovered, OK now: "), "{told:?}");
    let kinds: Vec<_> = told[0]["blocks"].as_array().unwrap().iter().map(|b| &b["type"]).collect();
    assert_eq!(kinds, ["header", "section", "context"]);
    let text = told[0]["blocks"][1]["text"]["text"].as_str().unwrap();
    assert!(text.contains("*database* is OK since 2") && text.contains("was CRITICAL"), "{text}");
    assert_eq!(told[0]["blocks"][0]["text"]["type"], "plain_text");
}

#[test]
fn who_could_not_be_told_is_told_by_the_next_run() {
    let (place, receiver) = (Place::new(), Receiver::start());
    let dead = free_port();
    place.configure(&format!(
        "  webhook: {{url: \"{}\", format: json}}\n  smtp: {{url: \"smtp://user:{PASSWORD}@127.0.0.1:{dead}\", \
         from: figw@example.org, to: [ops@example.org]}}\n",
        receiver.url()
    ));
    receiver.status.store(500, Ordering::Relaxed);
    place.database(false);
    let said = place.health(&[]);
    assert_eq!(said.status, Some(2), "the state is the database's");
    let last = said.stdout.lines().last().unwrap();
    assert!(
        last.starts_with("NOT told, the next run tries again: webhook: it answered 500"),
        "{said:?}"
    );
    assert!(last.contains("mail: "), "{said:?}");
    for secret in [PASSWORD, "hook-secret"] {
        assert!(!format!("{said:?}").contains(secret), "{said:?}");
    }

    receiver.status.store(200, Ordering::Relaxed);
    let said = place.health(&[]);
    assert_eq!(receiver.taken().len(), 1, "{said:?}");
    place.health(&[]);
    assert!(receiver.taken().is_empty(), "only the mail is still owed");

    // The mail server was never told that anything was wrong; the webhook was.
    receiver.status.store(500, Ordering::Relaxed);
    place.database(true);
    let said = place.health(&["--quiet"]);
    assert_eq!(said.status, Some(1), "a health that is OK, and nobody knows: {said:?}");
    assert!(
        said.stdout.starts_with("FIGW WARNING - nobody") && said.stdout.contains("NOT told"),
        "{said:?}"
    );
}

#[test]
fn a_disk_that_takes_nothing_keeps_nobody_from_being_told() {
    let place = Place::new();
    let directory = place.0.path("");
    let mails = MailServer::start(&directory, false);
    // What the rename of the new file cannot replace; it appears once the state has been read.
    let in_the_way = place.0.path("state/alerts.json");
    let block = in_the_way.clone();
    let webhook = SmallServer::start(move |_| {
        fs::create_dir_all(&block).unwrap();
        Reply::json(200, &json!({}))
    });
    place.configure(&format!(
        "  webhook: {{url: \"{}{HOOK}\", format: json}}\n  smtp: {{url: \"smtp://127.0.0.1:{}\", \
         from: figw@example.org, to: [ops@example.org]}}\n",
        webhook.url(),
        mails.port
    ));
    place.database(false);
    let said = place.health(&[]);
    assert_eq!(said.status, Some(2), "{said:?}");
    assert!(said.stdout.contains("\ntold: webhook, mail\n"), "{said:?}");
    assert!(!said.stdout.contains("NOT told"), "{said:?}");
    assert!(said.stdout.contains("\nNOT remembered, the next run may tell"), "{said:?}");
    assert!(said.stdout.contains("alerts.json"), "{said:?}");
    assert_eq!(mails.mails().len(), 1);
}

#[test]
fn a_state_directory_that_is_not_there_or_hangs_keeps_nobody_from_being_told() {
    for (hangs, reason) in [(false, "cannot create"), (true, "does not answer")] {
        let (place, receiver) = (Place::new(), Receiver::start());
        place.configure(&format!("  webhook: {{url: \"{}\", format: json}}\n", receiver.url()));
        place.database(false);
        let state = place.0.path("state");
        if hangs {
            fs::create_dir_all(&state).unwrap();
            // Whoever opens it to write waits for somebody who reads.
            let lock = state.join("alerts.lock");
            assert!(Command::new("mkfifo").arg(lock).status().unwrap().success());
        } else {
            fs::write(&state, "").unwrap();
        }
        for _ in 0..2 {
            let begun = Instant::now();
            let said = place.health(&[]);
            assert_eq!(said.status, Some(2), "{said:?}");
            assert!(said.stdout.contains("\ntold: webhook\n"), "{said:?}");
            assert!(said.stdout.contains("\nNOT remembered, the next run may tell"), "{said:?}");
            assert!(said.stdout.contains(reason), "{said:?}");
            assert_eq!(receiver.taken().len(), 1, "at every run");
            assert!(begun.elapsed() < Duration::from_mins(1));
        }
    }
}

#[test]
fn each_gateway_is_told_of_for_itself() {
    let (place, receiver) = (Place::new(), Receiver::start());
    place.configure(&format!("  webhook: {{url: \"{}\", format: json}}\n", receiver.url()));
    let dead = format!("http://127.0.0.1:{}", free_port());
    let well = SmallServer::start(|_| Reply::json(200, &json!({"status": "ready", "checks": []})));
    let look = |url: &str| {
        let arguments = ["health", "--only", "gateway", "--notify", "--url", url];
        place.0.figw(&arguments).status
    };
    for round in 0..2 {
        assert_eq!(look(&dead), Some(2));
        assert_eq!(look(well.url()), Some(0));
        let told = receiver.taken();
        assert_eq!(told.len(), usize::from(round == 0), "{told:?}");
        for told in told {
            assert_eq!(told["instance"], dead.trim_start_matches("http://"), "{told:?}");
        }
    }
}

#[test]
fn two_runs_at_once_tell_once() {
    let (place, receiver) = (Place::new(), Receiver::start());
    place.configure(&format!("  webhook: {{url: \"{}\"}}\n", receiver.url()));
    place.database(false);
    let runs: Vec<_> = (0..4)
        .map(|_| place.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        .collect();
    for mut run in runs {
        assert_eq!(run.wait().unwrap().code(), Some(2));
    }
    assert_eq!(receiver.taken().len(), 1);
}

#[test]
fn mail_goes_in_plain_text_and_by_starttls_with_a_login() {
    for tls in [false, true] {
        let place = Place::new();
        let directory = place.0.path("");
        write_certificate(&directory, 90);
        let server = MailServer::start(&directory, tls);
        let url = if tls {
            format!("smtp://figw:{PASSWORD}@localhost:{}?tls=required", server.port)
        } else {
            format!("smtp://127.0.0.1:{}", server.port)
        };
        place.configure(&format!(
            "  smtp:\n    url: \"{url}\"\n    from: figw <figw@example.org>\n    \
             to: [ops@example.org, Ada <ada@example.org>]\n"
        ));
        place.database(false);
        let mut command = place.command(&[]);
        // The authority that this machine trusts.
        let said = command.env("SSL_CERT_FILE", directory.join("certificate.pem")).output();
        let said = Said::from(said.unwrap());
        assert!(said.status == Some(2) && said.stdout.ends_with("told: mail\n"), "{said:?}");
        let mails = server.mails();
        assert_eq!(mails.len(), 1, "{mails:?}");
        assert_eq!(mails[0]["to"], json!(["ops@example.org", "ada@example.org"]));
        assert_eq!((&mails[0]["tls"], &mails[0]["authenticated"]), (&json!(tls), &json!(tls)));
        let content = mails[0]["content"].as_str().unwrap();
        let (headers, body) = content.split_once("\r\n\r\n").unwrap();
        assert!(headers.contains("Subject: figw CRITICAL: "), "{content}");
        assert!(headers.contains("Auto-Submitted: auto-generated"), "{content}");
        assert!(headers.contains("Message-ID: <") && headers.contains("Date: "), "{content}");
        assert!(body.contains("database is CRITICAL at the first look, 2"), "{content}");
    }
}

#[test]
fn what_a_check_says_makes_no_header_and_no_mention() {
    let (place, receiver) = (Place::new(), Receiver::start());
    let directory = place.0.path("");
    let server = MailServer::start(&directory, false);
    place.configure(&format!(
        "  webhook: {{url: \"{}\"}}\n  smtp: {{url: \"smtp://127.0.0.1:{}\", from: figw@example.org, \
         to: [ops@example.org]}}\n",
        receiver.url(),
        server.port
    ));
    let evil = "sqlite:x\r\nBcc: eve@example.org\r\n\r\n<!channel> & more";
    let mut command = place.command(&[]);
    let said = Said::from(command.env("FIGW_DATABASE__URL", evil).output().unwrap());
    assert_eq!(said.status, Some(2), "{said:?}");
    let text = receiver.taken()[0]["blocks"][1]["text"]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("&lt;!channel&gt; &amp; more") && !text.contains('\r'), "{text}");
    let mails = server.mails();
    assert_eq!(mails[0]["to"], json!(["ops@example.org"]), "{mails:?}");
    let content = mails[0]["content"].as_str().unwrap();
    let (headers, _) = content.split_once("\r\n\r\n").unwrap();
    assert!(!headers.to_lowercase().contains("bcc"), "{content}");
}

#[test]
fn nobody_to_tell_is_a_mistake() {
    let place = Place::new();
    let said = place.health(&[]);
    assert_eq!(said.status, Some(3), "{said:?}");
    assert!(said.stdout.contains("set alerts.webhook.url or alerts.smtp.url"), "{said:?}");
    place.configure("  smtp: {url: \"smtp://127.0.0.1\", from: nobody}\n");
    let said = place.health(&[]);
    assert_eq!(said.status, Some(3), "{said:?}");
    for word in ["alerts.smtp.from", "must be an address", "alerts.smtp.to"] {
        assert!(said.stdout.contains(word), "no {word}: {said:?}");
    }
}
