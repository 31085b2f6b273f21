//! What people are told: as Slack's blocks, as JSON, and as mail.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    decide::{Change, Kind},
    memory::Memory,
};
use crate::ops::health::State;

/// What Slack takes: blocks of a message, and characters of a heading and of a section.
const MOST_BLOCKS: usize = 50;
const LONGEST_HEADING: usize = 150;
const LONGEST_SECTION: usize = 3_000;

/// Characters of what was seen that are passed on.
const LONGEST_EVIDENCE: usize = 1_000;

/// What to do next, whatever it is.
const NEXT: &str = "Look with `figw health --deep`; figw-faults(7) tells what each fault means.";

/// One change, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    check: &'static str,
    kind: Kind,
    state: State,
    before: Option<State>,
    is_first_look: bool,
    since: Timestamp,
    evidence: String,
}

/// A message to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    instance: String,
    state: State,
    at: Timestamp,
    told: Vec<Told>,
}

impl Message {
    pub(super) fn new(
        instance: &str,
        state: State,
        changes: &[Change],
        memory: &Memory,
        now: Timestamp,
    ) -> Self {
        let told = changes.iter().map(|change| Told {
            check: change.line.name,
            kind: change.kind,
            state: change.line.finding.state,
            before: change.before,
            is_first_look: memory.is_first_look(change.line.name),
            since: memory.since(change.line.name).unwrap_or(now),
            evidence: plain(&change.line.finding.evidence, LONGEST_EVIDENCE),
        });
        let instance = plain(instance, LONGEST_HEADING);
        Self { instance, state, at: now, told: told.collect() }
    }

    /// `figw CRITICAL: gw1:8000 (database, redis)`, by the worst of what is told: what was told before
    /// may be worse. Never has a line break.
    pub(super) fn title(&self) -> String {
        let has = |kinds: &[Kind]| self.told.iter().any(|told| kinds.contains(&told.kind));
        let worst = self.told.iter().map(|told| told.state).max().unwrap_or(self.state).word();
        let word = if has(&[Kind::Worse, Kind::Better]) {
            worst.to_owned()
        } else if has(&[Kind::Reminder]) {
            format!("still {worst}")
        } else {
            format!("recovered, {worst} now")
        };
        let checks: Vec<_> = self.told.iter().map(|told| told.check).collect();
        format!("figw {word}: {} ({})", self.instance, checks.join(", "))
    }

    /// As plain JSON.
    pub(super) fn json(&self) -> Value {
        let changes = self.told.iter().map(|told| {
            json!({
                "check": told.check, "change": told.kind, "state": told.state,
                "before": told.before, "since": told.since, "evidence": told.evidence,
            })
        });
        json!({
            "title": self.title(), "instance": self.instance, "state": self.state, "at": self.at,
            "changes": changes.collect::<Vec<_>>(), "next": NEXT,
        })
    }

    /// As a message of Slack's.
    pub(super) fn slack(&self) -> Value {
        let title = plain(&self.title(), LONGEST_HEADING);
        let mut blocks =
            vec![json!({"type": "header", "text": {"type": "plain_text", "text": title}})];
        // One block stays for what to do next, one for how many were left out.
        let shown = self.told.iter().take(MOST_BLOCKS - 3);
        blocks.extend(shown.map(|told| {
            let text = format!(
                "*{}* {}\n{}",
                escape(told.check),
                escape(&told.heading()),
                escape(&told.evidence)
            );
            section(&plain_lines(&text, LONGEST_SECTION))
        }));
        if self.told.len() > MOST_BLOCKS - 3 {
            blocks.push(section(&format!("and {} more", self.told.len() + 3 - MOST_BLOCKS)));
        }
        blocks.push(json!({
            "type": "context", "elements": [{"type": "mrkdwn", "text": escape(NEXT)}],
        }));
        json!({ "text": escape(&title), "blocks": blocks })
    }

    /// As the body of a mail.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{} is {} at {:.0}.\n", self.instance, self.state.word(), self.at);
        for told in &self.told {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{} {}\n  {}\n", told.check, told.heading(), told.evidence);
        }
        let _ = write!(text, "\n{NEXT}\n");
        text
    }
}

