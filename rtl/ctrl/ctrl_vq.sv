// The control queue's chains (virtio 5.1.6.5): reads a command out of its buffers, has ctrl_cmd carry it
// out, writes the answer and returns the chain.
//
// Descriptors come valid/ready in ring order, chains whole: buffers to be read, then buffers to be
// written (2.8.17). The answer is one byte, the first of the first writable buffer that has one; a chain
// without gets none, and its used length is 0. One command at a time; the chain is returned only when
// the write of the answer has been acknowledged.
// Reads are single full-width beats, one at a time, room for which is here; the write is one byte.
// Commands are rare: about a microsecond and the host's read latency per beat, one cycle per byte.
// enable_i = 0: what is outstanding is waited for, a command that began to be carried out is carried out
// (400 cycles at the most), the chain is forgotten; then idle_o. An error response pulses error_o, and the
// chain is not returned.
// The block sleeps behind a clock gate until a descriptor, a response or clear_i comes.
module ctrl_vq
  import nic_pkg::*;
  import ctrl_cmd_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic                     enable_i,       // queue enabled and device running
  input  logic                     clear_i,        // device reset, while idle, see ctrl_cmd

  input  logic [63:0]              features_i,     // negotiated
  input  logic [47:0]              mac_i,          // permanent address, bits 7:0 = first octet
  input  logic [3:0]               queue_pairs_i,  // max_virtqueue_pairs, 1..8

  // Virtqueue
  input  vq_desc_t                 desc_i,
  input  logic                     desc_valid_i,
  output logic                     desc_ready_o,
  output vq_used_t                 used_o,
  output logic                     used_valid_o,
  input  logic                     used_ready_i,

  // Reads of one beat
  output logic [63:0]              ar_addr_o,
  output logic                     ar_valid_o,
  input  logic                     ar_ready_i,
  input  logic [HostDataWidth-1:0] r_data_i,
  input  logic                     r_error_i,
  input  logic                     r_valid_i,

  // Writes of one byte
  output word_write_t              write_o,
  output logic                     write_valid_o,
  input  logic                     write_ready_i,
  input  logic                     write_done_i,
  input  logic                     write_error_i,

  output ctrl_cfg_t                cfg_o,
  output logic [319:0]             rss_key_o,      // bits 7:0 = first byte
  output ctrl_write_t              tables_o,

  output logic                     stat_ok_o,      // pulses
  output logic                     stat_err_o,
  output logic                     error_o,
  output logic                     idle_o,         // no command under way, nothing outstanding on AXI
  output logic                     busy_o
);

  localparam int unsigned BeatW = $clog2(HostDataWidth / 8);

  typedef enum logic [3:0] {
    DESC, REQUEST, DATA, BYTES, FINISH, EXECUTE, ANSWER, RESPONSE, USED
  } state_e;

  state_e      state_q;
  logic        begun_q;         // the command's first byte is next or has been
  logic [63:0] addr_q;
  logic [31:0] left_q;          // bytes of the descriptor
  logic        next_q;
  logic [15:0] id_q, ndesc_q;
  logic [63:0] answer_q;        // where the answer goes
  logic        has_answer_q;
  logic        ok_q;
  logic [HostDataWidth-1:0] beat_q;

  logic clk;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || busy_o || clear_i || desc_valid_i || r_valid_i || write_done_i),
    .clk_o(clk)
  );

  wire desc_fire = desc_valid_i && desc_ready_o;
  wire begin_cmd = desc_fire && !begun_q;
  logic cmd_done, cmd_ok, cmd_busy, cmd_full;
  ctrl_cmd u_cmd (
    .clk_i(clk),
    .rst_ni,
    .clear_i,
    .features_i,
    .mac_i,
    .queue_pairs_i,
    .begin_i      (begin_cmd),
    .byte_i       (beat_q[8*addr_q[BeatW-1:0] +: 8]),
    .byte_valid_i (state_q == BYTES),
    .full_o       (cmd_full),
    .end_i        (state_q == FINISH && enable_i),
    .done_o       (cmd_done),
    .ok_o         (cmd_ok),
    .busy_o       (cmd_busy),
    .cfg_o,
    .rss_key_o,
    .write_o      (tables_o)
  );

  assign desc_ready_o  = state_q == DESC && enable_i;
  assign ar_valid_o    = state_q == REQUEST;
  assign ar_addr_o     = addr_q;
  assign write_valid_o = state_q == ANSWER;
  assign write_o       = '{addr: answer_q, size: 3'd0, data: {8{ok_q ? ACK_OK : ACK_ERR}}};
  assign used_valid_o  = state_q == USED;
  assign used_o        = '{more: 1'b0, id: id_q, len: 32'(has_answer_q), ndesc: ndesc_q};

  assign stat_ok_o  = cmd_done && cmd_ok;
  assign stat_err_o = cmd_done && !cmd_ok;
  assign error_o    = enable_i && ((r_valid_i && r_error_i) || (write_done_i && write_error_i));
  assign idle_o     = state_q == DESC;
  assign busy_o     = state_q != DESC || cmd_busy || (desc_valid_i && enable_i) ||
                      (!enable_i && begun_q);

  always_ff @(posedge clk) begin
    if (!rst_ni) begin
      state_q <= DESC;
      begun_q <= 1'b0;
    end else begin
      unique case (state_q)
        DESC: begin
          if (!enable_i) begin
            begun_q <= 1'b0;
          end else if (desc_valid_i) begin
            begun_q <= 1'b1;
            ndesc_q <= begun_q ? ndesc_q + 16'(!desc_i.inner) : 16'd1;
            id_q    <= desc_i.id;
            next_q  <= desc_i.next;
            addr_q  <= desc_i.addr;
            left_q  <= desc_i.len;
            if (!begun_q) has_answer_q <= 1'b0;
            if (desc_i.write && desc_i.len != '0 && !(begun_q && has_answer_q)) begin
              has_answer_q <= 1'b1;
              answer_q     <= desc_i.addr;
            end
            if (!desc_i.write && desc_i.len != '0 && !(begun_q && cmd_full)) state_q <= REQUEST;
            else if (!desc_i.next) state_q <= FINISH;
          end
        end
        REQUEST: if (ar_ready_i) state_q <= DATA;
        DATA: begin
          if (r_valid_i) begin
            beat_q  <= r_data_i;
            state_q <= (!enable_i || r_error_i) ? DESC : BYTES;
            if (r_error_i) begun_q <= 1'b0;
          end
        end
        BYTES: begin
          addr_q <= addr_q + 64'd1;
          left_q <= left_q - 32'd1;
          if (left_q == 32'd1 || cmd_full) state_q <= next_q ? DESC : FINISH;
          else if (&addr_q[BeatW-1:0]) state_q <= REQUEST;
          if (!enable_i) state_q <= DESC;
        end
        FINISH:  state_q <= enable_i ? EXECUTE : DESC;
        EXECUTE: begin
          ok_q <= cmd_ok;
          if (cmd_done) state_q <= !enable_i ? DESC : has_answer_q ? ANSWER : USED;
        end
        ANSWER:   if (write_ready_i) state_q <= RESPONSE;
        RESPONSE: begin
          if (write_done_i) state_q <= (enable_i && !write_error_i) ? USED : DESC;
        end
        USED: begin
          if (used_ready_i || !enable_i) begin
            state_q <= DESC;
            begun_q <= 1'b0;
          end
        end
        default: state_q <= DESC;
      endcase
    end
  end

endmodule
