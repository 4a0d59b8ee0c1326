// Vendor region of BAR0: build information and 64-bit statistics counters (nic_pkg::stat_e).
//
// count_i[s] pulses add one to counter s; those whose amount is given beside it add that.
// The driver reads a counter as two 32-bit halves, low half first: reading the low half latches the
// high half of the same counter, so that the pair fits together.
module stats
  import nic_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,

  /* verilator lint_off UNUSEDSIGNAL */
  input  reg_req_t             req_i,
  /* verilator lint_on UNUSEDSIGNAL */
  output logic [31:0]          rdata_o,

  input  logic [3:0]           queue_pairs_i,  // static
  input  logic [NUM_STATS-1:0] count_i,
  input  logic [13:0]          rx_bytes_i,  // with count_i[STAT_RX_BYTES]
  input  logic [13:0]          tx_bytes_i,  // with count_i[STAT_TX_BYTES]
  // What several queues may tell in one cycle, each with its bit of count_i
  input  logic [3:0]           rx_buffers_i,
  input  logic [3:0]           tx_buffers_i,
  input  logic [3:0]           tx_malformed_i
);

  localparam int unsigned IndexW = $clog2(NUM_STATS);

  logic [63:0] counter_q [NUM_STATS];
  logic [31:0] high_q;

  wire        selected = req_i.addr[15:12] == BAR_VENDOR[15:12];
  wire [11:0] offset   = req_i.addr[11:0];
  /* verilator lint_off UNUSEDSIGNAL */
  wire [11:0] place    = offset - VENDOR_COUNTERS;
  /* verilator lint_on UNUSEDSIGNAL */
  wire        counter  = offset >= VENDOR_COUNTERS && place[11:3] < 9'(NUM_STATS);
  wire [63:0] value    = counter_q[place[3 +: IndexW]];

  always_comb begin
    rdata_o = '0;
    if (selected) begin
      if (counter) begin
        rdata_o = place[2] ? high_q : value[31:0];
      end else begin
        unique case (offset)
          VENDOR_MAGIC:   rdata_o = MAGIC;
          VENDOR_VERSION: rdata_o = VERSION;
          VENDOR_BUILD:   rdata_o = {16'(HostDataWidth / 8), 12'b0, queue_pairs_i};
          default:        rdata_o = '0;
        endcase
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (req_i.read && selected && counter && !place[2]) high_q <= value[63:32];
    if (!rst_ni) begin
      for (int unsigned s = 0; s < NUM_STATS; s++) counter_q[s] <= '0;
    end else if (count_i != '0) begin
      for (int unsigned s = 0; s < NUM_STATS; s++) begin
        if (count_i[s]) begin
          unique case (s)
            32'(STAT_RX_BYTES):     counter_q[s] <= counter_q[s] + 64'(rx_bytes_i);
            32'(STAT_TX_BYTES):     counter_q[s] <= counter_q[s] + 64'(tx_bytes_i);
            32'(STAT_RX_BUFFERS):   counter_q[s] <= counter_q[s] + 64'(rx_buffers_i);
            32'(STAT_TX_BUFFERS):   counter_q[s] <= counter_q[s] + 64'(tx_buffers_i);
            32'(STAT_TX_MALFORMED): counter_q[s] <= counter_q[s] + 64'(tx_malformed_i);
            default:                counter_q[s] <= counter_q[s] + 64'd1;
          endcase
        end
      end
    end
  end

endmodule
