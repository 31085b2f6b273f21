//! Python values as JSON.

use serde::{
    Serialize, Serializer,
    de::IgnoredAny,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::value::RawValue;

use super::{PyValue, text};

impl PyValue {
    /// The value as a JSON document: a `str` that holds JSON (or, failing that, a Python literal) is
    /// that document; anything else is written as JSON. NaN and infinities become `null`, keys of
    /// dicts become strings, as with Python's `json.dumps`.
    #[must_use]
    pub fn into_document(self) -> String {
        match self {
            // Long results are documents in a `str`: looked through once, and handed on as they are.
            Self::Text(text) if serde_json::from_str::<IgnoredAny>(&text).is_ok() => text,
            Self::Text(text) => match text::json(&text).or_else(|_| text::literal(&text)) {
                Ok(value) => value.to_json(),
                Err(_) => Self::Text(text).to_json(),
            },
            value => value.to_json(),
        }
    }

    fn to_json(&self) -> String {
        // Cannot fail: there is no writer behind it, and every key is a string.
        serde_json::to_string(self).unwrap_or_else(|_| "null".to_owned())
    }

    /// The value as a dict's key in JSON.
    fn to_key(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => other.to_json(),
        }
    }
}

impl Serialize for PyValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::BigInt(digits) => match RawValue::from_string(digits.clone()) {
                Ok(raw) => raw.serialize(serializer),
                Err(_) => serializer.serialize_str(digits),
            },
            // serde_json writes `null` for what JSON has no number for.
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_str(&String::from_utf8_lossy(bytes)),
            Self::List(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| sequence.serialize_element(item))?;
                sequence.end()
            }
            Self::Dict(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    match key {
                        Self::Text(key) => map.serialize_entry(key, value)?,
                        key => map.serialize_entry(&key.to_key(), value)?,
                    }
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> String {
        PyValue::Text(text.to_owned()).into_document()
    }

    #[test]
    fn a_document_in_a_str_is_handed_on_byte_for_byte() {
        for text in ["{\n  \"a\": [1.50, 2e3] }", " 7 ", "\"x\"", "123456789012345678901234567890"]
        {
            assert_eq!(document(text), text);
        }
        let long = format!("{{\"text\": \"{}\"}}", "✓".repeat(70_000));
        let value = PyValue::Text(long);
        let PyValue::Text(ref inside) = value else { unreachable!() };
        let address = inside.as_ptr();
        let document = value.into_document();
        assert_eq!(document.as_ptr(), address, "a long result was copied");
    }

    #[test]
    fn what_json_has_no_number_for_becomes_null() {
        assert_eq!(
            document(r#"{"logprobs": [NaN, -Infinity, -0.5], "n": 18446744073709551616}"#),
            r#"{"logprobs":[null,null,-0.5],"n":18446744073709551616}"#
        );
        assert_eq!(PyValue::List(vec![PyValue::Float(f64::NAN)]).into_document(), "[null]");
    }

    #[test]
    fn python_literals_become_json_and_other_text_a_string() {
        assert_eq!(document("{'a': None, 'b': [True, nan]}"), r#"{"a":null,"b":[true,null]}"#);
        assert_eq!(document("plain text, not JSON"), r#""plain text, not JSON""#);
        assert_eq!(document(""), r#""""#);
        assert_eq!(document(&"[".repeat(100_000)).len(), 100_002);
    }

    #[test]
    fn keys_become_strings_as_with_json_dumps() {
        let entries = [PyValue::Int(1), PyValue::None, PyValue::Bool(true), PyValue::Float(0.5)];
        let dict = entries.into_iter().map(|key| (key, PyValue::None)).collect();
        let expected = r#"{"1":null,"null":null,"true":null,"0.5":null}"#;
        assert_eq!(PyValue::Dict(dict).into_document(), expected);
    }
}
