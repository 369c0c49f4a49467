#!/bin/sh
# Before a removal, or before an upgrade, which restarts the service afterwards: Debian
# calls it with "remove" or "upgrade", rpm with the number of versions that will be left.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now chef-sync.service
	fi
	;;
esac
