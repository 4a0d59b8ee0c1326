// Wirepath NIC: a virtio-net device with packed virtqueues between AXI and XGMII.
//
// Host side: AXI4-Lite slave = BAR0 (map in nic_pkg), AXI4 master = DMA and MSI-X messages. The
// PCI configuration space lives outside (the PCIe hard block of an FPGA); what it decides arrives
// on bus_master_en_i, msix_enable_i and msix_mask_i.
// Wire side: 10 Gb/s XGMII, 64 bits at 156.25 MHz (IEEE 802.3 clause 46).
// One clock, one synchronous active-low reset. All outputs come from registers or from logic on
// registers only, never combinationally from an input.
// busy_o = 0: no state changes until an input does, so the clock may stop. timer_o: cycles until
// the device wants to run again by itself, all ones when never.
module nic
  import nic_pkg::*;
#(
  parameter int unsigned QueuePairs    = 1,
  parameter int unsigned HostDataWidth = 128,  // bits, 64..512
  parameter int unsigned MaxQueueSize  = 1024  // descriptors, what queue_size reads after reset
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,

  // AXI4-Lite slave, BAR0
  input  logic [15:0]                s_axil_awaddr_i,
  input  logic                       s_axil_awvalid_i,
  output logic                       s_axil_awready_o,
  input  logic [31:0]                s_axil_wdata_i,
  input  logic [3:0]                 s_axil_wstrb_i,
  input  logic                       s_axil_wvalid_i,
  output logic                       s_axil_wready_o,
  output logic [1:0]                 s_axil_bresp_o,
  output logic                       s_axil_bvalid_o,
  input  logic                       s_axil_bready_i,
  input  logic [15:0]                s_axil_araddr_i,
  input  logic                       s_axil_arvalid_i,
  output logic                       s_axil_arready_o,
  output logic [31:0]                s_axil_rdata_o,
  output logic [1:0]                 s_axil_rresp_o,
  output logic                       s_axil_rvalid_o,
  input  logic                       s_axil_rready_i,

  // AXI4 master, DMA and MSI-X messages; INCR bursts only, full-width beats
  output logic [3:0]                 m_axi_awid_o,
  output logic [63:0]                m_axi_awaddr_o,
  output logic [7:0]                 m_axi_awlen_o,
  output logic [2:0]                 m_axi_awsize_o,
  output logic [1:0]                 m_axi_awburst_o,
  output logic                       m_axi_awvalid_o,
  input  logic                       m_axi_awready_i,
  output logic [HostDataWidth-1:0]   m_axi_wdata_o,
  output logic [HostDataWidth/8-1:0] m_axi_wstrb_o,
  output logic                       m_axi_wlast_o,
  output logic                       m_axi_wvalid_o,
  input  logic                       m_axi_wready_i,
  input  logic [3:0]                 m_axi_bid_i,
  input  logic [1:0]                 m_axi_bresp_i,
  input  logic                       m_axi_bvalid_i,
  output logic                       m_axi_bready_o,
  output logic [3:0]                 m_axi_arid_o,
  output logic [63:0]                m_axi_araddr_o,
  output logic [7:0]                 m_axi_arlen_o,
  output logic [2:0]                 m_axi_arsize_o,
  output logic [1:0]                 m_axi_arburst_o,
  output logic                       m_axi_arvalid_o,
  input  logic                       m_axi_arready_i,
  input  logic [3:0]                 m_axi_rid_i,
  input  logic [HostDataWidth-1:0]   m_axi_rdata_i,
  input  logic [1:0]                 m_axi_rresp_i,
  input  logic                       m_axi_rlast_i,
  input  logic                       m_axi_rvalid_i,
  output logic                       m_axi_rready_o,

  // XGMII, lane 0 = bits 7:0
  input  logic [63:0]                xgmii_rxd_i,
  input  logic [7:0]                 xgmii_rxc_i,
  output logic [63:0]                xgmii_txd_o,
  output logic [7:0]                 xgmii_txc_o,
  input  logic                       link_up_i,

  // From the PCI configuration space: bus master enable, MSI-X enable, MSI-X function mask
  input  logic                       bus_master_en_i,
  input  logic                       msix_enable_i,
  input  logic                       msix_mask_i,

  // Device options, static
  input  logic [63:0]                cfg_features_i,  // feature bits to offer; what the RTL lacks is never offered
  input  logic [47:0]                cfg_mac_i,       // bits 7:0 = first octet on the wire
  input  logic [15:0]                cfg_mtu_i,       // bytes, 68..9202 (a frame is at most MTU + 14 + 4 bytes of VLAN tag, without FCS)

  output logic                       busy_o,
  output logic [31:0]                timer_o
);
