//! Slugs as Django makes them, so that names made by FIRST and by figw agree.

use unicode_normalization::UnicodeNormalization;

/// Django's `slugify`: ASCII letters, digits, `_` and `-` only, lower case, runs of blanks and
/// dashes as one dash, none at the ends.
///
/// ```
/// assert_eq!(
///     figw::domain::slug::slugify("meta-llama/Meta-Llama-3.1-70B"),
///     "meta-llamameta-llama-31-70b"
/// );
/// ```
#[must_use]
pub fn slugify(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for c in text.nfkd().filter(char::is_ascii) {
        match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '_' => slug.push(c.to_ascii_lowercase()),
            '-' | ' ' | '\t'..='\r' | '\x1c'..='\x1f' if !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.trim_matches(['-', '_']).to_owned()
}

/// The slug of an endpoint: `cluster framework model`, slugified as one text as FIRST does.
#[must_use]
pub fn endpoint_slug(cluster: &str, framework: &str, model: &str) -> String {
    slugify(&format!("{cluster} {framework} {model}"))
}
