/*
 * Loads the guest's software. Main thread, while vCPUs are created beside.
 */
#include "vmm/machine_load.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "vmm/log.h"

/*
 * The command line. A kernel told to do without ACPI finds virtio-mmio devices by words of it
 * (Linux, drivers/virtio/virtio_mmio.c); with ACPI they would only be found twice.
 */
static int machine_cmdline(const char *given, const struct arch_board *board, char *buf,
			   size_t room)
{
	unsigned rows = strstr(given, "acpi=off") ? board->row_count : 0;
	int len = snprintf(buf, room, "%s", given);

	for (unsigned i = 0; i < rows && len >= 0 && (size_t)len < room; i++) {
		const struct board_row *row = &board->rows[i];

		if (row->kind == BOARD_VIRTIO_MMIO)
			len += snprintf(buf + len, room - (size_t)len,
					" virtio_mmio.device=4K@%#llx:%u",
					(unsigned long long)row->base, row->irq);
	}
	if (len < 0 || (size_t)len >= room)
		return log_errno(E2BIG, "kernel command line of more than %zu bytes", room - 1);
	return 0;
}

int machine_load(struct guest_mem *mem, const struct config *config, const struct arch_board *board,
		 struct arch_boot *boot, struct timeline *timeline)
{
	struct arch_kernel kernel = {
		.kernel_fd = -1,
		.initrd_fd = -1,
		.kernel_path = config->kernel,
		.initrd_path = config->initrd,
		.entry = config->entry,
	};
	char cmdline[8192];
	int ret;

	/* Not waiting: what turns out to be a pipe is refused. */
	kernel.kernel_fd = open(kernel.kernel_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (kernel.kernel_fd < 0)
		return log_errno(errno, "open the kernel %s", kernel.kernel_path);
	if (kernel.initrd_path) {
		kernel.initrd_fd = open(kernel.initrd_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (kernel.initrd_fd < 0) {
			ret = log_errno(errno, "open the initrd %s", kernel.initrd_path);
			close(kernel.kernel_fd);
			return ret;
		}
	}
	ret = machine_cmdline(config->cmdline_full, board, cmdline, sizeof(cmdline));
	kernel.cmdline = cmdline;
	if (ret == 0)
		ret = arch_load_kernel(mem, &kernel, boot);
	timeline_mark(timeline, "kernel and initrd loaded");
	close(kernel.kernel_fd);
	if (kernel.initrd_fd >= 0)
		close(kernel.initrd_fd);
	if (ret == 0)
		ret = arch_write_tables(mem, board, boot);
	/* Below the kernel a guest uses a page here and there. */
	guest_mem_use_huge_pages(mem, boot->kernel_gpa);
	return ret;
}
