//! What was spent lately, in order; forgotten when its window is over.

use std::collections::VecDeque;

/// Parts that a window is divided into. What is spent within one of them is kept as one entry, which
/// counts until its last spending has left the window.
const GRAINS: u64 = 60;

/// The length of such a part of a window, in milliseconds.
pub(super) const fn grain(window: u64) -> u64 {
    if window < GRAINS { 1 } else { window / GRAINS }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    first: u64,
    last: u64,
    count: u64,
    /// Whether Redis is being told of it.
    being_told: bool,
    /// Whether Redis knows of it.
    told: bool,
}

/// Sums over a sliding window. All times and the window are in milliseconds.
#[derive(Debug)]
pub(super) struct Ledger {
    window: u64,
    entries: VecDeque<Entry>,
    total: u64,
    untold: u64,
}

impl Ledger {
    pub(super) const fn new(window: u64) -> Self {
        Self { window, entries: VecDeque::new(), total: 0, untold: 0 }
    }

    /// Drops what has left the window that ends at `now`.
    pub(super) fn forget(&mut self, now: u64) {
        while let Some(oldest) = self.entries.front()
            && oldest.last.saturating_add(self.window) <= now
        {
            self.total -= oldest.count;
            if !oldest.told {
                self.untold -= oldest.count;
            }
            self.entries.pop_front();
        }
        if self.entries.is_empty() {
            // Whoever is quiet takes no room.
            self.entries = VecDeque::new();
        }
    }

    /// Adds to what is spent. Returns the moment under which it is found again.
    pub(super) fn add(&mut self, now: u64, count: u64) -> u64 {
        let count = count.min(u64::MAX - self.total);
        self.total += count;
        self.untold += count;
        let newest = self.entries.back_mut();
        // A thread may come late with an earlier `now`; entries stay in order.
        let now = newest.as_ref().map_or(now, |newest| now.max(newest.last));
        match newest {
            Some(newest)
                if !newest.told
                    && !newest.being_told
                    && now < newest.first + grain(self.window) =>
            {
                newest.last = now;
                newest.count += count;
            }
            _ => self.entries.push_back(Entry {
                first: now,
                last: now,
                count,
                being_told: false,
                told: false,
            }),
        }
        now
    }

    /// Takes back what was added `at` that moment, as far as it is still in the window. Returns how
    /// much that was.
    pub(super) fn take_back(&mut self, at: u64, count: u64) -> u64 {
        // Two entries may share the moment. From the one that leaves first: what stays then is never
        // less than what was spent.
        let begin = self.entries.partition_point(|entry| entry.last < at);
        let after = self.entries.partition_point(|entry| entry.first <= at).max(begin);
        let mut left = count;
        for entry in self.entries.range_mut(begin..after) {
            let taken = left.min(entry.count);
            entry.count -= taken;
            left -= taken;
            self.total -= taken;
            if !entry.told {
                self.untold -= taken;
            }
        }
        count - left
    }

    /// Puts these moments and counts in the place of what was here; all of it counts as told.
    pub(super) fn replace(&mut self, mut entries: Vec<(u64, u64)>) {
        entries.sort_unstable();
        self.entries.clear();
        self.total = 0;
        self.untold = 0;
        for (at, count) in entries {
            let count = count.min(u64::MAX - self.total);
            self.total += count;
            self.entries.push_back(Entry {
                first: at,
                last: at,
                count,
                being_told: false,
                told: true,
            });
        }
    }

    /// Redis is being told of all that is here.
    pub(super) fn begin_to_tell(&mut self) {
        for entry in self.entries.iter_mut().rev().take_while(|entry| !entry.told) {
            entry.being_told = true;
        }
    }

    /// Redis has not answered: whether it knows cannot be told.
    pub(super) fn not_told(&mut self) {
        for entry in &mut self.entries {
            entry.being_told = false;
        }
    }

    /// Redis knows of all that it was being told.
    pub(super) fn told(&mut self) {
        let first = self.entries.partition_point(|entry| entry.told);
        for entry in self.entries.range_mut(first..) {
            if entry.being_told {
                (entry.told, entry.being_told) = (true, false);
                self.untold -= entry.count;
            }
        }
        // However often Redis is told, there is one entry for each part of the window.
        if let Some(before) = first.checked_sub(1)
            && let Some(entry) = self.entries.get(first).copied()
            && entry.told
            && entry.last < self.entries[before].first + grain(self.window)
        {
            self.entries[before].last = entry.last;
            self.entries[before].count += entry.count;
            self.entries.remove(first);
        }
    }

    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// What Redis has not been told of.
    pub(super) const fn untold(&self) -> u64 {
        self.untold
    }

    /// Moments, counts, and whether they are told; the oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u64, bool)> {
        let some = self.entries.iter().filter(|entry| entry.count > 0);
        some.map(|entry| (entry.last, entry.count, entry.told))
    }

    /// When something was last spent.
    pub(super) fn newest(&self) -> Option<u64> {
        self.entries.iter().rev().find(|entry| entry.count > 0).map(|entry| entry.last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lone_request_counts_for_exactly_one_window() {
        let mut ledger = Ledger::new(60_000);
        ledger.add(1_000, 7);
        ledger.forget(60_999);
        assert_eq!(ledger.total(), 7);
        ledger.forget(61_000);
        assert_eq!(ledger.total(), 0);
    }

    #[test]
    fn what_was_spent_is_taken_back_where_it_was_spent() {
        let mut ledger = Ledger::new(60_000);
        let first = ledger.add(0, 10);
        let second = ledger.add(30_000, 20);
        assert_eq!(ledger.take_back(first, 4), 4);
        ledger.forget(60_000);
        assert_eq!(ledger.total(), 20, "the rest of the first has left");
        assert_eq!(ledger.take_back(first, 6), 0, "nothing is left to be taken back");
        assert_eq!(ledger.take_back(second, 25), 20, "never more than there was");
        assert_eq!((ledger.total(), ledger.untold()), (0, 0));
    }

    proptest! {
        /// Never less than what was really spent within the window, and hardly more: an entry may
        /// stay for a grain longer.
        #[test]
        fn sums_are_those_of_the_window(
            steps in prop::collection::vec((0_u64..400, 1_u64..9, any::<bool>()), 1..300),
        ) {
            let (window, mut now) = (1_000, 0);
            let mut ledger = Ledger::new(window);
            let mut spent: Vec<(u64, u64)> = Vec::new();
            for (pause, count, tell) in steps {
                // Mostly short pauses, so that entries are shared.
                now += if pause < 300 { pause / 30 } else { pause };
                ledger.add(now, count);
                spent.push((now, count));
                if tell {
                    ledger.begin_to_tell();
                    ledger.told();
                    prop_assert_eq!(ledger.untold(), 0);
                }
                ledger.forget(now);
                let sum = |window| -> u64 {
                    spent.iter().filter(|(at, _)| at + window > now).map(|(_, count)| count).sum()
                };
                prop_assert!(ledger.total() >= sum(window));
                prop_assert!(ledger.total() <= sum(window + grain(window)));
                prop_assert!(ledger.entries().count() as u64 <= 2 * (GRAINS + 1));
            }
        }
    }
}
