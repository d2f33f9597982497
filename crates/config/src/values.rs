//! Values that are more than numbers and text.
//!
//! Each says in [`Shape`] what is right: the same words stand in the manual and in problems.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serializer, de};

use crate::duration;

/// What stands for a value that is set and not shown.
pub const HIDDEN: &str = "<set>";

/// The words for a type of text, after "must be".
pub trait Shape {
    /// For example "an IP address and a port, such as 127.0.0.1:8000".
    const SHAPE: &str;
}

/// Describes a text in the JSON schema by its [`Shape`].
pub struct Text<T>(std::marker::PhantomData<T>);

impl<T: Shape> JsonSchema for Text<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::SHAPE.into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "x-shape": T::SHAPE})
    }
}

/// Serde by `FromStr` and `Display`.
pub mod text {
    use super::{Deserialize, Deserializer, FromStr, Serializer, Shape, de, fmt};

    /// By `Display`.
    pub fn serialize<T: fmt::Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// By `FromStr`.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr + Shape,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| de::Error::custom(format!("must be {}", T::SHAPE)))
    }
}

/// Serde of these types by [`text`](crate::values::text), for lists and options: into them no
/// `#[serde(with = "text")]` reaches. The calling crate needs `serde`.
#[macro_export]
macro_rules! by_text {
    ($($type:ty),+) => {$(
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                $crate::values::text::serialize(self, serializer)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                $crate::values::text::deserialize(deserializer)
            }
        }
    )+};
}

impl Shape for SocketAddr {
    const SHAPE: &str = "an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000";
}

impl Shape for sso_telemetry::Filter {
    const SHAPE: &str = "off, error, warn, info, debug or trace, with other levels for single \
                         modules as in info,sso_http=debug";
}

/// An address to listen on, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressOrOff(pub Option<SocketAddr>);

impl AddressOrOff {
    /// The address, unless it is off.
    pub fn address(self) -> Option<SocketAddr> {
        self.0
    }
}

impl Shape for AddressOrOff {
    const SHAPE: &str = "an IP address and a port, such as 127.0.0.1:9464, or off";
}

impl FromStr for AddressOrOff {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            address => address.parse().map(|address| Self(Some(address))),
        }
    }
}

impl fmt::Display for AddressOrOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// The value is not of its shape.
#[derive(Debug)]
pub struct Misshapen;

/// A duration, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationOrOff(Option<Duration>);

impl DurationOrOff {
    /// None.
    pub const OFF: Self = Self(None);
    const BOUNDS: RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_hours(10 * 366 * 24);

    /// This duration.
    pub const fn of(duration: Duration) -> Self {
        Self(Some(duration))
    }

    /// The duration, unless it is off.
    pub const fn get(self) -> Option<Duration> {
        self.0
    }
}

impl Shape for DurationOrOff {
    const SHAPE: &str = "a duration such as 90d, 12h or 15m, from 1s to 3660d, or off";
}

impl FromStr for DurationOrOff {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        duration::parse(text)
            .filter(|duration| Self::BOUNDS.contains(duration))
            .map(Self::of)
            .ok_or(Misshapen)
    }
}

impl fmt::Display for DurationOrOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(duration) => f.write_str(&duration::show(duration)),
            None => f.write_str("off"),
        }
    }
}
