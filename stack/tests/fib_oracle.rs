//! Routes, rules and answers that a kernel gave: 239 random routes in 4 tables, 11 rules, 1000 `ip route get`.
//!
//! The setup's lines are taken as they were typed; the lists of routes and rules and every answer must be what the kernel's `ip -json` said.

mod common;

use common::Wire;
use serde_json::Value;
use stack::{Stack, StackConfig};
use std::fmt::Write;

/// The setup: devices by hand, everything else as lines.
fn router(vectors: &Value) -> Stack {
    let mut stack = Stack::new(StackConfig {
        ip_forward: true,
        ipv6: false,
        ..StackConfig::default()
    });
    for line in vectors["setup"].as_array().unwrap() {
        let line = line.as_str().unwrap();
        if let Some(rest) = line.strip_prefix("link add ") {
            // `d0 type veth peer name p0`: the other end's addresses play no part.
            let name = rest.split(' ').next().unwrap();
            let number = name.as_bytes()[1] - b'0';
            stack.add_device(name, Box::new(Wire::new([2, 0, 0, 0, 0, number])));
        } else if !line.starts_with("link set p") {
            // `ip -force` went on after errors: a route with the same prefix, TOS and metric is refused.
            if let Err(error) = stack.ip(line) {
                assert!(error.problem.ends_with("File exists"), "{line}: {error}");
            }
        }
    }
    stack
}

/// `ip route get`'s line for an answer in JSON.
fn line_of(question: &Value, answer: &Value) -> String {
    let text = |key: &str| answer[key].as_str();
    let mut line = String::new();
    let mut item = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _ = write!(line, "{name}{value} ");
        }
    };
    item("", text("type"));
    item("", text("dst"));
    item("from ", text("from"));
    item("tos ", text("tos"));
    item("via ", text("gateway"));
    item("dev ", text("dev"));
    item("table ", text("table"));
    item("src ", text("prefsrc"));
    let mark = answer["mark"].as_u64().map(|m| m.to_string());
    item("mark ", mark.as_deref());
    line += if question["iif"].is_null() {
        "uid 0 \n    cache "
    } else {
        "\n    cache "
    };
    if text("type") == Some("local") {
        line += "<local> ";
    }
    if let Some(iif) = text("iif") {
        let _ = write!(line, "iif {iif} ");
    }
    line + "\n"
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("data/oracle/fib/fib_vectors.json")).unwrap()
}

#[test]
fn a_thousand_answers_agree() {
    let vectors = vectors();
    let mut stack = router(&vectors);
    let (mut agreed, mut different) = (0, String::new());
    for lookup in vectors["lookups"].as_array().unwrap() {
        let question = &lookup["q"];
        let mut line = format!("ip route get {}", question["dst"].as_str().unwrap());
        for key in ["from", "iif", "mark", "tos"] {
            match &question[key] {
                Value::Null => {}
                Value::String(value) => line += &format!(" {key} {value}"),
                value => line += &format!(" {key} {value}"),
            }
        }
        let wanted = match lookup["err"].as_str() {
            Some(error) => error.to_owned(),
            None => line_of(question, &lookup["r"]),
        };
        // The recording left out the flags of the cache line.
        let answer = stack.ip(&line).unwrap_or_else(|error| error.problem);
        let answer = answer.replace("<redirect> ", "");
        if answer == wanted {
            agreed += 1;
        } else {
            let _ = writeln!(
                different,
                "{line}\n  kernel: {wanted:?}\n  here:   {answer:?}"
            );
        }
    }
    println!("{agreed} of 1000 answers agree");
    assert!(different.is_empty(), "{different}");
    assert_eq!(agreed, 1000);
}

#[test]
fn the_lists_agree() {
    let vectors = vectors();
    let mut stack = router(&vectors);
    let mut wanted = String::new();
    for route in vectors["routes"].as_array().unwrap() {
        // The kernel's peers had IPv6 addresses.
        if route["dst"].as_str().unwrap().contains(':') {
            continue;
        }
        let mut item = |name: &str, value: &Value| match value {
            Value::Null => {}
            Value::String(text) => wanted += &format!("{name}{text} "),
            number => wanted += &format!("{name}{number} "),
        };
        item("", &route["type"]);
        item("", &route["dst"]);
        item("tos ", &route["tos"]);
        item("via ", &route["gateway"]);
        item("dev ", &route["dev"]);
        item("table ", &route["table"]);
        item("proto ", &route["protocol"]);
        item("scope ", &route["scope"]);
        item("src ", &route["prefsrc"]);
        item("metric ", &route["metric"]);
        wanted.push('\n');
    }
    assert_eq!(stack.ip("-4 route show table all").unwrap(), wanted);
    let rules = "0:\tfrom all lookup local\n\
        40:\tfrom all to 172.200.0.0/16 unreachable\n\
        45:\tfrom all fwmark 0x9 lookup main suppress_prefixlength 0\n\
        50:\tfrom 10.3.0.0/16 iif d3 lookup 100\n\
        60:\tfrom all fwmark 0x7 lookup 101\n\
        70:\tfrom 10.3.0.0/20 to 172.202.0.0/9 fwmark 0x3/0x3 iif d0 lookup 102\n\
        80:\tfrom 10.0.0.0/18 to 172.117.0.0/10 fwmark 0x3/0x3 iif d3 lookup 100\n\
        90:\tfrom 10.1.0.0/18 to 172.203.0.0/12 lookup 101\n\
        95:\tfrom 10.2.0.0/16 lookup main\n\
        32766:\tfrom all lookup main\n\
        32767:\tfrom all lookup default\n";
    assert_eq!(stack.ip("rule show").unwrap(), rules);
}
