//! Cycles per second of the model: the bare C++ loop and [`Nic`], with the same stimulus.
//!
//! `cargo run --release -p hwmodel --example speed`

#[path = "../tests/mini/mod.rs"]
mod mini;

use hwmodel::{BareModel, Device, Error, Nic, NicConfig, Stop, TOOLCHAIN};
use mini::Mini;
use std::time::Instant;

/// Receives `count` frames of `len` bytes at line rate, and sends each back if `echo`.
fn run(config: NicConfig, len: usize, count: u64, echo: bool) -> Result<(Mini, u64), Error> {
    let mut mini = Mini::new(Nic::new(config)?)?;
    let frame: Vec<u8> = (0..len).map(|at| at as u8 & 0xfe).collect();
    let (mut wired, mut received) = (0, 0);
    let mut bytes = Vec::new();
    let mut back = 0;
    while received < count || (echo && back < received) {
        while wired < count && mini.nic.wire_pending() < 64 {
            mini.wire(&frame);
            wired += 1;
        }
        let until = mini.nic.now() + 50_000_000;
        let (frames, sent) = (received, back);
        match mini.nic.run_until(until)? {
            Stop::Msix => drop(mini.nic.take_msix()),
            Stop::WireTx => {
                if let Some(frame) = mini.nic.take_wire() {
                    mini.nic.recycle(frame.bytes);
                }
                back += 1;
            }
            // What the device dropped for lack of buffers does not come.
            Stop::Time if (frames, sent) == (received, back) && mini.nic.wire_pending() == 0 => {
                break;
            }
            Stop::Time => {}
        }
        let before = received;
        while mini.receive(&mut bytes) {
            if echo {
                mini.send(&bytes);
            }
            received += 1;
        }
        if received > before {
            mini.refill()?;
            if echo {
                mini.ring(1)?;
            }
        }
    }
    Ok((mini, received))
}

fn main() -> Result<(), Error> {
    println!("{TOOLCHAIN}");
    for (len, count, echo) in [
        (60, 8000, false),
        (60, 8000, true),
        (1514, 1000, false),
        (1514, 1000, true),
    ] {
        let config = NicConfig {
            record: true,
            ..NicConfig::default()
        };
        let (mini, received) = run(config, len, count, echo)?;
        let recording = mini.nic.recording().expect("it was asked for");
        let cycles = recording.pins.len() as f64;
        // The best of five: other load on the machine only ever slows down.
        let (mut bare, mut nic, mut hashed) = (f64::MAX, f64::MAX, 0);
        for _ in 0..5 {
            let mut model = BareModel::new(mini.nic.config());
            let start = Instant::now();
            model.replay(&recording.pins, false)?;
            bare = bare.min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            run(NicConfig::default(), len, count, echo)?;
            nic = nic.min(start.elapsed().as_secs_f64());
            hashed = BareModel::new(mini.nic.config()).replay(&recording.pins, true)?;
        }
        assert_eq!(hashed, recording.hash, "the bare loop did the same");
        println!(
            "{len} B {}: {received}/{count} frames, {cycles} cycles; bare {:.2} Mcycles/s, Nic {:.2} Mcycles/s ({:.0} %), {:.0} frames/s",
            if echo { "echo" } else { "receive" },
            cycles / bare / 1e6,
            cycles / nic / 1e6,
            100.0 * bare / nic,
            received as f64 / nic,
        );
    }
    Ok(())
}
