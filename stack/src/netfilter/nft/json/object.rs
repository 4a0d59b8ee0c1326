//! Tables, chains, rules, sets, elements, objects; and commands with them.

use super::expr::{data, element};
use super::{Fields, Written, bare, problem, quoted, stmt};
use serde_json::Value;

/// A command of the nft language.
pub(super) struct Command {
    pub text: String,
    /// Order among the objects of a list; `None` for an explicit command.
    pub rank: Option<u8>,
}

/// One member of the array.
pub(super) fn object(value: &Value, out: &mut Vec<Command>) -> Written {
    let Some((kind, inner)) = single(value) else {
        return problem(value, "expected an object with one member");
    };
    match kind {
        "metainfo" => Ok(()),
        "add" | "create" | "insert" | "delete" | "replace" | "flush" | "rename" | "list"
        | "reset" => {
            let Some((kind, inner)) = single(inner) else {
                return problem(inner, "expected an object with one member");
            };
            let start = out.len();
            command(Some(value_verb(value)), kind, inner, out)?;
            for command in &mut out[start..] {
                command.rank = None;
            }
            Ok(())
        }
        kind => command(None, kind, inner, out),
    }
}

/// The only member of an object.
pub(super) fn single(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object().filter(|o| o.len() == 1)?;
    object.iter().next().map(|(k, v)| (k.as_str(), v))
}

fn value_verb(value: &Value) -> &str {
    single(value).map_or("add", |(verb, _)| verb)
}

fn command(verb: Option<&str>, kind: &str, value: &Value, out: &mut Vec<Command>) -> Written {
    let explicit = verb.unwrap_or("add");
    if kind == "ruleset" {
        let text = format!("{explicit} ruleset");
        out.push(Command { text, rank: None });
        return Ok(());
    }
    let mut f = Fields::new(value, kind)?;
    let family = bare(f.string("family")?.unwrap_or("ip"))?;
    if kind == "table" {
        let name = bare(f.string("name")?.unwrap_or_default())?;
        let comment = f.string("comment")?;
        let flags = f.words("flags")?;
        f.get("handle");
        f.done()?;
        let mut text = format!("{explicit} table {family} {name}");
        if matches!(explicit, "add" | "create") && (comment.is_some() || !flags.is_empty()) {
            text.push_str(" {");
            for flag in flags {
                // nft 1.0.6 says the family's name for the only flag that there is.
                let flag = if flag == family { "dormant" } else { flag };
                text.push_str(&format!(" flags {};", bare(flag)?));
            }
            if let Some(comment) = comment {
                text.push_str(&format!(" comment {};", quoted(comment)?));
            }
            text.push_str(" }");
        }
        let rank = Some(0);
        out.push(Command { text, rank });
        return Ok(());
    }
    let table = bare(f.string("table")?.unwrap_or_default())?;
    match kind {
        "chain" => chain(explicit, family, table, f, out),
        "rule" => rule(explicit, family, table, f, out),
        "set" | "map" => set(explicit, kind, family, table, f, out),
        "element" => {
            let name = bare(f.string("name")?.unwrap_or_default())?;
            let elems = elements(f.need("elem")?)?;
            f.done()?;
            out.push(Command {
                text: format!("{explicit} element {family} {table} {name} {{ {elems} }}"),
                rank: Some(4),
            });
            Ok(())
        }
        "counter" | "quota" | "limit" | "ct helper" | "ct timeout" | "ct expectation" => {
            let name = bare(f.string("name")?.unwrap_or_default())?;
            f.get("handle");
            let mut body = String::new();
            if let Some(comment) = f.string("comment")? {
                body.push_str(&format!("comment {}; ", quoted(comment)?));
            }
            body.push_str(&object_body(kind, &mut f)?);
            f.done()?;
            let mut text = format!("{explicit} {kind} {family} {table} {name}");
            if matches!(explicit, "add" | "create") {
                text.push_str(&format!(" {{ {body} }}"));
            }
            let rank = Some(2);
            out.push(Command { text, rank });
            Ok(())
        }
        kind => problem(kind, "is not supported"),
    }
}

