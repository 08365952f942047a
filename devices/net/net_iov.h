/*
 * Looking into a frame that lies in several parts. Pure.
 */
#ifndef DEVICES_NET_NET_IOV_H
#define DEVICES_NET_NET_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

/* Most parts a frame has here: a full queue's worth, and a few of our own. */
#define NET_IOV_MAX 1024

/* Copies LEN bytes from OFFSET on; returns how many there were. */
static inline size_t net_iov_read(const struct iovec *iov, unsigned iov_count, size_t offset,
				  void *data, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < iov_count && done < len; i++) {
		size_t part = iov[i].iov_len;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		part = part < len - done ? part : len - done;
		memcpy((uint8_t *)data + done, (const uint8_t *)iov[i].iov_base + offset, part);
		done += part;
		offset = 0;
	}
	return done;
}

/* The same the other way. */
static inline size_t net_iov_write(const struct iovec *iov, unsigned iov_count, size_t offset,
				   const void *data, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < iov_count && done < len; i++) {
		size_t part = iov[i].iov_len;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		part = part < len - done ? part : len - done;
		memcpy((uint8_t *)iov[i].iov_base + offset, (const uint8_t *)data + done, part);
		done += part;
		offset = 0;
	}
	return done;
}

static inline size_t net_iov_len(const struct iovec *iov, unsigned iov_count)
{
	size_t len = 0;

	for (unsigned i = 0; i < iov_count; i++)
		len += iov[i].iov_len;
	return len;
}

/*
 * The parts without the first OFFSET bytes, into TO, which has room for as many parts; returns how
 * many parts remain.
 */
static inline unsigned net_iov_skip(struct iovec *to, const struct iovec *iov, unsigned iov_count,
				    size_t offset)
{
	unsigned count = 0;

	for (unsigned i = 0; i < iov_count; i++) {
		size_t part = iov[i].iov_len;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		to[count].iov_base = (uint8_t *)iov[i].iov_base + offset;
		to[count++].iov_len = part - offset;
		offset = 0;
	}
	return count;
}

#endif
