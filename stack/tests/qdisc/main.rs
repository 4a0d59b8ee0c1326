//! Traffic control of a whole host: against a kernel's recordings, and where no kernel was at hand, against what the RFCs promise.

#[path = "../common/mod.rs"]
mod common;

mod actions;
mod bufferbloat;
#[path = "../common/journal.rs"]
mod journal;
mod journeys;
mod lines;
mod recordings;
mod router;
