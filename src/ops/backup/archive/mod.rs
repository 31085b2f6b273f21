//! A part of a backup as bytes on disk: its content compressed, that encrypted, and that hashed.
//!
//! Everything here blocks.

mod read;
mod seal;

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

pub use self::{
    read::{Follow, Identities, PartReader, check_stored, hash_file},
    seal::{PartWriter, SealWriter, Sealed, Sealing, create_private},
};

/// What is read or copied at a time, in bytes.
pub const CHUNK: usize = 256 << 10;

/// Hashes and counts what passes.
struct Tally<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Tally<T> {
    fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<W: Write> Write for Tally<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.passed(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Tally<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.passed(&buffer[..read]);
        Ok(read)
    }
}
