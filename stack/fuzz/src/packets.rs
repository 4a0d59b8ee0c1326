//! [`frames`]: whatever arrives, in whatever order.

use super::common::SEC;
use super::host::{Router, Settings};
use stack::{CsumState, Ps, checksum};

/// Longest frame of a link with an MTU of 1500: header, a tag, payload.
const LONGEST: usize = 14 + 4 + 1500;
/// Most frames of an input: more find nothing new and take their time.
const MOST: usize = 64;

/// Bits of the byte in front of each frame.
mod flag {
    /// From the side of `eth_s`.
    pub const SERVER: u8 = 1;
    /// Index into the pauses, two bits.
    pub const PAUSE: u8 = 2;
    /// The device verified the transport checksum.
    pub const VERIFIED: u8 = 8;
    /// The next frame is in the same poll.
    pub const MORE: u8 = 16;
    /// To this host's address, and the IPv4 header's checksum is right: what random bytes seldom are.
    pub const MENDED: u8 = 32;
    /// The applications answer.
    pub const ANSWER: u8 = 64;
}

/// What passes before a frame.
const PAUSES: [Ps; 4] = [0, SEC / 1000, SEC, 100 * SEC];

/// Settings (a byte: see [`Settings`]), then frames: a byte of flags, the length (16 bits, big endian), the bytes.
pub fn frames(data: &[u8]) {
    let Some((&settings, mut rest)) = data.split_first() else {
        return;
    };
    let settings = Settings(settings);
    let mut router = Router::new(settings);
    for _ in 0..MOST {
        let [flags, high, low, ..] = *rest else {
            break;
        };
        rest = &rest[3..];
        let len = usize::from(u16::from_be_bytes([high, low])).min(LONGEST);
        let (frame, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        let dev = usize::from(flags & flag::SERVER);
        let mut frame = frame.to_vec();
        if flags & flag::MENDED != 0 {
            mend(&mut frame, dev);
        }
        let pause = PAUSES[usize::from(flags / flag::PAUSE % 4)];
        if pause > 0 {
            router.wait(pause);
        }
        let csum = match flags & flag::VERIFIED {
            0 => CsumState::None,
            _ => CsumState::Unnecessary,
        };
        router.arrive(dev, frame, csum);
        if flags & flag::MORE != 0 {
            continue;
        }
        step(&mut router, settings, flags & flag::ANSWER != 0);
    }
    step(&mut router, settings, true);
    router.end();
}

fn step(router: &mut Router, settings: Settings, answer: bool) {
    router.work();
    if answer {
        router.answer();
    }
    router.assert_balanced();
    for wire in &router.wires {
        let wire = wire.borrow();
        // A device that segments takes more at once.
        let longest = if wire.features.tso4 { 65_536 } else { LONGEST };
        for frame in &wire.tx {
            assert!(
                frame.len() <= longest || settings.may_grow(),
                "a frame of {} bytes",
                frame.len()
            );
        }
    }
    router.sent();
}

/// Makes a frame that is meant for this host, with a sound IPv4 header, out of what is there.
fn mend(frame: &mut [u8], dev: usize) {
    if let Some(mac) = frame.get_mut(..6)
        && mac[0] & 1 == 0
    {
        mac.copy_from_slice(&[2, 0, 0, 0, dev as u8 + 1, 1]);
    }
    if frame.len() < 34 || frame[12..14] != [8, 0] {
        return;
    }
    let header = usize::from(frame[14] & 15) * 4;
    if let Some(header) = frame.get_mut(14..14 + header.max(20)) {
        header[10..12].fill(0);
        let sum = checksum::fold(checksum::sum(header));
        header[10..12].copy_from_slice(&(!sum).to_be_bytes());
    }
}
