//! Gathers tasks for one endpoint into one request.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::{Duration, Instant},
};

/// Most tasks in one request; as many as the Python SDK sends.
pub(super) const MOST_TASKS: usize = 128;

/// Most bytes of tasks in one request: the service takes 10 MB, and there is something around them.
pub(super) const MOST_BYTES: usize = 10_000_000 - 4_096;

/// What can be gathered.
pub(super) trait Piece {
    /// Bytes that it takes in a request.
    fn size(&self) -> usize;
    /// Whether anybody still wants it.
    fn is_wanted(&self) -> bool;
}

/// How long pieces for one place are gathered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// After the first piece, at most.
    pub(super) most: Duration,
    /// After the last piece: when none has come for so long, none is waited for.
    pub(super) lull: Duration,
}

/// Pieces by where they go.
#[derive(Debug)]
pub(super) struct Gather<K, P> {
    window: Window,
    pots: HashMap<K, Pot<P>>,
}

#[derive(Debug)]
struct Pot<P> {
    pieces: VecDeque<(Instant, P)>,
    bytes: usize,
}

impl<K: Hash + Eq + Clone, P: Piece> Gather<K, P> {
    /// Gathers for as long as `window` says.
    pub(super) fn new(window: Window) -> Self {
        Self { window, pots: HashMap::new() }
    }

    /// Adds a piece, which is not larger than [`MOST_BYTES`].
    pub(super) fn add(&mut self, key: K, piece: P, now: Instant) {
        let pot = self.pots.entry(key).or_insert_with(|| Pot { pieces: VecDeque::new(), bytes: 0 });
        pot.bytes += piece.size();
        pot.pieces.push_back((now, piece));
    }

    /// When the next request is ready to go.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        self.pots.values().filter_map(|pot| pot.ready_at(self.window)).min()
    }

    /// Drops what nobody wants any more.
    pub(super) fn drop_unwanted(&mut self) {
        self.pots.retain(|_, pot| {
            pot.pieces.retain(|(_, piece)| piece.is_wanted());
            pot.bytes = pot.pieces.iter().map(|(_, piece)| piece.size()).sum();
            !pot.pieces.is_empty()
        });
    }

    /// The pieces of the request that has been ready for longest.
    pub(super) fn take(&mut self, now: Instant) -> Option<(K, Vec<P>)> {
        let window = self.window;
        let (_, key) = self
            .pots
            .iter()
            .filter_map(|(key, pot)| Some((pot.ready_at(window)?, key)))
            .filter(|(at, _)| *at <= now)
            .min_by_key(|(at, _)| *at)
            .map(|(at, key)| (at, key.clone()))?;
        let pot = self.pots.get_mut(&key)?;
        let pieces = pot.take();
        if pot.pieces.is_empty() {
            self.pots.remove(&key);
        }
        Some((key, pieces))
    }
}

impl<P: Piece> Pot<P> {
    /// A full one need not wait for more.
    fn ready_at(&self, window: Window) -> Option<Instant> {
        let ((first, _), (last, _)) = (self.pieces.front()?, self.pieces.back()?);
        let is_full = self.pieces.len() >= MOST_TASKS || self.bytes >= MOST_BYTES;
        Some(if is_full { *first } else { (*first + window.most).min(*last + window.lull) })
    }

    fn take(&mut self) -> Vec<P> {
        let mut bytes = 0;
        let mut fits = 0;
        for (_, piece) in self.pieces.iter().take(MOST_TASKS) {
            bytes += piece.size();
            if bytes > MOST_BYTES && fits > 0 {
                break;
            }
            fits += 1;
        }
        let taken: Vec<P> = self.pieces.drain(..fits).map(|(_, piece)| piece).collect();
        self.bytes -= taken.iter().map(Piece::size).sum::<usize>();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_millis(10);
    const LULL: Duration = Duration::from_millis(6);
    const WINDOW: Window = Window { most: MOST, lull: LULL };

    #[derive(Debug, PartialEq, Eq)]
    struct Parcel(usize, bool);

    impl Piece for Parcel {
        fn size(&self) -> usize {
            self.0
        }
        fn is_wanted(&self) -> bool {
            self.1
        }
    }

    fn sizes(taken: Option<(&'static str, Vec<Parcel>)>) -> Vec<usize> {
        taken
            .map(|(_, parcels)| parcels.iter().map(|parcel| parcel.0).collect())
            .unwrap_or_default()
    }

    #[test]
    fn what_comes_within_the_window_goes_together() {
        let mut gather = Gather::new(WINDOW);
        let start = Instant::now();
        gather.add("a", Parcel(1, true), start);
        gather.add("a", Parcel(2, true), start + MOST / 2);
        gather.add("b", Parcel(3, true), start + MOST / 2);
        assert_eq!(gather.ready_at(), Some(start + MOST));
        assert_eq!(gather.take(start + MOST / 2), None);
        assert_eq!(sizes(gather.take(start + MOST)), [1, 2]);
        assert_eq!(gather.take(start + MOST), None);
        assert_eq!(sizes(gather.take(start + 2 * MOST)), [3]);
        assert_eq!(gather.ready_at(), None);
    }

    #[test]
    fn who_comes_alone_waits_for_nobody_after_the_lull() {
        let mut gather = Gather::new(WINDOW);
        let start = Instant::now();
        gather.add("a", Parcel(1, true), start);
        gather.add("a", Parcel(2, true), start + MOST / 5);
        let ready = start + MOST / 5 + LULL;
        assert_eq!(gather.ready_at(), Some(ready));
        assert_eq!(gather.take(start + LULL), None);
        assert_eq!(sizes(gather.take(ready)), [1, 2]);
    }

    #[test]
    fn a_full_request_goes_at_once_and_the_rest_follows() {
        let mut gather = Gather::new(WINDOW);
        let start = Instant::now();
        for n in 0..=MOST_TASKS {
            gather.add("a", Parcel(n, true), start);
        }
        assert_eq!(gather.ready_at(), Some(start));
        assert_eq!(sizes(gather.take(start)).len(), MOST_TASKS);
        assert_eq!(sizes(gather.take(start + MOST)), [MOST_TASKS]);
    }

    #[test]
    fn no_request_is_longer_than_the_service_takes() {
        let mut gather = Gather::new(WINDOW);
        let start = Instant::now();
        for size in [6_000_000, 3_000_000, 2_000_000, 9_000_000] {
            gather.add("a", Parcel(size, true), start);
        }
        assert_eq!(sizes(gather.take(start)), [6_000_000, 3_000_000]);
        assert_eq!(sizes(gather.take(start)), [2_000_000]);
        assert_eq!(sizes(gather.take(start + MOST)), [9_000_000]);
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_sent() {
        let mut gather = Gather::new(WINDOW);
        let start = Instant::now();
        gather.add("a", Parcel(1, false), start);
        gather.add("b", Parcel(2, false), start);
        gather.add("b", Parcel(3, true), start);
        gather.drop_unwanted();
        assert_eq!(sizes(gather.take(start + MOST)), [3]);
        assert_eq!(gather.take(start + MOST), None);
    }
}
