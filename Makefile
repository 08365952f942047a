# vmm: `make` builds build/<arch>/vmm; `make run` boots a Linux; `make test` runs everything; `make help` lists the rest.

ARCH   ?= $(shell uname -m)
CC     ?= gcc
ifeq ($(origin CC),default)
CC     := gcc
endif
CLANG  ?= clang-14
# Say each command in full with V=1.
V      ?= 0
ifeq ($(V),0)
Q      := @
say     = @printf '  %-5s %s\n' $(1) $(2)
endif
BUILD  ?= build/$(ARCH)
FLAVOR ?=

CSTD     := -std=gnu17 -D_GNU_SOURCE
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	    -Wimplicit-fallthrough -Werror
OPT      ?= -O2
COLD_OPT ?= $(OPT:-O2=-Oz)
CFLAGS   ?= $(OPT) -g -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2 -fno-plt -fno-asynchronous-unwind-tables -ffunction-sections
CPPFLAGS += -I. -I$(BUILD)/gen -DARCH_LAYOUT_H='"arch/$(ARCH)/layout.h"' -DGUEST_INIT_FILE='"$(BUILD)/guest/guest-init.lz4"'
LDFLAGS  ?= -pie -Wl,-z,relro,-z,now,-z,pack-relative-relocs -Wl,--as-needed,--gc-sections
LDLIBS   := -luring -lelf -lz -lzstd -llz4 -llzma -lbz2 -llzo2 -ljansson -lseccomp -lcap -lm -lpthread

# One line a file. A new device is one line here and one in vmm/machine.c.
vmm_SRC := \
	vmm/compare/compare.c \
	vmm/compare/rows.c \
	vmm/compare/select.c \
	vmm/compare/stats.c \
	vmm/compare/output.c \
	vmm/compare/child.c \
	vmm/compare/proc.c \
	vmm/compare/command.c \
	vmm/compare/root.c \
	vmm/compare/image.c \
	vmm/compare/facts.c \
	vmm/compare/server.c \
	vmm/compare/measure.c \
	vmm/compare/runner.c \
	vmm/compare/lab.c \
	vmm/compare/report.c \
	vmm/compare/report_json.c \
	vmm/compare/report_svg.c \
	vmm/compare/report_html.c \
	vmm/cli/compare.c \
	vmm/kernel_config.c \
	vmm/guest/relay_parse.c \
	vmm/cli/doctor.c \
	vmm/cli/doctor_host.c \
	vmm/cli/doctor_kernel.c \
	vmm/probe.c \
	vmm/cli/completion.c \
	vmm/cli/help.c \
	vmm/cli/run.c \
	vmm/cli/freeze.c \
	vmm/cli/version.c \
	vmm/log.c \
	vmm/suggest.c \
	vmm/config_text.c \
	vmm/config_fields.c \
	vmm/config_disk.c \
	vmm/config_net.c \
	vmm/config_publish.c \
	vmm/config_console.c \
	vmm/config_volume.c \
	vmm/config_words.c \
	vmm/config_workload.c \
	vmm/config_options.c \
	vmm/config_locate.c \
	vmm/config_json.c \
	vmm/config_print.c \
	vmm/partition.c \
	vmm/config_cmdline.c \
	vmm/config_finish.c \
	vmm/config_help.c \
	vmm/config.c \
	vmm/late/late.c \
	vmm/late/late_elf.c \
	vmm/late/late_jansson.c \
	vmm/late/late_m.c \
	vmm/late/late_z.c \
	vmm/guest_mem.c \
	vmm/bus.c \
	vmm/irq.c \
	vmm/loop.c \
	vmm/loop_op.c \
	vmm/loop_poll.c \
	vmm/loop_call.c \
	vmm/loop_uring.c \
	vmm/loop_uring_wait.c \
	vmm/loop_epoll.c \
	vmm/irq_kvm.c \
	vmm/beside.c \
	vmm/blob.c \
	vmm/kvm_host.c \
	vmm/vm.c \
	vmm/end.c \
	vmm/vcpu.c \
	vmm/io_threads.c \
	vmm/timeline.c \
	vmm/machine_limits.c \
	vmm/machine_host.c \
	vmm/machine_stats.c \
	vmm/machine_load.c \
	vmm/machine.c \
	vmm/run.c \
	vmm/boundary/relay.c \
	vmm/boundary/keep_parse.c \
	vmm/boundary/keep_collect.c \
	vmm/boundary/keep_merge.c \
	vmm/boundary/keep.c \
	vmm/boundary/process_user.c \
	vmm/boundary/process_enter.c \
	vmm/boundary/process_ids.c \
	vmm/boundary/process_root.c \
	vmm/boundary/process_terminal.c \
	vmm/boundary/process.c \
	vmm/boundary/state.c \
	vmm/boundary/container_filter.c \
	vmm/boundary/container_cgroup.c \
	vmm/boundary/container_freeze.c \
	vmm/boundary/container_bridge.c \
	vmm/boundary/container_pasta.c \
	vmm/boundary/container_lxc.c \
	vmm/boundary/container.c \
	vmm/boundary/boundary_host.c \
	vmm/boundary/boundary.c \
	vmm/image/tree.c \
	vmm/image/cache.c \
	vmm/image/program.c \
	vmm/image/image.c \
	vmm/image/initramfs.c \
	vmm/image/module_unpack.c \
	vmm/image/modules.c \
	vmm/guest/keep_send.c \
	vmm/guest/pump.c \
	vmm/guest/spawn.c \
	vmm/guest/text.c \
	vmm/guest/relay_run.c \
	vmm/guest/relay_guest.c \
	vmm/boundary/machine_initramfs.c \
	vmm/boundary/boundary_machine.c \
	vmm/guest/dhcp.c \
	vmm/guest/workload.c

