//! `cosim serve`.

use hwmodel::NicConfig;

use super::args::ServeArgs;
use crate::error::Error;
use crate::serve::{ServeConfig, Service};

/// Runs the command until a signal ends it.
pub fn run(args: &ServeArgs) -> Result<(), Error> {
    let default = NicConfig::default();
    let off = args.features_off.iter().fold(0, |all, f| all | f.bits());
    let config = ServeConfig {
        socket: args.vfio_user.clone(),
        control: args.control.clone(),
        wire: args.wire.clone(),
        nic: NicConfig {
            mac: args.mac.0,
            mtu: args.mtu,
            features: default.features & !off,
            seed: args.seed,
            waves: args.waves.clone(),
            ..default
        },
    };
    let service = Service::start(&config)?;
    super::print(&format!(
        "The NIC waits at {}. Ctrl-C ends it.\n",
        args.vfio_user.display()
    ))?;
    let report = service.run(|line| {
        // Who does not read the news goes without.
        let _ = super::print(&format!("{line}\n"));
    })?;
    if let Some(path) = &args.summary {
        report.write_json(path)?;
    }
    super::print(&format!("\n{report}\n"))
}
