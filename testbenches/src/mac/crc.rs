use super::{Dut, random_bytes, rng};
use crate::{Error, Options, Report, block::mac_crc32 as port};
use rand::RngExt;

/// Known answers, then every length up to 512 octets and some long ones.
pub fn run(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "crc");
    let mut dut = Dut::open(port::NAME, options)?;
    let mut report = Report::default();

    let check_value = checksum(&mut dut, b"123456789", false)?;
    dut.check(check_value == 0xcbf4_3926, || {
        format!("CRC-32 of 123456789 is {check_value:#010x}, must be 0xcbf43926")
    })?;

    let long = (0..64 * options.effort).map(|_| rng.random_range(513..=9220));
    for len in (1..=512).chain(long.collect::<Vec<_>>()) {
        let bytes = random_bytes(&mut rng, len);
        let expected = crc32fast::hash(&bytes);
        // Whole words at the end may come as a word and an empty tail, or as a tail of 8.
        for full_tail in [false, true] {
            let crc = checksum(&mut dut, &bytes, full_tail)?;
            dut.check(crc == expected, || {
                format!("CRC-32 of {len} octets is {crc:#010x}, must be {expected:#010x}")
            })?;
            report.add("CRCs", 1);
        }
    }
    report.cycles = dut.block.cycle();
    Ok(report)
}

fn checksum(dut: &mut Dut, bytes: &[u8], full_tail: bool) -> Result<u32, Error> {
    let (mut i, mut o) = (port::inputs(), port::outputs());
    i[port::INIT_I] = 1;
    dut.step(&i, &mut o)?;
    i[port::INIT_I] = 0;

    let mut tail = bytes.len() % 8;
    if full_tail && tail == 0 {
        tail = 8;
    }
    let (words, rest) = bytes.split_at(bytes.len() - tail);
    i[port::WORD_VALID_I] = 1;
    for word in words.chunks_exact(8) {
        i[port::WORD_I] = word_of(word, 0);
        dut.step(&i, &mut o)?;
    }
    i[port::WORD_VALID_I] = 0;
    i[port::TAIL_VALID_I] = 1;
    i[port::TAIL_BYTES_I] = tail as u64;
    // What lies behind the tail must not matter.
    i[port::WORD_I] = word_of(rest, 0xa5);
    dut.step(&i, &mut o)?;
    // The next frame may begin while the tail is worked on.
    i = port::inputs();
    i[port::INIT_I] = 1;
    dut.step(&i, &mut o)?;
    dut.step(&port::inputs(), &mut o)?;
    Ok(!(o[port::CRC_O] as u32))
}

fn word_of(bytes: &[u8], fill: u8) -> u64 {
    let mut word = [fill; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}
