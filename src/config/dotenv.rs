//! `.env` files as python-dotenv reads them, which is what FIRST's were written for.
//!
//! Quoted values may span lines, `export` is skipped, and only `${NAME}` is replaced: the Rust
//! crates for this also replace `$NAME`, which would spoil passwords.

use std::{collections::HashMap, iter::Peekable, str::Chars};

/// The variables of a file, in its order, or the line that cannot be read.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut known = HashMap::new();
    while let Some((name, value)) = reader.binding()? {
        let value = expand(&value, &known);
        known.insert(name.clone(), value.clone());
        // A later value replaces an earlier one.
        variables.retain(|(other, _)| *other != name);
        variables.push((name, value));
    }
    Ok(variables)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.rest.next_if(|c| wanted(*c)) {
            if c == '\n' {
                self.line += 1;
            }
            taken.push(c);
        }
        taken
    }

    fn rest_of_line(&mut self) -> String {
        self.take_while(|c| c != '\n')
    }

    fn binding(&mut self) -> Result<Option<(String, String)>, usize> {
        loop {
            self.take_while(char::is_whitespace);
            match self.rest.peek() {
                None => return Ok(None),
                Some('#') => drop(self.rest_of_line()),
                Some(_) => break,
            }
        }
        let line = self.line;
        let is_name = |c: char| !c.is_whitespace() && !matches!(c, '=' | '#' | '\'' | '"');
        let mut name = self.take_while(is_name);
        self.blanks();
        if name == "export" && self.rest.peek() != Some(&'=') {
            name = self.take_while(is_name);
            self.blanks();
        }
        if name.is_empty() || self.next() != Some('=') {
            return Err(line);
        }
        self.blanks();
        let value = match self.rest.peek() {
            Some(&quote @ ('\'' | '"')) => self.quoted(quote).ok_or(line)?,
            _ => without_comment(&self.rest_of_line()),
        };
        Ok(Some((name, value)))
    }

    fn blanks(&mut self) {
        self.take_while(|c| c == ' ' || c == '\t');
    }

    /// A quoted value and the comment behind it; nothing when the quote is not closed or something
    /// else follows.
    fn quoted(&mut self, quote: char) -> Option<String> {
        self.next();
        let mut value = String::new();
        loop {
            match self.next()? {
                c if c == quote => break,
                '\\' => match (self.next()?, quote) {
                    (c @ ('\\' | '\''), '\'') | (c @ ('\\' | '"' | '\''), '"') => value.push(c),
                    ('n', '"') => value.push('\n'),
                    ('r', '"') => value.push('\r'),
                    ('t', '"') => value.push('\t'),
                    (c, _) => value.extend(['\\', c]),
                },
                c => value.push(c),
            }
        }
        let behind = self.rest_of_line();
        (behind.trim().is_empty() || behind.trim_start().starts_with('#')).then_some(value)
    }
}

/// An unquoted value ends before a `#` that follows a blank.
fn without_comment(text: &str) -> String {
    let end = text
        .char_indices()
        .zip(std::iter::once(' ').chain(text.chars()))
        .find(|((_, c), before)| *c == '#' && before.is_whitespace())
        .map_or(text.len(), |((index, _), _)| index);
    text[..end].trim_end().to_owned()
}

/// Replaces `${NAME}` and `${NAME:-default}` by values given earlier in the file.
fn expand(value: &str, known: &HashMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some((before, from)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((reference, behind)) = from.split_once('}') else {
            expanded.push_str("${");
            rest = from;
            continue;
        };
        let (name, default) = reference.split_once(":-").unwrap_or((reference, ""));
        expanded.push_str(known.get(name).map_or(default, String::as_str));
        rest = behind;
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_python_dotenv_reads_them() {
        let variables = parse(
            "# comment\nexport A=plain # comment\nB = \"two\n  lines\" # comment\n\
             C='pa$$word\\'s #1'\nD=a#b\nE=\nF=${A}-${X:-none}-$A\nG=\"tab\\tend\"\r\nA=again",
        )
        .unwrap();
        let expected = [
            ("B", "two\n  lines"),
            ("C", "pa$$word's #1"),
            ("D", "a#b"),
            ("E", ""),
            ("F", "plain-none-$A"),
            ("G", "tab\tend"),
            ("A", "again"),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(variables, expected);
    }

    #[test]
    fn the_line_that_cannot_be_read_is_named() {
        for (text, line) in
            [("A=1\nnonsense\n", 2), ("A='open\nB=2", 1), ("A=1\n=2", 2), ("A='x' y\n", 1)]
        {
            assert_eq!(parse(text), Err(line), "{text}");
        }
    }
}
