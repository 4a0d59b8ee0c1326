// The receive way of a frame: XGMII → MAC → checksums, filter, steering → store → coalescing → DMA
// into buffers.
//
// All of it sleeps behind one clock gate until something but idle is on the wire, or the DMA side
// has something to do. Latency from the pins to the MAC is two cycles for that reason.
module rx_path
  import nic_pkg::*;
#(
  parameter int unsigned QueuePairs     = 1,
  parameter int unsigned HostDataWidth  = 128,
  parameter int unsigned MaxQueueSize   = 1024,
  parameter int unsigned StoreWords     = 2048,  // of 8 bytes, a power of two: what waits for buffers
  parameter int unsigned CoalesceCycles = 3125,  // 20 us: how long a segment waits for the next one
  parameter bit          Filter         = 1'b1,  // what is built, else its inputs are 0: rx_filter,
  parameter bit          Flow           = 1'b1,  // hash and steering,
  parameter bit          Coalesce       = 1'b1   // rx_coalesce
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic [QueuePairs-1:0]      enable_i,        // receive queues enabled, device running
  input  logic [15:0]                size_i [QueuePairs],  // queue_size
  input  logic                       guest_csum_i,    // VIRTIO_NET_F_GUEST_CSUM negotiated
  input  logic                       mergeable_i,     // VIRTIO_NET_F_MRG_RXBUF negotiated
  input  logic                       hash_report_i,   // VIRTIO_NET_F_HASH_REPORT negotiated
  input  logic [15:0]                max_frame_i,     // bytes with FCS
  input  logic                       mac_control_i,   // PAUSE frames are honoured, control frames kept
  input  logic [47:0]                station_i,       // MAC address, bits 7:0 = first octet

  // See rx_offload
  input  logic                       filter_rx_i,
  input  logic                       filter_vlan_i,
  input  logic                       flow_i,
  input  logic                       tso4_i,
  input  logic                       tso6_i,
  input  logic                       clear_i,         // device reset, pulse; see rx_purge as well
  input  ctrl_cfg_t                  cfg_i,
  input  logic [319:0]               rss_key_i,
  input  ctrl_write_t                write_i,

  input  logic                       loopback_i,      // takes what is sent (loop_*), not the pins
  input  logic [63:0]                loop_d_i,
  input  logic [7:0]                 loop_c_i,
  input  logic [63:0]                xgmii_rxd_i,
  input  logic [7:0]                 xgmii_rxc_i,

  // Virtqueues, see rx_dma
  input  vq_desc_t                   desc_i [QueuePairs],
  input  logic [QueuePairs-1:0]      desc_valid_i,
  output logic [QueuePairs-1:0]      desc_ready_o,
  output vq_used_t                   used_o,
  output logic [QueuePairs-1:0]      used_valid_o,
  input  logic [QueuePairs-1:0]      used_ready_i,

  // Write bursts, see dma_write
  output logic [63:0]                aw_addr_o,
  output logic [3:0]                 aw_len_o,
  output logic [2:0]                 aw_pair_o,
  output logic                       aw_valid_o,
  input  logic                       aw_ready_i,
  output logic [HostDataWidth-1:0]   w_data_o,
  output logic [HostDataWidth/8-1:0] w_strb_o,
  output logic                       w_valid_o,
  input  logic                       w_ready_i,
  input  logic [QueuePairs-1:0]      b_valid_i,
  input  logic                       b_error_i,

  output logic                       pause_o,         // PAUSE frame, pulse
  output logic [15:0]                quanta_o,        // its time, 512 bit times
  input  logic                       tx_pause_i,      // the peer may be asked to pause
  output logic                       xoff_o,          // it is to be quiet, see mac_xoff

  output mac_rx_stat_t               mac_stat_o,      // events
  output logic                       mac_other_o,     // other MAC control frame
  output logic                       filtered_o,
  output logic                       coalesced_o,
  output logic                       lro_o,
  output logic                       no_space_o,
  output logic                       disabled_o,
  output logic                       truncated_o,
  output logic                       no_buffer_o,
  output logic                       csum_o,
  output logic [QueuePairs-1:0]      error_o,
  output logic [QueuePairs-1:0]      idle_o,          // nothing outstanding on AXI

  // A client of lib/deadline.sv
  input  logic [47:0]                cycle_i,         // counts on while clk_i stands
  output logic                       timer_set_o,
  output logic [47:0]                timer_deadline_o,
  output logic                       timer_clear_o,
  input  logic                       timer_due_i,

  output logic                       busy_o
);

  import xgmii_pkg::*;
  import virtio_pkg::*;
  import rx_flow_pkg::*;

  // ---- waking up ------------------------------------------------------------------------------------
  logic        clk, active_q, active2_q;
  logic        mac_busy, control_busy, offload_busy, fifo_busy, coalesce_busy, dma_busy, xoff_busy;
  logic        purge_busy;
  logic [63:0] rxd_q, rxd2_q;
  logic [7:0]  rxc_q, rxc2_q;
  always_ff @(posedge clk_i) begin
    if (loopback_i) begin
      active_q <= rst_ni && !(loop_d_i == XGMII_IDLE_WORD && loop_c_i == 8'hff);
      rxd_q    <= loop_d_i;
      rxc_q    <= loop_c_i;
    end else begin
      active_q <= rst_ni && !(xgmii_rxd_i == XGMII_IDLE_WORD && xgmii_rxc_i == 8'hff);
      rxd_q    <= xgmii_rxd_i;
      rxc_q    <= xgmii_rxc_i;
    end
  end
  always_ff @(posedge clk) begin
    active2_q <= active_q;
    rxd2_q    <= rxd_q;
    rxc2_q    <= rxc_q;
  end

  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || busy_o || b_valid_i != '0 || timer_due_i),
    .clk_o(clk)
  );
  wire event_told = mac_stat_o.good || mac_stat_o.bad_fcs || mac_stat_o.runt ||
                    mac_stat_o.oversize || mac_stat_o.error;
  assign busy_o = active_q || active2_q || mac_busy || control_busy || event_told || offload_busy ||
                  fifo_busy || coalesce_busy || dma_busy || xoff_busy || purge_busy;

  // ---- frame ------------------------------------------------------------------------------------------
  logic [63:0] mac_rx_data, store_data;
  logic [7:0]  mac_rx_keep, store_keep;
  logic        mac_rx_valid, mac_rx_last, mac_rx_drop, store_valid, store_last, store_drop;
  rx_meta_t    store_meta;

  mac_rx u_mac_rx (
    .clk_i(clk),
    .rst_ni,
    .xgmii_rxd_i    (rxd2_q),
    .xgmii_rxc_i    (rxc2_q),
    .max_frame_i    (max_frame_i),
    .m_axis_tdata_o (mac_rx_data),
    .m_axis_tkeep_o (mac_rx_keep),
    .m_axis_tvalid_o(mac_rx_valid),
    .m_axis_tlast_o (mac_rx_last),
    .m_axis_tuser_o (mac_rx_drop),
    .busy_o         (mac_busy),
    .stat_o         (mac_stat_o)
  );

  logic control_drop;
  mac_control_rx u_mac_control (
    .clk_i(clk),
    .rst_ni,
    .enable_i       (mac_control_i),
    .station_i,
    .s_axis_tdata_i (mac_rx_data),
    .s_axis_tvalid_i(mac_rx_valid),
    .s_axis_tlast_i (mac_rx_last),
    .s_axis_tuser_i (mac_rx_drop),
    .drop_o         (control_drop),
    .pause_o,
    .quanta_o,
    .other_o        (mac_other_o),
    .busy_o         (control_busy)
  );

  rx_offload #(
    .Filter  (Filter),
    .Flow    (Flow),
    .Coalesce(Coalesce)
  ) u_offload (
    .clk_i(clk),
    .rst_ni,
    .filter_rx_i,
    .filter_vlan_i,
    .flow_i,
    .tso4_i,
    .tso6_i,
    .clear_i,
    .cfg_i,
    .rss_key_i,
    .write_i,
    .s_axis_tdata_i (mac_rx_data),
    .s_axis_tkeep_i (mac_rx_keep),
    .s_axis_tvalid_i(mac_rx_valid),
    .s_axis_tlast_i (mac_rx_last),
    .s_axis_tuser_i (mac_rx_drop || control_drop),
    .m_axis_tdata_o (store_data),
    .m_axis_tkeep_o (store_keep),
    .m_axis_tvalid_o(store_valid),
    .m_axis_tlast_o (store_last),
    .m_axis_tuser_o (store_drop),
    .meta_o         (store_meta),
    .filtered_o,
    .no_room_i      (no_space_o),
    .busy_o         (offload_busy)
  );

  // The header with the checksum verdict precedes the frame, and a frame with a bad FCS must not
  // take a buffer: both are known at its end, so it is stored here.
  logic        rx_meta_valid, rx_meta_ready, rx_data_valid, rx_data_ready;
  logic        flush, hold, off, purged, dma_disabled, coalesce_idle, dma_idle;
  logic [13:0] rx_meta_len;
  rx_meta_t    rx_meta;
  logic [63:0] rx_data;
  logic [$clog2(StoreWords):0] rx_free_words;
  logic [$clog2(StoreWords/8):0] rx_free_metas;
  /* verilator lint_off UNUSEDSIGNAL */
  logic        rx_fifo_ready;
  /* verilator lint_on UNUSEDSIGNAL */
  packet_fifo #(
    .Depth         (StoreWords),
    .MetaDepth     (StoreWords / 8),
    .MetaWidth     ($bits(rx_meta_t)),
    .FlushKeepsOpen(1'b1)
  ) u_rx_fifo (
    .clk_i(clk),
    .rst_ni,
    .flush_i        (flush),
    .s_axis_tdata_i (store_data),
    .s_axis_tkeep_i (store_keep),
    .s_axis_tvalid_i(store_valid),
    .s_axis_tlast_i (store_last),
    .s_axis_tuser_i (store_drop),
    .s_meta_i       (store_meta),
    .ready_o        (rx_fifo_ready),
    .free_words_o   (rx_free_words),
    .free_metas_o   (rx_free_metas),
    .drop_o         (no_space_o),
    .meta_valid_o   (rx_meta_valid),
    .meta_len_o     (rx_meta_len),
    .meta_data_o    (rx_meta),
    .meta_ready_i   (rx_meta_ready && !hold),
    .data_valid_o   (rx_data_valid),
    .data_o         (rx_data),
    .data_ready_i   (rx_data_ready),
    .busy_o         (fifo_busy)
  );

  rx_purge #(
    .MaxFrames(StoreWords / 8)
  ) u_purge (
    .clk_i(clk),
    .rst_ni,
    .reset_i        (clear_i),
    .s_axis_tvalid_i(store_valid),
    .s_axis_tlast_i (store_last),
    .s_axis_tuser_i (store_drop),
    .free_frames_i  (rx_free_metas),
    .frame_valid_i  (rx_meta_valid),
    .flush_o        (flush),
    .hold_o         (hold),
    .off_o          (off),
    .drained_i      (coalesce_idle && dma_idle),
    .disabled_i     (dma_disabled),
    .disabled_o     (purged),
    .busy_o         (purge_busy)
  );
  assign disabled_o = dma_disabled || purged;

  mac_xoff #(
    .StoreWords(StoreWords)
  ) u_xoff (
    .clk_i(clk),
    .rst_ni,
    .enable_i    (tx_pause_i),
    .max_frame_i,
    .free_words_i(rx_free_words),
    .xoff_o,
    .busy_o      (xoff_busy)
  );

  // ---- coalescing ---------------------------------------------------------------------------------------
  rx_frame_t   frame;
  logic        frame_valid, frame_ready, word_valid, word_ready;
  logic [63:0] word;
  rx_coalesce #(
    .Patience(CoalesceCycles),
    .Built   (Coalesce)
  ) u_coalesce (
    .clk_i(clk),
    .rst_ni,
    .enable_i     (tso4_i || tso6_i),
    .guest_csum_i,
    // A group that waits holds what the store needs, and while the peer is quiet nothing joins it; nor
    // does anything when a reset wants it dropped.
    .hurry_i      (off || xoff_o || rx_free_words < ($clog2(StoreWords) + 1)'(StoreWords / 4)),
    .meta_valid_i (rx_meta_valid && !hold),
    .meta_len_i   (rx_meta_len),
    .meta_i       (rx_meta),
    .meta_ready_o (rx_meta_ready),
    .data_valid_i (rx_data_valid),
    .data_i       (rx_data),
    .data_ready_o (rx_data_ready),
    .frame_o      (frame),
    .frame_valid_o(frame_valid),
    .frame_ready_i(frame_ready),
    .data_valid_o (word_valid),
    .data_o       (word),
    .data_ready_i (word_ready),
    .coalesced_o,
    .lro_o,
    .cycle_i,
    .set_o        (timer_set_o),
    .deadline_o   (timer_deadline_o),
    .clear_o      (timer_clear_o),
    .due_i        (timer_due_i),
    .idle_o       (coalesce_idle),
    .busy_o       (coalesce_busy)
  );

  // 5.1.6.5.5: once VQ_PAIRS_SET is used no frame goes to a queue beyond the pairs; what is in the
  // store for one goes to the first.
  rx_frame_t steered;
  always_comb begin
    steered = frame;
    if (!cfg_i.rss.steer && {1'b0, frame.pair} >= cfg_i.pairs) steered.pair = '0;
  end

  rx_dma #(
    .QueuePairs   (QueuePairs),
    .HostDataWidth(HostDataWidth),
    .MaxQueueSize (MaxQueueSize)
  ) u_rx_dma (
    .clk_i(clk),
    .rst_ni,
    .enable_i        (off ? '0 : enable_i),
    .size_i,
    .mergeable_i,
    .hash_report_i,
    .frame_i         (steered),
    .frame_valid_i   (frame_valid),
    .frame_ready_o   (frame_ready),
    .data_valid_i    (word_valid),
    .data_i          (word),
    .data_ready_o    (word_ready),
    .desc_i,
    .desc_valid_i,
    .desc_ready_o,
    .used_o,
    .used_valid_o,
    .used_ready_i,
    .aw_addr_o,
    .aw_len_o,
    .aw_pair_o,
    .aw_valid_o,
    .aw_ready_i,
    .w_data_o,
    .w_strb_o,
    .w_valid_o,
    .w_ready_i,
    .b_valid_i,
    .b_error_i,
    .stat_disabled_o (dma_disabled),
    .stat_truncated_o(truncated_o),
    .stat_no_buffer_o(no_buffer_o),
    .stat_csum_o     (csum_o),
    .error_o,
    .idle_o,
    .between_o       (dma_idle),
    .busy_o          (dma_busy)
  );

endmodule
