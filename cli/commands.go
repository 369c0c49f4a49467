package cli

import (
	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
)

// commands are all commands, in the order of help.
func commands(env *cmdline.Env) []*cobra.Command {
	return []*cobra.Command{
		newRunCmd(env), newSyncStartCmd(env), newSyncStopCmd(env), newServeChangesCmd(env), newTickCmd(env),
		newSyncStatusCmd(env), newSyncLogCmd(env), newManagerLogCmd(env), newUnsyncedObjectsCmd(env), newRunsCmd(env),
		newPlanCmd(env), newDiffCmd(env), newVerifyCmd(env), newResyncCmd(env),
		newInitCmd(env), newPrepareOrgCmd(env), newDoctorCmd(env), newConfigCmd(env), newStateCmd(env), newDemoCmd(env), newVersionCmd(env),
	}
}