devices_SRC := \
	devices/limit.c \
	devices/block/file_io.c \
	devices/block/file_lock.c \
	devices/block/file_map.c \
	devices/block/block_file.c \
	devices/block/block_raw.c \
	devices/block/nameless_file.c \
	devices/block/block_overlay.c \
	devices/virtio/blk_request.c \
	devices/virtio/blk_queue.c \
	devices/virtio/virtio_blk.c \
	devices/serial.c \
	devices/power.c \
	devices/rtc.c \
	devices/i8042.c \
	devices/pvpanic.c \
	devices/debug_exit.c \
	devices/virtio/virtqueue.c \
	devices/virtio/virtio_queue.c \
	devices/virtio/virtio.c \
	devices/virtio/virtio_mmio.c \
	devices/char/char_lines.c \
	devices/char/char_sink.c \
	devices/char/char_fd.c \
	devices/char/char_stream.c \
	devices/char/char_stream_in.c \
	devices/char/char_stream_out.c \
	devices/char/terminal.c \
	devices/char/char_show.c \
	devices/char/char_hub.c \
	devices/char/char_hub_in.c \
	devices/virtio/console_port.c \
	devices/virtio/console_control.c \
	devices/virtio/virtio_console.c \
	devices/net/net_event.c \
	devices/net/net_stream.c \
	devices/net/net_vhost.c \
	devices/net/tap_open.c \
	devices/net/net_tap.c \
	devices/net/passt_process.c \
	devices/net/net_passt.c \
	devices/virtio/virtio_net_rx.c \
	devices/virtio/virtio_net_offload.c \
	devices/virtio/virtio_net_ctrl.c \
	devices/virtio/vhost_net.c \
	devices/virtio/virtio_net.c \
	devices/virtio/virtio_rng.c \
	devices/virtio/virtio_balloon.c \
	devices/pci.c \
	devices/virtio/virtio_pci_common.c \
	devices/virtio/virtio_pci.c \
	devices/msix.c

