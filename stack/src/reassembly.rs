//! Fragments that wait for each other, for both families (net/ipv4/inet_fragment.c).
//!
//! A fragment that is there already is dropped; one that overlaps others in part makes the whole datagram suspect, and all of it is
//! dropped (RFC 5722, and Linux for IPv4 too).

use crate::drop_reason::DropReason;
use crate::ipv6::FRAG_HLEN;
use crate::skb::{CsumState, IfIndex, NET_SKB_PAD, SkBuff};
use crate::stack::Stack;
use crate::sysctl::Sysctl;
use crate::timer::TimerKey;
use crate::trace::Consume;
use crate::xmit::ETH_HLEN;
use crate::{Ps, SEC};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Which datagram a fragment belongs to (RFC 791 3.2, RFC 8200 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FragKey {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub id: u32,
    /// IPv4's protocol; 0 in IPv6, where fragments of one datagram may differ in it.
    pub protocol: u8,
    /// Who puts it together: fragments that are given to others are none of theirs.
    pub user: FragUser,
    /// Device, where addresses mean something only with it (IPv6 link-local); none otherwise.
    pub dev: IfIndex,
}

/// `enum ip_defrag_users`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FragUser {
    /// `IP_DEFRAG_LOCAL_DELIVER`: this host is the receiver.
    LocalDeliver,
    /// `IP_DEFRAG_CONNTRACK_IN`: connection tracking of what comes in, with the zone that a rule chose.
    ConntrackIn(u16),
    /// `IP_DEFRAG_CONNTRACK_OUT`: the same of what goes out.
    ConntrackOut(u16),
}

impl FragKey {
    /// Which of [`FragQueues::pools`] it counts in.
    fn pool(&self) -> usize {
        match (self.src, self.user) {
            (IpAddr::V4(_), _) => POOL4,
            (IpAddr::V6(_), FragUser::LocalDeliver) => POOL6,
            (IpAddr::V6(_), _) => POOL6_NF,
        }
    }

    /// The drop reason of what is refused: `ipv6_defrag()` lets its hook drop it.
    pub fn refused(&self) -> DropReason {
        match self.pool() {
            POOL6_NF => DropReason::NetfilterDrop,
            _ => DropReason::NotSpecified,
        }
    }
}

/// One fragment; the packet's data is its payload, its network header is still there before it.
pub(crate) struct Fragment {
    /// Payload bytes of the datagram: from here …
    pub start: usize,
    /// … to here.
    pub end: usize,
    /// More fragments follow.
    pub more: bool,
    /// The two ECN bits.
    pub ecn: u8,
    /// Bytes from the network header to the payload.
    pub header_len: usize,
    /// IPv4: the don't-fragment bit.
    pub dont_fragment: bool,
    /// IPv6: offset of the byte that names the fragment header, from the network header.
    pub named_at: usize,
    pub skb: SkBuff,
}

/// The fragments that a datagram was put together from. A router that does that (for connection tracking) sends it on in pieces like those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// Length of the longest fragment, IP header included (`frag_max_size`).
    pub max: usize,
    /// Payload bytes of each, in order. What was too long for one frame is seldom in more than four.
    lens: SmallVec<[u16; 4]>,
}

impl Pieces {
    fn of(fragments: &[Fragment]) -> Self {
        // IPv6's fragment header counts too.
        let whole = |f: &Fragment| {
            let fragment_header = if f.named_at == 0 { 0 } else { FRAG_HLEN };
            f.header_len + fragment_header + (f.end - f.start)
        };
        Self {
            max: fragments.iter().map(whole).max().unwrap_or(0),
            // A fragment is shorter than the longest IP packet.
            lens: fragments.iter().map(|f| (f.end - f.start) as u16).collect(),
        }
    }

    /// Whether a datagram with `total` bytes of payload can go out in the same pieces, none longer than `room`
    /// (`skb_has_frag_list()` and what follows in `ip_do_fragment()`).
    pub fn fit(&self, total: usize, room: usize) -> bool {
        let Some((_, before_last)) = self.lens.split_last() else {
            return false;
        };
        self.lens.iter().map(|&l| usize::from(l)).sum::<usize>() == total
            && self.lens.iter().all(|&l| usize::from(l) <= room)
            && before_last.iter().all(|l| l % 8 == 0)
    }

