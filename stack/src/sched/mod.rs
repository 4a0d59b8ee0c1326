//! Traffic control: the queues in front of drivers, classifiers and actions, with Linux's names and arithmetic.
//!
//! ```text
//! received ─► clsact ingress ─► netfilter …         (filters; mirred sends elsewhere, e.g. to an ifb)
//!
//! to send ─► clsact egress ─► root qdisc ─► driver
//!                                │ classes (htb, prio, …) with qdiscs of their own
//!                                └ filters choose the class
//! ```
//!
//! [`Stack::tc`](crate::Stack::tc) takes the lines that people type after `tc`. A device starts with `net.core.default_qdisc`, which is `fq_codel`,
//! the loopback device with `noqueue`. `generic` moves packets between stack, qdisc and driver; `qdisc` says what a kind of qdisc has to do; `store` holds the
//! packets of a device's queues, so that nothing is allocated or copied while they move from queue to queue.

mod act;
mod cls;
mod codel;
mod default;
mod ecn;
mod fifo;
mod flow_hash;
mod fq_codel;
mod generic;
mod handle;
mod htb;
mod ifb;
mod ingress;
mod netem;
mod pfifo_fast;
mod prio;
mod qdisc;
mod ratecfg;
mod standalone;
mod store;
mod tbf;
pub(crate) mod tc;
#[cfg(test)]
mod testing;

pub use cls::bpf::{BpfVerdict, TcProgram};
pub(crate) use default::DEFAULT_QDISC;
pub(crate) use flow_hash::{reciprocal_scale, skb_get_hash};
pub(crate) use generic::TxQueue;
pub(crate) use ifb::TX_QUEUE_LEN as IFB_TX_QUEUE_LEN;
pub(crate) use ingress::Clsact;
pub(crate) use pfifo_fast::rt_tos2priority;
pub(crate) use qdisc::Mirrored;
pub use standalone::StandaloneQdisc;
