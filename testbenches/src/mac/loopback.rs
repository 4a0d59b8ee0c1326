use super::{Fate, LONGEST, RxPort, SHORTEST, TxPort, random_bytes, rng};
use crate::{Error, Options, Report};
use rand::RngExt;

/// Frames through `mac_tx` and a wire into `mac_rx`: they come back padded, none is lost.
pub fn run(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "loop");
    let mut tx = TxPort::open(options)?;
    let mut rx = RxPort::open(
        &Options {
            waves: None,
            ..options.clone()
        },
        LONGEST + 4 + super::FCS,
    )?;
    for _ in 0..3_000 * options.effort {
        let len = match rng.random_range(0..10) {
            0 => rng.random_range(1..=LONGEST),
            1 => rng.random_range(1..SHORTEST),
            _ => rng.random_range(SHORTEST..300),
        };
        let mut bytes = random_bytes(&mut rng, len);
        tx.send(bytes.clone());
        bytes.resize(len.max(SHORTEST), 0);
        rx.expect(Fate::Good, bytes);
        let begin = [1.0, 0.2][rng.random_range(0..2)];
        while tx.pending() > 0 {
            let column = tx.step(rng.random_bool(begin))?;
            rx.push(column)?;
        }
        tx.sent.clear();
    }
    for _ in 0..16 {
        let column = tx.step(true)?;
        rx.push(column)?;
    }
    tx.finish()?;
    rx.finish()?;
    let mut report = Report {
        cycles: tx.cycles() + rx.cycles(),
        ..Report::default()
    };
    report.add("frames looped", rx.stat().total());
    Ok(report)
}
