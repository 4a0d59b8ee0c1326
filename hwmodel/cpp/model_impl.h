// Model for one class that Verilator generated: each variant of it is compiled on its own.
#pragma once

#include <cstring>
#include <stdexcept>

#include "hwmodel/src/bridge.rs.h"
#include "model.h"
#include "verilated.h"
#include "verilated_fst_c.h"
#include "window.h"

namespace wirepath {

constexpr std::uint64_t kHalfCycle = 3200;  // ps
// An idle column (IEEE 802.3 46.2).
constexpr std::uint64_t kIdleData = UINT64_C(0x0707070707070707);
constexpr std::uint8_t kIdleCtrl = 0xff;

inline bool is_idle(const Column& column) {
    return column.data == kIdleData && column.ctrl == kIdleCtrl;
}

template <typename Top, bool kTraced>
class ModelImpl final : public Model {
  public:
    explicit ModelImpl(const Straps& straps) {
        if constexpr (kTraced) context_.traceEverOn(true);
        top_ = std::make_unique<Top>(&context_, "nic");
        top_->cfg_features_i = straps.features;
        top_->cfg_mac_i = straps.mac;
        top_->cfg_mtu_i = straps.mtu;
        top_->cfg_queue_pairs_i = straps.queue_pairs;
    }

    ~ModelImpl() override {
        close_waves();
        // The model's scopes sign off at the thread's context, which may be another model's.
        Verilated::threadContextp(&context_);
        if (!failed_) top_->final();
        top_.reset();
    }

    void step(std::uint64_t now, const PinsIn& in, PinsOut& out) override {
        failed_ = true;  // unless the edge below returns
        context_.time(now);
        edge(in);
        sample(out);
        failed_ = false;
    }

    std::uint64_t step_hashed(std::uint64_t now, const PinsIn& in, PinsOut& out,
                              std::uint64_t hash) override {
        step(now, in, out);
        return hash_pins(hash, out);
    }

    void run(const PinsIn& in, rust::Slice<const Column> rx, rust::Slice<const Beat> reads,
             rust::Slice<ReadBurst> bursts, rust::Slice<const Response> responses, Window& w,
             PinsOut& out) override {
        failed_ = true;
        apply(in);
        auto& t = *top_->rootp;
        Port port{t, w, reads, bursts, responses};
        const Column idle_column{kIdleData, kIdleCtrl};
        const Column* const arriving = rx.data();
        const auto arrivals = static_cast<std::uint32_t>(rx.size());
        const bool until_idle = w.until_idle;
        std::uint64_t now = w.begin;
        std::uint32_t cycle = 0, first = 0;
        bool in_frame = w.in_frame, more;
        do {
            const Column& column = cycle < arrivals ? arriving[cycle] : idle_column;
            t.xgmii_rxd_i = column.data;
            t.xgmii_rxc_i = column.ctrl;
            more = port.handshake(cycle);
            t.cycle_i = in.cycle + cycle;

            context_.time(now);
            tick();
            now += 2 * kHalfCycle;

            w.columns[cycle] = {t.xgmii_txd_o, t.xgmii_txc_o};
            ++cycle;
            // Control characters inside a frame end it: somebody may wait for it.
            more &= !(in_frame & (t.xgmii_txc_o != 0));
            in_frame |= (t.xgmii_txc_o != kIdleCtrl) | (t.xgmii_txd_o != kIdleData);
            first = in_frame ? first : cycle;
            const bool wanted = t.busy_o || !until_idle ||
                                (cycle < arrivals && !is_idle(arriving[cycle]));
            more &= wanted & (cycle < w.limit) & !port.refused();
        } while (more);
        w.first_column = first;
        w.cycles = cycle;
        sample(out);
        failed_ = false;
    }

    std::uint64_t time() const override { return context_.time(); }

    std::uint64_t replay(rust::Slice<const PinsIn> pins, bool hash) override {
        std::uint64_t sum = 0, now = 0;
        PinsOut out{};
        failed_ = true;
        for (const PinsIn& in : pins) {
            context_.time(now);
            edge(in);
            now += 2 * kHalfCycle;
            if (hash) {
                sample(out);
                sum = hash_pins(sum, out);
            }
        }
        failed_ = false;
        return sum;
    }

    void open_waves(rust::Str path) override {
        if constexpr (kTraced) {
            if (waves_) throw std::logic_error{"waves are being written already"};
            waves_ = std::make_unique<VerilatedFstC>();
            top_->trace(waves_.get(), 99);
            waves_->open(std::string{path}.c_str());
            if (!waves_->isOpen()) {
                waves_.reset();
                throw std::runtime_error{"cannot write " + std::string{path}};
            }
        } else {
            throw std::logic_error{"this model was built without waves"};
        }
    }

    void close_waves() override {
        if (waves_) waves_->close();
        waves_.reset();
    }

