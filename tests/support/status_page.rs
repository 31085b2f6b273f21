//! A cluster's status address: answers every GET with one document, and counts.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

/// What it answers, and how often it was asked.
#[derive(Debug)]
struct State {
    answer: Option<Value>,
    asked: usize,
}

/// A running page. Its thread ends with the test's process.
#[derive(Debug)]
pub struct StatusPage {
    url: String,
    state: Arc<Mutex<State>>,
}

impl StatusPage {
    /// Answers with `document`; 500 when there is none.
    pub fn start(document: Option<Value>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for the page");
        let url = format!("http://{}/status", listener.local_addr().expect("its address"));
        let state = Arc::new(Mutex::new(State { answer: document, asked: 0 }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                // A caller that leaves early is no business of the page's.
                let _ = answer(&tcp, &shared);
            }
        });
        Self { url, state }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn asked(&self) -> usize {
        self.state.lock().expect("nobody panics with it").asked
    }
}

fn answer(tcp: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(tcp).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let answer = {
        let mut state = state.lock().expect("nobody panics with it");
        state.asked += 1;
        state.answer.clone()
    };
    let (status, body) = match answer {
        Some(document) => ("200 OK", document.to_string()),
        None => ("500 Internal Server Error", String::new()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let mut tcp = tcp;
    tcp.write_all(format!("{head}{body}").as_bytes())
}
