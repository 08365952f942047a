# shellcheck shell=sh
# Prints lxc-execute's command line, a word a line. Arguments: vmm, root, scratch, kernel, command...
# The container is confined as vmm's is: the same capabilities and mounts, what tells of the host covered,
# and system calls filtered by LXC's own list. AppArmor confines it where Debian's profile is loaded.
root=$2; scratch=$3; shift 4
command -v lxc-execute >/dev/null || { echo "lxc-execute is not installed" >&2; exit 1; }
mkdir -p "$scratch/lxc" "$scratch/lxc-upper"
profile=unconfined
! grep -q '^lxc-container-default-cgns ' /sys/kernel/security/apparmor/profiles 2>/dev/null ||
	profile=lxc-container-default-cgns
filter=/usr/share/lxc/config/common.seccomp
cat >"$scratch/lxc.conf" <<TEXT
lxc.rootfs.path = overlay:$root:$scratch/lxc-upper
lxc.net.0.type = empty
lxc.net.0.flags = up
lxc.apparmor.profile = $profile
lxc.tty.max = 0
lxc.pty.max = 1024
lxc.no_new_privs = 1
lxc.cap.keep = chown dac_override fsetid fowner mknod net_raw setgid setuid setfcap setpcap net_bind_service sys_chroot kill audit_write
lxc.mount.auto = proc:mixed
lxc.mount.entry = sysfs sys sysfs ro,nosuid,nodev,noexec,create=dir 0 0
lxc.mount.entry = shm dev/shm tmpfs nosuid,nodev,noexec,mode=1777,create=dir 0 0
lxc.mount.entry = mqueue dev/mqueue mqueue nosuid,nodev,noexec,create=dir,optional 0 0
lxc.mount.entry = /dev/null proc/kcore none bind,optional 0 0
lxc.mount.entry = /dev/null proc/keys none bind,optional 0 0
lxc.mount.entry = /dev/null proc/timer_list none bind,optional 0 0
lxc.mount.entry = tmpfs proc/acpi tmpfs ro,nosuid,nodev,noexec,size=0,optional 0 0
lxc.mount.entry = tmpfs sys/firmware tmpfs ro,nosuid,nodev,noexec,size=0,optional 0 0
lxc.mount.entry = proc/bus proc/bus none bind,ro,relative,optional 0 0
lxc.mount.entry = proc/fs proc/fs none bind,ro,relative,optional 0 0
lxc.mount.entry = proc/irq proc/irq none bind,ro,relative,optional 0 0
TEXT
[ ! -r $filter ] || echo "lxc.seccomp.profile = $filter" >>"$scratch/lxc.conf"
printf '%s\n' lxc-execute -n compare -P "$scratch/lxc" -f "$scratch/lxc.conf" -- "$@"
