// Package localstack tests the scripts of this folder: against a fake of AWS with
// the real functions behind it, and with recorders in place of Docker and Node.
// README.md says what the folder is for.
package localstack
