// The variant of the NIC's model with all queue pairs.
#include "Vnic_full.h"
#include "Vnic_full___024root.h"
#include "model_impl.h"

namespace wirepath {

std::unique_ptr<Model> new_full_model(const Straps& straps) {
    return std::make_unique<ModelImpl<Vnic_full, false>>(straps);
}

}  // namespace wirepath
