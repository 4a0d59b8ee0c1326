//! `cosim serve`.

use hwmodel::{GuestDevice, ModelConfig, ModelNic, Nic, NicConfig};

use super::args::{DeviceKind, ServeArgs};
use super::output::Output;
use crate::error::Error;
use crate::features;
use crate::serve::{ServeConfig, Service};

/// Runs the command until a signal ends it.
pub fn run(args: &ServeArgs) -> Result<(), Error> {
    match (args.device, &args.waves) {
        (DeviceKind::Rtl, _) => serve(args, |link_up| {
            Nic::new(NicConfig {
                mac: args.mac.0,
                mtu: args.mtu,
                features: features(args),
                queue_pairs: args.queue_pairs,
                waves: args.waves.clone(),
                link_up,
                memory: 0,
                ..NicConfig::default()
            })
        }),
        (DeviceKind::Model, Some(path)) => Err(Error::Option {
            option: "--waves",
            value: path.display().to_string(),
            reason: "the model has no signals; leave out --device model".into(),
        }),
        (DeviceKind::Model, None) => serve(args, |link_up| {
            ModelNic::new(ModelConfig {
                mac: args.mac.0,
                mtu: args.mtu,
                features: features(args),
                queue_pairs: args.queue_pairs,
                link_up,
                memory: 0,
                ..ModelConfig::default()
            })
        }),
    }
}

fn serve<D: GuestDevice>(
    args: &ServeArgs,
    card: impl FnOnce(bool) -> Result<D, hwmodel::Error>,
) -> Result<(), Error> {
    let json = Output::create(args.summary.as_deref())?;
    let config = ServeConfig {
        socket: args.vfio_user.clone(),
        control: args.control.clone(),
        wire: args.wire.clone(),
    };
    let service = Service::start(&config, |link| {
        card(link).map_err(|e| Error::machine("the NIC does not start", e))
    })?;
    super::print(&format!(
        "The NIC waits at {}. Ctrl-C ends it.\n",
        args.vfio_user.display()
    ))?;
    let report = service.run(|line| {
        // Who does not read the news goes without.
        let _ = super::print(&format!("{line}\n"));
    })?;
    if let Some(file) = json {
        file.write(&(report.to_json() + "\n"))?;
    }
    super::print(&format!("\n{report}\n"))
}

/// Those that are not switched off.
fn features(args: &ServeArgs) -> u64 {
    !features::union(&args.features_off).bits()
}
