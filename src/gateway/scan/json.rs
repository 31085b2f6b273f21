//! A cursor over JSON text that reads each byte once and keeps nothing.
//!
//! `serde_json` copies every string with an escape in it, hides byte offsets and does not limit
//! the depth of what it ignores; the hot path needs all three otherwise.

use std::borrow::Cow;
use std::ops::Range;

/// Containers may be nested this deep, as in `serde_json`.
pub(super) const MAX_DEPTH: usize = 128;

/// Why the text is not JSON that figw reads, and at which byte.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    pub(super) at: usize,
    pub(super) fault: Fault,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Malformed(&'static str),
    TooDeep,
    NumberRange,
}

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    raw: &'a str,
    start: usize,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The bytes it takes in the body, quotes included.
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.start + self.raw.len() + 2
    }

    /// The text between the quotes, escapes untouched.
    pub(super) fn raw(&self) -> &'a str {
        self.raw
    }

    /// The text meant; borrowed unless it has escapes.
    pub(super) fn decode(&self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let quoted = format!("\"{}\"", self.raw);
        // The cursor has checked every escape, so the second arm only satisfies the type.
        serde_json::from_str(&quoted).map_or(Cow::Borrowed(self.raw), Cow::Owned)
    }

    /// Characters meant, counted without decoding.
    pub(super) fn chars(&self) -> usize {
        let mut count = 0;
        let mut bytes = self.raw.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => {
                    let unit = bytes.next() == Some(b'u');
                    let digits = if unit { [bytes.next(), bytes.next()] } else { [None; 2] };
                    if unit {
                        bytes.nth(1);
                    }
                    count += usize::from(!is_low_surrogate(digits));
                }
                continuation if continuation & 0xC0 == 0x80 => {}
                _ => count += 1,
            }
        }
        count
    }
}

/// Whether a `\u` escape that starts with these two digits is the second half of a character.
fn is_low_surrogate(digits: [Option<u8>; 2]) -> bool {
    matches!(digits, [Some(b'd' | b'D'), Some(b'c'..=b'f' | b'C'..=b'F')])
}

/// A number by what it was written as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    /// Written as an integer, beyond 64 bits.
    HugeInteger(f64),
    Decimal(f64),
}

#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The byte offset that is read next.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn malformed<T>(&self, what: &'static str) -> Result<T, Syntax> {
        Err(Syntax { at: self.at, fault: Fault::Malformed(what) })
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    /// The first byte of the next token.
    pub(super) fn peek(&mut self) -> Result<u8, Syntax> {
        self.skip_whitespace();
        match self.byte() {
            Some(byte) => Ok(byte),
            None => self.malformed("unexpected end of the body"),
        }
    }

    /// Refuses anything but white space.
    pub(super) fn end(&mut self) -> Result<(), Syntax> {
        self.skip_whitespace();
        if self.byte().is_some() {
            return self.malformed("unexpected characters after the JSON value");
        }
        Ok(())
    }

    /// Reads the `{` or `[` that [`Self::peek`] saw.
    pub(super) fn enter(&mut self) -> Result<(), Syntax> {
        if self.depth == MAX_DEPTH {
            return Err(Syntax { at: self.at, fault: Fault::TooDeep });
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Whether the container entered has another element; reads the comma or the closing bracket.
    pub(super) fn more(&mut self, close: u8, first: bool) -> Result<bool, Syntax> {
        match self.peek()? {
            byte if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            _ if first => Ok(true),
            b',' => {
                self.at += 1;
                Ok(true)
            }
            _ if close == b'}' => self.malformed("expected `,` or `}`"),
            _ => self.malformed("expected `,` or `]`"),
        }
    }

    /// Reads a member's name and the colon after it.
    pub(super) fn key(&mut self) -> Result<Text<'a>, Syntax> {
        if self.peek()? != b'"' {
            return self.malformed("expected a member's name in double quotes");
        }
        let key = self.string()?;
        if self.peek()? != b':' {
            return self.malformed("expected `:`");
        }
        self.at += 1;
        Ok(key)
    }

    /// Reads the string whose opening quote [`Self::peek`] saw.
    pub(super) fn string(&mut self) -> Result<Text<'a>, Syntax> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at = end_of_plain(self.text.as_bytes(), self.at);
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.malformed("control character in a string"),
                None => return self.malformed("unexpected end of the body in a string"),
            }
        }
        let raw = &self.text[start + 1..self.at];
        self.at += 1;
        Ok(Text { raw, start, escaped })
    }

    fn escape(&mut self) -> Result<(), Syntax> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => self.unicode_escape(),
            _ => self.malformed("invalid escape in a string"),
        }
    }

    fn unicode_escape(&mut self) -> Result<(), Syntax> {
        let paired = match self.code_unit(self.at) {
            None => return self.malformed("invalid `\\u` escape in a string"),
            Some(0xDC00..=0xDFFF) => false,
            Some(0xD800..=0xDBFF) => {
                self.at += 6;
                matches!(self.code_unit(self.at), Some(0xDC00..=0xDFFF))
            }
            Some(_) => true,
        };
        if !paired {
            return self.malformed("half of a surrogate pair in a string");
        }
        self.at += 6;
        Ok(())
    }

    /// The value of the `\uXXXX` that starts at a byte.
    fn code_unit(&self, at: usize) -> Option<u32> {
        let escape = self.text.as_bytes().get(at..at + 6)?;
        if escape[..2] != *b"\\u" {
            return None;
        }
        escape[2..]
            .iter()
            .try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    }

    /// Reads a number.
    pub(super) fn number(&mut self) -> Result<Number, Syntax> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.byte() == Some(b'0');
        if self.digits()? > 1 && leading_zero {
            return self.malformed("number with a leading zero");
        }
        let decimal = self.fraction_and_exponent()?;
        let text = &self.text[start..self.at];
        if !decimal && let Ok(integer) = text.parse() {
            return Ok(Number::Integer(integer));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && decimal => Ok(Number::Decimal(number)),
            Ok(number) if number.is_finite() => Ok(Number::HugeInteger(number)),
            _ => Err(Syntax { at: start, fault: Fault::NumberRange }),
        }
    }

    fn fraction_and_exponent(&mut self) -> Result<bool, Syntax> {
        let start = self.at;
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.at > start)
    }

    fn digits(&mut self) -> Result<usize, Syntax> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at == start {
            return self.malformed("expected a digit");
        }
        Ok(self.at - start)
    }

    /// Reads `true`, `false` or `null`.
    pub(super) fn word(&mut self, word: &'static str) -> Result<(), Syntax> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.malformed("expected a value");
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads past a value of any kind.
    pub(super) fn skip(&mut self) -> Result<(), Syntax> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' => self.skip_members(b'}'),
            b'[' => self.skip_members(b']'),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            _ => self.malformed("expected a value"),
        }
    }

    fn skip_members(&mut self, close: u8) -> Result<(), Syntax> {
        self.enter()?;
        let mut first = true;
        while self.more(close, first)? {
            first = false;
            if close == b'}' {
                self.key()?;
            }
            self.skip()?;
        }
        Ok(())
    }
}

/// The first byte from `at` on that cannot stand for itself in a string, eight bytes at a time.
fn end_of_plain(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGH: u64 = ONES * 0x80;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some((chunk, _)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let quote = zero_bytes(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_bytes(word ^ (ONES * u64::from(b'\\')));
        // Borrows only run upwards, so the lowest flag is always a true one.
        let special = control | quote | backslash;
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, 0..0x20 | b'"' | b'\\')) {
        at += 1;
    }
    at
}
