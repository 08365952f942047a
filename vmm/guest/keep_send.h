/*
 * Tells the monitor what the command wrote. Called by guest-init when the command has ended. Only
 * libc; one thread.
 */
#ifndef VMM_GUEST_KEEP_SEND_H
#define VMM_GUEST_KEEP_SEND_H

/*
 * Sends all below UPPER_FD, an overlay's upper directory, as records (vmm/guest/keep.h) to PORT_FD,
 * which may block or not. Where something cannot be read it says so to the monitor as the last
 * word. 0 or -errno.
 */
int keep_send(int port_fd, int upper_fd);

#endif