  private:
    // Inputs change while the clock is low, and outputs are sampled after the edge: they depend on
    // state only, so they are what the next edge sees.
    void edge(const PinsIn& in) {
        apply(in);
        tick();
    }

    void tick() {
        top_->clk_i = 0;
        top_->eval();
        if constexpr (kTraced) dump();
        top_->clk_i = 1;
        context_.timeInc(kHalfCycle);
        top_->eval();
        if constexpr (kTraced) dump();
    }

    void dump() {
        if (waves_) waves_->dump(context_.time());
    }

    // Ports are members of the root; through Top each would be a pointer more.
    void apply(const PinsIn& in) {
        auto& t = *top_->rootp;
        t.rst_ni = in.rst_n;
        t.cycle_i = in.cycle;
        t.s_axil_awaddr_i = in.s_axil_awaddr;
        t.s_axil_awvalid_i = in.s_axil_awvalid;
        t.s_axil_wdata_i = in.s_axil_wdata;
        t.s_axil_wstrb_i = in.s_axil_wstrb;
        t.s_axil_wvalid_i = in.s_axil_wvalid;
        t.s_axil_bready_i = in.s_axil_bready;
        t.s_axil_araddr_i = in.s_axil_araddr;
        t.s_axil_arvalid_i = in.s_axil_arvalid;
        t.s_axil_rready_i = in.s_axil_rready;
        t.m_axi_awready_i = in.m_axi_awready;
        t.m_axi_wready_i = in.m_axi_wready;
        t.m_axi_bid_i = in.m_axi_bid;
        t.m_axi_bresp_i = in.m_axi_bresp;
        t.m_axi_bvalid_i = in.m_axi_bvalid;
        t.m_axi_arready_i = in.m_axi_arready;
        t.m_axi_rid_i = in.m_axi_rid;
        std::memcpy(&t.m_axi_rdata_i[0], in.m_axi_rdata.data(), sizeof in.m_axi_rdata);
        t.m_axi_rresp_i = in.m_axi_rresp;
        t.m_axi_rlast_i = in.m_axi_rlast;
        t.m_axi_rvalid_i = in.m_axi_rvalid;
        t.xgmii_rxd_i = in.xgmii_rxd;
        t.xgmii_rxc_i = in.xgmii_rxc;
        t.link_up_i = in.link_up;
        t.bus_master_en_i = in.bus_master_en;
        t.msix_enable_i = in.msix_enable;
        t.msix_mask_i = in.msix_mask;
    }

    // A payload is only defined, and only read, while its valid is set.
    void sample(PinsOut& out) const {
        const auto& t = *top_->rootp;
        out.s_axil_awready = t.s_axil_awready_o;
        out.s_axil_wready = t.s_axil_wready_o;
        out.s_axil_bvalid = t.s_axil_bvalid_o;
        out.s_axil_arready = t.s_axil_arready_o;
        out.s_axil_rvalid = t.s_axil_rvalid_o;
        if (out.s_axil_bvalid) out.s_axil_bresp = t.s_axil_bresp_o;
        if (out.s_axil_rvalid) {
            out.s_axil_rdata = t.s_axil_rdata_o;
            out.s_axil_rresp = t.s_axil_rresp_o;
        }
        out.m_axi_awvalid = t.m_axi_awvalid_o;
        if (out.m_axi_awvalid) {
            out.m_axi_awid = t.m_axi_awid_o;
            out.m_axi_awaddr = t.m_axi_awaddr_o;
            out.m_axi_awlen = t.m_axi_awlen_o;
            out.m_axi_awsize = t.m_axi_awsize_o;
            out.m_axi_awburst = t.m_axi_awburst_o;
        }
        out.m_axi_wvalid = t.m_axi_wvalid_o;
        if (out.m_axi_wvalid) {
            std::memcpy(out.m_axi_wdata.data(), &t.m_axi_wdata_o[0], sizeof out.m_axi_wdata);
            out.m_axi_wstrb = t.m_axi_wstrb_o;
            out.m_axi_wlast = t.m_axi_wlast_o;
        }
        out.m_axi_bready = t.m_axi_bready_o;
        out.m_axi_arvalid = t.m_axi_arvalid_o;
        if (out.m_axi_arvalid) {
            out.m_axi_arid = t.m_axi_arid_o;
            out.m_axi_araddr = t.m_axi_araddr_o;
            out.m_axi_arlen = t.m_axi_arlen_o;
            out.m_axi_arsize = t.m_axi_arsize_o;
            out.m_axi_arburst = t.m_axi_arburst_o;
        }
        out.m_axi_rready = t.m_axi_rready_o;
        out.xgmii_txd = t.xgmii_txd_o;
        out.xgmii_txc = t.xgmii_txc_o;
        out.busy = t.busy_o;
        out.timer = t.timer_o;
    }

    VerilatedContext context_;
    std::unique_ptr<Top> top_;
    std::unique_ptr<VerilatedFstC> waves_;
    bool failed_ = false;
};

}  // namespace wirepath
