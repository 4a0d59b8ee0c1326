// Receive coalescing (virtio 5.1.6.4, VIRTIO_NET_F_GUEST_TSO4/6): between the receive store and the
// DMA engine.
//
// In: packet_fifo's read side with rx_meta_t as meta. Out: frames and, independently, their words:
// ceil(len / 8) each, first byte in lane 0, bytes beyond the length undefined.
// enable_i = 0: wires, no latency, and the clock stands still. It may change at any time; what is
// inside comes out first. What is merged: rx_coal_match, rx_coal_group. How: rx_coal_merge.
// hurry_i, coalesced_o, lro_o and the timer: as in rx_coal_group.
// Built = 0: nothing but the wires, enable_i is 0.
// busy_o = 1: the clock must run, as it must when due_i comes. It depends on the DMA side's readiness.
module rx_coalesce
  import nic_pkg::*;
  import rx_flow_pkg::*;
#(
  parameter int unsigned Patience = 3125,  // cycles that a segment waits for the next one
  parameter bit          Built    = 1'b1
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        enable_i,
  input  logic        guest_csum_i,  // VIRTIO_NET_F_GUEST_CSUM negotiated
  input  logic        hurry_i,

  input  logic        meta_valid_i,
  input  logic [13:0] meta_len_i,
  input  rx_meta_t    meta_i,
  output logic        meta_ready_o,
  input  logic        data_valid_i,
  input  logic [63:0] data_i,
  output logic        data_ready_o,

  output rx_frame_t   frame_o,
  output logic        frame_valid_o,
  input  logic        frame_ready_i,
  output logic        data_valid_o,
  output logic [63:0] data_o,
  input  logic        data_ready_i,

  output logic        coalesced_o,
  output logic        lro_o,
  input  logic [47:0] cycle_i,
  output logic        set_o,
  output logic [47:0] deadline_o,
  output logic        clear_o,
  input  logic        due_i,
  output logic        idle_o,        // holds no frame; with wires, words may still be on their way
  output logic        busy_o
);

  logic        through_q;  // the DMA side sees the store
  logic        merge_data_ready, merge_frame_valid, merge_data_valid, group_meta_ready;
  rx_frame_t   merge_frame;
  logic [63:0] merge_data;

  if (Built) begin : gen_coalesce
    coal_group_t group;
    logic        group_valid, group_ready, group_idle, group_busy, merge_idle, merge_busy;

    logic clk;
    clock_gate u_gate (
      .clk_i,
      .en_i (!rst_ni || !through_q || enable_i),
      .clk_o(clk)
    );

    // A frame's words may be on their way when its meta is gone already. To leave the wires, the store
    // must be at the beginning of a frame; to come back, nothing may be left inside.
    logic [10:0] words_q;  // of frames whose meta has gone through, that have not yet
    wire         meta_through = through_q && meta_valid_i && frame_ready_i;
    wire         word_through = through_q && data_valid_i && data_ready_i;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        through_q <= 1'b1;
        words_q   <= '0;
      end else begin
        if (meta_through || word_through) begin
          words_q <= words_q + (meta_through ? 11'((meta_len_i + 14'd7) >> 3) : 11'd0) -
                     11'(word_through);
        end
        if (through_q) through_q <= !enable_i || meta_through || words_q != '0;
        else           through_q <= !enable_i && group_idle && merge_idle;
      end
    end

    rx_coal_group #(
      .Patience(Patience)
    ) u_group (
      .clk_i        (clk),
      .rst_ni,
      .enable_i     (enable_i && !through_q),
      .hurry_i      (hurry_i || !enable_i),
      .meta_valid_i,
      .meta_len_i,
      .meta_i,
      .meta_ready_o (group_meta_ready),
      .group_o      (group),
      .group_valid_o(group_valid),
      .group_ready_i(group_ready),
      .coalesced_o,
      .lro_o,
      .cycle_i,
      .set_o,
      .deadline_o,
      .clear_o,
      .due_i,
      .idle_o       (group_idle),
      .busy_o       (group_busy)
    );

    rx_coal_merge u_merge (
      .clk_i        (clk),
      .rst_ni,
      .guest_csum_i,
      .group_i      (group),
      .group_valid_i(group_valid),
      .group_ready_o(group_ready),
      .data_valid_i,
      .data_i,
      .data_ready_o (merge_data_ready),
      .frame_o      (merge_frame),
      .frame_valid_o(merge_frame_valid),
      .frame_ready_i(frame_ready_i && !through_q),
      .data_valid_o (merge_data_valid),
      .data_o       (merge_data),
      .data_ready_i (data_ready_i && !through_q),
      .idle_o       (merge_idle),
      .busy_o       (merge_busy)
    );

    assign idle_o = through_q || (group_idle && merge_idle);
    assign busy_o = through_q ? enable_i && words_q == '0 : !enable_i || group_busy || merge_busy;
  end else begin : gen_wires
    assign through_q         = 1'b1;
    assign merge_data_ready  = 1'b0;
    assign merge_frame_valid = 1'b0;
    assign merge_data_valid  = 1'b0;
    assign merge_frame       = '0;
    assign merge_data        = '0;
    assign group_meta_ready  = 1'b0;
    assign coalesced_o       = 1'b0;
    assign lro_o             = 1'b0;
    assign set_o             = 1'b0;
    assign deadline_o        = '0;
    assign clear_o           = 1'b0;
    assign idle_o            = 1'b1;
    assign busy_o            = 1'b0;
    wire unused_coalesce = &{1'b0, clk_i, rst_ni, enable_i, hurry_i, meta_i, cycle_i, due_i};
  end

  always_comb begin
    frame_o = merge_frame;
    if (through_q) begin
      frame_o = '0;
      if (meta_valid_i) begin
        frame_o.len             = 17'(meta_len_i);
        frame_o.pair            = meta_i.pair;
        frame_o.hdr.flags       = {6'd0, meta_i.csum_valid && guest_csum_i, 1'b0};  // DATA_VALID
        frame_o.hdr.hash_value  = meta_i.hash;
        frame_o.hdr.hash_report = 16'(meta_i.report);
      end
    end
  end

  assign frame_valid_o = through_q ? meta_valid_i : merge_frame_valid;
  assign meta_ready_o  = through_q ? frame_ready_i : group_meta_ready;
  assign data_o        = through_q ? data_i : merge_data;
  assign data_valid_o  = through_q ? data_valid_i : merge_data_valid;
  assign data_ready_o  = through_q ? data_ready_i : merge_data_ready;

endmodule
