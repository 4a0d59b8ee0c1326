//! Expressions, values and elements.

use super::object::single;
use super::{Fields, Written, bare, problem, quoted, stmt};
use serde_json::Value;

/// A value or a computed one, as text.
pub(super) fn expr(value: &Value) -> Written<String> {
    match value {
        Value::Number(n) => Ok(n.to_string()),
        Value::Bool(true) => Ok("exists".to_owned()),
        Value::Bool(false) => Ok("missing".to_owned()),
        Value::String(text) => match text.strip_prefix('@') {
            Some(set) => Ok(format!("@{}", bare(set)?)),
            None if text == "*" => Ok("*".to_owned()),
            // nft 1.0.6 of ports whose protocol it does not see.
            None if text.ends_with(" [invalid type]") => {
                Ok(bare(text.trim_end_matches(" [invalid type]"))?.to_owned())
            }
            None => quoted(text),
        },
        // Flags.
        Value::Array(items) => {
            let items: Written<Vec<_>> = items.iter().map(expr).collect();
            Ok(items?.join(","))
        }
        Value::Null => problem("null", "is no expression"),
        Value::Object(_) => match single(value) {
            Some((kind, inner)) => named(kind, inner),
            None => problem(value, "expected an object with one member"),
        },
    }
}

/// The data of a map's element: a verdict or a value.
pub(super) fn data(value: &Value) -> Written<String> {
    match single(value) {
        Some(("accept" | "drop" | "continue" | "return" | "jump" | "goto", _)) => stmt::stmt(value),
        _ => expr(value),
    }
}

fn list(value: &Value) -> Written<&[Value]> {
    match value {
        Value::Array(items) => Ok(items),
        other => problem(other, "expected an array"),
    }
}

/// Operands of an operator; flags are put together.
fn operand(value: &Value) -> Written<String> {
    match value {
        Value::Array(flags) => {
            let flags: Written<Vec<_>> = flags.iter().map(expr).collect();
            Ok(format!("({})", flags?.join(" | ")))
        }
        Value::Object(_) => match single(value) {
            Some(("|" | "&" | "^" | "<<" | ">>", _)) => Ok(format!("({})", expr(value)?)),
            _ => expr(value),
        },
        other => expr(other),
    }
}

fn named(kind: &str, value: &Value) -> Written<String> {
    match kind {
        "|" | "&" | "^" | "<<" | ">>" => {
            let mut operands = list(value)?.iter();
            let Some(first) = operands.next() else {
                return problem(kind, "has no operands");
            };
            // The first operand may be a chain of operators itself; parentheses around an expression are no constant.
            let mut text = match single(first) {
                Some(("|" | "&" | "^" | "<<" | ">>", _)) => expr(first)?,
                _ => operand(first)?,
            };
            for next in operands {
                text.push_str(&format!(" {kind} {}", operand(next)?));
            }
            Ok(text)
        }
        "concat" => {
            let parts: Written<Vec<_>> = list(value)?.iter().map(expr).collect();
            Ok(parts?.join(" . "))
        }
        "range" => match list(value)? {
            [low, high] => Ok(format!("{}-{}", expr(low)?, expr(high)?)),
            _ => problem("range", "has two ends"),
        },
        "prefix" => {
            let mut f = Fields::new(value, kind)?;
            let addr = expr(f.need("addr")?)?;
            let len = f.number("len")?.unwrap_or(0);
            f.done()?;
            Ok(format!("{addr}/{len}"))
        }
        "set" => set(value),
        "map" => {
            let mut f = Fields::new(value, kind)?;
            let text = format!(
                "{} map {}",
                expr(f.need("key")?)?,
                set_data(f.need("data")?)?
            );
            f.done()?;
            Ok(text)
        }
        "elem" => element(&serde_json::json!({ "elem": value })),
        kind => field(kind, value),
    }
}

/// `@name`, or elements.
pub(super) fn set_data(value: &Value) -> Written<String> {
    match single(value) {
        Some(("set", elems)) => set(elems),
        _ => expr(value),
    }
}

fn set(value: &Value) -> Written<String> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut texts = Vec::new();
    for item in items {
        texts.push(match item {
            Value::Array(pair) => match pair.as_slice() {
                [key, value] => format!("{} : {}", element(key)?, data(value)?),
                _ => return problem(item, "a map's element is a pair"),
            },
            one => element(one)?,
        });
    }
    Ok(format!("{{ {} }}", texts.join(", ")))
}

