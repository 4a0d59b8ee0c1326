//! The NIC's own counters, kept over its resets.

use std::collections::BTreeMap;

use hwmodel::pci::BAR_VENDOR;
use hwmodel::{Device, Nic};

/// BAR0 offset of the counters: 64 bits each, little endian.
const COUNTERS: u32 = BAR_VENDOR + 0x100;

/// The counters in the order of `stat_e` of `rtl/pkg/nic_pkg.sv`, in lower case without `STAT_`.
pub const NAMES: [&str; 18] = [
    "rx_frames",
    "rx_bytes",
    "rx_bad_fcs",
    "rx_runt",
    "rx_oversize",
    "rx_error",
    "rx_no_space",
    "rx_disabled",
    "rx_truncated",
    "rx_csum_valid",
    "tx_frames",
    "tx_bytes",
    "tx_malformed",
    "tx_csum",
    "tx_underrun",
    "rx_buffers",
    "tx_buffers",
    "dma_error",
];

/// Sums since power-on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Statistics {
    /// Before the newest reset.
    before: [u64; NAMES.len()],
    /// Since then.
    since: [u64; NAMES.len()],
}

impl Statistics {
    /// Reads the NIC's counters.
    ///
    /// # Errors
    /// When the NIC fails.
    pub fn collect(&mut self, nic: &mut Nic) -> Result<(), hwmodel::Error> {
        for (at, count) in (COUNTERS..).step_by(8).zip(&mut self.since) {
            let low = nic.bar_read(at, 4)?;
            let high = nic.bar_read(at + 4, 4)?;
            *count = u64::from(low) | u64::from(high) << 32;
        }
        Ok(())
    }

    /// The NIC's counters were reset after [`Statistics::collect`].
    pub fn cleared(&mut self) {
        for (before, since) in self.before.iter_mut().zip(&mut self.since) {
            *before += std::mem::take(since);
        }
    }

    /// All counters by name.
    pub fn table(&self) -> BTreeMap<&'static str, u64> {
        let sums = self.before.iter().zip(&self.since).map(|(b, s)| b + s);
        NAMES.into_iter().zip(sums).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_rtl() {
        let package = include_str!("../../../rtl/pkg/nic_pkg.sv");
        let named: Vec<_> = package
            .lines()
            .filter_map(|line| line.trim().strip_prefix("STAT_")?.split_once('='))
            .map(|(name, _)| name.trim().to_lowercase())
            .collect();
        assert_eq!(named, NAMES);
    }

    #[test]
    fn a_reset_loses_nothing() {
        let mut statistics = Statistics::default();
        statistics.since[1] = 5;
        statistics.cleared();
        statistics.since[1] = 2;
        assert_eq!(statistics.table()["rx_bytes"], 7);
    }
}
