// MSI-X table, pending bits and message sender (PCI Local Bus 3.0, 6.8.2).
//
// irq_i[v] pulses: vector v is to be sent. It becomes pending; it leaves as one 4-byte write as soon
// as function and vector are not masked and the function may master the bus. Masked before the write
// channel took it, it is withdrawn and pending again, so that a driver that masks and reads back gets
// no message any more. A vector that is raised again before its message is offered is one message.
// Vectors take turns: one that may be sent waits for each other vector once at the most.
// With MSI-X disabled nothing becomes pending. clear_i[v] (device reset, or that of the queue whose vector
// it is) forgets that v is pending and withdraws what the write channel does not take in that cycle.
// The table survives a virtio reset: it belongs to PCI. After rst_ni all vectors are masked.
// Vectors from vectors_i on do not exist.
module msix
  import nic_pkg::*;
#(
  parameter int unsigned NumVectors = 3
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  input  logic                  enable_i,  // MSI-X Enable of the capability, registered
  input  logic                  mask_i,    // Function Mask of the capability, registered
  input  logic                  master_i,  // Bus Master Enable, registered
  input  logic [NumVectors-1:0] clear_i,   // pulses
  input  logic [5:0]            vectors_i, // 1..NumVectors, static

  /* verilator lint_off UNUSEDSIGNAL */
  input  reg_req_t              req_i,
  /* verilator lint_on UNUSEDSIGNAL */
  output logic [31:0]           rdata_o,

  input  logic [NumVectors-1:0] irq_i,

  output word_write_t           write_o,
  output logic                  write_valid_o,
  input  logic                  write_ready_i,
  input  logic                  write_done_i,

  output logic                  idle_o,    // every message was answered
  output logic                  busy_o
);

  localparam int unsigned VectorW = $clog2(NumVectors);

  typedef struct packed {
    logic [31:0] data;
    logic [63:0] addr;
  } entry_t;

  entry_t                table_q [NumVectors];
  logic [NumVectors-1:0] masked_q;      // Vector Control
  logic [NumVectors-1:0] pending_q;
  logic                  sending_q;     // write_o is offered
  logic [VectorW-1:0]    vector_q;      // whose message it is
  word_write_t           message_q;
  logic [3:0]            unanswered_q;

  wire [NumVectors-1:0] allowed = enable_i && master_i && !mask_i ? ~masked_q : '0;
  wire [NumVectors-1:0] ready   = pending_q & allowed;
  wire withdraw = sending_q && !write_ready_i && !allowed[vector_q];
  wire send = ready != '0 && !sending_q && unanswered_q != '1;

  logic [NumVectors-1:0] turn;  // one-hot
  logic [VectorW-1:0]    pick;  // its number
  rr_arbiter #(
    .Clients(NumVectors)
  ) u_turn (
    .clk_i,
    .rst_ni,
    .valid_i(ready),
    .take_i (send),
    .grant_o(turn),
    .index_o(pick)
  );

  wire in_table = req_i.addr[15:12] == BAR_MSIX_TABLE[15:12];
  wire in_pba   = req_i.addr[15:12] == BAR_MSIX_PBA[15:12];
  wire [7:0] index   = req_i.addr[11:4];
  wire       present = index < 8'(vectors_i);
  entry_t entry;
  assign entry = table_q[index[VectorW-1:0]];

  always_comb begin
    rdata_o = '0;
    if (in_table && present) begin
      unique case (req_i.addr[3:2])
        2'd0: rdata_o = entry.addr[31:0];
        2'd1: rdata_o = entry.addr[63:32];
        2'd2: rdata_o = entry.data;
        2'd3: rdata_o = {31'b0, masked_q[index[VectorW-1:0]]};
      endcase
    end else if (in_pba && req_i.addr[11:2] == '0) begin
      rdata_o = 32'(pending_q);
    end
  end

  assign write_o       = message_q;
  assign write_valid_o = sending_q;
  assign idle_o        = !sending_q && unanswered_q == '0;
  // An answer wakes.
  assign busy_o        = sending_q || send || (!enable_i && pending_q != '0);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      pending_q    <= '0;
      sending_q    <= 1'b0;
      unanswered_q <= '0;
      masked_q     <= '1;
      for (int unsigned v = 0; v < NumVectors; v++) table_q[v] <= '0;
    end else begin
      if (send) pending_q <= pending_q & ~turn;
      if (irq_i != '0) begin
        for (int unsigned v = 0; v < NumVectors; v++) if (irq_i[v]) pending_q[v] <= 1'b1;
      end
      if (withdraw) pending_q[vector_q] <= 1'b1;
      if (clear_i != '0) begin
        for (int unsigned v = 0; v < NumVectors; v++) if (clear_i[v]) pending_q[v] <= 1'b0;
      end
      if (!enable_i) pending_q <= '0;

      if (write_ready_i || withdraw || clear_i[vector_q]) sending_q <= 1'b0;
      if (send && (turn & clear_i) == '0) begin
        sending_q <= 1'b1;
        vector_q  <= pick;
        message_q <= '{
          addr: {table_q[pick].addr[63:2], 2'b0},
          size: 3'd2,
          data: {table_q[pick].data, table_q[pick].data}
        };
      end
      if ((write_ready_i && sending_q) != write_done_i) begin
        unanswered_q <= write_done_i ? unanswered_q - 4'd1 : unanswered_q + 4'd1;
      end

      if (req_i.write && in_table && present) begin
        for (int unsigned b = 0; b < 4; b++) begin
          if (req_i.strb[b]) begin
            unique case (req_i.addr[3:2])
              2'd0: table_q[index[VectorW-1:0]].addr[8*b +: 8]    <= req_i.data[8*b +: 8];
              2'd1: table_q[index[VectorW-1:0]].addr[32+8*b +: 8] <= req_i.data[8*b +: 8];
              2'd2: table_q[index[VectorW-1:0]].data[8*b +: 8]    <= req_i.data[8*b +: 8];
              2'd3: if (b == 0) masked_q[index[VectorW-1:0]] <= req_i.data[0];
            endcase
          end
        end
      end
    end
  end

endmodule
