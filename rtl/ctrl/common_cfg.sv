// Virtio common configuration (4.1.4.3): feature negotiation, device status, queue set-up, resets.
//
// Register access: req_i selects this block when addr[15:12] is that of BAR_COMMON_CFG; rdata_o is
// combinational. Status rules of 2.1 and 3.1: FEATURES_OK stays set only when the driver chose a
// subset of the offer that holds VERSION_1 and RING_PACKED (split rings do not exist here) and all
// that its features require.
// Queues have two numbers. A driver counts 2 * pairs_o queues and the control queue behind them
// (5.1.2), where pairs_o is queue_pairs_i with MQ or RSS and 1 without; inside, the control queue is
// the last one. A queue that the negotiated features leave without a use never becomes live.
// Writing 0 to device_status starts a reset: queues are disabled, and once queues_idle_i says that
// nothing is outstanding any more everything returns to its initial value and device_status reads 0
// (2.4.1: the driver waits for that). queue_reset does the same for one queue (2.6.1).
// queue_error_i[q] stops queue q for good, sets DEVICE_NEEDS_RESET and notifies (2.1.2). So do a
// refused MSI-X message and enabling a queue whose size is 0 or above MaxQueueSize.
// lost_i: completions of a queue, or of MSI-X (the last bit), have not come for so long that a reset
// does not wait for them. This stops the queue as an error does, and for MSI-X sets DEVICE_NEEDS_RESET.
// A reset therefore ends in a bounded time, but a queue whose completions are still missing then
// is stopped again when it is enabled: it could not tell them from new ones.
// Bus Master Enable does not stop the queues: requests are refused outside then, which is an error.
module common_cfg
  import nic_pkg::*;
  import virtio_pkg::*;
