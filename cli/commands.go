package cli

import "github.com/spf13/cobra"

// commands are all commands, in the order of help.
func commands(g *globals) []*cobra.Command {
	return []*cobra.Command{
		newRunCmd(g), newSyncStartCmd(g), newSyncStopCmd(g), newServeChangesCmd(g), newTickCmd(g),
		newSyncStatusCmd(g), newSyncLogCmd(g), newManagerLogCmd(g), newUnsyncedObjectsCmd(g), newRunsCmd(g),
		newPlanCmd(g), newDiffCmd(g), newVerifyCmd(g), newResyncCmd(g),
		newInitCmd(g), newPrepareOrgCmd(g), newDoctorCmd(g), newConfigCmd(g), newStateCmd(g), newDemoCmd(g), newVersionCmd(g),
	}
}
