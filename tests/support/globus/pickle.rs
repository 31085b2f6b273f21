//! How Python writes a plain value into a result: pickle's protocol 4 in base64, with line breaks.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

const LINE: usize = 76;

/// The value as `DillDataBase64` has it.
pub(super) fn buffer(value: &Value) -> String {
    let mut opcodes = b"\x80\x04".to_vec();
    write(value, &mut opcodes);
    opcodes.push(b'.');
    let base64 = STANDARD.encode(&opcodes);
    let mut text = String::from("00\n");
    for line in base64.as_bytes().chunks(LINE) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'N'),
        Value::Bool(true) => out.push(0x88),
        Value::Bool(false) => out.push(0x89),
        Value::Number(number) => match number.as_i64().map(i32::try_from) {
            Some(Ok(small)) => {
                out.push(b'J');
                out.extend(small.to_le_bytes());
            }
            Some(Err(_)) => {
                out.extend([0x8a, 8]);
                out.extend(number.as_i64().unwrap_or_default().to_le_bytes());
            }
            None => {
                out.push(b'G');
                out.extend(number.as_f64().unwrap_or(f64::NAN).to_be_bytes());
            }
        },
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.extend(b"]\x94(");
            for item in items {
                write(item, out);
            }
            out.push(b'e');
        }
        Value::Object(fields) => {
            out.extend(b"}\x94(");
            for (key, value) in fields {
                string(key, out);
                write(value, out);
            }
            out.push(b'u');
        }
    }
}

/// Short ones have one byte of length, others four; each is kept in the memo.
fn string(text: &str, out: &mut Vec<u8>) {
    if let Ok(length) = u8::try_from(text.len()) {
        out.extend([0x8c, length]);
    } else {
        out.push(b'X');
        out.extend(u32::try_from(text.len()).expect("less than 4 GiB").to_le_bytes());
    }
    out.extend(text.as_bytes());
    out.push(0x94);
}
