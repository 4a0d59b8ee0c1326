//! How long a link of some rate needs for a packet (`struct psched_ratecfg`).

use super::qdisc::Ns;

/// One second.
const NSEC_PER_SEC: u64 = 1_000_000_000;
/// Nanoseconds in a tick, the unit in which tc and the kernel exchange times (`PSCHED_SHIFT`).
const TICK: u64 = 64;

/// A rate, prepared so that a time costs one multiplication: `ns = len · mult >> shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateCfg {
    /// Bytes per second.
    pub rate: u64,
    mult: u32,
    shift: u8,
    /// `overhead`: bytes that the link adds to each packet.
    pub overhead: u16,
    /// `mpu`: a packet counts as at least this long.
    pub mpu: u16,
}

impl RateCfg {
    /// `psched_ratecfg_precompute()`. `rate`: bytes per second; 0 is as fast as 1.
    pub fn new(rate: u64, overhead: u16, mpu: u16) -> Self {
        let rate = rate.max(1);
        let (mut factor, mut shift) = (NSEC_PER_SEC, 0u8);
        // As many digits as fit into 32 bits.
        while factor / rate < 1 << 31 && factor < 1 << 63 {
            factor <<= 1;
            shift += 1;
        }
        Self {
            rate,
            mult: (factor / rate) as u32,
            shift,
            overhead,
            mpu,
        }
    }

    /// `psched_l2t_ns()`: time for a packet of `len` bytes.
    pub fn l2t_ns(&self, len: u32) -> Ns {
        let len = u64::from(len) + u64::from(self.overhead);
        let len = len.max(u64::from(self.mpu));
        // Bytes below 2³³ and 32 bits of mult may need more than 64.
        ((u128::from(len) * u128::from(self.mult)) >> self.shift) as Ns
    }
}

/// `tc_calc_xmittime()` and `PSCHED_TICKS2NS()`: time that `rate` (bytes per second) needs for `size` bytes, as tc hands it to the kernel: in
/// whole microseconds, and of those in whole ticks.
pub(crate) fn xmittime(rate: u64, size: u64) -> Ns {
    // tc calculates in floating point, and cuts off.
    let us = (1e6 * (size as f64 / rate.max(1) as f64)) as u32;
    us2ticks(us) * TICK
}

/// `tc_core_time2tick()`; 32 bits are what tc sends.
fn us2ticks(us: u32) -> u64 {
    (u64::from(us) * 1000 / TICK).min(u64::from(u32::MAX))
}

/// `tc_calc_xmitsize()`: bytes that `rate` sends in `time`.
pub(crate) fn xmitsize(rate: u64, time: Ns) -> u64 {
    let us = time / TICK * TICK / 1000;
    (rate as f64 * us as f64 / 1e6) as u64
}

/// `PSCHED_NS2TICKS()`, for lists.
pub(crate) fn ns2ticks(ns: i64) -> i64 {
    ns >> TICK.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_common_rates() {
        for (rate, len, ns) in [
            (125_000, 1000, 8_000_000),
            (250_000, 1000, 4_000_000),
            (187_500, 1000, 5_333_333),
            (1_250_000_000, 1514, 1_211),
            (u64::MAX, 1514, 0),
        ] {
            let time = RateCfg::new(rate, 0, 0).l2t_ns(len);
            assert!(time.abs_diff(ns) <= 1, "{rate} B/s, {len} B: {time} ns");
        }
        assert_eq!(RateCfg::new(125_000, 4, 64).l2t_ns(10), 512_000);
    }

    #[test]
    fn bursts_are_times_in_ticks() {
        assert_eq!(xmittime(250_000, 2048), 128_000 * TICK);
        // As a kernel and its tc print them for 1.5 Mbit/s and 1600 bytes.
        let time = xmittime(187_500, 1600);
        assert_eq!(
            (ns2ticks(time as i64), xmitsize(187_500, time)),
            (133_328, 1599)
        );
    }
}
