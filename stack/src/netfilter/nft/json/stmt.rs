//! Statements.

use super::expr::{expr, set_data};
use super::object::single;
use super::{Fields, Written, bare, problem, quoted};
use serde_json::Value;

/// Changes of maps have no form in the JSON of nft 1.0.6, which prints them in its own language.
fn is_map_update(text: &str) -> bool {
    let starts = ["add @", "update @", "delete @"];
    starts.iter().any(|start| text.starts_with(start)) && !text.contains(['\n', ';', '#'])
}

/// A statement as text.
pub(super) fn stmt(value: &Value) -> Written<String> {
    if value.as_str() == Some("notrack") {
        return Ok("notrack".to_owned());
    }
    if let Some(text) = value.as_str().filter(|text| is_map_update(text)) {
        return Ok(text.to_owned());
    }
    let Some((kind, inner)) = single(value) else {
        return problem(value, "expected an object with one member");
    };
    match kind {
        "accept" | "drop" | "continue" | "return" | "notrack" => Ok(kind.to_owned()),
        "jump" | "goto" => {
            let mut f = Fields::new(inner, kind)?;
            let target = bare(f.string("target")?.unwrap_or_default())?;
            f.done()?;
            Ok(format!("{kind} {target}"))
        }
        "match" => relation(inner),
        "vmap" => {
            let mut f = Fields::new(inner, kind)?;
            let text = format!(
                "{} vmap {}",
                expr(f.need("key")?)?,
                set_data(f.need("data")?)?
            );
            f.done()?;
            Ok(text)
        }
        "mangle" => {
            let mut f = Fields::new(inner, kind)?;
            let text = format!("{} set {}", expr(f.need("key")?)?, expr(f.need("value")?)?);
            f.done()?;
            Ok(text)
        }
        "counter" | "limit" | "quota" => stateful(kind, inner),
        "ct count" => {
            let mut f = Fields::new(inner, kind)?;
            let over = if f.flag("inv") { "over " } else { "" };
            let text = format!("ct count {over}{}", f.number("val")?.unwrap_or(0));
            f.done()?;
            Ok(text)
        }
        "dup" | "fwd" => {
            let mut f = Fields::new(inner, kind)?;
            let dev = f.need(if kind == "dup" { "addr" } else { "dev" })?;
            let mut text = format!("{kind} to {}", expr(dev)?);
            if let Some(dev) = f.get("dev") {
                text += &format!(" device {}", expr(dev)?);
            }
            f.done()?;
            Ok(text)
        }
        "reset" => Ok(format!("reset {}", expr(inner)?)),
        "meter" => {
            let mut f = Fields::new(inner, kind)?;
            let name = bare(f.string("name")?.unwrap_or_default())?;
            let size = f.number("size")?.map(|n| format!(" size {n}"));
            let key = super::expr::element(f.need("key")?)?;
            let each = stmt(f.need("stmt")?)?;
            f.done()?;
            let size = size.unwrap_or_default();
            Ok(format!("meter {name}{size} {{ {key} {each} }}"))
        }
        "ct helper" | "ct timeout" | "ct expectation" => match inner.as_str() {
            Some(name) => Ok(format!("{kind} set {}", quoted(name)?)),
            None => problem(inner, "expected the name of an object"),
        },
        "log" => log(inner),
        "reject" => reject(inner),
        "snat" | "dnat" | "masquerade" | "redirect" => nat(kind, inner),
        "set" => {
            let mut f = Fields::new(inner, kind)?;
            let op = bare(f.string("op")?.unwrap_or_default())?;
            let set = f.string("set")?.unwrap_or_default();
            let set = bare(set.strip_prefix('@').unwrap_or(set))?;
            let mut text = format!("{op} @{set} {{ {}", super::expr::element(f.need("elem")?)?);
            if let Some(stmts) = f.get("stmt").and_then(Value::as_array) {
                for one in stmts {
                    text.push_str(&format!(" {}", stmt(one)?));
                }
            }
            f.done()?;
            Ok(text + " }")
        }
        kind => problem(kind, "is not supported"),
    }
}

fn relation(value: &Value) -> Written<String> {
    let mut f = Fields::new(value, "match")?;
    let left = expr(f.need("left")?)?;
    let op = match f.string("op")?.unwrap_or("==") {
        // What is in a list of flags.
        "in" => "",
        op @ ("==" | "!=" | "<" | ">" | "<=" | ">=" | "!") => op,
        op => return problem(op, "is no comparison"),
    };
    let right = f.need("right")?;
    // `==` with several flags is written with bars, a list with commas.
    let right = match right {
        Value::Array(flags) if !op.is_empty() && op != "!" => {
            let flags: Written<Vec<_>> = flags.iter().map(expr).collect();
            flags?.join(" | ")
        }
        right => set_data(right)?,
    };
    f.done()?;
    Ok(format!("{left} {op} {right}"))
}