arch_x86_64_SRC := \
	arch/x86_64/inspect.c \
	arch/x86_64/probe.c \
	arch/x86_64/load.c \
	arch/x86_64/payload.c \
	arch/x86_64/bzimage.c \
	arch/x86_64/elf.c \
	arch/x86_64/unpack.c \
	arch/x86_64/place.c \
	arch/x86_64/identify.c \
	arch/x86_64/initrd.c \
	arch/x86_64/boot_params.c \
	arch/x86_64/ram.c \
	arch/x86_64/irqchip.c \
	arch/x86_64/cpuid.c \
	arch/x86_64/msr.c \
	arch/x86_64/cpu.c \
	arch/x86_64/entry.c \
	arch/x86_64/dump.c \
	arch/x86_64/acpi.c \
	arch/x86_64/smbios.c \
	arch/x86_64/tables.c

arch_aarch64_SRC :=

MAIN_SRC := vmm/main.c

SRC := $(vmm_SRC) $(devices_SRC) $(arch_$(ARCH)_SRC)
# Each shared library costs a start 0.05 ms: the small ones are taken in.
LDLIBS := $(patsubst -lcap,-l:libcap.a,$(patsubst -luring,-l:liburing.a,$(LDLIBS)))

OBJ := $(SRC:%.c=$(BUILD)/obj/%.o)
LIB := $(BUILD)/libvmm.a

UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/unit/%)
SUPPORT_SRC := $(wildcard tests/support/fake_*.c)
SUPPORT_OBJ := $(SUPPORT_SRC:%.c=$(BUILD)/obj/%.o)

.PHONY: all
all: $(BUILD)/vmm

$(BUILD)/vmm: $(MAIN_SRC:%.c=$(BUILD)/obj/%.o) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIB): $(OBJ)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# What the program carries inside itself (vmm/blob.h).
$(BUILD)/%.lz4: $(BUILD)/%
	$(Q)lz4 -qf -12 -B7 --content-size --no-frame-crc $< $@

# What runs once a start, or a few times in a boot, or prints, is made small instead of fast.
COLD := vmm/cli/% vmm/late/% vmm/compare/% vmm/boundary/% vmm/image/% vmm/guest/% vmm/config% vmm/probe% vmm/suggest% \
	vmm/kernel_config% vmm/machine% vmm/run% \
	vmm/kvm_host% vmm/vm.% vmm/partition% vmm/timeline% devices/char/terminal% devices/pci.% devices/i8042% \
	devices/rtc% devices/pvpanic% devices/power% devices/debug_exit% devices/virtio/virtio_pci_common% \
	devices/virtio/virtio.% devices/virtio/virtio_balloon% devices/virtio/virtio_net_ctrl% devices/virtio/console_control% \
	devices/block/block_file% devices/block/file_lock% devices/block/nameless_file% devices/net/tap_open% \
	devices/net/passt_process% devices/net/net_passt% devices/char/char_show% devices/char/char_sink% devices/net/net_vhost% \
	devices/serial% devices/virtio/virtio_mmio% devices/virtio/vhost_net% devices/virtio/virtio_rng% \
	vmm/main% vmm/beside% vmm/blob% vmm/log% vmm/irq_kvm% vmm/end% vmm/io_threads% arch/%
# Flags are in the Makefile: what was built with others is built again.
$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CSTD) $(WARNINGS) $(CPPFLAGS) $(CFLAGS) $(if $(filter $(COLD),$<),$(COLD_OPT)) -MMD -MP -c -o $@ $<

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(SUPPORT_OBJ) $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(SUPPORT_OBJ) $(LIB) $(LDLIBS) -lcmocka

