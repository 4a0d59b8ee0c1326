//! `dma_port`'s bus as `axi4_checker` sees it.

use crate::block::{axi4_checker as rules, dma_port as port};

/// The checker's pins of a cycle.
pub fn pins(i: &[u64], o: &[u64]) -> [u64; rules::IN_WORDS] {
    let mut pins = rules::inputs();
    let outputs = [
        (rules::AWID_I, port::M_AXI_AWID_O),
        (rules::AWADDR_I, port::M_AXI_AWADDR_O),
        (rules::AWLEN_I, port::M_AXI_AWLEN_O),
        (rules::AWSIZE_I, port::M_AXI_AWSIZE_O),
        (rules::AWBURST_I, port::M_AXI_AWBURST_O),
        (rules::AWVALID_I, port::M_AXI_AWVALID_O),
        (rules::WDATA_I, port::M_AXI_WDATA_O),
        (rules::WDATA_I + 1, port::M_AXI_WDATA_O + 1),
        (rules::WSTRB_I, port::M_AXI_WSTRB_O),
        (rules::WLAST_I, port::M_AXI_WLAST_O),
        (rules::WVALID_I, port::M_AXI_WVALID_O),
        (rules::BREADY_I, port::M_AXI_BREADY_O),
        (rules::ARID_I, port::M_AXI_ARID_O),
        (rules::ARADDR_I, port::M_AXI_ARADDR_O),
        (rules::ARLEN_I, port::M_AXI_ARLEN_O),
        (rules::ARSIZE_I, port::M_AXI_ARSIZE_O),
        (rules::ARBURST_I, port::M_AXI_ARBURST_O),
        (rules::ARVALID_I, port::M_AXI_ARVALID_O),
        (rules::RREADY_I, port::M_AXI_RREADY_O),
    ];
    let inputs = [
        (rules::AWREADY_I, port::M_AXI_AWREADY_I),
        (rules::WREADY_I, port::M_AXI_WREADY_I),
        (rules::BID_I, port::M_AXI_BID_I),
        (rules::BRESP_I, port::M_AXI_BRESP_I),
        (rules::BVALID_I, port::M_AXI_BVALID_I),
        (rules::ARREADY_I, port::M_AXI_ARREADY_I),
        (rules::RID_I, port::M_AXI_RID_I),
        (rules::RDATA_I, port::M_AXI_RDATA_I),
        (rules::RDATA_I + 1, port::M_AXI_RDATA_I + 1),
        (rules::RRESP_I, port::M_AXI_RRESP_I),
        (rules::RLAST_I, port::M_AXI_RLAST_I),
        (rules::RVALID_I, port::M_AXI_RVALID_I),
    ];
    outputs.iter().for_each(|(pin, from)| pins[*pin] = o[*from]);
    inputs.iter().for_each(|(pin, from)| pins[*pin] = i[*from]);
    pins
}
