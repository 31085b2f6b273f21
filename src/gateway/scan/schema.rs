//! The vocabulary in which the routes' tables are written: data, checked by `check`.

use super::facts::{Fact, Facts};
use super::invalid::Broken;

/// What a JSON value was, as far as rules ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Absent,
    Null,
    False,
    True,
    Integer,
    Decimal,
    String,
    Array,
    Object,
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u16);

impl Kinds {
    pub(super) const NULL: Self = Self(1 << Kind::Null as u16);
    pub(super) const BOOL: Self = Self(1 << Kind::True as u16 | 1 << Kind::False as u16);
    pub(super) const INTEGER: Self = Self(1 << Kind::Integer as u16);
    pub(super) const STRING: Self = Self(1 << Kind::String as u16);
    pub(super) const ARRAY: Self = Self(1 << Kind::Array as u16);
    pub(super) const OBJECT: Self = Self(1 << Kind::Object as u16);
    pub(super) const ANY: Self = Self(u16::MAX);

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }
}

/// What a value must satisfy, one entry per JSON type it may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema {
    pub(super) anything: bool,
    pub(super) null: bool,
    pub(super) bool: bool,
    pub(super) integer: Option<(i64, i64)>,
    pub(super) number: Option<(f64, f64)>,
    pub(super) text: Option<TextRule>,
    pub(super) array: Option<&'static Items>,
    pub(super) object: Option<&'static Object>,
    pub(super) fact: Fact,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct TextRule {
    pub(super) min_chars: usize,
    pub(super) max_chars: usize,
    /// The values allowed; empty: every value.
    pub(super) one_of: &'static [&'static str],
    /// Letters, digits, `_` and `-` only.
    pub(super) identifier: bool,
}

#[derive(Debug)]
pub(super) struct Items {
    pub(super) schema: Schema,
    pub(super) min: usize,
    pub(super) max: usize,
    /// All items have the JSON type of the first.
    pub(super) uniform: bool,
}

#[derive(Debug)]
pub(super) struct Object {
    pub(super) fields: &'static [Field],
    pub(super) tag: Option<&'static Tag>,
    pub(super) rule: Option<Rule>,
    pub(super) map: Option<Map>,
    /// Refuse a name that differs from a listed one by case only: Go's decoder, which some back
    /// ends use, takes one for the other, so `Model` could replace the `model` authorized here.
    pub(super) exact_case: bool,
}

/// What holds between the fields of an object, asked when all have been read.
pub(super) type Rule = fn(&Seen, &Facts<'_>) -> Result<(), Broken>;

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) schema: Schema,
    pub(super) required: bool,
}

/// The members of an object without fixed names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map {
    pub(super) value: &'static Schema,
    pub(super) max_members: usize,
    pub(super) max_key_chars: usize,
}

/// A field whose value says which other fields there must be.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) field: &'static str,
    pub(super) variants: &'static [Variant],
    /// Whether values not listed pass, because the reference grows faster than this table.
    pub(super) open: bool,
    /// The variant meant by an object without the tag.
    pub(super) default: Option<fn(&Seen) -> &'static str>,
}

#[derive(Debug)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    pub(super) needs: &'static [Need],
    pub(super) rule: Option<Rule>,
}

/// A field that a variant must or may have, and of which kind.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) field: &'static str,
    pub(super) kinds: Kinds,
    pub(super) required: bool,
}

impl Schema {
    const NONE: Self = Self {
        anything: false,
        null: false,
        bool: false,
        integer: None,
        number: None,
        text: None,
        array: None,
        object: None,
        fact: Fact::None,
    };

    pub(super) const fn or_null(mut self) -> Self {
        self.null = true;
        self
    }

    pub(super) const fn or_integer(mut self, min: i64, max: i64) -> Self {
        self.integer = Some((min, max));
        self
    }

    pub(super) const fn or_array(mut self, items: &'static Items) -> Self {
        self.array = Some(items);
        self
    }

    pub(super) const fn or_object(mut self, object: &'static Object) -> Self {
        self.object = Some(object);
        self
    }

    /// Limits the length of a string, in characters.
    pub(super) const fn chars(mut self, min_chars: usize, max_chars: usize) -> Self {
        if let Some(text) = self.text {
            self.text = Some(TextRule { min_chars, max_chars, ..text });
        }
        self
    }

    /// What the gateway wants to know of the value.
    pub(super) const fn fact(mut self, fact: Fact) -> Self {
        self.fact = fact;
        self
    }

    /// The JSON types allowed, in words.
    pub(super) fn expected(&self) -> String {
        let number = self.number.is_some();
        let kinds = Kinds::of(Kind::True, self.bool)
            .or(Kinds::of(Kind::Integer, self.integer.is_some() && !number))
            .or(Kinds::of(Kind::Decimal, number))
            .or(Kinds::of(Kind::String, self.text.is_some()))
            .or(Kinds::of(Kind::Array, self.array.is_some()))
            .or(Kinds::of(Kind::Object, self.object.is_some()));
        kinds.expected()
    }
}

impl Kinds {
    const fn of(kind: Kind, present: bool) -> Self {
        Self(if present { 1 << kind as u16 } else { 0 })
    }

    /// The kinds in words.
    pub(super) fn expected(self) -> String {
        let words = [
            (Kind::True, "a boolean"),
            (Kind::Integer, "an integer"),
            (Kind::Decimal, "a number"),
            (Kind::String, "a string"),
            (Kind::Array, "an array"),
            (Kind::Object, "an object"),
        ];
        let allowed: Vec<_> =
            words.into_iter().filter(|(kind, _)| self.has(*kind)).map(|(_, word)| word).collect();
        match allowed.as_slice() {
            [one] => (*one).to_owned(),
            several => format!("one of {}", several.join(" or ")),
        }
    }
}

