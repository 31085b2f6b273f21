//! The threads that serve connections, each with a runtime of its own.
//!
//! A connection and all that serves it, its requests to back ends included, stay on one thread:
//! nothing that happens to a request wakes another thread, which would cost more than the request.

use std::{
    cell::Cell,
    future::Future,
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use tokio::runtime::{Builder, Handle};

/// Threads that one worker may use for work that blocks, such as looking a name up.
const BLOCKING_THREADS: usize = 4;

/// How long such a thread waits for more work.
const BLOCKING_KEPT: Duration = Duration::from_secs(2);

thread_local! {
    /// Which worker this thread is.
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// Running workers. They end with the process.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
}

impl Workers {
    /// Starts `count` workers, at least one.
    ///
    /// # Errors
    /// When the operating system has no threads to give.
    pub fn start(count: usize) -> io::Result<Self> {
        let handles = (0..count.max(1)).map(start).collect::<io::Result<_>>()?;
        Ok(Self { handles, next: AtomicUsize::new(0) })
    }

    /// Lets the next worker run `task`, in turn.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len();
        self.handles[turn].spawn(task);
    }
}

/// Starts a thread with a runtime of its own for work aside: what takes long there holds up neither
/// connections nor whatever else the process does. It ends with the process.
///
/// # Errors
/// When the operating system has no thread to give.
pub fn start_aside(name: &str) -> io::Result<Handle> {
    start_thread(name.to_owned(), || {})
}

fn start(index: usize) -> io::Result<Handle> {
    start_thread(format!("worker-{index}"), move || INDEX.set(index))
}

fn start_thread(name: String, begin: impl FnOnce() + Send + 'static) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEPT)
        .build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name(name).spawn(move || {
        begin();
        runtime.block_on(std::future::pending::<()>());
    })?;
    Ok(handle)
}

/// One `T` for each worker, so that workers need not share.
#[derive(Debug)]
pub struct PerWorker<T> {
    items: Vec<T>,
}

impl<T> PerWorker<T> {
    /// Makes one for each of `count` workers, at least one.
    #[must_use]
    pub fn new(count: usize, make: impl Fn() -> T) -> Self {
        Self { items: (0..count.max(1)).map(|_| make()).collect() }
    }

    /// That of the thread which asks; threads that are no workers use the first worker's.
    #[must_use]
    pub fn get(&self) -> &T {
        &self.items[INDEX.get() % self.items.len()]
    }
}
