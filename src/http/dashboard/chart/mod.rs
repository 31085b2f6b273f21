//! Charts as SVG: no script is needed to see them, and a table says the same to whoever cannot.

pub(super) mod bars;
pub(super) mod boxes;
mod scale;