#(
  parameter int unsigned NumQueues    = 3,
  parameter int unsigned MaxQueueSize = 1024
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,

  /* verilator lint_off UNUSEDSIGNAL */
  input  reg_req_t             req_i,
  /* verilator lint_on UNUSEDSIGNAL */
  output logic [31:0]          rdata_o,

  input  logic [63:0]          features_i,        // offered, static
  input  logic [3:0]           queue_pairs_i,     // pairs that exist, static
  input  logic [5:0]           vectors_i,         // MSI-X vectors that exist, static
  input  logic                 config_change_i,   // device configuration changed, pulse
  input  logic                 config_notify_i,   // of such a change the driver has to be told

  output vq_cfg_t              queue_o [NumQueues],
  output logic [15:0]          queue_vector_o [NumQueues],
  output logic [15:0]          config_vector_o,
  input  logic [NumQueues-1:0] queue_error_i,     // pulses
  input  logic                 device_error_i,    // an MSI-X message was refused, pulse
  input  logic [NumQueues-1:0] queue_idle_i,
  input  logic                 device_idle_i,     // MSI-X writes have been answered
  input  logic [NumQueues:0]   lost_i,

  output logic [63:0]          driver_features_o,
  output logic [3:0]           pairs_o,           // in front of the control queue's number
  output logic                 config_irq_o,      // configuration change notification, pulse
  output logic                 reset_done_o,      // device reset takes effect, pulse
  output logic [NumQueues-1:0] queue_reset_done_o, // that of a queue does, pulse; its vector is still there
  output logic                 busy_o
);

  localparam int unsigned QueueW      = $clog2(NumQueues);
  localparam int unsigned QuietCycles = 4;  // idle this long: nothing is between two blocks

  typedef struct packed {
    logic [15:0] size;
    logic [15:0] msix_vector;
    logic        enable;
    logic        reset;    // queue_reset in progress
    logic        stopped;  // by an error
    logic [63:0] desc;
    logic [63:0] driver;
    logic [63:0] device;
  } queue_t;

  localparam queue_t QUEUE_RESET = '{
    size: 16'(MaxQueueSize), msix_vector: MSI_NO_VECTOR, enable: 1'b0, reset: 1'b0, stopped: 1'b0,
    desc: '0, driver: '0, device: '0
  };

  queue_t      queue_q [NumQueues];
  logic [31:0] device_feature_select_q, driver_feature_select_q;
  logic [63:0] driver_features_q;
  logic [15:0] config_vector_q, queue_select_q;
  logic [7:0]  status_q, generation_q;
  logic        resetting_q;
  logic [1:0]  quiet_q;        // cycles of silence while resetting
  logic [1:0]  queue_quiet_q;

  wire         selected = req_i.addr[15:12] == BAR_COMMON_CFG[15:12];
  wire         write    = req_i.write && selected && req_i.addr[11:6] == '0;  // beyond: reserved
  wire [5:0]   offset   = req_i.addr[5:0];
  wire         ctrl_vq  = features_i[F_NET_CTRL_VQ];
  wire         several  = status_q[STATUS_FEATURES_OK] &&
                          (driver_features_q[F_NET_MQ] || driver_features_q[F_NET_RSS]);
  assign       pairs_o  = several || !ctrl_vq ? queue_pairs_i : 4'd1;
  wire [15:0]  queues   = {11'b0, queue_pairs_i, ctrl_vq};  // num_queues
  wire         queue_ok = queue_select_q < queues;
  /* verilator lint_off UNUSEDSIGNAL */
  wire [4:0]   place    = queue_place(queue_select_q[4:0], pairs_o, 5'(NumQueues - 1));
  /* verilator lint_on UNUSEDSIGNAL */
  wire [QueueW-1:0] sel = place[QueueW-1:0];
  /* verilator lint_off UNUSEDSIGNAL */
  queue_t      cur;
  /* verilator lint_on UNUSEDSIGNAL */
  assign cur = queue_q[sel];

  wire features_ok = (driver_features_q & ~features_i) == '0 && driver_features_q[F_VERSION_1] &&
                     driver_features_q[F_RING_PACKED] &&
                     with_requirements(driver_features_q) == driver_features_q;
  wire driver_ok   = status_q[STATUS_DRIVER_OK] && status_q[STATUS_FEATURES_OK] && !resetting_q;
  wire size_legal  = cur.size != '0 && cur.size <= 16'(MaxQueueSize);
  wire ring_reset  = driver_features_q[F_RING_RESET];

  function automatic logic [31:0] merge(logic [31:0] old, logic [31:0] data, logic [3:0] strb);
    for (int unsigned i = 0; i < 4; i++) merge[8*i +: 8] = strb[i] ? data[8*i +: 8] : old[8*i +: 8];
  endfunction

  // 4.1.5.1.2: a vector that does not exist reads back as NO_VECTOR.
  function automatic logic [15:0] legal_vector(logic [15:0] v);
    return v < 16'(vectors_i) ? v : MSI_NO_VECTOR;
  endfunction

  // ---- reads --------------------------------------------------------------------------------------
  logic [31:0] value;
  always_comb begin
    value = '0;
    unique case (offset)
      6'h00: value = device_feature_select_q;
      6'h04: value = device_feature_select_q == 32'd0 ? features_i[31:0] :
                     device_feature_select_q == 32'd1 ? features_i[63:32] : '0;
      6'h08: value = driver_feature_select_q;
      6'h0c: value = driver_feature_select_q == 32'd0 ? driver_features_q[31:0] :
                     driver_feature_select_q == 32'd1 ? driver_features_q[63:32] : '0;
      6'h10: value = {queues, config_vector_q};
      6'h14: value = {queue_select_q, generation_q, status_q};
      // A queue that does not exist has size 0 (4.1.4.3.2).
      6'h18: value = queue_ok ? {cur.msix_vector, cur.size} : {MSI_NO_VECTOR, 16'd0};
      6'h1c: value = queue_ok ? {queue_select_q, 15'b0, cur.enable} : '0;  // notify_off = queue
      6'h20: value = queue_ok ? cur.desc[31:0] : '0;
      6'h24: value = queue_ok ? cur.desc[63:32] : '0;
      6'h28: value = queue_ok ? cur.driver[31:0] : '0;
      6'h2c: value = queue_ok ? cur.driver[63:32] : '0;
      6'h30: value = queue_ok ? cur.device[31:0] : '0;
      6'h34: value = queue_ok ? cur.device[63:32] : '0;
      6'h38: value = queue_ok ? {15'b0, cur.reset, queue_select_q} : '0;
      default: value = '0;
    endcase
    rdata_o = selected && req_i.addr[11:6] == '0 ? value : '0;
  end

  wire [31:0] wdata = merge(value, req_i.data, req_i.strb);

  // ---- outputs --------------------------------------------------------------------------------------
  // With what was negotiated.
  wire [3:0] usable_pairs = several ? queue_pairs_i : 4'd1;
  for (genvar q = 0; q < int'(NumQueues); q++) begin : gen_queue
    wire usable = q == int'(NumQueues) - 1 ? driver_features_q[F_NET_CTRL_VQ] :
                                             4'(q / 2) < usable_pairs;
    assign queue_o[q] = '{
      enable: queue_q[q].enable && !queue_q[q].stopped && !queue_q[q].reset && driver_ok && usable,
      size:   queue_q[q].size,
      desc:   queue_q[q].desc,
      driver: queue_q[q].driver,
      device: queue_q[q].device
    };
    assign queue_vector_o[q] = queue_q[q].msix_vector;
  end
  assign config_vector_o   = config_vector_q;
  assign driver_features_o = driver_features_q;

  logic any_queue_reset;
  logic [QueueW-1:0] reset_queue;
  always_comb begin
    any_queue_reset = 1'b0;
    reset_queue     = '0;
    for (int unsigned q = 0; q < NumQueues; q++) begin
      if (queue_q[q].reset) begin
        any_queue_reset = 1'b1;
        reset_queue     = QueueW'(q);
      end
    end
  end

  // Sampled, so that only a reset looks at what the queues do.
  logic [NumQueues-1:0] settled_q;
  logic                 messages_idle_q;
  wire reset_queue_idle = settled_q[reset_queue] && messages_idle_q;  // a message of it may be on its way
  wire queue_reset_done = any_queue_reset && reset_queue_idle && (32'(queue_quiet_q) == QuietCycles - 1);
  assign queue_reset_done_o = queue_reset_done ? NumQueues'(1) << reset_queue : '0;
  wire all_idle   = (&settled_q) && messages_idle_q;
  wire reset_done = resetting_q && all_idle && (32'(quiet_q) == QuietCycles - 1);
  assign reset_done_o = reset_done;
  assign busy_o       = resetting_q || any_queue_reset;

  wire bad_size  = write && offset == 6'h1c && queue_ok && wdata[0] && !cur.enable && !size_legal;
  logic [NumQueues-1:0] failed;  // a queue at work lost its completions, or began before they came
  always_comb begin
    for (int unsigned q = 0; q < NumQueues; q++) failed[q] = queue_o[q].enable && lost_i[q];
  end
  logic lost_messages_q;
  wire new_error = queue_error_i != '0 || device_error_i || bad_size || failed != '0 ||
                   (lost_i[NumQueues] && !lost_messages_q);
  assign config_irq_o = driver_ok && ((new_error && !status_q[STATUS_DEVICE_NEEDS_RESET]) ||
                                      (config_change_i && config_notify_i));

  // The configuration seldom changes, and much hangs on it.
  logic clk;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || busy_o || write || config_change_i || new_error ||
           lost_messages_q != lost_i[NumQueues]),
    .clk_o(clk)
  );

  // ---- state -----------------------------------------------------------------------------------------
  always_ff @(posedge clk) begin
    lost_messages_q <= rst_ni && lost_i[NumQueues];
    settled_q       <= busy_o ? queue_idle_i | lost_i[NumQueues-1:0] : '0;
    messages_idle_q <= device_idle_i || lost_i[NumQueues];
    // It tells of every change, also of one in the cycle in which a reset ends.
    if (!rst_ni) generation_q <= '0;
    else if (config_change_i) generation_q <= generation_q + 8'd1;
    if (!rst_ni || reset_done) begin
      device_feature_select_q <= '0;
      driver_feature_select_q <= '0;
      driver_features_q       <= '0;
      config_vector_q         <= MSI_NO_VECTOR;
      queue_select_q          <= '0;
      status_q                <= '0;
      resetting_q             <= 1'b0;
      quiet_q                 <= '0;
      queue_quiet_q           <= '0;
      for (int unsigned q = 0; q < NumQueues; q++) queue_q[q] <= QUEUE_RESET;
    end else begin
      if (resetting_q) quiet_q <= all_idle ? quiet_q + 2'd1 : '0;

      if (any_queue_reset) begin
        queue_quiet_q <= reset_queue_idle ? queue_quiet_q + 2'd1 : '0;
        if (queue_reset_done) begin
          queue_quiet_q        <= '0;
          queue_q[reset_queue] <= QUEUE_RESET;
        end
      end

      if (write) begin
        unique case (offset)
          6'h00: device_feature_select_q <= wdata;
          6'h08: driver_feature_select_q <= wdata;
          6'h0c: if (!status_q[STATUS_FEATURES_OK]) begin
            if (driver_feature_select_q == 32'd0) driver_features_q[31:0] <= wdata;
            if (driver_feature_select_q == 32'd1) driver_features_q[63:32] <= wdata;
          end
          6'h10: if (req_i.strb[1:0] != '0) config_vector_q <= legal_vector(wdata[15:0]);
          6'h14: begin
            if (req_i.strb[3:2] != '0) queue_select_q <= wdata[31:16];
            if (req_i.strb[0]) begin
              if (req_i.data[7:0] == '0) begin
                resetting_q <= 1'b1;
                quiet_q     <= '0;
              end else begin
                // 2.1.1: bits are only ever added; NEEDS_RESET belongs to the device.
                status_q <= status_q | (req_i.data[7:0] & 8'b1000_0111);
                if (req_i.data[STATUS_FEATURES_OK] && features_ok) begin
                  status_q[STATUS_FEATURES_OK] <= 1'b1;
                end
              end
            end
          end
          6'h18: if (queue_ok) begin
            if (req_i.strb[1:0] != '0 && !cur.enable) queue_q[sel].size <= wdata[15:0];
            if (req_i.strb[3:2] != '0) queue_q[sel].msix_vector <= legal_vector(wdata[31:16]);
          end
          6'h1c: if (queue_ok && wdata[0] && size_legal) queue_q[sel].enable <= 1'b1;
          // 2.8.13, 2.8.14: the ring is aligned to 16 bytes, the event structures to 4.
          6'h20: if (queue_ok && !cur.enable) queue_q[sel].desc[31:0] <= {wdata[31:4], 4'b0};
          6'h24: if (queue_ok && !cur.enable) queue_q[sel].desc[63:32] <= wdata;
          6'h28: if (queue_ok && !cur.enable) queue_q[sel].driver[31:0] <= {wdata[31:2], 2'b0};
          6'h2c: if (queue_ok && !cur.enable) queue_q[sel].driver[63:32] <= wdata;
          6'h30: if (queue_ok && !cur.enable) queue_q[sel].device[31:0] <= {wdata[31:2], 2'b0};
          6'h34: if (queue_ok && !cur.enable) queue_q[sel].device[63:32] <= wdata;
          6'h38: if (queue_ok && wdata[16] && ring_reset && cur.enable) begin
            queue_q[sel].reset <= 1'b1;
            queue_quiet_q      <= '0;
          end
          default: ;
        endcase
      end

      for (int unsigned q = 0; q < NumQueues; q++) begin
        if (queue_error_i[q] || failed[q]) queue_q[q].stopped <= 1'b1;
      end
      if (new_error) status_q[STATUS_DEVICE_NEEDS_RESET] <= 1'b1;
    end
  end

endmodule
