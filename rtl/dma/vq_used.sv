// Device side of one packed virtqueue: writes used descriptors and decides on notifications.
//
// Input: finished chains, valid/ready, in the order in which they were fetched; the data they speak
// of must already have been acknowledged on AXI. Each becomes one 8-byte write of {len, id, flags},
// a single beat, so that the driver never sees half of it (virtio 2.8.13). With Batch and in_order_i
// chains that wait while a write is blocked are merged into one used descriptor (2.8.8, IN_ORDER).
// Chains joined by `more` become visible together (5.1.6.4.1): the first one's used descriptor, which
// the driver meets first, is written when those of all others have been acknowledged.
// After used descriptors are acknowledged the driver event suppression structure is read (2.8.14)
// and irq_o pulses if the driver wants to know. That read comes behind the write responses: it is
// the store-load barrier that pairs with the driver's between enabling events and looking at the ring.
// A refused write pulses error_o; nothing is written after it.
// With limits in coal_i that look is put off until vq_moderation lets it, and the block sleeps meanwhile.
// cfg_i.enable = 0: chains offered are discarded, position returns to 0, wrap counter to 1.
module vq_used
  import nic_pkg::*;
  import virtio_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128,
  parameter bit          Batch         = 1'b0,  // used lengths carry no information (transmit)
  parameter bit          Moderation    = 1'b1   // built with vq_moderation, else coal_i is 0
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  /* verilator lint_off UNUSEDSIGNAL */
  input  vq_cfg_t                  cfg_i,          // not: the device area
  /* verilator lint_on UNUSEDSIGNAL */
  input  logic                     event_idx_i,
  input  logic                     in_order_i,

  input  vq_used_t                 used_i,
  input  logic                     used_valid_i,
  output logic                     used_ready_o,

  output word_write_t              write_o,
  output logic                     write_valid_o,
  input  logic                     write_ready_i,
  input  logic                     write_done_i,   // response, pulse
  input  logic                     write_error_i,  // with write_done_i

  output logic [63:0]              ar_addr_o,      // one 4-byte read
  output logic                     ar_valid_o,
  input  logic                     ar_ready_i,
  input  logic [HostDataWidth-1:0] r_data_i,
  input  logic                     r_error_i,
  input  logic                     r_valid_i,

  // Moderation of notifications, and its deadline (see vq_moderation)
  input  coal_cfg_t                coal_i,
  input  logic [47:0]              cycle_i,
  output logic                     timer_set_o,
  output logic [47:0]              timer_deadline_o,
  output logic                     timer_clear_o,
  input  logic                     due_i,

  output logic                     irq_o,          // the driver is to be notified, pulse
  output logic                     error_o,        // pulse
  output logic                     idle_o,         // nothing outstanding on AXI
  output logic                     busy_o
);

  localparam int unsigned WordsW = $clog2(HostDataWidth / 32);

  typedef enum logic [1:0] {IDLE, WAIT_WRITES, REQUEST, DATA} state_e;

  vq_used_t    pending_q;
  logic        pending_valid_q;
  logic [15:0] chains_q;        // that pending_q stands for
  logic [15:0] idx_q;           // ring position of the next used descriptor
  logic        wrap_q;          // used wrap counter
  logic [7:0]  issued_q;        // used writes issued, modulo 256
  logic [7:0]  acked_q;         // used writes acknowledged, modulo 256

  // The first of chains that belong together, not yet shown to the driver.
  logic        group_q;         // it waits for the others
  logic        close_q;         // the others are written
  logic        failed_q;        // a write was refused: nothing more, the queue will be stopped
  logic [15:0] head_id_q;
  logic [31:0] head_len_q;
  logic [15:0] head_idx_q;
  logic        head_wrap_q;

  state_e      state_q;
  logic        dirty_q;         // used descriptors were written since the last look
  logic [16:0] since_q;         // ring entries used since the last look, saturating
  logic [16:0] span_q;          // the same, frozen for the look in progress
  logic [15:0] new_idx_q;       // used position of the look in progress
  logic        new_wrap_q;
  logic [7:0]  target_q;        // acked_q must come to this before the read

  // ---- used descriptors -----------------------------------------------------------------------
  wire  in_flight_full = (issued_q - acked_q) == 8'd64;
  wire  head_hold      = pending_valid_q && pending_q.more && !group_q && !close_q;  // no write yet
  wire  head_fire      = close_q && write_valid_o && write_ready_i;
  wire  pending_fire   = cfg_i.enable && (head_hold || (!close_q && write_valid_o && write_ready_i));
  // Never more than one lap in a batch, whatever the driver does.
  wire [16:0] batch    = {1'b0, pending_q.ndesc} + {1'b0, used_i.ndesc};
  wire  merge          = Batch && in_order_i && pending_valid_q && !pending_fire &&
                         batch <= {1'b0, cfg_i.size};
  assign used_ready_o  = !cfg_i.enable || !pending_valid_q || pending_fire || merge;

  // 2.8.13: used = both flags equal to the used wrap counter; WRITE tells that len is valid.
  logic [15:0] flags;
  always_comb begin
    flags               = '0;
    flags[DESC_F_AVAIL] = close_q ? head_wrap_q : wrap_q;
    flags[DESC_F_USED]  = close_q ? head_wrap_q : wrap_q;
    flags[DESC_F_WRITE] = !Batch;
  end
  assign write_o = '{
    addr: cfg_i.desc + {44'b0, close_q ? head_idx_q : idx_q, 4'b1000},
    size: 3'd3,
    data: close_q ? {flags, head_id_q, head_len_q} : {flags, pending_q.id, pending_q.len}
  };
  assign write_valid_o = cfg_i.enable && !failed_q && (close_q ? issued_q == acked_q
                                                  : pending_valid_q && !head_hold && !in_flight_full);

  wire [16:0] idx_sum  = {1'b0, idx_q} + {1'b0, pending_q.ndesc};
  wire        idx_over = idx_sum >= {1'b0, cfg_i.size};
  wire [17:0] since_sum = {1'b0, since_q} + (pending_fire ? {2'b0, pending_q.ndesc} : 18'd0);

  // ---- notification ---------------------------------------------------------------------------
  /* verilator lint_off UNUSEDSIGNAL */
  wire [31:0] event_word = r_data_i[32*cfg_i.driver[2 +: WordsW] +: 32];  // upper bits reserved
  /* verilator lint_on UNUSEDSIGNAL */
  wire [1:0]  event_flags = event_word[17:16];
  // An event position of the other lap lies one ring size behind (2.8.14); all modulo 2^16.
  wire [15:0] event_idx = {1'b0, event_word[14:0]} -
                          (event_word[15] != new_wrap_q ? cfg_i.size : 16'd0);
  wire [15:0] behind    = new_idx_q - event_idx - 16'd1;
  wire        crossed   = {1'b0, behind} < span_q || span_q >= {1'b0, cfg_i.size};
  logic       wanted;
  always_comb begin
    unique case (event_flags)
      RING_EVENT_FLAGS_DISABLE: wanted = 1'b0;
      RING_EVENT_FLAGS_DESC:    wanted = !event_idx_i || crossed;
      default:                  wanted = 1'b1;
    endcase
  end

  // Not while used descriptors are written that the driver cannot reach yet.
  logic hold, moderation_busy;
  wire  look = state_q == IDLE && cfg_i.enable && dirty_q && !group_q && !close_q && !head_hold && !hold;
  if (Moderation) begin : gen_moderation
    vq_moderation u_moderation (
      .clk_i,
      .rst_ni,
      .enable_i (cfg_i.enable),
      .coal_i,
      .cycle_i,
      .packets_i((pending_fire && !pending_q.more) ? chains_q : 16'd0),
      .look_i   (look),
      .hold_o   (hold),
      .timer_set_o,
      .timer_deadline_o,
      .timer_clear_o,
      .due_i,
      .busy_o   (moderation_busy)
    );
  end else begin : gen_no_moderation
    assign hold             = 1'b0;
    assign timer_set_o      = 1'b0;
    assign timer_deadline_o = '0;
    assign timer_clear_o    = 1'b0;
    assign moderation_busy  = 1'b0;
    wire unused_moderation = &{1'b0, coal_i, cycle_i, due_i};
  end

  wire read_done = state_q == DATA && r_valid_i;
  assign ar_addr_o  = cfg_i.driver;
  assign ar_valid_o = state_q == REQUEST;
  assign irq_o      = read_done && cfg_i.enable && !r_error_i && wanted;
  assign error_o    = cfg_i.enable && ((write_done_i && write_error_i) || (read_done && r_error_i));

  assign idle_o = issued_q == acked_q && state_q != REQUEST && state_q != DATA;
  // Answers wake the queue: it sleeps while it waits for one.
  wire acked = 8'(acked_q - target_q) < 8'd128;
  assign busy_o = state_q == REQUEST || (state_q == WAIT_WRITES && (acked || !cfg_i.enable)) || look ||
                  (pending_valid_q && !(cfg_i.enable && !close_q && in_flight_full)) ||
                  (close_q && (issued_q == acked_q || !cfg_i.enable)) || moderation_busy ||
                  (!cfg_i.enable && (idx_q != '0 || !wrap_q || failed_q || group_q || dirty_q));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      pending_valid_q <= 1'b0;
      group_q         <= 1'b0;
      close_q         <= 1'b0;
      failed_q        <= 1'b0;
      idx_q           <= '0;
      wrap_q          <= 1'b1;
      issued_q        <= '0;
      acked_q         <= '0;
      state_q         <= IDLE;
      dirty_q         <= 1'b0;
      since_q         <= '0;
    end else begin
      if (write_done_i) acked_q <= acked_q + 8'd1;

      if (!cfg_i.enable) begin
        pending_valid_q <= 1'b0;
        group_q         <= 1'b0;
        close_q         <= 1'b0;
        failed_q        <= 1'b0;
        idx_q           <= '0;
        wrap_q          <= 1'b1;
        dirty_q         <= 1'b0;
        since_q         <= '0;
      end else begin
        if (write_done_i && write_error_i) failed_q <= 1'b1;
        if (used_valid_i && used_ready_o) begin
          pending_valid_q <= 1'b1;
          pending_q       <= used_i;
          chains_q        <= merge ? chains_q + 16'd1 : 16'd1;
          if (merge) pending_q.ndesc <= batch[15:0];
        end else if (pending_fire) begin
          pending_valid_q <= 1'b0;
        end
        if (pending_fire) begin
          idx_q   <= idx_over ? 16'(idx_sum - {1'b0, cfg_i.size}) : idx_sum[15:0];
          wrap_q  <= wrap_q ^ idx_over;
          since_q <= since_sum[17] ? '1 : since_sum[16:0];
          group_q <= pending_q.more;
          close_q <= group_q && !pending_q.more;
        end
        if (pending_fire && head_hold) begin
          head_id_q   <= pending_q.id;
          head_len_q  <= pending_q.len;
          head_idx_q  <= idx_q;
          head_wrap_q <= wrap_q;
        end
        if (head_fire) close_q <= 1'b0;
        if (head_fire || (pending_fire && !head_hold)) begin
          issued_q <= issued_q + 8'd1;
          dirty_q  <= 1'b1;
        end
      end

      unique case (state_q)
        IDLE: begin
          if (look) begin
            new_idx_q  <= idx_q;
            new_wrap_q <= wrap_q;
            span_q     <= since_q;
            target_q   <= issued_q;
            since_q    <= pending_fire ? {1'b0, pending_q.ndesc} : '0;
            dirty_q    <= pending_fire;
            state_q    <= WAIT_WRITES;
          end
        end
        WAIT_WRITES: begin
          if (!cfg_i.enable) state_q <= IDLE;
          else if (acked) state_q <= REQUEST;
        end
        REQUEST: if (ar_ready_i) state_q <= DATA;
        DATA:    if (r_valid_i) state_q <= IDLE;
      endcase
    end
  end

endmodule
