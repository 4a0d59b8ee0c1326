// Classes and commands of the control queue (virtio 1.2, 5.1.6.5), and its answers.
package ctrl_cmd_pkg;

  // Not every block uses every constant.
  /* verilator lint_off UNUSEDPARAM */

  localparam logic [7:0] CTRL_RX                = 8'd0;  // 5.1.6.5.1
  localparam logic [7:0] CTRL_RX_PROMISC        = 8'd0;
  localparam logic [7:0] CTRL_RX_ALLMULTI       = 8'd1;
  localparam logic [7:0] CTRL_MAC               = 8'd1;  // 5.1.6.5.2
  localparam logic [7:0] CTRL_MAC_TABLE_SET     = 8'd0;
  localparam logic [7:0] CTRL_MAC_ADDR_SET      = 8'd1;
  localparam logic [7:0] CTRL_VLAN              = 8'd2;  // 5.1.6.5.3
  localparam logic [7:0] CTRL_VLAN_ADD          = 8'd0;
  localparam logic [7:0] CTRL_VLAN_DEL          = 8'd1;
  localparam logic [7:0] CTRL_MQ                = 8'd4;  // 5.1.6.5.5
  localparam logic [7:0] CTRL_MQ_VQ_PAIRS_SET   = 8'd0;
  localparam logic [7:0] CTRL_MQ_RSS_CONFIG     = 8'd1;
  localparam logic [7:0] CTRL_MQ_HASH_CONFIG    = 8'd2;
  localparam logic [7:0] CTRL_NOTF_COAL         = 8'd6;  // 5.1.6.5.8
  localparam logic [7:0] CTRL_NOTF_COAL_TX_SET  = 8'd0;
  localparam logic [7:0] CTRL_NOTF_COAL_RX_SET  = 8'd1;

  localparam logic [7:0] ACK_OK  = 8'd0;
  localparam logic [7:0] ACK_ERR = 8'd1;

endpackage
