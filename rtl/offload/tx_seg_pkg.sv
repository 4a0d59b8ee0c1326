// What the parts of the segmentation engine hand to each other.
//
// Positions count bytes from the first of struct virtio_net_hdr, which is 12 bytes long here.
package tx_seg_pkg;

  // Not every block uses every constant.
  /* verilator lint_off UNUSEDPARAM */

  localparam int unsigned SLOTS      = 4;    // super-frames between the input and the last segment
  localparam int unsigned SLOT_WORDS = 64;   // of 64 bits, held of each frame's beginning
  localparam int unsigned RING_WORDS = 2048;
  localparam int unsigned NET_HDR    = 12;   // bytes

  // Longest headers that are repeated in front of each segment, and longest super-frame (Ethernet
  // header, two VLAN tags, IPv6 header and 65,535 bytes behind it), virtio_net_hdr included.
  localparam logic [11:0] MAX_HEADERS = 12'd508;
  localparam logic [16:0] MAX_LEN     = 17'(NET_HDR + 14 + 8 + 40 + 65535);

  typedef logic [1:0]  slot_id_t;
  typedef logic [11:0] ring_ptr_t;  // word of the ring, with a wrap bit on top

  // A frame as far as it came in.
  typedef struct packed {
    logic        gso;      // gso_type was a negotiated one
    logic        ended;
    logic        aborted;  // ended with tuser
    logic        over;     // longer than MAX_LEN, the rest was not stored
    logic [16:0] len;      // bytes stored
    ring_ptr_t   start;
  } slot_t;

  // A frame whose headers have been read. Numbers are in host order.
  typedef struct packed {
    slot_id_t    slot;
    logic        plain;       // not to be segmented, the rest does not matter
    logic        bad;         // cannot be segmented, the rest does not matter
    logic        ipv6;
    logic        udp;
    logic [8:0]  l3;          // position of the IP header
    logic [8:0]  l4;          // of the transport header
    logic [8:0]  headers;     // of the payload
    logic [15:0] gso_size;
    logic [15:0] max_payload; // what fits behind the headers into the longest frame
    logic [15:0] id;          // IPv4 identification
    logic [31:0] seq;         // TCP
    logic [15:0] flags;       // TCP data offset and flags
    logic [15:0] ip_sum;      // of the IPv4 header but total length, identification and checksum
    logic [15:0] pseudo_sum;  // of the pseudo-header but the length
  } ctx_t;

  // A segment; also a piece of a dropped frame, which only frees what it held.
  typedef struct packed {
    slot_id_t    slot;
    logic        none;      // nothing is sent
    logic        plain;     // without a header of ours
    logic        done;      // the slot is not needed any more
    logic        ipv6;
    logic        udp;
    logic [8:0]  l3;
    logic [8:0]  l4;
    logic [8:0]  headers;
    logic [15:0] ip_len;    // total length (IPv4), payload length (IPv6)
    logic [15:0] id;
    logic [15:0] ip_csum;
    logic [15:0] l4_len;    // UDP length
    logic [31:0] seq;
    logic [15:0] flags;
    logic [15:0] pseudo;    // folded sum of the pseudo-header
    logic [13:0] payload;   // bytes
    logic [2:0]  lane;      // of the payload's first byte in its word
  } seg_t;

  // Words that are to be read from the ring.
  typedef struct packed {
    ring_ptr_t   from;
    logic [10:0] words;
    ring_ptr_t   free_to;  // words before this one are not needed any more afterwards
  } fetch_t;

  // Ones' complement sum of 16-bit words, folded; at most 63 carries.
  function automatic logic [15:0] fold(input logic [21:0] sum);
    logic [16:0] once;
    once = 17'(sum[15:0]) + 17'(sum[21:16]);
    return once[15:0] + 16'(once[16]);
  endfunction

endpackage