fn object_body(kind: &str, f: &mut Fields<'_>) -> Written<String> {
    Ok(match kind {
        "counter" => {
            let packets = f.number("packets")?.unwrap_or(0);
            let bytes = f.number("bytes")?.unwrap_or(0);
            format!("packets {packets} bytes {bytes}")
        }
        "quota" => {
            let over = if f.flag("inv") { "over " } else { "" };
            let bytes = f.number("bytes")?.unwrap_or(0);
            let used = f.number("used")?.unwrap_or(0);
            format!("{over}{bytes} bytes used {used} bytes")
        }
        "limit" => stmt::limit(f)?,
        "ct expectation" => {
            let mut text = format!(
                "protocol {};",
                bare(f.string("protocol")?.unwrap_or("tcp"))?
            );
            for (word, unit, per) in [("dport", "", 1), ("timeout", "s", 1000), ("size", "", 1)] {
                let value = f.number(word)?.unwrap_or(0) / per;
                text.push_str(&format!(" {word} {value}{unit};"));
            }
            if let Some(l3proto) = f.string("l3proto")? {
                text.push_str(&format!(" l3proto {};", bare(l3proto)?));
            }
            text
        }
        "ct timeout" => {
            let mut text = format!(
                "protocol {};",
                bare(f.string("protocol")?.unwrap_or("tcp"))?
            );
            if let Some(l3proto) = f.string("l3proto")? {
                text.push_str(&format!(" l3proto {};", bare(l3proto)?));
            }
            let states = f.get("policy").and_then(Value::as_object);
            let state = |(name, seconds): (&String, &Value)| match seconds.as_u64() {
                Some(seconds) => Ok(format!("{} : {seconds}", bare(name)?)),
                None => problem(seconds, "a state has a number of seconds"),
            };
            let states: Written<Vec<_>> = states.into_iter().flatten().map(state).collect();
            text + &format!(" policy = {{ {} }};", states?.join(", "))
        }
        _ => {
            let helper = quoted(f.string("type")?.unwrap_or_default())?;
            let protocol = bare(f.string("protocol")?.unwrap_or("tcp"))?;
            let mut text = format!("type {helper} protocol {protocol};");
            if let Some(l3proto) = f.string("l3proto")? {
                text.push_str(&format!(" l3proto {};", bare(l3proto)?));
            }
            text
        }
    })
}

fn chain(
    verb: &str,
    family: &str,
    table: &str,
    mut f: Fields<'_>,
    out: &mut Vec<Command>,
) -> Written {
    let name = bare(f.string("name")?.unwrap_or_default())?;
    f.get("handle");
    let mut text = format!("{verb} chain {family} {table} {name}");
    if let Some(new) = f.string("newname")? {
        text.push_str(&format!(" {}", bare(new)?));
    }
    let mut body = String::new();
    if let Some(kind) = f.string("type")? {
        let hook = bare(f.string("hook")?.unwrap_or_default())?;
        body.push_str(&format!(" type {} hook {hook}", bare(kind)?));
        match f.words("dev")?.as_slice() {
            [] => {}
            [one] => body.push_str(&format!(" device {}", quoted(one)?)),
            many => {
                let names: Written<Vec<_>> = many.iter().map(|d| quoted(d)).collect();
                body.push_str(&format!(" devices = {{ {} }}", names?.join(", ")));
            }
        }
        match f.get("prio").and_then(Value::as_i64) {
            Some(prio) => body.push_str(&format!(" priority {prio};")),
            None => return problem("prio", "is missing"),
        }
    }
    if let Some(policy) = f.string("policy")? {
        body.push_str(&format!(" policy {};", bare(policy)?));
    }
    if let Some(comment) = f.string("comment")? {
        body.push_str(&format!(" comment {};", quoted(comment)?));
    }
    f.done()?;
    if !body.is_empty() && matches!(verb, "add" | "create") {
        text.push_str(&format!(" {{{body} }}"));
    }
    let rank = Some(1);
    out.push(Command { text, rank });
    Ok(())
}

