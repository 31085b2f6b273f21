//! Values with a form of their own: durations, sizes, addresses, networks, URLs.
//!
//! Each form has a name, which the schema carries as `format`. The same parser answers for the
//! check that finds every mistake at once and for reading the value itself.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use url::Url;

/// Longer would overflow the clock's arithmetic on some systems, and is a typing mistake anyway.
const LONGEST_DURATION: Duration = Duration::from_hours(366 * 24);

/// Declares a type that stands for a text of a certain form in the schema.
macro_rules! text_form {
    ($($(#[$doc:meta])* $name:ident = $format:literal;)+) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $format.into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": $format})
            }
        }
    )+};
}

text_form! {
    /// A duration that may be zero.
    DurationForm = "duration";
    /// A duration longer than zero.
    PositiveDurationForm = "positive-duration";
    /// An age of at least a day.
    AgeForm = "age";
    /// A number of bytes.
    SizeForm = "size";
    /// An IP address with a port.
    AddressForm = "address";
}

/// What is wrong with a text that should have this form, if anything is. Never repeats the text.
pub(super) fn complaint(format: &str, text: &str) -> Option<String> {
    match format {
        "duration" => parse_duration(text).err(),
        "positive-duration" => match parse_duration(text) {
            Ok(duration) if duration.is_zero() => Some("must be longer than zero".to_owned()),
            parsed => parsed.err(),
        },
        "age" => parse_age(text).err(),
        "size" => parse_size(text).err(),
        "address" => text.parse::<SocketAddr>().err().map(|_| {
            "must be an IP address with a port, such as 127.0.0.1:8000 or [::]:8000".to_owned()
        }),
        "network" => text.parse::<Network>().err(),
        "http-url" => text.parse::<HttpUrl>().err(),
        "space" => text.parse::<Space>().err(),
        _ => None,
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= LONGEST_DURATION => Ok(duration),
        Ok(_) => Err("must be at most 366 days".to_owned()),
        Err(_) => Err("must be a number with its unit, such as 250ms, 10s, 5m or 2h".to_owned()),
    }
}

fn parse_age(text: &str) -> Result<Duration, String> {
    const SHORTEST: Duration = Duration::from_hours(24);
    const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);
    match humantime::parse_duration(text) {
        Ok(age) if age < SHORTEST => Err("must be at least 1d".to_owned()),
        Ok(age) if age > LONGEST => {
            Err("must be at most 100 years; write null to keep rows for ever".to_owned())
        }
        Ok(age) => Ok(age),
        Err(_) => Err("must be a number of days, such as 90d".to_owned()),
    }
}

/// Binary units, largest first.
const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

fn parse_size(text: &str) -> Result<u64, String> {
    let advice = || "must be a number of bytes, such as 64KiB, 100MiB or 1048576".to_owned();
    let text = text.trim();
    let (digits, shift) = UNITS
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((text.strip_suffix('B').unwrap_or(text), 0));
    let count: u64 = digits.trim_end().parse().map_err(|_| advice())?;
    count.checked_mul(1 << shift).ok_or_else(|| "is larger than can be counted".to_owned())
}

/// The size in the largest unit that divides it.
fn format_size(bytes: u64) -> String {
    UNITS
        .iter()
        .find(|(_, shift)| bytes > 0 && bytes.trailing_zeros() >= *shift)
        .map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

/// Sizes (`64KiB`, `100MiB`, plain bytes), for serde's `with`.
pub(super) mod size {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// As the configuration file has it.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Bytes(u64),
        Text(String),
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's `with` asks for a reference")]
    pub(in crate::config) fn serialize<S: Serializer>(
        value: &u64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&super::format_size(*value))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u64, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Ok(bytes),
            Written::Text(text) => super::parse_size(&text).map_err(D::Error::custom),
        }
    }
}

/// Declares serde and schema for a type that is read from and written as text.
macro_rules! as_text {
    ($name:ident, $format:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $format.into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": $format})
            }
        }
    };
}

/// A network such as `10.0.0.0/8`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address belongs to the network. An IPv4 address written as IPv6
    /// (`::ffff:10.0.0.1`) counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether only this machine itself has addresses of it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.0.network().is_loopback() && self.0.broadcast().is_loopback()
    }

    /// How many addresses it has, as the power of two.
    #[must_use]
    pub fn width(&self) -> u8 {
        self.0.max_prefix_len() - self.0.prefix_len()
    }
}

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(|net| Self(net.trunc()))
            .map_err(|_| {
                "must be an IP address or a network, such as 192.0.2.7 or 10.0.0.0/8".to_owned()
            })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

