//! `ip route`.

mod get;
mod modify;
mod show;

pub(in crate::ip) use modify::parse_tos;

use super::{Family, Output, choose};
use crate::command::{CommandError, Word, Words};
use crate::fib::{Metrics, Mode, names};
use crate::stack::Stack;

/// `RTAX_*` that can be set, by number, in the order in which they are shown.
const METRICS: &[(usize, &str)] = &[
    (2, "mtu"),
    (3, "window"),
    (RTAX_RTT, "rtt"),
    (RTAX_RTTVAR, "rttvar"),
    (6, "ssthresh"),
    (7, "cwnd"),
    (8, "advmss"),
    (9, "reordering"),
    (10, "hoplimit"),
    (11, "initcwnd"),
    (RTAX_FEATURES, "features"),
    (RTAX_RTO_MIN, "rto_min"),
    (14, "initrwnd"),
    (15, "quickack"),
    (RTAX_CC_ALGO, "congctl"),
    (17, "fastopen_no_cookie"),
];

/// `RTAX_RTT` in eighths of a millisecond, `RTAX_RTTVAR` in quarters.
const RTAX_RTT: usize = 4;
const RTAX_RTTVAR: usize = 5;
/// `RTAX_FEATURES`: only `RTAX_FEATURE_ECN` is known.
const RTAX_FEATURES: usize = 12;
/// `RTAX_RTO_MIN` in milliseconds; always locked.
const RTAX_RTO_MIN: usize = 13;
/// `RTAX_CC_ALGO`: the place in this list, from 1 on.
const RTAX_CC_ALGO: usize = 16;
const CONGESTION_CONTROLS: [&str; 3] = ["reno", "cubic", "bbr"];

/// Reads the value of a metric. The words are TCP's; nothing but `mtu`, `hoplimit` and `advmss` has an effect here.
fn parse_metric(at: usize, words: &mut Words<'_>) -> Result<u32, CommandError> {
    let word = words.expect("a value")?;
    match at {
        RTAX_RTT => rtt(word, 8),
        RTAX_RTTVAR => rtt(word, 4),
        RTAX_RTO_MIN => rtt(word, 1),
        RTAX_FEATURES => match word.text {
            "ecn" => Ok(1),
            _ => Err(word.error("only the feature ecn is known here")),
        },
        RTAX_CC_ALGO => {
            let place = CONGESTION_CONTROLS
                .iter()
                .position(|name| *name == word.text);
            let place = place.ok_or_else(|| word.error("RTNETLINK answers: Invalid argument"))?;
            Ok(place as u32 + 1)
        }
        _ => word.number(),
    }
}

/// `get_time_rtt()`: a time with `s`, `ms`, `us` or `ns`, in units of `per_ms` to the millisecond; a bare number is one already.
fn rtt(word: Word<'_>, per_ms: u32) -> Result<u32, CommandError> {
    let wrong = || word.error("not a time");
    let end = word.text.find(|c: char| c.is_ascii_alphabetic());
    let (digits, unit) = word.text.split_at(end.unwrap_or(word.text.len()));
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let ms = match unit.to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" => 1000.0,
        "ms" | "msec" | "msecs" => 1.0,
        "us" | "usec" | "usecs" => 1e-3,
        "ns" | "nsec" | "nsecs" => 1e-6,
        // RTO_MIN's number is milliseconds.
        "" => return names::parse_number(digits).ok_or_else(wrong),
        _ => return Err(wrong()),
    };
    let value = number * ms * f64::from(per_ms);
    match (0.0..f64::from(u32::MAX)).contains(&value) {
        true => Ok(value.ceil() as u32),
        false => Err(wrong()),
    }
}

/// The value of a metric as iproute2 writes it.
fn metric_value(at: usize, value: u32) -> String {
    match at {
        RTAX_RTT => format!("{}ms", value / 8),
        RTAX_RTTVAR => format!("{}ms", value / 4),
        RTAX_RTO_MIN => format!("{value}ms"),
        RTAX_FEATURES => "ecn".to_owned(),
        RTAX_CC_ALGO => {
            let name = CONGESTION_CONTROLS.get((value as usize).wrapping_sub(1));
            (*name.unwrap_or(&"reno")).to_owned()
        }
        _ => value.to_string(),
    }
}

/// ` mtu lock 1400 hoplimit 20`: what is set, each with a space behind.
fn metrics(metrics: &Metrics) -> String {
    let mut out = String::new();
    for &(at, name) in METRICS {
        if metrics.values[at] != 0 {
            let lock = if metrics.lock >> at & 1 == 1 {
                "lock "
            } else {
                ""
            };
            out += &format!("{name} {lock}{} ", metric_value(at, metrics.values[at]));
        }
    }
    out
}

impl Stack {
    /// `ip route [show|get|add|append|prepend|replace|change|delete|flush] …`
    pub(super) fn ip_route(&mut self, family: Family, mut words: Words<'_>) -> Output {
        let Some(command) = words.next() else {
            return self.ip_route_show(family, words);
        };
        // iproute2's order.
        let names = [
            "list", "show", "lst", "get", "add", "change", "chg", "replace", "prepend", "append",
            "delete", "flush",
        ];
        let mode = match choose(command, &names) {
            Some("list" | "show" | "lst") => return self.ip_route_show(family, words),
            Some("get") => return self.ip_route_get(family, words),
            Some("delete") => return self.ip_route_delete(family, words),
            Some("flush") => return self.ip_route_flush(family, words),
            Some("add") => Mode::Add,
            Some("change" | "chg") => Mode::Change,
            Some("replace") => Mode::Replace,
            Some("prepend") => Mode::Prepend,
            Some("append") => Mode::Append,
            _ => return Err(command.error("unknown command of ip route")),
        };
        self.ip_route_add(family, mode, words)
    }
}
