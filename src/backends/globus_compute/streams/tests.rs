//! Posts as a function sends them, and as somebody else might.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use serde_json::{Value, json};

use super::*;

const SECRET: &str = "the secret of all functions";

fn hub() -> StreamHub {
    let url = "https://gateway.example.org".parse().unwrap();
    StreamHub::new(&SECRET.into(), &url).unwrap()
}

fn read(inbox: &mut Inbox) -> Poll<Piece> {
    inbox.poll_piece(&mut Context::from_waker(Waker::noop()))
}

fn events(text: &str) -> Poll<Piece> {
    Poll::Ready(Piece::Events(bytes::Bytes::copy_from_slice(text.as_bytes())))
}

/// One open stream and its function.
struct Open {
    hub: StreamHub,
    ticket: StreamTicket,
    inbox: Inbox,
}

impl Open {
    fn on(hub: &StreamHub) -> Self {
        let (ticket, inbox) = hub.open().unwrap();
        Self { hub: hub.clone(), ticket, inbox }
    }

    fn send(&self, kind: PostKind, mut body: Value) -> Result<Uuid, PostRefusal> {
        body["task_id"] = self.ticket.task.to_string().into();
        let token = self.ticket.token.expose_secret().as_bytes();
        self.hub.post(kind, token, body.to_string().as_bytes())
    }

    fn data(&self, lines: &str) -> Result<Uuid, PostRefusal> {
        self.send(PostKind::Data, json!({"type": "data", "data": lines}))
    }

    fn done(&self) -> Result<Uuid, PostRefusal> {
        self.send(PostKind::Done, json!({"type": "done"}))
    }
}

#[test]
fn posts_are_read_in_their_order_and_end_with_done() {
    let hub = hub();
    let mut open = Open::on(&hub);
    assert!(read(&mut open.inbox).is_pending());
    let task = open.ticket.task;
    assert_eq!(open.data("data: 1\ndata: 2"), Ok(task));
    assert_eq!(open.data("data: 3"), Ok(task));
    assert_eq!(open.done(), Ok(task));
    assert_eq!(read(&mut open.inbox), events("data: 1\n\ndata: 2\n\n"));
    assert_eq!(read(&mut open.inbox), events("data: 3\n\n"));
    assert_eq!(open.inbox.lines(), 3);
    assert_eq!(read(&mut open.inbox), Poll::Ready(Piece::End(End::Done)));
}

#[test]
fn a_post_wakes_its_reader() {
    struct Woken(AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Woken(AtomicUsize::default()));
    let waker = Waker::from(Arc::clone(&woken));
    let hub = hub();
    let mut open = Open::on(&hub);
    assert!(open.inbox.poll_piece(&mut Context::from_waker(&waker)).is_pending());
    open.data("data: 1").unwrap();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
}

#[test]
fn nothing_is_taken_after_the_end() {
    let hub = hub();
    let mut open = Open::on(&hub);
    open.data("data: 1").unwrap();
    open.done().unwrap();
    let failed = open.send(PostKind::Error, json!({"error": "late"}));
    for late in [open.data("data: late"), open.done(), failed] {
        assert_eq!(late, Err(PostRefusal::NoStream));
    }
    assert_eq!(read(&mut open.inbox), events("data: 1\n\n"));
    assert_eq!(read(&mut open.inbox), Poll::Ready(Piece::End(End::Done)));
}

#[test]
fn the_first_error_is_the_one_that_counts() {
    let hub = hub();
    let mut open = Open::on(&hub);
    open.send(PostKind::Error, json!({"error": "first"})).unwrap();
    // FIRST's function posts a model's error twice.
    let second = open.send(PostKind::Error, json!({"error": "second"}));
    assert_eq!(second, Err(PostRefusal::NoStream));
    assert_eq!(read(&mut open.inbox), Poll::Ready(Piece::End(End::Failed("first".into()))));
}

#[test]
fn a_caller_who_hangs_up_closes_the_stream_at_once() {
    let hub = hub();
    let open = Open::on(&hub);
    open.data("data: 1").unwrap();
    assert_eq!(hub.open_streams(), 1);
    let Open { hub, ticket, inbox } = open;
    drop(inbox);
    assert_eq!(hub.open_streams(), 0);
    let body = json!({"task_id": ticket.task.to_string(), "data": "data: 2"}).to_string();
    let token = ticket.token.expose_secret().as_bytes();
    assert_eq!(hub.post(PostKind::Data, token, body.as_bytes()), Err(PostRefusal::NoStream));
}

