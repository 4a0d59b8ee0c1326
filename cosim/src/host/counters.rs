//! The NIC's own counters, read over the bus, and the summary of a run.

use driver::{PciRegisters, Width};
use hwmodel::Device;

use super::{Host, Ps};
use crate::error::Error;
use crate::summary::{HostCounts, Summary, WireCounts};

/// BAR0 offset of the counters: 64 bits each, little endian, in the order of `stat_e` in the RTL.
const COUNTERS: u32 = hwmodel::pci::BAR_VENDOR + 0x100;

/// A counter of the vendor region.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
enum Stat {
    RxBadFcs = 2,
    RxRunt = 3,
    RxOversize = 4,
    RxError = 5,
    RxNoSpace = 6,
    RxDisabled = 7,
    RxTruncated = 8,
    TxMalformed = 12,
    TxUnderrun = 14,
    RxFiltered = 18,
    RxNoBuffer = 25,
    RxPause = 26,
    RxMacCtrl = 27,
}

/// Counters that say why a received frame did not come to the host.
const RX_DROPS: [(Stat, &str); 11] = [
    (Stat::RxBadFcs, "nic: bad FCS"),
    (Stat::RxRunt, "nic: runt"),
    (Stat::RxOversize, "nic: too long"),
    (Stat::RxError, "nic: damaged on the wire"),
    (Stat::RxNoSpace, "nic: receive store full"),
    (Stat::RxDisabled, "nic: receive queue not enabled"),
    (Stat::RxTruncated, "nic: longer than the buffer"),
    (Stat::RxFiltered, "nic: filtered by address or VLAN"),
    (Stat::RxNoBuffer, "nic: its queue had no buffer"),
    (Stat::RxPause, "nic: PAUSE, taken by the MAC"),
    (Stat::RxMacCtrl, "nic: MAC control"),
];

/// Counters that say where a frame to be sent was lost.
const TX_DROPS: [(Stat, &str); 2] = [
    (Stat::TxMalformed, "nic: malformed header"),
    (Stat::TxUnderrun, "nic: underrun"),
];

impl<D: Device + 'static> Host<D> {
    /// Counters so far. `start`: when the first frame could arrive; the simulated time counts from there.
    /// The wall time is filled in by [`Summary::finish`].
    ///
    /// # Errors
    /// [`Error::Machine`] when the NIC does not answer.
    pub fn summary(&mut self, start: Ps) -> Result<Summary, Error> {
        let end = self.now();
        // Before the counters are read: that takes cycles too.
        let cycles = self.machine.borrow().device.counters();
        let mut summary = Summary {
            seed: self.seed,
            ..Summary::default()
        };
        for (stat, name) in RX_DROPS {
            add(&mut summary.drops, name, self.nic_counter(stat)?);
        }
        for (stat, name) in TX_DROPS {
            add(&mut summary.tx_drops, name, self.nic_counter(stat)?);
        }
        let stats = *self.net.borrow().stats();
        for (name, count) in stats.iter().filter(|(name, _)| is_rx_drop(name)) {
            add(&mut summary.drops, &format!("driver: {name}"), count);
        }
        for (name, count) in stats.iter().filter(|(name, _)| is_tx_drop(name)) {
            add(&mut summary.tx_drops, &format!("driver: {name}"), count);
        }

        if let Some(recorder) = &mut self.machine.borrow_mut().recorder {
            recorder.explain_lost(&summary.drops);
        }

        let machine = self.machine.borrow();
        let accounts = &machine.accounts;
        for (taker, count) in &accounts.delivered {
            add(&mut summary.delivered, taker, *count);
        }
        for (reason, count) in &accounts.dropped {
            add(&mut summary.drops, &format!("stack: {reason}"), *count);
        }
        for (reason, count) in &accounts.dropped_own {
            add(&mut summary.tx_drops, &format!("stack: {reason}"), *count);
        }
        let no_route = self.stack.stats().out_no_routes;
        add(&mut summary.tx_drops, "stack: no route", no_route);
        summary.held = accounts.held();
        summary.wire = WireCounts {
            frames_in: accounts.frames_in,
            bytes_in: accounts.bytes_in,
            frames_out: accounts.frames_out,
            bytes_out: accounts.bytes_out,
        };
        summary.host = HostCounts {
            interrupts: self.interrupts,
            polls: self.stack.stats().polls,
            received: machine.accounts.received(),
            frames_per_interrupt: 0.0,
            resets: self.recoveries,
            doorbells: stats.rx_kicks + stats.tx_kicks,
            dma_read_bytes: cycles.dma_read_bytes,
            dma_write_bytes: cycles.dma_write_bytes,
            cpu_busy_ns: machine.cpu.busy() / 1000,
        };
        summary.time.simulated_ns = (end - start.min(end)) / 1000;
        summary.time.cycles_stepped = cycles.cycles;
        summary.time.cycles_skipped = cycles.cycles_skipped;
        Ok(summary)
    }

    fn nic_counter(&mut self, stat: Stat) -> Result<u64, Error> {
        let offset = COUNTERS + 8 * stat as u32;
        let mut net = self.net.borrow_mut();
        let mut half = |offset| {
            net.registers()
                .bar_read(0, offset, Width::U32)
                .map(u64::from)
                .map_err(|e| Error::machine("the NIC's counters cannot be read", e))
        };
        Ok(half(offset)? | half(offset + 4)? << 32)
    }
}

/// Frames that the driver takes from the ring and does not hand on.
fn is_rx_drop(name: &str) -> bool {
    matches!(
        name,
        "rx_csum_errors" | "rx_length_errors" | "rx_gso_errors" | "bad_used_len"
    )
}

/// Frames that the driver takes from the stack and does not send.
fn is_tx_drop(name: &str) -> bool {
    matches!(
        name,
        "tx_no_buffer"
            | "tx_length_errors"
            | "tx_csum_errors"
            | "tx_gso_errors"
            | "tx_dead"
            | "reset_tx_packets"
    )
}

fn add(table: &mut std::collections::BTreeMap<String, u64>, name: &str, count: u64) {
    if count > 0 {
        *table.entry(name.to_string()).or_default() += count;
    }
}
