//! `action …` of a filter (tc/m_*.c).

use super::ActionConfig;
use super::units::{Rate, Size};
use crate::command::{CommandError, Word, Words};
use crate::sched::act::police::{DEFAULT_MTU, Police};
use crate::sched::act::{ActionKind, Mirred, Skbedit};
use crate::sched::cls::Verdict;
use crate::sched::handle::Handle;
use crate::sched::ratecfg::{RateCfg, xmittime};
use crate::skb::IfIndex;

/// Finds a device by its name.
pub(super) type FindDevice<'a> = &'a dyn Fn(&mut Words<'_>) -> Result<IfIndex, CommandError>;

/// `action_a2n()`.
fn verdict(text: &str) -> Option<Verdict> {
    Some(match text {
        "pass" | "ok" => Verdict::Ok,
        "drop" | "shot" => Verdict::Shot,
        "continue" => Verdict::Unspec,
        "pipe" => Verdict::Pipe,
        "reclassify" => Verdict::Reclassify,
        "stolen" => Verdict::Stolen,
        _ => return None,
    })
}

fn optional_verdict(words: &mut Words<'_>) -> Option<Verdict> {
    let found = verdict(words.peek()?.text)?;
    words.next();
    Some(found)
}

/// Reads what follows the word `action`: one action.
pub(super) fn read(
    words: &mut Words<'_>,
    find: FindDevice<'_>,
) -> Result<ActionConfig, CommandError> {
    let kind = words.expect("an action")?;
    let kind = match kind.text {
        "mirred" => ActionKind::Mirred(mirred(words, find)?),
        "police" => ActionKind::Police(police(words)?),
        "skbedit" => ActionKind::Skbedit(skbedit(words)?),
        "gact" => {
            let word = words.expect("pass, drop, …")?;
            let said = verdict(word.text);
            ActionKind::Gact(said.ok_or_else(|| word.error("unknown verdict"))?)
        }
        text => match verdict(text) {
            Some(verdict) => ActionKind::Gact(verdict),
            None => return Err(kind.error("unknown action")),
        },
    };
    let index = index(words)?;
    Ok(ActionConfig { kind, index })
}

/// `police …` without the word `action`.
pub(super) fn read_police(words: &mut Words<'_>) -> Result<ActionConfig, CommandError> {
    let kind = ActionKind::Police(police(words)?);
    let index = index(words)?;
    Ok(ActionConfig { kind, index })
}

fn index(words: &mut Words<'_>) -> Result<u32, CommandError> {
    match words.accept("index") {
        true => words.parse("a number"),
        false => Ok(0),
    }
}

/// `mirred egress|ingress redirect|mirror dev NAME [VERDICT]`.
fn mirred(words: &mut Words<'_>, find: FindDevice<'_>) -> Result<Mirred, CommandError> {
    let direction = words.expect("egress or ingress")?;
    let ingress = match direction.text {
        "egress" => false,
        "ingress" => true,
        _ => return Err(direction.error("not egress or ingress")),
    };
    let what = words.expect("redirect or mirror")?;
    let mirror = match what.text {
        "mirror" => true,
        "redirect" => false,
        _ => return Err(what.error("not redirect or mirror")),
    };
    let dev = words.expect("dev")?;
    if dev.text != "dev" {
        return Err(dev.error("not dev"));
    }
    let dev = find(words)?;
    // parse_direction(): only of what is mirrored something else can be said.
    let verdict = match mirror {
        true => optional_verdict(words).unwrap_or(Verdict::Pipe),
        false => Verdict::Stolen,
    };
    Ok(Mirred {
        dev,
        ingress,
        mirror,
        verdict,
    })
}

/// `police rate RATE burst SIZE [mtu SIZE] [conform-exceed EXCEED[/CONFORM]]`, and the older `drop` or `pass` at the end.
fn police(words: &mut Words<'_>) -> Result<Police, CommandError> {
    let (mut rate, mut burst, mut mtu, mut overhead, mut mpu) = (None, None, DEFAULT_MTU, 0, 0);
    let (mut exceed, mut conform) = (Verdict::Reclassify, None);
    while let Some(word) = words.peek() {
        if let Some(said) = optional_verdict(words) {
            exceed = said;
            continue;
        }
        let known = matches!(
            word.text,
            "rate"
                | "burst"
                | "buffer"
                | "maxburst"
                | "mtu"
                | "minburst"
                | "overhead"
                | "mpu"
                | "conform-exceed"
                | "action"
        );
        // A second `action` belongs to the filter.
        if !known || word.text == "action" {
            break;
        }
        words.next();
        match word.text {
            "rate" => {
                let word = words.expect("a rate")?;
                rate = Some(word.parse::<Rate>("a rate")?.0).filter(|rate| *rate > 0);
                rate.ok_or_else(|| word.error("a rate of 0 lets nothing pass"))?;
            }
            "burst" | "buffer" | "maxburst" => burst = Some(words.parse::<Size>("a size")?.0),
            "mtu" | "minburst" => mtu = words.parse::<Size>("a size")?.0 as u32,
            "overhead" => overhead = words.parse("a number of bytes")?,
            "mpu" => mpu = words.parse("a number of bytes")?,
            _ => (exceed, conform) = conform_exceed(words.expect("a verdict")?)?,
        }
    }
    let (Some(rate), Some(burst)) = (rate, burst) else {
        return Err(words.end_error("\"rate\" and \"burst\" are required"));
    };
    let cfg = RateCfg::new(rate, overhead, mpu);
    Ok(Police::new(
        cfg,
        xmittime(rate, burst),
        mtu,
        exceed,
        conform,
    ))
}

fn conform_exceed(word: Word<'_>) -> Result<(Verdict, Option<Verdict>), CommandError> {
    let read = |text: &str| verdict(text).ok_or_else(|| word.error("unknown verdict"));
    match word.text.split_once('/') {
        Some((exceed, conform)) => Ok((read(exceed)?, Some(read(conform)?))),
        None => Ok((read(word.text)?, None)),
    }
}

/// `skbedit [mark VALUE[/MASK]] [priority CLASS] [queue_mapping N] [VERDICT]`.
fn skbedit(words: &mut Words<'_>) -> Result<Skbedit, CommandError> {
    let mut edit = Skbedit {
        priority: None,
        mark: None,
        queue_mapping: None,
        verdict: Verdict::Pipe,
    };
    while let Some(word) = words.peek() {
        if let Some(said) = optional_verdict(words) {
            edit.verdict = said;
            break;
        }
        match word.text {
            "mark" => {
                words.next();
                edit.mark = Some(mark(words.expect("a mark")?)?);
            }
            "priority" => {
                words.next();
                let class: Handle = words.parse("a class or priority (hexadecimal)")?;
                edit.priority = Some(class.0);
            }
            "queue_mapping" => {
                words.next();
                edit.queue_mapping = Some(words.parse("a queue")?);
            }
            _ => break,
        }
    }
    if (edit.priority, edit.mark, edit.queue_mapping) == (None, None, None) {
        return Err(words.end_error("mark, priority or queue_mapping is required"));
    }
    Ok(edit)
}

/// `VALUE[/MASK]`, decimal or hexadecimal behind `0x`.
pub(super) fn mark(word: Word<'_>) -> Result<(u32, u32), CommandError> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        _ => text.parse().ok(),
    };
    let (value, mask) = match word.text.split_once('/') {
        Some((value, mask)) => (number(value), number(mask)),
        None => (number(word.text), Some(u32::MAX)),
    };
    value
        .zip(mask)
        .ok_or_else(|| word.error("not a mark (VALUE or VALUE/MASK)"))
}
