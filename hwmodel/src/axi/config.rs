use crate::Ps;

/// How the host answers DMA. The default is a quiet PCIe link to memory that is near: fixed latency,
/// in order, never a stall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxiHostConfig {
    /// From the address handshake of a read to its first data beat, picoseconds.
    pub read_latency: Ps,
    /// From a write's data beat to its visibility, and to the response of the last one, picoseconds.
    pub write_latency: Ps,
    /// Up to this much more, drawn per read burst and write beat, picoseconds.
    pub jitter: Ps,
    /// Read bursts in flight before `arready` falls.
    pub max_reads: usize,
    /// Write bursts without response before `awready` falls.
    pub max_writes: usize,
    /// Bursts of different IDs may be answered in any order (AMBA AXI A5.3).
    pub out_of_order: bool,
    /// Random back-pressure.
    pub stalls: Stalls,
}

/// Chance of a stall in a cycle, per channel, of 1000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stalls {
    /// `awready` is low.
    pub aw: u16,
    /// `wready` is low.
    pub w: u16,
    /// A response that is due is held back.
    pub b: u16,
    /// `arready` is low.
    pub ar: u16,
    /// A beat that is due is held back.
    pub r: u16,
}

impl Stalls {
    pub(crate) fn any(&self) -> bool {
        self.aw | self.w | self.b | self.ar | self.r != 0
    }
}

impl Default for AxiHostConfig {
    fn default() -> Self {
        Self {
            read_latency: 500_000,
            write_latency: 200_000,
            jitter: 0,
            max_reads: 256,
            max_writes: 256,
            out_of_order: false,
            stalls: Stalls::default(),
        }
    }
}

impl AxiHostConfig {
    /// Whether anything is drawn at random.
    pub(crate) fn is_random(&self) -> bool {
        self.jitter > 0 || self.out_of_order || self.stalls.any()
    }

    /// Everything that AXI allows to go differently does: latencies from near nothing to a
    /// microsecond, few bursts in flight, any order, stalls on every channel. `seed` chooses how.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut rng = crate::rng::Rng::new(seed);
        let mut permille = || [0, 50, 300, 700][rng.below(4) as usize];
        let stalls = Stalls {
            aw: permille(),
            w: permille(),
            b: permille(),
            ar: permille(),
            r: permille(),
        };
        Self {
            read_latency: rng.below(800_000),
            write_latency: rng.below(400_000),
            jitter: rng.below(400_000),
            max_reads: 1 + rng.below(16) as usize,
            max_writes: 1 + rng.below(16) as usize,
            out_of_order: rng.chance(500),
            stalls,
        }
    }
}
