//! From whoever logs to the thread that writes: nobody waits for a disk, a pipe or each other.

use std::{
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::file::LogFile;

/// Bytes of lines that may wait to be written; further lines are lost, and counted.
const MOST_WAITING: usize = 8 << 20;

/// How long lines are gathered before they are written together. What is urgent is written at once,
/// but not after a write that failed.
const GATHER: Duration = Duration::from_millis(50);

/// How long the last lines may take.
const LAST: Duration = Duration::from_secs(2);

/// Where lines go.
#[derive(Debug)]
pub(super) enum Sink {
    StandardError,
    StandardOutput,
    File(LogFile),
}

/// Lines on their way. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    news: Condvar,
    ended: Mutex<Option<Receiver<()>>>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    is_urgent: bool,
    is_over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(sink: Sink) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (end, ended) = channel();
        *shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        let own = Arc::clone(&shared);
        thread::Builder::new().name("logs".to_owned()).spawn(move || {
            run(&own, sink);
            // Whoever waits may have given up.
            let _ = end.send(());
        })?;
        Ok(Self { shared })
    }

    /// Takes a line with its line break. Never waits for anything that is written.
    pub fn push(&self, line: &[u8], is_urgent: bool) {
        let mut waiting = self.shared.lock();
        if waiting.lines.len() + line.len() > MOST_WAITING {
            waiting.lost += 1;
            return;
        }
        let was_empty = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        let is_news = was_empty || (is_urgent && !waiting.is_urgent);
        waiting.is_urgent |= is_urgent;
        drop(waiting);
        if is_news {
            self.shared.news.notify_one();
        }
    }

    /// Writes what waits, for at most two seconds, and ends the thread.
    pub fn finish(&self) {
        self.shared.lock().is_over = true;
        self.shared.news.notify_one();
        let ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            // A disk that hangs is not waited for.
            let _ = ended.recv_timeout(LAST);
        }
    }
}

fn run(shared: &Shared, mut sink: Sink) {
    let mut lines = Vec::new();
    // Lost, and not said yet: saying so while nothing can be written would only lose one more.
    let mut untold = 0;
    loop {
        let (dropped, is_over) = gather(shared, &mut lines);
        let unwritten = sink.write(&lines);
        let has_written = unwritten == 0 && !lines.is_empty();
        lines.clear();
        let lost = dropped + unwritten;
        if lost > 0 {
            metrics::counter!("figw_log_lines_lost_total").increment(lost);
            untold += lost;
        }
        if has_written && untold > 0 {
            tracing::warn!(lost = untold, "lines of the log were lost");
            untold = 0;
        }
        if is_over && (unwritten > 0 || shared.lock().lines.is_empty()) {
            return;
        }
        if unwritten > 0 {
            pause(shared);
        }
    }
}

/// Waits a while whatever comes, except the end.
fn pause(shared: &Shared) {
    let goes_on = |waiting: &mut Waiting| !waiting.is_over;
    // Whatever it returns, it has waited.
    drop(shared.news.wait_timeout_while(shared.lock(), GATHER, goes_on));
}

/// Waits for lines and takes them. Returns how many were lost meanwhile, and whether these are the
/// last ones.
fn gather(shared: &Shared, lines: &mut Vec<u8>) -> (u64, bool) {
    let is_idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.is_over;
    let is_patient = |waiting: &mut Waiting| !waiting.is_urgent && !waiting.is_over;
    let waiting = shared.news.wait_while(shared.lock(), is_idle);
    let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
    let gathered = shared.news.wait_timeout_while(waiting, GATHER, is_patient);
    let mut waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
    std::mem::swap(&mut waiting.lines, lines);
    waiting.is_urgent = false;
    (std::mem::take(&mut waiting.lost), waiting.is_over)
}

impl Sink {
    /// Writes whole lines, and returns how many were lost.
    fn write(&mut self, lines: &[u8]) -> u64 {
        if lines.is_empty() {
            return 0;
        }
        match self {
            Self::StandardError => write_to(io::stderr().lock(), lines),
            Self::StandardOutput => write_to(io::stdout().lock(), lines),
            Self::File(file) => file.write(lines),
        }
    }
}

/// Writes whole lines to a stream, and returns how many were lost.
fn write_to(mut stream: impl Write, lines: &[u8]) -> u64 {
    match stream.write_all(lines).and_then(|()| stream.flush()) {
        Ok(()) => 0,
        Err(_) => count(lines),
    }
}

/// How many lines these are.
pub(super) fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// One line of `tracing`.
#[derive(Debug)]
pub struct Line<'a> {
    queue: &'a Queue,
    is_urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line, self.is_urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: self, is_urgent: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line { queue: self, is_urgent: *metadata.level() <= Level::WARN }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn what_was_taken_is_written_by_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let queue = Queue::start(Sink::File(LogFile::open(&path, 1 << 20, 1).unwrap())).unwrap();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let queue = queue.clone();
                thread::spawn(move || {
                    for line in 0..1_000 {
                        queue.push(format!("{writer} {line}\n").as_bytes(), line == 500);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        queue.finish();
        let text = fs::read_to_string(path).unwrap();
        for writer in 0..4 {
            let start = format!("{writer} ");
            let own: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(&start)).collect();
            let expected: Vec<_> = (0..1_000).map(|line| line.to_string()).collect();
            assert_eq!(own, expected, "in order");
        }
    }

    #[test]
    fn what_was_lost_is_said_once_and_only_when_it_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        symlink("/dev/full", &path).unwrap();
        let shared = Arc::new(Shared::default());
        let queue = Queue { shared: Arc::clone(&shared) };
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(queue.clone());
        let log = tracing_subscriber::registry().with(lines);
        let sink = Sink::File(LogFile::open(&path, 1 << 20, 1).unwrap());
        let writing = thread::spawn(move || {
            tracing::subscriber::with_default(log, || run(&shared, sink));
        });

        queue.push(b"one\ntwo\nthree\n", true);
        thread::sleep(GATHER * 4);
        fs::remove_file(&path).unwrap();
        queue.push(b"later\n", true);
        queue.finish();
        writing.join().unwrap();
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with("later\n"), "{text}");
        let said: Vec<_> = text.lines().filter(|line| line.contains("were lost")).collect();
        assert!(
            said.len() == 1 && said[0].contains("lost=3"),
            "its own lines do not count: {text}"
        );
    }
}
