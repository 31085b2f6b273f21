//! What this instance remembers about tokens, by their SHA-256. Each kind has its own room, so that
//! nobody who sends made-up tokens can push callers out.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use moka::sync::Cache;

use super::denial::Denial;
use crate::domain::{Caller, KeyHash};

/// Callers that are remembered; the least used make room.
const CALLERS: u64 = 20_000;

/// Globus' access tokens live 48 hours.
const LONGEST_LIFE: Duration = Duration::from_hours(48);

/// Refusals that are remembered.
const REFUSALS: u64 = 10_000;

/// How long a refusal is remembered.
pub(super) const REFUSED: Duration = Duration::from_mins(1);

/// How long Globus is not asked again about a caller who is known, when it could not be. About
/// others nothing is remembered then: only Globus' own word shuts anybody out.
const UNASKED: Duration = Duration::from_secs(1);

/// A caller who is remembered.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Who it is.
    pub(super) caller: Arc<Caller>,
    /// Until when that is certain enough.
    pub(super) fresh_until: Timestamp,
    /// The end of the token's life.
    pub(super) ends: Timestamp,
}

/// What is remembered about a token.
#[derive(Debug)]
pub(super) enum Memory {
    /// It opens the door.
    Fresh(Arc<Caller>),
    /// It does not.
    Refused(Arc<Denial>),
    /// It opened the door a while ago; whether it still does should be asked, if it can be.
    Stale(Arc<Caller>),
    /// As [`Memory::Stale`], but Globus could not be asked a moment ago.
    StaleWithoutGlobus(Arc<Caller>),
    /// Nothing.
    Nothing,
}

/// The memory itself.
#[derive(Debug)]
pub(super) struct Memories {
    known: Cache<KeyHash, Known>,
    refused: Cache<KeyHash, Arc<Denial>>,
    unasked: Cache<KeyHash, ()>,
}

impl Memories {
    pub(super) fn new() -> Self {
        Self {
            known: Cache::builder().max_capacity(CALLERS).time_to_live(LONGEST_LIFE).build(),
            refused: Cache::builder().max_capacity(REFUSALS).time_to_live(REFUSED).build(),
            unasked: Cache::builder().max_capacity(CALLERS).time_to_live(UNASKED).build(),
        }
    }

    pub(super) fn of(&self, token: &KeyHash, now: Timestamp) -> Memory {
        match self.known.get(token).filter(|known| now < known.ends) {
            Some(known) if now < known.fresh_until => Memory::Fresh(known.caller),
            Some(known) if self.unasked.contains_key(token) => {
                Memory::StaleWithoutGlobus(known.caller)
            }
            Some(known) => Memory::Stale(known.caller),
            None => self.refused.get(token).map_or(Memory::Nothing, Memory::Refused),
        }
    }

    pub(super) fn accept(&self, token: KeyHash, known: Known) {
        self.refused.invalidate(&token);
        self.known.insert(token, known);
    }

    pub(super) fn refuse(&self, token: KeyHash, denial: Arc<Denial>) {
        self.known.invalidate(&token);
        self.refused.insert(token, denial);
    }

    pub(super) fn could_not_ask(&self, token: KeyHash) {
        if self.known.contains_key(&token) {
            self.unasked.insert(token, ());
        }
    }
}
