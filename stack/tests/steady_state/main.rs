//! In the steady state the kernel path allocates nothing per packet: every path of the benches and those beside them, from the driver's poll to
//! the other driver or to a socket. What a path keeps (queues, entries, lists) has grown in the rounds that are not counted.
//!
//! Memory is asked for only where something new begins: a connection, a neighbour, a fragment queue's first … and when an application takes
//! a vector that is its own then (`tcp_recv`).

#[path = "../common/mod.rs"]
mod common;
#[path = "../counting/mod.rs"]
mod counting;
mod host;
mod network;
mod offload;
mod packets;
mod queues;
mod tcp;
