// What the receive parser says of a packet's flow, and the Toeplitz hash over it.
package rx_flow_pkg;

  // What one half (4 bytes) of a word of the packet is to the hash (virtio 5.1.6.4.3).
  typedef enum logic [2:0] {
    HALF_NONE,
    HALF_SRC,    // source address
    HALF_DST,    // destination address
    HALF_HOME,   // address of a Home Address option (RFC 6275 6.3)
    HALF_ROUTE,  // address of a type 2 routing header (RFC 6275 6.4)
    HALF_PORTS   // source and destination port, or what stands in their place
  } half_e;

  // A word of the packet that has a part in the hash.
  typedef struct packed {
    logic        first;  // the address begins here
    logic [3:0]  slot;   // where the hash input has the lower half: (byte offset + 4) / 4
    half_e       hi;     // lanes 4..7
    half_e       lo;     // lanes 0..3
    logic [63:0] data;   // lane 0 in bits 7:0
  } flow_word_t;

  // What is known of the packet at its end. All but ok mean nothing without ok.
  typedef struct packed {
    logic ok;          // IPv4 or IPv6 with all its headers in the frame
    logic ipv6;
    logic extensions;  // IPv6 extension headers, a fragment header included
    logic ports;       // TCP or UDP, not a fragment, and the ports are there
    logic tcp;
    logic home;        // there was a HALF_HOME
    logic route;       // there was a HALF_ROUTE
  } flow_info_t;

  // What coalescing knows of a frame in the store; all but mergeable mean nothing without it.
  typedef struct packed {
    logic        mergeable;  // a segment of a plain TCP stream, checksums verified
    logic        continues;  // the frame before it in the store, with equal headers
    logic        last;       // no segment can follow it: PSH, short, or 64 KiB
    logic        psh;
    logic        ipv6;
    logic        options;    // 12 bytes of TCP options (timestamps), else none
    logic [1:0]  tags;       // VLAN tags, 0..2
    logic [15:0] addr_sum;   // ones' complement sum of the addresses (RFC 1071), big endian
  } coal_meta_t;

  // What stands beside a frame in the receive store.
  typedef struct packed {
    logic        csum_valid;  // checksums verified (rx_csum)
    logic [2:0]  pair;        // receive queue pair
    logic [3:0]  report;      // VIRTIO_NET_HASH_REPORT_*
    logic [31:0] hash;
    coal_meta_t  coal;
  } rx_meta_t;

  // Frames of the store that are to become one, or a single one.
  typedef struct packed {
    rx_meta_t    meta;      // the first one's
    logic [13:0] len;       // bytes of the first frame, and of all others but the last
    logic [13:0] last_len;  // bytes of the last frame
    logic [15:0] more;      // frames behind the first
    logic [15:0] payload;   // bytes of all TCP payloads; means nothing for a single frame
    logic        psh;       // the last one has PSH
  } coal_group_t;

  // Offsets of IP and TCP header of a mergeable frame, bytes.
  function automatic logic [6:0] l3_offset(input logic [1:0] tags);
    return 7'd14 + {3'd0, tags, 2'd0};
  endfunction

  function automatic logic [6:0] l4_offset(input logic [1:0] tags, input logic ipv6);
    return l3_offset(tags) + (ipv6 ? 7'd40 : 7'd20);
  endfunction

  // Bytes of its headers together.
  function automatic logic [6:0] header_bytes(input logic [1:0] tags, input logic ipv6,
                                              input logic options);
    return l4_offset(tags, ipv6) + (options ? 7'd32 : 7'd20);
  endfunction

  // Toeplitz hash of 32 bits of input, the first one in bit 31. key: the 63 bits of the key that
  // begin at the place of the first.
  function automatic logic [31:0] toeplitz(input logic [31:0] data, input logic [62:0] key);
    logic [31:0] hash;
    hash = '0;
    for (int unsigned i = 0; i < 32; i++) begin
      if (data[i]) hash ^= key[i +: 32];
    end
    return hash;
  endfunction

  // Lanes to network order: the first byte on the wire in bits 31:24.
  function automatic logic [31:0] swap32(input logic [31:0] half);
    return {half[7:0], half[15:8], half[23:16], half[31:24]};
  endfunction

endpackage
