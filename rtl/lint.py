#!/usr/bin/env python3
"""Second and third opinion on the RTL, after `verilator --lint-only -Wall`: slang and Yosys.

usage: lint.py TOOLS FILE...    (packages first, in the order in which they need each other)

TOOLS is a folder with the Python packages `pyslang` and `pyosys`. slang must have nothing to say.
Yosys elaborates what synthesis would see (SYNTHESIS defined: clock gates are wires, assertions are
gone) and must find no latch, no multiple driver, no combinational loop and nothing undriven
(`check -assert`); every `ram_sdp` must map to block RAM of a real family (Lattice ECP5).
"""

import os
import re
import sys
import tempfile

# By default one queue pair with all features is built; all pairs, and the least that hwmodel builds
# (THIN_FEATURES), are looked at as well.
BUILDS = [{}, {"QueuePairs": 8}, {"Features": "64'h8000010f2001002b"}]


def slang(files):
    """Whether slang is content, with its additional warnings on."""
    from pyslang import driver

    # A default label beside `unique` is wanted: unreachable values of an enum must lead somewhere.
    # Casts that change nothing for one parameter change something for another.
    options = "-Wextra -Werror -Wno-case-redundant-default -Wno-useless-cast"
    run = driver.Driver()
    run.addStandardArgs()
    if not run.parseCommandLine(f"slang --top nic {options} " + " ".join(files)):
        return False
    if not (run.processOptions() and run.parseAllSources()):
        return False
    compilation = run.createCompilation()
    run.reportCompilation(compilation, True)
    return run.reportDiagnostics(True)


def yosys(files, parameters):
    """Elaborates one build; returns the memories and what they map to."""
    from pyosys import libyosys as ys

    chosen = " ".join(f"-G {name}={value}" for name, value in parameters.items())
    log = tempfile.NamedTemporaryFile(suffix=".log", delete=False)
    # Yosys writes to file descriptor 1; what it says is shown only when it fails.
    saved = os.dup(1)
    sys.stdout.flush()
    os.dup2(log.fileno(), 1)
    try:
        design = ys.Design()
        for command in [
            f"read_slang -DSYNTHESIS --top nic {chosen} " + " ".join(files),
            "hierarchy -check -top nic",
            "proc",
            "opt_expr",
            "opt_clean",
            "check -assert",
            "select -assert-none t:$dlatch t:$adlatch t:$sr t:$dlatchsr",
            "opt_dff",
            "memory_dff -no-rw-check",
            "memory_collect",
            "memory_libmap -lib +/lattice/lutrams_trellis.txt -lib +/lattice/brams_16kd.txt",
        ]:
            ys.run_pass(command, design)
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
    with open(log.name) as text:
        return re.findall(r"mapping memory (\S+) via \$__(\w+)_", text.read())


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    tools, files = sys.argv[1], sys.argv[2:]
    sys.path.insert(0, tools)
    if not slang(files):
        sys.exit("lint: slang has found something")
    print(f"slang -Wextra: {len(files)} files, nothing to say")
    for parameters in BUILDS:
        memories = yosys(files, parameters)
        big = [name for name, cell in memories if cell.endswith("16KD")]
        # Frame stores and their metas: all instances of ram_sdp.
        stray = [name for name, cell in memories if name.endswith((".u_words.mem", ".u_metas.mem")) and name not in big]
        build = " ".join(f"{n}={v}" for n, v in parameters.items()) or "defaults"
        if stray or not big:
            sys.exit(f"lint: {build}: not in block RAM: {' '.join(stray) or 'everything'}")
        print(f"yosys, {build}: check -assert passes, no latch, {len(big)} memories in block RAM, "
              f"{len(memories) - len(big)} in distributed RAM")


if __name__ == "__main__":
    main()
