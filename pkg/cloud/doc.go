// Package cloud has the names of a stack on AWS: of its resources, of the objects in its
// bucket, and of the events and results of its functions. The CDK app, the functions
// and the command line share it. It sends nothing.
package cloud
