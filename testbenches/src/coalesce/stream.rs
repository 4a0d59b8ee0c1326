//! TCP streams as they come from a wire: mostly in order, with everything that may come in between.

use super::gso::{self, Plain};
use crate::{
    frames::{self, Shape},
    rx_offload,
};
use rand::{Rng, RngExt};

/// A connection's sender.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Everything in front of the payload, as of the next segment but for lengths and checksums.
    header: Vec<u8>,
    place: Plain,
    /// Payload of a full segment.
    mss: usize,
}

impl Stream {
    /// Some connection with segments of up to `longest` bytes.
    pub fn new(rng: &mut impl Rng, longest: usize) -> Self {
        let ipv6 = rng.random();
        let tags = rng.random_range(0..=2);
        let l3 = 14 + 4 * tags;
        let l4 = l3 + if ipv6 { 40 } else { 20 };
        let options = rng.random();
        let mut header = vec![0; l4 + if options { 32 } else { 20 }];
        rng.fill_bytes(&mut header);
        for tag in 0..tags {
            header[12 + 4 * tag..14 + 4 * tag].copy_from_slice(&[0x81, 0]);
        }
        if ipv6 {
            header[l3 - 2..l3].copy_from_slice(&[0x86, 0xdd]);
            header[l3] = 0x60;
            header[l3 + 6] = 6;
        } else {
            header[l3 - 2..l3].copy_from_slice(&[8, 0]);
            header[l3] = 0x45;
            header[l3 + 6..l3 + 8].copy_from_slice(&[if rng.random() { 0x40 } else { 0 }, 0]);
            header[l3 + 9] = 6;
        }
        header[l4 + 12..l4 + 14].copy_from_slice(&[0x50, 0x10]);
        if options {
            header[l4 + 12] = 0x80;
            header[l4 + 20..l4 + 24].copy_from_slice(&[1, 1, 8, 10]);
        }
        let place = Plain {
            l3,
            l4,
            headers: header.len(),
            ipv6,
        };
        let least = 60 - header.len().min(59);
        let mss = rng.random_range(least..=longest.max(least));
        Self { header, place, mss }
    }

    /// The next segment, full or of `length` bytes.
    fn next(&mut self, length: usize, psh: bool, rng: &mut impl Rng) -> Vec<u8> {
        let mut frame = self.header.clone();
        frame.resize(self.header.len() + length, 0);
        rng.fill_bytes(&mut frame[self.header.len()..]);
        if psh {
            frame[self.place.l4 + 13] |= 8;
        }
        gso::finish(&mut frame, &self.place);
        self.skip(length as u32);
        if !self.place.ipv6 {
            let at = self.place.l3 + 4;
            let id = u16::from_be_bytes([self.header[at], self.header[at + 1]]).wrapping_add(1);
            self.header[at..at + 2].copy_from_slice(&id.to_be_bytes());
        }
        frame
    }

    fn skip(&mut self, bytes: u32) {
        let at = self.place.l4 + 4;
        let mut seq = [0; 4];
        seq.copy_from_slice(&self.header[at..at + 4]);
        let seq = u32::from_be_bytes(seq).wrapping_add(bytes);
        self.header[at..at + 4].copy_from_slice(&seq.to_be_bytes());
    }

    /// The next frame, and what is special about it.
    pub fn frame(&mut self, rng: &mut impl Rng, trouble: f64) -> (&'static str, Vec<u8>) {
        let Plain { l3, l4, ipv6, .. } = self.place;
        let full = self.mss;
        if !rng.random_bool(trouble) {
            return ("plain", self.next(full, false, rng));
        }
        match rng.random_range(0..14) {
            0 | 1 => ("PSH", self.next(full, true, rng)),
            2 => {
                let least = 60 - self.header.len().min(59);
                let length = rng.random_range(least..=full.max(least));
                ("short", self.next(length, rng.random(), rng))
            }
            3 => (
                "longer",
                self.next(full + rng.random_range(1..9), false, rng),
            ),
            4 => {
                self.skip([1, 1000, 0x8000_0000, u32::MAX][rng.random_range(0..4)]);
                ("out of order", self.next(full, false, rng))
            }
            5 => {
                // Acknowledgement, window, urgent pointer, ports.
                let at = l4 + [8, 9, 10, 11, 14, 15, 18, 19, 0, 3][rng.random_range(0..10)];
                self.header[at] ^= 1 << rng.random_range(0..8);
                ("TCP header changes", self.next(full, false, rng))
            }
            6 => {
                let at = match (ipv6, rng.random_range(0..4)) {
                    (_, 0) => rng.random_range(0..12),
                    (false, 1) => l3 + 1,
                    (false, 2) => l3 + 8,
                    (false, _) => l3 + rng.random_range(12..20),
                    (true, 1) => l3 + rng.random_range(1..4),
                    (true, 2) => l3 + 7,
                    (true, _) => l3 + rng.random_range(8..40),
                };
                self.header[at] ^= 1 << rng.random_range(0..4);
                ("lower headers change", self.next(full, false, rng))
            }
            7 if self.header.len() == l4 + 32 => {
                self.header[l4 + 24 + rng.random_range(0..8usize)] ^= 1;
                ("options change", self.next(full, false, rng))
            }
            8 if !ipv6 => {
                self.header[l3 + 5] ^= 2;
                ("identification jumps", self.next(full, false, rng))
            }
            9 => {
                let mut frame = self.next(full, false, rng);
                let at = rng.random_range(l3..frame.len());
                frame[at] ^= 1 << rng.random_range(0..8);
                ("damaged", frame)
            }
            10 => {
                let mut frame = self.next(full, false, rng);
                frame.extend([0; 3]);
                ("padded", frame)
            }
            11 => {
                let mut frame = self.next(full, false, rng);
                frame[l4 + 13] ^= [1, 2, 4, 0x20, 0x40, 0x80][rng.random_range(0..6)];
                gso::finish(&mut frame, &self.place);
                ("other flags", frame)
            }
            12 => {
                let mut frame = self.next(0, false, rng);
                frame.resize(frame.len().max(60), 0);
                ("acknowledgements", frame)
            }
            _ => {
                let shape = Shape::random(rng, 200);
                let mut frame = frames::build(&shape, rng).bytes;
                if rng.random() {
                    frame = rx_offload::noise(rng);
                }
                frame.resize(frame.len().max(60), 0);
                ("other traffic", frame)
            }
        }
    }
}
