//! Chances, alone or depending on the one before (`get_crandom()`).

/// splitmix64.
#[derive(Debug)]
pub(super) struct Prng(u64);

impl Prng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    /// 0 to `range` − 1; 0 for 0.
    pub fn below(&mut self, range: u32) -> u32 {
        ((u64::from(self.next_u32()) * u64::from(range)) >> 32) as u32
    }
}

/// Random numbers that resemble the one before (`struct crndstate`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Correlated {
    /// How much, of 2³² − 1.
    pub rho: u32,
    last: u32,
}

impl Correlated {
    pub fn new(rho: u32) -> Self {
        Self { rho, last: 0 }
    }

    /// `get_crandom()`.
    pub fn next_u32(&mut self, prng: &mut Prng) -> u32 {
        let value = prng.next_u32();
        if self.rho == 0 {
            return value;
        }
        let rho = u64::from(self.rho) + 1;
        let sum = u128::from(value) * u128::from((1u64 << 32) - rho)
            + u128::from(self.last) * u128::from(rho);
        self.last = (sum >> 32) as u32;
        self.last
    }
}

/// Something that happens to some packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chance {
    /// How often, of 2³² − 1; 0: never.
    pub probability: u32,
    pub state: Correlated,
}

impl Chance {
    pub fn happens(&mut self, prng: &mut Prng) -> bool {
        self.probability > 0 && self.probability >= self.state.next_u32(prng)
    }
}
