// Ring of the segmentation engine: takes whole frames, virtio_net_hdr included, and gives words back
// in the order in which they are asked for.
//
// In: one beat per cycle while ready_o (a register). Each frame takes a slot until done_i; slot_o
// tells how much of it has come. Its first SLOT_WORDS words also go to the header memory (hdr_*).
// What is longer than MAX_LEN is not stored but awaited.
// Out: fetch_i names words; they come in order on data_o, one per cycle, the first two cycles after
// the request. Words before the one that is read are free again, and those before free_to at the
// request's end. Whoever asks must know that the words are there.
// flush_i: everything is gone, the next beat begins a frame.
module tx_seg_store
  import axis_pkg::*;
  import tx_seg_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        flush_i,

  input  logic [63:0] data_i,
  input  logic [7:0]  keep_i,
  input  logic        valid_i,      // beat taken; only with ready_o
  input  logic        last_i,
  input  logic        abort_i,      // with last_i
  input  logic        gso_i,        // with the first beat
  output logic        ready_o,

  output logic        hdr_we_o,
  output slot_id_t    hdr_slot_o,
  output logic [5:0]  hdr_word_o,

  output slot_t       slot_o [SLOTS],
  output logic        begin_o,      // pulse: a frame takes the next slot
  input  logic        done_i,       // pulse: the oldest slot is free again

  input  fetch_t      fetch_i,
  input  logic        fetch_valid_i,
  output logic        fetch_ready_o,

  output logic [63:0] data_o,
  output logic        data_valid_o,
  input  logic        data_ready_i,

  output logic        busy_o        // a frame is held or being received
);

  // Words kept free for what ready_o, a register, is late.
  localparam int unsigned MARGIN = 4;

  ////////////
  // Writer //
  ////////////

  ring_ptr_t   wptr_q, rptr_q;
  slot_t       slot_q [SLOTS];
  slot_id_t    slot_id_q;
  logic [2:0]  used_q;       // slots
  logic        inside_q;     // a frame has begun
  logic [13:0] index_q;      // of the next beat, in words
  logic        cut_q;

  wire        first = !inside_q;
  wire [13:0] index = first ? '0 : index_q;
  wire        over  = {index, 3'b000} + 17'(keep_count(keep_i)) > MAX_LEN;
  wire        cut   = (!first && cut_q) || over;
  wire        store = valid_i && !cut;

  assign hdr_we_o   = valid_i && index < 14'(SLOT_WORDS);
  assign hdr_slot_o = slot_id_q;
  assign hdr_word_o = index[5:0];
  assign slot_o     = slot_q;
  assign begin_o    = valid_i && first;

  wire [2:0] used_next = used_q + 3'(valid_i && first) - 3'(done_i);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i) begin
      wptr_q    <= '0;
      slot_id_q <= '0;
      used_q    <= '0;
      inside_q  <= 1'b0;
      ready_o   <= 1'b1;
    end else begin
      used_q  <= used_next;
      ready_o <= wptr_q - rptr_q < 12'(RING_WORDS - MARGIN) &&
                 ((valid_i ? !last_i : inside_q) || used_next < 3'(SLOTS));
      if (valid_i) begin
        inside_q <= !last_i;
        if (last_i) slot_id_q <= slot_id_q + 2'd1;
      end
      if (store) wptr_q <= wptr_q + 12'd1;
    end
    if (valid_i) begin
      index_q <= cut ? index : index + 14'd1;
      cut_q   <= cut;
      slot_q[slot_id_q].ended   <= last_i;
      slot_q[slot_id_q].aborted <= last_i && abort_i;
      slot_q[slot_id_q].over    <= cut;
      if (first) slot_q[slot_id_q].gso <= gso_i;
      if (first) slot_q[slot_id_q].start <= wptr_q;
      if (store) slot_q[slot_id_q].len <= {index, 3'b000} + 17'(keep_count(keep_i));
    end
  end

  ////////////
  // Reader //
  ////////////

  ring_ptr_t   from_q, free_to_q;
  logic [10:0] left_q;
  logic        fetching_q, read_q;
  logic [2:0]  waiting;
  logic [63:0] word;

  wire read = fetching_q && left_q != '0 && waiting + 3'(read_q) < 3'd4;

  assign fetch_ready_o = !fetching_q || left_q == '0 || (read && left_q == 11'd1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i) begin
      fetching_q <= 1'b0;
      read_q     <= 1'b0;
      rptr_q     <= '0;
    end else begin
      read_q <= read;
      if (fetch_valid_i && fetch_ready_o) fetching_q <= 1'b1;
      else if (fetch_ready_o) fetching_q <= 1'b0;
      if (fetching_q) rptr_q <= fetch_ready_o ? free_to_q : from_q;
    end
    if (fetch_valid_i && fetch_ready_o) begin
      from_q    <= fetch_i.from;
      left_q    <= fetch_i.words;
      free_to_q <= fetch_i.free_to;
    end else if (read) begin
      from_q <= from_q + 12'd1;
      left_q <= left_q - 11'd1;
    end
  end

  ram_sdp #(
    .Width(64),
    .Depth(RING_WORDS)
  ) u_ring (
    .clk_i,
    .we_i   (store),
    .waddr_i(wptr_q[10:0]),
    .wdata_i(data_i),
    .re_i   (read),
    .raddr_i(from_q[10:0]),
    .rdata_o(word)
  );

  logic unused_ready;
  fifo #(
    .Width(64),
    .Depth(4)
  ) u_words (
    .clk_i,
    .rst_ni,
    .flush_i,
    .data_i (word),
    .valid_i(read_q),
    .ready_o(unused_ready),  // room was there when the read began
    .data_o,
    .valid_o(data_valid_o),
    .ready_i(data_ready_i),
    .count_o(waiting)
  );

  assign busy_o = used_q != '0 || fetching_q || !ready_o;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && !flush_i) begin
      assert (!valid_i || ready_o) else $fatal(1, "tx_seg_store: a beat without ready_o");
      assert (wptr_q - rptr_q <= 12'(RING_WORDS)) else $fatal(1, "tx_seg_store: ring overflow");
      assert (!read || from_q != wptr_q) else $fatal(1, "tx_seg_store: ring underflow");
      assert (!done_i || used_q != '0) else $fatal(1, "tx_seg_store: no slot to free");
    end
  end
`endif

endmodule
