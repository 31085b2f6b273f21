//! Names that PostgreSQL gives to the files of its write-ahead log.

use std::{fmt, str::FromStr};

use super::super::error::BackupError;

/// Digits of a segment's name: timeline, and position in the log.
const SEGMENT: usize = 24;
/// Where the position begins.
const POSITION: usize = 8;
/// Digits that name the directory of a segment in the archive.
const DIRECTORY: usize = 16;

/// The name of a file that PostgreSQL archives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WalName(String);

impl FromStr for WalName {
    type Err = BackupError;

    /// A segment, a segment's beginning (`.partial`), the note of a base backup (`.backup`), or
    /// the history of a timeline (`.history`).
    fn from_str(name: &str) -> Result<Self, BackupError> {
        let is_known = match name.split_once('.') {
            None => is_digits(name, SEGMENT),
            Some((timeline, "history")) => is_digits(timeline, POSITION),
            Some((segment, "partial")) => is_digits(segment, SEGMENT),
            Some((segment, rest)) => {
                is_digits(segment, SEGMENT)
                    && rest.strip_suffix(".backup").is_some_and(|at| is_digits(at, 8))
            }
        };
        if is_known {
            return Ok(Self(name.to_owned()));
        }
        Err(BackupError::Invalid(format!(
            "`{}` is no name of a WAL file; give what PostgreSQL puts in place of %f, such as \
             000000010000000000000002",
            name.escape_default()
        )))
    }
}

impl fmt::Display for WalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl WalName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segment of this number, counted from the beginning of the log.
    pub(super) fn segment(timeline: u32, number: u64, segment_bytes: u64) -> Self {
        let in_one = ((1 << 32) / segment_bytes.max(1)).max(1);
        Self(format!("{timeline:08X}{:08X}{:08X}", number / in_one, number % in_one))
    }

    /// The history of a timeline.
    #[must_use]
    pub fn history(timeline: u32) -> Self {
        Self(format!("{timeline:08X}.history"))
    }

    /// The timeline that it is the history of.
    pub(super) fn history_of(&self) -> Option<u32> {
        self.0.strip_suffix(".history").and_then(hexadecimal)
    }

    /// The timeline that it lies on, or that it is the history of.
    #[must_use]
    pub fn timeline(&self) -> Option<u32> {
        self.0.get(..POSITION).and_then(hexadecimal)
    }

    /// Its number, counted from the beginning of the log; none for a history.
    pub(super) fn number(&self, segment_bytes: u64) -> Option<u64> {
        self.address(segment_bytes)?.checked_div(segment_bytes)
    }

    /// Whether it is a segment, and nothing that belongs to one.
    pub(super) fn is_segment(&self) -> bool {
        self.0.len() == SEGMENT
    }

    /// The archive's directory for it. With segments of the usual size, one holds 4 GiB of WAL.
    #[must_use]
    pub fn directory(&self) -> &str {
        self.0.get(..DIRECTORY).filter(|_| self.position().is_some()).unwrap_or("history")
    }

    /// Its position in the log, which sorts by time whatever the timeline; none for a history.
    #[must_use]
    pub fn position(&self) -> Option<&str> {
        self.0.get(POSITION..SEGMENT)
    }

    /// Whether no recovery that begins with the segment `first` asks for it. Any recovery may ask
    /// for a history, and those are small.
    #[must_use]
    pub fn is_before(&self, first: &Self) -> bool {
        self.position().is_some_and(|at| Some(at) < first.position())
    }

    /// The address of its first byte, given the size of segments; none for a history.
    pub(in crate::ops) fn address(&self, segment_size: u64) -> Option<u64> {
        let high = u64::from_str_radix(self.0.get(POSITION..DIRECTORY)?, 16).ok()?;
        let low = u64::from_str_radix(self.0.get(DIRECTORY..SEGMENT)?, 16).ok()?;
        (high << 32).checked_add(low.checked_mul(segment_size)?)
    }

    /// Whether it is as long as every segment.
    pub(super) fn is_whole_segment(&self) -> bool {
        self.is_segment() || self.0.ends_with(".partial")
    }
}

fn hexadecimal(digits: &str) -> Option<u32> {
    u32::from_str_radix(digits, 16).ok()
}

/// PostgreSQL writes hexadecimal digits in capitals.
fn is_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_postgresql_has_its_place() {
        for (name, directory) in [
            ("00000001000000A3000000FF", "00000001000000A3"),
            ("00000001000000A3000000FF.partial", "00000001000000A3"),
            ("00000001000000A3000000FF.00000028.backup", "00000001000000A3"),
            ("00000002.history", "history"),
        ] {
            assert_eq!(name.parse::<WalName>().unwrap().directory(), directory);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "00000001000000A3000000F",
            "00000001000000A3000000FG",
            "00000001000000a3000000ff",
            "../../../../etc/passwd/x",
            "00000001000000A3000000FF.partial/x",
            "00000001000000A3000000FF..backup",
            "00000002.history.history",
            "RECOVERYXLOG",
        ] {
            assert!(name.parse::<WalName>().is_err(), "{name}");
        }
    }

    #[test]
    fn segments_are_counted_whatever_their_size() {
        for (text, size, number) in [
            ("000000010000000000000002", 16 << 20, 2),
            ("0000000A00000001000000FF", 16 << 20, 0x1FF),
            ("000000010000000100000003", 1 << 30, 7),
            ("000000010000000000000FFF", 1 << 20, 0xFFF),
        ] {
            let name: WalName = text.parse().unwrap();
            assert_eq!(name.number(size), Some(number), "{text}");
            assert_eq!(WalName::segment(name.timeline().unwrap(), number, size), name);
        }
        assert_eq!(WalName::history(10).as_str(), "0000000A.history");
        assert_eq!(WalName::history(10).history_of(), Some(10));
        assert_eq!("000000010000000000000002".parse::<WalName>().unwrap().history_of(), None);
    }

    #[test]
    fn positions_are_compared_without_the_timeline() {
        let name = |text: &str| text.parse::<WalName>().unwrap();
        let old = name("000000090000000000000002");
        let new = name("000000010000000000000003");
        assert!(old.is_before(&new) && !new.is_before(&old));
        assert!(!old.is_before(&old), "a segment is needed from itself on");
        assert!(!name("00000001.history").is_before(&new), "histories stay");
        for beginning in
            ["000000030000000000000002.partial", "000000010000000000000002.00000028.backup"]
        {
            assert!(name(beginning).is_before(&new), "{beginning}");
        }
        assert_eq!(name("00000009.history").position(), None);
        assert_eq!(name("0000000100000002000000FE").address(16 << 20), Some(0x2_FE00_0000));
    }
}
