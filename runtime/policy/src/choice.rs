//! A decision that is one of several named functions.
//!
//! The decision has a type, a function from what it may look at to what is decided, and a list of all functions that there are for it
//! ([`Decision::ALL`]). A policy holds a reference to one of them.

use std::fmt;

use crate::value::{Takes, Value};

/// One of the functions that there are for a decision.
pub struct Choice<F: 'static> {
    /// Its name in the policy string and in the database.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// The function.
    pub decide: F,
}

/// The type of a decision's functions, and all that there are.
pub trait Decision: Sized + 'static {
    /// Every one, in the order in which they are listed.
    const ALL: &'static [&'static Choice<Self>];
}

/// Names and meanings of a decision's functions, for [`Takes::OneOf`].
pub(crate) fn named<F: Decision>() -> Vec<(&'static str, &'static str)> {
    F::ALL.iter().map(|c| (c.name, c.doc)).collect()
}

impl<F: Decision> Value for &'static Choice<F> {
    fn read(text: &str, _takes: &Takes) -> Option<Self> {
        F::ALL.iter().copied().find(|c| c.name == text)
    }

    fn show(&self) -> String {
        self.name.to_owned()
    }
}

// By name: the address of a function says nothing about which one it is.
impl<F> PartialEq for Choice<F> {
    fn eq(&self, other: &Choice<F>) -> bool {
        self.name == other.name
    }
}

impl<F> Eq for Choice<F> {}

impl<F> fmt::Debug for Choice<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
