//! Walks a body along its schema, once, from the first byte to the last.

use super::facts::{Facts, Found};
use super::invalid::{Invalid, Path};
use super::json::{Cursor, Number, Syntax, Text};
use super::schema::{Items, Kind, Map, Object, Rule, Schema, Seen, Tag, TextRule, Variant};

/// Why the walk ended early.
#[derive(Debug)]
pub(super) enum Stop {
    Syntax(Syntax),
    Invalid(Box<Invalid>),
}

impl From<Syntax> for Stop {
    fn from(syntax: Syntax) -> Self {
        Self::Syntax(syntax)
    }
}

impl From<Invalid> for Stop {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(Box::new(invalid))
    }
}

/// Checks a body against its route's schema.
pub(super) fn check<'a>(body: &'a str, schema: &'static Object) -> Result<Facts<'a>, Stop> {
    let mut walk = Walk { cursor: Cursor::new(body), facts: Facts::default() };
    if walk.cursor.peek()? != b'{' {
        walk.cursor.skip()?;
        walk.cursor.end()?;
        let message = "The body of the request must be a JSON object.";
        return Err(Invalid::body("invalid_type", message).into());
    }
    walk.object(schema, &Path::ROOT)?;
    walk.cursor.end()?;
    Ok(walk.facts)
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    facts: Facts<'a>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, schema: &'static Schema, path: &Path<'_>) -> Result<Found<'a>, Stop> {
        let first = self.cursor.peek()?;
        let start = self.cursor.at();
        let found = match first {
            b'"' => self.text(schema, path)?,
            b'{' => self.braces(schema, path)?,
            b'[' => self.brackets(schema, path)?,
            b'-' | b'0'..=b'9' => self.number(schema, path)?,
            b't' => self.word("true", Found::Bool(true), schema.bool, schema, path)?,
            b'f' => self.word("false", Found::Bool(false), schema.bool, schema, path)?,
            _ => self.word("null", Found::Null, schema.null, schema, path)?,
        };
        self.facts.record(schema.fact, found, start..self.cursor.at());
        Ok(found)
    }

    fn braces(&mut self, schema: &Schema, path: &Path<'_>) -> Result<Found<'a>, Stop> {
        match schema.object {
            Some(object) => self.object(object, path),
            None => self.other(schema, path, Found::Object { empty: false }),
        }
    }

    fn brackets(&mut self, schema: &Schema, path: &Path<'_>) -> Result<Found<'a>, Stop> {
        match schema.array {
            Some(items) => self.array(items, path),
            None => self.other(schema, path, Found::Array { len: 0, of: Kind::Absent }),
        }
    }

    /// A container that the schema does not describe: passed over, or of the wrong type.
    fn other(
        &mut self,
        schema: &Schema,
        path: &Path<'_>,
        found: Found<'a>,
    ) -> Result<Found<'a>, Stop> {
        if !schema.anything {
            let got = name_of(found.kind());
            return Err(Invalid::wrong_type(path, &schema.expected(), got).into());
        }
        self.cursor.skip()?;
        Ok(found)
    }

    fn word(
        &mut self,
        word: &'static str,
        found: Found<'a>,
        allowed: bool,
        schema: &Schema,
        path: &Path<'_>,
    ) -> Result<Found<'a>, Stop> {
        self.cursor.word(word)?;
        if allowed || schema.anything {
            return Ok(found);
        }
        Err(Invalid::wrong_type(path, &schema.expected(), name_of(found.kind())).into())
    }

    fn text(&mut self, schema: &Schema, path: &Path<'_>) -> Result<Found<'a>, Stop> {
        let text = self.cursor.string()?;
        match &schema.text {
            Some(rule) => check_text(&text, rule, path)?,
            None if schema.anything => {}
            None => return Err(Invalid::wrong_type(path, &schema.expected(), "a string").into()),
        }
        Ok(Found::Text(text))
    }

    fn number(&mut self, schema: &Schema, path: &Path<'_>) -> Result<Found<'a>, Stop> {
        let number = self.cursor.number()?;
        let found = match number {
            Number::Integer(integer) => Found::Integer(integer),
            Number::HugeInteger(_) | Number::Decimal(_) => Found::Decimal,
        };
        match (number, schema.integer, schema.number) {
            (Number::Integer(integer), Some(range), _) => check_integer(integer, range, path)?,
            (Number::HugeInteger(number), Some((min, max)), None) => {
                check_huge(number, min, max, path)?;
            }
            (_, _, Some(range)) => check_number(number, range, path)?,
            _ if schema.anything => {}
            _ => {
                let got = name_of(found.kind());
                return Err(Invalid::wrong_type(path, &schema.expected(), got).into());
            }
        }
        Ok(found)
    }

    fn array(&mut self, items: &'static Items, path: &Path<'_>) -> Result<Found<'a>, Stop> {
        self.cursor.enter()?;
        let mut len = 0;
        let mut of = Kind::Absent;
        while self.cursor.more(b']', len == 0)? {
            let path = path.index(len);
            let kind = self.value(&items.schema, &path)?.kind();
            if items.uniform && len > 0 && kind != of {
                return Err(Invalid::wrong_type(&path, name_of(of), name_of(kind)).into());
            }
            of = kind;
            len += 1;
        }
        if len < items.min {
            let (code, limit) = ("empty_array", ("minimum", items.min));
            return Err(Invalid::length(path, code, "an array", limit, len).into());
        }
        if len > items.max {
            let (code, limit) = ("array_above_max_length", ("maximum", items.max));
            return Err(Invalid::length(path, code, "an array", limit, len).into());
        }
        Ok(Found::Array { len, of })
    }

    fn object(&mut self, object: &'static Object, path: &Path<'_>) -> Result<Found<'a>, Stop> {
        let mut seen = Seen::new(object.fields);
        let mut variant = None;
        let mut members = 0;
        self.cursor.enter()?;
        while self.cursor.more(b'}', members == 0)? {
            members += 1;
            let name = self.cursor.key()?.decode();
            let Some(position) = seen.position(&name) else {
                self.unlisted(object, &name, path)?;
                continue;
            };
            let field = &object.fields[position];
            let path = path.member(field.name);
            if seen.at(position) != Kind::Absent {
                return Err(Invalid::duplicate(&path).into());
            }
            let found = self.value(&field.schema, &path)?;
            seen.set(position, found.kind());
            if let (Some(tag), Found::Text(text)) = (object.tag, found)
                && tag.field == field.name
            {
                variant = find_variant(tag, &text, &path)?;
            }
        }
        if let Some(map) = &object.map
            && members > map.max_members
        {
            let limit = ("maximum", map.max_members);
            let code = "object_above_max_properties";
            return Err(Invalid::length(path, code, "an object", limit, members).into());
        }
        self.finish(object, &seen, variant, path)?;
        Ok(Found::Object { empty: members == 0 })
    }

    /// A member that the object's table does not list.
    fn unlisted(&mut self, object: &Object, name: &str, path: &Path<'_>) -> Result<(), Stop> {
        if let Some(Map { value, max_key_chars, .. }) = object.map {
            let path = path.member(name);
            let chars = name.chars().count();
            if chars > max_key_chars {
                let limit = ("maximum", max_key_chars);
                let code = "string_above_max_length";
                return Err(Invalid::length(&path, code, "a name", limit, chars).into());
            }
            return self.value(value, &path).map(drop);
        }
        if object.exact_case
            && let Some(field) = object.look_alike(name)
        {
            return Err(Invalid::look_alike(&path.member(field), name).into());
        }
        Ok(self.cursor.skip()?)
    }

    /// What can be said of an object only when all of it has been read.
    fn finish(
        &self,
        object: &Object,
        seen: &Seen,
        variant: Option<&Variant>,
        path: &Path<'_>,
    ) -> Result<(), Stop> {
        for (position, field) in object.fields.iter().enumerate() {
            if field.required && seen.at(position) == Kind::Absent {
                return Err(Invalid::missing(&path.member(field.name)).into());
            }
        }
        if let Some(tag) = object.tag {
            let variant = match (variant, tag.default) {
                (None, Some(default)) if !seen.has(tag.field) => {
                    let default = default(seen);
                    tag.variants.iter().find(|variant| variant.name == default)
                }
                (None, _) if !seen.has(tag.field) => {
                    return Err(Invalid::missing(&path.member(tag.field)).into());
                }
                _ => variant,
            };
            if let Some(variant) = variant {
                check_needs(variant, seen, path)?;
                self.obey(variant.rule, seen, path)?;
            }
        }
        self.obey(object.rule, seen, path)
    }

    fn obey(&self, rule: Option<Rule>, seen: &Seen, path: &Path<'_>) -> Result<(), Stop> {
        rule.map_or(Ok(()), |rule| rule(seen, &self.facts))
            .map_err(|broken| Invalid::broken(path, broken).into())
    }
}

