//! `sysctl`: settings by name, as `/proc/sys` has them.
//!
//! Each module keeps a list of its keys (`SYSCTLS`); [`TABLES`] collects them. A `*` in a key stands for `all`, `default` or a device.

mod config;

use crate::command::{CommandError, Word, Words};
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::fmt::Write;
use std::ops::RangeInclusive;

/// Whose setting: the word in place of a key's `*`. [`Scope::All`] for keys without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// `all`, or there is only one.
    All,
    /// `default`.
    Default,
    /// A device by its name.
    Dev(IfIndex),
}

/// A key, and how its value is read and written. All values are numbers.
pub(crate) struct Sysctl {
    /// Name with dots, at most one part of it `*`.
    pub name: &'static str,
    /// Values outside are refused (`EINVAL`).
    pub range: RangeInclusive<i64>,
    pub get: fn(&Stack, Scope) -> i64,
    /// The value is within the range.
    pub set: fn(&mut Stack, Scope, i64),
}

impl Sysctl {
    /// Shorter than the struct's literal.
    pub const fn int(
        name: &'static str,
        range: RangeInclusive<i64>,
        get: fn(&Stack, Scope) -> i64,
        set: fn(&mut Stack, Scope, i64),
    ) -> Self {
        Self {
            name,
            range,
            get,
            set,
        }
    }
}

/// Every module's keys.
const TABLES: &[&[Sysctl]] = &[
    crate::devconf::SYSCTLS,
    crate::neigh::SYSCTLS,
    config::SYSCTLS,
    crate::netfilter::conntrack::sysctl::SYSCTLS,
    crate::pmtu::SYSCTLS,
    crate::icmp_limit::SYSCTLS,
    crate::reassembly::SYSCTLS,
];

/// What stands at the `*` of `pattern` in `name`; `Some("")` when they are equal. Device names may hold dots.
fn at_star<'n>(pattern: &str, name: &'n str) -> Option<&'n str> {
    match pattern.split_once('*') {
        None => (pattern == name).then_some(""),
        Some((before, after)) => name
            .strip_prefix(before)?
            .strip_suffix(after)
            .filter(|middle| !middle.is_empty()),
    }
}

impl Stack {
    /// `sysctl [-n] [-q] [-w] KEY[=VALUE]…`, with or without the leading word, as typed; `KEY = VALUE` in three words too. Returns what
    /// `sysctl` prints. Errors name unknown keys, and values that the kernel refuses with `EINVAL`.
    pub fn sysctl(&mut self, line: &str) -> Result<String, CommandError> {
        let mut words = Words::new(line)?;
        words.accept("sysctl");
        let (mut quiet, mut values_only) = (false, false);
        while let Some(word) = words.peek().filter(|w| w.text.starts_with('-')) {
            for flag in word.text[1..].chars() {
                match flag {
                    'q' => quiet = true,
                    'n' => values_only = true,
                    // Writing needs no flag.
                    'w' => {}
                    _ => return Err(word.error("unknown option")),
                }
            }
            words.next();
        }
        let mut out = String::new();
        let mut word = words.expect("a key")?;
        loop {
            let (key, mut value) = match word.text.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (word.text, None),
            };
            if value.is_none() && words.accept("=") {
                value = Some("");
            }
            if value == Some("") {
                value = Some(words.expect("a value")?.text);
            }
            let name = canonical(key);
            let now = self.read_or_write(&name, value, word)?;
            if !(quiet && value.is_some()) {
                let _ = match values_only {
                    true => writeln!(out, "{now}"),
                    false => writeln!(out, "{name} = {now}"),
                };
            }
            match words.next() {
                Some(next) => word = next,
                None => return Ok(out),
            }
        }
    }

    /// The value that the key has now, after it was set to `value` if there is one.
    fn read_or_write(
        &mut self,
        name: &str,
        value: Option<&str>,
        word: Word<'_>,
    ) -> Result<String, CommandError> {
        // The only one that is no number.
        if name == crate::sched::DEFAULT_QDISC {
            if let Some(value) = value {
                self.set_default_qdisc(value)
                    .map_err(|problem| word.error(problem))?;
            }
            return Ok(self.default_qdisc().to_owned());
        }
        let (sysctl, scope) = self.find_sysctl(name, word)?;
        if let Some(value) = value {
            self.write_sysctl(sysctl, scope, value)
                .map_err(|problem| word.error(problem))?;
        }
        Ok((sysctl.get)(self, scope).to_string())
    }

    fn find_sysctl(
        &self,
        name: &str,
        word: Word<'_>,
    ) -> Result<(&'static Sysctl, Scope), CommandError> {
        for sysctl in TABLES.iter().copied().flatten() {
            let Some(middle) = at_star(sysctl.name, name) else {
                continue;
            };
            // Neighbours have no settings for all.
            if middle == "all" && sysctl.name.contains(".neigh.") {
                continue;
            }
            let scope = match middle {
                "" | "all" => Scope::All,
                "default" => Scope::Default,
                name => {
                    let dev = self.device_by_name(name);
                    Scope::Dev(dev.ok_or_else(|| word.error("no such device"))?)
                }
            };
            return Ok((sysctl, scope));
        }
        Err(word.error("unknown key"))
    }

    fn write_sysctl(&mut self, sysctl: &Sysctl, scope: Scope, value: &str) -> Result<(), String> {
        let number = value
            .trim()
            .parse()
            .map_err(|_| format!("{value:?} is not a number"))?;
        if !sysctl.range.contains(&number) {
            let (least, most) = (sysctl.range.start(), sysctl.range.end());
            return Err(format!("{number} is not within {least} to {most}"));
        }
        (sysctl.set)(self, scope, number);
        Ok(())
    }

    /// The device called `name`.
    pub fn device_by_name(&self, name: &str) -> Option<IfIndex> {
        let device = self.devices.iter().find(|d| d.name == name)?;
        Some(device.index)
    }
}

