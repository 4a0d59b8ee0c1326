// The thin variant of the NIC's model, with one queue pair, and the choice among the variants.
#include "Vnic_thin.h"
#include "Vnic_thin___024root.h"
#include "model_impl.h"

namespace wirepath {

std::unique_ptr<Model> new_full_model(const Straps& straps);
std::unique_ptr<Model> new_traced_model(const Straps& straps);

std::unique_ptr<Model> new_model(const Straps& straps, Variant variant) {
    switch (variant) {
        case Variant::Full: return new_full_model(straps);
        case Variant::Traced: return new_traced_model(straps);
        default: return std::make_unique<ModelImpl<Vnic_thin, false>>(straps);
    }
}

std::uint64_t hash_pins(std::uint64_t hash, const PinsOut& o) {
    const auto add = [&hash](std::uint64_t word) {
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    };
    const auto bit = [](bool value, int place) { return std::uint64_t{value} << place; };
    add(bit(o.s_axil_awready, 0) | bit(o.s_axil_wready, 1) | bit(o.s_axil_bvalid, 2) |
        bit(o.s_axil_arready, 3) | bit(o.s_axil_rvalid, 4) | bit(o.m_axi_awvalid, 5) |
        bit(o.m_axi_wvalid, 6) | bit(o.m_axi_bready, 7) | bit(o.m_axi_arvalid, 8) |
        bit(o.m_axi_rready, 9) | bit(o.m_axi_wlast, 10) | bit(o.busy, 11) |
        std::uint64_t{o.xgmii_txc} << 16 | std::uint64_t{o.timer} << 32);
    add(o.xgmii_txd);
    if (o.s_axil_bvalid) add(o.s_axil_bresp);
    if (o.s_axil_rvalid) add(o.s_axil_rdata | std::uint64_t{o.s_axil_rresp} << 32);
    if (o.m_axi_awvalid) {
        add(o.m_axi_awaddr);
        add(o.m_axi_awid | std::uint64_t{o.m_axi_awlen} << 8 | std::uint64_t{o.m_axi_awsize} << 16 |
            std::uint64_t{o.m_axi_awburst} << 24);
    }
    if (o.m_axi_wvalid) {
        add(o.m_axi_wdata[0]);
        add(o.m_axi_wdata[1]);
        add(o.m_axi_wstrb);
    }
    if (o.m_axi_arvalid) {
        add(o.m_axi_araddr);
        add(o.m_axi_arid | std::uint64_t{o.m_axi_arlen} << 8 | std::uint64_t{o.m_axi_arsize} << 16 |
            std::uint64_t{o.m_axi_arburst} << 24);
    }
    return hash;
}

}  // namespace wirepath
