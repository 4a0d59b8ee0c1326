#!/usr/bin/env python3
"""Second and third opinion on the RTL, after `verilator --lint-only -Wall`: slang and Yosys.

usage: lint.py TOOLS FILE...    (packages first, in the order in which they need each other)

TOOLS is a folder with the Python packages `pyslang` and `pyosys`. slang must have nothing to say.
Yosys elaborates what synthesis would see (SYNTHESIS defined: clock gates are wires, assertions are
gone) and must find no latch, no multiple driver, no combinational loop and nothing undriven
(`check -assert`). Its memories must map to a real family (Lattice ECP5): those of BLOCK_RAM to block
RAM, none of more than FLIP_FLOP_BITS to flip-flops, none of more than DISTRIBUTED_BITS to look-up tables.
"""

import os
import re
import sys
import tempfile

# By default one queue pair with all features is built; all pairs, and the least that hwmodel builds, are
# looked at as well.
with open(os.path.join(os.path.dirname(__file__), "../hwmodel/build.rs")) as text:
    THIN = {"Features": "64'h" + re.search(r'THIN_FEATURES: &str = "(\w+)"', text.read())[1]}
BUILDS = [{}, {"QueuePairs": 8}, THIN]

# The stores, which must be there and in block RAM; `{pair}` is each of the queue pairs.
BLOCK_RAM = [
    "u_rx_path.u_rx_fifo.u_words",
    "u_rx_path.u_rx_fifo.u_metas",
    "u_rx_path.u_rx_dma.u_return.u_chains",
    "u_tx_path.gen_pair[{pair}].u_tx_dma.u_beats",
    "u_tx_path.u_tx_csum.u_store.u_words",
    "u_tx_path.u_tx_csum.u_store.u_metas",
]
# Not built into the thin card.
BLOCK_RAM_SEGMENTATION = ["u_tx_path.g_seg.u_tx_seg.u_engine.u_store.u_ring"]
# What else may be how large: registers that are read as one, and small FIFOs.
FLIP_FLOP_BITS = 4096
DISTRIBUTED_BITS = 16384


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
    """Elaborates one build; returns for each memory its bits and the cell that it maps to (None: flip-flops)."""
    from pyosys import libyosys as ys

    chosen = " ".join(f"-G {name}={value}" for name, value in parameters.items())
    log = tempfile.NamedTemporaryFile(suffix=".log", delete=False)
    cells = tempfile.NamedTemporaryFile(suffix=".il")
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
            # Multiplexers that became enables go, else the data of a RAM has a reader beside its register.
            "opt_dff",
            "opt_clean",
            "memory_dff -no-rw-check",
            "memory_collect",
            f"tee -q -o {cells.name} dump t:$mem_v2",
            "memory_libmap -lib +/lattice/lutrams_trellis.txt -lib +/lattice/brams_16kd.txt",
        ]:
            ys.run_pass(command, design)
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
    with open(log.name) as text:
        log = text.read()
    mapped = dict(re.findall(r"mapping memory nic\.(\S+) via \$__(\w+)_", log))
    flip_flops = re.findall(r"using FF mapping for memory nic\.(\S+)", log)
    bits = {}
    with open(cells.name) as text:
        for cell in text.read().split("cell $mem_v2 ")[1:]:
            # Strings as the dump has them: a name begins with a backslash, which is escaped.
            field = {name: value.strip('"').removeprefix("\\\\")
                     for name, value in re.findall(r"parameter (?:signed )?\\(\w+) (\S+)", cell)}
            bits[field["MEMID"]] = int(field["SIZE"]) * int(field["WIDTH"])
    return {name: (bits.get(name), mapped.get(name)) for name in [*mapped, *flip_flops]}


def faults(memories, parameters):
    """What is wrong with where the memories are."""
    wanted = BLOCK_RAM + ([] if parameters == THIN else BLOCK_RAM_SEGMENTATION)
    pairs = parameters.get("QueuePairs", 1)
    for name in sorted({f"{name.format(pair=pair)}.mem" for name in wanted for pair in range(pairs)}):
        _, cell = memories.get(name, (0, "nowhere"))
        if not (cell or "").endswith("16KD"):
            yield f"{name} must be in block RAM, not {cell or 'flip-flops'}"
    for name, (bits, cell) in memories.items():
        limit = FLIP_FLOP_BITS if cell is None else DISTRIBUTED_BITS
        if bits is None:
            yield f"{name}: no size found"
        elif bits > limit and not (cell or "").endswith("16KD"):
            yield f"{name}: {bits} bits in {cell or 'flip-flops'}"


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
        build = " ".join(f"{n}={v}" for n, v in parameters.items()) or "defaults"
        wrong = list(faults(memories, parameters))
        if wrong:
            sys.exit(f"lint: {build}:\n  " + "\n  ".join(wrong))
        cells = [cell for _, cell in memories.values()]
        block = sum((cell or "").endswith("16KD") for cell in cells)
        print(f"yosys, {build}: check -assert passes, no latch, {block} memories in block RAM, "
              f"{len(cells) - block - cells.count(None)} in distributed RAM, {cells.count(None)} in flip-flops")


if __name__ == "__main__":
    main()
