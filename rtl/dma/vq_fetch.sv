// Descriptor side of one packed virtqueue: prefetches available descriptors in bursts.
//
// cfg_i.enable = 0 returns to ring position 0 with wrap counter 1 (virtio 2.8.1) as soon as nothing
// is outstanding; cfg_i is otherwise static. A kick, or enabling, starts a burst read at the next
// available position. All descriptors of the burst available: read on. Else tell the driver how to
// wake the device (2.8.14), read once more to close the race, and sleep until the next kick.
// Output: descriptors in ring order, valid/ready, chains whole and checked: buffers as Direction
// says, at most cfg_i.size descriptors, an indirect table (if negotiated) only as a chain of its own and
// of whole descriptors, at most 1024 or cfg_i.size of them (2.8.8); vq_indirect reads it. A violation or an error response pulses
// error_o and stops the queue until it is disabled.
// The R channel is never held back: room in the FIFO is reserved before the read.
module vq_fetch
  import nic_pkg::*;
  import virtio_pkg::*;
#(
  parameter logic [1:0]  Direction     = VQ_READ,  // vq_direction_e
  parameter int unsigned FetchMax      = 16,    // descriptors per burst
  parameter int unsigned FifoDepth     = 32     // descriptors held, >= 2 * FetchMax
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  /* verilator lint_off UNUSEDSIGNAL */
  input  vq_cfg_t                  cfg_i,        // not: the driver area
  /* verilator lint_on UNUSEDSIGNAL */
  input  logic                     event_idx_i,  // VIRTIO_F_EVENT_IDX negotiated
  input  logic                     indirect_i,   // VIRTIO_F_INDIRECT_DESC negotiated
  input  logic                     kick_i,       // doorbell, pulse

  output vq_desc_t                 desc_o,
  output logic                     indirect_o,   // desc_o refers to a table
  output logic                     desc_valid_o,
  input  logic                     desc_ready_i,

  // Reads, see vq_read
  output logic [63:0]              addr_o,
  output logic [4:0]               count_o,
  output logic                     valid_o,
  input  logic                     ready_i,
  input  pvirtq_desc_t             read_i,
  input  logic                     seen_i,
  input  logic                     last_i,       // with seen_i
  input  logic                     error_i,

  output word_write_t              event_o,      // write to the device event suppression structure
  output logic                     event_valid_o,
  input  logic                     event_ready_i,
  input  logic                     event_done_i, // its response has come, pulse

  input  logic                     stop_i,       // an error elsewhere: as one of its own
  output logic                     error_o,
  output logic                     idle_o,       // nothing outstanding on AXI
  output logic                     busy_o
);

  localparam int unsigned CountW   = $clog2(FifoDepth) + 1;
  localparam int unsigned TableMax = 1024;  // descriptors of a table, if the ring has fewer

  typedef enum logic [2:0] {IDLE, DISABLE, REQUEST, DATA, PUBLISH, PUBLISHED} state_e;

  state_e      state_q;
  logic        kick_q;     // descriptors may be there that were not looked at
  logic        armed_q;    // the driver knows that a kick is wanted at idx_q
  logic        recheck_q;  // the next read closes the race between arming and sleeping
  logic        error_q;
  logic        stop_q;     // an unavailable descriptor was met in this burst
  logic        took_q;     // this burst brought at least one descriptor
  logic [15:0] idx_q;      // next ring position to fetch
  logic        wrap_q;     // avail wrap counter
  logic [15:0] chain_q;    // descriptors of the current chain so far
  logic        wrote_q;    // one of them is written by the device
  logic [63:0] addr_q;
  logic [4:0]  count_q;    // descriptors asked for
  logic        event_out_q; // an event write awaits its response

  logic [CountW-1:0] fifo_count;
  logic              fifo_flush;

  // The burst ends at the ring's end and at a 4 KiB boundary.
  wire [63:0] idx_addr = cfg_i.desc + {44'b0, idx_q, 4'b0};
  wire [15:0] to_end   = cfg_i.size - idx_q;
  wire [8:0]  to_4k    = 9'd256 - {1'b0, idx_addr[11:4]};
  logic [4:0] count_d;
  always_comb begin
    count_d = 5'(FetchMax);
    if (to_end < 16'(FetchMax)) count_d = to_end[4:0];
    if (to_4k < {4'b0, count_d}) count_d = to_4k[4:0];
  end

  // 2.8.1: available = the AVAIL flag equals the wrap counter and the USED flag does not.
  wire available = read_i.flags[DESC_F_AVAIL] == wrap_q && read_i.flags[DESC_F_USED] != wrap_q;
  wire take      = seen_i && cfg_i.enable && !stop_q && !error_q && !error_i && available;
  wire writes    = read_i.flags[DESC_F_WRITE];
  wire indirect  = read_i.flags[DESC_F_INDIRECT];
  // 2.8.8: WRITE means nothing in a descriptor that refers to a table.
  wire wrong_way = (Direction == VQ_WRITE && !writes) || (Direction == VQ_READ && writes) ||
                   (Direction == VQ_BOTH && wrote_q && !writes);
  wire bad_table = !indirect_i || chain_q != '0 || read_i.flags[DESC_F_NEXT] ||
                   read_i.len[3:0] != '0 || read_i.len == '0 ||
                   read_i.len[31:4] > {12'b0, cfg_i.size > 16'(TableMax) ? cfg_i.size : 16'(TableMax)};
  wire illegal   = (indirect ? bad_table : wrong_way) ||
                   (read_i.flags[DESC_F_NEXT] && chain_q + 16'd1 == cfg_i.size);
  wire push      = take && !illegal;
  wire room      = fifo_count <= CountW'(FifoDepth - FetchMax);
  wire start     = cfg_i.enable && kick_q && room && !error_q && !stop_i;
  wire fault     = seen_i && cfg_i.enable && !error_q && (error_i || (take && illegal));

  vq_desc_t push_desc;
  assign push_desc = '{
    inner: 1'b0,
    write: writes,
    addr:  read_i.addr,
    len:   read_i.len,
    id:    read_i.id,
    next:  read_i.flags[DESC_F_NEXT]
  };
  assign fifo_flush = !cfg_i.enable;

  logic fifo_ready;
  fifo #(
    .Width($bits(vq_desc_t) + 1),
    .Depth(FifoDepth)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .flush_i(fifo_flush),
    .data_i ({indirect, push_desc}),
    .valid_i(push),
    .ready_o(fifo_ready),
    .data_o ({indirect_o, desc_o}),
    .valid_o(desc_valid_o),
    .ready_i(desc_ready_i),
    .count_o(fifo_count)
  );

  assign valid_o = state_q == REQUEST;
  assign addr_o  = addr_q;
  assign count_o = count_q;

  // 2.8.14: { desc_event_off:15, desc_event_wrap:1, desc_event_flags:2, reserved }.
  wire [1:0] event_flags = state_q == DISABLE ? RING_EVENT_FLAGS_DISABLE :
                           event_idx_i ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;
  wire [31:0] event_word = {14'b0, event_flags, wrap_q, idx_q[14:0]};
  assign event_o       = '{addr: cfg_i.device, size: 3'd2, data: {event_word, event_word}};
  assign event_valid_o = (state_q == DISABLE || state_q == PUBLISH) && !event_out_q;

  assign error_o = fault;
  assign idle_o  = (state_q == IDLE) && !event_out_q;
  // Answers wake the queue: it sleeps while it waits for one.
  assign busy_o  = state_q inside {REQUEST, DISABLE} || start ||
                   (state_q == PUBLISH && (!event_out_q || !cfg_i.enable)) ||
                   (!cfg_i.enable && (desc_valid_o || !kick_q || idx_q != '0 || !wrap_q || chain_q != '0 || error_q || armed_q));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q     <= IDLE;
      kick_q      <= 1'b0;
      armed_q     <= 1'b0;
      recheck_q   <= 1'b0;
      error_q     <= 1'b0;
      idx_q       <= '0;
      wrap_q      <= 1'b1;
      chain_q     <= '0;
      wrote_q     <= 1'b0;
      event_out_q <= 1'b0;
    end else begin
      if (kick_i) kick_q <= 1'b1;
      if (event_done_i) event_out_q <= 1'b0;
      if (fault || stop_i) error_q <= 1'b1;

      if (push) begin
        took_q  <= 1'b1;
        armed_q <= 1'b0;
        chain_q <= read_i.flags[DESC_F_NEXT] ? chain_q + 16'd1 : 16'd0;
        wrote_q <= read_i.flags[DESC_F_NEXT] && writes;
        if (idx_q + 16'd1 == cfg_i.size) begin
          idx_q  <= '0;
          wrap_q <= !wrap_q;
        end else begin
          idx_q <= idx_q + 16'd1;
        end
      end
      if (seen_i && !available) stop_q <= 1'b1;

      unique case (state_q)
        IDLE: begin
          if (!cfg_i.enable) begin
            idx_q   <= '0;
            wrap_q  <= 1'b1;
            chain_q <= '0;
            wrote_q <= 1'b0;
            armed_q <= 1'b0;
            recheck_q <= 1'b0;
            error_q <= 1'b0;
            // Buffers may be made available before the queue is enabled: look once.
            kick_q  <= 1'b1;
          end else if (start) begin
            addr_q  <= idx_addr;
            count_q <= count_d;
            stop_q  <= 1'b0;
            took_q  <= 1'b0;
            kick_q  <= kick_i;
            // Without EVENT_IDX the driver is told not to kick while the device is at work.
            state_q   <= (armed_q && !recheck_q && !event_idx_i) ? DISABLE : REQUEST;
            recheck_q <= 1'b0;
          end
        end
        DISABLE: begin
          if (event_ready_i && event_valid_o) begin
            event_out_q <= 1'b1;
            armed_q     <= 1'b0;
            state_q     <= REQUEST;
          end
        end
        REQUEST: begin
          if (ready_i) state_q <= DATA;
        end
        DATA: begin
          if (seen_i && last_i) begin
            if (!cfg_i.enable || error_q || fault) begin
              state_q <= IDLE;
            end else if (!stop_q && available) begin
              kick_q  <= 1'b1;
              state_q <= IDLE;
            end else begin
              // Armed and nothing new: sleep. A kick that came meanwhile is in kick_q.
              state_q <= (armed_q && !took_q) ? IDLE : PUBLISH;
            end
          end
        end
        PUBLISH: begin
          // A write that was taken is waited for, also when the queue is disabled in that cycle.
          if (event_ready_i && event_valid_o) begin
            event_out_q <= 1'b1;
            armed_q     <= 1'b1;
            state_q     <= PUBLISHED;
          end else if (!cfg_i.enable) begin
            state_q <= IDLE;
          end
        end
        PUBLISHED: begin
          // Only when the driver can see the event may the ring be looked at again (2.8.21.3).
          if (event_done_i) begin
            state_q   <= IDLE;
            recheck_q <= 1'b1;
            kick_q    <= 1'b1;
          end
        end
        default: state_q <= IDLE;
      endcase
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && push) begin
      assert (fifo_ready)
      else $fatal(1, "vq_fetch: descriptor FIFO overflow");
    end
  end
  initial begin
    assert (FetchMax <= 16 && FifoDepth >= 2 * FetchMax)
    else $fatal(1, "vq_fetch: FetchMax or FifoDepth out of range");
  end
`endif

endmodule
