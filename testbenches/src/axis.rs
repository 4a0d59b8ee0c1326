//! 64-bit AXI4-Streams as testbenches see them: frames to beats and back.

use rand::Rng;

/// One beat: byte 0 of `data` is the first on the wire, `keep` is contiguous from bit 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// `tdata`; bytes without a `keep` bit mean nothing.
    pub data: u64,
    /// `tkeep`.
    pub keep: u8,
    /// `tlast`.
    pub last: bool,
}

/// The beats of a frame, which must not be empty. Bytes beyond its end are garbage from `rng`.
pub fn beats(frame: &[u8], rng: &mut impl Rng) -> Vec<Beat> {
    let count = frame.len().div_ceil(8);
    let beat = |(index, chunk): (usize, &[u8])| {
        let mut lanes = if chunk.len() < 8 {
            rng.next_u64().to_le_bytes()
        } else {
            [0; 8]
        };
        lanes[..chunk.len()].copy_from_slice(chunk);
        Beat {
            data: u64::from_le_bytes(lanes),
            keep: (0xffu16 >> (8 - chunk.len())) as u8,
            last: index + 1 == count,
        }
    };
    frame.chunks(8).enumerate().map(beat).collect()
}

/// Puts frames together from beats.
#[derive(Debug, Default)]
pub struct Collector {
    bytes: Vec<u8>,
}

impl Collector {
    /// Takes a beat; the frame when it was the last one.
    ///
    /// # Errors
    /// A beat that is neither full nor the last, or a `keep` with holes.
    pub fn push(&mut self, beat: Beat) -> Result<Option<Vec<u8>>, String> {
        let count = beat.keep.count_ones() as usize;
        let contiguous = u16::from(beat.keep) + 1 == 1 << count;
        if !contiguous || count == 0 || (count < 8 && !beat.last) {
            return Err(format!("tkeep {:#04x}, tlast {}", beat.keep, beat.last));
        }
        self.bytes
            .extend_from_slice(&beat.data.to_le_bytes()[..count]);
        Ok(beat.last.then(|| std::mem::take(&mut self.bytes)))
    }

    /// Whether a frame has begun and not ended.
    #[must_use]
    pub fn inside(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The bytes of the frame that has begun.
    #[must_use]
    pub fn partial(&self) -> &[u8] {
        &self.bytes
    }
}