fn stateful(kind: &str, value: &Value) -> Written<String> {
    match value {
        Value::Null => Ok(kind.to_owned()),
        Value::String(name) => Ok(format!("{kind} name {}", quoted(name)?)),
        value if single(value).is_some_and(|(inner, _)| inner == "map") => {
            Ok(format!("{kind} name {}", expr(value)?))
        }
        value => {
            let mut f = Fields::new(value, kind)?;
            let text = match kind {
                "counter" => {
                    let packets = f.number("packets")?.unwrap_or(0);
                    let bytes = f.number("bytes")?.unwrap_or(0);
                    format!("counter packets {packets} bytes {bytes}")
                }
                "limit" => format!("limit {}", limit(&mut f)?),
                _ => {
                    let over = if f.flag("inv") { "over " } else { "" };
                    let val = f.number("val")?.unwrap_or(0);
                    let unit = bare(f.string("val_unit")?.unwrap_or("bytes"))?;
                    let used = f.number("used")?.unwrap_or(0);
                    let used_unit = bare(f.string("used_unit")?.unwrap_or("bytes"))?;
                    format!("quota {over}{val} {unit} used {used} {used_unit}")
                }
            };
            f.done()?;
            Ok(text)
        }
    }
}

/// Behind the word `limit`.
pub(super) fn limit(f: &mut Fields<'_>) -> Written<String> {
    let over = if f.flag("inv") { "over " } else { "" };
    let rate = f.number("rate")?.unwrap_or(0);
    // Objects say it in another word than statements.
    let unit = f.string("rate_unit")?.or(f.string("unit")?);
    let per = bare(f.string("per")?.unwrap_or("second"))?;
    let burst = f.number("burst")?;
    let burst_unit = f.string("burst_unit")?;
    let mut text = format!("rate {over}{rate}");
    let bytes = unit.filter(|u| *u != "packets");
    if let Some(unit) = bytes {
        text.push_str(&format!(" {}", bare(unit)?));
    }
    text.push_str(&format!("/{per}"));
    if let Some(burst) = burst {
        let default = if bytes.is_some() { "bytes" } else { "packets" };
        text.push_str(&format!(
            " burst {burst} {}",
            bare(burst_unit.unwrap_or(default))?
        ));
    }
    Ok(text)
}

fn log(value: &Value) -> Written<String> {
    let mut text = "log".to_owned();
    if value.is_null() {
        return Ok(text);
    }
    let mut f = Fields::new(value, "log")?;
    if let Some(prefix) = f.string("prefix")? {
        text.push_str(&format!(" prefix {}", quoted(prefix)?));
    }
    for number in ["group", "snaplen", "queue-threshold"] {
        if let Some(n) = f.number(number)? {
            text.push_str(&format!(" {number} {n}"));
        }
    }
    if let Some(level) = f.string("level")? {
        text.push_str(&format!(" level {}", bare(level)?));
    }
    for flag in f.words("flags")? {
        let words: Written<Vec<_>> = flag.split(' ').map(bare).collect();
        text.push_str(&format!(" flags {}", words?.join(" ")));
    }
    f.done()?;
    Ok(text)
}

fn reject(value: &Value) -> Written<String> {
    if value.is_null() {
        return Ok("reject".to_owned());
    }
    let mut f = Fields::new(value, "reject")?;
    let kind = f.string("type")?;
    let code = f.get("expr").map(expr).transpose()?;
    f.done()?;
    Ok(match (kind, code) {
        (None, _) => "reject".to_owned(),
        (Some("tcp reset"), _) => "reject with tcp reset".to_owned(),
        (Some(kind), None) => format!("reject with {}", bare(kind)?),
        (Some(kind), Some(code)) => format!("reject with {} {code}", bare(kind)?),
    })
}

fn nat(kind: &str, value: &Value) -> Written<String> {
    if value.is_null() {
        return Ok(kind.to_owned());
    }
    let mut f = Fields::new(value, kind)?;
    let mut text = kind.to_owned();
    let family = f.string("family")?;
    // A prefix is told in either of two ways.
    let flags = f.words("flags")?;
    let prefix = f.words("type_flags")?.contains(&"prefix") || flags.contains(&"netmap");
    let flags = flags.into_iter().filter(|flag| *flag != "netmap");
    let addr = f.get("addr");
    let port = f.get("port");
    if let Some(family) = family.filter(|_| addr.is_some()) {
        text.push_str(&format!(" {}", bare(family)?));
    }
    if prefix {
        text.push_str(" prefix");
    }
    if addr.is_some() || port.is_some() {
        text.push_str(" to ");
    }
    if let Some(addr) = addr {
        let v6 = |v: &Value| v.as_str().is_some_and(|a| a.contains(':'));
        let range = match single(addr) {
            Some(("range", ends)) => ends.as_array().map(Vec::as_slice),
            _ => None,
        };
        match (range, port) {
            // With a port an IPv6 address stands in brackets.
            (Some([low, high]), Some(_)) if v6(low) => {
                text.push_str(&format!("[{}]-[{}]", expr(low)?, expr(high)?));
            }
            (None, Some(_)) if v6(addr) => text.push_str(&format!("[{}]", expr(addr)?)),
            _ => text.push_str(&expr(addr)?),
        }
    }
    if let Some(port) = port {
        text.push_str(&format!(":{}", expr(port)?));
    }
    let flags: Written<Vec<_>> = flags.map(bare).collect();
    text.push_str(&format!(" {}", flags?.join(",")));
    f.done()?;
    Ok(text)
}
