//! Hosts, links, simulated time, traces and the command line
