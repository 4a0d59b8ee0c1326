//! libnftables JSON: what `nft -j list ruleset` printed of the rulesets in `tests/data/nft` is read as what their texts are.

use stack::nft::Nft;

macro_rules! recorded {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../data/nft/", $name, ".json")),
            include_str!(concat!("../data/nft/", $name, ".expected")),
        )
    };
}

const RECORDED: [(&str, &str, &str); 5] = [
    recorded!("rules_ip"),
    recorded!("rules_inet"),
    recorded!("nat_ip"),
    recorded!("nat_inet"),
    recorded!("objects_ip"),
];

#[test]
fn recorded_rulesets_are_read() {
    for (name, json, expected) in RECORDED {
        let mut nft = Nft::new(1);
        nft.set_devices(vec!["lo".to_owned()]);
        nft.apply_json(json, 0)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let listed = nft.list(0, true);
        let different: Vec<_> = listed
            .lines()
            .zip(expected.lines())
            .filter(|(a, b)| a != b)
            .map(|(a, b)| format!("  json {a}\n  text {b}"))
            .collect();
        assert!(different.is_empty(), "{name}:\n{}", different.join("\n"));
        assert_eq!(listed.lines().count(), expected.lines().count(), "{name}");
    }
}

/// nft 1.0.6 leaves comments of tables, `typeof`, `dynamic` and `auto-merge` out of its JSON; the rest is there.
#[test]
fn recorded_sets_are_read() {
    let mut nft = Nft::new(1);
    let json = include_str!("../data/nft/sets_ip.json");
    nft.apply_json(json, 0).unwrap();
    insta::assert_snapshot!("sets_from_json", nft.list(0, true));
}

/// nft 1.0.6 does not say the device of a chain at ingress; we do not guess.
#[test]
fn a_chain_without_its_device_is_refused() {
    let json = include_str!("../data/nft/rules_netdev.json");
    let error = Nft::new(1).apply_json(json, 0).unwrap_err();
    assert_eq!(error.problem, "a chain at this hook needs a device");
}

#[test]
fn errors_point_at_the_object() {
    let error = |json: &str| Nft::new(1).apply_json(json, 0).unwrap_err().to_string();
    assert_eq!(
        error(
            "{\"nftables\": [\n  {\"table\": {\"family\": \"ip\", \"name\": \"t\"}},\n  {\"frob\": {\"table\": \"t\"}}\n]}"
        ),
        "3:3: \"frob\": is not supported"
    );
    let rule = |expr: &str| {
        error(&format!(
            "{{\"nftables\": [{{\"table\": {{\"family\": \"ip\", \"name\": \"t\"}}}},\n{{\"chain\": {{\"family\": \"ip\", \"table\": \"t\", \"name\": \"c\"}}}},\n{{\"rule\": {{\"family\": \"ip\", \"table\": \"t\", \"chain\": \"c\", \"expr\": [{expr}]}}}}]}}"
        ))
    };
    assert_eq!(rule("{\"queue\": {}}"), "3:1: \"queue\": is not supported");
    assert_eq!(
        rule(
            "{\"match\": {\"op\": \"==\", \"left\": {\"payload\": {\"protocol\": \"tcp\", \"field\": \"dprt\"}}, \"right\": 1}}"
        ),
        "3:1: \"dprt\": unknown field of tcp"
    );
    assert_eq!(
        rule("{\"accept\": null}, {\"jump\": {\"target\": \"c; flush ruleset\"}}"),
        "3:1: \"c; flush ruleset\": is not a word of the language"
    );
    assert!(error("{\"nftables\": [").starts_with("1:14: "));
}

#[test]
fn commands_are_done_in_order() {
    let mut nft = Nft::new(1);
    let json = r#"{"nftables": [
        {"add": {"table": {"family": "inet", "name": "t"}}},
        {"add": {"chain": {"family": "inet", "table": "t", "name": "c", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}},
        {"add": {"rule": {"family": "inet", "table": "t", "chain": "c", "expr": [{"counter": {"packets": 5000000000, "bytes": 6}}, {"accept": null}]}}},
        {"insert": {"rule": {"family": "inet", "table": "t", "chain": "c", "expr": [{"drop": null}], "comment": "first"}}},
        {"flush": {"chain": {"family": "inet", "table": "t", "name": "nosuch"}}}
    ]}"#;
    assert_eq!(
        nft.apply_json(json, 0).unwrap_err().to_string(),
        "6:9: \"nosuch\": there is no such chain in this table"
    );
    let json = json.replace("nosuch", "c");
    nft.apply_json(&json, 0).unwrap();
    assert!(!nft.list(0, false).contains("counter"));
}
