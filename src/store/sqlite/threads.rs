//! Threads that own a connection each and do one job after the other.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Trouble;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Threads that share one queue of jobs. They end when this is dropped and the queue is empty.
#[derive(Debug)]
pub(super) struct Workers(mpsc::Sender<Job>);

impl Workers {
    /// One thread per connection.
    pub(super) fn start(name: &str, connections: Vec<Connection>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(receiver));
        for mut connection in connections {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(job) = next(&queue) {
                    job(&mut connection);
                }
            })?;
        }
        Ok(Self(sender))
    }

    /// Queues the job and waits for its result; `None` when no thread is left. A job that nobody
    /// waits for any more is not begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Option<Result<T, Trouble>> {
        let (sender, receiver) = oneshot::channel();
        let queued = self.0.send(Box::new(move |connection| {
            if !sender.is_closed() {
                // Failing to send means the caller has left meanwhile.
                let _ = sender.send(job(connection));
            }
        }));
        queued.ok()?;
        receiver.await.ok()
    }
}

fn next(queue: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
