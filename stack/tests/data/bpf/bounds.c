// Programs that leave their memory, one way each. A verifier refuses them all; here they are to be stopped when they do it.
// The number of a byte that a verifier must not know comes from the packet: byte 42, the first of the payload.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct value {
	__u8 bytes[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct value);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct value);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

#define DATA(c) ((volatile __u8 *)(long)(c)->data)
#define END(c) ((volatile __u8 *)(long)(c)->data_end)

// One byte behind the packet.
SEC("xdp/read_end") int read_end(struct xdp_md *c)
{
	return *END(c) ? XDP_PASS : XDP_TX;
}

// The last four bytes and the four behind them.
SEC("xdp/read_across") int read_across(struct xdp_md *c)
{
	return *(volatile __u64 *)(END(c) - 4) ? XDP_PASS : XDP_TX;
}

// One byte in front of it.
SEC("xdp/read_before") int read_before(struct xdp_md *c)
{
	return DATA(c)[-1] ? XDP_PASS : XDP_TX;
}

SEC("xdp/write_end") int write_end(struct xdp_md *c)
{
	*END(c) = 0x5a;
	return XDP_PASS;
}

SEC("xdp/write_before") int write_before(struct xdp_md *c)
{
	DATA(c)[-1] = 0x5a;
	return XDP_PASS;
}

// Above the frame of the stack: 512 bytes end at r10.
SEC("xdp/stack_above") int stack_above(struct xdp_md *c)
{
	__u8 bytes[8] = {};
	volatile __u8 *p = bytes;

	if (DATA(c) + 43 > END(c))
		return XDP_TX;
	return p[8 + DATA(c)[42]] ? XDP_PASS : XDP_TX;
}

// Below it.
SEC("xdp/stack_below") int stack_below(struct xdp_md *c)
{
	asm volatile("*(u8 *)(r10 - 600) = %0" : : "r"(1) : "memory");
	return XDP_PASS;
}

// The context is read only, and ends.
SEC("xdp/write_context") int write_context(struct xdp_md *c)
{
	*(volatile __u32 *)&c->ingress_ifindex = 7;
	return XDP_PASS;
}

SEC("xdp/read_context") int read_context(struct xdp_md *c)
{
	return ((volatile __u32 *)c)[6] ? XDP_PASS : XDP_TX;
}

// A value of an array has a neighbour, but behind the last one there is nothing.
SEC("xdp/array_end") int array_end(struct xdp_md *c)
{
	__u32 one = 1;
	volatile __u8 *v = bpf_map_lookup_elem(&array, &one);

	if (!v)
		return XDP_TX;
	v[sizeof(struct value)] = 1;
	return XDP_PASS;
}

// Nobody looked whether the key is there.
SEC("xdp/null") int null(struct xdp_md *c)
{
	__u32 none = 77;
	volatile struct value *v = bpf_map_lookup_elem(&hash, &none);

	return v->bytes[0] ? XDP_PASS : XDP_TX;
}

// A key that begins in the packet and ends behind it.
SEC("xdp/helper_key") int helper_key(struct xdp_md *c)
{
	return bpf_map_lookup_elem(&array, (void *)(END(c) - 2)) ? XDP_PASS : XDP_TX;
}

// A value that begins on the stack and ends above it.
SEC("xdp/helper_value") int helper_value(struct xdp_md *c)
{
	__u32 zero = 0;

	return bpf_map_update_elem(&hash, &zero, &zero, BPF_ANY) ? XDP_PASS : XDP_TX;
}

// Not a map.
SEC("xdp/helper_map") int helper_map(struct xdp_md *c)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem((void *)c, &zero) ? XDP_PASS : XDP_TX;
}

// A number, taken for an address.
SEC("xdp/number") int number(struct xdp_md *c)
{
	return *(volatile __u8 *)(0xffff888000000000ull) ? XDP_PASS : XDP_TX;
}

// What data was before the frame moved is no address any more.
SEC("xdp/moved") int moved(struct xdp_md *c)
{
	volatile __u8 *data = DATA(c);

	if (data + 14 > END(c) || bpf_xdp_adjust_head(c, 14))
		return XDP_TX;
	return data[0] ? XDP_PASS : XDP_TX;
}

// This one stays inside, whatever the packet says: it reads the byte that the payload names, if there is one.
SEC("xdp/inside") int inside(struct xdp_md *c)
{
	__u8 *data = (void *)(long)c->data, *end = (void *)(long)c->data_end;

	if (data + 43 > end)
		return XDP_DROP;
	__u8 *named = data + data[42];

	if (named + 1 > end)
		return XDP_ABORTED;
	__u32 slot = *named & 1;
	struct value *v = bpf_map_lookup_elem(&array, &slot);

	if (v)
		v->bytes[*named & 15] = *named;
	// 5 is in the device map, or the verdict is that of its flags.
	if (*named == 0x45)
		return bpf_redirect_map(&devices, 5, XDP_TX);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
