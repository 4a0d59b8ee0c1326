// The segmentation engine: store, header reader, planner, header maker and merger in a row.
//
// In: frames with a 12-byte virtio_net_hdr, beats taken when valid and ready_o (a register); gso_i
// with a frame's first beat says that its gso_type was negotiated. Out: frames with a header of their
// own, in the same order, a beat per cycle as long as frames are there (see tx_seg).
module tx_seg_engine
  import tx_seg_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        flush_i,
  input  logic [15:0] max_frame_i,   // bytes without virtio_net_hdr

  input  logic [63:0] data_i,
  input  logic [7:0]  keep_i,
  input  logic        valid_i,       // only with ready_o
  input  logic        last_i,
  input  logic        abort_i,
  input  logic        gso_i,
  output logic        ready_o,

  output logic [63:0] m_axis_tdata_o,
  output logic [7:0]  m_axis_tkeep_o,
  output logic        m_axis_tvalid_o,
  output logic        m_axis_tlast_o,
  input  logic        m_axis_tready_i,

  output logic        malformed_o,
  output logic        gso_o,
  output logic        segment_o,
  output logic        busy_o
);

  // A segment and the first byte of the next one fit into the ring together.
  localparam logic [15:0] MAX_FRAME = 16'(8 * (RING_WORDS - 16));

  logic [15:0] max_frame_q;
  always_ff @(posedge clk_i) begin
    max_frame_q <= (max_frame_i < MAX_FRAME ? max_frame_i : MAX_FRAME) + 16'(NET_HDR);
  end

  slot_t       slot [SLOTS];
  slot_id_t    hdr_wslot, parse_slot, make_slot;
  logic [5:0]  hdr_wword, parse_word, make_word;
  logic [63:0] parse_data, make_data;
  logic        hdr_we, parse_re, make_re, frame_begin, slot_done;
  fetch_t      fetch;
  logic        fetch_valid, fetch_ready;
  logic [63:0] ring_data, hdr_data;
  logic        ring_valid, ring_ready, hdr_valid, hdr_ready, hdr_last;
  logic [2:0]  hdr_rest, piece_lane;
  ctx_t        ctx;
  seg_t        seg;
  logic        ctx_valid, ctx_ready, seg_valid, seg_ready;
  logic [13:0] piece_payload;
  logic        piece_plain, piece_valid, piece_ready;
  logic        store_busy, parse_busy, plan_busy, headers_busy, merge_busy;

  tx_seg_store u_store (
    .clk_i,
    .rst_ni,
    .flush_i,
    .data_i,
    .keep_i,
    .valid_i,
    .last_i,
    .abort_i,
    .gso_i,
    .ready_o,
    .hdr_we_o     (hdr_we),
    .hdr_slot_o   (hdr_wslot),
    .hdr_word_o   (hdr_wword),
    .slot_o       (slot),
    .begin_o      (frame_begin),
    .done_i       (slot_done),
    .fetch_i      (fetch),
    .fetch_valid_i(fetch_valid),
    .fetch_ready_o(fetch_ready),
    .data_o       (ring_data),
    .data_valid_o (ring_valid),
    .data_ready_i (ring_ready),
    .busy_o       (store_busy)
  );

  // The beginning of each frame, once for each reader.
  ram_sdp #(
    .Width(64),
    .Depth(SLOTS * SLOT_WORDS)
  ) u_parse_ram (
    .clk_i,
    .we_i   (hdr_we),
    .waddr_i({hdr_wslot, hdr_wword}),
    .wdata_i(data_i),
    .re_i   (parse_re),
    .raddr_i({parse_slot, parse_word}),
    .rdata_o(parse_data)
  );

  ram_sdp #(
    .Width(64),
    .Depth(SLOTS * SLOT_WORDS)
  ) u_make_ram (
    .clk_i,
    .we_i   (hdr_we),
    .waddr_i({hdr_wslot, hdr_wword}),
    .wdata_i(data_i),
    .re_i   (make_re),
    .raddr_i({make_slot, make_word}),
    .rdata_o(make_data)
  );

  tx_seg_parse u_parse (
    .clk_i,
    .rst_ni,
    .flush_i,
    .max_frame_i(max_frame_q),
    .slot_i     (slot),
    .begin_i    (frame_begin),
    .hdr_re_o   (parse_re),
    .hdr_slot_o (parse_slot),
    .hdr_word_o (parse_word),
    .hdr_data_i (parse_data),
    .ctx_o      (ctx),
    .ctx_valid_o(ctx_valid),
    .ctx_ready_i(ctx_ready),
    .busy_o     (parse_busy)
  );

  tx_seg_plan u_plan (
    .clk_i,
    .rst_ni,
    .flush_i,
    .max_frame_i  (max_frame_q),
    .slot_i       (slot),
    .ctx_i        (ctx),
    .ctx_valid_i  (ctx_valid),
    .ctx_ready_o  (ctx_ready),
    .fetch_o      (fetch),
    .fetch_valid_o(fetch_valid),
    .fetch_ready_i(fetch_ready),
    .seg_o        (seg),
    .seg_valid_o  (seg_valid),
    .seg_ready_i  (seg_ready),
    .malformed_o,
    .gso_o,
    .segment_o,
    .busy_o       (plan_busy)
  );

  tx_seg_headers u_headers (
    .clk_i,
    .rst_ni,
    .flush_i,
    .seg_i        (seg),
    .seg_valid_i  (seg_valid),
    .seg_ready_o  (seg_ready),
    .done_o       (slot_done),
    .hdr_re_o     (make_re),
    .hdr_slot_o   (make_slot),
    .hdr_word_o   (make_word),
    .hdr_data_i   (make_data),
    .payload_o    (piece_payload),
    .lane_o       (piece_lane),
    .plain_o      (piece_plain),
    .piece_valid_o(piece_valid),
    .piece_ready_i(piece_ready),
    .data_o       (hdr_data),
    .rest_o       (hdr_rest),
    .last_o       (hdr_last),
    .valid_o      (hdr_valid),
    .ready_i      (hdr_ready),
    .busy_o       (headers_busy)
  );

  tx_seg_merge u_merge (
    .clk_i,
    .rst_ni,
    .flush_i,
    .payload_i    (piece_payload),
    .lane_i       (piece_lane),
    .plain_i      (piece_plain),
    .piece_valid_i(piece_valid),
    .piece_ready_o(piece_ready),
    .hdr_data_i   (hdr_data),
    .hdr_rest_i   (hdr_rest),
    .hdr_last_i   (hdr_last),
    .hdr_valid_i  (hdr_valid),
    .hdr_ready_o  (hdr_ready),
    .data_i       (ring_data),
    .data_valid_i (ring_valid),
    .data_ready_o (ring_ready),
    .m_axis_tdata_o,
    .m_axis_tkeep_o,
    .m_axis_tvalid_o,
    .m_axis_tlast_o,
    .m_axis_tready_i,
    .busy_o       (merge_busy)
  );

  assign busy_o = store_busy || parse_busy || plan_busy || headers_busy || merge_busy;

endmodule
