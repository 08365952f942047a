/*
 * Places an initrd (Linux boot protocol, ramdisk_image and initrd_addr_max). Called by the kernel
 * loader on the main thread, after the kernel has its place.
 */
#include "arch/x86_64/initrd.h"

#include <string.h>
#include <sys/stat.h>

#include "arch/x86_64/identify.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/place.h"
#include "vmm/log.h"

/* The kernel allocates downwards from here: leave it whole huge pages. */
#define INITRD_ALIGN (2ULL << 20)

/* The highest start of LEN bytes in [LOW, HIGH), or 0. */
static gpa_t initrd_highest(gpa_t low, gpa_t high, uint64_t len)
{
	gpa_t gpa;

	if (high <= low || len > high - low)
		return 0;
	gpa = (high - len) & ~(INITRD_ALIGN - 1);
	if (gpa < low)
		gpa = (high - len) & ~PLACE_PAGE_MASK;
	return gpa < low ? 0 : gpa;
}

int initrd_find_place(const struct guest_mem *mem, uint64_t len, gpa_t limit, gpa_t kernel_gpa,
		      uint64_t kernel_len, gpa_t *out)
{
	gpa_t best = 0;

	for (unsigned i = 0; i < mem->region_count; i++) {
		gpa_t low = mem->regions[i].gpa, high = low + mem->regions[i].len, gpa;

		if (low < LAYOUT_KERNEL_MIN_GPA)
			low = LAYOUT_KERNEL_MIN_GPA;
		if (high > limit)
			high = limit;
		if (kernel_gpa >= low && kernel_gpa < high) {
			gpa = initrd_highest(kernel_gpa + kernel_len, high, len);
			if (gpa == 0)
				gpa = initrd_highest(low, kernel_gpa, len);
		} else {
			gpa = initrd_highest(low, high, len);
		}
		if (gpa > best)
			best = gpa;
	}
	*out = best;
	return best != 0 ? 0 : -ENOSPC;
}

static int initrd_file_len(const struct arch_kernel *kernel, uint64_t *out)
{
	struct stat st;

	if (fstat(kernel->initrd_fd, &st) != 0)
		return log_errno(errno, "read %s", kernel->initrd_path);
	if (identify_mode(st.st_mode) != NULL) {
		log_err("%s: %s; expected an initrd file", kernel->initrd_path,
			identify_mode(st.st_mode));
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	}
	*out = (uint64_t)st.st_size;
	return 0;
}

int initrd_load(struct guest_mem *mem, const struct arch_kernel *kernel, gpa_t limit,
		struct arch_boot *boot)
{
	const char *name = kernel->initrd_data != NULL ? "initramfs" : kernel->initrd_path;
	uint64_t len = kernel->initrd_data_len;
	int ret = 0;

	if (kernel->initrd_data == NULL) {
		if (kernel->initrd_fd < 0)
			return 0;
		ret = initrd_file_len(kernel, &len);
	}
	if (ret < 0 || len == 0)
		return ret;
	ret = initrd_find_place(mem, len, limit, boot->kernel_gpa, boot->kernel_len,
				&boot->initrd_gpa);
	if (ret < 0) {
		log_err("%s: %llu MiB do not fit into memory beside the kernel; more --memory is "
			"needed",
			name, (unsigned long long)((len + 0xfffff) >> 20));
		return ret;
	}
	boot->initrd_len = len;
	if (kernel->initrd_data == NULL)
		return place_file(mem, boot->initrd_gpa, len, kernel->initrd_fd, 0, name, boot);
	ret = guest_mem_write(mem, boot->initrd_gpa, kernel->initrd_data, len);
	if (ret < 0)
		return log_errno(ret, "place the initramfs");
	boot->copied_len += len;
	return 0;
}
