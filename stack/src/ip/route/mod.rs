//! `ip route`.

mod get;
mod modify;
mod show;

pub(in crate::ip) use modify::parse_tos;

use super::{Family, Output, choose};
use crate::command::Words;
use crate::fib::{Metrics, Mode};
use crate::stack::Stack;

/// `RTAX_*` that can be set, by number, in the order in which they are shown.
const METRICS: &[(usize, &str)] = &[
    (2, "mtu"),
    (3, "window"),
    (6, "ssthresh"),
    (7, "cwnd"),
    (8, "advmss"),
    (9, "reordering"),
    (10, "hoplimit"),
    (11, "initcwnd"),
    (14, "initrwnd"),
    (15, "quickack"),
];

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
            out += &format!("{name} {lock}{} ", metrics.values[at]);
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
