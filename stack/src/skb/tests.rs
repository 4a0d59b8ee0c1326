//! Packets in one piece and in several, alone and shared.

use super::*;
use crate::checksum::{self, fold};
use proptest::prelude::*;

#[test]
fn headers_come_and_go_without_moving_bytes() {
    let pool = PagePool::heap(1, 256);
    let mut skb = SkBuff::alloc(&pool, NET_SKB_PAD, 100).unwrap();
    skb.put_slice(b"payload").unwrap();
    skb.push(4).unwrap().copy_from_slice(b"head");
    assert_eq!(skb.data(), b"headpayload");
    assert_eq!(skb.headroom(), 60);
    skb.reset_network_header();
    skb.pull(4).unwrap();
    assert_eq!(skb.data(), b"payload");
    assert_eq!(skb.network_bytes(), b"headpayload");
    assert_eq!(skb.network_offset(), -4);
    skb.trim(3);
    assert_eq!(skb.data(), b"pay");
    skb.rewind_to_network();
    assert_eq!(skb.data(), b"headpay");
}

#[test]
fn nothing_reaches_beyond_the_buffer() {
    let pool = PagePool::heap(1, 64);
    let mut skb = SkBuff::build(pool.alloc().unwrap(), 60, 100);
    assert_eq!((skb.len(), skb.tailroom()), (4, 0));
    assert!(skb.put(1).is_none());
    assert!(skb.push(61).is_none());
    assert!(skb.pull(5).is_none());
    assert_eq!(skb.len(), 4);
    assert!(SkBuff::alloc(&pool, 60, 5).is_none());
    assert_eq!(SkBuff::default().data(), b"");
}

#[test]
fn a_scarce_pool_gets_its_page_back() {
    let pool = PagePool::heap(16, 64);
    let _held: Vec<_> = (0..14).map(|_| pool.alloc().unwrap()).collect();
    let mut skb = SkBuff::alloc(&pool, 16, 8).unwrap();
    skb.put_slice(b"abcdefgh").unwrap();
    skb.detach_if_scarce();
    assert_eq!((skb.data(), pool.available()), (b"abcdefgh".as_slice(), 2));
    assert_eq!(skb.headroom(), 16);
}

/// A packet of `bytes` with a linear part and fragments, cut at `cuts`.
fn in_pieces(pool: &PagePool, bytes: &[u8], cuts: &[usize]) -> SkBuff {
    let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).collect();
    cuts.sort();
    let first = cuts.first().copied().unwrap_or(bytes.len());
    let mut skb = SkBuff::alloc(pool, 16, first).unwrap();
    skb.put_slice(&bytes[..first]).unwrap();
    cuts.push(bytes.len());
    for pair in cuts.windows(2) {
        let mut page = pool.alloc().unwrap();
        let part = &bytes[pair[0]..pair[1]];
        page.as_mut_slice()[3..3 + part.len()].copy_from_slice(part);
        skb.add_frag(Frag::new(page.share(), 3, part.len()));
    }
    skb
}

#[test]
fn a_clone_shares_until_one_writes() {
    let pool = PagePool::heap(3, 128);
    let mut skb = SkBuff::alloc(&pool, 32, 64).unwrap();
    skb.put_slice(b"payload").unwrap();
    skb.mark = 5;
    let mut clone = skb.skb_clone();
    assert!(skb.is_cloned() && clone.is_cloned());
    assert_eq!((pool.available(), clone.mark), (2, 5));
    clone.data_mut()[0] = b'P';
    assert_eq!(
        (skb.data(), clone.data()),
        (&b"payload"[..], &b"Payload"[..])
    );
    assert!(!skb.is_cloned() && !clone.is_cloned());
    assert_eq!((pool.available(), clone.headroom()), (1, 32));
    // The last owner writes in place.
    drop(clone);
    skb.push(2).unwrap().copy_from_slice(b"a ");
    assert_eq!((skb.data(), pool.available()), (&b"a payload"[..], 2));
}

#[test]
fn a_copy_is_made_on_the_heap_without_a_page() {
    let pool = PagePool::heap(1, 128);
    let mut skb = SkBuff::alloc(&pool, 32, 64).unwrap();
    skb.put_slice(b"payload").unwrap();
    skb.reset_network_header();
    let mut clone = skb.skb_clone();
    clone.push(4).unwrap().copy_from_slice(b"head");
    assert_eq!(clone.data(), b"headpayload");
    assert_eq!(clone.network_bytes(), b"payload");
    assert_eq!(skb.data(), b"payload");
    assert!(skb.is_in(&pool) && !clone.is_in(&pool));
    // More headroom than there is.
    skb.skb_cow(100);
    assert!(skb.headroom() >= 100 && skb.data() == b"payload");
    assert_eq!(skb.network_offset(), 0);
}

#[test]
fn a_heap_packet_is_shared_too() {
    let mut skb = SkBuff::from_vec(b"abc".to_vec());
    let clone = skb.skb_clone();
    skb.data_mut()[0] = b'A';
    assert_eq!((skb.data(), clone.data()), (&b"Abc"[..], &b"abc"[..]));
    let copy = skb.skb_copy();
    skb.data_mut()[1] = b'B';
    assert_eq!((skb.data(), copy.data()), (&b"ABc"[..], &b"Abc"[..]));
}

