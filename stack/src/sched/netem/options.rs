//! Options of `netem`, as tc reads and prints them.

use super::distribution::{Delay, Distribution};
use super::random::{Chance, Correlated};
use crate::sched::qdisc::Ns;
use crate::sched::tc::units::{Percent, Rate, Time};
use std::fmt;

/// A chance and its correlation, each of 2³² − 1.
pub(crate) type ChanceConfig = (u32, u32);

/// The options that were given. What was not is off, also after a change.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetemConfig {
    /// Packets.
    pub limit: Option<u32>,
    /// Latency and jitter in ns, correlation.
    pub delay: Option<(i64, i64, u32)>,
    pub normal: bool,
    pub loss: Option<ChanceConfig>,
    pub duplicate: Option<ChanceConfig>,
    pub corrupt: Option<ChanceConfig>,
    pub reorder: Option<ChanceConfig>,
    pub gap: Option<u32>,
    /// Bytes per second.
    pub rate: Option<u64>,
    pub ecn: bool,
    pub seed: Option<u64>,
}

/// What is in force.
#[derive(Debug)]
pub(super) struct Options {
    pub limit: u32,
    pub delay: Delay,
    pub loss: Chance,
    pub duplicate: Chance,
    pub corrupt: Chance,
    pub reorder: Chance,
    /// Every n-th packet may be reordered; 0: none.
    pub gap: u32,
    pub rate: Option<u64>,
    pub ecn: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limit: 1000,
            delay: Delay::default(),
            loss: Chance::default(),
            duplicate: Chance::default(),
            corrupt: Chance::default(),
            reorder: Chance::default(),
            gap: 0,
            rate: None,
            ecn: false,
        }
    }
}

/// `packet_time_ns()`.
pub(super) fn packet_time_ns(rate: u64, len: u32) -> Ns {
    u64::from(len) * 1_000_000_000 / rate.max(1)
}

impl Options {
    /// `netem_change()`.
    pub fn change(&mut self, config: &NetemConfig) {
        let chance = |config: Option<ChanceConfig>| {
            let (probability, rho) = config.unwrap_or_default();
            Chance {
                probability,
                state: Correlated::new(rho),
            }
        };
        let (latency, jitter, rho) = config.delay.unwrap_or_default();
        *self = Self {
            limit: config.limit.unwrap_or(self.limit),
            delay: Delay {
                latency,
                jitter,
                correlation: Correlated::new(rho),
                distribution: match config.normal {
                    true => Distribution::normal(),
                    false => Distribution::Uniform,
                },
            },
            loss: chance(config.loss),
            duplicate: chance(config.duplicate),
            corrupt: chance(config.corrupt),
            reorder: chance(config.reorder),
            // tc gives every packet its chance when reorder has no gap.
            gap: config.gap.unwrap_or(u32::from(config.reorder.is_some())),
            rate: config.rate,
            ecn: config.ecn,
        };
        // A gap alone reorders every time.
        if self.gap > 0 && config.reorder.is_none() {
            self.reorder.probability = u32::MAX;
        }
    }

    /// `netem_print_opt()`.
    pub fn dump(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        write!(f, "limit {}", self.limit)?;
        let Delay {
            latency, jitter, ..
        } = self.delay;
        if latency > 0 {
            write!(f, " delay {}", Time::from_ns(latency as u64))?;
            if jitter > 0 {
                write!(f, "  {}", Time::from_ns(jitter as u64))?;
                dump_correlation(f, self.delay.correlation.rho)?;
            }
        }
        for (name, chance) in [
            ("loss", &self.loss),
            ("duplicate", &self.duplicate),
            ("reorder", &self.reorder),
            ("corrupt", &self.corrupt),
        ] {
            if chance.probability > 0 {
                write!(f, " {name} {}", Percent(chance.probability))?;
                dump_correlation(f, chance.state.rho)?;
            }
        }
        if let Some(rate) = self.rate {
            write!(f, " rate {}", Rate(rate))?;
        }
        if self.ecn {
            f.write_str(" ecn ")?;
        }
        if self.gap > 0 {
            write!(f, " gap {}", self.gap)?;
        }
        Ok(())
    }
}

fn dump_correlation(f: &mut dyn fmt::Write, rho: u32) -> fmt::Result {
    match rho {
        0 => Ok(()),
        rho => write!(f, " {}", Percent(rho)),
    }
}
