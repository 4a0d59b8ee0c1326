//! Rulesets, for us and for the kernel.

/// The only chain, at FORWARD.
fn chain(rules: &str) -> String {
    format!(
        "table ip t {{\nchain c {{\ntype filter hook forward priority 0; policy accept;\n{rules}\n}}\n}}\n"
    )
}

/// `n` rules with two tests each; none of them matches.
fn linear(n: usize) -> String {
    let rule = |i| format!("ip saddr 192.0.2.10 udp dport {} drop\n", 1000 + i);
    chain(&(0..n).map(rule).collect::<String>())
}

/// What packets are forwarded through: a name, and the text.
pub fn forward() -> Vec<(&'static str, String)> {
    let ports: Vec<_> = (0..1000).map(|i| (1000 + i).to_string()).collect();
    vec![
        ("no rules", String::new()),
        ("10 rules", linear(10)),
        ("100 rules", linear(100)),
        ("1000 rules", linear(1000)),
        ("1 rule", chain("udp dport 1000 drop")),
        (
            "set of 1000",
            chain(&format!("udp dport {{ {} }} drop", ports.join(", "))),
        ),
    ]
}

/// Every packet is of a connection.
pub fn track() -> String {
    chain("ct state established,new accept; drop")
}

/// Every connection gets the router's address.
pub fn masquerade() -> String {
    "table ip t {\nchain p {\ntype nat hook postrouting priority 100;\nmasquerade\n}\n}\n"
        .to_owned()
}
