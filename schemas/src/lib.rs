//! The contract of Onramp: everything that two parts of the system must agree on.
//!
//! This crate owns the envelope and its validation ([`event`]), the [`catalogue`] of event types
//! with their [`upcast`]ers, the bounded [`rejection`] codes, the lake's [`tables`], and
//! [`funnel`] definitions. It deliberately does no I/O, reads no clock but through [`clock`], and
//! depends on no sibling.
#![warn(missing_docs)]

pub mod catalogue;
pub mod clock;
pub mod event;
pub mod funnel;
pub mod rejection;
pub mod tables;
pub mod upcast;
