//! On which line of the file each key stands. `serde_yaml` reads the values, but keeps no places.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

use super::schema::join;

/// Lines of keys and list entries by their path (`server.listen`, `instances[0].url`), from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lines {
    of: HashMap<String, usize>,
    /// Keys given a second time: path, line, and the line of the first.
    pub(super) repeated: Vec<(String, usize, usize)>,
}

impl Lines {
    /// Reads as far as the text is YAML.
    pub(super) fn read(text: &str) -> Self {
        let mut reader = Reader::default();
        for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
            let line = span.start.line();
            match event {
                Event::Scalar(value, ..) => reader.scalar(&value, line),
                Event::Alias(_) => reader.scalar("*", line),
                Event::MappingStart(..) => reader.open(Place::Key, line),
                Event::SequenceStart(..) => reader.open(Place::Index(0), line),
                Event::MappingEnd | Event::SequenceEnd => reader.close(),
                _ => {}
            }
        }
        reader.lines
    }

    pub(super) fn get(&self, path: &str) -> Option<usize> {
        self.of.get(path).copied()
    }

    /// Whether the key belongs to a section that is itself given twice: one mistake, told once.
    fn is_in_repeated(&self, key: &str) -> bool {
        self.repeated.iter().any(|(section, ..)| {
            key.strip_prefix(section.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']))
        })
    }
}

/// Where the next node of a collection belongs.
#[derive(Debug)]
enum Place {
    /// It is a key.
    Key,
    /// It is the value of this path.
    Value(String),
    /// It is the list's entry with this index.
    Index(usize),
}

/// A collection that is still open: its path, and the place of its next node.
#[derive(Debug)]
struct Open {
    path: String,
    next: Place,
}

#[derive(Debug, Default)]
struct Reader {
    lines: Lines,
    open: Vec<Open>,
}

impl Reader {
    fn scalar(&mut self, text: &str, line: usize) {
        let Some(Open { path, next }) = self.open.last_mut() else { return };
        if matches!(next, Place::Key) {
            let key = join(path, text);
            match self.lines.of.get(&key) {
                Some(_) if self.lines.is_in_repeated(&key) => {}
                Some(first) => self.lines.repeated.push((key.clone(), line, *first)),
                None => {
                    self.lines.of.insert(key.clone(), line);
                }
            }
            *next = Place::Value(key);
        } else {
            self.enter(line);
            self.leave();
        }
    }

    fn open(&mut self, next: Place, line: usize) {
        let path = self.enter(line);
        self.open.push(Open { path, next });
    }

    fn close(&mut self) {
        self.open.pop();
        self.leave();
    }

    /// The path of the node that begins.
    fn enter(&mut self, line: usize) -> String {
        match self.open.last() {
            None => String::new(),
            Some(Open { path, next: Place::Key }) => join(path, "?"),
            Some(Open { next: Place::Value(path), .. }) => path.clone(),
            Some(Open { path, next: Place::Index(index) }) => {
                let path = format!("{path}[{index}]");
                self.lines.of.insert(path.clone(), line);
                path
            }
        }
    }

    /// The node that began has ended.
    fn leave(&mut self) {
        if let Some(Open { path, next }) = self.open.last_mut() {
            *next = match next {
                Place::Key => Place::Value(join(path, "?")),
                Place::Value(_) => Place::Key,
                Place::Index(index) => Place::Index(*index + 1),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_entries_are_found_in_every_style() {
        let lines = Lines::read(
            "# comment\nserver:\n  listen: \"a\"\n  tls: {key: k,\n    certificate: c}\n\
             instances:\n- name: a\n  url: b\n- {name: c}\nserver:\n  listen: again\n",
        );
        for (path, line) in [
            ("server", 2),
            ("server.listen", 3),
            ("server.tls.key", 4),
            ("server.tls.certificate", 5),
            ("instances[0]", 7),
            ("instances[0].url", 8),
            ("instances[1].name", 9),
        ] {
            assert_eq!(lines.get(path), Some(line), "{path}");
        }
        assert_eq!(lines.repeated, [("server".to_owned(), 10, 2)]);
    }

    #[test]
    fn what_is_no_yaml_gives_the_lines_before_it() {
        let lines = Lines::read("a: 1\nb: [\n");
        assert_eq!(lines.get("a"), Some(1));
    }
}
