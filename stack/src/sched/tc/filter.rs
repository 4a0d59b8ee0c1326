//! `tc filter` (`tc_new_tfilter()`, net/sched/cls_api.c; tc/f_*.c).

use super::{FilterConfig, FilterKind, Flags, Refusal, U32Keys, Verb, action};
use crate::command::{CommandError, Word, Words};
use crate::sched::cls::bpf::{SharedProgram, TcProgram};
use crate::sched::cls::{ETH_P_ALL, FilterChains, FilterIds, LL_PROTOCOLS};
use crate::sched::handle::Handle;
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::cell::RefCell;
use std::rc::Rc;

/// What stands before the kind of a filter.
struct Head<'a> {
    dev: Option<IfIndex>,
    parent: Handle,
    parent_word: Option<Word<'a>>,
    prio: u16,
    protocol: u16,
    handle: Option<Word<'a>>,
}

impl Stack {
    /// Makes a program known to `tc filter … bpf`, under `name`; it replaces one of that name for filters that are added from then on.
    pub fn tc_add_program(&mut self, name: &str, program: Box<dyn TcProgram>) {
        let program: SharedProgram = Rc::new(RefCell::new(program));
        self.tc.programs.insert(name.to_owned(), program);
    }

    pub(super) fn tc_filter(
        &mut self,
        words: &mut Words<'_>,
        flags: Flags,
    ) -> Result<String, CommandError> {
        let verb = Verb::read(words)?;
        let head = self.filter_head(words)?;
        let Some(dev) = head.dev else {
            return Err(words.end_error("\"dev\" is required"));
        };
        if verb == Verb::Show {
            words.finish()?;
            let place = head.parent_word.map(|_| head.parent);
            return Ok(self.list_filters(dev, place, flags));
        }
        let end = words.end_error("");
        let blame = words.peek().or(head.parent_word);
        let refused = |refusal: Refusal| match blame {
            Some(word) => refusal.at(word),
            None => CommandError {
                problem: refusal.to_string(),
                ..end
            },
        };
        if verb == Verb::Delete {
            while words.next().is_some() {}
            let handle = head.handle.map(|word| word.text);
            self.with_filters(dev, head.parent, |filters, _, _| {
                filters.delete(head.prio, head.protocol, handle)
            })
            .map_err(refused)?;
            return Ok(String::new());
        }
        if verb == Verb::Change {
            return Err(words.end_error("filters are added and deleted"));
        }
        let config = self.filter_config(words, &head)?;
        let now = self.sched_now();
        self.with_filters(dev, head.parent, |filters, qdisc, ids| {
            filters.add(config, qdisc, now, ids)
        })
        .map_err(refused)?;
        Ok(String::new())
    }

