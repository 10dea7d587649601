//! `gmp-analyze`: what happened in a trace of the GMP runtime.
//!
//! The way of an analysis: [`select`] says which run, which part of it; [`pass`] streams its events once through the
//! [`model`], which derives what each G, P and M was doing; each [`report`] is a [`model::Sink`] that turns that into an answer. No report
//! derives states of its own, so all of them agree.

pub mod cli;
pub mod counters;
pub mod frame;
pub mod interrupted;
pub mod model;
pub mod names;
pub mod pass;
pub mod report;
pub mod select;
pub mod time;
pub mod words;
