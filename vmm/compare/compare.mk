# The workload program of `vmm compare`: static with musl, so that it runs in any root and is small; the
# monitor carries it compressed, so that one binary stays the whole product.
compare_LOAD_SRC := $(wildcard vmm/compare/workload/*.c)
$(BUILD)/gen/vmm-load: $(compare_LOAD_SRC) vmm/compare/workload/load.h vmm/compare/compare.mk
	@mkdir -p $(@D)
	$(call say,MUSL,$@)
	$(Q)musl-gcc $(CSTD) $(WARNINGS) -I. -O2 -static -s -ffunction-sections -Wl,--gc-sections,-z,noseparate-code -o $@ $(compare_LOAD_SRC)
CPPFLAGS += -DCOMPARE_LOAD_FILE='"$(BUILD)/gen/vmm-load.lz4"'
# The scripts that it carries, without their comments and indentation.
$(BUILD)/gen/compare/%.sh: vmm/compare/%.sh vmm/compare/compare.mk
	@mkdir -p $(@D)
	$(Q)sed -e 's/^\t*//' -e '/^# /d' -e '/^#$$/d' -e '/^$$/d' $< >$@
CPPFLAGS += -DCOMPARE_SCRIPTS='"$(BUILD)/gen/compare"'
compare_SCRIPTS := $(patsubst vmm/%,$(BUILD)/gen/%.lz4,$(wildcard vmm/compare/*.sh vmm/compare/peers/*.sh))
$(BUILD)/obj/vmm/compare/root.o: $(BUILD)/gen/vmm-load.lz4 $(compare_SCRIPTS)
$(BUILD)/obj/vmm/compare/command.o: $(compare_SCRIPTS)