#[test]
fn buffers_go_back_when_the_last_packet_ends() {
    let pool = PagePool::heap(8, 64);
    let skb = in_pieces(&pool, b"abcdefghij", &[3, 6]);
    let clone = skb.skb_clone();
    assert_eq!((pool.available(), skb.nr_frags()), (5, 2));
    drop(skb);
    assert_eq!(pool.available(), 5);
    assert_eq!(clone.to_vec(), b"abcdefghij");
    drop(clone);
    assert_eq!(pool.available(), 8);
}

#[test]
fn dma_segments_name_every_piece() {
    let pool = PagePool::heap(4, 64);
    let mut skb = in_pieces(&pool, b"abcdefghij", &[3, 6]);
    assert!(skb.is_in(&pool));
    assert!(skb.dma_segments().all(|s| s.is_none()), "a heap pool");
    assert_eq!(skb.dma_segments().count(), 3);
    assert_eq!(skb.truesize(), 3 * 64 + SKB_OVERHEAD);
    skb.add_frag(Frag::from_vec(vec![1]));
    assert!(!skb.is_in(&pool));
}

#[test]
fn unnecessary_counts_down() {
    let mut skb = SkBuff::from_vec(vec![1, 2, 3, 4]);
    skb.csum = CsumState::Unnecessary;
    skb.csum_level = 1;
    assert!(skb.skb_checksum_validate(0));
    assert_eq!((skb.csum, skb.csum_level), (CsumState::Unnecessary, 0));
    skb.csum_valid = false; // as decapsulation does
    assert!(skb.skb_checksum_validate(0));
    assert_eq!(skb.csum, CsumState::None);
    skb.csum_valid = false;
    assert!(
        !skb.skb_checksum_validate(0),
        "0102 0304 does not sum to ffff"
    );
    assert_eq!(skb.csum, CsumState::Complete(0x0406));
    skb.csum = CsumState::None;
    skb.incr_checksum_unnecessary();
    skb.incr_checksum_unnecessary();
    assert_eq!((skb.csum, skb.csum_level), (CsumState::Unnecessary, 1));
}

#[test]
fn heap_buffers_are_used_again_as_if_they_were_new() {
    let mut skb = SkBuff::alloc_heap(0, 100);
    skb.put(100).unwrap().fill(0xff);
    let clone = skb.skb_clone();
    drop(skb);
    // Its bytes are the clone's still.
    let mut other = SkBuff::alloc_heap(10, 90);
    assert_eq!(other.put(90).unwrap(), [0; 90]);
    assert_eq!(clone.data(), [0xff; 100]);
    let at = clone.data().as_ptr();
    drop(clone);
    for len in [40, 100, 200] {
        let mut again = SkBuff::alloc_heap(0, len);
        assert_eq!(again.put(len).unwrap(), vec![0; len]);
        assert!(len > 100 || again.data().as_ptr() == at);
        again.data_mut().fill(0xff);
    }
}

proptest! {
    #[test]
    fn pieces_are_as_good_as_the_whole(
        bytes in prop::collection::vec(any::<u8>(), 1..200),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(),
    ) {
        let pool = PagePool::heap(16, 256);
        let (a, b) = (a.index(bytes.len() + 1), b.index(bytes.len() + 1));
        let (from, to) = (a.min(b), a.max(b));
        let mut skb = in_pieces(&pool, &bytes, &cuts);
        prop_assert_eq!(skb.to_vec(), bytes.clone());
        let mut copied = vec![0; to - from];
        skb.skb_copy_bits(from, &mut copied).unwrap();
        prop_assert_eq!(&copied, &bytes[from..to]);
        prop_assert!(skb.skb_copy_bits(1, &mut vec![0; bytes.len()]).is_none());
        prop_assert_eq!(fold(skb.skb_checksum(from, to - from)), fold(checksum::sum(&bytes[from..to])));

        let mut part = SkBuff::default();
        skb.share_range(from, to - from, &mut part);
        prop_assert_eq!(part.to_vec(), bytes[from..to].to_vec());

        // Sums follow cuts at both ends, odd ones too.
        skb.csum = CsumState::Complete(checksum::sum(&bytes));
        let clone = skb.skb_clone();
        prop_assert!(!skb.pskb_may_pull(bytes.len() + 1));
        prop_assert!(skb.pskb_may_pull(from));
        skb.trim(to);
        skb.skb_pull_rcsum(from).unwrap();
        prop_assert_eq!(skb.to_vec(), bytes[from..to].to_vec());
        let CsumState::Complete(sum) = skb.csum else { unreachable!() };
        let rest = fold(checksum::sum(&bytes[from..to]));
        // 0 and 0xffff are the same number.
        prop_assert_eq!(fold(sum) % 0xffff, rest % 0xffff);
        skb.skb_linearize();
        prop_assert_eq!(skb.data(), &bytes[from..to]);
        skb.data_mut().fill(0);
        prop_assert_eq!(clone.to_vec(), bytes.clone());

        let mut clone = clone;
        prop_assert!(clone.pskb_pull(bytes.len() + 1).is_none());
        clone.pskb_pull(from).unwrap();
        clone.trim(to - from);
        prop_assert_eq!(clone.to_vec(), bytes[from..to].to_vec());
        let mut whole = SkBuff::from_vec(bytes[..from].to_vec());
        whole.append(&mut clone, 0);
        prop_assert_eq!(whole.to_vec(), bytes[..to].to_vec());
        prop_assert!(clone.is_empty());
        drop((skb, whole, part));
        prop_assert_eq!(pool.available(), 16);
    }
}
