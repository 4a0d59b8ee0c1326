//! What is refused, and where the error points.

use stack::nft::Nft;

fn error(text: &str) -> String {
    let mut nft = Nft::new(1);
    let base = "table ip t {\n chain in { type filter hook input priority 0; }\n chain a { }\n set s { type ipv4_addr; }\n}";
    nft.apply(base, 0).unwrap();
    let before = nft.list(0, false);
    let error = nft.apply(text, 0).expect_err(text).to_string();
    assert_eq!(
        nft.list(0, false),
        before,
        "a refused text changes nothing: {text}"
    );
    error
}

#[test]
fn words_are_named_with_their_place() {
    for (text, expected) in [
        (
            "define a = $",
            "1:12: \"$\": expected the name of a definition",
        ),
        (
            "add rule ip t in frobnicate 5",
            "1:18: \"frobnicate\": is no statement or expression",
        ),
        (
            "add rule ip t in tcp dprt 5",
            "1:22: \"dprt\": unknown field of tcp",
        ),
        (
            "add rule ip t in tcp dport abc",
            "1:28: \"abc\": not a port or service name",
        ),
        (
            "add rule ip t in tcp dport 70000",
            "1:28: \"70000\": inet_service is at most 65535",
        ),
        (
            "add rule ip t in ip saddr 10.0.0",
            "1:29: \".\": expected an expression",
        ),
        (
            "add rule ip t in queue",
            "1:18: \"queue\": is not supported",
        ),
        (
            "table ip x {\n chain c {\n  tcp dport 22 acept\n }\n}",
            "3:16: \"acept\": is no statement or expression",
        ),
        (
            "add rule ip t in ip saddr @nosuch",
            "1:28: \"nosuch\": there is no such set in this table",
        ),
        (
            "add rule ip t in accept drop",
            "1:25: \"drop\": the statement before it ends the rule",
        ),
        (
            "add element ip t s { 1.1.1.1/8 }",
            "1:22: \"1.1.1.1\": only a set with flags interval has prefixes and ranges",
        ),
        (
            "include \"x\"",
            "1:1: \"include\": include is not supported: there are no files here",
        ),
        (
            "add rule ip t in tcp dport 22 $x",
            "1:32: \"x\": is not defined",
        ),
        ("table ip x {", "1:13: the block is not closed"),
        (
            "add ct timeout ip t e { protocol udp; policy = { established : 5 }; }",
            "1:50: \"established\": is no state of this protocol",
        ),
        (
            "add ct timeout ip t e { protocol icmp; }",
            "1:34: \"icmp\": timeouts are those of tcp or udp",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn what_the_kernel_refuses_is_refused() {
    for text in [
        "add rule ip t nosuch accept",
        "add rule ip nosuch in accept",
        "add rule ip t in jump nosuch",
        "add rule ip t a jump in",
        "add rule ip t in masquerade",
        "add rule ip t in dnat to 1.1.1.1",
        "add chain ip t n { type nat hook forward priority 0; }",
        "add chain ip t n { type nat hook prerouting priority -200; }",
        "add chain ip t n { type route hook input priority 0; }",
        "add chain ip t n { type filter hook ingress device \"lo\" priority 0; }",
        "add chain ip t n { policy drop; }",
        "add chain ip t in { type filter hook input priority 1; }",
        "create chain ip t in",
        "create table ip t",
        "add set ip t s { type ipv6_addr; }",
        "delete chain ip t nosuch",
        "delete element ip t s { 1.1.1.1 }",
        "delete table ip nosuch",
        "add rule ip t a ip saddr @s; delete set ip t s",
        "add rule ip t in jump a; delete chain ip t a",
        "add rule ip t a jump a; add rule ip t in jump a",
        "add rule ip t in tcp dport 5 udp dport 5",
        "add rule ip t in ip6 saddr ::1",
    ] {
        error(text);
    }
}

#[test]
fn jumps_go_sixteen_chains_deep() {
    let chain = |n: usize| {
        let mut text = String::from(
            "table ip d {\n chain base { type filter hook input priority 0; jump c0\n }\n",
        );
        for i in 0..n {
            let jump = if i + 1 < n {
                format!("jump c{}", i + 1)
            } else {
                "accept".to_owned()
            };
            text.push_str(&format!(" chain c{i} {{ {jump}\n }}\n"));
        }
        text + "}\n"
    };
    Nft::new(1).apply(&chain(15), 0).unwrap();
    Nft::new(1).apply(&chain(16), 0).unwrap_err();
}