# ACPI pieces: compiled by iasl, included by C as lists of bytes.
ASL_SRC := $(wildcard arch/$(ARCH)/*.asl)
$(BUILD)/obj/arch/$(ARCH)/acpi.o: $(ASL_SRC:%.asl=$(BUILD)/gen/%.aml.inc)
$(BUILD)/gen/%.aml.inc: %.asl
	@mkdir -p $(@D)
	$(call say,ASL,$<)
	$(Q)iasl -we -p $(@:.inc=) $< >$(@:.inc=.log) 2>&1 || { cat $(@:.inc=.log) >&2; exit 1; }
	$(Q)od -An -v -tx1 $(@:.inc=) | sed 's/ \(..\)/0x\1, /g' >$@

.PHONY: unit
unit: $(UNIT_BIN)

# Sanitizer builds are configurations of the same rules in directories of their own. (TSan knows no fences; what
# they order is atomic besides.)
.PHONY: unit-asan unit-tsan vmm-asan
unit-asan:
	$(MAKE) unit BUILD=build/$(ARCH)-asan OPT='-O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -U_FORTIFY_SOURCE' LDFLAGS='-pie'
vmm-asan:
	$(MAKE) all BUILD=build/$(ARCH)-asan OPT='-O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -U_FORTIFY_SOURCE' LDFLAGS='-pie'
unit-tsan:
	$(MAKE) unit BUILD=build/$(ARCH)-tsan OPT='-O1 -fsanitize=thread -Wno-tsan -U_FORTIFY_SOURCE' LDFLAGS='-pie'

# Fuzz targets: the whole library built with clang and libFuzzer's coverage.
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BUILD := build/$(ARCH)-fuzz
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(FUZZ_BUILD)/%)
.PHONY: fuzz-build
fuzz-build:
	$(MAKE) fuzz-targets BUILD=$(FUZZ_BUILD) CC=$(CLANG) OPT='-O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -U_FORTIFY_SOURCE' LDFLAGS='-pie'
.PHONY: fuzz-targets
fuzz-targets: $(FUZZ_BIN)
$(FUZZ_BUILD)/fuzz_%: $(FUZZ_BUILD)/obj/tests/fuzz/fuzz_%.o $(SUPPORT_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $< $(SUPPORT_OBJ) $(LIB) $(LDLIBS) -lcmocka

# ---- what people type ----

.PHONY: help
help:
	@echo 'make                build build/$(ARCH)/vmm'
	@echo 'make run            install what is missing, build, and boot a small Linux: to a shell on a terminal'
	@echo 'make test           install what is missing and run every test; ends with a line of counts'
	@echo 'make test-boot      boot stock kernels and Debian in every way; half an hour'
	@echo 'make test-quick     unit tests, command-line tests and corpus replay only'
	@echo 'make crash-test     kill machines 200 times at random moments, and look for what was lost'
	@echo 'make lint           clang-format, clang-tidy, cppcheck, shellcheck, check-deps, and a build by clang'
	@echo 'make fuzz TIME=60   run each fuzz target for TIME seconds'
	@echo 'make coverage [COVER=devices/net]  lines that unit tests and fuzz corpora reach, by file'
	@echo 'make bench           compare with QEMU and the host by wall clock; bench-lab: count instructions in the lab'
	@echo 'make guest-kernel [PROFILE=name]  build a guest kernel into the cache and print where it is'
	@echo 'make install [PREFIX=/usr/local]  install the program, manual page and shell completion'
	@echo 'make clean          remove build/'

.PHONY: deps
deps:
	@tests/support/install-deps.sh build

.PHONY: test-boot
test-boot:
	@tests/support/install-deps.sh all
	@tests/support/run-tests.sh boot boot-full

.PHONY: run
run:
	@tests/support/run-demo.sh

.PHONY: test test-quick
test:
	@tests/support/install-deps.sh all
	@tests/support/run-tests.sh
test-quick:
	@tests/support/install-deps.sh build test
	@tests/support/run-tests.sh unit fuzz cli

.PHONY: guest-kernel
guest-kernel:
	@guest-kernel-configs/build.sh $(PROFILE)

C_FILES := $(shell git ls-files '*.c' '*.h' 2>/dev/null)
# What the compiler builds for here, and what vmm carries inside itself.
LINT_SRC = $(sort $(MAIN_SRC) $(SRC) $(guest_init_SRC) $(CONTAINER_INIT_SRC) $(compare_LOAD_SRC))
SH_FILES := $(shell git ls-files '*.sh' tests/lab/run tests/lab/session .ci/run 2>/dev/null)

.PHONY: lint check-deps check-format check-tidy check-cppcheck check-shell check-clang
lint: check-deps check-format check-shell check-clang check-cppcheck check-tidy
	@echo 'lint: clean'
check-deps:
	@tests/support/check-deps.sh
check-format:
	@clang-format --dry-run -Werror $(C_FILES)
check-shell:
	@shellcheck -x $(SH_FILES)
check-clang:
	@$(MAKE) --no-print-directory all unit BUILD=build/$(ARCH)-clang CC=$(CLANG)
check-cppcheck: $(BUILD)/gen/stamp
	@cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability,performance \
		--inline-suppr --suppress=missingInclude --suppress=missingIncludeSystem -j2 \
		--suppress=nullPointerRedundantCheck --suppress=invalidPrintfArgType_uint \
		-I. -I$(BUILD)/gen -D_GNU_SOURCE -DARCH_LAYOUT_H='"arch/$(ARCH)/layout.h"' -DGUEST_INIT_FILE='"init"' $(LINT_SRC)
check-tidy: export TIDY_FLAGS = $(CSTD) $(CPPFLAGS)
check-tidy: $(BUILD)/gen/stamp
	@printf '%s\n' $(LINT_SRC) | \
		xargs -P2 -n1 sh -c 'eval "clang-tidy --quiet $$1 -- $$TIDY_FLAGS -DCONTAINER_INIT='"'"'\"\"'"'"'" 2>/dev/null' sh

# Generated headers exist before anything is analysed.
$(BUILD)/gen/stamp: $(ASL_SRC:%.asl=$(BUILD)/gen/%.aml.inc)
	@mkdir -p $(@D)
	@touch $@

TIME ?= 60
.PHONY: fuzz
fuzz: fuzz-build
	@for target in $(FUZZ_BIN); do \
		name=$${target##*/fuzz_}; mkdir -p build/corpus/$$name; \
		echo "fuzz_$$name: $(TIME) s"; \
		$$target -max_total_time=$(TIME) -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 -verbosity=0 \
			-artifact_prefix=build/corpus/$$name- build/corpus/$$name tests/fuzz/corpus/$$name || exit 1; \
	done