    fn filter_head<'a>(&self, words: &mut Words<'a>) -> Result<Head<'a>, CommandError> {
        let mut head = Head {
            dev: None,
            parent: Handle::NONE,
            parent_word: None,
            prio: 0,
            protocol: ETH_P_ALL,
            handle: None,
        };
        while let Some(word) = words.peek() {
            match word.text {
                "dev" => {
                    words.next();
                    head.dev = Some(self.tc_device(words)?);
                    continue;
                }
                "parent" => {
                    words.next();
                    head.parent_word = words.peek();
                    head.parent = words.parse("a class or qdisc")?;
                    continue;
                }
                "root" => (head.parent, head.parent_word) = (Handle::NONE, Some(word)),
                "ingress" => (head.parent, head.parent_word) = (Handle::MIN_INGRESS, Some(word)),
                "egress" => (head.parent, head.parent_word) = (Handle::MIN_EGRESS, Some(word)),
                "prio" | "pref" | "preference" => {
                    words.next();
                    head.prio = words.parse("a priority, 0 to 65535")?;
                    continue;
                }
                "protocol" => {
                    words.next();
                    head.protocol = protocol(words.expect("a protocol")?)?;
                    continue;
                }
                "handle" => {
                    words.next();
                    head.handle = Some(words.expect("a handle")?);
                    continue;
                }
                "chain" => {
                    words.next();
                    let chain = words.expect("a chain")?;
                    if chain.text != "0" {
                        return Err(chain.error("only chain 0 is known here"));
                    }
                    continue;
                }
                _ => break,
            }
            words.next();
        }
        Ok(head)
    }

    fn filter_config(
        &self,
        words: &mut Words<'_>,
        head: &Head<'_>,
    ) -> Result<FilterConfig, CommandError> {
        let word = words.expect("a kind of filter")?;
        let mut node = None;
        match (head.handle, word.text) {
            (None, _) | (_, "fw") => {}
            (Some(handle), "u32") => node = Some(u32_handle(handle)?),
            (Some(handle), _) => {
                return Err(handle.error("only filters of kind u32 and fw are added with a handle"));
            }
        }
        let mut kind = match word.text {
            "u32" => FilterKind::U32(U32Keys::default()),
            "matchall" => FilterKind::Matchall,
            "fw" => FilterKind::Fw(head.handle.map(action::mark).transpose()?),
            "bpf" => self.bpf(words)?,
            _ => return Err(word.error("TC classifier not found")),
        };
        let (mut classid, mut actions) = (None, Vec::new());
        let find = |words: &mut Words<'_>| self.tc_device(words);
        while let Some(option) = words.next() {
            match (option.text, &mut kind) {
                ("match", FilterKind::U32(keys)) => keys.read(words)?,
                ("classid" | "flowid", _) => classid = Some(words.parse("a class")?),
                ("action", _) => actions.push(action::read(words, &find)?),
                ("police", _) => actions.push(action::read_police(words)?),
                _ => return Err(option.error(format!("unknown option of {}", word.text))),
            }
        }
        if matches!(&kind, FilterKind::U32(keys) if keys.0.is_empty()) {
            return Err(words.end_error("\"match\" is required"));
        }
        Ok(FilterConfig {
            prio: head.prio,
            protocol: head.protocol,
            kind,
            node,
            classid,
            actions,
        })
    }

    /// `bpf [direct-action] object-pinned NAME`, or `object-file NAME [section NAME]` for a program known as `NAME:SECTION`.
    fn bpf(&self, words: &mut Words<'_>) -> Result<FilterKind, CommandError> {
        let (mut direct_action, mut name, mut section) = (false, None, None);
        while let Some(word) = words.peek() {
            match word.text {
                "da" | "direct-action" => direct_action = true,
                "object-pinned" | "pinned" | "pin" | "object-file" | "object" | "obj" => {
                    words.next();
                    name = words.peek();
                }
                "section" | "sec" => {
                    words.next();
                    section = words.peek();
                }
                _ => break,
            }
            words.next();
        }
        let Some(word) = name else {
            return Err(words.end_error("a program is missing"));
        };
        let name = match section {
            Some(section) => format!("{}:{}", word.text, section.text),
            None => word.text.to_owned(),
        };
        let program = self.tc.programs.get(&name);
        let program = program.ok_or_else(|| word.error(format!("no program {name:?} is known")))?;
        Ok(FilterKind::Bpf {
            name,
            program: Rc::clone(program),
            direct_action,
        })
    }

    /// Does something with the filters at a place (`tcf_block_find()`).
    fn with_filters(
        &mut self,
        dev: IfIndex,
        parent: Handle,
        act: impl FnOnce(&mut FilterChains, Handle, &mut FilterIds) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let index = (dev.0 as usize).checked_sub(1).ok_or(Refusal::NoParent)?;
        let device = self.devices.get_mut(index).ok_or(Refusal::NoParent)?;
        let ids = &mut self.tc.ids;
        if parent.major() == u16::MAX {
            let clsact = device.clsact.as_mut().ok_or(Refusal::NoParent)?;
            clsact.ingress.share_tables(&mut clsact.egress);
            return match parent {
                Handle::MIN_EGRESS if clsact.clsact => act(&mut clsact.egress, Handle::CLSACT, ids),
                Handle::MIN_EGRESS => Err(Refusal::NotThere("ingress")),
                _ => act(&mut clsact.ingress, Handle::CLSACT, ids),
            };
        }
        let root = device.qdisc.root.as_mut().ok_or(Refusal::NoParent)?;
        let handle = match parent {
            Handle::NONE => root.sch.handle,
            parent => parent.class(0),
        };
        let acted = root.act_below(handle, |qdisc| {
            if !matches!(qdisc.ops.kind(), "htb" | "prio" | "fq_codel") {
                return Err(Refusal::NotThere(qdisc.ops.kind()));
            }
            match parent.minor() {
                0 => act(&mut qdisc.sch.filters, handle, ids),
                _ => match qdisc.ops.class_filters(parent) {
                    Some(filters) => act(filters, handle, ids),
                    None => Err(Refusal::NoClass(parent)),
                },
            }
        });
        acted.unwrap_or(Err(Refusal::NoParent))
    }
}

/// `get_u32_handle()`: `[TABLE]:[BUCKET]:NODE`, hexadecimal; the table's number (0: whichever it is) and that of the filter in it. There is
/// one bucket.
fn u32_handle(word: Word<'_>) -> Result<(u32, u32), CommandError> {
    let wrong = || word.error("not a handle of a u32 filter ([TABLE]:[BUCKET]:NODE)");
    let number = |text: &str, max: u32| {
        let digits = (!text.starts_with('+')).then_some(text)?;
        let value = u32::from_str_radix(digits, 16).ok()?;
        (value <= max).then_some(value)
    };
    let mut parts = word.text.split(':');
    let (Some(table), Some(bucket), Some(node), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let table = match table {
        "" => Some(0),
        table => number(table, 0xfff),
    };
    let (table, node) = table.zip(number(node, 0xfff)).ok_or_else(wrong)?;
    if !matches!(bucket, "" | "0") || node == 0 {
        return Err(wrong());
    }
    Ok((table, node))
}

/// `ll_proto_a2n()`.
fn protocol(word: Word<'_>) -> Result<u16, CommandError> {
    let named = |(_, name): &&(u16, &str)| name.eq_ignore_ascii_case(word.text);
    Ok(match (LL_PROTOCOLS.iter().find(named), word.text) {
        (Some((protocol, _)), _) => *protocol,
        (None, text) => {
            let digits = text
                .strip_prefix("0x")
                .filter(|digits| !digits.starts_with('+'));
            let number = match digits {
                Some(digits) => u16::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            };
            number.ok_or_else(|| {
                word.error("unknown protocol: all, ip, ipv6, arp, 802.1Q, … or a number")
            })?
        }
    })
}
