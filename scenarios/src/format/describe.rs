//! What the format says of itself: every field's name, type and meaning, out of the structs that read it.
//!
//! Invariants: the `fields!` macro is the only way a mapping of the format is declared, so no field can be read
//! without being explained, and none explained without being read.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// The shape of a value.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Its type in a few words.
    pub(crate) words: String,
    /// Its fields, when it is (or may be) a mapping.
    pub(crate) fields: Vec<Field>,
}

/// A field of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) meaning: String,
    pub(crate) required: bool,
    pub(crate) shape: Shape,
}

impl Field {
    /// A field of type `T`, declared as `name`.
    pub(crate) fn of<T: Described>(name: &str, meaning: &str) -> Self {
        Self { name: camel_case(name), meaning: meaning.trim().to_owned(), required: T::REQUIRED, shape: T::shape() }
    }
}

/// `node_pools` (or `r#where`) as written in files.
pub(crate) fn camel_case(name: &str) -> String {
    let mut words = name.trim_start_matches("r#").split('_');
    let mut text = words.next().unwrap_or("").to_owned();
    for word in words {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}

/// Something the format can describe.
pub(crate) trait Described {
    /// Whether a mapping must have it.
    const REQUIRED: bool = true;
    /// Its shape.
    fn shape() -> Shape;
}

fn plain(words: &str) -> Shape {
    Shape { words: words.to_owned(), fields: Vec::new() }
}

macro_rules! plain_types {
    ($($type:ty => $words:literal),* $(,)?) => {
        $(impl Described for $type { fn shape() -> Shape { plain($words) } })*
    };
}
plain_types! { String => "text", bool => "true or false", u32 => "whole number", u64 => "whole number", i32 => "whole number", i64 => "whole number", f64 => "number" }

impl<T: Described> Described for Option<T> {
    const REQUIRED: bool = false;
    fn shape() -> Shape {
        T::shape()
    }
}
impl<T: Described> Described for Vec<T> {
    fn shape() -> Shape {
        let of = T::shape();
        Shape { words: format!("list of {}", of.words), fields: of.fields }
    }
}
impl<T: Described> Described for BTreeMap<String, T> {
    fn shape() -> Shape {
        let of = T::shape();
        Shape { words: format!("names with {} each", of.words), fields: of.fields }
    }
}

/// A part that is read later by its path, because it takes several forms or because one mistake in it should not
/// cost the rest. Described as a `T`.
#[derive(Debug)]
pub(crate) struct Part<T>(PhantomData<T>);

impl<'de, T> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(PhantomData))
    }
}
impl<T: Described> Described for Part<T> {
    const REQUIRED: bool = T::REQUIRED;
    fn shape() -> Shape {
        T::shape()
    }
}

/// What a scalar with a unit is called where another thing was found.
pub(crate) trait Unit {
    /// In words.
    const WORDS: &'static str;
}

/// A scalar as written; its meaning is worked out where the place is known.
#[derive(Clone, Debug)]
pub(crate) struct Scalar<U> {
    /// As written.
    pub(crate) text: String,
    /// Its value, when it was written as a bare number.
    pub(crate) number: Option<f64>,
    unit: PhantomData<U>,
}

impl<U> Scalar<U> {
    pub(crate) fn new(text: &str, number: Option<f64>) -> Self {
        Self { text: text.to_owned(), number, unit: PhantomData }
    }
}

impl<'de, U: Unit> Deserialize<'de> for Scalar<U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<U>(PhantomData<U>);
        impl<U: Unit> Visitor<'_> for Reader<U> {
            type Value = Scalar<U>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(U::WORDS)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::new(text, None))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Scalar::new(&number.to_string(), Some(number as f64)))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Scalar::new(&number.to_string(), Some(number as f64)))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Scalar::new(&number.to_string(), Some(number)))
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}
impl<U: Unit> Described for Scalar<U> {
    fn shape() -> Shape {
        plain(U::WORDS)
    }
}

macro_rules! units {
    ($($name:ident = $unit:ident, $words:literal;)*) => {
        $(
            #[doc = $words]
            pub(crate) type $name = Scalar<$unit>;
            #[doc = $words]
            #[derive(Clone, Copy, Debug)]
            pub(crate) enum $unit {}
            impl Unit for $unit { const WORDS: &'static str = $words; }
        )*
    };
}
units! {
    DurationText = OfTime, "a duration such as `90s` or `1h30m`";
    TimeoutText = OfTimeout, "a duration such as `2s`, or `none`";
    RateText = OfRate, "a rate such as `300/s`, or a number per second";
    RatioText = OfRatio, "a share such as `5%` or 0.05";
    PercentText = OfPercent, "a number, or a percentage such as `10%`";
    AmountText = OfAmount, "a number with the metric's unit: `99.5%`, `180s`, 60";
    QuantityText = OfQuantity, "a quantity such as `500m` or `16Gi`";
    NameText = OfName, "a name or a number";
}

/// Declares mappings of the format: the struct that reads one, and its description from the same comments.
macro_rules! fields {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident as $words:literal {
            $( $(#[doc = $meaning:literal])* $field:ident : $type:ty ),* $(,)?
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[allow(dead_code, reason = "declared to be accepted and explained; parts with several forms are read by their paths")]
        #[derive(serde::Deserialize, Debug)]
        #[serde(rename_all = "camelCase")]
        pub(crate) struct $name { $( $(#[doc = $meaning])* pub(crate) $field : $type, )* }

        impl $crate::format::Described for $name {
            fn shape() -> $crate::format::Shape {
                $crate::format::Shape {
                    words: $words.to_owned(),
                    fields: vec![ $( $crate::format::Field::of::<$type>(stringify!($field), concat!($($meaning),*)) ),* ],
                }
            }
        }
    )*};
}
pub(crate) use fields;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_files_write_them() {
        for (rust, file) in [("node_pools", "nodePools"), ("r#where", "where"), ("at", "at"), ("kubernetes_version", "kubernetesVersion")] {
            assert_eq!(camel_case(rust), file);
        }
    }
}
