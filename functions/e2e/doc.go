// Package e2e drives the real programs of the functions over the Lambda Runtime
// API, with a fake of AWS, or emulators, and Chef Servers behind them: the code path
// that is deployed.
package e2e
