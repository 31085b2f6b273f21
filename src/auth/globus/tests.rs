//! Time is put into the memory here, where stories against the real program would have to wait.

use std::net::Ipv4Addr;

use jiff::SignedDuration;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use url::Url;

use super::*;
use crate::globus::{AuthClient, GroupsClient, Service};

/// Logins that ask whoever listens on `port`.
fn logins(port: u16) -> Logins {
    let url = Url::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    let service = Service::new("Globus", url, Duration::from_secs(10)).unwrap();
    let account = ServiceAccount { id: "app".into(), secret: "secret".into() };
    let services = Services {
        auth: AuthClient::new(service.clone(), account.clone()),
        groups: GroupsClient::new(service),
    };
    Logins::new(services, &account, Rules::default(), Cache::default(), Handle::current())
}

/// A port on which every request is answered with this JSON.
async fn answering(json: serde_json::Value) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = tcp.read(&mut request).await;
            let body = json.to_string();
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length:";
            let _ = tcp.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await;
        }
    });
    port
}

async fn nobody() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap().port()
}

fn ada() -> Arc<Caller> {
    Arc::new(Caller {
        user: "ada@anl.gov".into(),
        name: "Ada".into(),
        groups: Arc::new([]),
        models: Arc::new([]),
        key_id: None,
        login: None,
    })
}

fn from_now(seconds: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(seconds)
}

/// Lets `logins` know Ada by `token` from long ago, until the token `ends`.
fn known_from_long_ago(logins: &Logins, token: &str, ends: Timestamp) -> KeyHash {
    let hash = KeyHash::of(token);
    let known = Known { caller: ada(), fresh_until: from_now(-1), ends };
    logins.inner.memories.accept(hash, known);
    hash
}

#[tokio::test]
async fn without_globus_a_known_caller_goes_on_until_the_token_ends() {
    let logins = logins(nobody().await);
    let hash = known_from_long_ago(&logins, "token", from_now(60));
    for _ in 0..3 {
        assert_eq!(logins.caller(hash, "token").await, Ok(ada()));
    }
    assert!(logins.trouble().is_some());

    let hash = known_from_long_ago(&logins, "ended", from_now(-1));
    let refused = logins.caller(hash, "ended").await;
    assert!(matches!(refused, Err(LoginError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_known_caller_does_not_wait_long_for_a_globus_that_hangs() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let logins = logins(listener.local_addr().unwrap().port());
    let hash = known_from_long_ago(&logins, "token", from_now(60));
    let within = timeout(PATIENCE + Duration::from_secs(1), logins.caller(hash, "token")).await;
    assert_eq!(within, Ok(Ok(ada())));
    // The same question is still under way: nobody waits for it anew.
    let within = timeout(Duration::from_millis(500), logins.caller(hash, "token")).await;
    assert_eq!(within, Ok(Ok(ada())));
}

#[tokio::test]
async fn ten_minutes_later_a_revoked_token_is_refused() {
    let logins = logins(answering(json!({"active": false})).await);
    let hash = known_from_long_ago(&logins, "token", from_now(60));
    for _ in 0..2 {
        match logins.caller(hash, "token").await {
            Err(LoginError::Denied(denial)) => assert_eq!(denial.reason, Reason::Inactive),
            other => panic!("{other:?}"),
        }
    }
    assert!(logins.trouble().is_none());
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_nobodys_bad_login() {
    let logins = logins(answering(json!("no document of introspection")).await);
    let refused = logins.caller(KeyHash::of("token"), "token").await;
    assert!(matches!(refused, Err(LoginError::Unavailable(_))), "{refused:?}");
}

#[test]
fn what_cannot_be_a_token_is_not_asked_about() {
    assert!(could_be_a_token("Ag5y-._~+/=9"));
    for absurd in ["two words", "new\nline", "<script>", "tökén", &"a".repeat(5000)] {
        assert!(!could_be_a_token(absurd), "{absurd}");
    }
}
