//! Structures of `nic_pkg` that are ports of several blocks, as words.

/// `reg_req_t`: one access to BAR0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nobody asks; the address stands there all the same.
    Look(u16),
    /// With side effects.
    Read(u16),
    /// The bytes of `data` that `strb` chooses.
    Write { addr: u16, data: u32, strb: u8 },
}

impl Access {
    /// `count` bytes of 1, 2 or 4 at their own place.
    pub fn write(addr: u16, value: u32, count: u16) -> Self {
        let lane = addr & 3;
        Self::Write {
            addr: addr & !3,
            data: value << (8 * lane),
            strb: ((1u8 << count) - 1) << lane,
        }
    }

    /// The port's word.
    pub fn word(self) -> u64 {
        match self {
            Self::Look(addr) => u64::from(addr) << 36,
            Self::Read(addr) => 1 << 52 | u64::from(addr) << 36,
            Self::Write { addr, data, strb } => {
                1 << 53 | u64::from(addr) << 36 | u64::from(data) << 4 | u64::from(strb)
            }
        }
    }
}

/// `word_write_t`: a write of 1, 2, 4 or 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WordWrite {
    pub addr: u64,
    /// log2 bytes.
    pub size: u8,
    /// In the lanes of the address.
    pub data: u64,
}

impl WordWrite {
    /// Words of a port.
    pub const WORDS: usize = 3;

    /// Of a port's words.
    pub fn of(words: &[u64]) -> Self {
        Self {
            data: words[0],
            size: (words[1] & 7) as u8,
            addr: words[1] >> 3 | words[2] << 61,
        }
    }

    /// As a port's words.
    pub fn words(self) -> [u64; Self::WORDS] {
        [
            self.data,
            self.addr << 3 | u64::from(self.size),
            self.addr >> 61,
        ]
    }
}
