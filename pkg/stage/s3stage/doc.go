// Package s3stage holds the content of cookbook files in an S3 bucket, so that
// each file is read from the primary once for all replicas ([Stage]). A lifecycle rule
// of the bucket may expire what is staged; it is staged again when it is needed.
//
// [Blobs] reads what the previous version of the program kept of its records there.
package s3stage
