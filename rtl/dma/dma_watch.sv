// Counts what each client of the AXI4 master has outstanding, and notices completions that do not
// come.
//
// Clients: the queues, then MSI-X. One transaction of each direction may begin, and one may end, per
// cycle. lost_o[c] = 1: client c waited for at least Period cycles, and for less than 2 * Period, and
// none of its transactions ended. It stays until all of them have ended after all.
// What has to happen then is decided outside: the queue stops, and a reset does not wait for it any
// longer (common_cfg). Completions that come late are counted off here as any other, and the blocks
// that asked for them throw them away; until the last has come the queue cannot be used, since
// nothing tells a late completion from that of a new transaction with the same ID.
// The block sleeps while nothing is outstanding.
module dma_watch #(
  parameter  int unsigned Clients = 4,      // at most 32
  parameter  int unsigned Period  = 65536,  // cycles, a power of two
  localparam int unsigned IndexW  = $clog2(Clients)
) (
  input  logic               clk_i,
  input  logic               rst_ni,

  input  logic               read_i,          // pulses, each with a client
  input  logic [IndexW-1:0]  read_client_i,
  input  logic               write_i,
  input  logic [IndexW-1:0]  write_client_i,
  input  logic               read_done_i,
  input  logic [IndexW-1:0]  read_done_client_i,
  input  logic               write_done_i,
  input  logic [IndexW-1:0]  write_done_client_i,

  output logic [Clients-1:0] lost_o,
  output logic               busy_o           // something is outstanding that is not lost
);

  localparam int unsigned CountW = 12;
  localparam int unsigned TimeW  = $clog2(Period);

  logic [CountW-1:0]  count_q [Clients];
  logic [Clients-1:0] waiting_q;  // its count is not zero
  logic [Clients-1:0] still_q;    // waiting since before this period without an end
  logic [TimeW-1:0]   time_q;

  logic clk;
  wire  event_now = read_i || write_i || read_done_i || write_done_i;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || event_now || busy_o),
    .clk_o(clk)
  );
  assign busy_o = (waiting_q & ~lost_o) != '0;

  wire [Clients-1:0] begun = (read_i  ? Clients'(1) << read_client_i  : '0) |
                             (write_i ? Clients'(1) << write_client_i : '0);
  wire [Clients-1:0] ended = (read_done_i  ? Clients'(1) << read_done_client_i  : '0) |
                             (write_done_i ? Clients'(1) << write_done_client_i : '0);

  always_ff @(posedge clk) begin
    if (!rst_ni) begin
      waiting_q <= '0;
      still_q   <= '0;
      lost_o    <= '0;
      time_q    <= '0;
      for (int unsigned c = 0; c < Clients; c++) count_q[c] <= '0;
    end else begin
      time_q <= time_q + TimeW'(1);
      if (time_q == '1) begin
        lost_o  <= lost_o | (still_q & ~ended);
        still_q <= waiting_q;
      end
      if (event_now) begin
        for (int unsigned c = 0; c < Clients; c++) begin
          if (begun[c] || ended[c]) begin
            automatic logic [CountW-1:0] count = count_q[c]
                + CountW'(read_i  && read_client_i  == IndexW'(c))
                + CountW'(write_i && write_client_i == IndexW'(c))
                - CountW'(read_done_i  && read_done_client_i  == IndexW'(c))
                - CountW'(write_done_i && write_done_client_i == IndexW'(c));
            count_q[c]   <= count;
            waiting_q[c] <= count != '0;
            if (count == '0) lost_o[c] <= 1'b0;
            if (ended[c]) still_q[c] <= 1'b0;
          end
        end
      end
    end
  end

`ifndef SYNTHESIS
  initial begin
    assert (Clients <= 32 && Period >= 4 && (Period & (Period - 1)) == 0)
    else $fatal(1, "dma_watch: Clients or Period out of range");
  end
  always_ff @(posedge clk) begin
    if (rst_ni && read_done_i) begin
      assert (waiting_q[read_done_client_i])
      else $fatal(1, "dma_watch: read data that was not asked for");
    end
    if (rst_ni && write_done_i) begin
      assert (waiting_q[write_done_client_i])
      else $fatal(1, "dma_watch: write response without a write");
    end
  end
`endif

endmodule
