//! Rejected packets: what the sender is told, and what it passes on its way.

use crate::router::{CLIENT, Router, SERVER, checksums_ok, ports, tcp, udp, udp6};
use stack::netfilter::Reject;
use stack::{Hook, Verdict};
use std::cell::RefCell;
use std::rc::Rc;

/// Rejects everything at `hook`; what the packets of this host met at LocalOut and PostRouting.
fn rejecting(hook: Hook, reject: Reject) -> (Router, Rc<RefCell<Vec<String>>>) {
    let mut r = Router::new();
    r.stack.nf_register_hook(
        hook,
        0,
        "reject",
        Box::new(move |_, _| Verdict::Reject(reject)),
    );
    let seen = Rc::new(RefCell::new(Vec::new()));
    for hook in [Hook::LocalOut, Hook::PostRouting] {
        let seen = Rc::clone(&seen);
        r.stack.nf_register_hook(
            hook,
            -300,
            "see",
            Box::new(move |skb, state| {
                let info = skb.nfct.map(|n| n.info);
                seen.borrow_mut().push(format!("{} {info:?}", state.hook));
                Verdict::Accept
            }),
        );
    }
    (r, seen)
}

fn told(r: &Router) -> Vec<Vec<u8>> {
    std::mem::take(&mut r.c_wire.borrow_mut().tx)
}

/// Scenario 23.
#[test]
fn an_error_is_related_from_its_first_hook_on() {
    let (mut r, seen) = rejecting(Hook::Forward, Reject::Unreach(3));
    assert!(
        r.client_sends(udp((CLIENT, 40000), (SERVER, 9), b"hi"))
            .is_empty()
    );
    let answer = told(&r);
    assert!(checksums_ok(&answer[0]));
    assert_eq!((answer[0][34], answer[0][35]), (3, 3));
    assert_eq!(
        *seen.borrow(),
        [
            "output Some(RelatedReply)",
            "postrouting Some(RelatedReply)"
        ]
    );
    // Nothing is left of a connection whose first packet went nowhere.
    assert_eq!(r.stack.conntrack().count(), 0);
}

#[test]
fn a_reset_answers_what_came() {
    let (mut r, seen) = rejecting(Hook::Forward, Reject::TcpReset);
    r.client_sends(tcp((CLIENT, 1000), (SERVER, 80), "S", (77, 0), b""));
    let answer = told(&r);
    assert!(checksums_ok(&answer[0]));
    assert_eq!(ports(&answer[0]), (80, 1000));
    let word = |at: usize| u32::from_be_bytes(answer[0][at..at + 4].try_into().unwrap());
    assert_eq!((word(38), word(42), answer[0][47]), (0, 78, 0x14));
    assert_eq!(seen.borrow().len(), 2);
    // None about resets, and none about what is not TCP.
    r.client_sends(tcp((CLIENT, 1000), (SERVER, 80), "R", (77, 0), b""));
    r.client_sends(udp((CLIENT, 40000), (SERVER, 9), b"hi"));
    assert!(told(&r).is_empty());
}

#[test]
fn nobody_is_told_of_a_damaged_packet() {
    let (mut r, _) = rejecting(Hook::Forward, Reject::Unreach(13));
    let mut frame = udp((CLIENT, 40000), (SERVER, 9), b"hi");
    frame[43] ^= 1;
    r.client_sends(frame);
    assert!(told(&r).is_empty());
}

#[test]
fn at_the_device_the_answer_goes_straight_back() {
    for reject in [Reject::Unreach(3), Reject::TcpReset] {
        let (mut r, seen) = rejecting(Hook::NetdevIngress, reject);
        r.client_sends(tcp((CLIENT, 1000), (SERVER, 80), "S", (77, 0), b""));
        let answer = told(&r);
        assert!(checksums_ok(&answer[0]));
        assert_eq!(answer[0][..6], [2, 0, 0, 0, 1, 2]);
        assert_eq!(answer[0][26..34], [SERVER, CLIENT].concat());
        assert!(seen.borrow().is_empty());
    }
    // Whatever address the frame was sent to is the one that answers.
    let (mut r, _) = rejecting(Hook::NetdevIngress, Reject::Unreach(3));
    let mut frame = tcp((CLIENT, 1000), (SERVER, 80), "S", (77, 0), b"");
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 9, 9]);
    r.client_sends(frame);
    assert_eq!(told(&r)[0][..12], [2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 9, 9]);
}

#[test]
fn ipv6_has_its_own_codes() {
    let (mut r, _) = rejecting(Hook::Forward, Reject::icmpx(3, stack::Family::Ipv6));
    r.client_sends(udp6("fd00:1::2", 40000, "fd00:2::2", 9, b"hi"));
    let answer = told(&r);
    assert_eq!((answer[0][54], answer[0][55]), (1, 1));
}
