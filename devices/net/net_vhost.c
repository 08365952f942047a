/*
 * Opening /dev/vhost-net. Main thread.
 */
#include "devices/net/net_vhost.h"

#include <fcntl.h>
#include <linux/vhost.h>
#include <sys/ioctl.h>

#include "vmm/log.h"

#define PATH "/dev/vhost-net"

int net_vhost_open(void)
{
	int fd = open(PATH, O_RDWR | O_CLOEXEC);
	int ret;

	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return log_errno(errno,
				 "open " PATH
				 ": modprobe vhost_net loads the driver; or leave vhost out");
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return log_errno(errno, "open " PATH
					": add the user to its group, kvm; or leave vhost out");
	if (fd < 0)
		return log_errno(errno, "open " PATH);
	if (ioctl(fd, VHOST_SET_OWNER) == 0)
		return fd;
	ret = log_errno(errno, "take " PATH " into use");
	close(fd);
	return ret;
}
