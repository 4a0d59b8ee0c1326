// Constants of the virtio 1.2 specification that the NIC refers to.
// Section numbers are those of "Virtual I/O Device (VIRTIO) Version 1.2".
package virtio_pkg;

  // Not every block uses every constant.
  /* verilator lint_off UNUSEDPARAM */

  // 2.1 Device Status Field: bit positions.
  localparam int unsigned STATUS_ACKNOWLEDGE        = 0;
  localparam int unsigned STATUS_DRIVER             = 1;
  localparam int unsigned STATUS_DRIVER_OK          = 2;
  localparam int unsigned STATUS_FEATURES_OK        = 3;
  localparam int unsigned STATUS_DEVICE_NEEDS_RESET = 6;
  localparam int unsigned STATUS_FAILED             = 7;

  // 6 Reserved Feature Bits: bit positions.
  localparam int unsigned F_INDIRECT_DESC   = 28;
  localparam int unsigned F_EVENT_IDX       = 29;
  localparam int unsigned F_VERSION_1       = 32;
  localparam int unsigned F_ACCESS_PLATFORM = 33;
  localparam int unsigned F_RING_PACKED     = 34;
  localparam int unsigned F_IN_ORDER        = 35;
  localparam int unsigned F_RING_RESET      = 40;

  // 5.1.3 Network device feature bits: bit positions.
  localparam int unsigned F_NET_CSUM          = 0;
  localparam int unsigned F_NET_GUEST_CSUM    = 1;
  localparam int unsigned F_NET_MTU           = 3;
  localparam int unsigned F_NET_MAC           = 5;
  localparam int unsigned F_NET_GUEST_TSO4    = 7;
  localparam int unsigned F_NET_GUEST_TSO6    = 8;
  localparam int unsigned F_NET_HOST_TSO4     = 11;
  localparam int unsigned F_NET_HOST_TSO6     = 12;
  localparam int unsigned F_NET_HOST_ECN      = 13;
  localparam int unsigned F_NET_MRG_RXBUF     = 15;
  localparam int unsigned F_NET_STATUS        = 16;
  localparam int unsigned F_NET_CTRL_VQ       = 17;
  localparam int unsigned F_NET_CTRL_RX       = 18;
  localparam int unsigned F_NET_CTRL_VLAN     = 19;
  localparam int unsigned F_NET_MQ            = 22;
  localparam int unsigned F_NET_CTRL_MAC_ADDR = 23;
  localparam int unsigned F_NET_NOTF_COAL     = 53;
  localparam int unsigned F_NET_HOST_USO      = 56;
  localparam int unsigned F_NET_HASH_REPORT   = 57;
  localparam int unsigned F_NET_RSS           = 60;
  localparam int unsigned F_NET_SPEED_DUPLEX  = 63;

  // The features that this RTL can do.
  localparam logic [63:0] SUPPORTED =
      (64'd1 << F_VERSION_1) | (64'd1 << F_RING_PACKED) | (64'd1 << F_ACCESS_PLATFORM) |
      (64'd1 << F_EVENT_IDX) | (64'd1 << F_IN_ORDER) | (64'd1 << F_RING_RESET) |
      (64'd1 << F_INDIRECT_DESC) | (64'd1 << F_NET_MRG_RXBUF) | (64'd1 << F_NET_HASH_REPORT) |
      (64'd1 << F_NET_CSUM) | (64'd1 << F_NET_GUEST_CSUM) | (64'd1 << F_NET_MTU) |
      (64'd1 << F_NET_HOST_TSO4) | (64'd1 << F_NET_HOST_TSO6) | (64'd1 << F_NET_HOST_ECN) |
      (64'd1 << F_NET_HOST_USO) | (64'd1 << F_NET_GUEST_TSO4) | (64'd1 << F_NET_GUEST_TSO6) |
      (64'd1 << F_NET_MAC) | (64'd1 << F_NET_STATUS) | (64'd1 << F_NET_SPEED_DUPLEX) |
      (64'd1 << F_NET_CTRL_VQ) | (64'd1 << F_NET_CTRL_RX) | (64'd1 << F_NET_CTRL_VLAN) |
      (64'd1 << F_NET_CTRL_MAC_ADDR) | (64'd1 << F_NET_MQ) | (64'd1 << F_NET_RSS) |
      (64'd1 << F_NET_NOTF_COAL);

  // 5.1.3.1: f without the features whose requirement it lacks. A requirement may be lost by that:
  // applied twice, nothing is left to take away (ECN needs TSO, which needs CSUM).
  function automatic logic [63:0] with_requirements(logic [63:0] f);
    with_requirements = f;
    if (!f[F_NET_GUEST_CSUM]) begin
      with_requirements[F_NET_GUEST_TSO4] = 1'b0;
      with_requirements[F_NET_GUEST_TSO6] = 1'b0;
    end
    if (!f[F_NET_CSUM]) begin
      with_requirements[F_NET_HOST_TSO4] = 1'b0;
      with_requirements[F_NET_HOST_TSO6] = 1'b0;
      with_requirements[F_NET_HOST_USO]  = 1'b0;
    end
    if (!f[F_NET_HOST_TSO4] && !f[F_NET_HOST_TSO6]) with_requirements[F_NET_HOST_ECN] = 1'b0;
    if (!f[F_NET_CTRL_VQ]) begin
      with_requirements[F_NET_CTRL_RX]       = 1'b0;
      with_requirements[F_NET_CTRL_VLAN]     = 1'b0;
      with_requirements[F_NET_CTRL_MAC_ADDR] = 1'b0;
      with_requirements[F_NET_MQ]            = 1'b0;
      with_requirements[F_NET_RSS]           = 1'b0;
      with_requirements[F_NET_HASH_REPORT]   = 1'b0;  // 5.1.4.1: configured through the queue
      with_requirements[F_NET_NOTF_COAL]     = 1'b0;
    end
  endfunction

  // 2.8.13 The Virtqueue Descriptor Table (packed): descriptor flags, bit positions.
  localparam int unsigned DESC_F_NEXT     = 0;
  localparam int unsigned DESC_F_WRITE    = 1;
  localparam int unsigned DESC_F_INDIRECT = 2;
  localparam int unsigned DESC_F_AVAIL    = 7;
  localparam int unsigned DESC_F_USED     = 15;

  // 2.8.14 Event Suppression Structure: values of the flags field.
  localparam logic [1:0] RING_EVENT_FLAGS_ENABLE  = 2'd0;
  localparam logic [1:0] RING_EVENT_FLAGS_DISABLE = 2'd1;
  localparam logic [1:0] RING_EVENT_FLAGS_DESC    = 2'd2;

  // 2.8.13: one element of the descriptor ring, little endian, 16 bytes.
  typedef struct packed {
    logic [15:0] flags;
    logic [15:0] id;
    logic [31:0] len;
    logic [63:0] addr;
  } pvirtq_desc_t;

  // 4.1.5.1.2: a vector number that stands for "no vector".
  localparam logic [15:0] MSI_NO_VECTOR = 16'hffff;

  // 5.1.6: struct virtio_net_hdr, bytes (num_buffers is always there with VERSION_1).
  localparam int unsigned NET_HDR_BYTES      = 12;
  localparam int unsigned NET_HDR_HASH_BYTES = 20;  // with VIRTIO_NET_F_HASH_REPORT
  localparam int unsigned NET_HDR_F_NEEDS_CSUM = 0;  // bit in flags
  localparam int unsigned NET_HDR_F_DATA_VALID = 1;  // bit in flags

  // 5.1.6: gso_type without its ECN bit, and that bit.
  localparam logic [6:0]  NET_HDR_GSO_NONE   = 7'd0;
  localparam logic [6:0]  NET_HDR_GSO_TCPV4  = 7'd1;
  localparam logic [6:0]  NET_HDR_GSO_TCPV6  = 7'd4;
  localparam logic [6:0]  NET_HDR_GSO_UDP_L4 = 7'd5;
  localparam int unsigned NET_HDR_GSO_ECN    = 7;

  // 5.1.4: bits of virtio_net_config.status.
  localparam int unsigned NET_S_LINK_UP = 0;

  // 5.1.4, 5.1.6.5.6.4: what the RSS fields of virtio_net_config say.
  localparam logic [7:0]  RSS_MAX_KEY_SIZE     = 8'd40;    // bytes
  localparam logic [15:0] RSS_MAX_TABLE_LENGTH = 16'd128;  // entries of the indirection table
  localparam logic [31:0] RSS_HASH_TYPES       = 32'h1ff;  // VIRTIO_NET_RSS_HASH_TYPE_*: all

endpackage
