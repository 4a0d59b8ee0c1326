// The transmit way of a frame: DMA out of buffers, one engine per queue → arbiter → segmentation →
// store with checksum insertion → MAC → XGMII.
//
// Each DMA engine sleeps by itself, the rest behind one clock gate while no engine offers anything.
module tx_path
  import nic_pkg::*;
#(
  parameter int unsigned QueuePairs    = 1,
  parameter int unsigned HostDataWidth = 128,
  // Without: tso4_i, tso6_i, ecn_i, uso_i and hash_hdr_i must be 0.
  parameter bit          Segmentation  = 1'b1
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic [QueuePairs-1:0]    enable_i,      // transmit queue enabled, device running
  input  logic                     csum_en_i,     // VIRTIO_NET_F_CSUM negotiated
  input  logic                     tso4_i,        // VIRTIO_NET_F_HOST_TSO4 negotiated, and so on
  input  logic                     tso6_i,
  input  logic                     ecn_i,
  input  logic                     uso_i,
  input  logic                     hash_hdr_i,    // VIRTIO_NET_F_HASH_REPORT: header of 20 bytes
  input  logic [15:0]              max_frame_i,   // bytes without FCS

  // Virtqueues, by pair
  input  vq_desc_t                 desc_i [QueuePairs],
  input  logic [QueuePairs-1:0]    desc_valid_i,
  output logic [QueuePairs-1:0]    desc_ready_o,
  output vq_used_t                 used_o [QueuePairs],
  output logic [QueuePairs-1:0]    used_valid_o,
  input  logic [QueuePairs-1:0]    used_ready_i,

  // Read bursts, see tx_dma
  output logic [63:0]              ar_addr_o [QueuePairs],
  output logic [3:0]               ar_len_o [QueuePairs],
  output logic [QueuePairs-1:0]    ar_valid_o,
  input  logic [QueuePairs-1:0]    ar_ready_i,
  input  logic [HostDataWidth-1:0] r_data_i,
  input  logic                     r_error_i,
  input  logic [QueuePairs-1:0]    r_valid_i,

  // Flow control, see mac_pause_tx
  input  logic [47:0]              cycle_i,
  input  logic [47:0]              station_i,     // MAC address, bits 7:0 = first octet
  input  logic                     pause_i,       // pulse
  input  logic [15:0]              quanta_i,
  input  logic                     xoff_i,
  output logic                     pause_sent_o,  // event

  output logic [63:0]              xgmii_txd_o,
  output logic [7:0]               xgmii_txc_o,

  output mac_tx_stat_t             mac_stat_o,    // events
  output logic [1:0]               malformed_o,   // single frame, super-frame
  output logic [QueuePairs-1:0]    bad_chain_o,   // without a byte, or with a descriptor that is too long
  output logic                     csum_o,
  output logic                     gso_o,
  output logic                     segment_o,
  output logic [QueuePairs-1:0]    error_o,
  output logic [QueuePairs-1:0]    idle_o,        // nothing outstanding on AXI
  output logic                     busy_o
);

  logic [QueuePairs-1:0] q_valid, q_last, q_user, q_ready, dma_busy;
  logic [63:0]           q_data [QueuePairs];
  logic [7:0]            q_keep [QueuePairs];

  // When the last queue stops, as a device reset stops them all, nothing that is stored is sent.
  logic any_q;
  wire  any   = enable_i != '0;
  wire  flush = any_q && !any;

  logic clk, seg_busy, csum_busy, pause_busy, mac_busy;
  wire  path_busy = q_valid != '0 || seg_busy || csum_busy || pause_busy || mac_busy ||
                    mac_stat_o.sent || mac_stat_o.underrun;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || path_busy || any_q != any),
    .clk_o(clk)
  );
  always_ff @(posedge clk) any_q <= rst_ni && any;
  assign busy_o = path_busy || any_q != any || dma_busy != '0;

  // ---- queues -----------------------------------------------------------------------------------------
  // Beats in flight that suffice for 10 Gb/s at 700 ns of latency: all of them for one queue, a part for
  // each of several. Of n queues each needs 700 ns / (n * a frame's time on the wire) frames in flight,
  // rounded up, as a part of a frame is not asked for: the most that takes for frames of any length is
  // the number here (for 8 queues two frames of 89 bytes, which are 7 beats with their headers).
  // What a queue holds that gets no answers is its own.
  logic [QueuePairs-1:0] reading;
  logic [7:0]            share;
  if (QueuePairs == 1) begin : gen_all
    /* verilator lint_off UNUSEDSIGNAL */
    wire unused_reading = reading[0];
    /* verilator lint_on UNUSEDSIGNAL */
    assign share = 8'd128;
  end else begin : gen_share
    logic [3:0] readers;
    always_comb begin
      readers = '0;
      for (int unsigned p = 0; p < QueuePairs; p++) readers += 4'(reading[p]);
      unique case (readers)
        4'd0, 4'd1: share = 8'd128;
        4'd2:       share = 8'd48;
        4'd3:       share = 8'd32;
        4'd4:       share = 8'd26;
        4'd5:       share = 8'd22;
        4'd6:       share = 8'd18;
        default:    share = 8'd14;
      endcase
    end
  end

  for (genvar p = 0; p < int'(QueuePairs); p++) begin : gen_pair
    tx_dma #(
      .HostDataWidth(HostDataWidth)
    ) u_tx_dma (
      .clk_i,
      .rst_ni,
      .enable_i       (enable_i[p]),
      .share_i        (share),
      .reading_o      (reading[p]),
      .desc_i         (desc_i[p]),
      .desc_valid_i   (desc_valid_i[p]),
      .desc_ready_o   (desc_ready_o[p]),
      .used_o         (used_o[p]),
      .used_valid_o   (used_valid_o[p]),
      .used_ready_i   (used_ready_i[p]),
      .ar_addr_o      (ar_addr_o[p]),
      .ar_len_o       (ar_len_o[p]),
      .ar_valid_o     (ar_valid_o[p]),
      .ar_ready_i     (ar_ready_i[p]),
      .r_data_i,
      .r_error_i,
      .r_valid_i      (r_valid_i[p]),
      .m_axis_tdata_o (q_data[p]),
      .m_axis_tkeep_o (q_keep[p]),
      .m_axis_tvalid_o(q_valid[p]),
      .m_axis_tlast_o (q_last[p]),
      .m_axis_tuser_o (q_user[p]),
      .m_axis_tready_i(q_ready[p]),
      .stat_bad_o     (bad_chain_o[p]),
      .error_o        (error_o[p]),
      .idle_o         (idle_o[p]),
      .busy_o         (dma_busy[p])
    );
  end

  // ---- frame ------------------------------------------------------------------------------------------
  logic [63:0] arb_data, seg_data, mac_tx_data;
  logic [7:0]  arb_keep, seg_keep, mac_tx_keep;
  logic arb_valid, arb_last, arb_user, arb_ready, mac_tx_valid, mac_tx_last, mac_tx_ready;
  logic seg_valid, seg_last, seg_abort, seg_ready;
  /* verilator lint_off UNUSEDSIGNAL */
  logic [11:0] free_words;  // tx_dma reserves room in its own FIFO
  /* verilator lint_on UNUSEDSIGNAL */

  tx_arb #(
    .Streams(QueuePairs)
  ) u_arb (
    .clk_i(clk),
    .rst_ni,
    .s_axis_tdata_i (q_data),
    .s_axis_tkeep_i (q_keep),
    .s_axis_tvalid_i(q_valid),
    .s_axis_tlast_i (q_last),
    .s_axis_tuser_i (q_user),
    .s_axis_tready_o(q_ready),
    .m_axis_tdata_o (arb_data),
    .m_axis_tkeep_o (arb_keep),
    .m_axis_tvalid_o(arb_valid),
    .m_axis_tlast_o (arb_last),
    .m_axis_tuser_o (arb_user),
    .m_axis_tready_i(arb_ready)
  );

  if (Segmentation) begin : g_seg
    tx_seg u_tx_seg (
      .clk_i(clk),
      .rst_ni,
      .flush_i        (flush),
      .tso4_i,
      .tso6_i,
      .ecn_i,
      .uso_i,
      .hash_hdr_i,
      .max_frame_i,
      .s_axis_tdata_i (arb_data),
      .s_axis_tkeep_i (arb_keep),
      .s_axis_tvalid_i(arb_valid),
      .s_axis_tlast_i (arb_last),
      .s_axis_tuser_i (arb_user),
      .s_axis_tready_o(arb_ready),
      .m_axis_tdata_o (seg_data),
      .m_axis_tkeep_o (seg_keep),
      .m_axis_tvalid_o(seg_valid),
      .m_axis_tlast_o (seg_last),
      .m_axis_tuser_o (seg_abort),
      .m_axis_tready_i(seg_ready),
      .malformed_o    (malformed_o[1]),
      .gso_o,
      .segment_o,
      .busy_o         (seg_busy)
    );
  end else begin : g_no_seg
    assign seg_data       = arb_data;
    assign seg_keep       = arb_keep;
    assign seg_valid      = arb_valid;
    assign seg_last       = arb_last;
    assign seg_abort      = arb_user;
    assign arb_ready      = seg_ready;
    assign seg_busy       = 1'b0;
    assign malformed_o[1] = 1'b0;
    assign gso_o          = 1'b0;
    assign segment_o      = 1'b0;
    /* verilator lint_off UNUSEDSIGNAL */
    wire unused_features = &{1'b0, tso4_i, tso6_i, ecn_i, uso_i, hash_hdr_i};
    /* verilator lint_on UNUSEDSIGNAL */
  end

  tx_csum u_tx_csum (
    .clk_i(clk),
    .rst_ni,
    .flush_i        (flush),
    .csum_en_i      (csum_en_i),
    .max_frame_i    (max_frame_i),
    .s_axis_tdata_i (seg_data),
    .s_axis_tkeep_i (seg_keep),
    .s_axis_tvalid_i(seg_valid),
    .s_axis_tlast_i (seg_last),
    .s_axis_tuser_i (seg_abort),
    .s_axis_tready_o(seg_ready),
    .free_words_o   (free_words),
    .m_axis_tdata_o (mac_tx_data),
    .m_axis_tkeep_o (mac_tx_keep),
    .m_axis_tvalid_o(mac_tx_valid),
    .m_axis_tlast_o (mac_tx_last),
    .m_axis_tready_i(mac_tx_ready),
    .malformed_o    (malformed_o[0]),
    .csum_inserted_o(csum_o),
    .busy_o         (csum_busy)
  );

  logic [63:0] paced_data;
  logic [7:0]  paced_keep;
  logic        paced_valid, paced_last, paced_ready;
  mac_pause_tx u_pause (
    .clk_i(clk),
    .rst_ni,
    .cycle_i,
    .station_i,
    .pause_i,
    .quanta_i,
    .xoff_i,
    .s_axis_tdata_i (mac_tx_data),
    .s_axis_tkeep_i (mac_tx_keep),
    .s_axis_tvalid_i(mac_tx_valid),
    .s_axis_tlast_i (mac_tx_last),
    .s_axis_tready_o(mac_tx_ready),
    .m_axis_tdata_o (paced_data),
    .m_axis_tkeep_o (paced_keep),
    .m_axis_tvalid_o(paced_valid),
    .m_axis_tlast_o (paced_last),
    .m_axis_tready_i(paced_ready),
    .sent_o         (pause_sent_o),
    .busy_o         (pause_busy)
  );

  mac_tx u_mac_tx (
    .clk_i(clk),
    .rst_ni,
    .s_axis_tdata_i (paced_data),
    .s_axis_tkeep_i (paced_keep),
    .s_axis_tvalid_i(paced_valid),
    .s_axis_tlast_i (paced_last),
    .s_axis_tready_o(paced_ready),
    .xgmii_txd_o,
    .xgmii_txc_o,
    .busy_o         (mac_busy),
    .stat_o         (mac_stat_o)
  );

endmodule
