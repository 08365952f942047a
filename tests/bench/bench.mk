# Benchmarks; tests/bench/README.md says what the figures mean. BENCH_OPTIONS go to run.py.
$(BUILD)/bench/netload: tests/bench/netload.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)gcc $(CSTD) $(WARNINGS) -O2 -o $@ $<

.PHONY: bench bench-lab
bench: all guests $(BUILD)/bench/netload
	@tests/support/install-deps.sh test
	@tests/bench/run.py $(BENCH_OPTIONS)
bench-lab: all
	@tests/support/install-deps.sh test kernel
	@tests/bench/lab.py $(BENCH_OPTIONS)
