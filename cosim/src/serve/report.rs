//! What a service came to, as JSON for programs and as a table for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hwmodel::{Counters, Ps};
use serde::Serialize;

use crate::summary::Table;

/// Result of `cosim serve`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Features that the newest driver saw, by name.
    pub offered: String,
    /// Features that it chose, by name.
    pub acknowledged: String,
    /// The same two as numbers.
    pub feature_bits: [u64; 2],
    /// The device status (virtio 2.1).
    pub device_status: u8,
    /// The cable is plugged in and its other end is up.
    pub link: bool,
    /// How often that changed.
    pub link_changes: u64,
    /// Frames that entered and left on the wire.
    pub frames_in: u64,
    /// See `frames_in`.
    pub frames_out: u64,
    /// Frames that the wire's other end did not take.
    pub frames_not_taken: u64,
    /// Writes to the notification area.
    pub doorbells: u64,
    /// Register accesses.
    pub bar_reads: u64,
    /// Register accesses, doorbells included.
    pub bar_writes: u64,
    /// MSI-X messages that became an interrupt of the guest.
    pub interrupts: u64,
    /// Messages of vectors that the guest did not set up.
    pub interrupts_lost: u64,
    /// Bytes that the NIC read from the guest's memory.
    pub dma_read_bytes: u64,
    /// Bytes that it wrote there.
    pub dma_write_bytes: u64,
    /// Bursts that were refused.
    pub dma_refused: u64,
    /// Bytes of the guest's memory that the NIC may use now.
    pub mapped_bytes: u64,
    /// Ranges of memory without a file, which the NIC cannot reach.
    pub mappings_without_file: u64,
    /// Resets of the function.
    pub resets: u64,
    /// Clients that went away.
    pub clients: u64,
    /// Requests that were refused.
    pub requests_refused: u64,
    /// The NIC's own counters.
    pub nic: BTreeMap<String, u64>,
    /// Clock cycles of the NIC that were evaluated.
    pub cycles: u64,
    /// Clock cycles in which it was quiescent, and that were skipped.
    pub cycles_skipped: u64,
    /// Simulated time, seconds.
    pub simulated_s: f64,
    /// Wall time, seconds.
    pub wall_s: f64,
    /// Wall time in which the clock ran, seconds; the rest was slept.
    pub busy_s: f64,
}

impl Report {
    /// Takes over what was counted at the pins.
    pub fn pins(&mut self, counters: &Counters) {
        self.frames_in = counters.wire_in;
        self.frames_out = counters.wire_out;
        self.doorbells = counters.doorbells;
        self.bar_reads = counters.bar_reads;
        self.bar_writes = counters.bar_writes;
        self.dma_read_bytes = counters.dma_read_bytes;
        self.dma_write_bytes = counters.dma_write_bytes;
        self.dma_refused = counters.dma_refused;
        self.cycles = counters.cycles;
        self.cycles_skipped = counters.cycles_skipped;
    }

    /// Takes over the times.
    pub fn times(&mut self, simulated: Ps, wall: Duration, busy: Duration) {
        self.simulated_s = simulated as f64 / 1e12;
        self.wall_s = wall.as_secs_f64();
        self.busy_s = busy.as_secs_f64();
    }

    /// One line of JSON.
    pub fn to_json(&self) -> String {
        // A struct of numbers and strings has no value that JSON lacks.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::default();
        let lost = self.interrupts_lost;
        table.row("frames in", self.frames_in, "");
        table.row("frames out", self.frames_out, "");
        if self.frames_not_taken > 0 {
            table.row(
                "  not taken",
                self.frames_not_taken,
                "by the wire's other end",
            );
        }
        table.row("doorbells", self.doorbells, "");
        let registers = format!("reads, {} writes", self.bar_writes);
        table.row("registers", self.bar_reads, registers);
        table.row(
            "interrupts",
            self.interrupts,
            format!("{lost} unwanted messages"),
        );
        let dma = format!("bytes read, {} written", self.dma_write_bytes);
        table.row("DMA", self.dma_read_bytes, dma);
        table.row("  refused", self.dma_refused, "bursts");
        table.row(
            "resets",
            self.resets,
            format!("{} clients left", self.clients),
        );
        if self.requests_refused > 0 {
            table.row("refused", self.requests_refused, "requests of a client");
        }
        for (name, count) in self.nic.iter().filter(|(_, count)| **count > 0) {
            table.row("  nic", count, name);
        }
        let skipped = format!("and {} idle ones skipped", self.cycles_skipped);
        table.row("cycles", self.cycles, skipped);
        table.row("simulated time", format!("{:.6} s", self.simulated_s), "");
        let rate = match self.busy_s > 0.0 {
            true => self.cycles as f64 / self.busy_s,
            false => 0.0,
        };
        table.row(
            "wall time",
            format!("{:.3} s", self.wall_s),
            format!("busy {:.3} s, {rate:.0} cycles/s meanwhile", self.busy_s),
        );
        f.write_str(&table.text)
    }
}
