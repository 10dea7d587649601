//! How one argument of an event is carried: as an unsigned integer on the wire and in the database,
//! as a word in text. Implemented once for each type that a field of [`crate::event`] may have.

use crate::ids::{GId, MId, ObjectId, PId, SiteId, SpanId, StringId};

/// A type that an event's field may have.
pub trait Value: Copy {
    /// Its name in the generated documentation.
    const TYPE: &'static str;
    /// Its words with their integers, if it is a closed set of them.
    const WORDS: &'static [(u64, &'static str)] = &[];
    /// The integer that goes on the wire and into the database column.
    fn to_raw(self) -> u64;
    /// The value of a wire integer; `None` when no value has it.
    fn from_raw(raw: u64) -> Option<Self>;
    /// What a database column holds: `None` is NULL.
    fn to_column(self) -> Option<i64> {
        i64::try_from(self.to_raw()).ok()
    }
    /// The inverse of [`Value::to_column`].
    fn from_column(column: Option<i64>) -> Option<Self> {
        Self::from_raw(u64::try_from(column?).ok()?)
    }
    /// The word in text form.
    fn to_text(self) -> String {
        self.to_raw().to_string()
    }
    /// The inverse of [`Value::to_text`].
    fn from_text(text: &str) -> Option<Self> {
        Self::from_raw(text.parse().ok()?)
    }
}

macro_rules! integer_values {
    ($($int:ty),*) => {$(
        impl Value for $int {
            const TYPE: &'static str = stringify!($int);
            fn to_raw(self) -> u64 {
                u64::from(self)
            }
            fn from_raw(raw: u64) -> Option<Self> {
                <$int>::try_from(raw).ok()
            }
        }
    )*};
}
integer_values!(u8, u16, u32, u64);

impl Value for bool {
    const TYPE: &'static str = "bool";
    fn to_raw(self) -> u64 {
        u64::from(self)
    }
    fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

/// Ids whose 0 means none: NULL in the database.
macro_rules! nullable_ids {
    ($($id:ident($int:ty)),*) => {$(
        impl Value for $id {
            const TYPE: &'static str = stringify!($id);
            fn to_raw(self) -> u64 {
                u64::from(self.0)
            }
            fn from_raw(raw: u64) -> Option<Self> {
                <$int>::try_from(raw).ok().map($id)
            }
            fn to_column(self) -> Option<i64> {
                if self.0 == 0 { None } else { i64::try_from(self.0).ok() }
            }
            fn from_column(column: Option<i64>) -> Option<Self> {
                match column {
                    None => Some($id(0)),
                    Some(c) => Self::from_raw(u64::try_from(c).ok()?),
                }
            }
        }
    )*};
}
nullable_ids!(
    GId(u64),
    SiteId(u32),
    ObjectId(u64),
    StringId(u32),
    SpanId(u64)
);

/// Ids numbered from 0; an absent one is 0 on the wire with the others shifted up, NULL in the database, `-` in text.
macro_rules! dense_ids {
    ($($id:ident),*) => {$(
        impl Value for $id {
            const TYPE: &'static str = stringify!($id);
            fn to_raw(self) -> u64 {
                u64::from(self.0)
            }
            fn from_raw(raw: u64) -> Option<Self> {
                u32::try_from(raw).ok().map($id)
            }
        }
        impl Value for Option<$id> {
            const TYPE: &'static str = concat!(stringify!($id), "?");
            fn to_raw(self) -> u64 {
                self.map_or(0, |id| u64::from(id.0) + 1)
            }
            fn from_raw(raw: u64) -> Option<Self> {
                match raw.checked_sub(1) {
                    None => Some(None),
                    Some(id) => u32::try_from(id).ok().map(|id| Some($id(id))),
                }
            }
            fn to_column(self) -> Option<i64> {
                self.map(|id| i64::from(id.0))
            }
            fn from_column(column: Option<i64>) -> Option<Self> {
                match column {
                    None => Some(None),
                    Some(c) => u32::try_from(c).ok().map(|id| Some($id(id))),
                }
            }
            fn to_text(self) -> String {
                self.map_or_else(|| "-".into(), |id| id.0.to_string())
            }
            fn from_text(text: &str) -> Option<Self> {
                if text == "-" { Some(None) } else { text.parse().ok().map(|id| Some($id(id))) }
            }
        }
    )*};
}
dense_ids!(MId, PId);

/// Declares a closed set of named values: an enum whose numbers and words are the wire, column and text forms.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $n:literal $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$vdoc])* $variant = $n,)*
        }

        impl $name {
            /// Every value, in order of its number.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word used in text, in views and in reports.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl $crate::value::Value for $name {
            const TYPE: &'static str = stringify!($name);
            const WORDS: &'static [(u64, &'static str)] = &[$(($n, $word)),*];
            fn to_raw(self) -> u64 {
                self as u64
            }
            fn from_raw(raw: u64) -> Option<Self> {
                match raw { $($n => Some($name::$variant),)* _ => None }
            }
            fn to_text(self) -> String {
                self.word().into()
            }
            fn from_text(text: &str) -> Option<Self> {
                match text { $($word => Some($name::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    )*};
}
pub(crate) use words;