/// The variant that a tag names; `None` for one not listed, when such may pass.
fn find_variant(
    tag: &'static Tag,
    text: &Text<'_>,
    path: &Path<'_>,
) -> Result<Option<&'static Variant>, Invalid> {
    let name = text.decode();
    let variant = tag.variants.iter().find(|variant| variant.name == name);
    if variant.is_none() && (!tag.open || name.is_empty()) {
        let names = tag.variants.iter().map(|variant| variant.name);
        return Err(Invalid::unsupported_value(path, &name, names));
    }
    Ok(variant)
}

fn check_needs(variant: &Variant, seen: &Seen, path: &Path<'_>) -> Result<(), Invalid> {
    for need in variant.needs {
        let kind = seen.kind(need.field);
        let path = path.member(need.field);
        match kind {
            Kind::Absent if need.required => return Err(Invalid::missing(&path)),
            Kind::Absent => {}
            _ if need.kinds.has(kind) => {}
            _ => return Err(Invalid::wrong_type(&path, &need.kinds.expected(), name_of(kind))),
        }
    }
    Ok(())
}

fn check_text(text: &Text<'_>, rule: &TextRule, path: &Path<'_>) -> Result<(), Invalid> {
    if text.raw().len() < rule.min_chars {
        let limit = ("minimum", rule.min_chars);
        return Err(Invalid::length(path, "empty_string", "a string", limit, 0));
    }
    // A character takes at least one byte, so most strings need no counting.
    if text.raw().len() > rule.max_chars && text.chars() > rule.max_chars {
        let limit = ("maximum", rule.max_chars);
        let code = "string_above_max_length";
        return Err(Invalid::length(path, code, "a string", limit, text.chars()));
    }
    if rule.identifier || !rule.one_of.is_empty() {
        return check_word(&text.decode(), rule, path);
    }
    Ok(())
}

