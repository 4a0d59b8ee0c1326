//! The behavioural model as a driver sees it: registers, rings and wire, and nothing of its inside.
#![cfg(feature = "nic")]

mod conformance;
mod control;
mod differential;
mod driver;
mod faults;
mod frames;
mod hostile;
mod interrupt;
mod queues;
mod receive;
mod reset;
mod ring;
mod rss;
mod transmit;