    /// `pskb_may_pull()` on a packet in pieces: `len` bytes of its payload now lie in one. When the first piece had fewer, the pieces are no
    /// longer those that came; a payload that has not so many stays as it is.
    pub fn pull(&mut self, len: usize) {
        let total = || self.lens.iter().map(|&l| usize::from(l)).sum::<usize>();
        if self.lens.first().is_some_and(|&l| usize::from(l) < len) && total() >= len {
            self.lens.clear();
        }
    }

    /// The same pieces when the first one has some of what was header before: IPv6's extension headers behind those that every fragment has.
    pub fn with_longer_first(&self, total: usize) -> Self {
        let mut pieces = self.clone();
        let sum: usize = pieces.lens.iter().map(|&l| usize::from(l)).sum();
        // Without pieces there is nothing to be longer.
        if let (Some(first), Ok(more)) = (
            pieces.lens.first_mut(),
            u16::try_from(total.saturating_sub(sum)),
        ) {
            *first = first.saturating_add(more);
        }
        pieces
    }

    /// Lengths of the pieces that a payload of `total` bytes goes out in: as it came, if `same` says so, else as long as `room` allows: a
    /// multiple of 8 but for the last. Nothing, if there is not even room for 8.
    pub fn cut(same: Option<&Self>, total: usize, room: usize) -> impl Iterator<Item = usize> + '_ {
        let (mut at, mut index) = (0, 0);
        std::iter::from_fn(move || {
            let len = match same {
                Some(pieces) => usize::from(*pieces.lens.get(index)?),
                None if total - at <= room => total - at,
                None => room & !7,
            };
            at += len;
            index += 1;
            (len > 0).then_some(len)
        })
    }
}

/// What became of a fragment.
pub(crate) enum Inserted {
    /// It was kept, or dropped and counted.
    Waiting,
    /// It completed the datagram: all fragments in order, and the ECN bits to be set in the header.
    Complete(Vec<Fragment>, u8),
}

/// `struct inet_frag_queue`.
struct FragQueue {
    /// Sorted by start, without overlaps.
    fragments: Vec<Fragment>,
    /// Largest end seen; the datagram's length once `last_in`.
    len: usize,
    last_in: bool,
    /// Payload bytes that are there.
    meat: usize,
    /// Set of ECN codepoints seen, one bit each (`ip4_frag_ecn`).
    ecn: u8,
    expires: Ps,
    /// Buffer memory in bytes.
    mem: usize,
    /// How many fragments its source had sent when the last one for this datagram came.
    rid: u32,
}

/// `IPFRAG_LOW_THRESH` and the like.
const LOW_THRESH: u64 = 3 << 20;

/// Sources whose fragments are counted.
const MAX_RIDS: usize = 1024;

/// IPv4's pool.
pub(crate) const POOL4: usize = 0;
/// That of IPv6's receivers.
pub(crate) const POOL6: usize = 1;
/// That of IPv6's connection tracking.
pub(crate) const POOL6_NF: usize = 2;

/// `struct fqdir`: what has its own limits.
#[derive(Clone, Copy)]
pub(crate) struct FragPool {
    /// Bytes of buffer memory that wait.
    mem: usize,
    /// `high_thresh`: with more than that no fragment is taken; 0: none at all.
    pub high: u64,
    /// `low_thresh`: only a bound of the other.
    pub low: u64,
}

impl FragPool {
    fn is_full(&self) -> bool {
        self.high == 0 || self.mem as u64 > self.high
    }
}

/// All waiting fragments.
pub(crate) struct FragQueues {
    queues: BTreeMap<FragKey, FragQueue>,
    /// [`POOL4`], [`POOL6`], [`POOL6_NF`].
    pub pools: [FragPool; 3],
    /// `net.netfilter.nf_conntrack_frag6_timeout`.
    nf_frag6_timeout: Ps,
    /// Fragments that came from a source so far (`inet_peer.rid`).
    rids: BTreeMap<IpAddr, u32>,
    /// `net.ipv4.ipfrag_max_dist`; see [`too_far`](Self::too_far).
    max_dist: u32,
    /// Lists of datagrams that are whole, empty, for the next ones.
    unused: Vec<Vec<Fragment>>,
}

