// Descriptor side of one packed virtqueue: prefetches available descriptors in bursts.
//
// cfg_i.enable = 0 returns to ring position 0 with wrap counter 1 (virtio 2.8.1) as soon as nothing
// is outstanding; cfg_i is otherwise static. A kick, or enabling, starts a burst read at the next
// available position. All descriptors of the burst available: read on. Else tell the driver how to
// wake the device (2.8.14), read once more to close the race, and sleep until the next kick.
// Output: descriptors in ring order, valid/ready, chains whole and checked: buffers as Direction
// says, no indirect tables, at most cfg_i.size descriptors. A violation or an error response pulses
// error_o and stops the queue until it is disabled.
// The R channel is never held back: room in the FIFO is reserved before the read.
module vq_fetch
  import nic_pkg::*;
  import virtio_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128,
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
  input  logic                     kick_i,       // doorbell, pulse

  output vq_desc_t                 desc_o,
  output logic                     desc_valid_o,
  input  logic                     desc_ready_i,

  output logic [63:0]              ar_addr_o,
  output logic [7:0]               ar_len_o,     // beats - 1
  output logic                     ar_valid_o,
  input  logic                     ar_ready_i,
  input  logic [HostDataWidth-1:0] r_data_i,
  input  logic                     r_error_i,
  input  logic                     r_last_i,
  input  logic                     r_valid_i,

  output word_write_t              event_o,      // write to the device event suppression structure
  output logic                     event_valid_o,
  input  logic                     event_ready_i,
  input  logic                     event_done_i, // its response has come, pulse

  output logic                     error_o,
  output logic                     idle_o,       // nothing outstanding on AXI
  output logic                     busy_o
);

  localparam int unsigned CountW = $clog2(FifoDepth) + 1;

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

  // One descriptor out of the read beats.
  pvirtq_desc_t desc;
  logic         desc_seen;
  if (HostDataWidth == 64) begin : gen_two_beats
    logic [63:0] low_q;
    logic        high_q;
    assign desc      = {r_data_i, low_q};
    assign desc_seen = r_valid_i && high_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) high_q <= 1'b0;
      else if (r_valid_i) high_q <= !high_q;
      if (r_valid_i) low_q <= r_data_i;
    end
  end else if (HostDataWidth == 128) begin : gen_one_beat
    assign desc      = r_data_i;
    assign desc_seen = r_valid_i;
  end else begin : gen_lane
    // 16-byte beats walk through the lanes of the wider bus.
    localparam int unsigned LaneW = $clog2(HostDataWidth / 128);
    logic [LaneW-1:0] lane_q;
    assign desc      = r_data_i[lane_q*128 +: 128];
    assign desc_seen = r_valid_i;
    always_ff @(posedge clk_i) begin
      if (state_q == REQUEST) lane_q <= addr_q[4 +: LaneW];
      else if (r_valid_i) lane_q <= lane_q + LaneW'(1);
    end
  end

  // 2.8.1: available = the AVAIL flag equals the wrap counter and the USED flag does not.
  wire available = desc.flags[DESC_F_AVAIL] == wrap_q && desc.flags[DESC_F_USED] != wrap_q;
  wire take      = desc_seen && cfg_i.enable && !stop_q && !error_q && !r_error_i && available;
  wire writes    = desc.flags[DESC_F_WRITE];
  wire illegal   = (Direction == VQ_WRITE && !writes) || (Direction == VQ_READ && writes) ||
                   (Direction == VQ_BOTH && wrote_q && !writes) || desc.flags[DESC_F_INDIRECT] ||
                   (desc.flags[DESC_F_NEXT] && chain_q + 16'd1 == cfg_i.size);
  wire push      = take && !illegal;
  wire room      = fifo_count <= CountW'(FifoDepth - FetchMax);
  wire start     = cfg_i.enable && kick_q && room && !error_q;
  wire fault     = r_valid_i && cfg_i.enable && !error_q && (r_error_i || (take && illegal));

  vq_desc_t push_desc;
  assign push_desc = '{
    write: writes, addr: desc.addr, len: desc.len, id: desc.id, next: desc.flags[DESC_F_NEXT]
  };
  assign fifo_flush = !cfg_i.enable;

  logic fifo_ready;
  fifo #(
    .Width($bits(vq_desc_t)),
    .Depth(FifoDepth)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .flush_i(fifo_flush),
    .data_i (push_desc),
    .valid_i(push),
    .ready_o(fifo_ready),
    .data_o (desc_o),
    .valid_o(desc_valid_o),
    .ready_i(desc_ready_i),
    .count_o(fifo_count)
  );

  assign ar_valid_o = state_q == REQUEST;
  assign ar_addr_o  = addr_q;
  assign ar_len_o   = HostDataWidth == 64 ? {2'b0, count_q, 1'b0} - 8'd1 : {3'b0, count_q} - 8'd1;

  // 2.8.14: { desc_event_off:15, desc_event_wrap:1, desc_event_flags:2, reserved }.
  wire [1:0] event_flags = state_q == DISABLE ? RING_EVENT_FLAGS_DISABLE :
                           event_idx_i ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;
  wire [31:0] event_word = {14'b0, event_flags, wrap_q, idx_q[14:0]};
  assign event_o       = '{addr: cfg_i.device, size: 3'd2, data: {event_word, event_word}};
  assign event_valid_o = (state_q == DISABLE || state_q == PUBLISH) && !event_out_q;

  assign error_o = fault;
  assign idle_o  = (state_q == IDLE) && !event_out_q;
  assign busy_o  = !idle_o || start ||
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
      if (fault) error_q <= 1'b1;

      if (push) begin
        took_q  <= 1'b1;
        armed_q <= 1'b0;
        chain_q <= desc.flags[DESC_F_NEXT] ? chain_q + 16'd1 : 16'd0;
        wrote_q <= desc.flags[DESC_F_NEXT] && writes;
        if (idx_q + 16'd1 == cfg_i.size) begin
          idx_q  <= '0;
          wrap_q <= !wrap_q;
        end else begin
          idx_q <= idx_q + 16'd1;
        end
      end
      if (desc_seen && !available) stop_q <= 1'b1;

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
          if (ar_ready_i) state_q <= DATA;
        end
        DATA: begin
          if (r_valid_i && r_last_i) begin
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
