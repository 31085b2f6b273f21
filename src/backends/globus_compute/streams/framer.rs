//! Lines of a model's stream, made into server-sent events again.
//!
//! The function on the cluster sends the lines of the model's stream without the blank lines between
//! them, as many as there were since its last post. Each `data:` line is an event of its own, as in
//! every inference API; an `event:` line may come one post earlier than its data.

/// Longest head of an event that is kept until its data comes, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// The state between two posts.
#[derive(Debug, Default)]
pub(super) struct Framer {
    /// The `event:`, `id:` and `retry:` lines of the next event.
    head: String,
}

/// What a post came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framed {
    /// Whole events.
    pub(super) events: Vec<u8>,
    /// Lines of the model's stream, as its sender counts them.
    pub(super) lines: u64,
}

impl Framer {
    /// Takes the lines of one post.
    pub(super) fn push(&mut self, text: &str) -> Framed {
        let mut framed = Framed { events: Vec::with_capacity(text.len() + 64), lines: 0 };
        for sent in text.split('\n').filter(|line| !line.trim_ascii().is_empty()) {
            framed.lines += 1;
            // A lone CR ends a line for whoever reads the events, so it ends one here.
            for line in sent.split('\r').map(str::trim_ascii).filter(|line| !line.is_empty()) {
                self.line(line, &mut framed.events);
            }
        }
        framed
    }

    fn line(&mut self, line: &str, events: &mut Vec<u8>) {
        if let Some(data) = line.strip_prefix("data:") {
            // The end of a stream is told by a post of its own.
            if data.trim_ascii() != "[DONE]" {
                events.extend_from_slice(self.head.as_bytes());
                events.extend_from_slice(line.as_bytes());
                events.extend_from_slice(b"\n\n");
            }
            self.head.clear();
        } else if line.starts_with(':') {
            events.extend_from_slice(line.as_bytes());
            events.extend_from_slice(b"\n\n");
        } else if ["event:", "id:", "retry:"].iter().any(|field| line.starts_with(field)) {
            if self.head.len() + line.len() < LONGEST_HEAD {
                self.head.push_str(line);
                self.head.push('\n');
            }
        } else {
            tracing::debug!(length = line.len(), "a line that is no server-sent event is left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(posts: &[&str]) -> String {
        let mut framer = Framer::default();
        posts.iter().map(|post| String::from_utf8(framer.push(post).events).unwrap()).collect()
    }

    #[test]
    fn each_data_line_is_an_event() {
        assert_eq!(
            events(&["data: {\"a\":1}\ndata: {\"b\":2}", "data:3"]),
            "data: {\"a\":1}\n\ndata: {\"b\":2}\n\ndata:3\n\n"
        );
        assert_eq!(Framer::default().push("data: 1\n\n \ndata: 2\n").lines, 2);
    }

    #[test]
    fn a_name_stays_with_its_data_wherever_the_posts_are_cut() {
        let lines = ["event: a", "data: 1", "event: b", "id: 7", "data: 2", ": ping", "data: 3"];
        let whole = "event: a\ndata: 1\n\nevent: b\nid: 7\ndata: 2\n\n: ping\n\ndata: 3\n\n";
        for cut in 0..lines.len() {
            let (first, second) = lines.split_at(cut);
            assert_eq!(events(&[&first.join("\n"), &second.join("\n")]), whole, "{cut}");
        }
    }

    #[test]
    fn what_is_no_event_cannot_break_one() {
        assert_eq!(
            events(&["Internal Server Error\n{\"error\": 1}\ndata: 1\r\nbroken\rdata: 2"]),
            "data: 1\n\ndata: 2\n\n"
        );
    }

    #[test]
    fn the_end_is_not_told_by_a_line() {
        assert_eq!(events(&["data: 1\ndata: [DONE]\ndata:[DONE]"]), "data: 1\n\n");
    }

    #[test]
    fn names_without_data_do_not_pile_up() {
        let mut framer = Framer::default();
        for _ in 0..10_000 {
            assert!(framer.push(&"event: endless".repeat(100)).events.is_empty());
        }
        assert!(framer.head.len() <= LONGEST_HEAD);
    }
}