impl Told {
    /// `CRITICAL since 2026-01-02T03:04:05Z, was OK`.
    fn heading(&self) -> String {
        let word = self.state.word();
        let since = self.since.strftime("%Y-%m-%dT%H:%M:%SZ");
        match (self.kind, self.before) {
            (Kind::Reminder, Some(before)) if before == self.state => {
                format!("is still {word}, since {since}")
            }
            // It may have been so for long before anybody looked.
            (_, None) if self.is_first_look => format!("is {word} at the first look, {since}"),
            (_, before) => {
                let before = before.unwrap_or(State::Ok).word();
                format!("is {word} since {since}, was {before}")
            }
        }
    }
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

/// What Slack would take for a mention, a link or an entity.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// One line without anything that would end a header or hide what is written.
fn plain(text: &str, longest: usize) -> String {
    plain_lines(&text.replace(['\n', '\r'], " "), longest)
}

/// The same with its lines.
fn plain_lines(text: &str, longest: usize) -> String {
    let visible = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c });
    let mut cut: String = visible.take(longest).collect();
    if text.chars().nth(longest).is_some() {
        cut.pop();
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(evidence: &str, count: usize) -> Message {
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let told = Told {
            check: "database",
            kind: Kind::Worse,
            state: State::Critical,
            before: None,
            is_first_look: false,
            since: at,
            evidence: plain(evidence, LONGEST_EVIDENCE),
        };
        let told = std::iter::repeat_n(told, count).collect();
        Message { instance: "gw1:8000".to_owned(), state: State::Critical, at, told }
    }

    #[test]
    fn slack_s_limits_and_entities_are_kept_to() {
        let slack = message("<!channel> & <http://x|y>\r\nBcc: z", 1).slack();
        let text = slack["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(text.contains("&lt;!channel&gt; &amp; &lt;http://x|y&gt;  Bcc: z"), "{text}");
        let many = message(&"&".repeat(5_000), 100).slack();
        let blocks = many["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), MOST_BLOCKS);
        for block in blocks {
            let text = block["text"]["text"].as_str().unwrap_or_default();
            assert!(text.chars().count() <= LONGEST_SECTION);
        }
        let heading = blocks[0]["text"]["text"].as_str().unwrap();
        assert!(heading.chars().count() <= LONGEST_HEADING, "{heading}");
    }

    #[test]
    fn a_mail_tells_what_since_when_and_what_next() {
        let text = message("it hangs", 1).text();
        assert!(text.starts_with("gw1:8000 is CRITICAL at 2026-01-02T03:04:05Z."), "{text}");
        assert!(text.contains("database is CRITICAL since 2026-01-02T03:04:05Z, was OK"), "{text}");
        assert!(text.contains("  it hangs\n") && text.contains("figw health --deep"), "{text}");
        assert_eq!(message("x", 1).title(), "figw CRITICAL: gw1:8000 (database)");
    }

    #[test]
    fn the_title_goes_by_what_is_told_and_not_by_what_was() {
        use State::{Critical, Ok, Warning};
        let title = |told: &[(&'static str, Kind, State)]| {
            let one = message("x", 1);
            let changes = told.iter().map(|(check, kind, state)| Told {
                check,
                kind: *kind,
                state: *state,
                ..one.told[0].clone()
            });
            Message { told: changes.collect(), ..one.clone() }.title()
        };
        // A backup that was told of before is critical all the while.
        let worse = [("gateway", Kind::Worse, Warning), ("redis", Kind::Worse, Warning)];
        assert_eq!(title(&worse), "figw WARNING: gw1:8000 (gateway, redis)");
        let both = [worse[0], ("backup", Kind::Reminder, Critical)];
        assert_eq!(title(&both), "figw CRITICAL: gw1:8000 (gateway, backup)");
        let reminder = [("redis", Kind::Reminder, Warning)];
        assert_eq!(title(&reminder), "figw still WARNING: gw1:8000 (redis)");
        let over = [("redis", Kind::Recovered, Ok)];
        assert_eq!(title(&over), "figw recovered, OK now: gw1:8000 (redis)");
    }
}
