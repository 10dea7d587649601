//! How a line of the registry ([`crate::knobs`]) becomes a value of the policy.

use crate::knobs::Policy;
use crate::value::Takes;

/// What the file of a knob says of it.
#[derive(Clone, Copy, Debug)]
pub struct Setting<T: 'static> {
    /// What it means.
    pub doc: &'static str,
    /// What Go does.
    pub default: T,
    /// What it takes.
    pub takes: Takes,
    /// Values that it takes, none of them the default, for tests.
    pub examples: &'static [&'static str],
}

/// One value of a [`Policy`] that can be set by name.
#[derive(Debug)]
pub struct Knob {
    /// Its name in the policy string and in the database.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// What it takes, with units.
    pub takes: Takes,
    /// Its present value as text.
    pub get: fn(&Policy) -> String,
    /// Reads it; `None` if the text is not a value of it.
    pub(crate) set: fn(&mut Policy, &str) -> Option<()>,
    /// Values that it takes, none of them the default: for tests, and to try each.
    pub examples: &'static [&'static str],
}

/// Makes [`Policy`], its default and [`crate::KNOBS`] of lines `name: type`, each of which names a file of that name.
macro_rules! knobs {
    ($($name:ident: $ty:ty,)*) => {
        $(pub mod $name;)*

        /// Every decision of the scheduler that can be varied. The default is what Go does.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Policy {
            $(#[doc = concat!("See [`mod@", stringify!($name), "`].")] pub $name: $ty,)*
        }

        impl Default for Policy {
            fn default() -> Policy {
                Policy { $($name: $name::SETTING.default,)* }
            }
        }

        /// Every knob, in the order in which they are printed.
        pub const KNOBS: &[$crate::Knob] = &[$($crate::Knob {
            name: stringify!($name),
            doc: $name::SETTING.doc,
            takes: $name::SETTING.takes,
            get: |policy| $crate::Value::show(&policy.$name),
            set: |policy, text| {
                policy.$name = <$ty as $crate::Value>::read(text, &$name::SETTING.takes)?;
                Some(())
            },
            examples: $name::SETTING.examples,
        },)*];
    };
}

/// Makes the list of a decision's functions, [`crate::Decision::ALL`], of lines that each name a file with a `CHOICE`.
macro_rules! choices {
    ($decision:ty { $($name:ident,)* }) => {
        $(pub mod $name;)*

        impl $crate::Decision for $decision {
            const ALL: &'static [&'static $crate::Choice<$decision>] = &[$(&$name::CHOICE,)*];
        }
    };
}

pub(crate) use {choices, knobs};
