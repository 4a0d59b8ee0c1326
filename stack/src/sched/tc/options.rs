//! The options of each kind of qdisc (tc/q_*.c).

use super::super::handle::Handle;
use super::units::{Nanos, Percent, Rate, Size, Us};
use super::{
    FqCodelConfig, HtbClassConfig, HtbConfig, NetemConfig, PrioConfig, QdiscConfig, TbfConfig,
};
use crate::command::{CommandError, Word, Words};
use crate::sched::pfifo_fast::TC_PRIO_MAX;
use crate::sched::ratecfg::RateCfg;

/// Reads the kind and its options, to the end of the line.
pub(super) fn qdisc(words: &mut Words<'_>) -> Result<QdiscConfig, CommandError> {
    let kind = words.expect("a kind of qdisc")?;
    let config = match kind.text {
        "noqueue" => QdiscConfig::Noqueue,
        "pfifo_fast" => QdiscConfig::PfifoFast,
        "pfifo" => QdiscConfig::Pfifo {
            limit: fifo(words)?,
        },
        "bfifo" => QdiscConfig::Bfifo {
            limit: fifo(words)?,
        },
        "fq_codel" => QdiscConfig::FqCodel(fq_codel(words)?),
        "htb" => QdiscConfig::Htb(htb(words)?),
        "tbf" => QdiscConfig::Tbf(tbf(words, kind)?),
        "prio" => QdiscConfig::Prio(prio(words)?),
        "netem" => QdiscConfig::Netem(netem(words)?),
        _ => return Err(kind.error("Specified qdisc kind is unknown")),
    };
    words.finish()?;
    Ok(config)
}

fn size(words: &mut Words<'_>) -> Result<u32, CommandError> {
    let size: Size = words.parse("a size")?;
    Ok(size.0 as u32)
}

fn rate(words: &mut Words<'_>) -> Result<u64, CommandError> {
    let word = words.expect("a rate")?;
    match word.parse::<Rate>("a rate")? {
        Rate(0) => Err(word.error("a rate of 0 sends nothing")),
        Rate(rate) => Ok(rate),
    }
}

fn time(words: &mut Words<'_>) -> Result<u32, CommandError> {
    Ok(words.parse::<Us>("a time")?.0)
}

/// tc's word for "what is that?".
fn unknown(word: Word<'_>, kind: &str) -> CommandError {
    word.error(format!("unknown option of {kind}"))
}

fn fifo(words: &mut Words<'_>) -> Result<Option<u32>, CommandError> {
    let mut limit = None;
    while let Some(word) = words.next() {
        match word.text {
            "limit" => limit = Some(size(words)?),
            _ => return Err(unknown(word, "a fifo")),
        }
    }
    Ok(limit)
}

fn fq_codel(words: &mut Words<'_>) -> Result<FqCodelConfig, CommandError> {
    let mut config = FqCodelConfig::default();
    while let Some(word) = words.next() {
        match word.text {
            "limit" => config.limit = Some(words.parse("a number of packets")?),
            "flows" => config.flows = Some(words.parse("a number of flows")?),
            "quantum" => config.quantum = Some(words.parse("a number of bytes")?),
            "target" => config.target_us = Some(time(words)?),
            "interval" => config.interval_us = Some(time(words)?),
            "ce_threshold" => config.ce_threshold_us = Some(time(words)?),
            "memory_limit" => config.memory_limit = Some(size(words)?),
            "drop_batch" => config.drop_batch = Some(words.parse("a number of packets")?),
            "ecn" => config.ecn = Some(true),
            "noecn" => config.ecn = Some(false),
            _ => return Err(unknown(word, "fq_codel")),
        }
    }
    Ok(config)
}

