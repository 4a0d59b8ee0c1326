//! `sysctl`: settings by name, as `/proc/sys` has them.
//!
//! Each module keeps a list of its keys (`SYSCTLS`); [`TABLES`] collects them. A `*` in a key stands for `all`, `default` or a device.
//! Keys that are not numbers are in [`text`], those without an effect here in [`kept`].

mod config;
mod kept;
mod text;

use crate::command::{CommandError, Word, Words};
use crate::skb::IfIndex;
use crate::stack::Stack;
use kept::{KEPT, Kept};
use std::fmt::Write;
use std::ops::RangeInclusive;
use text::TEXTS;

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

/// A key whose value is a number, and how that is read and written.
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
    /// `sysctl [-n] [-q] [-w] [-e] KEY[=VALUE]…`, with or without the leading word, as typed; `KEY = VALUE` in three words too. Returns what
    /// `sysctl` prints. Errors name unknown keys, unless `-e` says otherwise, and values that the kernel refuses with `EINVAL`.
    pub fn sysctl(&mut self, line: &str) -> Result<String, CommandError> {
        let mut words = Words::new(line)?;
        words.accept("sysctl");
        let (mut quiet, mut values_only, mut ignore) = (false, false, false);
        while let Some(word) = words.peek().filter(|w| w.text.starts_with('-')) {
            let flags = match word.text {
                "--write" => "w",
                "--quiet" => "q",
                "--values" => "n",
                "--ignore" => "e",
                text => &text[1..],
            };
            for flag in flags.chars() {
                match flag {
                    'q' => quiet = true,
                    'n' => values_only = true,
                    'e' => ignore = true,
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
                value = Some(words.expect("a value")?.text);
            }
            let name = canonical(key.trim());
            match self.read_or_write(&name, value.map(str::trim), word)? {
                Some(now) if !(quiet && value.is_some()) => {
                    // What was written is printed as it was typed.
                    let now = value.map_or(now, |typed| typed.trim().to_owned());
                    let _ = match values_only {
                        true => writeln!(out, "{now}"),
                        false => writeln!(out, "{name} = {now}"),
                    };
                }
                Some(_) => {}
                None if ignore => {}
                None => return Err(word.error("unknown key")),
            }
            match words.next() {
                Some(next) => word = next,
                None => return Ok(out),
            }
        }
    }

    /// The value that the key has now, after it was set to `value` if there is one; `None`: there is no such key.
    fn read_or_write(
        &mut self,
        name: &str,
        value: Option<&str>,
        word: Word<'_>,
    ) -> Result<Option<String>, CommandError> {
        if let Some(key) = TEXTS.iter().find(|key| key.name == name) {
            if let Some(value) = value {
                (key.set)(self, value).map_err(|problem| word.error(problem))?;
            }
            return Ok(Some((key.get)(self)));
        }
        if let Some((sysctl, scope)) = self.find_sysctl(name, word)? {
            if let Some(value) = value {
                let number = in_range(value, &sysctl.range).map_err(|p| word.error(p))?;
                (sysctl.set)(self, scope, number);
            }
            return Ok(Some((sysctl.get)(self, scope).to_string()));
        }
        let Some(kept) = self.find_kept(name, word)? else {
            return Ok(None);
        };
        if let Some(value) = value {
            let number = in_range(value, &kept.range).map_err(|p| word.error(p))?;
            if !kept.harmless.is_empty() && !kept.harmless.contains(&number) {
                let effect = "it would change packets in a way that nothing here does";
                return Err(word.error(format!("{number} is not possible here: {effect}")));
            }
            self.kept_sysctls.insert(name.to_owned(), number);
        }
        let now = self.kept_sysctls.get(name).unwrap_or(&kept.default);
        Ok(Some(now.to_string()))
    }

    fn find_sysctl(
        &self,
        name: &str,
        word: Word<'_>,
    ) -> Result<Option<(&'static Sysctl, Scope)>, CommandError> {
        for sysctl in TABLES.iter().copied().flatten() {
            let Some(middle) = at_star(sysctl.name, name) else {
                continue;
            };
            // Neighbours have no settings for all.
            if middle == "all" && sysctl.name.contains(".neigh.") {
                continue;
            }
            return Ok(Some((sysctl, self.scope(middle, word)?)));
        }
        Ok(None)
    }

    /// The value of a key without an effect of its own.
    fn kept(&self, name: &str) -> i64 {
        let default = || KEPT.iter().find(|kept| kept.name == name);
        let set = self.kept_sysctls.get(name).copied();
        set.or_else(|| default().map(|kept| kept.default))
            .unwrap_or(0)
    }

    fn find_kept(&self, name: &str, word: Word<'_>) -> Result<Option<&'static Kept>, CommandError> {
        for kept in KEPT {
            if let Some(middle) = at_star(kept.name, name) {
                self.scope(middle, word)?;
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }

    /// Whose setting a key with `middle` at its `*` is.
    fn scope(&self, middle: &str, word: Word<'_>) -> Result<Scope, CommandError> {
        Ok(match middle {
            "" | "all" => Scope::All,
            "default" => Scope::Default,
            name => {
                let dev = self.device_by_name(name);
                Scope::Dev(dev.ok_or_else(|| word.error("no such device"))?)
            }
        })
    }

    /// The device called `name`.
    pub fn device_by_name(&self, name: &str) -> Option<IfIndex> {
        let device = self.devices.iter().find(|d| d.name == name)?;
        Some(device.index)
    }
}

/// A number within the range.
fn in_range(value: &str, range: &RangeInclusive<i64>) -> Result<i64, String> {
    let number = text::number(value)?;
    let (least, most) = (range.start(), range.end());
    match range.contains(&number) {
        true => Ok(number),
        false if least == most => Err(format!("only {least} is possible here")),
        false => Err(format!("{number} is not within {least} to {most}")),
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
    fn what_would_change_packets_is_refused_by_name() {
        let mut stack = stack();
        for (key, taken, refused) in [
            ("ipv4.tcp_ecn", &[0, 2][..], &[1][..]),
            ("ipv4.tcp_syncookies", &[0, 1], &[2]),
            ("ipv4.tcp_mtu_probing", &[0], &[1]),
            ("ipv4.tcp_fastopen", &[0, 1, 3], &[4]),
            ("ipv4.tcp_rfc1337", &[0], &[1]),
            ("ipv4.tcp_reflect_tos", &[0, 1], &[]),
            ("bridge.bridge-nf-call-iptables", &[0, 1], &[]),
        ] {
            for value in taken {
                let line = format!("-qw net.{key}={value}");
                assert_eq!(stack.sysctl(&line), Ok(String::new()), "{line}");
            }
            for value in refused {
                let said = stack.sysctl(&format!("-qw net.{key}={value}"));
                let said = said.unwrap_err().to_string();
                assert!(said.contains(key) && said.contains("possible"), "{said}");
            }
        }
    }

    #[test]
    fn kept_keys_take_their_defaults() {
        let mut stack = stack();
        for kept in KEPT {
            let name = kept.name.replace('*', "default");
            let line = format!("-qw {name}={}", kept.default);
            assert_eq!(stack.sysctl(&line), Ok(String::new()), "{line}");
        }
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
