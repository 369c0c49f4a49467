package logstore

import (
	"context"
	"database/sql"

	"chefsync/pkg/store/sqlite"
)

// logVersion is the layout of the log files that this program writes.
const logVersion = 1

const schema = `
CREATE TABLE lines (
	id     INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice, so that readers can follow
	at     INTEGER NOT NULL, -- microseconds since 1970
	level  INTEGER NOT NULL,
	pair   TEXT    NOT NULL, -- REPLICA/ORG, '' for the manager
	run    TEXT    NOT NULL,
	object TEXT    NOT NULL,
	msg    TEXT    NOT NULL,
	attrs  TEXT    NOT NULL -- a JSON object or ''
) STRICT;
CREATE INDEX lines_pair ON lines (pair, id);
CREATE INDEX lines_at ON lines (at);
`

// fileFormat returns how log files are written: without a wait for the disk.
func fileFormat() sqlite.Format {
	return sqlite.Format{
		Name: "log", ApplicationID: 0x4368536c, Version: logVersion, Oldest: logVersion, Synchronous: "NORMAL",
		DamagedHint: "the log file is damaged: delete it while no process has it open",
		Migrate: func(ctx context.Context, tx *sql.Tx, _ int) error {
			_, err := tx.ExecContext(ctx, schema)
			return err
		},
	}
}