/// Dots between the parts. With slashes between them, dots are part of the parts (`net/ipv4/conf/eth0.1/rp_filter`).
fn canonical(key: &str) -> String {
    let slash = key.find('/');
    match slash {
        Some(slash) if key.find('.').is_none_or(|dot| slash < dot) => key.replace('/', "."),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StackConfig;
    use proptest::prelude::*;

    fn stack() -> Stack {
        Stack::new(StackConfig::default())
    }

    #[test]
    fn reads_and_writes_as_sysctl_does() {
        let mut stack = stack();
        let mut run = |line| stack.sysctl(line).unwrap();
        assert_eq!(run("net.ipv4.ip_forward"), "net.ipv4.ip_forward = 0\n");
        assert_eq!(run("sysctl -qw net.ipv4.ip_forward=1"), "");
        assert_eq!(run("-n net.ipv4.conf.lo.forwarding"), "1\n");
        assert_eq!(
            run("-w net/ipv4/conf/lo/rp_filter = 2 net.ipv4.conf.all.rp_filter=1"),
            "net.ipv4.conf.lo.rp_filter = 2\nnet.ipv4.conf.all.rp_filter = 1\n"
        );
        assert_eq!(run("-n net.ipv4.conf.default.rp_filter"), "0\n");
        assert_eq!(run("-n net.core.default_qdisc"), "fq_codel\n");
        assert_eq!(
            run("-w net.core.default_qdisc=pfifo_fast"),
            "net.core.default_qdisc = pfifo_fast\n"
        );
    }

    #[test]
    fn refusals_name_the_word() {
        let mut stack = stack();
        let mut say = |line| stack.sysctl(line).unwrap_err().to_string();
        assert_eq!(
            say("-w net.ipv4.nonsense=1"),
            r#"1:4: "net.ipv4.nonsense=1": unknown key"#
        );
        assert_eq!(
            say("net.ipv4.conf.eth9.rp_filter"),
            r#"1:1: "net.ipv4.conf.eth9.rp_filter": no such device"#
        );
        assert_eq!(say("-x a"), r#"1:1: "-x": unknown option"#);
        assert_eq!(say("-q"), "1:3: end of line: a key is missing");
        let wrong = say("net.ipv6.conf.lo.hop_limit=0");
        assert!(wrong.ends_with("0 is not within 1 to 255"), "{wrong}");
        assert_eq!(
            say("net.core.default_qdisc=htb"),
            r#"1:1: "net.core.default_qdisc=htb": "htb" is no qdisc that needs no options (fq_codel, pfifo_fast, pfifo, bfifo, noqueue)"#
        );
        assert!(say("net.ipv4.ip_forward=yes").ends_with(r#""yes" is not a number"#));
    }

    #[test]
    fn every_key_takes_its_own_value() {
        let mut stack = stack();
        for sysctl in TABLES.iter().copied().flatten() {
            for place in ["all", "default", "lo"] {
                let name = sysctl.name.replace('*', place);
                if name.contains(".neigh.all.") {
                    assert!(stack.sysctl(&name).is_err(), "{name}");
                    continue;
                }
                let value = stack.sysctl(&format!("-n {name}")).unwrap();
                let value = value.trim_end();
                stack
                    .sysctl(&format!("-q {name} = '{value}'"))
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(
                    stack.sysctl(&format!("-n {name}")).unwrap().trim_end(),
                    value
                );
            }
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(-[qnwx] )?(net[./]ipv[46][./](conf[./](lo|all)[./])?[a-z_]{0,12} ?=? ?-?[0-9]{0,20} ?|.){0,4}") {
            let _ = stack().sysctl(&line);
        }
    }
}
