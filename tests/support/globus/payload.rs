//! What a worker makes of a task's payload: buffers with their lengths in characters before them.

use serde_json::Value;

/// The positional arguments, when the keyword arguments are empty.
pub(super) fn arguments(payload: &str) -> Result<Vec<Value>, String> {
    let (positional, rest) = buffer(payload)?;
    let (keywords, rest) = buffer(rest)?;
    if !rest.is_empty() {
        return Err(format!("{} characters follow the second buffer", rest.chars().count()));
    }
    if !matches!(json(keywords)?, Value::Object(keywords) if keywords.is_empty()) {
        return Err("the keyword arguments are no empty object".into());
    }
    match json(positional)? {
        Value::Array(arguments) => Ok(arguments),
        other => Err(format!("the positional arguments are no list: {other}")),
    }
}

/// The first buffer and what follows it.
fn buffer(text: &str) -> Result<(&str, &str), String> {
    let (length, rest) = text.split_once('\n').ok_or("a buffer without its length")?;
    let length: usize = length.parse().map_err(|_| format!("`{length}` is no length"))?;
    // As Python counts: characters, not bytes.
    let end = match rest.char_indices().nth(length) {
        Some((end, _)) => end,
        None if rest.chars().count() == length => rest.len(),
        None => return Err(format!("a buffer has fewer than its {length} characters")),
    };
    Ok(rest.split_at(end))
}

fn json(buffer: &str) -> Result<Value, String> {
    let text = buffer
        .strip_prefix("11\n")
        .ok_or_else(|| format!("not JSONData: {:?}", buffer.chars().take(3).collect::<String>()))?;
    serde_json::from_str(text).map_err(|error| format!("a buffer is no JSON: {error}"))
}
