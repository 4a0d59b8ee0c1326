//! The behavioural model in the place of the RTL: the same answers.

mod common;

use std::collections::BTreeMap;

use common::{cosim, cosim_ok, mixed, mixed_pcap, text};
use cosim::host::{Host, HostConfig};
use cosim::replay::{ReplayOptions, replay_to};
use cosim::summary::Summary;
use driver::Feature;
use hwmodel::Device;

/// The capture's server.
fn server() -> HostConfig {
    HostConfig {
        addrs: vec![
            "192.0.2.20/24".parse().unwrap(),
            "2001:db8::20/64".parse().unwrap(),
        ],
        udp_echo: vec![7, 5201],
        ..HostConfig::default()
    }
}

/// Frames that left the card with how often each did, and the summary.
fn answers<D: Device + 'static>(
    host: Host<D>,
    config: &HostConfig,
) -> (BTreeMap<Vec<u8>, u32>, Summary) {
    let mut frames = BTreeMap::new();
    let capture = mixed(usize::MAX);
    let options = ReplayOptions::default();
    let replayed = replay_to(
        host,
        &capture,
        config,
        options,
        |sent| {
            assert!(sent.frame.fcs_ok);
            *frames.entry(sent.frame.bytes).or_default() += 1;
            Ok(())
        },
        |_, _| (),
    )
    .unwrap_or_else(|e| panic!("{}", e.report()));
    (frames, replayed.summary)
}

#[test]
fn the_model_answers_as_the_rtl_does() {
    for off in [
        Feature::NONE,
        Feature::CSUM | Feature::GUEST_CSUM | Feature::EVENT_IDX,
    ] {
        let config = HostConfig {
            features_off: off,
            ..server()
        };
        let (rtl, rtl_summary) = answers(Host::new(&config).unwrap(), &config);
        let (model, model_summary) = answers(Host::with_model(&config).unwrap(), &config);
        assert!(rtl.len() > 100, "{} different answers", rtl.len());
        assert_eq!(rtl, model);
        assert_eq!(rtl_summary.delivered, model_summary.delivered);
        assert_eq!(rtl_summary.drops, model_summary.drops);
        assert_eq!(model_summary.unaccounted(), 0);
        assert_eq!(model_summary.time.cycles_stepped, 0, "no clock");
        assert!(model_summary.host.dma_write_bytes > 0);
    }
}

#[test]
fn two_runs_of_the_model_are_the_same() {
    let config = HostConfig {
        record: true,
        ..server()
    };
    let run = || {
        let host = Host::with_model(&config).unwrap();
        let capture = mixed(120);
        let fast = ReplayOptions {
            fast: true,
            last: None,
        };
        let replayed = replay_to(host, &capture, &config, fast, |_| Ok(()), |_, _| ());
        replayed
            .unwrap_or_else(|e| panic!("{}", e.report()))
            .host
            .trace()
    };
    let first = run();
    assert!(first.len() > 10_000 && first == run());
}

#[test]
fn the_command_line_takes_the_model() {
    let mixed = mixed_pcap();
    let mixed = mixed.to_str().unwrap();
    let summary = cosim_ok(&["replay", mixed, "--device", "model"]);
    assert!(
        summary.contains("frames out               137"),
        "{summary}"
    );
    let journey = cosim_ok(&["trace", mixed, "--device", "model", "--packet", "5"]);
    let mut from = 0;
    for stage in [
        "first byte",
        "DMA write begins",
        "used descriptor",
        "MSI-X message",
        "napi_poll",
        "icmp_rcv",
        "doorbell",
        "descriptor read",
        "DMA read ends",
        "last byte",
    ] {
        let at = journey[from..].find(stage);
        from += at.unwrap_or_else(|| panic!("no `{stage}` behind offset {from} in\n{journey}"));
    }
    let refused = cosim(&["replay", mixed, "--device", "model", "--waves", "a.fst"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("the model has no signals"));
}
