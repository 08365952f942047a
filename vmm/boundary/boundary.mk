# container_init.c: a static program that vmm carries inside itself. The kernel's headers come after musl's own.
MUSL_GCC ?= musl-gcc
CONTAINER_INIT := $(BUILD)/gen/container-init
CONTAINER_INIT_SRC := $(addprefix vmm/boundary/,container_init.c container_filter.c process_enter.c process_user.c)

$(CONTAINER_INIT): $(CONTAINER_INIT_SRC) $(wildcard vmm/boundary/*.h) vmm/boundary/boundary.mk
	@mkdir -p $(@D)
	$(call say,MUSL,$@)
	$(Q)$(MUSL_GCC) $(CSTD) -I. -idirafter /usr/include -idirafter /usr/include/$(ARCH)-linux-gnu \
		-Wall -Wextra -Wshadow -Wmissing-prototypes -Werror -Os -fno-pie -fno-asynchronous-unwind-tables \
		-ffunction-sections -fdata-sections -static -no-pie -s \
		-Wl,--gc-sections,--build-id=none,-z,noseparate-code,-z,norelro -o $@ $(CONTAINER_INIT_SRC)

$(BUILD)/obj/vmm/boundary/container_lxc.o: $(CONTAINER_INIT).lz4
$(BUILD)/obj/vmm/boundary/container_lxc.o: CPPFLAGS += -DCONTAINER_INIT='"$(CONTAINER_INIT).lz4"'
