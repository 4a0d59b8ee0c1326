use crate::{
    bridge::{Model, PinsIn, Variant},
    error::Error,
    nic::NicConfig,
};

/// The RTL alone under the loop that a C++ main would run, with recorded stimulus: what the
/// co-simulation's speed is compared with, and a check that a run can be repeated from its pins.
pub struct BareModel(Model);

impl BareModel {
    /// A model before its first edge, with the straps of `config`.
    #[must_use]
    pub fn new(config: &NicConfig) -> Self {
        Self(Model::new(&config.straps(), config.variant()))
    }

    /// The same on RTL that was built with everything, also when less would do for `config`.
    #[must_use]
    pub fn full(config: &NicConfig) -> Self {
        Self(Model::new(&config.straps(), Variant::Full))
    }

    /// Steps through `pins` in one call. With `hash` all outputs are sampled, and their hash is that
    /// of [`crate::Recording`] when the stimulus is a whole recording; else it is 0.
    ///
    /// # Errors
    /// When the RTL stops; the model is not usable afterwards.
    pub fn replay(&mut self, pins: &[PinsIn], hash: bool) -> Result<u64, Error> {
        let mut model = self.0.pin_mut();
        let result = model.as_mut().replay(pins, hash);
        result.map_err(|exception| Error::Rtl {
            at: model.time(),
            message: exception.what().to_owned(),
        })
    }
}
