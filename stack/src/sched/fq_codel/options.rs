//! Options and statistics of `fq_codel`, as tc reads and prints them.

use super::super::codel::{CodelParams, CodelTime, codel_duration, codel_time_to_us};
use super::super::tc::Refusal;
use super::super::tc::units::{Size, Time};
use super::FqCodel;
use std::fmt;

/// `flows` without an option.
pub(super) const DEFAULT_FLOWS: u32 = 1024;

/// The options that were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct FqCodelConfig {
    /// Packets.
    pub limit: Option<u32>,
    /// Number of queues, 1 to 65536; only when the qdisc is made.
    pub flows: Option<u32>,
    /// Bytes.
    pub quantum: Option<u32>,
    /// Microseconds.
    pub target_us: Option<u32>,
    /// Microseconds.
    pub interval_us: Option<u32>,
    /// Microseconds.
    pub ce_threshold_us: Option<u32>,
    /// Bytes.
    pub memory_limit: Option<u32>,
    /// Packets.
    pub drop_batch: Option<u32>,
    /// `ecn` or `noecn`.
    pub ecn: Option<bool>,
}

/// `codel_params_init()`.
pub(super) fn default_params(mtu: u32) -> CodelParams {
    CodelParams {
        target: codel_duration(5_000),
        interval: codel_duration(100_000),
        mtu,
        ecn: true,
        ce_threshold: None,
    }
}

impl FqCodel {
    pub(super) fn configure(&mut self, config: &FqCodelConfig) -> Result<(), Refusal> {
        if !config.flows.is_none_or(|n| (1..=65536).contains(&n)) {
            return Err(Refusal::OutOfRange("flows", "1 to 65536"));
        }
        let time = |us: Option<u32>| us.map(|us| codel_duration(u64::from(us)));
        // The kernel's lower limit: less would only turn the lists around.
        let quantum = config.quantum.map(|q| q.clamp(256, 1 << 20));
        set(&mut self.limit, config.limit);
        set(&mut self.quantum, quantum);
        set(&mut self.drop_batch, config.drop_batch.map(|n| n.max(1)));
        set(
            &mut self.memory_limit,
            config.memory_limit.map(|n| n.min(1 << 31)),
        );
        set(&mut self.params.target, time(config.target_us));
        set(&mut self.params.interval, time(config.interval_us));
        set(&mut self.params.ecn, config.ecn);
        self.params.ce_threshold = time(config.ce_threshold_us).or(self.params.ce_threshold);
        Ok(())
    }

    /// `fq_codel_print_opt()`.
    pub(super) fn dump_options(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        let time = |t: CodelTime| Time::from_us(codel_time_to_us(t));
        write!(f, "limit {}p ", self.limit)?;
        write!(f, "flows {} ", self.flows.len())?;
        write!(f, "quantum {} ", self.quantum)?;
        write!(f, "target {} ", time(self.params.target))?;
        if let Some(threshold) = self.params.ce_threshold {
            write!(f, "ce_threshold {} ", time(threshold))?;
        }
        write!(f, "interval {} ", time(self.params.interval))?;
        write!(f, "memory_limit {} ", Size(self.memory_limit.into()))?;
        if self.params.ecn {
            f.write_str("ecn ")?;
        }
        write!(f, "drop_batch {} ", self.drop_batch)
    }

    /// `fq_codel_print_xstats()`.
    pub(super) fn dump_xstats(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        write!(f, "  maxpacket {}", self.stats.maxpacket)?;
        write!(f, " drop_overlimit {}", self.drop_overlimit)?;
        write!(f, " new_flow_count {}", self.new_flow_count)?;
        write!(f, " ecn_mark {}", self.stats.ecn_mark)?;
        if self.stats.ce_mark > 0 {
            write!(f, " ce_mark {}", self.stats.ce_mark)?;
        }
        if self.memory_usage > 0 {
            write!(f, " memory_used {}", self.memory_usage)?;
        }
        if self.drop_overmemory > 0 {
            write!(f, " drop_overmemory {}", self.drop_overmemory)?;
        }
        let (new, old) = (self.new_flows.len, self.old_flows.len);
        writeln!(f, "\n  new_flows_len {new} old_flows_len {old}")
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
