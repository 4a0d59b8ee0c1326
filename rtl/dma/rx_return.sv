// Receive buffers on their way back: keeps the chains of finished frames until all write responses of
// the frame have come, so that a used descriptor never announces data that is still under way.
//
// Write side, one frame at a time: chain_valid_i hands over a chain, chain_last_i with it (or
// void_valid_i alone) ends the frame. A void frame's chains go back with length 0: its data does not
// count. The chains of a frame that is not ended are not seen. room_o[p] = 1: another
// chain and the end of its frame fit, also when the frame before ends in this cycle, and fewer than
// BurstLimit bursts are without response; as many again may be issued before room_o is looked at anew.
// Read side: chains of frames that are whole and acknowledged, in order per queue, the queues by turns;
// used_o.more joins the chains of one frame. A queue that takes nothing holds nobody up.
// Responses are counted per queue: bursts of a queue are acknowledged in the order of their issue.
// enable_i[p] = 0: what was acknowledged is discarded (drop_o pulses for each frame that was not
// void); idle_o[p] = 1 when nothing is left and no response is missing.
module rx_return
  import nic_pkg::*;
#(
  parameter int unsigned QueuePairs = 1,
  parameter int unsigned ChainDepth = 1024,  // chains per queue, a power of two
  parameter int unsigned FrameDepth = 32,    // frames per queue, a power of two
  parameter int unsigned BurstLimit = 2048,  // bursts of a queue that wait for their responses
  localparam int unsigned PairW     = QueuePairs > 1 ? $clog2(QueuePairs) : 1
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  input  logic [QueuePairs-1:0] enable_i,

  // All of one queue: that of the frame in progress
  input  logic [PairW-1:0]      pair_i,
  input  logic [15:0]           chain_id_i,
  input  logic [17:0]           chain_len_i,    // bytes written
  input  logic [15:0]           chain_ndesc_i,  // ring entries
  input  logic                  chain_valid_i,  // pulse
  input  logic                  chain_last_i,   // with it: the frame is complete
  input  logic                  void_valid_i,   // pulse: the frame's chains, the one that comes with it
                                                // included, go back empty
  input  logic                  burst_valid_i,  // pulse: a burst was issued; it belongs to the frame
  output logic [QueuePairs-1:0] room_o,

  input  logic [QueuePairs-1:0] b_valid_i,      // write responses, pulses

  output vq_used_t              used_o,
  output logic [QueuePairs-1:0] used_valid_o,   // one at the most
  input  logic [QueuePairs-1:0] used_ready_i,   // once set it stays until a chain is taken

  output logic                  drop_o,         // pulse
  input  logic                  drop_hold_i,    // drop_o must wait
  output logic [QueuePairs-1:0] idle_o,
  output logic                  busy_o
);

  localparam int unsigned ChainW = $clog2(ChainDepth);
  localparam int unsigned RamW   = $clog2(QueuePairs * ChainDepth);
  localparam int unsigned FrameW = $clog2(FrameDepth);
  localparam int unsigned SeqW   = $clog2(BurstLimit) + 2;

  typedef struct packed {
    logic [15:0] id;
    logic [17:0] len;
    logic [15:0] ndesc;
  } chain_t;
  typedef struct packed {
    logic            is_void;
    logic [ChainW:0] chains;
    logic [SeqW-1:0] seq;     // bursts issued when the frame ended
  } frame_t;

  // Pointers are free-running with one bit more than the address.
  logic [ChainW:0] chain_wptr_q [QueuePairs], chain_rptr_q [QueuePairs];
  logic [FrameW:0] frame_wptr_q [QueuePairs], frame_rptr_q [QueuePairs];
  logic [SeqW-1:0] seq_q        [QueuePairs];  // bursts issued
  logic [SeqW-1:0] acked_q      [QueuePairs];  // bursts acknowledged
  logic [ChainW:0] sent_q       [QueuePairs];  // chains of the oldest frame that were given back
  logic [ChainW:0] open_q;                     // chains of the frame in progress

  // ---- write side ---------------------------------------------------------------------------------
  wire [ChainW:0] open_next  = open_q + (ChainW + 1)'(chain_valid_i);
  wire            frame_push = (chain_valid_i && chain_last_i) ||
                               (void_valid_i && open_next != '0);
  frame_t frame;
  assign frame = '{
    is_void: void_valid_i,
    chains:  open_next,
    seq:     seq_q[pair_i] + SeqW'(burst_valid_i)
  };

  // ---- queues -------------------------------------------------------------------------------------
  logic [QueuePairs-1:0] done;         // the oldest frame is whole and acknowledged
  logic [QueuePairs-1:0] settled;      // no response is missing
  frame_t                front [QueuePairs];
  for (genvar p = 0; p < int'(QueuePairs); p++) begin : gen_queue
    wire [ChainW:0] chains = chain_wptr_q[p] - chain_rptr_q[p];
    wire [FrameW:0] held   = frame_wptr_q[p] - frame_rptr_q[p];
    wire [SeqW-1:0] flying = seq_q[p] - acked_q[p];
    // A memory per queue: all are read at once, and a small RAM has one port for it.
    frame_t frames [FrameDepth];
    assign front[p] = frames[frame_rptr_q[p][FrameW-1:0]];
    always_ff @(posedge clk_i) begin
      if (frame_push && pair_i == PairW'(p)) frames[frame_wptr_q[p][FrameW-1:0]] <= frame;
    end
    /* verilator lint_off UNUSEDSIGNAL */
    wire [SeqW-1:0] ahead  = acked_q[p] - front[p].seq;  // the sign tells
    /* verilator lint_on UNUSEDSIGNAL */
    assign done[p]   = held != '0 && !ahead[SeqW-1];
    assign room_o[p] = chains < (ChainW + 1)'(ChainDepth - 2) && held < (FrameW + 1)'(FrameDepth - 2) &&
                       flying < SeqW'(BurstLimit);
    assign settled[p] = flying == '0;
    assign idle_o[p]  = held == '0 && settled[p];
  end

  // ---- read side ----------------------------------------------------------------------------------
  logic             out_q;      // the chain of pair_q is at the RAM's output
  logic [PairW-1:0] pair_q;     // served now or last

  // The next queue after the one served last that has something to do.
  wire [QueuePairs-1:0] wanted = done & (~enable_i | used_ready_i);
  logic [PairW-1:0]     pick;
  always_comb begin
    pick = pair_q;
    for (int unsigned i = QueuePairs; i >= 1; i--) begin
      automatic int unsigned c = 32'(pair_q) + i;
      if (c >= QueuePairs) c -= QueuePairs;
      if (wanted[PairW'(c)]) pick = PairW'(c);
    end
  end
  wire read    = !out_q && wanted[pick] && enable_i[pick];
  wire discard = !out_q && wanted[pick] && !enable_i[pick] && (front[pick].is_void || !drop_hold_i);
  assign drop_o = discard && !front[pick].is_void;

  chain_t chain;
  ram_sdp #(
    .Width($bits(chain_t)),
    .Depth(QueuePairs * ChainDepth)
  ) u_chains (
    .clk_i,
    .we_i   (chain_valid_i),
    .waddr_i(RamW'(32'(pair_i) * ChainDepth + 32'(chain_wptr_q[pair_i][ChainW-1:0]))),
    .wdata_i({chain_id_i, chain_len_i, chain_ndesc_i}),
    .re_i   (read),
    .raddr_i(RamW'(32'(pick) * ChainDepth + 32'(chain_rptr_q[pick][ChainW-1:0]))),
    .rdata_o(chain)
  );

  wire last  = sent_q[pair_q] + (ChainW + 1)'(1) == front[pair_q].chains;
  wire taken = out_q && enable_i[pair_q] && used_ready_i[pair_q];
  assign used_o = '{
    more:  !last && !front[pair_q].is_void,
    id:    chain.id,
    len:   front[pair_q].is_void ? '0 : 32'(chain.len),
    ndesc: chain.ndesc
  };
  always_comb begin
    used_valid_o         = '0;
    used_valid_o[pair_q] = out_q && enable_i[pair_q];
  end

  assign busy_o = out_q || wanted != '0 || open_q != '0;  // responses wake

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      for (int unsigned p = 0; p < QueuePairs; p++) begin
        chain_wptr_q[p] <= '0;
        chain_rptr_q[p] <= '0;
        frame_wptr_q[p] <= '0;
        frame_rptr_q[p] <= '0;
        seq_q[p]        <= '0;
        acked_q[p]      <= '0;
        sent_q[p]       <= '0;
      end
      open_q <= '0;
      out_q  <= 1'b0;
      pair_q <= '0;
    end else begin
      if (burst_valid_i) seq_q[pair_i] <= seq_q[pair_i] + SeqW'(1);
      for (int unsigned p = 0; p < QueuePairs; p++) begin
        if (b_valid_i[p]) acked_q[p] <= acked_q[p] + SeqW'(1);
      end

      open_q <= frame_push ? '0 : open_next;
      if (chain_valid_i) chain_wptr_q[pair_i] <= chain_wptr_q[pair_i] + (ChainW + 1)'(1);
      if (frame_push) frame_wptr_q[pair_i] <= frame_wptr_q[pair_i] + (FrameW + 1)'(1);

      if (read) begin
        out_q  <= 1'b1;
        pair_q <= pick;
      end
      if (discard) begin
        pair_q             <= pick;
        chain_rptr_q[pick] <= chain_rptr_q[pick] + front[pick].chains - sent_q[pick];
        frame_rptr_q[pick] <= frame_rptr_q[pick] + (FrameW + 1)'(1);
        sent_q[pick]       <= '0;
      end
      if (taken || !enable_i[pair_q]) out_q <= 1'b0;
      if (taken) begin
        chain_rptr_q[pair_q] <= chain_rptr_q[pair_q] + (ChainW + 1)'(1);
        sent_q[pair_q]       <= last ? '0 : sent_q[pair_q] + (ChainW + 1)'(1);
        if (last) frame_rptr_q[pair_q] <= frame_rptr_q[pair_q] + (FrameW + 1)'(1);
      end
    end
  end

`ifndef SYNTHESIS
  initial begin
    assert ((ChainDepth & (ChainDepth - 1)) == 0 && (FrameDepth & (FrameDepth - 1)) == 0)
    else $fatal(1, "rx_return: ChainDepth and FrameDepth must be powers of two");
  end
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert ((b_valid_i & settled) == '0)
      else $fatal(1, "rx_return: write response without a burst");
      assert (!chain_valid_i || chain_wptr_q[pair_i] - chain_rptr_q[pair_i] < (ChainW + 1)'(ChainDepth))
      else $fatal(1, "rx_return: chains overflow");
      assert (!frame_push || frame_wptr_q[pair_i] - frame_rptr_q[pair_i] < (FrameW + 1)'(FrameDepth))
      else $fatal(1, "rx_return: frames overflow");
    end
  end
`endif

endmodule
