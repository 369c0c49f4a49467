// Package localstack tests the scripts of this folder: against a fake of AWS with the
// real functions, and with recorders in place of Docker and Node. See README.md.
package localstack
