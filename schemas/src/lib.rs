//! The contract of Onramp: everything that two parts of the system must agree on.
//!
//! This crate owns the envelope and its validation ([`event`]), the [`catalogue`] of event types
//! with their [`upcast`]ers, the bounded [`rejection`] codes, the lake's [`tables`],
//! [`funnel`] definitions, and the reference pages of all these ([`docs`]). It deliberately does
//! no I/O, reads no clock but through [`clock`], and depends on no sibling.
#![warn(missing_docs)]

pub mod catalogue;
pub mod clock;
pub mod docs;
pub mod envelope;
pub mod event;
pub mod funnel;
pub mod rejection;
pub mod tables;
pub mod upcast;
