// What tc programs do to packets: UDP over IPv4 whose destination port says what to try.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct bpf_map_def {
	unsigned int type, key_size, value_size, max_entries, map_flags;
};

struct bpf_map_def SEC("maps") hits = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = 4,
	.value_size = 8,
	.max_entries = 1,
};

SEC("classifier")
int cls(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *hit = bpf_map_lookup_elem(&hits, &zero);
	__u16 port;

	if (hit)
		__sync_fetch_and_add(hit, 1);
	if (skb->protocol != bpf_htons(0x0800) || bpf_skb_load_bytes(skb, 36, &port, 2))
		return TC_ACT_UNSPEC;
	switch (bpf_ntohs(port)) {
	case 1: { // another destination: port 2
		__u16 new = bpf_htons(2);

		bpf_l4_csum_replace(skb, 40, port, new, BPF_F_MARK_MANGLED_0 | 2);
		bpf_skb_store_bytes(skb, 36, &new, 2, 0);
		return TC_ACT_OK;
	}
	case 3: { // another source address: 10.9.9.9
		__u32 old, new = bpf_htonl(0x0a090909);

		bpf_skb_load_bytes(skb, 26, &old, 4);
		bpf_l4_csum_replace(skb, 40, old, new, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | 4);
		bpf_l3_csum_replace(skb, 24, old, new, 4);
		bpf_skb_store_bytes(skb, 26, &new, 4, 0);
		return TC_ACT_OK;
	}
	case 4:
		skb->priority = skb->mark + skb->len;
		skb->mark = skb->ifindex;
		return TC_ACT_PIPE;
	case 5:
		return bpf_redirect(2, BPF_F_INGRESS);
	}
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