fn check_word(word: &str, rule: &TextRule, path: &Path<'_>) -> Result<(), Invalid> {
    let listed = rule.one_of.is_empty() || rule.one_of.contains(&word);
    if !listed {
        return Err(Invalid::unsupported_value(path, word, rule.one_of.iter().copied()));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if rule.identifier && !word.bytes().all(allowed) {
        return Err(Invalid::pattern(path, word));
    }
    Ok(())
}

fn check_integer(integer: i64, (min, max): (i64, i64), path: &Path<'_>) -> Result<(), Invalid> {
    if integer < min {
        let (code, reason) = ("integer_below_min_value", "integer below minimum value");
        return Err(Invalid::out_of_range(path, code, reason, ">=", &min, &integer));
    }
    if integer > max {
        let (code, reason) = ("integer_above_max_value", "integer above maximum value");
        return Err(Invalid::out_of_range(path, code, reason, "<=", &max, &integer));
    }
    Ok(())
}

/// An integer that does not even fit into 64 bits.
fn check_huge(number: f64, min: i64, max: i64, path: &Path<'_>) -> Result<(), Invalid> {
    let got = format!("{number:e}");
    if number < 0.0 {
        let (code, reason) = ("integer_below_min_value", "integer below minimum value");
        return Err(Invalid::out_of_range(path, code, reason, ">=", &min, &got));
    }
    let (code, reason) = ("integer_above_max_value", "integer above maximum value");
    Err(Invalid::out_of_range(path, code, reason, "<=", &max, &got))
}

fn check_number(number: Number, (min, max): (f64, f64), path: &Path<'_>) -> Result<(), Invalid> {
    let value = match number {
        #[allow(clippy::cast_precision_loss, reason = "compared with bounds far below 2^52")]
        Number::Integer(integer) => integer as f64,
        Number::HugeInteger(value) | Number::Decimal(value) => value,
    };
    if value < min {
        let (code, reason) = ("decimal_below_min_value", "number below minimum value");
        return Err(Invalid::out_of_range(path, code, reason, ">=", &min, &value));
    }
    if value > max {
        let (code, reason) = ("decimal_above_max_value", "number above maximum value");
        return Err(Invalid::out_of_range(path, code, reason, "<=", &max, &value));
    }
    Ok(())
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Absent => "nothing",
        Kind::Null => "null",
        Kind::False | Kind::True => "a boolean",
        Kind::Integer => "an integer",
        Kind::Decimal => "a decimal number",
        Kind::String => "a string",
        Kind::Array => "an array",
        Kind::Object => "an object",
    }
}
