//! The NIC's own counters, kept over its resets.

use std::collections::BTreeMap;

use hwmodel::Device;
use hwmodel::pci::BAR_VENDOR;

/// BAR0 offset of the counters: 64 bits each, little endian.
const COUNTERS: u32 = BAR_VENDOR + 0x100;

/// Where the RTL names its counters (`stat_e`).
const PACKAGE: &str = include_str!("../../../rtl/pkg/nic_pkg.sv");

/// A counter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counter {
    /// As in the RTL, in lower case without `STAT_`.
    name: String,
    /// BAR0 offset.
    at: u32,
    /// Counted before the newest reset.
    before: u64,
    /// Counted since then.
    since: u64,
}

/// All counters since power-on.
#[derive(Debug, Clone)]
pub struct Statistics(Vec<Counter>);

impl Default for Statistics {
    fn default() -> Self {
        let counter = |line: &str| {
            let (name, value) = line.trim().strip_prefix("STAT_")?.split_once('=')?;
            let (_, digits) = value.trim().split_once("'d")?;
            let end = digits.find(|c: char| !c.is_ascii_digit());
            let index: u32 = digits[..end.unwrap_or(digits.len())].parse().ok()?;
            Some(Counter {
                name: name.trim().to_lowercase(),
                at: COUNTERS + 8 * index,
                before: 0,
                since: 0,
            })
        };
        Self(PACKAGE.lines().filter_map(counter).collect())
    }
}

impl Statistics {
    /// Reads the NIC's counters.
    ///
    /// # Errors
    /// When the NIC fails.
    pub fn collect(&mut self, nic: &mut impl Device) -> Result<(), hwmodel::Error> {
        for counter in &mut self.0 {
            let low = nic.bar_read(counter.at, 4)?;
            let high = nic.bar_read(counter.at + 4, 4)?;
            counter.since = u64::from(low) | u64::from(high) << 32;
        }
        Ok(())
    }

    /// The NIC's counters were reset after [`Statistics::collect`].
    pub fn cleared(&mut self) {
        for counter in &mut self.0 {
            counter.before += std::mem::take(&mut counter.since);
        }
    }

    /// All counters by name.
    pub fn table(&self) -> BTreeMap<String, u64> {
        let sum = |c: &Counter| (c.name.clone(), c.before + c.since);
        self.0.iter().map(sum).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_of_the_rtl_has_its_place() {
        let statistics = Statistics::default();
        let total = PACKAGE.split_once("NUM_STATS = ").unwrap().1;
        let total: usize = total.split_once(';').unwrap().0.parse().unwrap();
        assert_eq!(statistics.0.len(), total);
        assert_eq!(statistics.0[0].name, "rx_frames");
        assert_eq!(statistics.0[0].at, COUNTERS);
        let csum = statistics.0.iter().find(|c| c.name == "tx_csum").unwrap();
        assert_eq!(csum.at, COUNTERS + 8 * 13);
    }

    #[test]
    fn a_reset_loses_nothing() {
        let mut statistics = Statistics::default();
        statistics.0[1].since = 5;
        statistics.cleared();
        statistics.0[1].since = 2;
        assert_eq!(statistics.table()["rx_bytes"], 7);
    }
}
