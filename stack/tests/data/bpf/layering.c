// The programs of the recording "XDP, tc and nft layering" (T4).
#include <linux/bpf.h>
#define SEC(n) __attribute__((section(n), used))

// Drops UDP to port 7, aborts on 6, sends 8 back with the MAC addresses swapped, passes the rest.
SEC("xdp") int prog(struct xdp_md *c)
{
	unsigned char *d = (void *)(long)c->data, *e = (void *)(long)c->data_end;

	if (d + 38 > e)
		return XDP_PASS;
	if (d[12] != 8 || d[13] != 0 || d[23] != 17)
		return XDP_PASS;
	unsigned dp = d[36] << 8 | d[37];

	if (dp == 7)
		return XDP_DROP;
	if (dp == 6)
		return XDP_ABORTED;
	if (dp == 8) {
		for (int i = 0; i < 6; i++) {
			unsigned char t = d[i];

			d[i] = d[i + 6];
			d[i + 6] = t;
		}
		return XDP_TX;
	}
	return XDP_PASS;
}

// Direct action: marks UDP to port 9, drops 10.
SEC("tc") int cls(struct __sk_buff *s)
{
	unsigned char *d = (void *)(long)s->data, *e = (void *)(long)s->data_end;

	if (d + 38 > e)
		return -1;
	if (d[12] != 8 || d[13] != 0 || d[23] != 17)
		return -1;
	unsigned dp = d[36] << 8 | d[37];

	if (dp == 9)
		s->mark = 0x7c;
	if (dp == 10)
		return 2;
	return -1;
}

char _license[] SEC("license") = "GPL";
