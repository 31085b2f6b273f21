//! `pg_restore`'s script on its way to psql, as a part of figw's own transaction.

use std::io::{self, Read, Write};

use crate::ops::backup::archive::CHUNK;

/// What begins lines at the head of the script that are left out, and for servers before which
/// version: settings that these do not know, and the transaction that figw has begun already.
const LEFT_OUT: [(&str, u32); 2] = [("SET transaction_timeout = ", 17), ("BEGIN;", u32::MAX)];
/// The head ends with this line.
const HEAD_END: &[u8] = b"\nSELECT pg_catalog.set_config('search_path'";
/// No head is longer.
const LONGEST_HEAD: usize = 64 << 10;
/// What figw writes itself, once everything is proved.
const COMMIT: &[u8] = b"\nCOMMIT;\n";
/// What follows the `COMMIT` is shorter, by far.
const LONGEST_END: usize = 4 << 10;

/// Why a script was not copied.
#[derive(Debug)]
pub(super) enum ScriptError {
    /// It could not be read.
    Read(io::Error),
    /// It could not be written.
    Write(io::Error),
    /// It does not end with a `COMMIT`.
    Endless,
}

/// Copies a script that was made with `--single-transaction`, for a server of this major version,
/// without its own `BEGIN` and `COMMIT`.
pub(super) fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    major: u32,
) -> Result<(), ScriptError> {
    let mut buffer = vec![0; CHUNK];
    let mut held = Vec::new();
    let mut at_head = true;
    loop {
        let read = from.read(&mut buffer).map_err(ScriptError::Read)?;
        held.extend_from_slice(&buffer[..read]);
        let is_head_whole =
            || memchr::memmem::find(&held, HEAD_END).is_some() || held.len() > LONGEST_HEAD;
        if at_head && (read == 0 || is_head_whole()) {
            held = fitting(&held, major);
            at_head = false;
        }
        if read == 0 {
            let commit = memchr::memmem::rfind(&held, COMMIT).ok_or(ScriptError::Endless)?;
            held.drain(commit..commit + COMMIT.len() - 1);
            return to.write_all(&held).map_err(ScriptError::Write);
        }
        let ready = held.len().saturating_sub(LONGEST_END);
        if !at_head && ready > 0 {
            to.write_all(&held[..ready]).map_err(ScriptError::Write)?;
            held.drain(..ready);
        }
    }
}

/// The beginning of a script without the lines that do not fit.
fn fitting(begun: &[u8], major: u32) -> Vec<u8> {
    let end = memchr::memmem::find(begun, HEAD_END).map_or(0, |at| at + 1);
    let (head, rest) = begun.split_at(end);
    let is_left_out = |line: &[u8]| {
        LEFT_OUT.iter().any(|(start, since)| major < *since && line.starts_with(start.as_bytes()))
    };
    let lines = head.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_left_out(line));
    let mut fitting = lines.collect::<Vec<_>>().concat();
    fitting.extend_from_slice(rest);
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "--\n\nBEGIN;\n\nSET statement_timeout = 0;\nSET transaction_timeout = 0;\n\
        SELECT pg_catalog.set_config('search_path', '', false);\n";
    const BODY: &str =
        "COPY public.x (a) FROM stdin;\nSET transaction_timeout = 0;\nCOMMIT;\n\\.\n";

    /// Hands out a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.len().min(self.1).min(buffer.len());
            buffer[..read].copy_from_slice(&self.0[..read]);
            self.0 = &self.0[read..];
            Ok(read)
        }
    }

    fn copied(script: &str, piece: usize, major: u32) -> String {
        let mut out = Vec::new();
        copy(&mut Slow(script.as_bytes(), piece), &mut out, major).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn begin_and_commit_are_left_to_figw_and_young_settings_to_young_servers() {
        let body = BODY.repeat(400);
        let script = format!("{HEAD}{body}\nCOMMIT;\n\n-- complete\n");
        let young = format!("{}{body}\n\n-- complete\n", HEAD.replace("BEGIN;\n", ""));
        let old = young.replacen("SET transaction_timeout = 0;\n", "", 1);
        for piece in [1, 7, 60, 5000, usize::MAX] {
            assert_eq!(copied(&script, piece, 15), old, "pieces of {piece}");
            assert_eq!(copied(&script, piece, 17), young, "pieces of {piece}");
        }
    }

    #[test]
    fn a_script_that_was_cut_off_has_no_end() {
        for script in ["", HEAD, &"-- long\n".repeat(20_000)] {
            let copied = copy(&mut script.as_bytes(), &mut io::sink(), 15);
            assert!(matches!(copied, Err(ScriptError::Endless)), "{copied:?}");
        }
    }
}
