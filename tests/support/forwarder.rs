//! An address that leads to one server today and to another one tomorrow, as a virtual IP address, a
//! balancer or a name does.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::ports::{free_port, listen_on};

/// An address on loopback; it ends with this value.
#[derive(Debug)]
pub struct Forwarder {
    port: u16,
    target: Arc<AtomicU16>,
    accepting: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// A new address that leads to this port.
    pub fn to(target: u16) -> Self {
        let target = Arc::new(AtomicU16::new(target));
        let mut forwarder = Self { port: free_port(), target, accepting: None };
        forwarder.listen();
        forwarder
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Refuses connections, and cuts those that there are.
    pub async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // Aborted, it has nothing to say.
            let _ = accepting.await;
        }
    }

    /// Leads new connections to this port. Those that there are stay where they are.
    pub fn lead_to(&mut self, target: u16) {
        self.target.store(target, Ordering::Relaxed);
        if self.accepting.is_none() {
            self.listen();
        }
    }

    fn listen(&mut self) {
        let listener = listen_on(self.port);
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let target = Arc::clone(&self.target);
        self.accepting = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let target = target.load(Ordering::Relaxed);
                connections.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
                        // A broken connection breaks on both sides.
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        }));
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}
