# Bare guests: freestanding ELF programs, build/<arch>/guest/CASE. A new case is one file in cases/.
GUEST_LIB   := $(wildcard tests/guest/lib/*.c) $(wildcard tests/guest/lib/*.S)
GUEST_CASES := $(wildcard tests/guest/cases/*.c)
GUEST_BIN   := $(GUEST_CASES:tests/guest/cases/%.c=$(BUILD)/guest/%)
GUEST_CFLAGS := -std=gnu17 -O2 -g -Wall -Wextra -Werror -ffreestanding -fno-strict-aliasing -fno-pic -fno-pie -mno-red-zone \
	-mgeneral-regs-only -mcmodel=small -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections -I.

.PHONY: guests
guests: $(GUEST_BIN)
$(BUILD)/guest/%: tests/guest/cases/%.c $(GUEST_LIB) tests/guest/lib/guest.ld $(wildcard tests/guest/lib/*.h)
	@mkdir -p $(@D)
	$(call say,GUEST,$@)
	$(Q)gcc $(GUEST_CFLAGS) -static -nostdlib -no-pie -Wl,--build-id=none,--gc-sections -Wl,-z,noexecstack \
		-Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments -T tests/guest/lib/guest.ld \
		-o $@ $< $(GUEST_LIB)
