/*
 * A whole kernel file through the loader, as from the command line. The first byte chooses the
 * entry and whether there is an initrd; the rest is the file.
 */
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "tests/fuzz/quiet_log.h"

#define MEM_LEN (32ULL << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void load_check(const struct guest_mem *mem, const struct arch_boot *boot)
{
	assert(boot->entry != ARCH_ENTRY_AUTO && boot->what != NULL);
	assert(boot->kernel_gpa >= LAYOUT_KERNEL_MIN_GPA);
	assert(guest_mem_ptr(mem, boot->kernel_gpa, boot->kernel_len) != NULL);
	assert(boot->entry_gpa >= boot->kernel_gpa &&
	       boot->entry_gpa - boot->kernel_gpa < boot->kernel_len);
	assert(guest_mem_ptr(mem, boot->info_gpa, 4096) != NULL);
	if (boot->initrd_len != 0) {
		assert(boot->initrd_gpa + boot->initrd_len <= boot->kernel_gpa ||
		       boot->initrd_gpa >= boot->kernel_gpa + boot->kernel_len);
		assert(memcmp(guest_mem_ptr(mem, boot->initrd_gpa, 6), "070701", 6) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arch_kernel kernel = { .kernel_path = "fuzz", .initrd_fd = -1, .cmdline = "quiet" };
	struct guest_mem mem = { 0 };
	struct arch_boot boot;

	if (len < 1)
		return -1;
	kernel.entry = data[0] & 3;
	if (data[0] & 4) {
		kernel.initrd_data = "070701";
		kernel.initrd_data_len = 6;
	}
	kernel.kernel_fd = memfd_create("fuzz", MFD_CLOEXEC);
	assert(kernel.kernel_fd >= 0);
	if (write(kernel.kernel_fd, data + 1, len - 1) == (ssize_t)len - 1 &&
	    guest_mem_add(&mem, 0, MEM_LEN) == 0) {
		/* The host's huge pages would only cost time here. */
		(void)madvise(mem.regions[0].host, MEM_LEN, MADV_NOHUGEPAGE);
		if (arch_load_kernel(&mem, &kernel, &boot) == 0)
			load_check(&mem, &boot);
		guest_mem_fini(&mem);
	}
	close(kernel.kernel_fd);
	return 0;
}
