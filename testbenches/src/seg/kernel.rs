//! Known answers: what a Linux kernel's GSO made of the same super-frames (`data/kernel_gso.py`).

use super::bench::Bench;
use crate::Error;

/// Lines `super HEADER FRAME`, each followed by `segment FRAME`.
const RECORDED: &str = include_str!("../../data/kernel_gso.txt");

pub(super) fn run(bench: &mut Bench) -> Result<(), Error> {
    let mut lines = RECORDED.lines().filter(|l| !l.starts_with('#')).peekable();
    while let Some(line) = lines.next() {
        let mut words = line.split(' ').skip(1).map(unhex);
        let (Some(header), Some(frame)) = (words.next(), words.next()) else {
            return Err(bench.mismatch(format!("recording: {line:.40}")));
        };
        let mut segments = vec![];
        while let Some(line) = lines.next_if(|l| l.starts_with("segment ")) {
            segments.push(unhex(&line["segment ".len()..]));
        }
        bench.report.add("of a kernel", 1);
        bench.queue_known(&header, &frame, segments)?;
    }
    bench.drain()
}

fn unhex(digits: &str) -> Vec<u8> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs.map(|d| nibble(d[0]) << 4 | nibble(d[1])).collect()
}
