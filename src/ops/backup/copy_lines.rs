//! Counts the rows in a script of `pg_dump` or `pg_restore`: between `COPY … FROM stdin;` and `\.`,
//! one line is one row.

use std::collections::BTreeMap;

/// No line that matters is longer: the head of a table with 1,600 columns has at most so many bytes.
const LONGEST_HEAD: usize = 256 << 10;

/// Counts as the script comes.
#[derive(Debug, Default)]
pub(super) struct CopyCounter {
    counts: BTreeMap<String, u64>,
    table: Option<(String, u64)>,
    /// The beginning of the line whose end has not come yet.
    line: Vec<u8>,
    /// Its length, however much of it is kept.
    length: usize,
}

impl CopyCounter {
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            if self.length == 0 {
                let line = &bytes[from..end];
                Self::end_line(&mut self.table, &mut self.counts, line);
            } else {
                self.keep(&bytes[from..end]);
                let kept = std::mem::take(&mut self.line);
                // A line that was not kept whole is no head and no end of a table.
                let line = if self.length == kept.len() { &kept[..] } else { b"row" };
                Self::end_line(&mut self.table, &mut self.counts, line);
                self.line = kept;
                self.line.clear();
                self.length = 0;
            }
            from = end + 1;
        }
        self.keep(&bytes[from..]);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST_HEAD.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len();
    }

    fn end_line(
        table: &mut Option<(String, u64)>,
        counts: &mut BTreeMap<String, u64>,
        line: &[u8],
    ) {
        match table {
            Some((_, rows)) if line != br"\." => *rows += 1,
            Some(_) => {
                if let Some((name, rows)) = table.take() {
                    *counts.entry(name).or_default() += rows;
                }
            }
            None => *table = copied_table(line).map(|name| (name, 0)),
        }
    }

    /// The counts by table. A table whose end did not come is not among them.
    pub(super) fn finish(self) -> BTreeMap<String, u64> {
        self.counts
    }
}

/// `COPY public.usage (id, …) FROM stdin;` is `public.usage`.
fn copied_table(line: &[u8]) -> Option<String> {
    let rest = line.strip_prefix(b"COPY ")?.strip_suffix(b" FROM stdin;")?;
    let rest = std::str::from_utf8(rest).ok()?;
    let mut quoted = false;
    let end = rest.find(|c| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    });
    Some(rest[..end.unwrap_or(rest.len())].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &[u8] = b"SET x = 1;\nCOPY public.usage (id, \"from\") FROM stdin;\n1\ta\n\
        2\tCOPY public.x (a) FROM stdin;\n3\t\\\\.\n\\.\n\nCOPY \"odd one\".\"a \"\"b\"\"\" (id) FROM stdin;\n\
        \\.\nCOPY public.no_columns FROM stdin;\n\n\n\\.\nSELECT 1;\n";

    #[test]
    fn rows_are_counted_however_the_script_is_cut() {
        for size in 1..SCRIPT.len() {
            let mut counter = CopyCounter::default();
            for piece in SCRIPT.chunks(size) {
                counter.read(piece);
            }
            let expected: [(String, u64); 3] = [
                ("\"odd one\".\"a \"\"b\"\"\"".into(), 0),
                ("public.no_columns".into(), 2),
                ("public.usage".into(), 3),
            ];
            assert_eq!(counter.finish(), expected.into(), "pieces of {size} bytes");
        }
    }

    #[test]
    fn a_table_that_is_cut_off_does_not_count() {
        let mut counter = CopyCounter::default();
        counter.read(b"COPY public.usage (id) FROM stdin;\n1\n2\n");
        assert_eq!(counter.finish(), BTreeMap::new());
    }
}