fn rule(
    verb: &str,
    family: &str,
    table: &str,
    mut f: Fields<'_>,
    out: &mut Vec<Command>,
) -> Written {
    let chain = bare(f.string("chain")?.unwrap_or_default())?;
    let handle = f.number("handle")?;
    let index = f.number("index")?;
    let mut text = format!("{verb} rule {family} {table} {chain}");
    let place = match (verb, handle, index) {
        ("delete" | "replace", Some(handle), _) => format!(" handle {handle}"),
        (_, _, Some(index)) => format!(" index {index}"),
        _ => String::new(),
    };
    text.push_str(&place);
    let stmts = match f.get("expr") {
        Some(Value::Array(stmts)) => stmts.as_slice(),
        None => &[],
        Some(other) => return problem(other, "expr is an array"),
    };
    for statement in stmts {
        text.push(' ');
        text.push_str(&stmt::stmt(statement)?);
    }
    if let Some(comment) = f.string("comment")? {
        text.push_str(&format!(" comment {}", quoted(comment)?));
    }
    f.done()?;
    let rank = Some(5);
    out.push(Command { text, rank });
    Ok(())
}

/// `a . b` of a name, an array of names, or names with points.
fn types(value: &Value) -> Written<String> {
    let names: Vec<&str> = match value {
        Value::String(one) => one.split('.').map(str::trim).collect(),
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        other => return problem(other, "expected a type"),
    };
    let names: Written<Vec<_>> = names.into_iter().map(bare).collect();
    Ok(names?.join(" . "))
}

fn elements(value: &Value) -> Written<String> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut texts = Vec::new();
    for item in items {
        texts.push(match item {
            // A pair: key and data.
            Value::Array(pair) => match pair.as_slice() {
                [key, value] => format!("{} : {}", element(key)?, data(value)?),
                _ => return problem(item, "a map's element is a pair"),
            },
            one => element(one)?,
        });
    }
    Ok(texts.join(", "))
}

fn set(
    verb: &str,
    kind: &str,
    family: &str,
    table: &str,
    mut f: Fields<'_>,
    out: &mut Vec<Command>,
) -> Written {
    let name = bare(f.string("name")?.unwrap_or_default())?;
    f.get("handle");
    let mut text = format!("{verb} {kind} {family} {table} {name}");
    if !matches!(verb, "add" | "create") {
        out.push(Command { text, rank: None });
        return Ok(());
    }
    let mut body = format!(" type {}", types(f.need("type")?)?);
    if let Some(map) = f.get("map") {
        body.push_str(&format!(" : {}", types(map)?));
    }
    body.push(';');
    let flags: Written<Vec<_>> = f.words("flags")?.into_iter().map(bare).collect();
    let flags = flags?;
    if !flags.is_empty() {
        body.push_str(&format!(" flags {};", flags.join(", ")));
    }
    for (field, word, unit) in [
        ("timeout", "timeout", "s"),
        ("gc-interval", "gc-interval", "s"),
        ("size", "size", ""),
    ] {
        if let Some(n) = f.number(field)? {
            body.push_str(&format!(" {word} {n}{unit};"));
        }
    }
    if let Some(policy) = f.string("policy")? {
        body.push_str(&format!(" policy {};", bare(policy)?));
    }
    if f.flag("auto-merge") {
        body.push_str(" auto-merge;");
    }
    if let Some(comment) = f.string("comment")? {
        body.push_str(&format!(" comment {};", quoted(comment)?));
    }
    if let Some(stmts) = f.get("stmt").and_then(Value::as_array) {
        for one in stmts {
            body.push_str(&format!(" {};", stmt::stmt(one)?));
        }
    }
    let elems = f.get("elem").map(elements).transpose()?;
    f.done()?;
    text.push_str(&format!(" {{{body} }}"));
    let rank = Some(3);
    out.push(Command { text, rank });
    if let Some(elems) = elems.filter(|e| !e.is_empty()) {
        out.push(Command {
            text: format!("add element {family} {table} {name} {{ {elems} }}"),
            rank: Some(4),
        });
    }
    Ok(())
}