#[test]
fn a_slow_reader_loses_its_own_stream_and_no_more_memory() {
    let hub = hub();
    let (mut slow, mut other) = (Open::on(&hub), Open::on(&hub));
    let line = format!("data: {}", "x".repeat(100_000));
    let taken = (0..1000).take_while(|_| slow.data(&line).is_ok()).count();
    assert!((80..=84).contains(&taken), "{taken} posts of 100 kB fit into 8 MiB");
    assert_eq!(slow.data("data: 1"), Err(PostRefusal::NoStream));
    assert_eq!(read(&mut slow.inbox), Poll::Ready(Piece::End(End::Overrun)));

    other.data("data: 1").unwrap();
    assert_eq!(read(&mut other.inbox), events("data: 1\n\n"));
    for _ in 0..200 {
        other.data(&line).unwrap();
        assert!(read(&mut other.inbox).is_ready(), "whoever reads may have more than 8 MiB");
    }
}

#[test]
fn posts_are_refused_in_firsts_order() {
    let hub = hub();
    let mut open = Open::on(&hub);
    let other = Open::on(&hub);
    let task = open.ticket.task.to_string();
    let token = open.ticket.token.expose_secret().as_bytes();
    let foreign = other.ticket.token.expose_secret().as_bytes();
    let data = |body: &str, token: &[u8]| hub.post(PostKind::Data, token, body.as_bytes());
    let with = |field: &str| format!(r#"{{"task_id": "{task}"{field}}}"#);

    assert_eq!(hub.admit(b"", token), Err(PostRefusal::WrongSecret));
    assert_eq!(hub.admit(b"the secret of all function", b""), Err(PostRefusal::WrongSecret));
    assert_eq!(hub.admit(SECRET.as_bytes(), b""), Err(PostRefusal::NoToken));
    assert_eq!(hub.admit(SECRET.as_bytes(), token), Ok(()));

    let long = "x".repeat(150_001);
    assert_eq!(data(&long, token), Err(PostRefusal::TooLarge));
    let kinds = [PostKind::Error, PostKind::Done];
    for kind in kinds {
        assert_eq!(hub.post(kind, token, &[b' '; 15_001]), Err(PostRefusal::TooLarge));
    }
    for malformed in ["", "{", "[]", "7", "{\"task_id\": }", "{} x"] {
        assert_eq!(data(malformed, token), Err(PostRefusal::InvalidJson), "{malformed}");
    }
    for nameless in ["{}", r#"{"task_id": null}"#, r#"{"task_id": ""}"#, r#"{"task_id": 7}"#] {
        assert_eq!(data(nameless, token), Err(PostRefusal::NoTask), "{nameless}");
    }
    assert_eq!(data(r#"{"task_id": "seven"}"#, token), Err(PostRefusal::MalformedTask));
    let unknown = format!(r#"{{"task_id": "{}", "data": "data: 1"}}"#, Uuid::new_v4());
    assert_eq!(data(&unknown, token), Err(PostRefusal::NoStream));
    for wrong in [foreign, &token[1..], b"x", &[0xFF; 43]] {
        assert_eq!(data(&with(r#", "data": "data: 1""#), wrong), Err(PostRefusal::NoStream));
        // Whether there is data is told to the function alone.
        assert_eq!(data(&with(""), wrong), Err(PostRefusal::NoStream));
    }
    for empty in ["", r#", "data": null"#, r#", "data": ["data: 1"]"#, r#", "data": "\ud800""#] {
        assert_eq!(data(&with(empty), token), Err(PostRefusal::NoData), "{empty}");
    }
    let without = hub.post(PostKind::Error, token, with("").as_bytes());
    assert_eq!(without, Err(PostRefusal::NoError));

    assert!(read(&mut open.inbox).is_pending(), "none of it has touched the stream");
}

#[test]
fn nothing_secret_is_shown() {
    let hub = hub();
    let open = Open::on(&hub);
    let shown = format!("{hub:?} {:?} {:?}", open.ticket, open.inbox);
    assert!(!shown.contains(SECRET));
    assert!(!shown.contains(open.ticket.token.expose_secret()), "{shown}");
}

#[test]
fn the_address_is_what_firsts_function_puts_together() {
    for (url, protocol, host, port) in [
        ("https://gateway.example.org", "https", "gateway.example.org", 443),
        ("http://10.0.0.7:8000/", "http", "10.0.0.7", 8000),
        ("https://[2001:db8::1]:8443", "https", "[2001:db8::1]", 8443),
    ] {
        let hub = StreamHub::new(&SECRET.into(), &url.parse().unwrap()).unwrap();
        let expected = Address { protocol: protocol.into(), host: host.into(), port };
        assert_eq!(*hub.address(), expected);
    }
}
