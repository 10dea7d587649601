//! The schema of `trace.db`, and the one way to write and to read it.
//!
//! `schema/0001_init.sql` is the text to read: every table and column with its meaning and unit. The recorder writes through
//! [`Store::create_or_open`], [`insert::EventInserter`] and the records of [`entity`]; everybody else reads through [`Store::open`] and [`scan`].
//! Whoever has only `sqlite3` has the tables, the views and the table `help`.
//!
//! - [`store`]: a file as a whole: made, opened, refused;
//! - [`schema`]: the tables, the views and the texts that explain them;
//! - [`run`]: one row for each execution of a command;
//! - [`entity`]: processes, Gs, Ms, sites, objects, counters: what events refer to;
//! - [`insert`]: events, many at a time;
//! - [`scan`]: events of a run, in order.
//!
//! A later version reads this one's files; a file of a later version is a clear error ([`StoreError::Newer`]).

pub mod entity;
mod error;
pub mod insert;
mod row;
pub mod run;
pub mod scan;
pub mod schema;
pub mod store;

pub use error::StoreError;
pub use row::EventRow;
pub use rusqlite;
pub use store::Store;