/// Unused lists that are kept, at most.
const MAX_UNUSED: usize = 64;

impl FragQueues {
    /// `high`: bytes of buffer memory for each pool, at the start.
    pub fn new(high: usize) -> Self {
        let high = high as u64;
        let pool = FragPool {
            mem: 0,
            high,
            low: high.min(LOW_THRESH),
        };
        Self {
            queues: BTreeMap::new(),
            pools: [pool; 3],
            nf_frag6_timeout: 60 * SEC,
            rids: BTreeMap::new(),
            max_dist: 64,
            unused: Vec::new(),
        }
    }

    pub fn held(&self) -> usize {
        self.queues.values().map(|q| q.fragments.len()).sum()
    }

    /// `ip_frag_too_far()`: whether so many fragments of other datagrams came from the source since this one's last, that a 16-bit
    /// identification may have come round. IPv4 only.
    fn too_far(&mut self, key: &FragKey) -> bool {
        if self.max_dist == 0 || key.src.is_ipv6() {
            return false;
        }
        if self.rids.len() >= MAX_RIDS {
            let queues = &self.queues;
            self.rids
                .retain(|src, _| queues.keys().any(|k| k.src == *src));
        }
        let rid = self.rids.entry(key.src).or_insert(0);
        *rid = rid.wrapping_add(1);
        let Some(queue) = self.queues.get_mut(key) else {
            return false;
        };
        let distance = rid.wrapping_sub(queue.rid);
        queue.rid = *rid;
        !queue.fragments.is_empty() && distance > self.max_dist
    }

    fn mem(&mut self, key: &FragKey) -> &mut usize {
        &mut self.pools[key.pool()].mem
    }
}

/// What is wrong with a fragment.
enum Refused {
    /// It is there already: drop it alone.
    Duplicate,
    /// It is of another length than the datagram, or empty: drop all, but IPv6's connection tracking only this one.
    Length,
    /// It contradicts the others: drop all.
    Overlap,
}

impl FragQueue {
    /// Whether the fragment fits, and at which index it goes.
    fn place(&self, fragment: &Fragment) -> Result<usize, Refused> {
        let (start, end) = (fragment.start, fragment.end);
        let length_known = self.last_in && (end > self.len || (!fragment.more && end != self.len));
        let too_short = !fragment.more && end < self.len;
        if length_known || too_short || start == end {
            return Err(Refused::Length);
        }
        let at = self.fragments.partition_point(|f| f.end <= start);
        match self.fragments.get(at) {
            Some(next) if next.start < end => {
                // Wholly inside of a gapless run (`fragrun`): a repetition. Else it is partly new: an attack or nonsense.
                let mut covered = next.start <= start;
                let mut reach = next.end;
                for f in &self.fragments[at + 1..] {
                    if reach >= end || f.start != reach {
                        break;
                    }
                    reach = f.end;
                }
                covered &= reach >= end;
                Err(if covered {
                    Refused::Duplicate
                } else {
                    Refused::Overlap
                })
            }
            _ => Ok(at),
        }
    }

    fn is_complete(&self) -> bool {
        self.last_in && self.meat == self.len
    }

    /// `ip_frag_ecn_table`: ECN bits of the whole; `None` when codepoints mix that must not.
    fn ecn(&self) -> Option<u8> {
        const NOT_ECT: u8 = 1;
        const CE: u8 = 1 << 3;
        match self.ecn {
            NOT_ECT => Some(0),
            seen if seen & NOT_ECT != 0 => None,
            seen if seen & CE != 0 => Some(3),
            _ => Some(0),
        }
    }
}

