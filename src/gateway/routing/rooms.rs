//! Where requests wait while no endpoint of their model can take them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use metrics::{Gauge, gauge};

use crate::telemetry;

/// One waiting room for each model, there while somebody waits in it.
#[derive(Debug, Default)]
pub struct Rooms {
    by_model: Mutex<HashMap<Arc<str>, u32>>,
}

/// A place in a model's room, until it is dropped.
pub struct Place<'a> {
    rooms: &'a Rooms,
    model: Arc<str>,
    waiting: Gauge,
}

impl std::fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Rooms {
    /// Takes a place in the room of `model`, which must be a name of the catalogue; `None` when as
    /// many as `most` are waiting.
    #[must_use]
    pub fn enter(&self, model: &Arc<str>, most: u32) -> Option<Place<'_>> {
        let mut rooms = self.by_model.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = rooms.entry(Arc::clone(model)).or_default();
        if *waiting >= most {
            if *waiting == 0 {
                rooms.remove(model);
            }
            return None;
        }
        *waiting += 1;
        drop(rooms);
        let gauge = gauge!("figw_waiting_room_requests", "model" => model.to_string());
        gauge.increment(1.0);
        Some(Place { rooms: self, model: Arc::clone(model), waiting: gauge })
    }

    /// Forgets the metrics of models that `keep` does not know, and that nobody waits for.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        let rooms = self.by_model.lock().unwrap_or_else(PoisonError::into_inner);
        telemetry::metrics::retain("model", |model| rooms.contains_key(model) || keep(model));
    }

    /// How many wait for `model`.
    #[must_use]
    pub fn waiting(&self, model: &str) -> u32 {
        let rooms = self.by_model.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.get(model).copied().unwrap_or_default()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.decrement(1.0);
        let mut rooms = self.rooms.by_model.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = rooms.get_mut(&self.model) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                rooms.remove(&self.model);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_holds_so_many_and_each_model_has_its_own() {
        let (rooms, a, b) = (Rooms::default(), Arc::from("a"), Arc::from("b"));
        let places: Vec<_> = (0..2).filter_map(|_| rooms.enter(&a, 2)).collect();
        assert_eq!((places.len(), rooms.waiting("a")), (2, 2));
        assert!(rooms.enter(&a, 2).is_none());
        assert!(rooms.enter(&b, 2).is_some());
        assert_eq!(rooms.waiting("b"), 0, "whoever leaves makes room");
        drop(places);
        assert_eq!(rooms.waiting("a"), 0);
        assert!(rooms.enter(&a, 0).is_none(), "a room for nobody");
    }
}
