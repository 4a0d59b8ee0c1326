//! tc's filters as a stage of the trace: before netfilter on the way in, behind it on the way out, and what they said.

use crate::common::SEC;
use crate::journal::Journal;
use crate::router::Router;

/// Stages of a router with these lines that forwards a datagram to port 7.
fn journey(lines: &[&str]) -> String {
    let mut router = Router::new();
    for line in lines {
        router.prepare(line);
    }
    let journal = Journal::of(&mut router.stack);
    router.arrive(SEC, 7, 10);
    router.assert_balanced();
    journal.borrow_mut().take()
}

fn stages(journey: &str) -> Vec<&str> {
    let lines = journey.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.get(..30).unwrap_or(line).trim())
        .collect()
}

#[test]
fn what_passes() {
    let text = journey(&[
        "tc qdisc add dev eth_c clsact",
        "tc qdisc add dev eth_s clsact",
        "tc filter add dev eth_c ingress protocol ip u32 match ip dport 7 0xffff action skbedit mark 6",
        "tc filter add dev eth_s egress handle 6 fw action ok",
    ]);
    let stages = stages(&text);
    let at = |stage: &str| stages.iter().position(|s| *s == stage);
    let tc: Vec<usize> = (0..stages.len())
        .filter(|i| stages[*i] == "tc ok")
        .collect();
    // __netif_receive_skb_core(): sch_handle_ingress() before nf_ingress(); __dev_queue_xmit(): nf_hook_egress() before sch_handle_egress().
    assert_eq!(tc.len(), 2, "{text}");
    assert!(at("netif_receive_skb").unwrap() < tc[0] && tc[0] < at("hook prerouting").unwrap());
    assert!(at("neighbour").unwrap() < tc[1] && tc[1] < at("qdisc").unwrap());
    insta::assert_snapshot!("tc_passes", text);
}

#[test]
fn what_does_not_pass() {
    let said = |lines: &[&str]| {
        let text = journey(lines);
        let said = stages(&text).into_iter().find(|s| s.starts_with("tc "));
        (said.unwrap_or_default().to_owned(), text)
    };
    let (shot, text) = said(&[
        "tc qdisc add dev eth_c clsact",
        "tc filter add dev eth_c ingress matchall action drop",
    ]);
    assert_eq!(shot, "tc shot");
    assert_eq!(stages(&text).last(), Some(&"drop TC_INGRESS"), "{text}");
    let (shot, text) = said(&[
        "tc qdisc add dev eth_s clsact",
        "tc filter add dev eth_s egress matchall action drop",
    ]);
    assert_eq!(shot, "tc shot");
    assert_eq!(stages(&text).last(), Some(&"drop TC_EGRESS"), "{text}");
    let (redirected, text) = said(&[
        "tc qdisc add dev eth_c clsact",
        "tc filter add dev eth_c ingress matchall action mirred egress redirect dev eth_s",
    ]);
    assert_eq!(redirected, "tc redirect");
    assert_eq!(stages(&text).last(), Some(&"xmit"), "{text}");
    insta::assert_snapshot!("tc_redirects", text);
}
