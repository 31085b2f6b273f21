//! Reads values written as text: JSON as Python's `json` writes it (with `NaN`, `Infinity` and
//! integers of any length), and what `repr` of plain data looks like: `{'a': None, 'b': (1, 2)}`.

use super::{MAX_DEPTH, PyValue, ReadError};

/// Reads JSON, with the liberties of Python's `json.loads`.
///
/// # Errors
/// What was expected and at which character.
pub fn json(text: &str) -> Result<PyValue, ReadError> {
    Reader { text, at: 0, dialect: Dialect::Json }.document()
}

/// Reads a Python literal made of dicts, lists, tuples, strings, numbers, `True`, `False` and
/// `None`; JSON's and JavaScript's words for these are understood, too.
///
/// # Errors
/// What was expected and at which character.
pub fn literal(text: &str) -> Result<PyValue, ReadError> {
    Reader { text, at: 0, dialect: Dialect::Python }.document()
}

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    Json,
    Python,
}

/// What comes next in a container.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Item,
    End,
    EndAfterComma,
}

struct Reader<'a> {
    text: &'a str,
    /// In bytes; always between two characters.
    at: usize,
    dialect: Dialect,
}

impl Reader<'_> {
    fn document(mut self) -> Result<PyValue, ReadError> {
        let value = self.value(0)?;
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(self.expected("the end")),
        }
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += blanks;
        rest.get(blanks).copied()
    }

    /// Consumes `wanted`, after blanks, if it comes next.
    fn accept(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn expected(&self, what: &str) -> ReadError {
        let found = self.text[self.at..].chars().next();
        let found = found.map_or("the end".to_owned(), |c| format!("`{c}`"));
        let place = self.text[..self.at].chars().count() + 1;
        ReadError(format!("expected {what} at character {place}, found {found}"))
    }

    fn is_quote(&self, byte: Option<u8>) -> bool {
        byte == Some(b'"') || byte == Some(b'\'') && self.dialect == Dialect::Python
    }

    fn value(&mut self, depth: usize) -> Result<PyValue, ReadError> {
        match self.peek() {
            Some(b'{' | b'[' | b'(') if depth >= MAX_DEPTH => Err(ReadError::too_deep()),
            Some(b'{') => self.dict(depth),
            Some(b'[') => self.sequence(b']', depth),
            Some(b'(') if self.dialect == Dialect::Python => self.sequence(b')', depth),
            quote if self.is_quote(quote) => self.string().map(PyValue::Text),
            Some(byte) if byte.is_ascii_digit() || byte == b'-' || byte == b'+' => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() => self.word(),
            _ => Err(self.expected("a value")),
        }
    }

    fn dict(&mut self, depth: usize) -> Result<PyValue, ReadError> {
        self.at += 1;
        let mut entries = Vec::new();
        let mut next = self.first(b'}');
        while next == Next::Item {
            let quote = self.peek();
            if self.dialect == Dialect::Json && !self.is_quote(quote) {
                return Err(self.expected("a key in quotes"));
            }
            let key = self.value(depth + 1)?;
            if !self.accept(b':') {
                return Err(self.expected("`:`"));
            }
            entries.push((key, self.value(depth + 1)?));
            next = self.next(b'}')?;
        }
        Ok(PyValue::Dict(entries))
    }

    fn sequence(&mut self, close: u8, depth: usize) -> Result<PyValue, ReadError> {
        self.at += 1;
        let mut items = Vec::new();
        let mut next = self.first(close);
        while next == Next::Item {
            items.push(self.value(depth + 1)?);
            next = self.next(close)?;
        }
        // A value in parentheses is that value; only a comma makes a tuple of it.
        if close == b')' && next == Next::End && items.len() == 1 {
            return items.pop().ok_or_else(|| self.expected("a value"));
        }
        Ok(PyValue::List(items))
    }

    /// What comes after an opening bracket.
    fn first(&mut self, close: u8) -> Next {
        if self.accept(close) { Next::End } else { Next::Item }
    }

    /// What comes after an item.
    fn next(&mut self, close: u8) -> Result<Next, ReadError> {
        if self.accept(b',') {
            let end = self.dialect == Dialect::Python && self.accept(close);
            return Ok(if end { Next::EndAfterComma } else { Next::Item });
        }
        if self.accept(close) {
            return Ok(Next::End);
        }
        Err(self.expected(&format!("`,` or `{}`", char::from(close))))
    }

    /// A string, whose quote comes next.
    fn string(&mut self) -> Result<String, ReadError> {
        let bytes = self.text.as_bytes();
        let quote = bytes[self.at];
        self.at += 1;
        let mut string = String::new();
        loop {
            let Some(length) = memchr::memchr2(quote, b'\\', &bytes[self.at..]) else {
                self.at = bytes.len();
                return Err(self.expected("the closing quote"));
            };
            let run = &self.text[self.at..self.at + length];
            self.check_controls(run)?;
            self.at += length + 1;
            if bytes[self.at - 1] == quote {
                // Most strings have no escapes: one copy of just the right size.
                return Ok(if string.is_empty() { run.to_owned() } else { string + run });
            }
            string.push_str(run);
            self.escape(&mut string)?;
        }
    }

    fn check_controls(&mut self, run: &str) -> Result<(), ReadError> {
        if self.dialect == Dialect::Python {
            return Ok(());
        }
        match run.bytes().position(|byte| byte < 0x20) {
            Some(place) => {
                self.at += place;
                Err(self.expected("an escape instead of this control character"))
            }
            None => Ok(()),
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, string: &mut String) -> Result<(), ReadError> {
        let python = self.dialect == Dialect::Python;
        let escape = self.text.as_bytes().get(self.at).copied();
        let digits = match escape {
            Some(b'u') => 4,
            Some(b'x') if python => 2,
            Some(b'U') if python => 8,
            other => {
                let simple = other.and_then(|byte| simple_escape(byte, python));
                string.push(simple.ok_or_else(|| self.expected("a known escape"))?);
                self.at += 1;
                return Ok(());
            }
        };
        self.at += 1;
        let code = self.hexadecimal(digits)?;
        string.push(match code {
            0xD800..=0xDBFF => self.low_surrogate(code).unwrap_or(char::REPLACEMENT_CHARACTER),
            code => char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
        });
        Ok(())
    }

    /// The character of two surrogates, when an escaped low one comes next.
    fn low_surrogate(&mut self, high: u32) -> Option<char> {
        let start = self.at;
        let low = self.text[start..].starts_with("\\u").then(|| {
            self.at += 2;
            self.hexadecimal(4).ok().filter(|low| (0xDC00..=0xDFFF).contains(low))
        });
        let Some(Some(low)) = low else {
            self.at = start;
            return None;
        };
        char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    }

    fn hexadecimal(&mut self, digits: usize) -> Result<u32, ReadError> {
        let hex = self.text.get(self.at..self.at + digits);
        let code = hex
            .filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
            .ok_or_else(|| self.expected(&format!("{digits} hexadecimal digits")))?;
        self.at += digits;
        Ok(code)
    }

    fn number(&mut self) -> Result<PyValue, ReadError> {
        if self.dialect == Dialect::Json && self.text[self.at..].starts_with("-Infinity") {
            self.at += "-Infinity".len();
            return Ok(PyValue::Float(f64::NEG_INFINITY));
        }
        let rest = &self.text[self.at..];
        let part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
        let length = rest.bytes().take_while(|byte| part(*byte)).count();
        let written = &rest[..length];
        let number = match self.dialect {
            Dialect::Json => number(written),
            Dialect::Python => {
                let plain = written.replace('_', "");
                number(plain.strip_prefix('+').unwrap_or(&plain))
            }
        };
        let place = || self.text[..self.at].chars().count() + 1;
        let number = number.ok_or_else(|| {
            ReadError(format!("`{written}` at character {} is not a number", place()))
        })?;
        self.at += length;
        Ok(number)
    }

    fn word(&mut self) -> Result<PyValue, ReadError> {
        let rest = &self.text[self.at..];
        let length =
            rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let python = self.dialect == Dialect::Python;
        let value = match &rest[..length] {
            "true" => PyValue::Bool(true),
            "false" => PyValue::Bool(false),
            "null" => PyValue::None,
            "NaN" => PyValue::Float(f64::NAN),
            "Infinity" => PyValue::Float(f64::INFINITY),
            "True" if python => PyValue::Bool(true),
            "False" if python => PyValue::Bool(false),
            "None" if python => PyValue::None,
            "nan" if python => PyValue::Float(f64::NAN),
            "inf" if python => PyValue::Float(f64::INFINITY),
            _ => return Err(self.expected("a plain value")),
        };
        self.at += length;
        Ok(value)
    }
}

const fn simple_escape(byte: u8, python: bool) -> Option<char> {
    Some(match byte {
        b'"' | b'\\' => byte as char,
        b'\'' if python => '\'',
        b'/' if !python => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

/// A number in JSON's grammar; or `inf` and `nan` after a sign, as `repr` writes them.
fn number(text: &str) -> Option<PyValue> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if matches!(digits, "inf" | "Infinity" | "nan") {
        return text.parse().ok().map(PyValue::Float);
    }
    let whole = digits.bytes().take_while(u8::is_ascii_digit).count();
    if whole == 0 || whole > 1 && digits.starts_with('0') {
        return None;
    }
    if whole == digits.len() {
        let small = text.parse().map(PyValue::Int);
        return Some(small.unwrap_or_else(|_| PyValue::BigInt(text.to_owned())));
    }
    // Rust reads `1.` and `1.e5`, which are no JSON.
    let fraction = &digits[whole..];
    let complete =
        !fraction.starts_with('.') || fraction.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    text.parse().ok().filter(|_| complete).map(PyValue::Float)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_reads_as_pythons_json_reads_it() {
        let read =
            json(r#" {"a": [NaN, Infinity, -Infinity, 1e999, 18446744073709551616], "": -0} "#);
        let Ok(PyValue::Dict(entries)) = read else { panic!("{read:?}") };
        let PyValue::List(numbers) = &entries[0].1 else { panic!("{entries:?}") };
        assert!(matches!(numbers[0], PyValue::Float(nan) if nan.is_nan()));
        let infinite = [f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY].map(PyValue::Float);
        assert_eq!(numbers[1..4], infinite);
        assert_eq!(numbers[4], PyValue::BigInt("18446744073709551616".to_owned()));
        assert_eq!(entries[1], (PyValue::Text(String::new()), PyValue::Int(0)));
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        for (text, expected) in [
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ude00x""#, "\u{fffd}x"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
        ] {
            assert_eq!(json(text), Ok(PyValue::Text(expected.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for (text, expected) in [
            ("{'a': 1}", "expected a key in quotes at character 2"),
            ("[1,]", "expected a value at character 4"),
            ("[1 2]", "expected `,` or `]` at character 4"),
            ("(1)", "expected a value"),
            ("None", "expected a plain value"),
            ("1 x", "expected the end at character 3"),
            ("01", "`01` at character 1 is not a number"),
            ("[1.]", "`1.` at character 2 is not a number"),
            ("-", "`-` at character 1 is not a number"),
            ("1_000", "is not a number"),
            ("\"é\u{1}\"", "control character at character 3"),
            (r#""\x41""#, "expected a known escape at character 3"),
            (r#""\u12"#, "expected 4 hexadecimal digits"),
            ("\"abc", "expected the closing quote at character 5, found the end"),
            ("", "expected a value at character 1, found the end"),
        ] {
            let error = json(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn parentheses_make_a_tuple_only_with_a_comma() {
        let one = PyValue::Int(1);
        assert_eq!(literal("(1)"), Ok(one.clone()));
        assert_eq!(literal("(1 , )"), Ok(PyValue::List(vec![one.clone()])));
        assert_eq!(literal("()"), Ok(PyValue::List(Vec::new())));
        assert_eq!(
            literal("{1: (1, 1)}"),
            Ok(PyValue::Dict(vec![(one.clone(), PyValue::List(vec![one.clone(), one]))]))
        );
    }

    #[test]
    fn deep_nesting_is_refused_and_the_allowed_depth_is_read() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested =
                |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
            assert!(json(&nested(MAX_DEPTH)).is_ok());
            for levels in [MAX_DEPTH + 1, 100_000] {
                let error = json(&nested(levels)).unwrap_err().to_string();
                assert!(error.contains("nested deeper"), "{error}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}()'\",:0-9a-zTNIU\\\\ué. \n-]{0,40}") {
            let _ = literal(&text);
            if json(&text).is_err() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_err());
            }
        }
    }
}