include vmm/boundary/boundary.mk
include vmm/guest/guest.mk
include vmm/compare/compare.mk
include tests/guest/guest.mk
include tests/bench/bench.mk
include tests/crash/crash.mk

# COVER: prefixes of the files that are told of.
COVER ?= devices/virtio
COVERAGE_BUILD := build/$(ARCH)-coverage
.PHONY: coverage
coverage:
	$(MAKE) unit fuzz-targets BUILD=$(COVERAGE_BUILD) FUZZ_BUILD=$(COVERAGE_BUILD) CC=$(CLANG) OPT='-O1 -fprofile-instr-generate -fcoverage-mapping -U_FORTIFY_SOURCE' LDFLAGS='-pie -fprofile-instr-generate'
	@BUILD=$(COVERAGE_BUILD) tests/support/coverage.sh $(COVER)

PREFIX ?= /usr/local
.PHONY: install
install: all
	install -D -m 755 $(BUILD)/vmm $(DESTDIR)$(PREFIX)/bin/vmm
	strip $(DESTDIR)$(PREFIX)/bin/vmm
	install -D -m 644 vmm/vmm.1 $(DESTDIR)$(PREFIX)/share/man/man1/vmm.1
	$(BUILD)/vmm help --completion bash | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/bash-completion/completions/vmm
	$(BUILD)/vmm help --completion zsh | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_vmm
	$(BUILD)/vmm help --completion fish | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/vmm.fish

.PHONY: clean
clean:
	rm -rf build

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
