# guest-init, which runs inside machines: static against musl, which makes it small (50 KB against glibc's 800), and
# linked into the monitor by vmm/boundary/machine_initramfs.c.

MUSL_CC ?= musl-gcc
guest_init_SRC := \
	vmm/guest/dhcp.c \
	vmm/guest/guest_init.c \
	vmm/guest/guest_mount.c \
	vmm/guest/guest_net.c \
	vmm/guest/keep_send.c \
	vmm/guest/pump.c \
	vmm/guest/relay_guest.c \
	vmm/guest/relay_parse.c \
	vmm/guest/relay_run.c \
	vmm/guest/spawn.c \
	vmm/guest/text.c \
	vmm/guest/workload.c

$(BUILD)/guest/guest-init: $(guest_init_SRC) $(wildcard vmm/guest/*.h) vmm/guest/guest.mk
	@mkdir -p $(@D)
	@command -v $(MUSL_CC) >/dev/null || { echo '$(MUSL_CC) is not installed: apt install musl-tools (or make deps)' >&2; exit 1; }
	$(call say,MUSL,$@)
	$(Q)$(MUSL_CC) $(CSTD) $(WARNINGS) -I. -Os -fno-pie -fno-asynchronous-unwind-tables -ffunction-sections \
		-fdata-sections -static -no-pie -Wl,--gc-sections,-z,noseparate-code,-z,norelro -s -o $@ $(guest_init_SRC)

$(BUILD)/obj/vmm/boundary/machine_initramfs.o: $(BUILD)/guest/guest-init.lz4
