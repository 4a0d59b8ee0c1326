// The variant of the NIC's model that has all queue pairs and can write waves.
#include "Vnic_traced.h"
#include "Vnic_traced___024root.h"
#include "model_impl.h"

namespace wirepath {

std::unique_ptr<Model> new_traced_model(const Straps& straps) {
    return std::make_unique<ModelImpl<Vnic_traced, true>>(straps);
}

}  // namespace wirepath
