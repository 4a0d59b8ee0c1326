//! How fast segments come out, against what the wire takes.

use super::{bench::Bench, stimulus};
use crate::{Error, Options, Report, frames::Shape};

/// Bytes of preamble, FCS and gap that the wire adds to a frame.
const WIRE_OVERHEAD: f64 = 24.0;

/// Ethernet, IPv4, TCP with timestamps.
const HEADERS: usize = 14 + 20 + 32;

pub(super) fn run(options: &Options) -> Result<Report, Error> {
    let mut report = Report::default();
    println!(
        "gso_size  bytes/frame  cycles/segment  wire cycles  of line rate  payload/super-frame"
    );
    for (gso_size, label) in [
        (64, "gso_size 64, % of line rate"),
        (536, "gso_size 536, % of line rate"),
        (1448, "gso_size 1448, % of line rate"),
        (1460, "gso_size 1460, % of line rate"),
        (8948, "gso_size 8948, % of line rate"),
    ] {
        for (super_frame, label) in [(65_000, label), (gso_size * 3, "small super-frames")] {
            let (cycles, total) = measure(options, gso_size, super_frame)?;
            report.cycles += total;
            let wire = ((gso_size + HEADERS) as f64 + WIRE_OVERHEAD) / 8.0;
            let percent = 100.0 * wire / cycles;
            println!(
                "{gso_size:8}  {:11}  {cycles:14.2}  {wire:11.2}  {percent:10.1} %  {super_frame:19}",
                gso_size + HEADERS
            );
            report.add(label, percent as u64);
        }
    }
    Ok(report)
}

/// Cycles per segment of super-frames that follow each other, and all cycles.
fn measure(options: &Options, gso_size: usize, super_frame: usize) -> Result<(f64, u64), Error> {
    let mut bench = Bench::open(options)?;
    let shape = Shape {
        tcp: true,
        tcp_options: 3,
        payload: super_frame / gso_size * gso_size,
        ..Shape::default()
    };
    let count = (400_000 / super_frame).clamp(4, 400);
    let mut marks = vec![];
    let mut queued = 0;
    while queued < count || bench.to_come() > 0 {
        while queued < count && bench.waiting() < 20_000 {
            let frame = stimulus::legal(&shape, gso_size as u16, &mut bench.rng);
            bench.queue(&frame);
            queued += 1;
        }
        let before = bench.to_come();
        bench.cycle()?;
        if bench.to_come() < before {
            marks.push(bench.now());
        }
    }
    bench.drain()?;
    // The first segment waits for its payload.
    let (first, last) = (marks[0], marks[marks.len() - 1]);
    let per_segment = (last - first) as f64 / (marks.len() - 1) as f64;
    Ok((per_segment, bench.now()))
}
