//! Off-site copies: each backup once more in an object store, or in a directory elsewhere.
//!
//! ```text
//! prefix/20261125T155027Z-7f3a/database.dump.zst
//! prefix/20261125T155027Z-7f3a/manifest.json
//! prefix/20261125T155027Z-7f3a/SHA256SUMS       uploaded last, removed first
//! prefix/wal/…                                  as in the local archive
//! prefix/figw-offsite.json                      by which the place is known again
//! ```
//!
//! A file that is there whole is not uploaded again, so a run goes on where the last one stopped.

mod explain;
mod fetch;
mod marker;
mod numbered;
mod options;
mod place;
mod plan;
mod sync;
mod transfer;
mod upload;
mod wal;

pub use self::{
    fetch::{ONLY_LOCAL, Remote, RemoteState},
    place::{Patience, Place},
    sync::Synced,
};
