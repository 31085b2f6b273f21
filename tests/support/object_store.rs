//! An S3 server for off-site copies, and a network that can fail in front of it.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use super::python;

/// moto's server with one bucket; it ends with this value.
pub struct ObjectStore {
    server: Child,
    pipe: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    about: Value,
}

impl ObjectStore {
    pub fn start() -> Self {
        let mut command = python::script("offsite/s3.py");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().unwrap_or_else(|e| panic!("{e}; {}", python::REMEDY));
        let stdin = server.stdin.take().expect("a pipe");
        let mut stdout = BufReader::new(server.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let about = serde_json::from_str(&line)
            .unwrap_or_else(|e| panic!("moto did not start ({e}): {line}; {}", python::REMEDY));
        Self { server, pipe: Mutex::new((stdin, stdout)), about }
    }

    pub fn text(&self, key: &str) -> &str {
        self.about[key].as_str().expect("what the server says of itself")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let address = self.text("url").strip_prefix("http://").expect("a plain address");
        address.parse().expect("an address")
    }

    /// `backup.offsite_url` for this prefix, at this address and with the right keys.
    pub fn url(&self, prefix: &str, at: SocketAddr) -> String {
        format!(
            "s3://{}/{prefix}?endpoint=http://{at}&access_key_id={}&secret_access_key={}&retry_for=1s",
            self.text("bucket"),
            self.text("access_key_id"),
            self.text("secret_access_key"),
        )
    }

    fn ask(&self, ask: &Value) -> Value {
        let mut pipe = self.pipe.lock().expect("nobody has failed with it");
        writeln!(pipe.0, "{ask}").expect("moto listens");
        let mut line = String::new();
        pipe.1.read_line(&mut line).expect("moto answers");
        serde_json::from_str(&line).expect("an answer in JSON")
    }

    /// Keys and sizes of the objects under this prefix, without it.
    pub fn objects(&self, prefix: &str) -> BTreeMap<String, u64> {
        let all = self.ask(&json!({"do": "list"}));
        let all = all.as_object().expect("objects").iter();
        all.filter_map(|(key, size)| {
            let key = key.strip_prefix(prefix)?.strip_prefix('/')?;
            Some((key.to_owned(), size.as_u64().expect("a size")))
        })
        .collect()
    }

    /// Keys under this prefix whose uploads have begun and not ended.
    pub fn unfinished(&self, prefix: &str) -> Vec<String> {
        let all = self.ask(&json!({"do": "unfinished"}));
        let all = all.as_array().expect("keys").iter().filter_map(Value::as_str);
        all.filter(|key| key.starts_with(prefix)).map(str::to_owned).collect()
    }

    /// Does `delete`, `truncate` or `flip` to an object.
    pub fn harm(&self, what: &str, key: &str) {
        self.ask(&json!({"do": what, "key": key}));
    }

    pub fn put(&self, key: &str, text: &str) {
        self.ask(&json!({"do": "put", "key": key, "text": text}));
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A network to a server, which counts what goes up and can break.
pub struct Network {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Bytes that may still go up before it breaks.
    left: AtomicI64,
    up: AtomicU64,
}

impl Network {
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State { left: AtomicI64::new(i64::MAX), up: AtomicU64::new(0) });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || carry(client, server, &state));
            }
        });
        Self { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection, old and new, once so many more bytes have gone up.
    pub fn break_after(&self, bytes: i64) {
        self.state.left.store(bytes, Ordering::SeqCst);
    }

    pub fn heal(&self) {
        self.state.left.store(i64::MAX, Ordering::SeqCst);
    }

    /// Bytes that have gone up since this was asked last.
    pub fn carried(&self) -> u64 {
        self.state.up.swap(0, Ordering::SeqCst)
    }
}

fn carry(mut client: TcpStream, server: SocketAddr, state: &State) {
    if state.left.load(Ordering::SeqCst) <= 0 {
        return;
    }
    let Ok(mut upstream) = TcpStream::connect(server) else { return };
    let (Ok(mut back), Ok(mut from)) = (client.try_clone(), upstream.try_clone()) else { return };
    let down = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        state.up.fetch_add(read as u64, Ordering::SeqCst);
        let read_signed = i64::try_from(read).expect("a small number");
        let is_cut = state.left.fetch_sub(read_signed, Ordering::SeqCst) < read_signed;
        if is_cut || upstream.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = upstream.shutdown(Shutdown::Both);
    let _ = down.join();
}
