//! The task that takes rows from the queue and puts them into the spool.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Row, Stop, WriterOptions,
    shipper::{Done, Work},
    state::Shared,
};
use crate::store::{
    RowBatch,
    spool::{Segment, Spool},
};

/// How long rows gather in the queue between two looks: a wake-up per row would cost more.
const GATHER: Duration = Duration::from_millis(50);

/// Texts of this size are flushed without waiting for the interval.
const FLUSH_TEXT: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Collector {
    options: WriterOptions,
    work: mpsc::Sender<Work>,
    done_sender: mpsc::UnboundedSender<Done>,
    done: mpsc::UnboundedReceiver<Done>,
    shared: Arc<Shared>,
    spool: Option<Spool>,
    /// Rows taken from the queue, not yet flushed.
    rows: RowBatch,
    /// Size of the texts among them.
    text_bytes: usize,
    /// Sealed segments that the shipper has not been given, oldest first.
    backlog: VecDeque<Segment>,
    /// Segments that the shipper was given and has not done.
    shipping: VecDeque<Segment>,
    /// Pieces of work that the shipper was given and has not done.
    under_way: usize,
    /// Rows given to the shipper that no segment holds.
    unspooled: u64,
}

/// What woke the collector.
enum Event {
    Rows(bool),
    Flush,
    ShipperReady,
    Shipped(Option<Done>),
    Stop(Option<Stop>),
}

impl Collector {
    pub(super) fn new(
        options: WriterOptions,
        work: mpsc::Sender<Work>,
        shared: Arc<Shared>,
    ) -> Self {
        let (done_sender, done) = mpsc::unbounded_channel();
        Self {
            options,
            work,
            done_sender,
            done,
            shared,
            spool: None,
            rows: RowBatch::default(),
            text_bytes: 0,
            backlog: VecDeque::new(),
            shipping: VecDeque::new(),
            under_way: 0,
            unspooled: 0,
        }
    }

    /// Runs until it is told to stop, or every handle is gone.
    pub(super) async fn run(
        mut self,
        mut queue: mpsc::Receiver<Row>,
        mut stops: mpsc::Receiver<Stop>,
        shipper: JoinHandle<()>,
    ) {
        self.open_spool().await;
        let stop = self.collect(&mut queue, &mut stops).await;
        queue.close();
        while let Some(row) = queue.recv().await {
            self.take(row);
        }
        let patience = stop.as_ref().map_or(Duration::from_secs(5), |stop| stop.deadline);
        self.finish(Instant::now() + patience, shipper).await;
        if let Some(stop) = stop {
            // The caller may have stopped waiting.
            let _ = stop.done.send(());
        }
    }

    async fn open_spool(&mut self) {
        let (root, instance) =
            (self.options.spool_directory.clone(), self.options.instance.clone());
        let shown = root.display().to_string();
        let opened = spawn_blocking(move || Spool::open(&root, &instance)).await;
        match opened.map_err(std::io::Error::other).flatten() {
            Ok((spool, segments)) => {
                if !segments.is_empty() {
                    let (path, segments) = (spool.path().display(), segments.len());
                    tracing::info!(%path, segments, "writing the rows that an earlier run left");
                }
                self.backlog.extend(segments);
                self.spool = Some(spool);
                self.shared.spool_works();
            }
            Err(error) => self.shared.spool_failed(&format!("{shown}: {error}")),
        }
        self.publish();
    }

    async fn collect(
        &mut self,
        queue: &mut mpsc::Receiver<Row>,
        stops: &mut mpsc::Receiver<Stop>,
    ) -> Option<Stop> {
        let mut arrived = Vec::new();
        // While there is something to flush: when, and when to look into the queue next.
        let mut flush_at: Option<Instant> = None;
        let mut look_at = Instant::now();
        loop {
            let pending = flush_at.is_some();
            let deadline = flush_at.unwrap_or(look_at);
            let room = self.options.flush_rows.saturating_sub(self.rows.len()).max(1);
            let event = tokio::select! {
                stop = stops.recv() => Event::Stop(stop),
                shipped = self.done.recv() => Event::Shipped(shipped),
                () = sleep_until(deadline), if pending => Event::Flush,
                permit = self.work.reserve(), if !self.backlog.is_empty() && !self.work.is_closed() => {
                    drop(permit);
                    Event::ShipperReady
                }
                taken = async {
                    sleep_until(look_at).await;
                    queue.recv_many(&mut arrived, room).await
                } => Event::Rows(taken > 0),
            };
            match event {
                Event::Stop(stop) => return stop,
                Event::Shipped(done) => {
                    self.count_shipped(done);
                    if self.holds_rows_back() {
                        flush_at
                            .get_or_insert_with(|| Instant::now() + self.options.flush_interval);
                    }
                }
                Event::ShipperReady => self.hand_over_backlog(),
                Event::Rows(false) => return None,
                Event::Rows(true) => {
                    arrived.drain(..).for_each(|row| self.take(row));
                    let now = Instant::now();
                    flush_at.get_or_insert(now + self.options.flush_interval);
                    look_at = now + GATHER.min(self.options.flush_interval);
                    if self.rows.len() >= self.options.flush_rows || self.text_bytes >= FLUSH_TEXT {
                        flush_at = Some(now);
                        look_at = now;
                    }
                }
                Event::Flush => {
                    self.flush().await;
                    self.shared.report_dropped();
                    flush_at = self
                        .holds_rows_back()
                        .then(|| Instant::now() + self.options.flush_interval);
                }
            }
        }
    }

