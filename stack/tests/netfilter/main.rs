//! Connection tracking and NAT of a router between a client (10.0.1.2, fd00:1::2) and a server (10.0.2.2, fd00:2::2).

#[path = "../common/mod.rs"]
mod common;
mod conntrack;
mod fragments;
mod ftp;
#[path = "../common/journal.rs"]
mod journal;
mod journeys;
mod nat;
mod properties;
mod references;
mod reject;
mod router;
mod ruleset;