fn htb(words: &mut Words<'_>) -> Result<HtbConfig, CommandError> {
    let mut config = HtbConfig::default();
    while let Some(word) = words.next() {
        match word.text {
            "default" => {
                let word = words.expect("a class")?;
                let digits = word.text.strip_prefix("0x").unwrap_or(word.text);
                let class = u16::from_str_radix(digits, 16);
                let class = class.map_err(|_| word.error("not a class (hexadecimal)"))?;
                config.default = Some(class.into());
            }
            "r2q" => config.r2q = Some(words.parse("a number")?),
            "direct_qlen" => config.direct_qlen = Some(words.parse("a number of packets")?),
            _ => return Err(unknown(word, "htb")),
        }
    }
    Ok(config)
}

/// What tc adds to every packet, and the least it counts as.
#[derive(Default)]
struct Link {
    overhead: u16,
    mpu: u16,
}

impl Link {
    /// Takes one of its options.
    fn read(&mut self, word: Word<'_>, words: &mut Words<'_>) -> Result<bool, CommandError> {
        match word.text {
            "overhead" => self.overhead = words.parse("a number of bytes")?,
            "mpu" => self.mpu = words.parse("a number of bytes")?,
            "linklayer" => {
                let layer = words.expect("ethernet")?;
                if layer.text != "ethernet" {
                    return Err(layer.error("only ethernet is known here"));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn cfg(&self, rate: u64) -> RateCfg {
        RateCfg::new(rate, self.overhead, self.mpu)
    }
}

/// `htb_parse_class_opt()`.
pub(super) fn htb_class(words: &mut Words<'_>) -> Result<HtbClassConfig, CommandError> {
    let (mut own, mut ceil, mut link) = (None, None, Link::default());
    let (mut burst, mut cburst, mut quantum, mut prio) = (None, None, None, None);
    let mut mtu = 1600;
    while let Some(word) = words.next() {
        match word.text {
            "rate" => own = Some(rate(words)?),
            "ceil" => ceil = Some(rate(words)?),
            "burst" | "buffer" | "maxburst" => burst = Some(u64::from(size(words)?)),
            "cburst" | "cbuffer" | "cmaxburst" => cburst = Some(u64::from(size(words)?)),
            "quantum" => quantum = Some(words.parse("a number of bytes")?),
            "prio" => prio = Some(words.parse("a number")?),
            "mtu" => mtu = u64::from(size(words)?),
            _ if link.read(word, words)? => {}
            _ => return Err(unknown(word, "a class of htb")),
        }
    }
    let Some(own) = own else {
        return Err(words.end_error("\"rate\" is required"));
    };
    Ok(HtbClassConfig {
        rate: link.cfg(own),
        ceil: ceil.map(|ceil| link.cfg(ceil)),
        burst,
        cburst,
        quantum,
        prio,
        mtu,
    })
}

/// `tbf_parse_opt()`.
fn tbf(words: &mut Words<'_>, kind: Word<'_>) -> Result<TbfConfig, CommandError> {
    let (mut own, mut peak, mut link) = (None, None, Link::default());
    let (mut burst, mut mtu, mut limit, mut latency) = (None, None, None, None);
    while let Some(word) = words.next() {
        match word.text {
            "rate" => own = Some(rate(words)?),
            "peakrate" => peak = Some(rate(words)?),
            "burst" | "buffer" | "maxburst" => burst = Some(size(words)?),
            "mtu" | "minburst" => mtu = Some(size(words)?),
            "limit" => limit = Some(size(words)?),
            "latency" => latency = Some(time(words)?),
            _ if link.read(word, words)? => {}
            _ => return Err(unknown(word, "tbf")),
        }
    }
    let (Some(own), Some(burst)) = (own, burst) else {
        return Err(words.end_error("both \"rate\" and \"burst\" are required"));
    };
    let peak = match (peak, mtu) {
        (Some(peak), Some(mtu)) => Some((peak, mtu)),
        (Some(_), None) => return Err(words.end_error("\"mtu\" is required with \"peakrate\"")),
        (None, _) => None,
    };
    let limit = match (limit, latency) {
        (Some(limit), None) => limit,
        (None, Some(latency)) => {
            let waiting = |rate: u64, at_once: u32| {
                rate as f64 * f64::from(latency) / 1e6 + f64::from(at_once)
            };
            let limit = waiting(own, burst);
            peak.map_or(limit, |(peak, mtu)| limit.min(waiting(peak, mtu))) as u32
        }
        (Some(_), Some(_)) => return Err(kind.error("either \"limit\" or \"latency\", not both")),
        (None, None) => return Err(words.end_error("either \"limit\" or \"latency\" is required")),
    };
    if burst == 0 {
        return Err(kind.error("a burst of 0 lets no packet pass"));
    }
    Ok(TbfConfig {
        rate: link.cfg(own),
        burst,
        limit,
        peak: peak.map(|(peak, mtu)| (link.cfg(peak), mtu)),
    })
}

/// `prio_parse_opt()`.
fn prio(words: &mut Words<'_>) -> Result<PrioConfig, CommandError> {
    let mut config = PrioConfig::default();
    while let Some(word) = words.next() {
        match word.text {
            "bands" => config.bands = Some(words.parse("a number of bands")?),
            "priomap" => {
                let mut map = [0; TC_PRIO_MAX as usize + 1];
                for band in &mut map {
                    *band = words.parse("a band for each of 16 priorities")?;
                }
                config.priomap = Some(map);
            }
            _ => return Err(unknown(word, "prio")),
        }
    }
    Ok(config)
}

/// The next word if it is of this kind of number.
fn optional<T: std::str::FromStr>(words: &mut Words<'_>) -> Option<T> {
    let value = words.peek()?.text.parse().ok()?;
    words.next();
    Some(value)
}

fn chance(words: &mut Words<'_>) -> Result<(u32, u32), CommandError> {
    let chance: Percent = words.parse("a percentage")?;
    let correlation = optional::<Percent>(words).unwrap_or(Percent(0));
    Ok((chance.0, correlation.0))
}

/// `netem_parse_opt()`.
fn netem(words: &mut Words<'_>) -> Result<NetemConfig, CommandError> {
    let mut config = NetemConfig::default();
    while let Some(word) = words.next() {
        match word.text {
            "limit" => config.limit = Some(size(words)?),
            "delay" | "latency" => {
                let latency: Nanos = words.parse("a time with a unit")?;
                let jitter = optional::<Nanos>(words);
                let correlation = jitter.and_then(|_| optional::<Percent>(words));
                let (jitter, correlation) =
                    (jitter.map_or(0, |j| j.0), correlation.map_or(0, |c| c.0));
                config.delay = Some((latency.0, jitter, correlation));
            }
            "distribution" => {
                let shape = words.expect("a distribution")?;
                config.normal = match shape.text {
                    "normal" => true,
                    "uniform" => false,
                    _ => return Err(shape.error("unknown distribution: uniform or normal")),
                };
            }
            "loss" | "drop" => {
                words.accept("random");
                config.loss = Some(chance(words)?);
            }
            "duplicate" => config.duplicate = Some(chance(words)?),
            "corrupt" => config.corrupt = Some(chance(words)?),
            "reorder" => config.reorder = Some(chance(words)?),
            "gap" => config.gap = Some(words.parse("a number of packets")?),
            "rate" => config.rate = Some(rate(words)?),
            "seed" => config.seed = Some(words.parse("a number")?),
            "ecn" => config.ecn = true,
            _ => return Err(unknown(word, "netem")),
        }
    }
    if config.normal && config.delay.is_none_or(|(_, jitter, _)| jitter == 0) {
        return Err(words.end_error("distribution needs a delay with jitter"));
    }
    if config.reorder.is_some() && config.delay.is_none() {
        return Err(words.end_error("reordering is not possible without a delay"));
    }
    Ok(config)
}

/// A handle that names a qdisc: `1:` or `1`.
pub(super) fn qdisc_handle(words: &mut Words<'_>) -> Result<Handle, CommandError> {
    let word = words.expect("a handle")?;
    let major = word.text.strip_suffix(':').unwrap_or(word.text);
    match u16::from_str_radix(major, 16) {
        Ok(major) if !word.text.starts_with('+') => Ok(Handle::new(major, 0)),
        _ => Err(word.error("not the handle of a qdisc (MAJOR: in hexadecimal)")),
    }
}
