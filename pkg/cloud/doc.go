// Package cloud is the vocabulary of a stack on AWS: what its resources are
// called, where things lie in its bucket, what its functions are sent and what
// they answer. The CDK app, the functions and the command line all use it,
// so that none can drift from the others. It sends nothing.
package cloud
