// Receive-side scaling: the Toeplitz hash of each packet's flow, and the receive queue pair that the
// driver's indirection table has for it (virtio 5.1.6.4.3, 5.1.6.5.7).
//
// In: rx_flow_parse's words and verdict, and rx_l3_align's end. Out, 5 cycles after end_i, for one
// cycle: hash, what was hashed (VIRTIO_NET_HASH_REPORT_*, 0: nothing of what hash_types asks for)
// and the pair; in all other cycles report 0 and the unclassified pair, so that a frame without a
// packet, which has no end_i, gets these.
// The hash of a packet with extension headers takes the addresses of mobile IPv6 when a type for
// extension headers is enabled, else the header's (5.1.6.4.3.4).
//
// cfg_i, key_i: static while frames come; a frame in flight during a change may get either. Key: the
// first byte of hash_key_data in bits 7:0, bytes that the driver did not give are zero. The table is
// written one entry a cycle.
module rx_rss
  import nic_pkg::*;
  import rx_flow_pkg::*;
(
  input  logic         clk_i,
  input  logic         rst_ni,

  input  rss_cfg_t     cfg_i,
  input  logic [319:0] key_i,
  input  logic         table_we_i,
  input  logic [6:0]   table_addr_i,
  input  logic [2:0]   table_pair_i,

  input  logic         valid_i,
  input  flow_word_t   word_i,
  input  flow_info_t   info_i,
  input  logic         end_i,

  output logic [31:0]  hash_o,
  output logic [3:0]   report_o,
  output logic [2:0]   pair_o
);

  // Bit numbers of VIRTIO_NET_HASH_TYPE_*; the number reported is one more.
  localparam logic [3:0] TYPE_IPV4   = 4'd0;
  localparam logic [3:0] TYPE_IPV6   = 4'd3;
  localparam logic [3:0] TYPE_IPV6EX = 4'd6;
  localparam logic [3:0] WITH_TCP    = 4'd1;
  localparam logic [3:0] WITH_UDP    = 4'd2;

  /////////////////////
  // Sums of a field //
  /////////////////////

  // The key with its first bit at the top, and 4 bytes of room at both ends: what lies before the
  // first slot is never part of a field, and the last one needs only half a window.
  logic [383:1] key;
  always_comb begin
    key = '0;
    for (int unsigned i = 0; i < 40; i++) key[8*(43-i) +: 8] = key_i[8*i +: 8];
  end

  logic [94:0] window;
  always_comb begin
    unique case (word_i.slot)
      4'd0:    window = key[383 -: 95];
      4'd1:    window = key[351 -: 95];
      4'd2:    window = key[319 -: 95];
      4'd3:    window = key[287 -: 95];
      4'd5:    window = key[223 -: 95];
      4'd7:    window = key[159 -: 95];
      default: window = key[95 -: 95];
    endcase
  end

  // Linear: the hash of the whole is the sum of the fields' own, each at its place.
  logic [31:0] src_q, dst_q, home_q, route_q, ports_q;
  wire  [31:0] lo    = toeplitz(swap32(word_i.data[31:0]), window[94:32]);
  wire  [31:0] hi    = toeplitz(swap32(word_i.data[63:32]), window[62:0]);
  wire  [31:0] both  = lo ^ hi;

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      // IPv6 addresses take two words, IPv4's half a word.
      if (word_i.hi == HALF_SRC) begin
        src_q <= (word_i.lo != HALF_SRC) ? hi : word_i.first ? both : src_q ^ both;
      end
      if (word_i.lo == HALF_DST) begin
        dst_q <= (word_i.hi != HALF_DST) ? lo : word_i.first ? both : dst_q ^ both;
      end
      if (word_i.lo == HALF_HOME) home_q <= word_i.first ? both : home_q ^ both;
      if (word_i.lo == HALF_ROUTE) route_q <= word_i.first ? both : route_q ^ both;
      if (word_i.lo == HALF_PORTS) ports_q <= lo;
      if (word_i.hi == HALF_PORTS) ports_q <= hi;
    end
  end

  ////////////////////////////
  // What is to be reported //
  ////////////////////////////

  // Three types begin at `base`: addresses alone, and with the ports of TCP or UDP.
  wire  [3:0] with_l4 = info_i.tcp ? WITH_TCP : WITH_UDP;
  logic [3:0] base;
  logic       ex, with_ports, found;
  always_comb begin
    ex   = info_i.extensions && (cfg_i.hash_types[TYPE_IPV6EX] ||
                                 (info_i.ports && cfg_i.hash_types[TYPE_IPV6EX + with_l4]));
    base = ex ? TYPE_IPV6EX : info_i.ipv6 ? TYPE_IPV6 : TYPE_IPV4;
    with_ports = info_i.ports && cfg_i.hash_types[base + with_l4];
    found      = info_i.ok && (with_ports || cfg_i.hash_types[base]);
  end

  logic        end1_q, end2_q, end3_q, end4_q;
  logic        found3_q, found4_q;
  logic [31:0] hash3_q, hash4_q;
  logic [3:0]  report3_q, report4_q;
  logic [2:0]  entry;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {end1_q, end2_q, end3_q, end4_q} <= '0;
      report_o                         <= '0;
    end else begin
      end1_q   <= end_i;
      end2_q   <= end1_q;
      end3_q   <= end2_q;
      end4_q   <= end3_q;
      report_o <= (end4_q && found4_q) ? report4_q : '0;
    end
    if (end2_q) begin
      found3_q  <= found;
      hash3_q   <= (ex && info_i.home ? home_q : src_q) ^ (ex && info_i.route ? route_q : dst_q) ^
                   (with_ports ? ports_q : 32'd0);
      report3_q <= base + 4'd1 + (with_ports ? with_l4 : 4'd0);
    end
    if (end3_q) begin
      found4_q  <= found3_q;
      hash4_q   <= hash3_q;
      report4_q <= report3_q;
    end
    hash_o <= hash4_q;
    pair_o <= (end4_q && found4_q) ? entry : cfg_i.default_pair;
  end

  // Read while being written, an entry is the old or the new one, and both are right.
  ram_sdp #(
    .Width(3),
    .Depth(128)
  ) u_table (
    .clk_i,
    .we_i   (table_we_i),
    .waddr_i(table_addr_i),
    .wdata_i(table_pair_i),
    .re_i   (end3_q),
    .raddr_i(hash3_q[6:0] & cfg_i.mask),
    .rdata_o(entry)
  );

  // Used by whoever steers and reports.
  logic unused_cfg;
  assign unused_cfg = &{1'b0, cfg_i.steer, cfg_i.report, cfg_i.hash_types[15:9], word_i.slot[3]};

endmodule
