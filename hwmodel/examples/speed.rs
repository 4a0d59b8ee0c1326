//! Cycles per second of the model: the bare C++ loop and [`Nic`], with the same stimulus.
//!
//! `cargo run --release -p hwmodel --example speed`

#[path = "../tests/mini/mod.rs"]
mod mini;

use hwmodel::{
    BareModel, Device, Error, Nic, NicConfig, Stop, THIN_FEATURES, TOOLCHAIN, WireFrame,
};
use mini::Mini;

/// Receives `count` frames of `len` bytes at line rate, and sends each back if `echo`.
fn run(config: NicConfig, len: usize, count: u64, echo: bool) -> Result<(Mini, u64), Error> {
    let mut mini = Mini::new(Nic::new(config)?)?;
    let frame: Vec<u8> = (0..len).map(|at| at as u8 & 0xfe).collect();
    let (mut wired, mut received) = (0, 0);
    let mut bytes = Vec::new();
    let mut back = 0;
    while received < count || (echo && back < received) {
        while wired < count && mini.nic.wire_pending() < 64 {
            mini.nic.wire_send(WireFrame::new(0, frame.clone()));
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

/// CPU time of this thread in seconds: what else runs on the machine does not count.
fn cpu_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// CPU time of one call, seconds.
fn timed(call: impl FnOnce() -> Result<(), Error>) -> Result<f64, Error> {
    let start = cpu_time();
    call()?;
    Ok(cpu_time() - start)
}

fn main() -> Result<(), Error> {
    println!("{TOOLCHAIN}; per CPU-second:");
    for (len, count, echo) in [
        (60, 8000, false),
        (60, 8000, true),
        (1514, 1000, false),
        (1514, 1000, true),
    ] {
        let thin = NicConfig {
            features: THIN_FEATURES,
            ..NicConfig::default()
        };
        let config = NicConfig {
            record: true,
            ..thin.clone()
        };
        let (mini, received) = run(config, len, count, echo)?;
        let recording = mini.nic.recording().expect("it was asked for");
        let pins = &recording.pins;
        let hash = BareModel::new(mini.nic.config()).replay(pins, true)?;
        assert_eq!(hash, recording.hash, "the bare loop does the same");

        let traceable = NicConfig {
            waves: Some("never.fst".into()),
            waves_window: u64::MAX..u64::MAX,
            ..thin.clone()
        };
        // In turns, so that a slow moment of the machine hits all; the best round of each counts.
        let (mut bare, mut nic, mut off) = (f64::MAX, f64::MAX, f64::MAX);
        let mut full = f64::MAX;
        for _ in 0..15 {
            let mut model = BareModel::new(mini.nic.config());
            bare = bare.min(timed(|| model.replay(pins, false).map(drop))?);
            let mut model = BareModel::full(mini.nic.config());
            full = full.min(timed(|| model.replay(pins, false).map(drop))?);
            let run = |config| timed(|| run(config, len, count, echo).map(drop));
            nic = nic.min(run(thin.clone())?);
            off = off.min(run(traceable.clone())?);
        }
        let mega = |seconds: f64| pins.len() as f64 / seconds / 1e6;
        println!(
            "{len} B {}: {received}/{count} frames, {} cycles; bare {:.3} Mcycles, with everything built \
             {:.3}; Nic {:.3} Mcycles ({:.1} %), {:.0} frames; with waves off but possible {:.3} \
             Mcycles",
            if echo { "echo" } else { "receive" },
            pins.len(),
            mega(bare),
            mega(full),
            mega(nic),
            100.0 * bare / nic,
            received as f64 / nic,
            mega(off),
        );
    }
    Ok(())
}