impl Stack {
    /// `inet_frag_find()`, `inet_frag_queue_insert()`: adds a fragment to its datagram.
    pub(crate) fn frag_insert(&mut self, key: FragKey, mut fragment: Fragment) -> Inserted {
        let lifetime = match key.pool() {
            POOL4 => self.config.ipfrag_time,
            POOL6 => self.config.ip6frag_time,
            _ => self.frags.nf_frag6_timeout,
        };
        if self.frags.pools[key.pool()].is_full() {
            self.kfree_skb(fragment.skb, key.refused());
            return Inserted::Waiting;
        }
        if !self.frags.queues.contains_key(&key) {
            let expires = self.now.saturating_add(lifetime);
            self.timers.start(expires, TimerKey::Fragments(key));
            self.frags.queues.insert(
                key,
                FragQueue {
                    fragments: self.frags.unused.pop().unwrap_or_default(),
                    len: 0,
                    last_in: false,
                    meat: 0,
                    ecn: 0,
                    expires,
                    mem: 0,
                    rid: self.frags.rids.get(&key.src).copied().unwrap_or(0),
                },
            );
        }
        if self.frags.too_far(&key) {
            self.ip_frag_reinit(&key, lifetime);
        }
        let Some(queue) = self.frags.queues.get_mut(&key) else {
            return Inserted::Waiting;
        };
        let at = match queue.place(&fragment) {
            Ok(at) => at,
            Err(Refused::Duplicate) => {
                self.kfree_skb(fragment.skb, DropReason::DupFrag);
                return Inserted::Waiting;
            }
            // nf_ct_frag6_queue() drops it alone.
            Err(Refused::Length) if key.pool() == POOL6_NF => {
                self.kfree_skb(fragment.skb, key.refused());
                return Inserted::Waiting;
            }
            Err(Refused::Length | Refused::Overlap) => {
                self.kfree_skb(fragment.skb, key.refused());
                self.frag_discard(&key);
                return Inserted::Waiting;
            }
        };
        // Fragments wait for up to a minute: a device must not run out of buffers meanwhile.
        fragment.skb.detach_if_scarce();
        let mem = fragment.skb.truesize();
        queue.len = queue.len.max(fragment.end);
        queue.last_in |= !fragment.more;
        queue.meat += fragment.end - fragment.start;
        queue.ecn |= 1 << fragment.ecn;
        queue.mem += mem;
        queue.fragments.insert(at, fragment);
        let complete = queue.is_complete().then(|| queue.ecn());
        *self.frags.mem(&key) += mem;
        match complete {
            None => Inserted::Waiting,
            Some(None) => {
                self.frag_discard(&key);
                Inserted::Waiting
            }
            Some(Some(ecn)) => match self.frag_kill(&key) {
                Some(queue) => Inserted::Complete(queue.fragments, ecn),
                None => Inserted::Waiting,
            },
        }
    }

    /// `ip_frag_reinit()`: what waited is lost, and the datagram begins anew.
    fn ip_frag_reinit(&mut self, key: &FragKey, lifetime: Ps) {
        let Some(queue) = self.frags.queues.get_mut(key) else {
            return;
        };
        let fragments = std::mem::take(&mut queue.fragments);
        let (mem, expired) = (std::mem::take(&mut queue.mem), queue.expires);
        queue.expires = self.now.saturating_add(lifetime);
        (queue.len, queue.last_in, queue.meat, queue.ecn) = (0, false, 0, 0);
        self.timers.stop(expired, TimerKey::Fragments(*key));
        self.timers.start(queue.expires, TimerKey::Fragments(*key));
        *self.frags.mem(key) -= mem;
        for fragment in fragments {
            self.kfree_skb(fragment.skb, DropReason::FragTooFar);
        }
    }

    /// `inet_frag_kill()`: takes the queue out.
    fn frag_kill(&mut self, key: &FragKey) -> Option<FragQueue> {
        let queue = self.frags.queues.remove(key)?;
        self.timers.stop(queue.expires, TimerKey::Fragments(*key));
        *self.frags.mem(key) -= queue.mem;
        Some(queue)
    }

    /// `inet_frag_kill()` and `inet_frag_destroy()`: what waited is no drop to Linux, which purges it as consumed.
    pub(crate) fn frag_discard(&mut self, key: &FragKey) {
        if let Some(queue) = self.frag_kill(key) {
            self.frag_purge(queue.fragments);
        }
    }