as_text!(Network, "network");

/// An `http` or `https` URL without user name and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl(Url);

impl HttpUrl {
    /// The URL.
    #[must_use]
    pub const fn as_url(&self) -> &Url {
        &self.0
    }
}

impl std::str::FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or("must be a URL that starts with http:// or https://")?;
        if url.username().is_empty() && url.password().is_none() {
            Ok(Self(url))
        } else {
            Err("must not hold a user name or password".to_owned())
        }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Url` adds a slash to a bare host; people do not write it.
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

as_text!(HttpUrl, "http-url");

/// A part of a file system, or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// So many hundredths of the whole.
    Percent(u8),
    /// So many bytes.
    Bytes(u64),
}

impl Space {
    /// In bytes, of a whole of `total` bytes.
    #[must_use]
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Percent(part) => total / 100 * u64::from(part),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl std::str::FromStr for Space {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(part) = text.trim().strip_suffix('%') else {
            return parse_size(text).map(Self::Bytes).map_err(|_| space_advice());
        };
        let part = part.trim_end().parse().ok().filter(|part| *part <= 100);
        part.map(Self::Percent).ok_or_else(space_advice)
    }
}

fn space_advice() -> String {
    "must be a part such as 10%, or a size such as 20GiB".to_owned()
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(part) => write!(f, "{part}%"),
            Self::Bytes(bytes) => f.write_str(&format_size(*bytes)),
        }
    }
}

as_text!(Space, "space");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_a_part_or_a_size() {
        for (text, bytes) in [("10%", 100), ("0 %", 0), ("100%", 1_000), ("2KiB", 2_048)] {
            assert_eq!(text.parse::<Space>().map(|space| space.of(1_000)), Ok(bytes), "{text}");
        }
        for wrong in ["101%", "-1%", "%", "1.5%", "ten", ""] {
            assert!(wrong.parse::<Space>().is_err(), "{wrong}");
        }
        assert_eq!("2048MiB".parse::<Space>().map(|space| space.to_string()), Ok("2GiB".into()));
    }

    #[test]
    fn sizes_are_read_and_written_in_the_largest_exact_unit() {
        for (text, bytes, written) in [
            ("64KiB", 65_536, "64KiB"),
            ("100 MiB", 104_857_600, "100MiB"),
            ("1048576", 1_048_576, "1MiB"),
            ("1000", 1000, "1000"),
            ("12B", 12, "12"),
            ("0", 0, "0"),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(format_size(bytes), written);
        }
        for wrong in ["", "MiB", "-1", "1.5MiB", "10MB", "18446744073709551615KiB", "1e3"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_need_a_unit_and_have_an_end() {
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(parse_duration("10").is_err());
        assert!(parse_duration("-1s").is_err());
        assert!(parse_duration("1000years").is_err());
        assert!(complaint("positive-duration", "0s").is_some());
        assert!(complaint("duration", "0s").is_none());
    }

    #[test]
    fn an_age_is_between_a_day_and_a_century() {
        assert_eq!(parse_age("90d"), Ok(Duration::from_hours(90 * 24)));
        assert!(complaint("age", "24h").is_none() && complaint("age", "3y").is_none());
        for wrong in ["23h", "0d", "101years", "90", "soon"] {
            assert!(complaint("age", wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn a_network_is_also_a_single_address() -> Result<(), String> {
        let office: Network = "10.1.2.3/8".parse()?;
        assert!(office.contains(IpAddr::from([10, 200, 0, 1])));
        assert!(office.contains("::ffff:10.0.0.1".parse().unwrap()));
        assert_eq!(office.to_string(), "10.0.0.0/8");
        let host: Network = "192.0.2.7".parse()?;
        assert!(!host.contains(IpAddr::from([192, 0, 2, 8])));
        assert_eq!(host.to_string(), "192.0.2.7");
        Ok(())
    }

    #[test]
    fn a_plain_url_holds_no_password() {
        assert!("https://user:pw@example.org".parse::<HttpUrl>().is_err());
        assert!("ftp://example.org".parse::<HttpUrl>().is_err());
        assert!("http://example.org:8000/x".parse::<HttpUrl>().is_ok());
    }
}
