// The NIC's own constants and types: BAR0 register map, statistics events, internal bundles.
package nic_pkg;

  // Not every block uses every constant.
  /* verilator lint_off UNUSEDPARAM */

  // BAR0, 64 KiB. Byte offsets of the regions; the PCI capabilities that the host reads say the
  // same, and a test compares both.
  localparam logic [15:0] BAR_COMMON_CFG = 16'h0000;  // virtio 4.1.4.3, 64 bytes
  localparam logic [15:0] BAR_ISR        = 16'h1000;  // virtio 4.1.4.5, 1 byte, cleared by a read
  localparam logic [15:0] BAR_DEVICE_CFG = 16'h2000;  // virtio 5.1.4, 24 bytes
  localparam logic [15:0] BAR_NOTIFY     = 16'h3000;  // one 32-bit doorbell per queue
  localparam logic [15:0] BAR_MSIX_TABLE = 16'h4000;  // 16 bytes per vector
  localparam logic [15:0] BAR_MSIX_PBA   = 16'h5000;  // one bit per vector
  localparam logic [15:0] BAR_VENDOR     = 16'h6000;  // build information and statistics
  // A region is selected by the top four address bits.

  localparam int unsigned NOTIFY_OFF_MULTIPLIER = 4;  // bytes between doorbells

  // Vendor region: byte offsets from BAR_VENDOR. Counters are 64 bits, little endian, cleared by
  // rst_ni only (a virtio device reset leaves them), read as two 32-bit halves.
  localparam logic [11:0] VENDOR_MAGIC    = 12'h000;  // "WPTH" read as bytes
  localparam logic [11:0] VENDOR_VERSION  = 12'h004;  // major << 16 | minor
  localparam logic [11:0] VENDOR_BUILD    = 12'h008;  // queue pairs | data width in bytes << 16
  localparam logic [11:0] VENDOR_MAC_CTRL = 12'h010;  // mac_ctrl_t; rst_ni only sets it back
  localparam logic [11:0] VENDOR_SNAPSHOT = 12'h014;  // write: all counters are copied at this instant;
                                                      // read: how often, 32 bits
  localparam logic [11:0] VENDOR_COUNTERS = 12'h100;  // 8 bytes each, in the order of stat_e
  localparam logic [11:0] VENDOR_FROZEN   = 12'h500;  // the same of the last snapshot

  localparam logic [31:0] MAGIC   = 32'h4854_5057;
  localparam logic [31:0] VERSION = 32'h0000_0001;

  // Statistics counters, RMON-like. The index is the place in the vendor region.
  typedef enum logic [4:0] {
    STAT_RX_FRAMES     = 5'd0,   // good frames from the wire
    STAT_RX_BYTES      = 5'd1,   // bytes of good frames, FCS not included
    STAT_RX_BAD_FCS    = 5'd2,   // dropped: frame check sequence wrong
    STAT_RX_RUNT       = 5'd3,   // dropped: shorter than 64 bytes with FCS
    STAT_RX_OVERSIZE   = 5'd4,   // dropped: longer than the limit
    STAT_RX_ERROR      = 5'd5,   // dropped: control character inside the frame or bad preamble
    STAT_RX_NO_SPACE   = 5'd6,   // dropped: receive store full
    STAT_RX_DISABLED   = 5'd7,   // dropped: receive queue not enabled or device stopped
    STAT_RX_TRUNCATED  = 5'd8,   // dropped: longer than the buffer chain that was offered
    STAT_RX_CSUM_VALID = 5'd9,   // delivered with DATA_VALID
    STAT_TX_FRAMES     = 5'd10,  // frames sent
    STAT_TX_BYTES      = 5'd11,  // bytes of frames sent, padding included, FCS not
    STAT_TX_MALFORMED  = 5'd12,  // dropped: illegal virtio_net_hdr or frame length
    STAT_TX_CSUM       = 5'd13,  // frames whose checksum was inserted
    STAT_TX_UNDERRUN   = 5'd14,  // frames cut because data was not there in time (never)
    STAT_RX_BUFFERS    = 5'd15,  // receive buffers used
    STAT_TX_BUFFERS    = 5'd16,  // transmit chains used
    STAT_DMA_ERROR     = 5'd17,  // error responses on the AXI master
    STAT_RX_FILTERED   = 5'd18,  // dropped: receive mode, address table or VLAN filter
    STAT_RX_COALESCED  = 5'd19,  // segments that went into coalesced frames of two or more
    STAT_RX_LRO_FRAMES = 5'd20,  // frames of two or more segments that they became
    STAT_TX_GSO        = 5'd21,  // chains that asked for segmentation and got it
    STAT_TX_SEGMENTS   = 5'd22,  // frames that segmentation made
    STAT_CTRL_OK       = 5'd23,  // control commands answered with VIRTIO_NET_OK
    STAT_CTRL_ERR      = 5'd24,  // control commands answered with VIRTIO_NET_ERR
    STAT_RX_NO_BUFFER  = 5'd25,  // dropped: its queue was without buffers, and others must go on
    STAT_RX_PAUSE      = 5'd26,  // PAUSE frames taken by the MAC (also in STAT_RX_FRAMES)
    STAT_RX_MAC_CTRL   = 5'd27,  // dropped: other MAC control frames (also in STAT_RX_FRAMES)
    STAT_TX_PAUSE      = 5'd28   // PAUSE frames sent (also in STAT_TX_FRAMES)
  } stat_e;
  localparam int unsigned NUM_STATS = 29;

  // What the driver of the vendor region may choose of the MAC.
  typedef struct packed {
    logic tx_pause;  // send PAUSE frames when the receive store fills up; 0 after reset
    logic rx_pause;  // honour PAUSE frames and keep MAC control frames; 1 after reset
    logic loopback;  // what is sent comes back, the pins are cut off; 0 after reset
  } mac_ctrl_t;
  localparam mac_ctrl_t MAC_CTRL_RESET = 3'b010;

  // One-cycle events of the receive MAC; bytes counts the frame without FCS and is valid with good.
  typedef struct packed {
    logic        good;
    logic        bad_fcs;
    logic        runt;
    logic        oversize;
    logic        error;
    logic [13:0] bytes;
  } mac_rx_stat_t;

  // One-cycle events of the transmit MAC; bytes counts padding and not FCS, valid with sent.
  typedef struct packed {
    logic        sent;
    logic        underrun;
    logic [13:0] bytes;
  } mac_tx_stat_t;

  // Register access inside the device: one access per cycle at the most, 32-bit words.
  typedef struct packed {
    logic        write;  // pulse: bytes of data selected by strb
    logic        read;   // pulse: the answer is taken in the same cycle (side effects happen now)
    logic [15:0] addr;   // byte offset in BAR0, bits 1:0 zero
    logic [31:0] data;
    logic [3:0]  strb;
  } reg_req_t;

  // AXI4 response codes (AMBA AXI A3.4.4).
  localparam logic [1:0] RESP_OKAY   = 2'b00;

  // Queues. A pair is a receive and a transmit queue, numbers 2 * pair and 2 * pair + 1; the control
  // queue is the last, whatever number the driver knows it by (see queue_place).
  localparam int unsigned MAX_QUEUE_PAIRS = 8;

  // AXI IDs of the master: {kind, queue}. Every queue has IDs of its own, so that a completion that
  // does not come holds nobody else. Transactions of different IDs may complete out of order.
  typedef logic [7:0] axi_id_t;
  localparam logic [2:0] ID_DESC = 3'd0;     // read: descriptors
  localparam logic [2:0] ID_RING = 3'd1;     // event suppression structures, used write
  localparam logic [2:0] ID_DATA = 3'd2;     // buffers: write of receive, read of transmit queues
  localparam axi_id_t    ID_MSIX = 8'h60;    // write: MSI-X messages
  localparam logic [4:0] ID_CTRL = 5'd16;    // the control queue in the ID, whatever QueuePairs

  // 5.1.2: the queue that a driver means by the number `index` when the control queue
  // has the number 2 * pairs. Numbers behind it are of queues that cannot be used.
  function automatic logic [4:0] queue_place(logic [4:0] index, logic [3:0] pairs,
                                             logic [4:0] ctrl_queue);
    if (index < {pairs, 1'b0}) return index;
    if (index == {pairs, 1'b0}) return ctrl_queue;
    return index - 5'd1;
  endfunction

  // DMA data moves in bursts that start anywhere and end at a multiple of this many beats, so that
  // none crosses 4 KiB (AMBA AXI A3.4.1) at any HostDataWidth up to 2048.
  localparam int unsigned BURST_BEATS = 16;

  // What a virtqueue is told by the common configuration (virtio 4.1.4.3), static while enabled.
  typedef struct packed {
    logic        enable;    // queue_enable, device running, not in reset
    logic [15:0] size;      // queue_size, 1..32768
    logic [63:0] desc;      // queue_desc: bus address of the descriptor ring
    logic [63:0] driver;    // queue_driver: driver event suppression structure
    logic [63:0] device;    // queue_device: device event suppression structure
  } vq_cfg_t;

  // One descriptor as the fetcher hands it to a DMA engine.
  typedef struct packed {
    logic        inner; // of an indirect table, not its first: takes no place in the ring
    logic        write; // the device writes this buffer
    logic [63:0] addr;  // bus address
    logic [31:0] len;   // bytes
    logic [15:0] id;    // Buffer ID, meaningful in the last descriptor of a chain
    logic        next;  // more descriptors of this chain follow
  } vq_desc_t;

  // A finished chain on its way to the used ring.
  typedef struct packed {
    logic        more;   // the next chain belongs to the same frame: shown to the driver together
    logic [15:0] id;     // Buffer ID
    logic [31:0] len;    // bytes written to the buffer
    logic [15:0] ndesc;  // ring entries that the chain took
  } vq_used_t;

  // What the device decides of a received frame's virtio_net_hdr (5.1.6, 5.1.6.4), in the order of
  // the struct from bit 0; num_buffers, between csum_offset and hash_value, is not known before DMA.
  typedef struct packed {
    logic [15:0] hash_report;
    logic [31:0] hash_value;
    logic [15:0] csum_offset;
    logic [15:0] csum_start;
    logic [15:0] gso_size;
    logic [15:0] hdr_len;
    logic [7:0]  gso_type;
    logic [7:0]  flags;
  } net_hdr_t;

  // A received frame on its way to the DMA engine.
  typedef struct packed {
    logic [16:0] len;   // bytes without FCS and virtio_net_hdr; above 14 bits only when coalesced
    logic [2:0]  pair;  // receive queue pair
    net_hdr_t    hdr;
  } rx_frame_t;

  // Receive modes (5.1.6.5.1).
  typedef struct packed {
    logic promisc;
    logic allmulti;
  } rx_mode_t;

  // Receive-side scaling and hash report (5.1.6.5.6.4, 5.1.6.5.7.4); key and table are beside it.
  typedef struct packed {
    logic        steer;         // RSS chooses the queue
    logic        report;        // the hash goes into the header
    logic [15:0] hash_types;    // VIRTIO_NET_RSS_HASH_TYPE_*
    logic [6:0]  mask;          // indirection table entries - 1
    logic [2:0]  default_pair;  // unclassified_queue
  } rss_cfg_t;

  // Notification moderation of one direction (5.1.6.5.8): what VIRTIO_NET_CTRL_NOTF_COAL set.
  typedef struct packed {
    logic [31:0] max_packets;
    logic [31:0] max_usecs;
  } coal_cfg_t;

  // Which buffers a virtqueue may hold: those that the device reads, those that it writes, or in each
  // chain first the ones and then the others (2.8.17).
  typedef enum logic [1:0] {VQ_READ, VQ_WRITE, VQ_BOTH} vq_direction_e;

  // What the control queue has set (5.1.6.5), as registers.
  typedef struct packed {
    rx_mode_t    mode;
    logic [47:0] mac;      // bits 7:0 = first octet
    logic [3:0]  pairs;    // in use without RSS, 1..8 (5.1.6.5.6)
    rss_cfg_t    rss;
    coal_cfg_t   rx_coal;
    coal_cfg_t   tx_coal;
  } ctrl_cfg_t;

  // What it puts into tables that others keep; each *_we and mac_set lasts a cycle.
  typedef struct packed {
    logic            mac_we;
    logic [5:0]      mac_index;  // bit 5: of the multicast addresses
    logic [47:0]     mac;
    logic            mac_set;    // the table is whole: count and all hold
    logic [1:0][5:0] mac_count;  // unicast [0] and multicast [1] addresses, 0..32
    logic [1:0]      mac_all;    // there were more: all of that kind pass
    logic            vlan_we;
    logic            vlan_on;
    logic [11:0]     vlan_id;
    logic            rss_we;     // indirection table
    logic [6:0]      rss_index;
    logic [2:0]      rss_pair;
  } ctrl_write_t;

  // A single-beat write of at most 8 bytes, naturally aligned.
  typedef struct packed {
    logic [63:0] addr;
    logic [2:0]  size;  // log2 bytes, 0..3
    logic [63:0] data;  // in the byte lanes of addr[2:0]
  } word_write_t;

endpackage