    fn take(&mut self, row: Row) {
        match row {
            Row::Usage(row) => self.rows.usage.push(*row),
            Row::Access(row) => self.rows.access.push(*row),
            Row::Prompt(row) => {
                self.shared.text_left(row.bytes());
                self.text_bytes += row.bytes();
                self.rows.prompts.push(*row);
            }
        }
    }

    /// Whether the open segment waits for the shipper.
    fn holds_rows_back(&self) -> bool {
        self.spool.as_ref().is_some_and(|spool| spool.open_size().is_some())
    }

    /// Puts the rows into the spool and gives work to the shipper if it has none.
    async fn flush(&mut self) {
        let rows = mem::take(&mut self.rows);
        self.text_bytes = 0;
        if self.spool.is_none() {
            self.open_spool().await;
        }
        let alone = !self.holds_rows_back();
        let rows = if rows.is_empty() { None } else { self.spool_rows(rows).await };
        let idle = self.backlog.is_empty() && self.work.capacity() > 0;
        let full = self.spool.as_ref().is_some_and(Spool::is_full);
        let sealed = if idle || full { self.spool.as_mut().and_then(Spool::seal) } else { None };
        match sealed {
            // Rows of earlier flushes are in this segment, too, unless these are alone.
            Some(segment) if idle => self.hand_over(Some(segment), rows.filter(|_| alone)),
            sealed => self.backlog.extend(sealed),
        }
        self.publish();
    }

    /// Appends the rows to the spool and gives them back. Without a spool they go to the shipper,
    /// however long that takes.
    async fn spool_rows(&mut self, rows: RowBatch) -> Option<RowBatch> {
        let Some(mut spool) = self.spool.take() else {
            self.hand_over_when_possible(rows).await;
            return None;
        };
        let appended = spawn_blocking(move || {
            let result = spool.append(&rows);
            (spool, rows, result)
        });
        match appended.await {
            Ok((spool, rows, Ok(()))) => {
                self.spool = Some(spool);
                self.shared.spool_works();
                Some(rows)
            }
            Ok((mut spool, rows, Err(error))) => {
                self.shared.spool_failed(&format!("{}: {error}", spool.path().display()));
                self.backlog.extend(spool.seal());
                self.spool = Some(spool);
                self.hand_over_when_possible(rows).await;
                None
            }
            Err(error) => {
                self.shared.spool_failed(&error.to_string());
                None
            }
        }
    }

    fn hand_over_backlog(&mut self) {
        if self.work.capacity() == 0 {
            return;
        }
        if let Some(segment) = self.backlog.pop_front() {
            self.hand_over(Some(segment), None);
            self.publish();
        }
    }

    /// Gives work to a shipper that has room for it.
    fn hand_over(&mut self, segment: Option<Segment>, rows: Option<RowBatch>) {
        let work = Work { segment: segment.clone(), rows, done: self.done_sender.clone() };
        match self.work.try_send(work) {
            Ok(()) => {
                self.under_way += 1;
                self.shipping.extend(segment);
            }
            Err(_) => self.backlog.extend(segment),
        }
    }

    /// Waits for the shipper: the queue fills up meanwhile, and what does not fit is dropped and
    /// reported.
    async fn hand_over_when_possible(&mut self, rows: RowBatch) {
        self.unspooled += rows.len() as u64;
        let work = Work { segment: None, rows: Some(rows), done: self.done_sender.clone() };
        let sending = self.work.send(work);
        tokio::pin!(sending);
        loop {
            match timeout_at(Instant::now() + self.options.flush_interval, &mut sending).await {
                Ok(Ok(())) => {
                    self.under_way += 1;
                    return;
                }
                // The shipper has ended; `finish` counts what is lost.
                Ok(Err(_)) => return,
                Err(_) => self.shared.report_dropped(),
            }
        }
    }

    fn count_shipped(&mut self, done: Option<Done>) {
        let Some(done) = done else { return };
        self.under_way = self.under_way.saturating_sub(1);
        self.unspooled = self.unspooled.saturating_sub(done.unspooled);
        if let Some(segment) = done.segment {
            self.shipping.retain(|other| other.path != segment.path);
        }
        self.publish();
    }

    fn publish(&self) {
        let open = self.spool.as_ref().and_then(Spool::open_size);
        let (mut segments, mut bytes, mut rows) = (0, 0, 0);
        for segment in self.backlog.iter().chain(&self.shipping) {
            segments += 1;
            bytes += segment.bytes;
            rows += segment.rows.unwrap_or(0);
        }
        if let Some((open_bytes, open_rows)) = open {
            segments += 1;
            bytes += open_bytes;
            rows += open_rows;
        }
        self.shared.set_spool(segments, rows, bytes);
    }

    /// Flushes what is left and lets the shipper work until the deadline.
    async fn finish(&mut self, deadline: Instant, shipper: JoinHandle<()>) {
        let flushed = timeout_at(deadline, async {
            self.flush().await;
            if let Some(segment) = self.spool.as_mut().and_then(Spool::seal) {
                self.backlog.push_back(segment);
            }
            while self.under_way > 0 || !self.backlog.is_empty() {
                self.hand_over_backlog();
                let done = self.done.recv().await;
                self.count_shipped(done);
            }
        });
        if flushed.await.is_err() {
            let spooled = self.shared.snapshot().spool_rows;
            tracing::warn!(spooled, "stopping; the next start writes the rows left in the spool");
        }
        shipper.abort();
        self.shared.count_dropped(self.unspooled);
        self.shared.report_dropped();
    }
}
