//! Loopback ports for what a test starts.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A loopback port that nobody listens on, below those that the kernel gives to outgoing
/// connections: a busy test in parallel does not take it meanwhile.
///
/// It asks by connecting. To try a listener would take the port for a moment longer than it looks:
/// a program that another thread starts just then holds a copy until it executes.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 200).expect("below 200") * 100;
    (0..20_000)
        .map(|_| 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000)
        .find(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err())
        .expect("a free port")
}

/// Listens on such a port, also when a listener of one's own was closed just before, of which a
/// program that is starting may still hold a copy.
pub fn listen_on(port: u16) -> TcpListener {
    let given_up = Instant::now() + Duration::from_secs(5);
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(e) if e.kind() == ErrorKind::AddrInUse && Instant::now() < given_up => {
                thread::sleep(Duration::from_millis(2));
            }
            listener => {
                return listener.unwrap_or_else(|e| panic!("port {port} of the test: {e}"));
            }
        }
    }
}
