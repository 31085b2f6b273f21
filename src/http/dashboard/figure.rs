//! Numbers and moments as people read them.

use jiff::Timestamp;
use maud::{Markup, html};

/// A count in full, with thin gaps: `1 234 567`.
pub(super) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A count with three digits or so: `1.23 M`.
pub(super) fn short(number: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (1_000_000_000_000_000, "P"),
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    match UNITS.iter().find(|(size, _)| number >= *size) {
        Some((size, unit)) => format!("{}\u{202f}{unit}", digits(ratio(number, *size))),
        None => number.to_string(),
    }
}

/// Three digits, without zeros at the end.
fn digits(value: f64) -> String {
    let places = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A quotient for people.
#[allow(clippy::cast_precision_loss, reason = "people read three digits")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A share in percent; all of it only when it is.
pub(super) fn percent(share: Option<f64>) -> String {
    match share {
        None => "–".to_owned(),
        Some(share) if share >= 1.0 => "100\u{202f}%".to_owned(),
        Some(share) if share > 0.999 => "> 99.9\u{202f}%".to_owned(),
        Some(share) => format!("{:.1}\u{202f}%", share * 100.0),
    }
}

/// Microseconds in a unit that fits.
pub(super) fn duration(micros: u64) -> String {
    let seconds = ratio(micros, 1_000_000);
    if micros < 1_000 {
        format!("{micros}\u{202f}µs")
    } else if micros < 1_000_000 {
        format!("{}\u{202f}ms", digits(ratio(micros, 1_000)))
    } else if seconds < 120.0 {
        format!("{}\u{202f}s", digits(seconds))
    } else if seconds < 7_200.0 {
        format!("{}\u{202f}min", digits(seconds / 60.0))
    } else {
        format!("{}\u{202f}h", digits(seconds / 3_600.0))
    }
}

/// The same, where there may be none.
pub(super) fn optional_duration(micros: Option<u64>) -> String {
    micros.map_or_else(|| "–".to_owned(), duration)
}

/// Bytes in a unit that fits.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match UNITS.iter().find(|(shift, _)| number >> shift > 0) {
        Some((shift, unit)) => format!("{}\u{202f}{unit}", digits(ratio(number, 1 << shift))),
        None => format!("{number}\u{202f}B"),
    }
}

/// A moment of UTC, to the second.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The same to the minute.
pub(super) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A moment in a page; the script adds what it is in the reader's own zone.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ")) { (moment(at)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_true() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1 k"),
            (1_234, "1.23 k"),
            (99_950, "100 k"),
            (12_345_678, "12.3 M"),
            (u64::MAX, "18447 P"),
        ] {
            assert_eq!(short(number).replace('\u{202f}', " "), text);
        }
        assert_eq!(whole(1_234_567).replace('\u{202f}', " "), "1 234 567");
        assert_eq!(whole(123), "123");
        assert_eq!(percent(Some(0.99999)).replace('\u{202f}', " "), "> 99.9 %");
        assert_eq!(percent(Some(1.0)).replace('\u{202f}', " "), "100 %");
        assert_eq!(percent(None), "–");
        assert_eq!(duration(1_500_000).replace('\u{202f}', " "), "1.5 s");
        assert_eq!(duration(90_000).replace('\u{202f}', " "), "90 ms");
        assert_eq!(bytes(1536).replace('\u{202f}', " "), "1.5 KiB");
    }
}
