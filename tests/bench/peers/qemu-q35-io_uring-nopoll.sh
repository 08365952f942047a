#!/bin/bash
# QEMU's q35 machine as in qemu-q35-io_uring, but its iothread sleeps as soon as it has nothing to do, as ours do
# by default.
POLL_MAX_NS=0 exec "$(dirname "$0")/qemu-q35-io_uring.sh"
