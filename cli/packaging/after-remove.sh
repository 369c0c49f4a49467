#!/bin/sh
# After a removal. Configuration, keys and state are kept, until Debian purges the package.
# The user stays, as Debian recommends: its number must not become somebody else's.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ]; then
	rm -rf /etc/chef-sync /var/lib/chef-sync
fi
