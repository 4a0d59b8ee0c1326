// Decides on segments: takes frames whose headers have been read, and says when and how each segment
// is to be made.
//
// A segment is announced when all of its payload is in the ring and it is known whether it is the
// last one: when more than gso_size bytes wait, or the frame has ended. So nothing is ever sent of a
// segment that an abort cuts. Frames that are not to be segmented are announced when they are
// complete. What is aborted, bad, or longer than a frame may be is dropped: pieces with none set
// free its words as they come, the last one its slot. At least 6 cycles from segment to segment.
// malformed_o pulses for each dropped frame that was not aborted; segment_o for each segment, gso_o
// together with the last of a frame.
module tx_seg_plan
  import tx_seg_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        flush_i,
  input  logic [15:0] max_frame_i,  // bytes, virtio_net_hdr included

  input  slot_t       slot_i [SLOTS],
  input  ctx_t        ctx_i,
  input  logic        ctx_valid_i,
  output logic        ctx_ready_o,

  output fetch_t      fetch_o,
  output logic        fetch_valid_o,
  input  logic        fetch_ready_i,
  output seg_t        seg_o,
  output logic        seg_valid_o,
  input  logic        seg_ready_i,

  output logic        malformed_o,
  output logic        gso_o,
  output logic        segment_o,
  output logic        busy_o
);

  // TCP flags (RFC 9293 3.1).
  localparam int unsigned FIN = 0;
  localparam int unsigned PSH = 3;
  localparam int unsigned CWR = 7;
  localparam logic [15:0] IPV6_HEADER = 16'd40;

  typedef enum logic [2:0] {
    IDLE,
    LOOK,     // how much is there?
    DECIDE,
    LENGTHS,
    SUMS,
    PUSH
  } state_e;

  state_e      state_q;
  /* verilator lint_off UNUSEDSIGNAL */  // not each field is looked at again
  ctx_t        ctx_q;
  /* verilator lint_on UNUSEDSIGNAL */
  logic        drop_q, first_q, last_q;
  logic [16:0] pos_q;        // of the payload that comes next
  /* verilator lint_off UNUSEDSIGNAL */
  slot_t       slot_q;       // as LOOK saw it
  /* verilator lint_on UNUSEDSIGNAL */
  logic [16:0] avail_q;      // bytes from pos_q
  logic [13:0] payload_q;
  logic [15:0] ip_len_q, l4_len_q, id_q;
  logic [31:0] seq_q;
  logic [21:0] ip_sum_q, pseudo_q;

  slot_t slot;
  assign slot = slot_i[ctx_q.slot];

  assign ctx_ready_o = state_q == IDLE;

  wire fits     = ctx_q.gso_size <= ctx_q.max_payload;
  wire full     = fits && avail_q > 17'(ctx_q.gso_size);
  wire too_long = ctx_q.plain ? avail_q > 17'(max_frame_i)
                              : !full && avail_q > 17'(ctx_q.max_payload);
  wire push     = state_q == PUSH && (!fetch_valid_o || fetch_ready_i) &&
                  (!seg_valid_o || seg_ready_i);
  wire none     = drop_q;
  wire done     = drop_q ? slot_q.ended : last_q;

  wire [16:0] end_pos  = pos_q + (none ? 17'd0 : 17'(payload_q));
  /* verilator lint_off UNUSEDSIGNAL */
  wire [16:0] free_pos = (none || done) ? slot_q.len + 17'd7 : end_pos;
  wire [13:0] span     = 14'(pos_q[2:0]) + payload_q + 14'd7;
  /* verilator lint_on UNUSEDSIGNAL */

  logic [15:0] flags;
  always_comb begin
    flags = ctx_q.flags;
    if (!last_q) begin
      flags[FIN] = 1'b0;
      flags[PSH] = 1'b0;
    end
    // RFC 3168 6.1.2: a reduced window is told once.
    if (!first_q) flags[CWR] = 1'b0;
  end

  always_ff @(posedge clk_i) begin
    malformed_o <= 1'b0;
    gso_o       <= 1'b0;
    segment_o   <= 1'b0;
    unique case (state_q)
      IDLE: begin
        ctx_q   <= ctx_i;
        pos_q   <= ctx_i.plain ? '0 : 17'(ctx_i.headers);
        id_q    <= ctx_i.id;
        seq_q   <= ctx_i.seq;
        first_q <= 1'b1;
        drop_q  <= !ctx_i.plain && ctx_i.bad;
        if (ctx_valid_i) state_q <= LOOK;
      end
      LOOK: begin
        slot_q  <= slot;
        avail_q <= slot.len - pos_q;
        state_q <= DECIDE;
      end
      DECIDE: begin
        last_q    <= ctx_q.plain || !full;
        payload_q <= (!ctx_q.plain && full) ? ctx_q.gso_size[13:0] : avail_q[13:0];
        if (drop_q || slot_q.aborted || slot_q.over || too_long) begin
          drop_q  <= 1'b1;
          state_q <= PUSH;
        end else if (!ctx_q.plain && (full || slot_q.ended)) begin
          state_q <= LENGTHS;
        end else if (slot_q.ended) begin
          state_q <= PUSH;
        end else begin
          state_q <= LOOK;
        end
      end
      LENGTHS: begin
        ip_len_q <= 16'(payload_q) + 16'(ctx_q.headers) - 16'(ctx_q.l3) -
                    (ctx_q.ipv6 ? IPV6_HEADER : '0);
        l4_len_q <= 16'(payload_q) + 16'(ctx_q.headers) - 16'(ctx_q.l4);
        state_q  <= SUMS;
      end
      SUMS: begin
        ip_sum_q <= 22'(ctx_q.ip_sum) + 22'(ip_len_q) + 22'(id_q);
        pseudo_q <= 22'(ctx_q.pseudo_sum) + 22'(l4_len_q);
        state_q  <= PUSH;
      end
      default: begin  // PUSH
        if (push) begin
          first_q     <= 1'b0;
          pos_q       <= end_pos;
          id_q        <= id_q + 16'd1;
          seq_q       <= seq_q + 32'(payload_q);
          state_q     <= done ? IDLE : LOOK;
          malformed_o <= none && done && !slot_q.aborted;
          segment_o   <= !none && !ctx_q.plain;
          gso_o       <= !none && !ctx_q.plain && done;
        end
      end
    endcase

    if (fetch_ready_i) fetch_valid_o <= 1'b0;
    if (seg_ready_i) seg_valid_o <= 1'b0;
    if (push) begin
      fetch_valid_o <= 1'b1;
      seg_valid_o   <= 1'b1;
      fetch_o       <= '{
        from:    slot_q.start + pos_q[14:3],
        words:   (none || payload_q == '0) ? '0 : span[13:3],
        free_to: slot_q.start + free_pos[14:3]
      };
      seg_o         <= '{
        slot:    ctx_q.slot,
        none:    none,
        plain:   ctx_q.plain,
        done:    done,
        ipv6:    ctx_q.ipv6,
        udp:     ctx_q.udp,
        l3:      ctx_q.l3,
        l4:      ctx_q.l4,
        headers: ctx_q.headers,
        ip_len:  ip_len_q,
        id:      id_q,
        ip_csum: ~fold(ip_sum_q),
        l4_len:  l4_len_q,
        seq:     seq_q,
        flags:   flags,
        pseudo:  fold(pseudo_q),
        payload: payload_q,
        lane:    pos_q[2:0]
      };
    end

    if (!rst_ni || flush_i) begin
      state_q       <= IDLE;
      fetch_valid_o <= 1'b0;
      seg_valid_o   <= 1'b0;
      malformed_o   <= 1'b0;
      gso_o         <= 1'b0;
      segment_o     <= 1'b0;
    end
  end

  assign busy_o = state_q != IDLE || fetch_valid_o || seg_valid_o || malformed_o || segment_o;

endmodule
