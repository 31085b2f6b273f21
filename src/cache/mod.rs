//! Short-lived state that instances share: in memory, or in Redis where there is one.
