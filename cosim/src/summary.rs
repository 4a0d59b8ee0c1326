//! What a run came to, as JSON for programs and as a table for people.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use serde::Serialize;

/// Result of a run. Every frame that was given to the wire is in exactly one of `delivered`,
/// `drops` and `held`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Seed of every random choice of the run.
    pub seed: u64,
    /// The capture, when there was one.
    pub capture: Option<CaptureCounts>,
    /// Frames that entered and left on the wire.
    pub wire: WireCounts,
    /// Received frames that reached their end, by what took them (`read from a socket`, `ICMP`, …).
    pub delivered: BTreeMap<String, u64>,
    /// Received frames that were lost, by who dropped them and why (`nic: bad FCS`, `stack: …`).
    pub drops: BTreeMap<String, u64>,
    /// Received frames still held at the end: fragments that wait for the rest, datagrams in a
    /// socket's queue.
    pub held: u64,
    /// Packets of the host itself that never reached the wire, by who dropped them and why.
    pub tx_drops: BTreeMap<String, u64>,
    /// Interrupts, polls and the work on the bus.
    pub host: HostCounts,
    /// Simulated and wall time.
    pub time: TimeCounts,
}

/// Frames of the capture and what became of them before the wire.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CaptureCounts {
    /// Frames in the file.
    pub frames: u64,
    /// Given to the wire.
    pub fed: u64,
    /// Left out: sent by the captured host itself (source is the NIC's own address).
    pub own: u64,
    /// Left out: cannot stand on a wire (shorter than an Ethernet header).
    pub unusable: u64,
}

/// Frames and bytes on the wire; bytes from destination address to the end of padding, without
/// preamble and FCS.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct WireCounts {
    /// Frames given to the NIC.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Frames that left the NIC.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
}

/// Counters of the host's side.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HostCounts {
    /// MSI-X messages that the CPU took.
    pub interrupts: u64,
    /// NAPI polls.
    pub polls: u64,
    /// Frames that the driver handed to the kernel path.
    pub received: u64,
    /// `received` per interrupt.
    pub frames_per_interrupt: f64,
    /// Resets that the NIC asked for (DEVICE_NEEDS_RESET).
    pub resets: u64,
    /// Doorbell writes.
    pub doorbells: u64,
    /// Bytes that the NIC read from host memory.
    pub dma_read_bytes: u64,
    /// Bytes that the NIC wrote to host memory.
    pub dma_write_bytes: u64,
    /// Simulated time in which the CPU was busy, nanoseconds.
    pub cpu_busy_ns: u64,
}

/// How long it took, in both times.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TimeCounts {
    /// Simulated time from the first to the last event, nanoseconds.
    pub simulated_ns: u64,
    /// Clock cycles of the NIC that were evaluated.
    pub cycles_stepped: u64,
    /// Clock cycles in which the NIC was quiescent, and that were skipped.
    pub cycles_skipped: u64,
    /// Wall time of the run, seconds, set-up not included.
    pub wall_s: f64,
    /// Evaluated cycles per second of wall time.
    pub cycles_per_s: f64,
    /// Frames, both directions, per second of wall time.
    pub frames_per_s: f64,
    /// Bits received in the simulated time, Mbit/s.
    pub simulated_mbit_per_s_in: f64,
    /// Bits sent in the simulated time, Mbit/s.
    pub simulated_mbit_per_s_out: f64,
}

impl Summary {
    /// Fills in what follows from the other numbers. `wall`: duration of the run.
    pub fn finish(&mut self, wall: Duration) {
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let (wire, time) = (&self.wire, &mut self.time);
        let (received, interrupts) = (self.host.received, self.host.interrupts);
        self.host.frames_per_interrupt = ratio(received as f64, interrupts as f64);
        time.wall_s = wall.as_secs_f64();
        time.cycles_per_s = ratio(time.cycles_stepped as f64, time.wall_s);
        time.frames_per_s = ratio((wire.frames_in + wire.frames_out) as f64, time.wall_s);
        let mbit = |bytes: u64| ratio(bytes as f64 * 8e3, time.simulated_ns as f64);
        time.simulated_mbit_per_s_in = mbit(wire.bytes_in);
        time.simulated_mbit_per_s_out = mbit(wire.bytes_out);
    }

