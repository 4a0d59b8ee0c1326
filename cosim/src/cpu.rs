//! The simulated CPU: one core whose every piece of work costs simulated time.
//!
//! The costs are orders of magnitude of a current server core at about 3 GHz, from published
//! measurements of the Linux network path; they are a model to compare with, not a measurement of
//! one machine. What matters is that work has a price, so that an offload, a batch or a saved
//! interrupt shows in simulated time.

use crate::trace::Ps;

/// One nanosecond.
const NS: Ps = 1_000;

/// What work costs, in picoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Costs {
    /// From the MSI-X message at the root complex to the first instruction of its handler: local
    /// APIC, pipeline flush, entry code.
    pub irq_latency: Ps,
    /// Handler and `irq_exit()`, register accesses of the driver not included.
    pub irq: Ps,
    /// Start of a `net_rx_action()` round.
    pub softirq: Ps,
    /// One NAPI poll: ring bookkeeping apart from its frames.
    pub napi_poll: Ps,
    /// One received frame in the driver: descriptor, `build_skb()`, first cache miss on the data.
    pub rx_frame: Ps,
    /// GRO, taps and the protocol switch of `__netif_receive_skb_core()`.
    pub receive: Ps,
    /// One netfilter, tc or netdev hook, functions at it not included.
    pub hook: Ps,
    /// One route lookup in the FIB.
    pub route: Ps,
    /// Transport header checks and hand-over to the protocol.
    pub deliver: Ps,
    /// Socket lookup.
    pub socket_lookup: Ps,
    /// Queueing to a socket and waking its owner.
    pub socket_queue: Ps,
    /// From the wake-up until the application runs.
    pub wakeup: Ps,
    /// One system call: entry, exit, descriptor lookup.
    pub syscall: Ps,
    /// Building the headers of a packet.
    pub build: Ps,
    /// Neighbour lookup and Ethernet header.
    pub neighbour: Ps,
    /// Queueing discipline: enqueue, dequeue, lock.
    pub qdisc: Ps,
    /// One packet in the driver's `start_xmit`: header, descriptor.
    pub xmit: Ps,
    /// Freeing a packet.
    pub free: Ps,
    /// Copying one byte between kernel and application (about 20 GB/s).
    pub copy_byte: Ps,
    /// Summing one byte for a checksum in software (about 12 GB/s).
    pub csum_byte: Ps,
    /// A posted write to a register: the CPU's share only.
    pub mmio_write: Ps,
    /// A read of a register: the CPU's share; the round trip on the bus comes on top.
    pub mmio_read: Ps,
    /// An access to configuration space (ECAM), round trip included.
    pub config_access: Ps,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            irq_latency: 600 * NS,
            irq: 150 * NS,
            softirq: 80 * NS,
            napi_poll: 50 * NS,
            rx_frame: 60 * NS,
            receive: 30 * NS,
            hook: 8 * NS,
            route: 45 * NS,
            deliver: 25 * NS,
            socket_lookup: 40 * NS,
            socket_queue: 60 * NS,
            wakeup: 1_200 * NS,
            syscall: 180 * NS,
            build: 40 * NS,
            neighbour: 20 * NS,
            qdisc: 30 * NS,
            xmit: 60 * NS,
            free: 25 * NS,
            copy_byte: 50,
            csum_byte: 80,
            mmio_write: 20 * NS,
            mmio_read: 20 * NS,
            config_access: 600 * NS,
        }
    }
}

/// The core's clock: the time up to which its work is done.
#[derive(Debug, Clone, Default)]
pub struct Cpu {
    now: Ps,
    busy: Ps,
}

impl Cpu {
    /// Time at which the core can do something next.
    pub fn now(&self) -> Ps {
        self.now
    }

    /// Picoseconds of work since the start.
    pub fn busy(&self) -> Ps {
        self.busy
    }

    /// Works for `cost`.
    pub fn work(&mut self, cost: Ps) {
        self.now += cost;
        self.busy += cost;
    }

    /// Waits until `until` without working; does nothing when that is past.
    pub fn idle_until(&mut self, until: Ps) {
        self.now = self.now.max(until);
    }

    /// Is stalled until `until`, by a register read for example: that is busy time.
    pub fn stall_until(&mut self, until: Ps) {
        self.busy += until.saturating_sub(self.now);
        self.now = self.now.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_work() {
        let mut cpu = Cpu::default();
        cpu.work(100);
        cpu.idle_until(1_000);
        cpu.stall_until(1_500);
        cpu.idle_until(200);
        assert_eq!((cpu.now(), cpu.busy()), (1_500, 600));
    }
}