/// A key, with what an element has besides.
pub(super) fn element(value: &Value) -> Written<String> {
    let Some(("elem", inner)) = single(value) else {
        return expr(value);
    };
    let mut f = Fields::new(inner, "elem")?;
    let mut text = expr(f.need("val")?)?;
    for stateful in ["counter", "limit", "quota"] {
        if let Some(state) = f.get(stateful) {
            let one = serde_json::json!({ stateful: state });
            text.push_str(&format!(" {}", stmt::stmt(&one)?));
        }
    }
    for time in ["timeout", "expires"] {
        if let Some(seconds) = f.number(time)? {
            text.push_str(&format!(" {time} {seconds}s"));
        }
    }
    if let Some(comment) = f.string("comment")? {
        text.push_str(&format!(" comment {}", quoted(comment)?));
    }
    f.done()?;
    Ok(text)
}

/// Fields of the packet and about it.
fn field(kind: &str, value: &Value) -> Written<String> {
    let mut f = Fields::new(value, kind)?;
    let text = match kind {
        "meta" => format!("meta {}", bare(f.string("key")?.unwrap_or_default())?),
        "payload" => match f.string("base")? {
            Some(base) => {
                let offset = f.number("offset")?.unwrap_or(0);
                let len = f.number("len")?.unwrap_or(0);
                format!("@{},{offset},{len}", bare(base)?)
            }
            None => {
                let protocol = bare(f.string("protocol")?.unwrap_or_default())?;
                // `saddr ip` of ARP is two words.
                let field = f.string("field")?.unwrap_or_default();
                let words: Written<Vec<_>> = field.split(' ').map(bare).collect();
                format!("{protocol} {}", words?.join(" "))
            }
        },
        "ct" => {
            let mut text = "ct".to_owned();
            for part in ["dir", "family"] {
                if let Some(word) = f.string(part)? {
                    text.push_str(&format!(" {}", bare(word)?));
                }
            }
            let key = f.string("key")?.unwrap_or_default();
            let words: Written<Vec<_>> = key.split(' ').map(bare).collect();
            format!("{text} {}", words?.join(" "))
        }
        "exthdr" | "tcp option" | "ip option" | "sctp chunk" => {
            // An option by its number: all of it, or some bits.
            if let (Some(number), offset, len) =
                (f.number("base")?, f.number("offset")?, f.number("len")?)
            {
                return Ok(match (offset.unwrap_or(0), len.unwrap_or(8)) {
                    (0, 8) => format!("{kind} {number}"),
                    (offset, len) => format!("{kind} @{number},{offset},{len}"),
                });
            }
            let name = bare(f.string("name")?.unwrap_or_default())?;
            // `sid[1]` is a word and a number.
            let indexed = |field: &str| {
                let (word, index) = field.strip_suffix(']')?.split_once('[')?;
                let number = index.bytes().all(|b| b.is_ascii_digit());
                (number && bare(word).is_ok()).then(|| field.to_owned())
            };
            let field = match f.string("field")? {
                None => None,
                Some(field) => Some(match indexed(field) {
                    Some(field) => field,
                    None => bare(field)?.to_owned(),
                }),
            };
            match (kind, field) {
                ("exthdr", Some(field)) => format!("{name} {field}"),
                (kind, Some(field)) => format!("{kind} {name} {field}"),
                (kind, None) => format!("{kind} {name}"),
            }
        }
        "ipsec" => {
            let dir = bare(f.string("dir")?.unwrap_or_default())?;
            let number = f.number("spnum")?.unwrap_or(0);
            let family = f.string("family")?.map(bare).transpose()?;
            let family = family.map_or(String::new(), |family| format!("{family} "));
            let key = bare(f.string("key")?.unwrap_or_default())?;
            format!("ipsec {dir} spnum {number} {family}{key}")
        }
        "fib" => {
            let flags: Written<Vec<_>> = f.words("flags")?.into_iter().map(bare).collect();
            let result = bare(f.string("result")?.unwrap_or_default())?;
            format!("fib {} {result}", flags?.join(" . "))
        }
        "rt" => {
            let family = f.string("family")?.map(bare).transpose()?;
            let key = bare(f.string("key")?.unwrap_or_default())?;
            match family {
                Some(family) => format!("rt {family} {key}"),
                None => format!("rt {key}"),
            }
        }
        "numgen" => {
            let mode = bare(f.string("mode")?.unwrap_or_default())?;
            let modulus = f.number("mod")?.unwrap_or(0);
            let offset = f.number("offset")?.unwrap_or(0);
            format!("numgen {mode} mod {modulus} offset {offset}")
        }
        "jhash" | "symhash" => {
            let modulus = f.number("mod")?.unwrap_or(0);
            let offset = f.number("offset")?.unwrap_or(0);
            let mut text = kind.to_owned();
            if kind == "jhash" {
                text.push_str(&format!(" {}", expr(f.need("expr")?)?));
            }
            text.push_str(&format!(" mod {modulus}"));
            if let Some(seed) = f.number("seed")? {
                text.push_str(&format!(" seed {seed}"));
            }
            format!("{text} offset {offset}")
        }
        kind => return problem(kind, "is not supported"),
    };
    f.done()?;
    Ok(text)
}