    /// Frames given to the wire that are in none of the three accounts. Not 0: a fault of the
    /// co-simulation itself.
    pub fn unaccounted(&self) -> i64 {
        let known: u64 =
            self.delivered.values().sum::<u64>() + self.drops.values().sum::<u64>() + self.held;
        self.wire.frames_in as i64 - known as i64
    }

    /// The summary as JSON, for people, too: a line per number.
    pub fn to_json(&self) -> String {
        // A struct of numbers and strings has no value that JSON lacks.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::default();
        if let Some(c) = &self.capture {
            let mut note = format!("{} given to the wire, {} the host's own", c.fed, c.own);
            if c.unusable > 0 {
                let _ = write!(note, ", {} unusable", c.unusable);
            }
            table.row("capture", c.frames, note);
        }
        let (w, h, t) = (&self.wire, &self.host, &self.time);
        table.row("frames in", w.frames_in, format!("{} bytes", w.bytes_in));
        for (what, count) in &self.delivered {
            table.row("  delivered", *count, what);
        }
        for (reason, count) in &self.drops {
            table.row("  dropped", *count, reason);
        }
        if self.held > 0 {
            table.row("  held", self.held, "fragments or datagrams nobody took");
        }
        if self.unaccounted() != 0 {
            table.row("  UNACCOUNTED", self.unaccounted(), "please report this");
        }
        table.row("frames out", w.frames_out, format!("{} bytes", w.bytes_out));
        for (reason, count) in &self.tx_drops {
            table.row("  not sent", *count, reason);
        }
        table.row(
            "interrupts",
            h.interrupts,
            format!("{:.2} frames each", h.frames_per_interrupt),
        );
        table.row("NAPI polls", h.polls, "");
        if h.resets > 0 {
            table.row("resets", h.resets, "asked for by the NIC");
        }
        table.row("doorbells", h.doorbells, "");
        let dma = format!("bytes read, {} written", h.dma_write_bytes);
        table.row("DMA", h.dma_read_bytes, dma);
        table.row(
            "simulated time",
            format!("{:.6} s", t.simulated_ns as f64 / 1e9),
            format!(
                "{:.3} Mbit/s in, {:.3} Mbit/s out",
                t.simulated_mbit_per_s_in, t.simulated_mbit_per_s_out
            ),
        );
        table.row(
            "CPU busy",
            format!("{:.6} s", h.cpu_busy_ns as f64 / 1e9),
            "simulated",
        );
        table.row(
            "cycles",
            t.cycles_stepped,
            format!("and {} idle ones skipped", t.cycles_skipped),
        );
        table.row(
            "wall time",
            format!("{:.3} s", t.wall_s),
            format!(
                "{:.0} cycles/s, {:.0} frames/s",
                t.cycles_per_s, t.frames_per_s
            ),
        );
        table.row("seed", self.seed, "");
        f.write_str(&table.text)
    }
}

/// Three columns: name, number, remark.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) text: String,
}

impl Table {
    pub(crate) fn row(&mut self, name: &str, value: impl fmt::Display, remark: impl fmt::Display) {
        let value = value.to_string();
        let line = format!("{name:<15} {value:>12}  {remark}");
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Summary {
        let mut s = Summary {
            seed: 7,
            held: 1,
            ..Summary::default()
        };
        s.wire = WireCounts {
            frames_in: 10,
            bytes_in: 1000,
            frames_out: 5,
            bytes_out: 500,
        };
        s.delivered.insert("read from a socket".into(), 6);
        s.host.received = 6;
        s.drops.insert("nic: bad FCS".into(), 3);
        s.host.interrupts = 3;
        s.time.simulated_ns = 1000;
        s.time.cycles_stepped = 100;
        s.finish(Duration::from_secs(2));
        s
    }

    #[test]
    fn derived_numbers() {
        let s = sample();
        assert_eq!(s.unaccounted(), 0);
        assert_eq!(s.host.frames_per_interrupt, 2.0);
        assert_eq!(s.time.cycles_per_s, 50.0);
        assert_eq!(s.time.simulated_mbit_per_s_in, 8000.0);
    }

    #[test]
    fn text_and_json_hold_the_same_numbers() {
        let s = sample();
        let text = s.to_string();
        assert!(
            text.contains("  dropped                  3  nic: bad FCS"),
            "{text}"
        );
        let json: serde_json::Value = serde_json::to_value(&s).unwrap();
        assert_eq!(json["drops"]["nic: bad FCS"], 3);
        assert_eq!(json["wire"]["frames_out"], 5);
    }
}
