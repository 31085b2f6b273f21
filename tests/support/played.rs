//! Instances that a test plays itself, behind a proxy.

use std::{
    io::Read,
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::json;

use super::small_server::{Reply, SmallServer};

/// An instance that answers with its name and what it was sent, or with this status.
fn serve(name: &'static str, status: Arc<AtomicU16>, asked: Arc<AtomicUsize>) -> SmallServer {
    SmallServer::start(move |ask| {
        asked.fetch_add(1, Ordering::SeqCst);
        let status = status.load(Ordering::SeqCst);
        let header = |name: &str| ask.headers.get(name).and_then(|value| value.to_str().ok());
        let mut reply = Reply::json(
            status,
            &json!({
                "instance": name,
                "bytes": ask.body.len(),
                "forwarded_for": header("x-forwarded-for"),
                "request_id": header("x-request-id"),
                "proto": header("x-forwarded-proto"),
            }),
        );
        if status == 503 {
            reply.headers.push(("retry-after", "7".to_owned()));
        }
        reply
    })
}

/// An instance and what the test knows of it.
pub struct Played {
    pub server: SmallServer,
    status: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

impl Played {
    pub fn new(name: &'static str) -> Self {
        let (status, asked) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicUsize::new(0)));
        let server = serve(name, Arc::clone(&status), Arc::clone(&asked));
        Self { server, status, asked }
    }

    /// How many requests it has had.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// What it answers from now on.
    pub fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

/// An instance that reads each request and then closes, as one does that is killed meanwhile.
pub fn closing(asked: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let address = listener.local_addr().expect("a socket");
    // Ends with the test's process.
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let read = tcp.expect("a socket").read(&mut [0; 8192]).unwrap_or_default();
            asked.fetch_add(usize::from(read > 0), Ordering::SeqCst);
        }
    });
    format!("http://{address}")
}
