#!/bin/sh
# After an installation or an upgrade: Debian calls it with "configure" and the previous
# version, rpm with the number of versions that are installed.
set -e

if ! getent group chef-sync >/dev/null; then
	groupadd --system chef-sync
fi
if ! getent passwd chef-sync >/dev/null; then
	useradd --system --gid chef-sync --home-dir /var/lib/chef-sync --no-create-home \
		--shell /usr/sbin/nologin --comment "Chef Replication" chef-sync
fi
# The service can't write the configuration, whoever owns it: its unit makes /etc
# read-only. Keys that prepare-org creates as this user are its own.
chown chef-sync:chef-sync /etc/chef-sync /var/lib/chef-sync
# What root's commands created in the state's folder before this installation is for the
# service, too. Links in the folder aren't followed, and files with a second name, which may
# be elsewhere, stay as they are. find refuses -execdir with a relative folder in PATH.
PATH=/usr/sbin:/usr/bin:/sbin:/bin find -H /var/lib/chef-sync -xdev -user root \( -type d -o -type f -links 1 \) \
	-execdir chown --no-dereference chef-sync:chef-sync {} +

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# Only a running service is restarted. A new one waits for its configuration. One that
	# fails to start is a matter of its configuration: the package is installed.
	systemctl try-restart chef-sync.service || true
fi
