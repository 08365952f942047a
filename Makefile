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
CFLAGS   ?= $(OPT) -g -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2 -fno-plt
CPPFLAGS += -I. -I$(BUILD)/gen -DARCH_LAYOUT_H='"arch/$(ARCH)/layout.h"'
LDFLAGS  ?= -pie -Wl,-z,relro,-z,now -Wl,--as-needed
LDLIBS   := -luring -lelf -lz -lzstd -llz4 -llzma -lbz2 -llzo2 -ljansson -lseccomp -lcap -lpthread

# One line a file. A new device is one line here and one in vmm/machine.c.
vmm_SRC := \
	vmm/log.c \
	vmm/guest_mem.c \
	vmm/bus.c \
	vmm/irq.c \
	vmm/irq_kvm.c \
	vmm/vm.c \
	vmm/end.c \
	vmm/vcpu.c \
	vmm/io_threads.c \
	vmm/timeline.c \
	vmm/run.c

devices_SRC := \
	devices/virtio/virtqueue.c

arch_x86_64_SRC :=

arch_aarch64_SRC :=

MAIN_SRC := vmm/main.c

SRC := $(vmm_SRC) $(devices_SRC) $(arch_$(ARCH)_SRC)
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

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CSTD) $(WARNINGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(SUPPORT_OBJ) $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(SUPPORT_OBJ) $(LIB) $(LDLIBS) -lcmocka

.PHONY: unit
unit: $(UNIT_BIN)

# Sanitizer builds are configurations of the same rules in directories of their own.
.PHONY: unit-asan unit-tsan
unit-asan:
	$(MAKE) unit BUILD=build/$(ARCH)-asan OPT='-O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -U_FORTIFY_SOURCE' LDFLAGS='-pie'
unit-tsan:
	$(MAKE) unit BUILD=build/$(ARCH)-tsan OPT='-O1 -fsanitize=thread -U_FORTIFY_SOURCE' LDFLAGS='-pie'

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

.PHONY: guest-kernel
guest-kernel:
	@guest-kernel-configs/build.sh $(PROFILE)

.PHONY: clean
clean:
	rm -rf build

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
