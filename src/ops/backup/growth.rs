//! Reading a file while it is still being written: what is there is read, and the rest waited for.

use std::{
    fs::File,
    io::{self, Read, Write},
    sync::{Arc, Condvar, Mutex, PoisonError},
};

/// How far a file has been written.
#[derive(Debug, Default)]
pub(super) struct Growth {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: u64,
    has_ended: bool,
}

impl Growth {
    fn grow(&self, bytes: usize) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes += bytes as u64;
        self.changed.notify_all();
    }

    /// Waits for more than `seen` bytes, and returns how many there are; `seen` once no more come.
    fn beyond(&self, seen: u64) -> u64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self
            .changed
            .wait_while(state, |state| state.bytes <= seen && !state.has_ended)
            .unwrap_or_else(PoisonError::into_inner);
        state.bytes
    }
}

/// Ends a file's growth when it is dropped, also when writing has failed.
#[derive(Debug)]
pub(super) struct GrowthEnd(pub(super) Arc<Growth>);

impl Drop for GrowthEnd {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).has_ended = true;
        self.0.changed.notify_all();
    }
}

/// A file that tells how far it has been written.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) file: File,
    pub(super) growth: Arc<Growth>,
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.growth.grow(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The same file, read as far as it has been written.
#[derive(Debug)]
pub(super) struct Following {
    file: File,
    growth: Arc<Growth>,
    seen: u64,
}

impl Following {
    pub(super) fn new(file: File, growth: Arc<Growth>) -> Self {
        Self { file, growth, seen: 0 }
    }
}

impl Read for Following {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.growth.beyond(self.seen) - self.seen;
        let most = usize::try_from(there).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read(&mut buffer[..most])?;
        self.seen += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_follower_reads_everything_and_ends_with_the_writer() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let end = GrowthEnd(Arc::default());
        let mut growing = Growing { file: file.reopen().unwrap(), growth: Arc::clone(&end.0) };
        let mut following = Following::new(file.reopen().unwrap(), Arc::clone(&end.0));
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            following.read_to_end(&mut all).map(|_| all)
        });
        let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        for piece in text.chunks(4097) {
            growing.write_all(piece).unwrap();
        }
        drop(end);
        assert_eq!(reading.join().unwrap().unwrap(), text);
    }
}
