package dynamostate_test

import (
	"testing"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/health"
	"chefsync/pkg/health/healthtest"
	"chefsync/pkg/state/dynamostate"
)

func TestTableKeepsHealth(t *testing.T) {
	c := dynamotest.Start(t)
	healthtest.Run(t, func(t *testing.T) func() health.Store {
		table, blobs := createTable(t, c), &memory{}
		return func() health.Store { return dynamostate.Open(c, table, blobs).Health() }
	})
}

func TestHealthAgainstAnEndpoint(t *testing.T) {
	c, api := endpoint(t)
	healthtest.Run(t, func(t *testing.T) func() health.Store {
		table, blobs := createTable(t, c), &memory{}
		return func() health.Store { return dynamostate.Open(api, table, blobs).Health() }
	})
}
