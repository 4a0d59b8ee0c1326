// What is found out about received frames on their way from the MAC into the store: checksums
// verified, wanted or not, the flow's hash, the receive queue, and whether it continues the frame
// before.
//
// The stream passes unaltered with a latency of 8 cycles, without tready. With tlast: tuser (drop
// this frame: the MAC's, or not wanted), filtered_o (not wanted, and the MAC has no objection), and
// meta_o. no_room_i, in the cycle behind a tlast: the store had no room for that frame.
// Filter, Flow, Coalesce: what is built beside the checksums; without, its inputs are 0.
// All but checksums sleeps unless one of its features was negotiated. write_i may be written at any
// time, busy_o follows.
module rx_offload
  import nic_pkg::*;
  import rx_flow_pkg::*;
#(
  parameter bit Filter   = 1'b1,
  parameter bit Flow     = 1'b1,
  parameter bit Coalesce = 1'b1
) (
  input  logic        clk_i,
  input  logic        rst_ni,

  // Negotiated features
  input  logic        filter_rx_i,    // VIRTIO_NET_F_CTRL_RX
  input  logic        filter_vlan_i,  // VIRTIO_NET_F_CTRL_VLAN
  input  logic        flow_i,         // VIRTIO_NET_F_MQ, VIRTIO_NET_F_RSS or VIRTIO_NET_F_HASH_REPORT
  input  logic        tso4_i,         // VIRTIO_NET_F_GUEST_TSO4
  input  logic        tso6_i,         // VIRTIO_NET_F_GUEST_TSO6

  input  logic        clear_i,        // device reset: the tables are empty
  /* verilator lint_off UNUSEDSIGNAL */
  input  ctrl_cfg_t   cfg_i,          // all but moderation
  /* verilator lint_on UNUSEDSIGNAL */
  input  logic [319:0] rss_key_i,     // bits 7:0 = first byte
  input  ctrl_write_t write_i,

  input  logic [63:0] s_axis_tdata_i,
  input  logic [7:0]  s_axis_tkeep_i,
  input  logic        s_axis_tvalid_i,
  input  logic        s_axis_tlast_i,
  input  logic        s_axis_tuser_i,

  output logic [63:0] m_axis_tdata_o,
  output logic [7:0]  m_axis_tkeep_o,
  output logic        m_axis_tvalid_o,
  output logic        m_axis_tlast_o,
  output logic        m_axis_tuser_o,
  output rx_meta_t    meta_o,
  output logic        filtered_o,
  input  logic        no_room_i,

  output logic        busy_o
);

  ///////////////
  // Checksums //
  ///////////////

  logic        l3_valid, l3_first, l3_ipv6, l3_end;
  logic [63:0] l3_data;
  logic [3:0]  l3_count;
  logic        mac_drop, csum_valid, csum_busy;

  rx_csum u_csum (
    .clk_i,
    .rst_ni,
    .s_axis_tdata_i,
    .s_axis_tkeep_i,
    .s_axis_tvalid_i,
    .s_axis_tlast_i,
    .s_axis_tuser_i,
    .m_axis_tdata_o,
    .m_axis_tkeep_o,
    .m_axis_tvalid_o,
    .m_axis_tlast_o,
    .m_axis_tuser_o (mac_drop),
    .csum_valid_o   (csum_valid),
    .l3_valid_o     (l3_valid),
    .l3_first_o     (l3_first),
    .l3_ipv6_o      (l3_ipv6),
    .l3_data_o      (l3_data),
    .l3_count_o     (l3_count),
    .l3_end_o       (l3_end),
    .busy_o         (csum_busy)
  );

  // What follows looks into the stream from registers behind one gate: closed, it costs nothing. A
  // table is written, and a reset seen, whether it is in use or not.
  logic clk, filter_busy;
  wire  filter_on = filter_rx_i || filter_vlan_i;
  wire  match_on  = tso4_i || tso6_i;
  wire  written   = write_i.mac_we || write_i.mac_set || write_i.vlan_we || write_i.rss_we;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || filter_on || flow_i || match_on || filter_busy || clear_i || written),
    .clk_o(clk)
  );

  logic inside_q, outside_q;  // a frame has begun and not ended, where it comes in, where it goes out
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      inside_q  <= 1'b0;
      outside_q <= 1'b0;
    end else begin
      if (s_axis_tvalid_i) inside_q <= !s_axis_tlast_i;
      if (m_axis_tvalid_o) outside_q <= !m_axis_tlast_o;
    end
  end

  logic        in_valid_q, in_first_q;
  logic [63:0] in_data_q;
  logic        flow_valid_q, match_valid_q, first_q, ipv6_q, end_q;
  logic [63:0] data_q;
  logic [3:0]  count_q;
  always_ff @(posedge clk) begin
    in_valid_q    <= rst_ni && match_on && s_axis_tvalid_i;
    flow_valid_q  <= rst_ni && flow_i && l3_valid;
    match_valid_q <= rst_ni && match_on && l3_valid;
    end_q         <= rst_ni && l3_end;
    if (match_on && s_axis_tvalid_i) begin
      in_first_q <= !inside_q;
      in_data_q  <= s_axis_tdata_i;
    end
    if ((flow_i || match_on) && l3_valid) begin
      first_q <= l3_first;
      ipv6_q  <= l3_ipv6;
      data_q  <= l3_data;
      count_q <= l3_count;
    end
  end

  ////////////
  // Filter //
  ////////////

  logic unwanted;
  if (Filter) begin : gen_filter
    rx_filter u_filter (
      .clk_i          (clk),
      .rst_ni,
      .filter_rx_i,
      .filter_vlan_i,
      .clear_i,
      .cfg_i,
      .write_i,
      .s_axis_tdata_i (m_axis_tdata_o),
      .s_axis_tvalid_i(m_axis_tvalid_o),
      .s_axis_first_i (!outside_q),
      .s_axis_tlast_i (m_axis_tlast_o),
      .drop_o         (unwanted),
      .busy_o         (filter_busy)
    );
  end else begin : gen_no_filter
    assign unwanted    = 1'b0;
    assign filter_busy = 1'b0;
    wire unused_filter = &{1'b0, outside_q, write_i};
  end

  wire drop  = filter_on && unwanted;
  wire ended = m_axis_tvalid_o && m_axis_tlast_o;
  assign m_axis_tuser_o = mac_drop || drop;
  assign filtered_o     = ended && drop && !mac_drop;

  ///////////////////////
  // Hash and steering //
  ///////////////////////

  logic [2:0]  rss_pair, spread_pair;
  logic [31:0] hash;
  logic [3:0]  report;
  if (Flow) begin : gen_flow
    logic        word_valid;
    flow_word_t  word;
    flow_info_t  info;

    rx_flow_parse u_parse (
      .clk_i  (clk),
      .rst_ni,
      .valid_i(flow_valid_q),
      .first_i(first_q),
      .ipv6_i (ipv6_q),
      .data_i (data_q),
      .count_i(count_q),
      .valid_o(word_valid),
      .word_o (word),
      .info_o (info)
    );

    rx_rss u_rss (
      .clk_i       (clk),
      .rst_ni,
      .cfg_i       (cfg_i.rss),
      .key_i       (rss_key_i),
      .table_we_i  (write_i.rss_we),
      .table_addr_i(write_i.rss_index),
      .table_pair_i(write_i.rss_pair),
      .valid_i     (word_valid),
      .word_i      (word),
      .info_i      (info),
      .end_i       (end_q),
      .hash_o      (hash),
      .report_o    (report),
      .pair_o      (rss_pair)
    );

    rx_spread u_spread (
      .clk_i  (clk),
      .rst_ni,
      .pairs_i(cfg_i.pairs),
      .valid_i(word_valid),
      .word_i (word),
      .info_i (info),
      .end_i  (end_q),
      .pair_o (spread_pair)
    );
  end else begin : gen_no_flow
    assign rss_pair    = '0;
    assign spread_pair = '0;
    assign hash        = '0;
    assign report      = '0;
    wire unused_flow = &{1'b0, flow_valid_q, first_q, ipv6_q, end_q, data_q, count_q, rss_key_i, write_i};
  end

  ////////////////
  // Coalescing //
  ////////////////

  coal_meta_t match;
  wire        mergeable = match_on && match.mergeable && csum_valid;
  if (Coalesce) begin : gen_match
    rx_coal_match u_match (
      .clk_i          (clk),
      .rst_ni,
      .clear_i,
      .tso4_i,
      .tso6_i,
      .s_axis_tdata_i (in_data_q),
      .s_axis_tvalid_i(in_valid_q),
      .s_axis_first_i (in_first_q),
      .l3_valid_i     (match_valid_q),
      .l3_first_i     (first_q),
      .l3_ipv6_i      (ipv6_q),
      .l3_data_i      (data_q),
      .l3_count_i     (count_q),
      .l3_end_i       (end_q),
      .meta_o         (match),
      .ended_i        (ended),
      .stored_i       (mergeable && !m_axis_tuser_o),
      .lost_i         (no_room_i)
    );
  end else begin : gen_no_match
    assign match = '0;
    wire unused_match = &{1'b0, in_valid_q, in_first_q, in_data_q, match_valid_q, no_room_i};
  end

  always_comb begin
    meta_o            = '0;
    meta_o.csum_valid = csum_valid;
    if (flow_i) begin
      meta_o.pair   = cfg_i.rss.steer ? rss_pair : spread_pair;
      meta_o.report = report;
      meta_o.hash   = (report != '0) ? hash : '0;
    end
    if (match_on) begin
      meta_o.coal           = match;
      meta_o.coal.mergeable = mergeable;
    end
  end

  assign busy_o = csum_busy || filter_busy || clear_i || written;

endmodule
