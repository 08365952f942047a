# The workload program of `vmm compare`: static with musl, so that it runs in any root and is small; the
# monitor carries it compressed, so that one binary stays the whole product.
compare_LOAD_SRC := $(wildcard vmm/compare/workload/*.c)
$(BUILD)/gen/vmm-load: $(compare_LOAD_SRC) vmm/compare/workload/load.h
	@mkdir -p $(@D)
	$(call say,MUSL,$@)
	$(Q)musl-gcc $(CSTD) $(WARNINGS) -I. -O2 -static -s -ffunction-sections -Wl,--gc-sections -o $@ $(compare_LOAD_SRC)
CPPFLAGS += -DCOMPARE_LOAD_FILE='"$(BUILD)/gen/vmm-load.gz"'
$(BUILD)/obj/vmm/compare/root.o: $(BUILD)/gen/vmm-load.gz vmm/compare/setup-root.sh vmm/compare/take-in.sh
$(BUILD)/obj/vmm/compare/command.o: $(wildcard vmm/compare/peers/*.sh)
