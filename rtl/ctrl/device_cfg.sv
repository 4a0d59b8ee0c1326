// Virtio network device configuration (5.1.4), ISR status (4.1.4.5) and link state.
//
// All fields are read-only for the driver. link_i is the PHY's link signal, registered once outside;
// a change is seen in status one cycle later together with a pulse on change_o, and notify_o with it. A
// change of mac_i, which the driver itself or a device reset brought about, pulses change_o alone: it is
// for config_generation (4.1.4.3.1). Fields whose feature was not offered read as they are (the driver
// must not look, 5.1.4.2), those of RSS as zero.
module device_cfg
  import nic_pkg::*;
  import virtio_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,

  /* verilator lint_off UNUSEDSIGNAL */
  input  reg_req_t    req_i,
  /* verilator lint_on UNUSEDSIGNAL */
  output logic [31:0] rdata_o,

  input  logic [47:0] mac_i,         // bits 7:0 = first octet
  input  logic [15:0] mtu_i,         // bytes
  input  logic [3:0]  queue_pairs_i, // max_virtqueue_pairs
  input  logic        rss_i,         // VIRTIO_NET_F_RSS is offered
  input  logic        hash_i,        // it or HASH_REPORT is
  input  logic        link_i,
  input  logic        isr_clear_i,   // device reset
  input  logic        queue_irq_i,   // ISR bit 0, pulse
  input  logic        config_irq_i,  // ISR bit 1, pulse

  output logic        change_o,      // pulse
  output logic        notify_o,      // with it: the driver has to be told
  output logic        busy_o
);

  localparam logic [31:0] SPEED_MBPS  = 32'd10000;
  localparam logic [7:0]  DUPLEX_FULL = 8'h01;

  logic        link_q;
  logic [47:0] mac_q;
  logic [1:0]  isr_q;

  wire in_isr = req_i.addr[15:2] == BAR_ISR[15:2];

  always_comb begin
    rdata_o = '0;
    if (in_isr) begin
      rdata_o = {30'b0, isr_q};
    end else if (req_i.addr[15:5] == BAR_DEVICE_CFG[15:5]) begin
      unique case (req_i.addr[4:2])
        3'd0: rdata_o = mac_i[31:0];
        3'd1: begin
          rdata_o[15:0]             = mac_i[47:32];
          rdata_o[16 + NET_S_LINK_UP] = link_q;
        end
        3'd2: rdata_o = {mtu_i, 12'b0, queue_pairs_i};
        3'd3: rdata_o = SPEED_MBPS;
        3'd4: rdata_o = {rss_i ? RSS_MAX_TABLE_LENGTH : 16'd0, hash_i ? RSS_MAX_KEY_SIZE : 8'd0,
                         DUPLEX_FULL};
        3'd5: rdata_o = hash_i ? RSS_HASH_TYPES : '0;
        default: rdata_o = '0;
      endcase
    end
  end

  assign notify_o = link_i != link_q;
  assign change_o = notify_o || mac_i != mac_q;
  assign busy_o   = change_o;

  always_ff @(posedge clk_i) begin
    mac_q <= mac_i;
    if (!rst_ni) begin
      link_q <= 1'b0;
      isr_q  <= '0;
    end else begin
      link_q <= link_i;
      // 4.1.4.5: a read clears the byte; what comes in the same cycle is kept for the next read.
      isr_q <= {config_irq_i, queue_irq_i} | (((req_i.read && in_isr) || isr_clear_i) ? 2'b0 : isr_q);
    end
  end

endmodule