pub(super) const ANYTHING: Schema = Schema { anything: true, ..Schema::NONE };
pub(super) const BOOL: Schema = Schema { bool: true, ..Schema::NONE };
pub(super) const STRING: Schema = Schema {
    text: Some(TextRule { min_chars: 0, max_chars: usize::MAX, one_of: &[], identifier: false }),
    ..Schema::NONE
};
/// A string whose length counts into the estimate of the prompt.
pub(super) const PROMPT: Schema = STRING.fact(Fact::Prompt);
/// An object whose members are nobody's business here.
pub(super) const OBJECT: Schema = object(&OPAQUE);
static OPAQUE: Object = Object::new(&[]);

pub(super) const fn integer(min: i64, max: i64) -> Schema {
    Schema::NONE.or_integer(min, max)
}

pub(super) const fn number(min: f64, max: f64) -> Schema {
    Schema { number: Some((min, max)), ..Schema::NONE }
}

pub(super) const fn one_of(values: &'static [&'static str]) -> Schema {
    let rule = TextRule { min_chars: 0, max_chars: usize::MAX, one_of: values, identifier: false };
    Schema { text: Some(rule), ..Schema::NONE }
}

pub(super) const fn identifier(max_chars: usize) -> Schema {
    let rule = TextRule { min_chars: 1, max_chars, one_of: &[], identifier: true };
    Schema { text: Some(rule), ..Schema::NONE }
}

pub(super) const fn array(items: &'static Items) -> Schema {
    Schema::NONE.or_array(items)
}

pub(super) const fn object(object: &'static Object) -> Schema {
    Schema::NONE.or_object(object)
}

/// An array of any length.
pub(super) const fn items(schema: Schema) -> Items {
    items_between(schema, 0, usize::MAX)
}

pub(super) const fn items_between(schema: Schema, min: usize, max: usize) -> Items {
    Items { schema, min, max, uniform: false }
}

pub(super) const fn required(name: &'static str, schema: Schema) -> Field {
    Field { name, schema, required: true }
}

/// A field that may be missing or, which clients take for the same, `null`.
pub(super) const fn optional(name: &'static str, schema: Schema) -> Field {
    Field { name, schema: schema.or_null(), required: false }
}

pub(super) const fn variant(name: &'static str, needs: &'static [Need]) -> Variant {
    Variant { name, needs, rule: None }
}

impl Variant {
    pub(super) const fn rule(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }
}

pub(super) const fn needs(field: &'static str, kinds: Kinds) -> Need {
    Need { field, kinds, required: true }
}

pub(super) const fn takes(field: &'static str, kinds: Kinds) -> Need {
    Need { field, kinds: kinds.or(Kinds::NULL), required: false }
}

impl Tag {
    /// A tag that must be there and have one of the values listed.
    pub(super) const fn closed(field: &'static str, variants: &'static [Variant]) -> Self {
        Self { field, variants, open: false, default: None }
    }

    /// A tag that must be there and may have other values too.
    pub(super) const fn open(field: &'static str, variants: &'static [Variant]) -> Self {
        Self { field, variants, open: true, default: None }
    }

    pub(super) const fn or_default(mut self, default: fn(&Seen) -> &'static str) -> Self {
        self.default = Some(default);
        self
    }
}

/// As many fields as an object's table may have.
pub(super) const MAX_FIELDS: usize = 64;

impl Object {
    pub(super) const fn new(fields: &'static [Field]) -> Self {
        assert!(fields.len() <= MAX_FIELDS);
        Self { fields, tag: None, rule: None, map: None, exact_case: false }
    }

    pub(super) const fn map(value: &'static Schema, max_members: usize, key_chars: usize) -> Self {
        let map = Map { value, max_members, max_key_chars: key_chars };
        Self { map: Some(map), ..Self::new(&[]) }
    }

    pub(super) const fn tagged(mut self, tag: &'static Tag) -> Self {
        self.tag = Some(tag);
        self
    }

    pub(super) const fn exact_case(mut self) -> Self {
        self.exact_case = true;
        self
    }

    /// The listed name that a name resembles.
    pub(super) fn look_alike(&self, name: &str) -> Option<&'static str> {
        self.fields.iter().map(|field| field.name).find(|known| known.eq_ignore_ascii_case(name))
    }

    pub(super) const fn rule(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }
}

/// Which fields of an object there were, and of which kind.
#[derive(Debug)]
pub(super) struct Seen {
    fields: &'static [Field],
    kinds: [Kind; MAX_FIELDS],
}

impl Seen {
    pub(super) fn new(fields: &'static [Field]) -> Self {
        Self { fields, kinds: [Kind::Absent; MAX_FIELDS] }
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    pub(super) fn at(&self, position: usize) -> Kind {
        self.kinds[position]
    }

    pub(super) fn set(&mut self, position: usize, kind: Kind) {
        self.kinds[position] = kind;
    }

    /// The kind of a field, by its name in the table.
    pub(super) fn kind(&self, name: &str) -> Kind {
        let position = self.position(name);
        debug_assert!(position.is_some(), "a rule asks for '{name}', which its table lacks");
        position.map_or(Kind::Absent, |position| self.kinds[position])
    }

    /// Whether a field is there and not `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        !matches!(self.kind(name), Kind::Absent | Kind::Null)
    }
}
