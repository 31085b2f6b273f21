//! Room in a file system.

use std::{fmt, io, path::Path};

/// The room in a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// What a program without privileges may still write; nothing once there can be no more files.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// The file system that `path` is in. Blocks for as long as the file system does.
///
/// # Errors
/// When the path is not there or cannot be looked at.
pub fn of(path: &Path) -> io::Result<Disk> {
    let found = rustix::fs::statvfs(path)?;
    let has_no_inode = found.f_files > 0 && found.f_favail == 0;
    let free = if has_no_inode { 0 } else { found.f_bavail.saturating_mul(found.f_frsize) };
    Ok(Disk { free, total: found.f_blocks.saturating_mul(found.f_frsize) })
}

impl fmt::Display for Disk {
    /// `12.3 GiB of 100.0 GiB free`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} free", Size(self.free), Size(self.total))
    }
}

/// A size for people, in the largest unit of which there is at least one.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, shift) = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)]
            .into_iter()
            .find(|(_, shift)| self.0 >> shift > 0)
            .unwrap_or(("bytes", 0));
        #[allow(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
        let count = self.0 as f64 / (1_u64 << shift) as f64;
        if shift == 0 { write!(f, "{count} {unit}") } else { write!(f, "{count:.1} {unit}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_as_people_read_it() {
        let disk = Disk { free: 512, total: 3 << 29 };
        assert_eq!(disk.to_string(), "512 bytes of 1.5 GiB free");
    }
}
