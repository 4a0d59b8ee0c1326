// Maps of every kind, global variables, functions, helpers: UDP over IPv4 whose destination port says what to try.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct flow {
	__u32 saddr;
	__u16 sport;
	__u16 pad;
};

struct seen {
	__u64 packets;
	__u64 last;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, struct flow);
	__type(value, struct seen);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2);
	__type(key, __u16);
	__type(value, __u32);
} recent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 8);
	__uint(key_size, 4);
	__uint(value_size, 4);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

const volatile __u32 blocked_port = 1000;
__u64 total;
__u32 limit = 3;

static __noinline int count(__u32 which)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &which);

	if (!value)
		return -1;
	*value += 1;
	return 0;
}

static __noinline __u32 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

SEC("xdp")
int try_all(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 42 > end)
		return XDP_PASS;
	if (data[12] != 8 || data[13] != 0 || data[23] != 17)
		return XDP_PASS;
	__sync_fetch_and_add(&total, 1);
	__u16 port = data[36] << 8 | data[37];
	struct flow flow = { .saddr = *(__u32 *)(data + 26), .sport = *(__u16 *)(data + 34) };

	if (port == blocked_port) {
		count(1);
		return total > limit ? XDP_DROP : XDP_PASS;
	}
	if (count(0))
		return XDP_ABORTED;
	switch (port) {
	case 1: { // a flow table
		struct seen *seen = bpf_map_lookup_elem(&flows, &flow);

		if (seen) {
			seen->packets++;
			seen->last = bpf_ktime_get_ns();
			return XDP_PASS;
		}
		struct seen first = { .packets = 1, .last = bpf_ktime_get_ns() };

		return bpf_map_update_elem(&flows, &flow, &first, BPF_NOEXIST) ? XDP_DROP : XDP_PASS;
	}
	case 2: // forget the flow
		return bpf_map_delete_elem(&flows, &flow) ? XDP_DROP : XDP_PASS;
	case 3: { // the last two source ports
		__u32 one = 1;

		bpf_map_update_elem(&recent, &flow.sport, &one, BPF_ANY);
		return XDP_PASS;
	}
	case 4: // out of the device in the source port's slot, or dropped
		return bpf_redirect_map(&devices, bpf_ntohs(flow.sport), XDP_DROP);
	case 5: // to a socket, or on
		return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
	case 6: { // a tag of 4 bytes in front of the type
		if (bpf_xdp_adjust_head(ctx, -4))
			return XDP_ABORTED;
		data = (void *)(long)ctx->data;
		end = (void *)(long)ctx->data_end;
		if (data + 18 > end)
			return XDP_ABORTED;
		for (int i = 0; i < 12; i++)
			data[i] = data[i + 4];
		data[12] = 0x81;
		data[13] = 0;
		data[14] = 0;
		data[15] = 5;
		return XDP_TX;
	}
	case 7: // the last 10 bytes off
		if (bpf_xdp_adjust_tail(ctx, -10))
			return XDP_ABORTED;
		return XDP_TX;
	case 8: { // another TTL, and the header checksum mended
		__u32 old = *(__u32 *)(data + 22), new;
		__u16 *check = (void *)(data + 24);

		data[22] = 17;
		new = *(__u32 *)(data + 22);
		// The checksum is in the same word: it must count as unchanged.
		__u32 from = old & 0xffff, to = new & 0xffff;

		*check = ~fold(bpf_csum_diff(&from, 4, &to, 4, (__u16)~*check));
		return XDP_TX;
	}
	case 9: // half of them
		return bpf_get_prandom_u32() & 1 ? XDP_PASS : XDP_DROP;
	case 10: // by number of the device
		return bpf_redirect(3, 0);
	case 11: // no verdict
		return 77;
	case 12: { // longer than there is room
		if (bpf_xdp_adjust_tail(ctx, 60000))
			return XDP_DROP;
		return XDP_PASS;
	}
	}
	return XDP_PASS;
}

SEC("xdp/loop")
int endless(struct xdp_md *ctx)
{
	// A verifier refuses this: it must be stopped instead.
	for (volatile int i = 0; i < 1; i -= 1)
		;
	return XDP_PASS;
}

SEC("xdp/stray")
int stray(struct xdp_md *ctx)
{
	// So is this: nobody looked where the packet ends.
	unsigned char *data = (void *)(long)ctx->data;

	return data[3000] ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
