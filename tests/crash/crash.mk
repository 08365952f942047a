# The crash test's program on the host; its guest is tests/guest/cases/crash.c.
$(BUILD)/tests/crash: $(BUILD)/obj/tests/crash/crash.o
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $<
guests: $(BUILD)/tests/crash

.PHONY: crash-test
crash-test: all guests
	@tests/crash/run.sh full