    /// `inet_frag_rbtree_purge()` without a timeout.
    pub(crate) fn frag_purge(&mut self, fragments: Vec<Fragment>) {
        for fragment in fragments {
            self.consume_skb(fragment.skb, Consume::Defrag);
        }
    }

    /// `inet_frag_reasm_prepare()` and `inet_frag_reasm_finish()`: one packet out of the first fragment's
    /// header and the payloads of all, which are consumed. The caller mends the header. `None` without
    /// fragments.
    pub(crate) fn inet_frag_reasm(&mut self, mut fragments: Vec<Fragment>) -> Option<SkBuff> {
        let first = fragments.first()?;
        let header_len = first.header_len;
        let payload: usize = fragments.iter().map(|f| f.skb.len()).sum();
        let mut whole = SkBuff::alloc_heap(NET_SKB_PAD + ETH_HLEN, header_len + payload);
        whole.copy_meta(&first.skb);
        whole.csum = CsumState::None;
        whole.csum_valid = false;
        whole.parent = first.skb.id;
        whole.pieces = Some(Box::new(Pieces::of(&fragments)));
        whole.id = self.new_packet_id();
        self.stats.built += 1;
        self.stats.reassembled += 1;
        // The link-layer header is the first fragment's.
        if let Some(mac) = first.skb.mac_bytes().get(..ETH_HLEN)
            && let Some(header) = whole.push(ETH_HLEN)
        {
            header.copy_from_slice(mac);
            whole.reset_mac_header();
            let _ = whole.pull(ETH_HLEN);
        }
        // The capacity was computed from the same lengths.
        let _ = whole.put_slice(
            first
                .skb
                .network_bytes()
                .get(..header_len)
                .unwrap_or_default(),
        );
        for fragment in fragments.drain(..) {
            let len = fragment.skb.len();
            let _ = whole
                .put(len)
                .and_then(|to| fragment.skb.skb_copy_bits(0, to));
            self.consume_skb(fragment.skb, Consume::Defrag);
        }
        if self.frags.unused.len() < MAX_UNUSED {
            self.frags.unused.push(fragments);
        }
        Some(whole)
    }

    /// `ip_expire()`, `ip6frag_expire_frag_queue()`: time is up. The sender is told if the first fragment came.
    pub(crate) fn frag_expire(&mut self, key: FragKey) {
        let Some(queue) = self.frag_kill(&key) else {
            return;
        };
        // A router that only wants to see ports does not speak for the receiver (frag_expire_skip_icmp()).
        let in_transit = key.src.is_ipv4()
            && matches!(key.user, FragUser::ConntrackIn(_))
            && !self.fib.is_local(key.dst);
        for mut fragment in queue.fragments {
            if fragment.start == 0 && !in_transit {
                fragment.skb.rewind_to_network();
                if key.src.is_ipv4() {
                    self.icmp_send(
                        &fragment.skb,
                        crate::icmp::TIME_EXCEEDED,
                        crate::icmp::EXC_FRAGTIME,
                        0,
                    );
                } else {
                    self.icmpv6_send(
                        &fragment.skb,
                        crate::icmpv6::TIME_EXCEED,
                        crate::icmpv6::EXC_FRAGTIME,
                        0,
                    );
                }
            }
            self.kfree_skb(fragment.skb, DropReason::FragReasmTimeout);
        }
    }
}

/// The keys of this module.
pub(crate) const SYSCTLS: &[Sysctl] = &[
    Sysctl::int(
        "net.ipv4.ipfrag_max_dist",
        0..=i32::MAX as i64,
        |stack, _| stack.frags.max_dist.into(),
        |stack, _, value| stack.frags.max_dist = value as u32,
    ),
    Sysctl::int(
        "net.netfilter.nf_conntrack_frag6_timeout",
        -JIFFIES..=JIFFIES,
        |stack, _| (stack.frags.nf_frag6_timeout / SEC) as i64,
        // A time before now is now.
        |stack, _, value| stack.frags.nf_frag6_timeout = value.max(0) as u64 * SEC,
    ),
];

/// Most seconds whose jiffies fit an `int` (`HZ` is 250).
const JIFFIES: i64 = i32::MAX as i64 / 250;
